"""Which part of an unsided `meniscus` or `tibial_cartilage` label is medial, and which lateral.

A plane in the middle of the tibia does not do: horns reach over it (the medial meniscus of the SPL
atlas by 2 mm, and with the lateral one it shares 8 mm of the medial-lateral axis), a knee lies
turned in its volume, and a part may be missing. So connected parts are taken whole:

1. The midline comes from the bones, else from cartilage, else from the unsided labels themselves
   when they are wide enough to be both sides (`knee_midline`).
2. A part belongs to the side of its centre.
3. A part that reaches far to both sides is two that touch (drawn-through horns, a transverse
   ligament): every voxel of it goes to the side that it is nearer to *within the part*.
4. A small part near the midline (a root fragment) goes with the nearest part of known side.

Which side is medial is not found here: axis 0 runs medially because the side was declared. All
of it is [k]: no source defines the split of an unsided label.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

BoolArray = NDArray[np.bool_]
"""A mask in the anatomical frame: axis 0 medial, 1 anterior, 2 superior."""
Spacing = tuple[float, float, float]
"""Voxel size in mm along these axes."""

_SLAB_MM = (4.0, 16.0)
"""Distance from the joint, along the bone, of the slab that the midline is taken from."""
_TAIL = 0.05
"""Share of a footprint left out at either edge, so that a spur does not move the midline."""
_BOTH_SIDES_MM = 50.0
"""One meniscus or plateau is 25 to 45 mm wide; what is wider holds both."""
_REACH_MM = 15.0
"""A part that reaches so far to either side of the midline is two parts."""
_NEAR_MM = 5.0
"""A centre this near to the midline tells nothing."""
_MAIN_SHARE = 0.2
"""A part with this share of the label is judged by its centre even near the midline."""
_ALL_NEIGHBOURS = np.ones((3, 3, 3), np.bool_)


def knee_midline(
    tibia: BoolArray,
    femur: BoolArray,
    femoral_cartilage: BoolArray,
    unsided: Iterable[BoolArray],
    spacing: Spacing,
) -> float | None:
    """Returns where medial meets lateral, as an index along axis 0 (half steps are between voxels).

    Args:
        tibia: the bone; all False when it is not labelled. So are the others.
        femur: the bone.
        femoral_cartilage: the cartilage of both condyles.
        unsided: the labels that are to be split.
        spacing: voxel size in mm.

    Returns:
        The middle of the tibial plateau's footprint, else of the condyles', else of the femoral
        cartilage, else of the unsided labels together. None when nothing of these is there, or
        only unsided labels that may be of one side.
    """
    for bone, is_below in ((tibia, True), (femur, False)):
        footprint = _near_joint(bone, spacing[2], is_below=is_below)
        if footprint is not None:
            return _middle(footprint)
    if femoral_cartilage.any():
        return _middle(femoral_cartilage.sum(axis=(1, 2)))
    together = sum((mask.sum(axis=(1, 2)) for mask in unsided), np.zeros(tibia.shape[0], np.intp))
    used = np.flatnonzero(together)
    if used.size == 0 or (used[-1] - used[0] + 1) * spacing[0] < _BOTH_SIDES_MM:
        return None
    return float(used[0] + used[-1]) / 2


def split_sides(mask: BoolArray, midline: float, spacing: Spacing) -> BoolArray:
    """Returns the medial part of an unsided structure; the rest of it is lateral.

    Args:
        mask: the structure, both sides in one.
        midline: from `knee_midline`.
        spacing: voxel size in mm.
    """
    medial = np.zeros_like(mask)
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return medial
    box = found[0]
    inside = mask[box]
    parts, n_parts = ndimage.label(inside, _ALL_NEIGHBOURS)
    # Offset of every plane from the midline in mm; positive is medial.
    offsets = (np.arange(box[0].start, box[0].stop) - midline) * spacing[0]
    medial[box] = _medial_parts(parts, n_parts, offsets, spacing)
    return medial


def _near_joint(bone: BoolArray, step: float, *, is_below: bool) -> NDArray[np.intp] | None:
    """Footprint of a bone near the joint line: number of columns at every medial index."""
    levels = np.flatnonzero(bone.any(axis=(0, 1)))
    if levels.size == 0:
        return None
    near, far = (round(mm / step) for mm in _SLAB_MM)
    joint = int(levels[-1] if is_below else levels[0])
    low, high = (joint - far, joint - near) if is_below else (joint + near, joint + far)
    slab = bone[:, :, max(low, 0) : max(high, 0) + 1].any(axis=2)
    return slab.sum(axis=1) if slab.any() else bone.any(axis=2).sum(axis=1)


def _middle(profile: NDArray[np.intp]) -> float:
    """Middle between the ends of a profile, its thin tails left out."""
    share = np.cumsum(profile) / profile.sum()
    low, high = np.searchsorted(share, _TAIL), np.searchsorted(share, 1 - _TAIL)
    return float(low + high) / 2


def _medial_parts(
    parts: NDArray[np.integer], n_parts: int, offsets: NDArray[np.float64], spacing: Spacing
) -> BoolArray:
    """Which voxels are medial, part by part."""
    profile = np.zeros((n_parts + 1, offsets.size), np.intp)
    for plane in range(offsets.size):
        profile[:, plane] = np.bincount(parts[plane].ravel(), minlength=n_parts + 1)
    profile[0] = 0
    n_voxels = profile.sum(axis=1)
    centres = profile @ offsets / np.maximum(n_voxels, 1)
    reaches = [_reach(row, offsets) for row in profile]
    is_two = np.array([low < -_REACH_MM and high > _REACH_MM for low, high in reaches])
    is_known = (np.abs(centres) >= _NEAR_MM) | (n_voxels >= _MAIN_SHARE * n_voxels.sum())
    side = np.where(centres > 0, 1, -1).astype(np.int8)
    side[is_two | ~is_known | (n_voxels == 0)] = 0
    sides = side[parts]
    for index in np.flatnonzero(is_two):
        cut = parts == index
        sides[cut] = _cut(cut, offsets, spacing)[cut]
    unknown = (parts > 0) & (sides == 0)
    if unknown.any() and (sides != 0).any():
        _join_nearest(parts, sides, unknown, spacing)
    elif unknown.any():
        sides[unknown] = np.where(centres > 0, 1, -1)[parts[unknown]]
    return sides > 0


def _reach(row: NDArray[np.intp], offsets: NDArray[np.float64]) -> tuple[float, float]:
    used = np.flatnonzero(row)
    return (float(offsets[used[0]]), float(offsets[used[-1]])) if used.size else (0.0, 0.0)


def _join_nearest(
    parts: NDArray[np.integer], sides: NDArray[np.int8], unknown: BoolArray, spacing: Spacing
) -> None:
    """Gives every part of unknown side the side of the nearest voxel of known side."""
    away, nearest = ndimage.distance_transform_edt(
        (sides == 0), sampling=spacing, return_distances=True, return_indices=True
    )
    found = ndimage.minimum_position(away, parts, np.unique(parts[unknown]))
    for index, voxel in zip(np.unique(parts[unknown]), found, strict=True):
        sides[parts == index] = sides[tuple(nearest[(slice(None), *voxel)])]


def _cut(part: BoolArray, offsets: NDArray[np.float64], spacing: Spacing) -> NDArray[np.int8]:
    """Sides (1 medial, -1 lateral) within a part that is two: the nearer core, along the part."""
    sides = np.zeros(part.shape, np.int8)
    sides[offsets > _REACH_MM] = 1
    sides[offsets < -_REACH_MM] = -1
    # Only the band between the cores, with one plane of either as where distances start.
    planes = np.flatnonzero(np.abs(offsets) <= _REACH_MM + spacing[0])
    band = slice(int(planes[0]), int(planes[-1]) + 1)
    inside = part[band]
    number = np.full(inside.shape, -1, np.int32)
    number[inside] = np.arange(int(inside.sum()))
    graph = _neighbours(number, spacing)
    core = sides[band][inside]
    reached = [
        csgraph.dijkstra(graph, directed=False, indices=np.flatnonzero(core == s), min_only=True)
        for s in (1, -1)
    ]
    between = np.where(reached[0] < reached[1], 1, -1).astype(np.int8)
    band_sides = np.zeros(inside.shape, np.int8)
    band_sides[inside] = np.where(core != 0, core, between)
    sides[band] = band_sides
    return sides


def _neighbours(number: NDArray[np.int32], spacing: Spacing) -> sparse.csr_array:
    """Graph of neighbouring voxels (26), each edge once, weighted by their distance in mm."""
    rows: list[NDArray[np.int32]] = []
    columns: list[NDArray[np.int32]] = []
    lengths: list[NDArray[np.float64]] = []
    steps = [step for step in np.ndindex(3, 3, 3) if step > (1, 1, 1)]
    for step in steps:
        move = tuple(s - 1 for s in step)
        here = number[tuple(slice(max(0, -m), min(0, -m) or None) for m in move)]
        there = number[tuple(slice(max(0, m), min(0, m) or None) for m in move)]
        both = (here >= 0) & (there >= 0)
        rows.append(here[both])
        columns.append(there[both])
        length = float(np.linalg.norm(np.multiply(move, spacing)))
        lengths.append(np.full(int(both.sum()), length))
    n_nodes = int(number.max()) + 1
    entries = (np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=(n_nodes, n_nodes)))
