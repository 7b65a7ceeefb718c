"""The menisci: C-shaped wedges that fill the room between femur and tibia.

A meniscus is a height field over the tibia's (x, y) table: its underside lies on the tibial
cartilage, its top under the femur, and its width runs from an inner to an outer edge around the
compartment's centre. Extrusion moves the outer edge of a site beyond the tibial margin and the
inner edge with it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import ExtrusionSite, MeniscusPart
from tools.phantom.meniscus_course import (
    MeniscusState,
    edges,
    margin_distance,
    sites_of,
    taper,
)
from tools.phantom.plate import Plate
from tools.phantom.shape import FloatArray, KneeShape
from tools.phantom.tibia import COMPARTMENT_X, SPINE_Y
from tools.phantom.tibial_parts import PlateBorders, meniscus_part_names


@dataclass(frozen=True, eq=False)
class Menisci:
    """Both menisci as tables over the tibia's (x, y) table, knee-frame mm."""

    bottom: FloatArray
    top: FloatArray
    """Equal to or below `bottom` where there is no meniscus."""
    lateral: NDArray[np.bool_]


def _kept_share(
    side: str,
    state: MeniscusState,
    names: NDArray[np.str_],
    degrees: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Width left by maceration, and the taper at the ends of the horns; 0 beyond them."""
    kept = np.ones(degrees.shape)
    for name in ("anterior", "body", "posterior"):
        kept[names == name] = state.kept.get(MeniscusPart(f"{side}_meniscus_{name}"), 1.0)
    return kept * taper(side, degrees)


def build_menisci(
    shape: KneeShape,
    tibia: Plate,
    femoral_floor: FloatArray,
    borders: PlateBorders,
    state: MeniscusState,
) -> Menisci:
    """Returns both menisci between a fitted tibia and the femoral cartilage.

    Args:
        shape: proportions of the knee.
        tibia: fitted plate; the tables of the result lie over its (x, y) table.
        femoral_floor: lowest height of the healthy femoral cartilage over the same table.
        borders: where the menisci are parted into horns and body.
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
        names = meniscus_part_names(borders[side], across, ahead + SPINE_Y)
        kept = _kept_share(side, state, names, degrees)
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
    name = np.asarray(["anterior" if anterior else "body"])
    if float(_kept_share(side, state, name, direction)[0]) <= 0.05:
        return None
    outer, _ = edges(shape, side, state, direction)
    return float(outer[0] - margin_distance(shape, side, direction)[0])
