"""The course of a meniscus seen from above: outer edge and width around a compartment's centre.

Also the frontal planes between horns and body, which part the tibial subregions as well (RULES 13:
central is the part uncovered between the horns and, peripherally, under the meniscal body).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import ExtrusionSite, MeniscusPart
from tools.phantom.plate import Plate, smoothstep
from tools.phantom.shape import KneeShape
from tools.phantom.tibia import COMPARTMENT_X, SPINE_Y, outline_radius

_SITE_HALF_ANGLE = (20.0, 44.0)
"""Degrees around a site over which its extrusion holds fully, and where it has faded out."""

_HORN_ENDS = {"medial": 138.0, "lateral": 150.0}
"""Degrees from the outward direction at which the horns end."""


OVERHANG = 3.0
"""Knee-frame mm beyond the plate's ends up to which a horn parts the plate where it lies."""


@dataclass(frozen=True)
class MeniscusState:
    """What pathology does to the menisci."""

    extrusion: dict[ExtrusionSite, float] = field(default_factory=dict[ExtrusionSite, float])
    """Knee-frame mm from the tibial margin to the outer edge; sites not named lie at -0.5."""
    kept: dict[MeniscusPart, float] = field(default_factory=dict[MeniscusPart, float])
    """Share of a part's width that is left: 1 (default) whole, 0 absent."""


def sites_of(side: str) -> tuple[ExtrusionSite, ExtrusionSite]:
    """Returns the anterior and the outward extrusion site of a meniscus."""
    return (
        ExtrusionSite(f"{side}_meniscus_anterior"),
        ExtrusionSite(f"{side}_meniscus_{side}"),
    )


def margin_distance(
    shape: KneeShape, side: str, degrees: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Returns how far the tibial margin lies from a compartment's centre, in knee-frame mm.

    Args:
        shape: proportions of the knee.
        side: `medial` or `lateral`.
        degrees: directions; 0 points outwards (away from the midline), 90 to the front.
    """
    sign = -1.0 if side == "medial" else 1.0
    angle = np.deg2rad(degrees)
    reach = np.zeros(np.shape(degrees))
    low, high = reach + 2.0, reach + 70.0
    for _ in range(24):
        reach = 0.5 * (low + high)
        x = sign * (COMPARTMENT_X + reach * np.cos(angle))
        y = reach * np.sin(angle)
        inside = np.hypot(x, y) < outline_radius(shape, np.arctan2(y, x).astype(np.float32))
        low, high = np.where(inside, reach, low), np.where(inside, high, reach)
    return reach


def edges(
    shape: KneeShape, side: str, state: MeniscusState, degrees: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns outer edge and width around a compartment's centre, in knee-frame mm."""
    margin = margin_distance(shape, side, degrees)
    half_x = shape.tibia_half_width - COMPARTMENT_X - 0.5
    half_y = 19.0 if side == "medial" else 17.0
    angle = np.deg2rad(degrees)
    oval = 1.0 / np.hypot(np.cos(angle) / half_x, np.sin(angle) / half_y)
    outer = np.minimum(oval, margin - 0.5)
    for site, direction in zip(sites_of(side), (90.0, 0.0), strict=True):
        away = np.abs(np.mod(degrees - direction + 180.0, 360.0) - 180.0).astype(np.float32)
        weight = 1.0 - smoothstep(away, *_SITE_HALF_ANGLE)
        beyond = state.extrusion.get(site, -0.5)
        outer = outer + weight * (margin + beyond - outer)
    back = np.exp(-(((degrees + 95.0) / 40.0) ** 2))
    width = 9.2 + 3.6 * back if side == "medial" else 10.6 + 0.8 * back
    return outer, width


def taper(side: str, degrees: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the share of its width that a meniscus has: 1, less towards its ends, 0 beyond."""
    reach = np.clip((horn_end_degrees(side) - np.abs(degrees)) / 14.0, 0.0, 1.0)
    return np.sqrt(reach)


def horn_end_degrees(side: str) -> float:
    """Returns the direction in which the posterior horn ends, as an angle behind outwards."""
    return _HORN_ENDS[side]


def horn_borders(shape: KneeShape, tibia: Plate, side: str) -> tuple[float, float]:
    """Returns knee-frame y of the frontal planes behind and in front of a meniscal body.

    They run through the free edges of the healthy horns over the compartment's centre. A horn's
    outer edge counts no further out than `OVERHANG` beyond the plate, and not beyond the bone.
    """
    sign = -1.0 if side == "medial" else 1.0
    row = int(np.abs(tibia.u - sign * COMPARTMENT_X).argmin())
    covered = tibia.v[tibia.cartilage[row] > 0.0]
    directions = np.asarray([-90.0, 90.0])
    outer, width = edges(shape, side, MeniscusState(), directions)
    bone = margin_distance(shape, side, directions)
    reach = np.minimum(outer, bone)
    back = max(SPINE_Y - float(reach[0]), float(covered.min()) - OVERHANG)
    front = min(SPINE_Y + float(reach[1]), float(covered.max()) + OVERHANG)
    return back + float(width[0]), front - float(width[1])
