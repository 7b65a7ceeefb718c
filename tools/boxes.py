"""The box of every question's region (RULES 12).

A box holds the region that is asked about, never the lesion, and does not depend on the grade: it
rests on bones and on where cartilage belongs. `mask` boxes hold a labelled structure, `partition`
boxes a subregion, `derived` boxes follow a rule from the bones. Boxes are tight to whole voxels
and cut to the field of view (`truncated`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

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
from tools.anatomical_frame import Knee
from tools.articular_surface import cartilage_of
from tools.cartilage import Plate
from tools.crop_frame import FloatArray
from tools.femoral_landmarks import MENISCAL_MARGINS
from tools.knee_parts import KneeParts
from tools.landmarks import MENISCI
from tools.menisci import part_of, part_within
from tools.region_boxes import (
    NoBox,
    RegionBox,
    box_from_mm,
    derived_box,
    labelled_box,
    no_bone,
    no_rule,
    points_of,
)
from tools.site_margins import extrusion_point, site_margin
from tools.subregions import ORDER
from tools.tibial_landmarks import BorderRule, TibiaMarks

_MARGIN_MM = 8.0
"""Reach around osteophyte margins, extrusion margins and meniscal roots."""
_CYST_MARGIN_MM = 10.0
"""Reach around a meniscus in which its cysts lie."""
_FOOTPRINT_MM = 3.0
"""Reach of a labelled ligament's box into the bone at its footprints."""
_BEYOND_MM, _SLAB_MM = 2.0, 2.5
"""Room outside an extruded meniscus, and half the slab of reference slices it is looked for in."""
_LAYER_MM = {Bone.FEMUR: 2.2, Bone.TIBIA: 2.6, Bone.PATELLA: 3.2}
"""Healthy cartilage in the middle of a plate. Boxes of this layer hold 99 % of the cartilage of
each of three real knees."""
_TAPER_MM, _EDGE_SHARE = 5.0, 0.5
"""Healthy cartilage tapers to this share towards the edge of its plate."""
_WHOLE_SHARE, _PART_SHARE = 0.6, 0.4
"""A ligament that fills less than this of its course's length is a stump; a meniscal part that
fills less of its place is a remnant (the SPL knee's thinnest healthy horn fills 0.55)."""
_N_PARTS = 3


def region_box(parts: KneeParts, question: Question) -> RegionBox | NoBox:
    """Returns the box of a question's region, or why there is none."""
    return _BUILDERS[question.feature](parts, question.site)


def region_definition(feature: Feature) -> str:
    """Returns the id of the definition that a feature's regions follow."""
    return f"region.{feature.value}@2"


def _bml(parts: KneeParts, site: str) -> RegionBox | NoBox:
    subregion = Subregion(site)
    wedges = parts.wedges.get(subregion.bone)
    where = None if wedges is None else wedges.where[:, wedges.labels == ORDER.index(subregion)]
    if where is None or where.shape[1] == 0:
        return _no_subregion(parts, subregion)
    points = points_of(parts.knee, where)
    return RegionBox(points, BoxSource.PARTITION, _parted_otherwise(parts, subregion))


def _cartilage(parts: KneeParts, site: str) -> RegionBox | NoBox:
    subregion = Subregion(site)
    plate = parts.plates.get(subregion.bone)
    rays = None if plate is None else plate.rays(subregion)
    if plate is None or rays is None or not rays.any():
        return _no_subregion(parts, subregion)
    bone = plate.chart.points[rays]
    # The layer is as thick as healthy cartilage everywhere, whether cartilage is left or not.
    surface = bone + plate.chart.rays[rays] * _layer(plate, subregion.bone)[rays][:, None]
    points = np.concatenate([bone, surface]).astype(np.float32)
    reason = _parted_otherwise(parts, subregion)
    if not plate.chart.covered[rays].any():
        reason = _denuded(parts, subregion)
    return RegionBox(points, BoxSource.PARTITION, reason)


def _layer(plate: Plate, bone: Bone) -> FloatArray:
    """Thickness in mm of the layer in which a ray's cartilage belongs: it tapers at the edge."""
    chart = plate.chart
    depth = ndimage.distance_transform_edt(np.pad(plate.expected, 1), sampling=chart.step)
    inwards = np.clip(depth[1:-1, 1:-1] / _TAPER_MM, 0.0, 1.0)
    thick = _LAYER_MM[bone] * (_EDGE_SHARE + (1 - _EDGE_SHARE) * inwards)
    # A ray that leaves the bone at a slant runs longer through the same layer.
    return (thick / chart.cosine).astype(np.float32)


def _denuded(parts: KneeParts, subregion: Subregion) -> str:
    structure = cartilage_of(subregion)
    if structure not in parts.knee.schemed:
        return f"not_in_scheme: {structure.value} is not labelled, box where it belongs"
    return "absent: no cartilage voxel is left, box where it belongs on the bone"


