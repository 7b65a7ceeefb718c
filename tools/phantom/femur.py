"""The femur: condyles and trochlea as a radius over (x, angle), and a shaft.

The distal femur is star-shaped around a transverse axis, so its surface is a radius r(x, angle):
angle 0 points to the front, 90° down to the tibia, 180° to the back. Cartilage lies on r outwards,
bone wedges inwards.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from knee.anatomy import Bone, Subregion
from tools.phantom.plate import BML_DEPTH_MM, SUBREGIONS, Plate, smoothstep
from tools.phantom.shape import FloatArray, KneeShape

AXIS_Y, AXIS_Z = 4.0, 27.0
"""Where the transverse axis of the condyles runs, knee-frame mm."""

_ANGLES_DEG = np.array(
    [-90.0, -60.0, -30.0, 0.0, 30.0, 45.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0]
)
_MEDIAL_RADII = np.array(
    [25.0, 33.0, 35.5, 35.5, 31.3, 26.2, 23.0, 21.8, 22.4, 24.2, 25.6, 24.8, 24.0]
)
_LATERAL_RADII = np.array(
    [25.0, 34.0, 37.0, 37.0, 32.0, 26.4, 23.0, 21.8, 22.2, 23.6, 24.6, 23.6, 23.0]
)


def _radius_along(angles: FloatArray, radii: np.ndarray, gain: float) -> FloatArray:
    closed = np.append(radii, radii[0])
    spline = CubicSpline(np.append(_ANGLES_DEG, 270.0), closed, bc_type="periodic")
    back = np.exp(-(((np.rad2deg(angles) - 180.0) / 50.0) ** 2))
    return (spline(np.rad2deg(angles)) + gain * back).astype(np.float32)


def _half_width(shape: KneeShape, degrees: FloatArray, lateral: bool) -> FloatArray:
    """Half-width of the articular surface in a direction: narrower in front than below."""
    front = 29.5 if lateral else 27.5
    return front + (shape.femur_half_width - front) * smoothstep(degrees, 5.0, 62.0)


def _cut_corners(
    shape: KneeShape, radius: FloatArray, x: FloatArray, angles: FloatArray
) -> FloatArray:
    """Bevels the bone in front (trochlear sides) and above (towards the shaft)."""
    across = np.abs(x)[:, None]
    front = np.where(x[:, None] > 0.0, 28.5, 26.5)
    share = np.clip((across - front) / (shape.femur_half_width - front), 0.0, 1.0)
    limits = (
        (np.cos(angles)[None], 40.0 - 26.0 * share - AXIS_Y, share > 0.0),
        (-np.sin(angles)[None], 34.0 - 0.9 * (across - 12.0), across > 12.0),
    )
    for toward, reach, bevelled in limits:
        limit = np.where(bevelled & (toward > 0.05), reach / np.maximum(toward, 0.05), 1e3)
        # A smooth minimum rounds the edge.
        cut = (np.maximum(radius, 0.1) ** -9.0 + limit**-9.0) ** (-1.0 / 9.0)
        radius = cut.astype(np.float32)
    return radius


def _surface(shape: KneeShape, x: FloatArray, angles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bone radius and distance inwards from the cartilage's outer and inner margins."""
    degrees = np.rad2deg(angles).astype(np.float32)
    lateral_share = smoothstep(x, -7.0, 7.0)[:, None]
    crest = (
        _radius_along(angles, _MEDIAL_RADII, shape.medial_gain)[None] * (1.0 - lateral_share)
        + _radius_along(angles, _LATERAL_RADII, shape.lateral_gain)[None] * lateral_share
    )
    width = np.where(
        x[:, None] < 0,
        _half_width(shape, degrees, lateral=False)[None],
        _half_width(shape, degrees, lateral=True)[None],
    )
    centre = shape.condyle_x
    across = np.abs(x)[:, None]
    outward = np.clip((across - centre) / (shape.femur_half_width - centre), 0.0, 1.0)
    radius = crest * np.sqrt(np.maximum(1.0 - outward**3.5, 0.0))

    notch = (smoothstep(degrees, 58.0, 84.0) * (1.0 - smoothstep(degrees, 232.0, 255.0)))[None]
    groove = (1.0 - smoothstep(degrees, 42.0, 82.0))[None] * smoothstep(degrees, -88.0, -58.0)[None]
    middle = np.cos(0.5 * np.pi * np.clip((x - 1.0) / 19.0, -1.0, 1.0))[:, None] ** 2
    radius = radius - groove * middle * shape.groove_depth
    inward = np.maximum(centre - across, 0.0)
    radius = radius - notch * np.minimum(inward**2 / 44.0, 4.0)
    half = shape.notch_half_width
    wall = 1.0 - smoothstep(across, half - 2.0, half + 1.3)
    roof = shape.notch_roof_radius + 3.5 * np.minimum(across / half, 1.0) ** 2
    radius = radius + notch * wall * (np.minimum(radius, roof) - radius)
    radius = _cut_corners(shape, radius.astype(np.float32), x, angles)

    outer_margin = (width - 4.2) - across
    inner_margin = (across - half - 2.2) * notch + 14.0 * (1.0 - notch)
    return radius.astype(np.float32), np.minimum(outer_margin, inner_margin).astype(np.float32)


