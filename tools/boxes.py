"""The box of every question's region (RULES 12).

A box holds the region that is asked about, never the lesion, and does not depend on the grade: it
rests on bones and on where cartilage belongs. `mask` boxes hold a labelled structure, `partition`
boxes a subregion, `derived` boxes follow a rule from the bones. Boxes are tight to whole voxels
and cut to the field of view (`truncated`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knee.anatomy import (
    Bone,
    Compartment,
    ExtrusionSite,
    MeniscusPart,
    OsteophyteSite,
    Structure,
    Subregion,
)
from knee.findings import BoxSource
from knee.moaks import Feature
from knee.questions import Question
from tools import derived_regions as derived
from tools.anatomical_frame import BoolArray, IntArray, Knee
from tools.cartilage import Plate
from tools.knee_parts import KneeParts
from tools.landmarks import MENISCI
from tools.menisci import part_mask, part_of

_MARGIN_MM = 8.0
"""Reach around osteophyte margins, extrusion margins and meniscal roots."""
_CYST_MARGIN_MM = 10.0
"""Reach around a meniscus in which its cysts lie."""
_FOOTPRINT_MM = 3.0
"""Reach around a labelled ligament, so that the bone of its footprints is inside."""
_ROUND_OFF = 1e-3
"""Voxels: a centre so near to a box's side lies within, whichever way its mm were rounded."""
_LEAST_VOLUME_MM3 = 30.0
"""A structure with less than this is a remnant: its box is derived, as if it had none."""


@dataclass(frozen=True)
class RegionBox:
    """Half-open crop indices of a region; may reach beyond the volume.

    Attributes:
        lower: first index per axis.
        upper: last index + 1 per axis.
        source: how it was found.
        reason: what it falls back to, None for the ordinary way.
    """

    lower: IntArray
    upper: IntArray
    source: BoxSource
    reason: str | None = None


@dataclass(frozen=True)
class NoBox:
    """A region without a box, and why."""

    reason: str


def region_box(parts: KneeParts, question: Question) -> RegionBox | NoBox:
    """Returns the box of a question's region, or why there is none."""
    return _BUILDERS[question.feature](parts, question.site)


def region_definition(feature: Feature) -> str:
    """Returns the id of the definition that a feature's regions follow."""
    return f"region.{feature.value}@1"


def _bml(parts: KneeParts, site: str) -> RegionBox | NoBox:
    subregion = Subregion(site)
    wedges = parts.wedges.get(subregion.bone)
    bounds = wedges.bounds(subregion) if wedges is not None else None
    if bounds is None:
        return NoBox(_no_bone(parts, subregion.bone))
    return RegionBox(*bounds, BoxSource.PARTITION)


def _cartilage(parts: KneeParts, site: str) -> RegionBox | NoBox:
    subregion = Subregion(site)
    plate = parts.plates.get(subregion.bone)
    if plate is None:
        return NoBox(_no_bone(parts, subregion.bone))
    rays = plate.rays(subregion)
    if not rays.any():
        return NoBox(f"the {subregion.bone.value}'s articular surface is not in the volume there")
    bone = plate.chart.points[rays]
    # The layer is drawn one reference thickness deep everywhere, whether cartilage is left or not.
    surface = bone + plate.chart.rays[rays] * np.float32(_layer(plate, subregion))
    points = np.concatenate([bone, surface]).astype(np.float32)
    reason = None if plate.chart.covered[rays].any() else "denuded: where cartilage belongs"
    return _around(parts.knee, points, 0.0, BoxSource.PARTITION, reason)


def _layer(plate: Plate, subregion: Subregion) -> float:
    return {Bone.FEMUR: 2.5, Bone.TIBIA: 3.0, Bone.PATELLA: 3.5}[subregion.bone]


def _osteophyte(parts: KneeParts, site: str) -> RegionBox | NoBox:
    margin = parts.margins.get(OsteophyteSite(site))
    if margin is None:
        return NoBox(_no_bone(parts, Bone(site.split("_")[0])))
    return _around(parts.knee, margin.contour, _MARGIN_MM, BoxSource.DERIVED)


def _extrusion(parts: KneeParts, site: str) -> RegionBox | NoBox:
    extrusion = parts.extrusions.get(ExtrusionSite(site))
    if extrusion is None:
        return NoBox(_no_bone(parts, Bone.TIBIA))
    point = np.asarray([extrusion.margin], np.float32)
    return _around(parts.knee, point, _MARGIN_MM, BoxSource.DERIVED)


def _morphology(parts: KneeParts, site: str) -> RegionBox | NoBox:
    part = MeniscusPart(site)
    marks = parts.partition.tibia
    if marks is None:
        return NoBox(_no_bone(parts, Bone.TIBIA))
    side, index = part_of(part)
    mask = part_mask(parts.knee, marks, part)
    if _enough(parts.knee, mask):
        return _of_mask(mask, BoxSource.PARTITION)
    whole = derived.meniscus_box(parts, side)
    if whole is None:
        return NoBox(_no_bone(parts, Bone.TIBIA))
    low, high = whole[0].copy(), whole[1].copy()
    back, front = marks.thirds_a[side]
    low[1], high[1] = ((front, high[1]), (back, front), (low[1], back))[index]
    return _from_mm(parts.knee, (low, high), _fallback(parts, MENISCI[side]))


def _cyst(parts: KneeParts, site: str) -> RegionBox | NoBox:
    return _whole_meniscus(parts, site, _CYST_MARGIN_MM)


def _hypertrophy(parts: KneeParts, site: str) -> RegionBox | NoBox:
    return _whole_meniscus(parts, site, 0.0)


