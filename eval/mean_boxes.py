"""Boxes as shares of a volume's extent along the patient's axes, and baselines made of them.

Volumes differ in shape, voxel size and storage order, so a mean box needs axes that mean the same
in all: right-left, anterior-posterior and superior-inferior, each from 0 to 1 over the stored
volume. The patient's axes are the stored axes that lie nearest to them (no voxel is resampled).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from nibabel.orientations import io_orientation

from eval.bench_records import MeanBox
from knee.geometry import Affine, Box3D, voxel_box

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CENTRAL = 0.5
"""Share of each axis that the central box takes."""


class Grid(NamedTuple):
    """How one volume is stored."""

    shape: tuple[int, int, int]
    """Array shape as stored."""
    axes: tuple[int, int, int]
    """Stored axis of each patient's axis: x to the right, y to anterior, z to superior."""
    flipped: tuple[bool, bool, bool]
    """Whether the stored index falls along the patient's axis."""


class SidedBox(NamedTuple):
    """A training box with what its mean needs."""

    question_id: int
    """1-62."""
    side: str
    """`right` or `left`."""
    box: Box3D
    """In the stored voxel frame."""
    grid: Grid
    """Of its volume."""


def grid_of(shape: tuple[int, int, int], affine: Affine) -> Grid:
    """Returns how a volume is stored, its axes from the affine and never from the shape.

    Example:
        >>> affine = ((0, 0, 0.7, 0), (-0.4, 0, 0, 0), (0, -0.4, 0, 0), (0, 0, 0, 1))
        >>> grid_of((384, 384, 160), affine).axes
        (2, 0, 1)
    """
    orientation = io_orientation(np.array(affine, float))
    axes, flipped = [0, 0, 0], [False, False, False]
    for stored in range(3):
        world = int(orientation[stored, 0])
        axes[world], flipped[world] = stored, bool(orientation[stored, 1] < 0)
    return Grid(shape, (axes[0], axes[1], axes[2]), (flipped[0], flipped[1], flipped[2]))


def shares_of(box: Box3D, grid: Grid) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns lower and upper corner of a voxel box as shares along x, y, z of RAS.

    Example:
        >>> shares_of(voxel_box(0, 5, 0, 10, 2, 10), Grid((10, 10, 10), (2, 1, 0), (True,) * 3))
        ((0.0, 0.0, 0.5), (0.8, 1.0, 1.0))
    """
    lower: list[float] = []
    upper: list[float] = []
    for stored, flipped in zip(grid.axes, grid.flipped, strict=True):
        extent = grid.shape[stored]
        low, high = box.lower[stored] / extent, box.upper[stored] / extent
        lower.append(1 - high if flipped else low)
        upper.append(1 - low if flipped else high)
    return tuple(lower), tuple(upper)


def mean_boxes(boxes: Iterable[SidedBox]) -> tuple[MeanBox, ...]:
    """Returns the mean box of each question and side, ascending."""
    found: dict[tuple[int, str], list[tuple[float, ...]]] = {}
    for one in boxes:
        lower, upper = shares_of(one.box, one.grid)
        found.setdefault((one.question_id, one.side), []).append((*lower, *upper))
    means: list[MeanBox] = []
    for question, side in sorted(found):
        values = found[question, side]
        x0, y0, z0, x1, y1, z1 = np.mean(np.array(values), axis=0).round(9).tolist()
        means.append(
            MeanBox(
                question_id=question,
                side=side,
                n=len(values),
                lower=(x0, y0, z0),
                upper=(x1, y1, z1),
            )
        )
    return tuple(means)


class GridColumns(NamedTuple):
    """Grids as columns, a row each."""

    shapes: Integers
    """(n, 3) array shapes as stored."""
    axes: Integers
    """(n, 3) stored axis of each patient's axis."""
    flipped: npt.NDArray[np.bool_]
    """(n, 3) whether the stored index falls along the patient's axis."""

    @classmethod
    def of(cls, grids: Iterable[Grid]) -> "GridColumns":
        """Returns grids as columns."""
        listed = list(grids)
        return cls(
            np.array([grid.shape for grid in listed], np.int64).reshape(-1, 3),
            np.array([grid.axes for grid in listed], np.int64).reshape(-1, 3),
            np.array([grid.flipped for grid in listed], bool).reshape(-1, 3),
        )

    def rows(self, places: Integers) -> "GridColumns":
        """Returns the rows at some places, a place as often as it is asked for."""
        return GridColumns(self.shapes[places], self.axes[places], self.flipped[places])


def place_shares(lower: Floats, upper: Floats, grids: GridColumns) -> Integers:
    """Returns (boxes, 6) voxel boxes `i0, i1, j0, j1, k0, k1` of shares along x, y, z of RAS.

    Corners are rounded to the nearest voxel edge, at least one voxel apart: a model that answers in
    whole voxels can give exactly this box.

    Args:
        lower: (boxes, 3) shares.
        upper: (boxes, 3) shares.
        grids: the volume of each box.
    """
    axes, flipped = grids.axes, grids.flipped
    extents = np.take_along_axis(grids.shapes, axes, axis=1)
    low = np.where(flipped, 1 - upper, lower) * extents
    high = np.where(flipped, 1 - lower, upper) * extents
    first = np.clip(np.rint(low).astype(np.int64), 0, extents - 1)
    last = np.clip(np.rint(high).astype(np.int64), first + 1, extents)
    placed = np.zeros((len(axes), 6), np.int64)
    rows = np.arange(len(axes))
    for world in range(3):
        placed[rows, 2 * axes[:, world]] = first[:, world]
        placed[rows, 2 * axes[:, world] + 1] = last[:, world]
    return placed


def mean_box_in(mean: MeanBox, grid: Grid) -> Box3D:
    """Returns a mean box in the stored voxels of one volume, as the baseline is scored."""
    placed = place_shares(np.array([mean.lower]), np.array([mean.upper]), GridColumns.of([grid]))
    return voxel_box(*(int(value) for value in placed[0]))


def whole_boxes(shapes: Integers) -> Integers:
    """Returns (boxes, 6): the whole of each volume of (boxes, 3) shapes."""
    whole = np.zeros((len(shapes), 6), np.int64)
    whole[:, 1::2] = shapes
    return whole


def central_boxes(shapes: Integers) -> Integers:
    """Returns (boxes, 6): the middle half of each axis of (boxes, 3) shapes."""
    margin = np.rint(shapes * (1 - CENTRAL) / 2).astype(np.int64)
    central = np.zeros((len(shapes), 6), np.int64)
    central[:, ::2], central[:, 1::2] = margin, np.maximum(shapes - margin, margin + 1)
    return central
