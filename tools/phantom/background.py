"""Everything around the joint: muscle, vessels, retinacula, subcutaneous fat and skin.

It is in the image only; no label names it.
"""

from typing import NamedTuple

import numpy as np

from tools.phantom.plate import smoothstep
from tools.phantom.shape import FloatArray
from tools.phantom.sick_knee import SickKnee
from tools.phantom.slab import Box, Slab
from tools.phantom.tissues import Tissue

_SKIN_MM = 1.8
_SUBCUTANEOUS_MM = 6.0


class _Belly(NamedTuple):
    """A muscle or vessel: an ellipse in axial slices that fades in along z."""

    centre: tuple[float, float]
    half: tuple[float, float]
    starts: float
    """z where it begins."""
    full: float
    """z where it has its full size; below `starts` for muscles of the calf."""
    tilt: float = 0.0
    """Shift of y per mm of z."""


_MUSCLES = (
    _Belly((-19.0, -38.0), (16.0, 13.0), 22.0, -14.0),
    _Belly((17.0, -39.0), (15.0, 12.0), 20.0, -14.0),
    _Belly((4.0, -25.0), (22.0, 10.0), -12.0, -40.0),
    _Belly((28.0, 4.0), (14.0, 20.0), -14.0, -52.0),
    _Belly((-27.0, -40.0), (15.0, 12.0), 2.0, 44.0),
    _Belly((30.0, -38.0), (11.0, 13.0), 0.0, 44.0),
    _Belly((-30.0, 13.0), (17.0, 27.0), 26.0, 76.0),
    _Belly((31.0, 15.0), (15.0, 26.0), 36.0, 80.0),
)

_VESSELS = (
    _Belly((0.5, -35.0), (3.2, 3.2), 300.0, 299.0, -0.05),
    _Belly((5.0, -40.5), (3.8, 3.2), 300.0, 299.0, 0.03),
)


def _inside(belly: _Belly, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    grown = np.sqrt(smoothstep(z, belly.starts, belly.full))
    half_x, half_y = belly.half
    centre_y = belly.centre[1] + belly.tilt * z
    ratio = ((x - belly.centre[0]) / half_x) ** 2 + ((y - centre_y) / half_y) ** 2
    return (grown**2 - ratio).astype(np.float32)


def _leg_ratio(x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """0 at the leg's axis, 1 at the skin."""
    front = 62.0 + 8.0 * np.exp(-(((z - 30.0) / 26.0) ** 2)) - 12.0 * smoothstep(-z, 10.0, 60.0)
    half_y = np.where(y > 0.0, front, 60.0)
    half_x = 56.0 + 5.0 * smoothstep(z, 20.0, 70.0) - 3.0 * smoothstep(-z, 10.0, 60.0)
    ratio = np.abs(x / half_x) ** 2.3 + np.abs(y / half_y) ** 2.3
    return (ratio ** (1.0 / 2.3)).astype(np.float32)


def paint_background(slab: Slab, _knee: SickKnee) -> None:
    """Fills what is still empty inside the leg."""
    part = slab.empty_in(Box((-300.0,) * 3, (300.0,) * 3))
    x, y, z = part.x, part.y, part.z
    to_skin = (1.0 - _leg_ratio(x, y, z)) * 58.0
    code = np.where(to_skin > 0.0, Tissue.FAT, 0).astype(np.uint8)
    # Retinacula and collateral ligaments run around the joint as one dark sheet.
    sheet = (np.abs(to_skin - 12.0) < 1.0) & (y > -20.0) & (y < 48.0) & (np.abs(z - 8.0) < 40.0)
    code[sheet] = Tissue.RETINACULUM
    deep = np.flatnonzero(to_skin > _SUBCUTANEOUS_MM)
    x, y, z = x[deep], y[deep], z[deep]
    for bellies, tissue in ((_MUSCLES, Tissue.MUSCLE), (_VESSELS, Tissue.VESSEL)):
        for belly in bellies:
            code[deep[_inside(belly, x, y, z) > 0.0]] = tissue
    code[(to_skin > 0.0) & (to_skin < _SKIN_MM)] = Tissue.SKIN
    part.write(code)