def _parted_otherwise(parts: KneeParts, subregion: Subregion) -> str | None:
    """What a subregion's borders fall back to, None where the menisci gave them."""
    if subregion.bone is Bone.PATELLA or subregion is Subregion.TIBIA_SUBSPINOUS:
        return None
    if subregion.bone is Bone.FEMUR:
        femur = parts.partition.femur
        if femur is None or femur.definition_of(subregion.compartment) == MENISCAL_MARGINS:
            return None
        return "borders by the 60 % rule: no meniscal margin to go by"
    tibia = parts.partition.tibia
    if tibia is None:
        return None
    back, front = tibia.border_rules[subregion.compartment]
    mine = {"anterior": {front}, "posterior": {back}}.get(
        subregion.value.split("_")[2], {back, front}
    )
    if BorderRule.EQUAL_THIRDS not in mine:
        return None
    return "borders at equal thirds of the plate: no whole meniscal horn to go by"


def _no_subregion(parts: KneeParts, subregion: Subregion) -> NoBox:
    if subregion.bone not in parts.plates:
        return NoBox(no_bone(parts, subregion.bone))
    return NoBox(
        f"outside_field_of_view: this part of the {subregion.bone.value} is not in the volume"
    )


def _osteophyte(parts: KneeParts, site: str) -> RegionBox | NoBox:
    contour = site_margin(parts.knee, parts.partition, parts.plates, OsteophyteSite(site))
    if contour is None:
        return NoBox(no_bone(parts, Bone(site.split("_")[0])))
    return RegionBox(contour, BoxSource.DERIVED, margin_mm=_MARGIN_MM)


def _extrusion(parts: KneeParts, site: str) -> RegionBox | NoBox:
    marks = parts.partition.tibia
    if marks is None:
        return NoBox(no_bone(parts, Bone.TIBIA))
    where = ExtrusionSite(site)
    point = extrusion_point(marks, where, parts.knee.frame.lean_rad)
    points = [point]
    side = Compartment(site.split("_")[0])
    axis = 1 if where.value.endswith("anterior") else 0
    edge = _meniscal_edge(parts.knee, side, axis, point)
    if edge is not None:
        # Only a meniscus that reaches nearly out of the box widens it.
        outward = 1.0 if axis == 1 or side is Compartment.MEDIAL else -1.0
        beyond = outward * (edge - float(point[axis])) + _BEYOND_MM - _MARGIN_MM
        widened = point.copy()
        widened[axis] += np.float32(outward * max(0.0, beyond))
        points.append(widened)
    return RegionBox(np.stack(points), BoxSource.DERIVED, margin_mm=_MARGIN_MM)


def _meniscal_edge(knee: Knee, side: Compartment, axis: int, point: FloatArray) -> float | None:
    """Outer edge in mm of a meniscus along an axis in the slices around the reference point."""
    other = 1 - axis
    step = knee.spacing[other]
    rows = slice(
        max(0, round((float(point[other]) - _SLAB_MM) / step)),
        round((float(point[other]) + _SLAB_MM) / step) + 1,
    )
    window = (slice(None), rows) if axis == 0 else (rows, slice(None))
    used = np.flatnonzero(knee.mask(MENISCI[side])[window].any(axis=(other, 2)))
    if used.size == 0:
        return None
    last = used[-1] if axis == 1 or side is Compartment.MEDIAL else used[0]
    return float(last) * knee.spacing[axis]


def _morphology(parts: KneeParts, site: str) -> RegionBox | NoBox:
    part = MeniscusPart(site)
    marks = parts.partition.tibia
    if marks is None:
        return NoBox(no_bone(parts, Bone.TIBIA))
    side, index = part_of(part)
    region = derived.meniscus_part_box(parts, side, index)
    labelled = labelled_box(parts.knee, part_within(parts.knee, marks, part), BoxSource.PARTITION)
    if labelled and (region is None or _is_whole(labelled, region, 1, _PART_SHARE)):
        return RegionBox(labelled.points, labelled.source, _parted_meniscus(marks, side))
    if region is None:
        return NoBox(no_bone(parts, Bone.TIBIA))
    return derived_box(parts, region, MENISCI[side])


def _parted_meniscus(marks: TibiaMarks, side: Compartment) -> str | None:
    if BorderRule.EQUAL_THIRDS not in marks.border_rules[side]:
        return None
    return "parted at equal thirds of the plate: no whole horn to go by"


def _cyst(parts: KneeParts, site: str) -> RegionBox | NoBox:
    return _whole_meniscus(parts, site, _CYST_MARGIN_MM)


def _hypertrophy(parts: KneeParts, site: str) -> RegionBox | NoBox:
    return _whole_meniscus(parts, site, 0.0)


def _whole_meniscus(parts: KneeParts, site: str, margin: float) -> RegionBox | NoBox:
    """The labelled meniscus with the places of the parts that it has lost; else its place."""
    side = Compartment(site.split("_")[0])
    labelled = labelled_box(parts.knee, parts.knee.within(MENISCI[side]), BoxSource.MASK)
    lost = [
        box
        for part in MeniscusPart
        if part_of(part)[0] is side and (box := _lost_part(parts, part)) is not None
    ]
    if labelled is None or len(lost) == _N_PARTS:
        region = derived.meniscus_box(parts, side)
        if region is not None:
            return derived_box(parts, region, MENISCI[side], margin)
        if labelled is None:
            return NoBox(no_bone(parts, Bone.TIBIA))
    points = np.concatenate([labelled.points, *(box.points for box in lost)])
    return RegionBox(points, BoxSource.MASK, lost[0].reason if lost else None, margin)