def _whole_meniscus(parts: KneeParts, site: str, margin: float) -> RegionBox | NoBox:
    side = Compartment(site.split("_")[0])
    mask = parts.knee.mask(MENISCI[side])
    if _enough(parts.knee, mask):
        box = _of_mask(mask, BoxSource.MASK)
        reach = np.ceil(margin / np.asarray(parts.knee.spacing)).astype(np.intp)
        return RegionBox(box.lower - reach, box.upper + reach, BoxSource.MASK)
    whole = derived.meniscus_box(parts, side)
    if whole is None:
        return NoBox(_no_bone(parts, Bone.TIBIA))
    grown = (whole[0] - np.float32(margin), whole[1] + np.float32(margin))
    return _from_mm(parts.knee, grown, _fallback(parts, MENISCI[side]))


def _root(parts: KneeParts, site: str) -> RegionBox | NoBox:
    side = Compartment(site.split("_")[0])
    point = derived.root_point(parts, side)
    if point is None:
        return NoBox(_no_bone(parts, Bone.TIBIA))
    return _around(parts.knee, point[None], _MARGIN_MM, BoxSource.DERIVED)


def _labelled_or(
    structure: Structure, rule: Callable[[KneeParts], derived.MmBox | None], needs: str
) -> Callable[[KneeParts, str], RegionBox | NoBox]:
    """A builder: the labelled structure with its footprints, else an anatomical rule."""

    def build(parts: KneeParts, _site: str) -> RegionBox | NoBox:
        mask = parts.knee.mask(structure)
        if _enough(parts.knee, mask):
            box = _of_mask(mask, BoxSource.MASK)
            reach = np.ceil(_FOOTPRINT_MM / np.asarray(parts.knee.spacing)).astype(np.intp)
            return RegionBox(box.lower - reach, box.upper + reach, BoxSource.MASK)
        region = rule(parts)
        if region is None:
            return NoBox(f"{structure.value} is not labelled, and the rule needs {needs}")
        return _from_mm(parts.knee, region, _fallback(parts, structure))

    return build


def _joint_cavity(parts: KneeParts, _site: str) -> RegionBox | NoBox:
    region = derived.joint_cavity_box(parts)
    if region is None:
        return NoBox(_no_bone(parts, Bone.FEMUR))
    return _from_mm(parts.knee, region, None)


_BUILDERS: dict[Feature, Callable[[KneeParts, str], RegionBox | NoBox]] = {
    Feature.BML: _bml,
    Feature.CARTILAGE: _cartilage,
    Feature.OSTEOPHYTE: _osteophyte,
    Feature.HOFFA_SYNOVITIS: _labelled_or(
        Structure.HOFFA_FAT_PAD, derived.hoffa_box, "femur, tibia and patella"
    ),
    Feature.EFFUSION_SYNOVITIS: _joint_cavity,
    Feature.EXTRUSION: _extrusion,
    Feature.MORPHOLOGY: _morphology,
    Feature.MENISCAL_CYST: _cyst,
    Feature.HYPERTROPHY: _hypertrophy,
    Feature.ROOT_TEAR: _root,
    Feature.ACL: _labelled_or(Structure.ACL, derived.acl_box, "femur and tibia"),
    Feature.PCL: _labelled_or(Structure.PCL, derived.pcl_box, "femur and tibia"),
    Feature.PATELLAR_TENDON: _labelled_or(
        Structure.PATELLAR_TENDON, derived.patellar_tendon_box, "patella and tibia"
    ),
}


def _no_bone(parts: KneeParts, bone: Bone) -> str:
    if Structure(bone.value) not in parts.knee.schemed:
        return f"not_in_scheme: the label map's scheme has no {bone.value}"
    return f"outside_field_of_view: too little of the {bone.value} is in the volume"


def _fallback(parts: KneeParts, structure: Structure) -> str:
    if structure not in parts.knee.schemed:
        return f"not_in_scheme: {structure.value} is not labelled, box from the bones"
    if parts.knee.has(structure):
        return f"{structure.value} is hardly there: box from the bones"
    return f"absent: {structure.value} has no voxel, box from the bones"


def _enough(knee: Knee, mask: BoolArray) -> bool:
    return float(mask.sum()) * knee.voxel_mm3 >= _LEAST_VOLUME_MM3


def _of_mask(mask: BoolArray, source: BoxSource) -> RegionBox:
    lower: list[int] = []
    upper: list[int] = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        lower.append(int(used[0]))
        upper.append(int(used[-1]) + 1)
    return RegionBox(np.asarray(lower), np.asarray(upper), source)


def _around(
    knee: Knee,
    points: derived.FloatArray,
    margin: float,
    source: BoxSource,
    reason: str | None = None,
) -> RegionBox:
    low = points.min(axis=0) - np.float32(margin)
    high = points.max(axis=0) + np.float32(margin)
    lower, upper = _to_voxels(knee, (low, high))
    return RegionBox(lower, upper, source, reason)


def _from_mm(knee: Knee, box: derived.MmBox, reason: str | None) -> RegionBox | NoBox:
    if bool((box[0] >= box[1]).any()):
        return NoBox("the bones are cut off where the region would be")
    lower, upper = _to_voxels(knee, box)
    return RegionBox(lower, upper, BoxSource.DERIVED, reason)


def _to_voxels(knee: Knee, box: derived.MmBox) -> tuple[IntArray, IntArray]:
    """The voxels whose centre lies within; one voxel on an axis along which none does."""
    spacing = np.asarray(knee.spacing)
    lower = np.ceil(box[0] / spacing - _ROUND_OFF).astype(np.intp)
    upper = np.floor(box[1] / spacing + _ROUND_OFF).astype(np.intp) + 1
    thin = lower >= upper
    middle = np.rint((box[0] + box[1]) / 2 / spacing).astype(np.intp)
    return np.where(thin, middle, lower), np.where(thin, middle + 1, upper)
