"""The subregions of the phantom's tibia: parted by the healthy menisci (RULES 13)."""

from dataclasses import replace

import numpy as np

from knee.anatomy import Subregion
from tools.phantom.meniscus_course import horn_borders
from tools.phantom.plate import SUBREGIONS, Plate
from tools.phantom.shape import KneeShape
from tools.phantom.tibia import SPINE_Y

_SPINES_HALF_DEPTH = 13.0
"""The subspinous region reaches so far in front of and behind the medial spine's height."""


def with_subregions(shape: KneeShape, tibia: Plate) -> Plate:
    """Returns the plate with its subregions.

    Frontal planes at the horns' free edges part anterior, central and posterior of each plate; the
    bone between the plates is subspinous.
    """
    x, y = tibia.points[..., 0], tibia.points[..., 1]
    number = np.full(x.shape, -1, np.int8)
    inner: list[float] = []
    for side, here in (("medial", x < 0), ("lateral", x > 0)):
        plate = here & (tibia.cartilage > 0.0)
        back, front = horn_borders(shape, tibia, side)
        inner.append(float(np.abs(x[plate]).min()))
        for name, part in (
            ("posterior", y < back),
            ("central", (y >= back) & (y < front)),
            ("anterior", y >= front),
        ):
            number[plate & part] = SUBREGIONS.index(Subregion(f"tibia_{side}_{name}"))
    between = (x > -inner[0]) & (x < inner[1]) & (np.abs(y - SPINE_Y) < _SPINES_HALF_DEPTH)
    number[between] = SUBREGIONS.index(Subregion.TIBIA_SUBSPINOUS)
    return replace(tibia, subregion=number)
