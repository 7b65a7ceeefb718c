"""One healthy knee: shape, pose and the three plates, fitted to each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, Side
from tools.phantom.femur import AXIS_Y, AXIS_Z, build_femur, polar
from tools.phantom.patella import Patella, build_patella, fit_patella
from tools.phantom.plate import Plate, sample
from tools.phantom.shape import FloatArray, KneeShape, Pose, draw_pose, draw_shape
from tools.phantom.tibia import build_tibia, fit_tibia
from tools.phantom.tibial_parts import PlateBorders, meniscal_borders, with_subregions

NO_FEMUR = 60.0
"""Height of the femoral floor where no femur lies above."""


@dataclass(frozen=True, eq=False)
class KneeModel:
    """The healthy anatomy that pathology is drawn on."""

    side: Side
    shape: KneeShape
    pose: Pose
    femur: Plate
    tibia: Plate
    patella: Patella
    femoral_floor: FloatArray
    """Lowest height of the healthy femoral cartilage over the tibia's (x, y) table."""
    plate_borders: PlateBorders
    """Where tibial plates and menisci are parted front to back."""

    def plates(self) -> tuple[Plate, Plate, Plate]:
        """Returns femur, tibia and patella."""
        return self.femur, self.tibia, self.patella.plate


def find_femoral_floor(femur: Plate, u: FloatArray, v: FloatArray) -> FloatArray:
    """Returns the lowest height of the femoral cartilage over a table of x and y."""
    below = (femur.v > np.deg2rad(15.0)) & (femur.v < np.deg2rad(165.0))
    angles = femur.v[below]
    outer = (femur.surface + femur.cartilage)[:, below]
    floor = np.full((u.size, v.size), NO_FEMUR, np.float32)
    for row, x in enumerate(u):
        at = (x - femur.u[0]) / (femur.u[1] - femur.u[0])
        if not 0.0 <= at <= femur.u.size - 1.0:
            continue
        radius = outer[round(float(at))]
        y, z = AXIS_Y + radius * np.cos(angles), AXIS_Z - radius * np.sin(angles)
        # y falls with the angle as far as the knee is star-shaped; overhangs are taken as lowest.
        order = np.argsort(y)
        reached = (v >= y.min()) & (v <= y.max())
        floor[row, reached] = np.interp(v[reached], y[order], z[order])
    return floor


def build_model(seed: int, side: Side) -> KneeModel:
    """Returns the healthy knee of a seed; both sides of a seed are mirror images."""
    rng = np.random.default_rng([seed, 1])
    shape, pose = draw_shape(rng), draw_pose(rng, side)
    femur = build_femur(shape, pose.scale)
    loose = build_tibia(shape, pose.scale)
    floor = find_femoral_floor(femur, loose.u, loose.v)
    fitted = fit_tibia(shape, loose, floor)
    borders = meniscal_borders(shape, fitted)
    tibia = with_subregions(fitted, borders)
    patella = fit_patella(build_patella(shape, pose.scale), femur)
    return KneeModel(side, shape, pose, femur, tibia, patella, floor, borders)


def plate_coordinates(
    plate: Plate, points: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns fractional row and column and the depth of knee-frame points of shape (n, 3)."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    if plate.bone is Bone.FEMUR:
        angle, radius = polar(y, z)
        row, column = plate.index_of(x, angle)
        return row, column, sample(plate.surface, row, column) - radius
    if plate.bone is Bone.TIBIA:
        row, column = plate.index_of(x, y)
        return row, column, sample(plate.surface, row, column) - z
    row, column = plate.index_of(x, z)
    return row, column, y - sample(plate.surface, row, column)


def find_subregions(model: KneeModel, points_ras_mm: NDArray[np.float64]) -> NDArray[np.int8]:
    """Returns the phantom's own subregion of points: an index into `plate.SUBREGIONS`, or -1.

    A point belongs to a subregion when it lies in its bone wedge (to `plate.BML_DEPTH_MM`) or in
    the healthy cartilage upon it.

    Args:
        model: the knee.
        points_ras_mm: points of shape (n, 3), RAS mm.
    """
    points = model.pose.to_knee(points_ras_mm).astype(np.float32)
    found = np.full(points.shape[0], -1, np.int8)
    for plate in model.plates():
        row, column, depth = plate_coordinates(plate, points)
        inside = (row > 0.0) & (row < plate.u.size - 1.01)
        cell = row.round().astype(np.intp), column.round().astype(np.intp)
        inside &= (depth <= plate.max_depth[cell]) & (depth >= -plate.cartilage[cell])
        number = plate.subregion[cell]
        found = np.where(inside & (number >= 0) & (found < 0), number, found)
    return found.astype(np.int8)
