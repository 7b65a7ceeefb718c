"""The patella: a rounded disc whose back carries two facets and a ridge, as y over (x, z)."""

from dataclasses import dataclass, replace

import numpy as np

from knee.anatomy import Bone, Subregion
from tools.phantom.femur import polar
from tools.phantom.plate import BML_DEPTH_MM, SUBREGIONS, Plate, sample, smoothstep
from tools.phantom.shape import FloatArray, KneeShape

RIDGE_HALF_WIDTH = 2.0
"""Knee-frame mm lateral of the ridge's top that still belong to the medial side (RULES 13)."""


@dataclass(frozen=True, eq=False)
class Patella:
    """Plate and front surface; both move together when the patella is fitted to the trochlea."""

    plate: Plate
    front: FloatArray
    """y of the front over the plate's (x, z) table; not above the back where there is no bone."""
    ridge_x: float
    centre_z: float


def _disc(shape: KneeShape, x: FloatArray, z: FloatArray) -> FloatArray:
    """0 in the middle, 1 at the outline: rounded above, drawn out to a pole below."""
    down = np.maximum(shape.patella_z - z, 0.0) / shape.patella_half_height
    half = shape.patella_half_width * (1.0 - 0.42 * down**2)
    across = np.abs((x - shape.patella_x) / np.maximum(half, 1.0))
    up = np.abs((z - shape.patella_z) / shape.patella_half_height)
    return ((across**2.4 + up**2.4) ** (1.0 / 2.4)).astype(np.float32)


def build_patella(shape: KneeShape, scale: float) -> Patella:
    """Returns the patella with its ridge at y = 0, before the fit to the femur."""
    u = np.arange(-28.0, 32.01, 0.5, dtype=np.float32)
    v = np.arange(8.0, 66.01, 0.5, dtype=np.float32)
    x, z = (a.astype(np.float32) for a in np.meshgrid(u, v, indexing="ij"))
    ratio = _disc(shape, x, z)
    ridge = shape.patella_x - 2.0
    away = np.sqrt((x - ridge) ** 2 + 4.0) - 2.0
    facet = np.where(x < ridge, 0.36, 0.27) * away
    roundness = np.sqrt(np.maximum(1.0 - ratio**5, 0.0))
    back_flat = facet + 0.006 * (z - shape.patella_z) ** 2 * smoothstep(z, 30.0, 20.0)
    front_flat = 19.5 - 3.5 * ratio**2
    middle = 0.5 * (back_flat + front_flat)
    back = middle - (middle - back_flat) * roundness
    front = middle + (front_flat - middle) * roundness
    # The lower quarter of the back, the apex, carries no cartilage.
    upper = (z - (shape.patella_z - 0.52 * shape.patella_half_height)) / 1.6
    edge = np.minimum((0.9 - ratio) * shape.patella_half_width / 1.6, upper)
    crown = 1.06 - 0.35 * ratio**2
    cartilage = shape.patellar_cartilage * crown * np.clip(edge, 0.0, 1.0) ** 0.4
    cartilage = np.where(edge > 0.0, cartilage, 0.0).astype(np.float32)
    lateral = x > ridge + RIDGE_HALF_WIDTH
    number = np.where(
        lateral,
        SUBREGIONS.index(Subregion.PATELLA_LATERAL),
        SUBREGIONS.index(Subregion.PATELLA_MEDIAL),
    )
    plate = Plate(
        bone=Bone.PATELLA,
        u=u,
        v=v,
        surface=back.astype(np.float32),
        points=np.stack([x, back, z], axis=-1).astype(np.float32),
        cartilage=cartilage,
        subregion=np.where(cartilage > 0.0, number, -1).astype(np.int8),
        max_depth=np.minimum(BML_DEPTH_MM / scale, front - back).astype(np.float32),
    )
    return Patella(plate, front.astype(np.float32), ridge, shape.patella_z)


def fit_patella(patella: Patella, femur: Plate) -> Patella:
    """Returns the patella moved forward until its cartilage just clears the trochlea's."""
    plate = patella.plate
    x, z = plate.points[..., 0], plate.points[..., 2]
    covered = plate.cartilage > 0.0
    outer = femur.surface + femur.cartilage
    shift = 25.0
    # Walk forward in fine steps; the first position without contact is the fit.
    while shift < 60.0:
        y = (plate.surface - plate.cartilage + shift)[covered]
        angle, radius = polar(y, z[covered])
        row, column = femur.index_of(x[covered], angle)
        if float((radius - sample(outer, row, column)).min()) > 0.5:
            break
        shift += 0.25
    surface = plate.surface + np.float32(shift)
    points = np.stack([x, surface, z], axis=-1)
    moved = replace(plate, surface=surface, points=points)
    return replace(patella, plate=moved, front=patella.front + np.float32(shift))
