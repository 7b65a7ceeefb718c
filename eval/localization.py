"""How well boxes are found: overlap in the stored voxel frame, distances in mm, and baselines.

Boxes are (n, 6) arrays `i0, i1, j0, j1, k0, k1`, half-open, of the stored array. An answer without
a box overlaps with nothing (primary form) or is left out (scored form); it has no distance.
"""

from bisect import bisect_left
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from eval.bench_records import SentSlice
from eval.mean_boxes import Grid
from knee.errors import BenchError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

HIT_AT: Final = (0.1, 0.25, 0.5)
"""IoU from which a box is a hit."""
PLANES: Final = ("sagittal", "coronal", "axial")
"""In the order of the patient's axes (x, y, z) that they are perpendicular to."""
N_BINS: Final = 20
"""Bins of the histogram of IoU, from 0 to 1; the last one holds 1."""


class BoxMetric(StrEnum):
    """Every figure of localisation."""

    IOU = "iou"
    """Mean 3D IoU."""
    HIT_10 = "hit_at_0.1"
    """Share with IoU of 0.1 or more."""
    HIT_25 = "hit_at_0.25"
    """... of 0.25 or more."""
    HIT_50 = "hit_at_0.5"
    """... of 0.5 or more."""
    SLICE_OVERLAP = "slice_overlap"
    """Mean 1D IoU of the sagittal extents."""
    CENTRE_MM = "centre_distance_mm"
    """Mean distance of the centres; of answers with a box alone."""
    GAIN = "gain_over_mean_box"
    """The headline: mean of IoU less the mean training box's."""


class BoxBaseline(StrEnum):
    """What boxes without looking reach."""

    MEAN_BOX = "mean_box"
    """Mean training box of the question and side."""
    WHOLE_VOLUME = "whole_volume"
    """Everything."""
    CENTRAL_BOX = "central_box"
    """The middle half of each axis."""
    BEST_OF_SLICES = "best_of_slices"
    """No baseline but a ceiling: the best that the slices sent allow."""


def overlaps(first: Integers, second: Integers, axis: int) -> Floats:
    """Returns (n,) voxels that two boxes share along one stored axis."""
    low = np.maximum(first[:, 2 * axis], second[:, 2 * axis])
    high = np.minimum(first[:, 2 * axis + 1], second[:, 2 * axis + 1])
    return np.maximum(high - low, 0).astype(float)


def sizes(boxes: Integers) -> Floats:
    """Returns (n, 3) extents in voxels."""
    return (boxes[:, 1::2] - boxes[:, ::2]).astype(float)


def ious(first: Integers, second: Integers) -> Floats:
    """Returns (n,) 3D IoU of pairs of boxes.

    Example:
        >>> one = np.array([[0, 2, 0, 2, 0, 2]])
        >>> float(ious(one, np.array([[1, 2, 0, 2, 0, 2]]))[0])
        0.5
    """
    shared = np.prod([overlaps(first, second, axis) for axis in range(3)], axis=0)
    both = sizes(first).prod(axis=1) + sizes(second).prod(axis=1)
    return shared / (both - shared)


def slice_overlaps(first: Integers, second: Integers, axes: Integers) -> Floats:
    """Returns (n,) 1D IoU along the stored axis that runs left-right.

    Args:
        first: (n, 6) boxes.
        second: (n, 6) boxes.
        axes: (n,) stored axis of each volume's sagittal slices.
    """
    rows = np.arange(len(first))
    shared = np.stack([overlaps(first, second, axis) for axis in range(3)], axis=1)[rows, axes]
    both = sizes(first)[rows, axes] + sizes(second)[rows, axes]
    return shared / (both - shared)


def centre_distances(first: Integers, second: Integers, affines: Floats) -> Floats:
    """Returns (n,) distances in mm between the boxes' centres.

    Args:
        first: (n, 6) boxes.
        second: (n, 6) boxes.
        affines: (n, 4, 4) stored voxels to RAS mm.
    """
    apart = (first[:, ::2] + first[:, 1::2] - second[:, ::2] - second[:, 1::2]) / 2
    # Both centres lie half a voxel off in the same way: a shift drops out of the difference.
    return np.linalg.norm(np.einsum("nij,nj->ni", affines[:, :3, :3], apart), axis=1)


