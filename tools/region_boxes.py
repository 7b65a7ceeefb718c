"""The box of one region before and after it is placed in the volume, and why there is none.

What the builders of `tools.boxes` share: regions as points, boxes from masks and from anatomical
rules, and the reasons of RULES 4: `not_in_scheme`, `outside_field_of_view`, `absent`.
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Bone, Structure
from knee.findings import BoxSource
from knee.geometry import Box3D
from tools import derived_regions as derived
from tools.anatomical_frame import BoolArray, Box, Knee
from tools.crop_frame import FloatArray, IntArray
from tools.knee_parts import KneeParts

_LEAST_VOLUME_MM3 = 30.0
"""A structure with less than this is a remnant: its box is derived, as if it had none."""
_MOSTLY_INSIDE = 0.5
_PATELLA_DEEP, _PATELLA_HIGH = 0.25, 0.5
"""A patella lies within this in front of the femur, its middle at this height, tibial widths."""


@dataclass(frozen=True)
class RegionBox:
    """A region whose bounding box, along the volume's axes, is the box; may reach beyond them.

    Attributes:
        points: (n, 3) mm of the crop's frame.
        source: how it was found.
        reason: what it falls back to, None for the ordinary way.
        margin_mm: what the box reaches beyond the points on every side.
    """

    points: FloatArray
    source: BoxSource
    reason: str | None = None
    margin_mm: float = 0.0

    @property
    def size_mm(self) -> FloatArray:
        """Extents (3,) along the crop's axes, without margin."""
        return self.points.max(axis=0) - self.points.min(axis=0)


@dataclass(frozen=True)
class NoBox:
    """A region without a box, and why."""

    reason: str


def place_box(parts: KneeParts, region: RegionBox) -> tuple[Box3D, bool] | None:
    """Returns a region's canonical voxel box and whether the field of view cuts it off.

    A box from labels is cut off when it touches the volume's first or last slice: what lies beyond
    has no voxel. None when nothing of the region lies in the volume.
    """
    frame = parts.knee.frame
    low, high = frame.place(region.points, region.margin_mm)
    placed = frame.cut(low, high)
    if placed is None or placed[1] or region.source is BoxSource.DERIVED:
        return placed
    return placed[0], bool((low <= 0).any() or (high >= np.asarray(frame.canonical_shape)).any())


def no_bone(parts: KneeParts, bone: Bone) -> str:
    """Returns why a bone has no landmarks (RULES 4)."""
    if Structure(bone.value) not in parts.knee.schemed:
        return f"not_in_scheme: the label map's scheme has no {bone.value}"
    if not parts.knee.bone(bone).any() and bone is Bone.PATELLA and _sees_front(parts):
        return "absent: no patella voxel where one belongs in the volume"
    return f"outside_field_of_view: too little of the {bone.value} is in the volume"


def _sees_front(parts: KneeParts) -> bool:
    """Whether the volume shows the place of a patella: in front of and above the condyles."""
    femur, tibia = parts.partition.femur, parts.partition.tibia
    bone = derived.bounds_mm(parts, Bone.FEMUR)
    if femur is None or tibia is None or bone is None:
        return False
    scale = derived.tibial_scale(tibia)
    front = float(bone[1][1]) + _PATELLA_DEEP * scale.width
    top = scale.level + _PATELLA_HIGH * scale.width
    place = np.asarray([[femur.notch_m, front, top]], np.float32)
    index = parts.knee.frame.to_anatomical(place)[0]
    return bool((index >= 0).all() and (index < parts.knee.frame.canonical_shape).all())


def no_rule(parts: KneeParts, structure: Structure, needs: tuple[Bone, ...]) -> str:
    """Returns why a structure that is not labelled has no derived box: the bone that it lacks."""
    missing = next((bone for bone in needs if bone not in parts.plates), needs[0])
    return f"{structure.value} is not labelled, and its rule: {no_bone(parts, missing)}"


def derived_box(
    parts: KneeParts, region: derived.MmBox, structure: Structure, margin_mm: float = 0.0
) -> RegionBox | NoBox:
    """Returns the rule's box with the reason why the structure's own label does not give it."""
    box = box_from_mm(region, None)
    if isinstance(box, NoBox):
        return box
    return RegionBox(box.points, box.source, _fallback(parts, structure, box), margin_mm)


def _fallback(parts: KneeParts, structure: Structure, box: RegionBox) -> str:
    if structure not in parts.knee.schemed:
        return f"not_in_scheme: {structure.value} is not labelled, box from the bones"
    if _share_inside(parts.knee, box) < _MOSTLY_INSIDE:
        return f"outside_field_of_view: {structure.value} lies mostly outside, box from the bones"
    if parts.knee.has(structure):
        return f"absent: {structure.value} is not whole, box from the bones"
    return f"absent: {structure.value} has no voxel, box from the bones"


def _share_inside(knee: Knee, box: RegionBox) -> float:
    """Share of a box's volume that lies in the field of view."""
    lower, upper = knee.frame.place(box.points)
    low = np.maximum(lower, 0)
    high = np.minimum(upper, np.asarray(knee.frame.canonical_shape))
    whole = np.prod((upper - lower).astype(np.float64))
    return float(np.prod(np.maximum(high - low, 0)) / whole)


def labelled_box(
    knee: Knee, found: tuple[Box, BoolArray] | None, source: BoxSource
) -> RegionBox | None:
    """Returns the box of what is labelled; None for nothing, or a remnant of less than 30 mm³.

    Args:
        knee: the label map.
        found: bounding slices and the mask inside them, as `Knee.within` gives them.
        source: how the mask was found.
    """
    if found is None or np.count_nonzero(found[1]) * knee.voxel_mm3 < _LEAST_VOLUME_MM3:
        return None
    corner = np.asarray([axis.start for axis in found[0]])
    return RegionBox(points_of(knee, np.asarray(np.nonzero(found[1])) + corner[:, None]), source)


def points_of(knee: Knee, where: IntArray) -> FloatArray:
    """Returns points in mm whose bounding box is that of (3, n) crop indices.

    All voxels where the volume was turned; where it was not, its corners say as much.
    """
    if knee.frame.turn is None:
        where = np.stack([where.min(axis=1), where.max(axis=1)], axis=1)
    return (where.T * np.asarray(knee.spacing)).astype(np.float32)


def box_from_mm(box: derived.MmBox, reason: str | None) -> RegionBox | NoBox:
    """Returns a box between two corners, as the ellipsoid that fills it.

    What such a box holds is rounded: in a turned volume its corners would make the box too large.
    """
    if bool((box[0] >= box[1]).any()):
        return NoBox("outside_field_of_view: the bones are cut off where the region would be")
    middle, half = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2
    points = middle + _SPHERE * half
    return RegionBox(points.astype(np.float32), BoxSource.DERIVED, reason)


def _sphere() -> FloatArray:
    """Points (n, 3) on a unit sphere, its poles along all axes among them."""
    rise, turn = np.meshgrid(np.linspace(-90.0, 90.0, 25), np.arange(0.0, 360.0, 7.5))
    up, round_ = np.deg2rad(rise.ravel()), np.deg2rad(turn.ravel())
    sphere = [np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)]
    return np.stack(sphere, axis=1).astype(np.float32)


_SPHERE = _sphere()
