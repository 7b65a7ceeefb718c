"""Boxes that carry their frame, and the one function that changes it.

Frames:
    voxel_ijk     indices into the volume's array as it is stored; half-open: `lower <= index <
                  upper`. Voxel `i` covers the continuous interval [i - 0.5, i + 0.5] (the voxel
                  centre sits on the integer, as in NIfTI).
    world_ras_mm  millimetres; +x patient's right, +y anterior, +z superior (nibabel's RAS).

A box that is moved between frames is moved by all eight corners: under an oblique affine two
corners would lose extent.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from knee.errors import InputError

Affine = tuple[tuple[float, ...], ...]
"""A 4 x 4 voxel-to-RAS-mm matrix as nested tuples, rows first."""

_EDGE_TOLERANCE = 1e-3
"""Voxels; world coordinates within this of a voxel edge count as on it (float round-off)."""


class Frame(StrEnum):
    """The coordinate frame of a box."""

    VOXEL_IJK = "voxel_ijk"
    WORLD_RAS_MM = "world_ras_mm"


class Box3D(BaseModel):
    """An axis-aligned box in a named frame; `upper` is exclusive in voxels.

    Example:
        >>> Box3D(frame=Frame.VOXEL_IJK, lower=(2, 3, 4), upper=(5, 6, 9)).size
        (3.0, 3.0, 5.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: Frame
    """Which frame the six numbers are in."""
    lower: tuple[float, float, float]
    """Smallest coordinate per axis; voxel indices or mm."""
    upper: tuple[float, float, float]
    """Largest coordinate per axis; exclusive voxel indices or mm."""

    @model_validator(mode="after")
    def validate_extent(self) -> Self:
        """Refuses empty boxes, non-finite numbers and fractional voxel indices."""
        for low, high in zip(self.lower, self.upper, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"box is empty or not finite: {self.lower!r} to {self.upper!r}")
        if self.frame is Frame.VOXEL_IJK and any(
            value != int(value) for value in (*self.lower, *self.upper)
        ):
            raise ValueError(f"voxel box has fractional indices: {self.lower!r} to {self.upper!r}")
        return self

    @property
    def size(self) -> tuple[float, float, float]:
        """Extent per axis, in voxels or mm."""
        i, j, k = (high - low for low, high in zip(self.lower, self.upper, strict=True))
        return (i, j, k)

    @property
    def volume(self) -> float:
        """Product of the extents, in voxels or mm³."""
        i, j, k = self.size
        return i * j * k

    @property
    def indices(self) -> tuple[int, int, int, int, int, int]:
        """`(i0, i1, j0, j1, k0, k1)` of a voxel box, half-open.

        Raises:
            InputError: the box is in millimetres.
        """
        if self.frame is not Frame.VOXEL_IJK:
            raise InputError(f"indices asked of a box in {self.frame.value!r}", "convert it first")
        (i0, j0, k0), (i1, j1, k1) = self.lower, self.upper
        return (int(i0), int(i1), int(j0), int(j1), int(k0), int(k1))


def voxel_box(i0: int, i1: int, j0: int, j1: int, k0: int, k1: int) -> Box3D:
    """Returns the half-open voxel box of six indices."""
    return Box3D(frame=Frame.VOXEL_IJK, lower=(i0, j0, k0), upper=(i1, j1, k1))


def apply_affine(affine: Affine, point: Sequence[float]) -> tuple[float, float, float]:
    """Returns `affine @ (x, y, z, 1)`, first three components."""
    x, y, z = (sum(row[axis] * point[axis] for axis in range(3)) + row[3] for row in affine[:3])
    return (x, y, z)


def invert_affine(affine: Affine) -> Affine:
    """Returns the inverse of a 4 x 4 affine.

    Raises:
        InputError: the affine is singular.
    """
    (a, b, c, tx), (d, e, f, ty), (g, h, i, tz) = affine[:3]
    det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if not math.isfinite(det) or abs(det) < 1e-12:
        raise InputError(f"affine is singular: determinant {det!r}", "check the volume's header")
    rows = (
        ((e * i - f * h) / det, (c * h - b * i) / det, (b * f - c * e) / det),
        ((f * g - d * i) / det, (a * i - c * g) / det, (c * d - a * f) / det),
        ((d * h - e * g) / det, (b * g - a * h) / det, (a * e - b * d) / det),
    )
    shifted = tuple((*r, -(r[0] * tx + r[1] * ty + r[2] * tz)) for r in rows)
    return (*shifted, (0.0, 0.0, 0.0, 1.0))


def change_frame(box: Box3D, to: Frame, affine: Affine) -> Box3D:
    """Returns `box` in the frame `to`: the tight axis-aligned box around its eight moved corners.

    Args:
        box: a box in either frame.
        to: the wanted frame; the box itself is returned when it is already there.
        affine: voxel-to-RAS-mm matrix of the volume.

    Returns:
        A box that contains the given one; voxel boxes are widened outwards to whole voxels.

    Example:
        >>> affine = ((2, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
        >>> change_frame(voxel_box(0, 2, 0, 1, 0, 1), Frame.WORLD_RAS_MM, affine).lower
        (-1.0, -0.5, -0.5)
    """
    if box.frame is to:
        return box
    to_world = to is Frame.WORLD_RAS_MM
    matrix = affine if to_world else invert_affine(affine)
    shift = 0.5 if to_world else 0.0
    corners = [
        apply_affine(matrix, (x - shift, y - shift, z - shift))
        for x in (box.lower[0], box.upper[0])
        for y in (box.lower[1], box.upper[1])
        for z in (box.lower[2], box.upper[2])
    ]
    lows = [min(corner[axis] for corner in corners) for axis in range(3)]
    highs = [max(corner[axis] for corner in corners) for axis in range(3)]
    if not to_world:
        lows = [math.floor(low + 0.5 + _EDGE_TOLERANCE) for low in lows]
        highs = [math.ceil(high + 0.5 - _EDGE_TOLERANCE) for high in highs]
    return Box3D(frame=to, lower=(lows[0], lows[1], lows[2]), upper=(highs[0], highs[1], highs[2]))


def intersection_over_union(first: Box3D, second: Box3D) -> float:
    """Returns the 3D IoU of two boxes of one frame, in [0, 1].

    Raises:
        InputError: the boxes are in different frames.
    """
    if first.frame is not second.frame:
        raise InputError(
            f"IoU of boxes in {first.frame.value!r} and {second.frame.value!r}",
            "bring both into the volume's voxel frame",
        )
    shared = 1.0
    for axis in range(3):
        low = max(first.lower[axis], second.lower[axis])
        high = min(first.upper[axis], second.upper[axis])
        shared *= max(0.0, high - low)
    return shared / (first.volume + second.volume - shared)


def to_release_order(box: Box3D, slice_axis: int) -> tuple[int, int, int, int, int, int]:
    """Returns `[start_slice, end_slice, x_min, x_max, y_min, y_max]` of a voxel box.

    This is the order of the released 3DReasonKnee data set as far as it can be inferred from its
    question texts (58 and 59): slices are sagittal, `end` is exclusive here. `x` and `y` are the
    two remaining array axes in their stored order.

    Args:
        box: a voxel box.
        slice_axis: the array axis (0-2) that runs left-right.
    """
    bounds = box.indices
    pairs = [(bounds[0], bounds[1]), (bounds[2], bounds[3]), (bounds[4], bounds[5])]
    first = pairs.pop(slice_axis)
    return (*first, *pairs[0], *pairs[1])


def from_release_order(values: Sequence[int], slice_axis: int) -> Box3D:
    """Returns the voxel box of `to_release_order`'s six numbers."""
    start, end, x_min, x_max, y_min, y_max = values
    pairs = [(x_min, x_max), (y_min, y_max)]
    pairs.insert(slice_axis, (start, end))
    (i0, i1), (j0, j1), (k0, k1) = pairs
    return voxel_box(i0, i1, j0, j1, k0, k1)
