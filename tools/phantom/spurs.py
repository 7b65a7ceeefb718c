"""Osteophytes: half-buried ellipsoids at twelve places of the joint margin.

A spur's centre lies on the osteophyte-free contour and its tip `height` further out, so its
protrusion is known without measuring. The margin points depend on the healthy knee only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, OsteophyteSite
from tools.phantom.femur import AXIS_Y, AXIS_Z
from tools.phantom.model import KneeModel
from tools.phantom.shape import FloatArray
from tools.phantom.tibia import SPINE_Y

_FEMORAL_ANGLES_DEG = {"anterior": -4.0, "central": 96.0, "posterior": 184.0}
_BELOW_CREST = 7.5
"""Knee-frame mm between a condyle's crest and its margin, where the cartilage has ended."""


class Spur(NamedTuple):
    """An ellipsoid in the knee frame."""

    site: OsteophyteSite
    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    """Rows: unit vectors outwards, along the margin, across it."""
    semi_axes: NDArray[np.float64]
    """Height, half-length, half-thickness in knee-frame mm."""

    @property
    def bone(self) -> Bone:
        """The bone that the spur belongs to."""
        return Bone(self.site.value.split("_")[0])

    @property
    def protrusion(self) -> float:
        """Knee-frame mm from the osteophyte-free contour to the tip."""
        return float(self.semi_axes[0])

    def holds(self, x: FloatArray, y: FloatArray, z: FloatArray) -> NDArray[np.bool_]:
        """Returns which points lie inside."""
        total = np.zeros(x.shape, np.float32)
        for axis, half in zip(self.axes, self.semi_axes, strict=True):
            along = (
                (x - self.centre[0]) * axis[0]
                + (y - self.centre[1]) * axis[1]
                + (z - self.centre[2]) * axis[2]
            )
            total += ((along / half) ** 2).astype(np.float32)
        return total < 1.0


def femoral_margin(model: KneeModel, sign: float, angle: float) -> NDArray[np.float64]:
    """Returns the outermost point of a condyle at its margin, knee frame.

    Args:
        model: the healthy knee.
        sign: -1 for the medial condyle, 1 for the lateral one.
        angle: around the femur's axis, in rad; 0 to the front, pi / 2 down.
    """
    femur = model.femur
    column = int(np.abs(femur.v - angle).argmin())
    outside = femur.u * sign > 8.0
    crest = float(femur.surface[outside, column].max())
    radius = crest - _BELOW_CREST
    x, along = femur.u[outside] * sign, femur.surface[outside, column]
    order = np.argsort(x)
    x, along = x[order], along[order]
    last = int(np.flatnonzero(along >= radius)[-1])
    step = (along[last] - radius) / max(float(along[last] - along[last + 1]), 1e-6)
    edge = float(x[last] + step * (x[last + 1] - x[last]))
    y, z = AXIS_Y + radius * np.cos(angle), AXIS_Z - radius * np.sin(angle)
    return np.array([sign * edge, y, z])


def _frame(outwards: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([outwards, along, np.cross(outwards, along)])


def place_spur(model: KneeModel, site: OsteophyteSite, height_mm: float) -> Spur:
    """Returns the spur of a site.

    Args:
        model: the healthy knee.
        site: where.
        height_mm: protrusion in real mm.
    """
    height = height_mm / model.pose.scale
    bone, first, *rest = site.value.split("_")
    x_axis = np.eye(3)[0]
    sign = -1.0 if first == "medial" else 1.0
    if bone == "femur":
        angle = float(np.deg2rad(_FEMORAL_ANGLES_DEG[rest[0]]))
        centre = femoral_margin(model, sign, angle)
        along = np.array([0.0, -np.sin(angle), -np.cos(angle)])
        return Spur(site, centre, _frame(sign * x_axis, along), np.array([height, 6.0, 3.2]))
    if bone == "tibia":
        edge = model.shape.tibia_half_width
        row = int(np.abs(model.tibia.u - sign * (edge - 2.0)).argmin())
        column = int(np.abs(model.tibia.v - SPINE_Y).argmin())
        rim = float(model.tibia.surface[row, column])
        centre = np.array([sign * edge, SPINE_Y, rim - 3.4])
        along = np.array([0.0, 1.0, 0.0])
        return Spur(site, centre, _frame(sign * x_axis, along), np.array([height, 8.0, 3.2]))
    return _patellar_spur(model, site, first, height)


def _patellar_spur(model: KneeModel, site: OsteophyteSite, pole: str, height: float) -> Spur:
    shape, patella = model.shape, model.patella
    x_axis, z_axis = np.eye(3)[0], np.eye(3)[2]
    if pole in ("superior", "inferior"):
        sign = 1.0 if pole == "superior" else -1.0
        outwards, along = sign * z_axis, x_axis
        x, z = shape.patella_x, shape.patella_z + sign * shape.patella_half_height
    else:
        sign = 1.0 if pole == "lateral" else -1.0
        outwards, along = sign * x_axis, z_axis
        x, z = shape.patella_x + sign * shape.patella_half_width, shape.patella_z
    row = int(np.abs(patella.plate.u - x).argmin())
    column = int(np.abs(patella.plate.v - z).argmin())
    y = 0.5 * float(patella.plate.surface[row, column] + patella.front[row, column])
    return Spur(site, np.array([x, y, z]), _frame(outwards, along), np.array([height, 6.0, 3.0]))