class ShownAlong(NamedTuple):
    """The slices of one plane, along their stored axis, counted as the patient's axis runs."""

    stored: int
    """Stored axis."""
    flipped: bool
    """Whether the stored index falls along the patient's axis."""
    n: int
    """Slices of the volume."""
    indices: list[int]
    """Of the slices shown, ascending."""


def shown_along(grid: Grid, slices: Sequence[SentSlice]) -> list[ShownAlong]:
    """Returns the slices that were sent, by plane.

    Raises:
        BenchError: a plane that is none of the three.
    """
    planes = {one.plane for one in slices}
    if not planes <= set(PLANES):
        raise BenchError(f"slices of the planes {sorted(planes)!r}", f"planes are {PLANES!r}")
    found: list[ShownAlong] = []
    for plane in planes:
        axis = PLANES.index(plane)
        stored, flipped = grid.axes[axis], grid.flipped[axis]
        n = grid.shape[stored]
        indices = {one.index for one in slices if one.plane == plane}
        # The parts meet midway; which side a middle voxel falls to is settled along RAS.
        if flipped:
            indices = {n - 1 - index for index in indices}
        found.append(ShownAlong(stored, flipped, n, sorted(indices)))
    return found


def best_iou_of_slices(box: Sequence[int], grid: Grid, slices: Sequence[SentSlice]) -> float:
    """Returns the best IoU with `box` of any box that can be said in pictures that were sent.

    Along the axis of the slices a box runs from one picture to another (or the same), each
    standing for the slices nearest to it (`eval.pictures.slice_parts`); in their plane it is exact.
    Of several planes the best one counts: a box is said in pictures of one.

    Args:
        box: `i0, i1, j0, j1, k0, k1`.
        grid: of the volume.
        slices: what was sent; at least one.

    Raises:
        BenchError: a plane that is none of the three.
    """
    return best_iou_of_shown(box, shown_along(grid, slices))


def best_iou_of_shown(box: Sequence[int], shown: Sequence[ShownAlong]) -> float:
    """Returns `best_iou_of_slices` of slices that were sorted before."""
    found: list[float] = []
    for stored, flipped, n, indices in shown:
        low, high = int(box[2 * stored]), int(box[2 * stored + 1])
        if flipped:
            low, high = n - high, n - low
        found.append(best_iou_along(low, high, indices, n))
    return max(found)


def best_iou_along(low: int, high: int, shown: Sequence[int], n: int) -> float:
    """Returns the best 1D IoU with [low, high) of a run of neighbouring pictures' parts.

    Args:
        low: first index of the true range.
        high: one past its last index.
        shown: indices of the slices, ascending; at least one.
        n: slices of the volume.

    Example:
        >>> best_iou_along(10, 20, [4, 12, 20], 24)
        0.625
    """
    starts, ends = _edges_near(low, shown, n), _edges_near(high, shown, n)
    best = 0.0
    for start in starts:
        for end in ends:
            if start < end:
                shared = max(0, min(end, high) - max(start, low))
                best = max(best, shared / (max(end, high) - min(start, low)))
    return best


def _edges_near(place: int, shown: Sequence[int], n: int) -> list[int]:
    """The edges between pictures' parts on either side of a place; no other edge is nearer."""
    at = bisect_left(shown, place)
    return [
        0 if k == 0 else n if k == len(shown) else (shown[k - 1] + shown[k] + 1) // 2
        for k in range(max(at - 1, 0), min(at + 1, len(shown)) + 1)
    ]


def histogram(values: Floats) -> tuple[int, ...]:
    """Returns counts of IoU in `N_BINS` equal bins from 0 to 1."""
    counts, _ = np.histogram(values, bins=N_BINS, range=(0.0, 1.0))
    return tuple(int(n) for n in counts)
