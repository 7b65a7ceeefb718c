"""The tibia: a plateau as a height over (x, y), cut out by an outline that narrows to the shaft.

The outline is a radius around the long axis. It is the same for the upper `RIM_DEPTH` mm, so the
tibial margin that meniscal extrusion and osteophytes are measured from is a vertical wall.
"""

from dataclasses import replace

import numpy as np

from knee.anatomy import Bone
from tools.phantom.plate import BML_DEPTH_MM, Plate, smoothstep
from tools.phantom.shape import FloatArray, KneeShape

COMPARTMENT_X = 21.0
"""Distance of either compartment's centre from the midline, knee-frame mm."""

SPINE_Y = -0.5
"""Height of the medial tibial spine front to back, and of the compartments' centres."""

RIM_DEPTH = 6.0

_FADE_DEPTH = 56.0
_SHAFT_RADIUS = 14.5


def outline_radius(shape: KneeShape, azimuth: FloatArray) -> FloatArray:
    """Returns the plateau's osteophyte-free outline around (0, SPINE_Y); azimuth 0 is lateral."""
    power = 2.6
    ratio = (np.abs(np.cos(azimuth)) / shape.tibia_half_width) ** power + (
        np.abs(np.sin(azimuth)) / shape.tibia_half_depth
    ) ** power
    notch = 4.0 * np.exp(-((_turn(azimuth, -90.0) / np.deg2rad(13.0)) ** 2))
    return (ratio ** (-1.0 / power) - notch).astype(np.float32)


def _turn(azimuth: FloatArray, degrees: float) -> FloatArray:
    """Signed angle from a direction, wrapped to half a turn."""
    away = azimuth - np.deg2rad(degrees)
    return (np.mod(away + np.pi, 2.0 * np.pi) - np.pi).astype(np.float32)


def outline_depth(shape: KneeShape, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """Returns how far points lie inside the tibia's outline at their height (mm, radial)."""
    azimuth = np.arctan2(y - SPINE_Y, x)
    rim = outline_radius(shape, azimuth)
    fade = smoothstep(-z, RIM_DEPTH, _FADE_DEPTH) ** 0.8
    front = np.exp(-((_turn(azimuth, 90.0) / np.deg2rad(30.0)) ** 2))
    tuberosity = 9.0 * front * np.exp(-(((z + 36.0) / 13.0) ** 2))
    radius = rim * (1.0 - fade) + _SHAFT_RADIUS * fade + tuberosity
    return (radius - np.hypot(x, y - SPINE_Y)).astype(np.float32)


def _height(shape: KneeShape, x: FloatArray, y: FloatArray) -> FloatArray:
    """Bone height of the plateau before it is fitted to the femur."""
    medial = ((x + COMPARTMENT_X) / 14.0) ** 2 + ((y - SPINE_Y) / 20.0) ** 2
    lateral = ((x - COMPARTMENT_X) / 14.0) ** 2 * 0.5 - ((y - SPINE_Y) / 17.0) ** 2 * 0.9
    side = smoothstep(x, -5.0, 5.0)
    height = (1.0 - side) * 1.5 * np.minimum(medial, 1.6) + side * np.clip(lateral, -1.4, 1.0)
    for centre, lift in ((-6.0, 1.0), (6.5, 0.8)):
        bump = ((x - centre) / 3.0) ** 2 + ((y - SPINE_Y) / 6.5) ** 2
        height = height + lift * shape.spine_height * np.exp(-bump)
    # In front of and behind the spines the intercondylar area is a shallow valley.
    valley = np.exp(-((x / 6.0) ** 2)) * smoothstep(np.abs(y - SPINE_Y), 9.0, 15.0)
    return (height - 3.0 * valley).astype(np.float32)


def _cartilage(shape: KneeShape, x: FloatArray, y: FloatArray) -> FloatArray:
    """Healthy thickness of both plates, thickest in their middle."""
    thickness = np.zeros(x.shape, np.float32)
    # Half-widths, half-depths: the lateral plate is the rounder and thicker one.
    for sign, half_x, half_y, gain in ((-1, 13.2, 18.2, 1.0), (1, 13.6, 16.2, 1.12)):
        ratio = (
            np.abs((x - sign * COMPARTMENT_X) / half_x) ** 2.3
            + np.abs((y - SPINE_Y) / half_y) ** 2.3
        ) ** (1.0 / 2.3)
        edge = np.clip((1.0 - ratio) * half_x / 1.6, 0.0, 1.0)
        plate = shape.tibial_cartilage * gain * (1.08 - 0.32 * ratio**2) * edge**0.4
        thickness = np.where(ratio < 1.0, plate, thickness)
    return thickness.astype(np.float32)


def build_tibia(shape: KneeShape, scale: float) -> Plate:
    """Returns the tibia's plate: tables over x and y (0.5 mm), before the fit to the femur.

    Its subregions are not drawn yet: the menisci part them (`tibial_parts`).
    """
    # Far enough beyond the bone for the most extruded meniscus.
    u = np.arange(-50.0, 50.01, 0.5, dtype=np.float32)
    v = np.arange(-32.0, 32.01, 0.5, dtype=np.float32)
    x, y = (a.astype(np.float32) for a in np.meshgrid(u, v, indexing="ij"))
    cartilage = _cartilage(shape, x, y)
    height = _height(shape, x, y)
    return Plate(
        bone=Bone.TIBIA,
        u=u,
        v=v,
        surface=height,
        points=np.stack([x, y, height], axis=-1),
        cartilage=cartilage,
        subregion=np.full(x.shape, -1, np.int8),
        max_depth=np.full(x.shape, BML_DEPTH_MM / scale, np.float32),
    )


def fit_tibia(shape: KneeShape, plate: Plate, femoral_floor: FloatArray) -> Plate:
    """Returns the plate with each plateau lifted until its cartilage just meets the femur's.

    Args:
        shape: proportions of the knee.
        plate: the tibia before the fit.
        femoral_floor: lowest height of the femoral cartilage over the plate's (x, y) table.
    """
    room = femoral_floor - plate.surface - plate.cartilage
    x = plate.points[..., 0]
    lifts = [float(room[(plate.cartilage > 0.0) & here].min()) - 0.15 for here in (x < 0, x > 0)]
    side = smoothstep(x, -5.0, 5.0)
    height = plate.surface + (1.0 - side) * lifts[0] + side * lifts[1]
    # The spines must stay clear of the notch's roof.
    height = np.where(plate.cartilage > 0.0, height, np.minimum(height, femoral_floor - 1.5))
    inside = outline_depth(shape, x, plate.points[..., 1], np.zeros_like(x))
    height = (height - 0.8 * (1.0 - smoothstep(inside, 0.0, 1.2))).astype(np.float32)
    # A wedge ends where the bone does: the outline shrinks below the rim.
    reach = plate.max_depth.copy()
    for depth in np.arange(RIM_DEPTH, float(reach.max()) + 0.5, 0.5):
        gone = outline_depth(shape, x, plate.points[..., 1], np.full_like(x, -depth)) < 0.0
        reach = np.where(gone, np.minimum(reach, depth + height), reach)
    points = np.stack([x, plate.points[..., 1], height], axis=-1)
    return replace(
        plate, surface=height, points=points, max_depth=np.maximum(reach, 0.0).astype(np.float32)
    )
