"""Subregions of the phantom's tibia and parts of its menisci: one pair of borders a side."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Subregion
from tools.phantom.meniscus_course import horn_borders
from tools.phantom.plate import SUBREGIONS, Plate
from tools.phantom.shape import FloatArray, KneeShape
from tools.phantom.tibia import COMPARTMENT_X, SPINE_Y

PlateBorders = dict[str, tuple[float, float]]
"""Per side, knee-frame y of the frontal planes behind and in front of the central part."""
_SPINES_HALF_DEPTH = 13.0
"""The subspinous region reaches so far in front of and behind the medial spine's height."""


def meniscal_borders(shape: KneeShape, tibia: Plate) -> PlateBorders:
    """Returns the borders at the free edges of the healthy horns (RULES 13)."""
    return {side: horn_borders(shape, tibia, side) for side in ("medial", "lateral")}


def equal_thirds(tibia: Plate) -> PlateBorders:
    """Returns the borders at the thirds of each plate: the fallback of RULES 13."""
    borders: PlateBorders = {}
    for side, here in (("medial", tibia.u < 0), ("lateral", tibia.u > 0)):
        depths = tibia.v[(tibia.cartilage[here] > 0.0).any(axis=0)]
        low, high = float(depths.min()), float(depths.max())
        borders[side] = (low + (high - low) / 3.0, high - (high - low) / 3.0)
    return borders


def with_subregions(tibia: Plate, borders: PlateBorders) -> Plate:
    """Returns the plate with its subregions.

    Frontal planes part anterior, central and posterior of each plate; the bone between the plates
    is subspinous.
    """
    x, y = tibia.points[..., 0], tibia.points[..., 1]
    number = np.full(x.shape, -1, np.int8)
    inner: list[float] = []
    for side, here in (("medial", x < 0), ("lateral", x > 0)):
        plate = here & (tibia.cartilage > 0.0)
        back, front = borders[side]
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


def meniscus_part_names(
    borders: tuple[float, float], across: FloatArray, y: FloatArray
) -> NDArray[np.str_]:
    """Returns `anterior`, `body` or `posterior` for points of a meniscus.

    The body lies between the planes on the outer side of the compartment's centre; on the inner
    side the horns curve back towards their roots, and what lies there belongs to the nearer horn.

    Args:
        borders: of the meniscus's side.
        across: knee-frame mm outwards from the compartment's centre (`COMPARTMENT_X`).
        y: knee-frame mm.
    """
    back, front = borders
    inner = across < 0.0
    middle = 0.5 * (back + front)
    ahead = (y >= front) | (inner & (y >= middle))
    behind = (y < back) | (inner & (y < middle))
    return np.where(ahead, "anterior", np.where(behind, "posterior", "body"))


def across_of(side: str, x: FloatArray) -> FloatArray:
    """Returns knee-frame mm outwards from a compartment's centre."""
    sign = -1.0 if side == "medial" else 1.0
    return (sign * x - COMPARTMENT_X).astype(np.float32)
