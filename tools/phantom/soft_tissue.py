"""Ligaments, tendons and joint fluid of one knee, in the knee frame."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.phantom.femur import polar, shaft_depth
from tools.phantom.model import KneeModel
from tools.phantom.plate import sample, smoothstep
from tools.phantom.shape import FloatArray
from tools.phantom.tibia import outline_depth

TORN_ACL_STUMP = 0.3
"""Share of its course that is left of a completely torn ACL, at the tibia."""

_NOTHING = 1e-3
"""Half-axis in mm of a band that no voxel lies in."""
_RECESS_HALF_WIDTH, _RECESS_HALF_HEIGHT = 33.0, 23.0
_PREFEMORAL_FAT = 1.5


class Band(NamedTuple):
    """A course of points with a width (x) and a thickness (across the course), as half-axes."""

    course: NDArray[np.float64]
    half_width: float
    half_thickness: float

    def holds(self, x: FloatArray, y: FloatArray, z: FloatArray) -> NDArray[np.bool_]:
        """Returns which points lie within the band."""
        nearest = np.full(x.shape, np.inf, np.float32)
        squeeze = self.half_thickness / self.half_width
        for start, end in zip(self.course[:-1], self.course[1:], strict=True):
            step = end - start
            length = float(step @ step)
            along = (x - start[0]) * step[0] + (y - start[1]) * step[1] + (z - start[2]) * step[2]
            t = np.clip(along / length, 0.0, 1.0)
            across = (
                ((x - start[0] - t * step[0]) * squeeze) ** 2
                + (y - start[1] - t * step[1]) ** 2
                + (z - start[2] - t * step[2]) ** 2
            )
            nearest = np.minimum(nearest, across)
        return nearest < self.half_thickness**2


class Recess(NamedTuple):
    """Fluid in front of the distal femur: its back wall and its depth over (x, z)."""

    u: FloatArray
    v: FloatArray
    back: FloatArray
    """y of the femur's front (bone, cartilage, a thin fat layer) over the table."""
    profile: FloatArray
    """Depth of the fluid for a distension of 1 mm; 0 outside the recess."""

    def at(self, x: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns back wall and profile at points."""
        row = np.clip((x - self.u[0]) / (self.u[1] - self.u[0]), 0.0, self.u.size - 1.001)
        column = np.clip((z - self.v[0]) / (self.v[1] - self.v[0]), 0.0, self.v.size - 1.001)
        return sample(self.back, row, column), sample(self.profile, row, column)


class SoftTissue(NamedTuple):
    """Ligaments, tendons and fluid."""

    acl: Band
    pcl: Band
    patellar_tendon: Band
    quadriceps_tendon: Band
    recess: Recess
    distension: float
    """Knee-frame mm of fluid at the recess's deepest point."""


def build_recess(model: KneeModel) -> Recess:
    """Returns the suprapatellar recess over the front of the femur."""
    u = np.arange(-36.0, 36.01, 1.0, dtype=np.float32)
    v = np.arange(16.0, 82.01, 1.0, dtype=np.float32)
    ahead = np.arange(0.0, 50.01, 0.5, dtype=np.float32)
    x, z, y = (a.astype(np.float32) for a in np.meshgrid(u, v, ahead, indexing="ij"))
    angle, radius = polar(y, z)
    row, column = model.femur.index_of(x, angle)
    outer = sample(model.femur.surface + model.femur.cartilage, row, column)
    solid = (radius < outer) | (shaft_depth(x, y, z) > 0.0)
    fat = _PREFEMORAL_FAT * smoothstep(v, 44.0, 52.0)[None]
    back = (np.where(solid, y, 0.0).max(axis=2) + fat).astype(np.float32)
    top = model.shape.patella_z + 13.0
    ratio = ((u[:, None] - 1.0) / _RECESS_HALF_WIDTH) ** 2 + (
        (v[None] - top) / _RECESS_HALF_HEIGHT
    ) ** 2
    # Beside the shaft the wall falls away: the recess ends there.
    profile = np.maximum(1.0 - ratio, 0.0) ** 0.6 * smoothstep(back, 10.0, 15.0)
    return Recess(u, v, back.astype(np.float32), profile.astype(np.float32))


def _bands(model: KneeModel, recess: Recess, distension: float, acl_left: float) -> SoftTissue:
    shape, patella = model.shape, model.patella
    plate = patella.plate
    row = int(np.abs(plate.u - shape.patella_x).argmin())
    columns = np.flatnonzero(patella.front[row] > plate.surface[row] + 2.0)
    low, high = columns[0], columns[-1]
    middle = 0.5 * (plate.surface[row] + patella.front[row])
    pole_low = np.array([shape.patella_x, middle[low] + 3.0, plate.v[low] + 2.0])
    pole_high = np.array([shape.patella_x, middle[high] + 2.0, plate.v[high] - 2.0])
    insertion_z = -35.0
    front = np.arange(10.0, 45.0, 0.25, dtype=np.float32)
    inside = outline_depth(shape, front * 0, front, np.full_like(front, insertion_z)) > 0.0
    insertion = np.array([0.0, float(front[inside].max()) + 1.5, insertion_z])
    heights = np.arange(float(pole_high[2]) + 5.0, 92.0, 5.0)
    wall, profile = recess.at(
        np.full(heights.size, shape.patella_x, np.float32), heights.astype(np.float32)
    )
    # A distended recess pushes the tendon forward.
    rest = pole_high[1] - 0.22 * (heights - pole_high[2])
    course = np.maximum(rest, wall + distension * profile + 4.2)
    quadriceps = np.stack([np.full(heights.size, shape.patella_x), course, heights], axis=1)
    half = shape.notch_half_width
    acl = np.array([[1.5, 9.0, 0.0], [3.5, 3.0, 9.0], [half - 2.0, -8.0, 21.0]])
    if acl_left < 1.0:
        acl = np.stack([acl[0], acl[0] + acl_left * (acl[2] - acl[0])])
    acl_half = (4.6, 3.6) if acl_left > 0.0 else (_NOTHING, _NOTHING)
    pcl = np.array(
        [[0.0, -21.0, -7.0], [-1.5, -18.0, 4.0], [-3.5, -10.0, 12.5], [-half + 2.5, 1.0, 16.0]]
    )
    return SoftTissue(
        acl=Band(acl, *acl_half),
        pcl=Band(pcl, 5.0, 4.2),
        patellar_tendon=Band(np.stack([pole_low, insertion]), 13.5, 2.6),
        quadriceps_tendon=Band(np.vstack([pole_high, quadriceps]), 15.0, 3.6),
        recess=recess,
        distension=distension,
    )


class _FluidBlock(NamedTuple):
    """A millimetre lattice of the recess on which its volume is summed."""

    behind: FloatArray
    """y minus the back wall."""
    profile: FloatArray
    free: NDArray[np.bool_]
    """Neither patella nor its cartilage."""


def _fluid_block(model: KneeModel, recess: Recess) -> _FluidBlock:
    ahead = np.arange(10.0, 75.01, 1.0, dtype=np.float32)
    x, z, y = (a.astype(np.float32) for a in np.meshgrid(recess.u, recess.v, ahead, indexing="ij"))
    back, profile = recess.back[:, :, None], recess.profile[:, :, None]
    plate = model.patella.plate
    row, column = plate.index_of(x, z)
    behind = sample(plate.surface - plate.cartilage, row, column)
    front = sample(model.patella.front, row, column)
    solid = (front > behind + 0.2) & (y > behind) & (y < front)
    return _FluidBlock(y - back, profile * np.ones_like(y), ~solid)


def build_soft_tissue(model: KneeModel, effusion_ml: float, acl_left: float = 1.0) -> SoftTissue:
    """Returns the soft tissue with the recess distended to hold a volume.

    Args:
        model: the healthy knee.
        effusion_ml: fluid to be held, in real mL.
        acl_left: share of the ACL's course that is left, from the tibia; 0 for none of it.
    """
    recess = build_recess(model)
    block = _fluid_block(model, recess)
    low, high = 0.0, 40.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        full = _block_ml(block, middle) * model.pose.scale**3 > effusion_ml
        low, high = (low, middle) if full else (middle, high)
    return _bands(model, recess, 0.5 * (low + high), acl_left)


def _block_ml(block: _FluidBlock, distension: float) -> float:
    depth = distension * block.profile
    # Cells count by the share of them that is filled, so that the volume grows smoothly.
    filled = np.clip(np.minimum(depth - block.behind, block.behind) + 0.5, 0.0, 1.0)
    filled = np.minimum(filled, np.clip(depth, 0.0, 1.0))
    return float((filled * block.free).sum()) / 1000.0


def effusion_ml(model: KneeModel, tissue: SoftTissue) -> float:
    """Returns the volume of the fluid drawn in the recess, in real mL."""
    block = _fluid_block(model, tissue.recess)
    return _block_ml(block, tissue.distension) * model.pose.scale**3
