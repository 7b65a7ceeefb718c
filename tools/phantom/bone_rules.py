"""The phantom parted by the rules that need no meniscus: 60 % rule and equal thirds (RULES 13)."""

from dataclasses import replace

import numpy as np

from tools.phantom.femur import FemoralBorders, part_femur
from tools.phantom.model import KneeModel
from tools.phantom.tibial_parts import equal_thirds, with_subregions

_CENTRAL_SHARE = 0.6
"""Central ends at 60 % of the way from the front of the notch to the back of the condyle."""


def without_menisci(model: KneeModel) -> KneeModel:
    """Returns the knee with the subregions that a map without menisci can have.

    Trochlea ends where, in the midline, cartilage ends at the notch; the tibia has equal thirds.
    """
    femur, shape = model.femur, model.shape
    row = int(np.abs(femur.u).argmin())
    covered = np.flatnonzero(femur.cartilage[row] > 0.0)
    notch = float(femur.points[row, covered[-1], 1])
    borders: dict[str, FemoralBorders] = {}
    for side, sign in (("medial", -1.0), ("lateral", 1.0)):
        mine = femur.u * sign > shape.notch_half_width
        back = float(femur.points[mine][..., 1].min())
        borders[side] = FemoralBorders(notch, notch - _CENTRAL_SHARE * (notch - back))
    subregion = part_femur(shape, femur.points, femur.cartilage, borders)
    thirds = equal_thirds(model.tibia)
    return replace(
        model,
        femur=replace(femur, subregion=subregion),
        tibia=with_subregions(model.tibia, thirds),
        plate_borders=thirds,
    )
