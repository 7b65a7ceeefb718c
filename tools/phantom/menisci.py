"""The menisci: C-shaped wedges that fill the room between femur and tibia.

A meniscus is a height field over the tibia's (x, y) table: its underside lies on the tibial
cartilage, its top under the femur, and its width runs from an inner to an outer edge around the
compartment's centre. Extrusion moves the outer edge of a site beyond the tibial margin and the
inner edge with it.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import ExtrusionSite, MeniscusPart
from tools.phantom.plate import Plate, smoothstep
from tools.phantom.shape import FloatArray, KneeShape
from tools.phantom.tibia import COMPARTMENT_X, SPINE_Y, outline_radius

_SITE_HALF_ANGLE = (20.0, 44.0)
"""Degrees around a site over which its extrusion holds fully, and where it has faded out."""

_HORN_ANGLES = {"medial": (52.0, 138.0), "lateral": (48.0, 150.0)}
"""Degrees from the outward direction at which the horns begin and end."""


@dataclass(frozen=True)
class MeniscusState:
    """What pathology does to the menisci."""

    extrusion: dict[ExtrusionSite, float] = field(default_factory=dict[ExtrusionSite, float])
    """Knee-frame mm from the tibial margin to the outer edge; sites not named lie at -0.5."""
    kept: dict[MeniscusPart, float] = field(default_factory=dict[MeniscusPart, float])
    """Share of a part's width that is left: 1 (default) whole, 0 absent."""


@dataclass(frozen=True, eq=False)
class Menisci:
    """Both menisci as tables over the tibia's (x, y) table, knee-frame mm."""

    bottom: FloatArray
    top: FloatArray
    """Equal to or below `bottom` where there is no meniscus."""
    lateral: NDArray[np.bool_]


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


def _kept_share(
    side: str, state: MeniscusState, degrees: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Width left by maceration, and the taper at the ends of the horns; 0 beyond them."""
    start, end = _HORN_ANGLES[side]
    kept = np.ones(degrees.shape)
    for name, low, high in (
        ("anterior", start, end),
        ("body", -start, start),
        ("posterior", -end, -start),
    ):
        here = (degrees >= low) & (degrees <= high)
        kept[here] = state.kept.get(MeniscusPart(f"{side}_meniscus_{name}"), 1.0)
    reach = np.clip((end - np.abs(degrees)) / 14.0, 0.0, 1.0)
    return kept * np.sqrt(reach)


def build_menisci(
    shape: KneeShape, tibia: Plate, femoral_floor: FloatArray, state: MeniscusState
) -> Menisci:
    """Returns both menisci between a fitted tibia and the femoral cartilage.

    Args:
        shape: proportions of the knee.
        tibia: fitted plate; the tables of the result lie over its (x, y) table.
        femoral_floor: lowest height of the healthy femoral cartilage over the same table.
        state: extrusion and maceration.
    """
    x, y = tibia.points[..., 0], tibia.points[..., 1] - SPINE_Y
    rest = tibia.surface + tibia.cartilage
    bottom, top = np.zeros_like(rest), np.full_like(rest, -1.0)
    for side, sign in (("medial", -1.0), ("lateral", 1.0)):
        here = np.flatnonzero((sign * x > 2.0).ravel())
        across = sign * x.ravel()[here] - COMPARTMENT_X
        ahead = y.ravel()[here]
        degrees = np.rad2deg(np.arctan2(ahead, across))
        outer, width = edges(shape, side, state, degrees)
        kept = _kept_share(side, state, degrees)
        inner = np.maximum(outer - width * kept, 3.5)
        share = (np.hypot(across, ahead) - inner) / np.maximum(outer - inner, 0.1)
        present = (share > 0.0) & (share < 1.0) & (kept > 0.05)
        wedge = 6.6 * (0.12 + 0.88 * np.clip(share, 0.0, 1.0) ** 0.9)
        rounded = np.sqrt(np.clip(1.0 - ((share - 0.9) / 0.1).clip(0.0, 1.0) ** 2, 0.0, 1.0))
        # Beyond the cartilage the underside sags a little, it does not drop to the bone.
        plate = here[tibia.cartilage.ravel()[here] > 0.0]
        sag = float(rest.ravel()[plate].mean()) - 1.6
        floor = np.maximum(rest.ravel()[here], sag) + 0.1
        room = np.maximum(femoral_floor.ravel()[here] - 0.15 - floor, 0.0)
        height = np.minimum(wedge, room) * rounded
        thick = present & (height > 0.35)
        cells = here[thick]
        raised = 0.5 * (np.minimum(wedge, room) - height)
        bottom.ravel()[cells] = (floor + raised)[thick]
        top.ravel()[cells] = (floor + raised + height)[thick]
    empty = top < bottom
    # Neighbouring cells share heights, so that interpolation does not bend a wedge's edge.
    bottom[empty] = rest[empty]
    top[empty] = rest[empty] - 1.0
    return Menisci(bottom.astype(np.float32), top.astype(np.float32), x > 0.0)


def extrusion_mm(shape: KneeShape, state: MeniscusState, site: ExtrusionSite) -> float | None:
    """Returns how far a meniscus reaches beyond the tibial margin at a site, in knee-frame mm.

    Measured on the drawn edges in the site's direction: straight outwards in the frontal plane of
    the medial spine, or straight forward in the sagittal plane through the compartment's centre.
    None where maceration left no meniscus there.
    """
    side = site.value.split("_")[0]
    anterior = site is sites_of(side)[0]
    direction = np.array([90.0 if anterior else 0.0])
    if float(_kept_share(side, state, direction)[0]) <= 0.05:
        return None
    outer, _ = edges(shape, side, state, direction)
    return float(outer[0] - margin_distance(shape, side, direction)[0])