def _cartilage(
    shape: KneeShape, x: FloatArray, angles: FloatArray, radius: FloatArray, margin: FloatArray
) -> FloatArray:
    """Healthy thickness: thickest in the trochlea and where the tibia bears, thin at the margin."""
    lateral = smoothstep(x, -10.0, 10.0)
    top = np.deg2rad(-14.0 - 14.0 * lateral)[:, None]
    along = np.minimum(angles[None] - top, np.deg2rad(212.0) - angles[None]) * radius
    edge = np.minimum(margin, along)
    degrees = np.rad2deg(angles)[None]
    bulge = 0.20 * np.exp(-(((degrees - 15.0) / 32.0) ** 2)) + 0.10 * np.exp(
        -(((degrees - 100.0) / 30.0) ** 2)
    )
    thickness = shape.femoral_cartilage * (0.86 + bulge) * np.clip(edge / 1.6, 0.0, 1.0) ** 0.4
    return np.where(edge > 0.0, thickness, 0.0).astype(np.float32)


class FemoralBorders(NamedTuple):
    """Where one side of the femur is divided, knee-frame mm."""

    trochlea_y: float
    """Frontal plane between trochlea, in front of it, and the central part."""
    posterior_y: float
    """Frontal plane whose crossing with the condyle's crest is where the posterior part begins."""


MENISCAL_BORDERS = {
    "medial": FemoralBorders(18.5, -16.5),
    "lateral": FemoralBorders(17.0, -16.5),
}
"""At the front and back margins of the menisci in place (RULES 13)."""


def part_femur(
    shape: KneeShape, points: FloatArray, cartilage: FloatArray, borders: dict[str, FemoralBorders]
) -> NDArray[np.int8]:
    """Returns the femur's subregion numbers over its table, -1 where there is no cartilage.

    The trochlea ends at a frontal plane. The posterior part begins at the angle at which a frontal
    plane crosses the condyle's crest: an angle, because farther out the plane would run along the
    surface. The medial border of the lateral condyle parts the sides: the groove is medial.

    Args:
        shape: proportions of the knee.
        points: surface points over the table, knee frame.
        cartilage: healthy thickness over the table.
        borders: of either side.
    """
    lateral = points[..., 0] > shape.notch_half_width - 1.0
    y = points[..., 1]
    angle, _ = polar(y, points[..., 2])
    part = np.full(y.shape, -1, np.int8)
    for side, here, sign in (("medial", ~lateral, -1.0), ("lateral", lateral, 1.0)):
        row = int(np.abs(points[:, 0, 0] - sign * shape.condyle_x).argmin())
        below = angle[row] > 0.5 * np.pi
        crossed = angle[row][below & (y[row] <= borders[side].posterior_y)]
        back = here & (angle >= float(crossed.min()))
        front = here & (y >= borders[side].trochlea_y) & ~back
        centre = here & ~front & ~back
        for name, mask in (("trochlea", front), ("central", centre), ("posterior", back)):
            part[mask] = SUBREGIONS.index(Subregion(f"femur_{side}_{name}"))
    return np.where(cartilage > 0.0, part, -1).astype(np.int8)


def build_femur(shape: KneeShape, scale: float) -> Plate:
    """Returns the femur's plate: tables over x (0.5 mm) and angle (1°, a full turn from -90°).

    Args:
        shape: proportions of the knee.
        scale: knee-frame to real mm, for the wedge's depth.
    """
    x = np.arange(-42.0, 42.01, 0.5, dtype=np.float32)
    angles = np.deg2rad(np.arange(-90.0, 270.01, 1.0)).astype(np.float32)
    radius, margin = _surface(shape, x, angles)
    cartilage = _cartilage(shape, x, angles, radius, margin)
    points = np.stack(
        np.broadcast_arrays(
            x[:, None],
            AXIS_Y + radius * np.cos(angles)[None],
            AXIS_Z - radius * np.sin(angles)[None],
        ),
        axis=-1,
    ).astype(np.float32)
    depth = np.minimum(BML_DEPTH_MM / scale, np.maximum(radius - 1.0, 0.0))
    return Plate(
        bone=Bone.FEMUR,
        u=x,
        v=angles,
        surface=radius,
        points=points,
        cartilage=cartilage,
        subregion=part_femur(shape, points, cartilage, MENISCAL_BORDERS),
        max_depth=depth.astype(np.float32),
    )


def polar(y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns angle (-90° to 270°, in rad) and radius around the femur's axis."""
    angle = np.arctan2(AXIS_Z - z, y - AXIS_Y)
    angle = np.where(angle < -0.5 * np.pi, angle + 2.0 * np.pi, angle).astype(np.float32)
    return angle, np.hypot(y - AXIS_Y, z - AXIS_Z)


def shaft_depth(x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """Returns how deep points lie inside the shaft, in mm (rough, negative outside)."""
    up = smoothstep(z, AXIS_Z + 2.0, 72.0)
    half_x = 36.0 - 19.5 * smoothstep(z, AXIS_Z - 4.0, 66.0)
    half_y = 21.0 - 6.5 * up
    centre = 8.0 - 2.0 * up
    ratio = (np.abs(x / half_x) ** 2.4 + np.abs((y - centre) / half_y) ** 2.4) ** (1.0 / 2.4)
    return np.where(z > AXIS_Z, (1.0 - ratio) * half_y, -10.0).astype(np.float32)
