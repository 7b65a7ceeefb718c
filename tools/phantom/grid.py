"""Voxel grids a phantom can be drawn on.

A grid is a shape and an affine to RAS millimetres. `make_grid` builds sagittal grids like those of
OAI's DESS; storing the same voxels in another axis order (RAS, LAS, PIR, …) changes shape and
affine, never where a voxel's centre lies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.errors import InputError

_CENTRE_RAS_MM = (0.0, 8.0, 9.0)
"""Where a grid's middle lies relative to the joint: the knee sits a little low and in front."""

_AXIS_OF_LETTER = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape (i, j, k) and 4 x 4 affine from voxel index to RAS mm."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))


def make_grid(
    spacing_mm: tuple[float, float, float] = (1.4, 0.729, 0.729),
    counts: tuple[int, int, int] = (80, 192, 192),
    orientation: str = "RAS",
    obliquity_deg: float = 0.0,
) -> Grid:
    """Returns a grid around the joint.

    Args:
        spacing_mm: voxel size left-right, front-back, up-down.
        counts: number of voxels in the same order.
        orientation: axis letters of the stored array, e.g. `PIR` for an array whose first axis
            runs to posterior, the second to inferior and the third to the right.
        obliquity_deg: rotation about the long axis of the leg, as OAI's sagittal slabs have.

    Raises:
        InputError: the orientation does not name each axis once.
    """
    angle = np.deg2rad(obliquity_deg)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing_mm)
    middle = (np.array(counts) - 1) / 2
    affine[:3, 3] = np.array(_CENTRE_RAS_MM) - affine[:3, :3] @ middle
    return reorient_grid(Grid(counts, affine), orientation)


def reorient_grid(grid: Grid, orientation: str) -> Grid:
    """Returns the same voxel centres of a RAS-ordered grid, stored in another axis order.

    Raises:
        InputError: the orientation does not name each axis once.
    """
    axes = [_AXIS_OF_LETTER.get(letter) for letter in orientation]
    found = [axis for axis in axes if axis is not None]
    if len(axes) != 3 or sorted(axis for axis, _ in found) != [0, 1, 2]:
        raise InputError(
            f"not an orientation: {orientation!r}",
            "give one letter of each pair R/L, A/P, S/I, e.g. 'RAS' or 'PIR'",
        )
    affine = np.eye(4)
    affine[:3, 3] = grid.affine[:3, 3]
    for position, (axis, sign) in enumerate(found):
        affine[:3, position] = sign * grid.affine[:3, axis]
        if sign < 0:
            affine[:3, 3] += grid.affine[:3, axis] * (grid.shape[axis] - 1)
    shape = (grid.shape[found[0][0]], grid.shape[found[1][0]], grid.shape[found[2][0]])
    return Grid(shape, affine)


DEMO_GRID = make_grid()
"""Coarse DESS-like grid, 80 x 192 x 192 voxels of 1.4 x 0.729 x 0.729 mm, stored RAS."""

DESS_GRID = make_grid((0.7, 0.364583, 0.364583), (160, 384, 384), obliquity_deg=8.0)
"""OAI's DESS grid with the slight obliquity of its headers (FACTS 3.3), stored RAS."""

SMALL_GRID = make_grid((2.8, 1.5, 1.5), (40, 94, 94))
"""For tests that only need a knee, not its details."""
