"""Everything around the joint: muscle, vessels, retinacula, subcutaneous fat and skin.

It is in the image only; no label names it.
"""

import numpy as np
from numpy.typing import NDArray

from tools.phantom.plate import smoothstep
from tools.phantom.shape import FloatArray
from tools.phantom.sick_knee import SickKnee
from tools.phantom.slab import Box, Slab
from tools.phantom.tissues import Tissue

_SKIN_MM = 1.8


def _leg_ratio(x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """0 at the leg's axis, 1 at the skin."""
    front = 62.0 + 8.0 * np.exp(-(((z - 30.0) / 26.0) ** 2)) - 12.0 * smoothstep(-z, 10.0, 60.0)
    half_y = np.where(y > 0.0, front, 60.0)
    half_x = 56.0 + 5.0 * smoothstep(z, 20.0, 70.0) - 3.0 * smoothstep(-z, 10.0, 60.0)
    ratio = np.abs(x / half_x) ** 2.3 + np.abs(y / half_y) ** 2.3
    return (ratio ** (1.0 / 2.3)).astype(np.float32)


def _disc(x: FloatArray, y: FloatArray, at: tuple[float, float], half: tuple[float, float]) -> FloatArray:
    return (((x - at[0]) / half[0]) ** 2 + ((y - at[1]) / half[1]) ** 2).astype(np.float32)


def _muscle(x: FloatArray, y: FloatArray, z: FloatArray) -> NDArray[np.bool_]:
    """Gastrocnemius heads and popliteus below, hamstrings and vasti above."""
    below = smoothstep(-z, -34.0, -2.0)
    calf = below * (
        (_disc(x, y, (-19.0, -40.0), (16.0, 13.0)) < 1.0)
        | (_disc(x, y, (17.0, -41.0), (15.0, 12.0)) < 1.0)
    )
    soleus = (_disc(x, y, (6.0, -27.0), (24.0, 11.0)) < 1.0) & (z < -22.0)
    shin = (_disc(x, y, (30.0, 3.0), (13.0, 22.0)) < 1.0) & (z < -24.0)
    high = z > 14.0
    semi = high & (_disc(x, y, (-27.0, -41.0), (15.0, 12.0)) < 1.0)
    biceps = high & (_disc(x, y, (30.0, -40.0), (10.0, 12.0)) < 1.0)
    rise = np.clip((z - 34.0) / 40.0, 0.0, 1.0)
    vastus_m = (z > 34.0) & (_disc(x, y, (-31.0, 12.0), (8.0 + 10.0 * rise, 14.0 + 14.0 * rise)) < 1.0)
    vastus_l = (z > 42.0) & (_disc(x, y, (32.0, 14.0), (6.0 + 11.0 * rise, 12.0 + 15.0 * rise)) < 1.0)
    return (calf > 0.5) | soleus | shin | semi | biceps | vastus_m | vastus_l


def paint_background(slab: Slab, _knee: SickKnee) -> None:
    """Fills what is still empty inside the leg."""
    part = slab.empty_in(Box((-300.0,) * 3, (300.0,) * 3))
    x, y, z = part.x, part.y, part.z
    ratio = _leg_ratio(x, y, z)
    to_skin = (1.0 - ratio) * 58.0
    code = np.where(to_skin > 0.0, Tissue.FAT, 0).astype(np.uint8)
    deep = to_skin > 6.0
    code[deep & _muscle(x, y, z)] = Tissue.MUSCLE
    artery = _disc(x, y, (1.0, -34.0 - 0.04 * 0.0), (3.4, 3.4)) < 1.0
    vein = _disc(x, y, (5.5, -40.0), (4.2, 3.6)) < 1.0
    code[deep & (artery | vein)] = Tissue.VESSEL
    band = (np.abs(to_skin - 12.0) < 1.0) & (y > -20.0) & (y < 48.0) & (np.abs(z - 8.0) < 40.0)
    code[band & (code == Tissue.FAT)] = Tissue.RETINACULUM
    code[(to_skin > 0.0) & (to_skin < _SKIN_MM)] = Tissue.SKIN
    part.write(code)
