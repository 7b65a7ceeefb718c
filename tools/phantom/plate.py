"""A joint surface as tables over two surface coordinates.

Femur, tibia and patella each carry one plate. A point near a plate has coordinates (u, v, depth):
depth is 0 on the bone surface, positive into the bone, negative into the cartilage and the joint.
Healthy cartilage, defects, subregions and lesions are tables over (u, v) or (u, v, depth), so that
shares of a surface or of a bone wedge are plain sums over the phantom's own tables.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, Subregion
from tools.phantom.shape import FloatArray

SUBREGIONS: tuple[Subregion, ...] = tuple(Subregion)
"""Order of the subregion numbers in every table; -1 stands for none."""

DEPTH_STEP = 0.5
"""Knee-frame mm between the layers of a lesion table."""

BML_DEPTH_MM = 15.0
"""Real mm below the bone surface to which a subregion's bone wedge reaches (the phantom's own
number; RULES 13 asks for a stated one)."""


@dataclass(frozen=True, eq=False)
class Plate:
    """Tables of one joint surface in the knee frame; all (u, v) tables share one shape."""

    bone: Bone
    u: FloatArray
    """Knee-frame x of the rows."""
    v: FloatArray
    """Second coordinate of the columns: angle in rad (femur), y (tibia) or z (patella)."""
    surface: FloatArray
    """Bone surface: radius (femur), z (tibia) or y (patella)."""
    points: FloatArray
    """The surface in knee-frame mm, shape (n_u, n_v, 3)."""
    cartilage: FloatArray
    """Healthy cartilage thickness along depth, 0 outside the plate."""
    subregion: NDArray[np.int8]
    """Index into `SUBREGIONS`, -1 outside every subregion."""
    max_depth: FloatArray
    """How deep the bone wedge reaches, in knee-frame mm."""

    @property
    def area(self) -> FloatArray:
        """Surface area per table cell in knee-frame mm², shape (n_u, n_v)."""
        along_u = np.gradient(self.points, axis=0)
        along_v = np.gradient(self.points, axis=1)
        return np.linalg.norm(np.cross(along_u, along_v), axis=2).astype(np.float32)

    def layers(self) -> FloatArray:
        """Returns the depths of the lesion table's layers, in knee-frame mm."""
        count = int(np.ceil(float(self.max_depth.max()) / DEPTH_STEP))
        return (np.arange(count, dtype=np.float32) + 0.5) * DEPTH_STEP

    def wedge_weights(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> FloatArray:
        """Returns the bone volume of the cells below given surface cells, knee-frame mm³.

        Shape (n_cells, n_layers); 0 below the wedge's depth.
        """
        depths = self.layers()
        step_u = float(self.u[1] - self.u[0])
        step_v = float(self.v[1] - self.v[0])
        width: FloatArray = np.ones((rows.size, depths.size), np.float32)
        if self.bone is Bone.FEMUR:
            # A cylinder sector narrows towards its axis.
            width = np.maximum(self.surface[rows, columns][:, None] - depths[None, :], 0.0)
        inside = depths[None, :] <= self.max_depth[rows, columns][:, None]
        return (width * inside * (step_u * step_v * DEPTH_STEP)).astype(np.float32)

    def index_of(self, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns fractional row and column, clipped to the table."""
        row = (u - self.u[0]) / (self.u[1] - self.u[0])
        column = (v - self.v[0]) / (self.v[1] - self.v[0])
        return np.clip(row, 0.0, self.u.size - 1.001), np.clip(column, 0.0, self.v.size - 1.001)


def smoothstep(value: FloatArray, low: float, high: float) -> FloatArray:
    """Returns 0 below `low`, 1 above `high`, and a smooth rise between (either order)."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def sample(table: FloatArray, row: FloatArray, column: FloatArray) -> FloatArray:
    """Returns bilinear values of a table at fractional indices that lie inside it."""
    i, j = row.astype(np.int32), column.astype(np.int32)
    s, t = row - i, column - j
    flat, width = table.ravel(), table.shape[1]
    at = i * width + j
    low = flat[at] * (1.0 - t) + flat[at + 1] * t
    high = flat[at + width] * (1.0 - t) + flat[at + width + 1] * t
    return (low * (1.0 - s) + high * s).astype(np.float32, copy=False)