def _lost_part(parts: KneeParts, part: MeniscusPart) -> RegionBox | None:
    """The place of a meniscal part that is not there, None where it is or its place is unknown."""
    box = _morphology(parts, part.value)
    return box if isinstance(box, RegionBox) and box.source is BoxSource.DERIVED else None


def _root(parts: KneeParts, site: str) -> RegionBox | NoBox:
    side = Compartment(site.split("_")[0])
    point = derived.root_point(parts, side)
    if point is None:
        return NoBox(no_bone(parts, Bone.TIBIA))
    return RegionBox(point[None], BoxSource.DERIVED, margin_mm=_MARGIN_MM)


@dataclass(frozen=True)
class _Band:
    """How the box of a labelled structure is found, and what stands in for it.

    Attributes:
        structure: the label.
        rule: the region from the bones.
        needs: the bones, in words.
        footprints: mm into the bone that it attaches to, added below and above along each axis:
            the label ends at the bone's surface.
        length: axis along which a whole structure fills most of the rule's region; None to take
            whatever is labelled.
    """

    structure: Structure
    rule: Callable[[KneeParts], derived.MmBox | None]
    needs: tuple[Bone, ...]
    footprints: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] = (
        (0.0, 0.0),
        (0.0, 0.0),
        (0.0, 0.0),
    )
    length: int | None = None

    def build(self, parts: KneeParts, _site: str) -> RegionBox | NoBox:
        """Returns the labelled structure with its footprints, else the rule's region."""
        region = self.rule(parts)
        box = labelled_box(parts.knee, parts.knee.within(self.structure), BoxSource.MASK)
        if box and (
            region is None
            or self.length is None
            or _is_whole(box, region, self.length, _WHOLE_SHARE)
        ):
            below, above = (
                np.asarray(side, np.float32) for side in zip(*self.footprints, strict=True)
            )
            points = np.concatenate([box.points, box.points - below, box.points + above])
            return RegionBox(points, BoxSource.MASK)
        if region is None:
            return NoBox(no_rule(parts, self.structure, self.needs))
        return derived_box(parts, region, self.structure)


def _is_whole(box: RegionBox, region: derived.MmBox, axis: int, share: float) -> bool:
    """Whether a labelled structure fills enough of its place along an axis: else it is a stump."""
    return float(box.size_mm[axis]) >= share * float(region[1][axis] - region[0][axis])


def _joint_cavity(parts: KneeParts, _site: str) -> RegionBox | NoBox:
    region = derived.joint_cavity_box(parts)
    if region is None:
        return NoBox(no_bone(parts, Bone.FEMUR))
    reason = None
    if not parts.knee.bone(Bone.PATELLA).any():
        reason = f"{no_bone(parts, Bone.PATELLA)}: box from femur and tibia"
    return box_from_mm(region, reason)


_BUILDERS: dict[Feature, Callable[[KneeParts, str], RegionBox | NoBox]] = {
    Feature.BML: _bml,
    Feature.CARTILAGE: _cartilage,
    Feature.OSTEOPHYTE: _osteophyte,
    Feature.HOFFA_SYNOVITIS: _Band(
        Structure.HOFFA_FAT_PAD,
        derived.hoffa_box,
        (Bone.FEMUR, Bone.TIBIA, Bone.PATELLA),
    ).build,
    Feature.EFFUSION_SYNOVITIS: _joint_cavity,
    Feature.EXTRUSION: _extrusion,
    Feature.MORPHOLOGY: _morphology,
    Feature.MENISCAL_CYST: _cyst,
    Feature.HYPERTROPHY: _hypertrophy,
    Feature.ROOT_TEAR: _root,
    # Footprints: into the lateral condyle's wall and down into the plateau.
    Feature.ACL: _Band(
        Structure.ACL,
        derived.acl_box,
        (Bone.FEMUR, Bone.TIBIA),
        ((_FOOTPRINT_MM, 0.0), (0.0, 0.0), (_FOOTPRINT_MM, 0.0)),
        length=2,
    ).build,
    # Into the medial condyle's wall; at the tibia's back the bone lies in front, inside the box.
    Feature.PCL: _Band(
        Structure.PCL,
        derived.pcl_box,
        (Bone.FEMUR, Bone.TIBIA),
        ((0.0, _FOOTPRINT_MM), (0.0, 0.0), (0.0, 0.0)),
        length=2,
    ).build,
    Feature.PATELLAR_TENDON: _Band(
        Structure.PATELLAR_TENDON,
        derived.patellar_tendon_box,
        (Bone.PATELLA, Bone.TIBIA),
        length=2,
    ).build,
}
