"""Regions by anatomical rule, for what a label map does not hold: ligaments, fat pad, joint space.

All positions are mm in the crop's anatomical frame (medial, anterior, superior). Across and upwards
they are shares of the tibia's width, from front to back shares of the plateau's depth: so they grow
with the knee. The shares lie between those of the SPL atlas (a left knee with ligaments, tendon and
fat pad labelled, its leg turned outwards), the menisci and bones of the pymskt knee, and the
phantom's; `docs/regions.md` has them side by side.
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Bone, Compartment
from tools.crop_frame import FloatArray
from tools.knee_parts import KneeParts
from tools.margins import PATELLA_RADIUS_MM, open_outline
from tools.tibial_landmarks import TibiaMarks

MmBox = tuple[FloatArray, FloatArray]
"""Lower and upper corner in mm."""
Share = tuple[float, float]
"""From and to, in shares of a length."""

_ACL: tuple[Share, Share, Share] = ((-0.16, 0.04), (0.26, 0.83), (-0.06, 0.36))
"""Across from the notch, from front to back from the plateau's back, upwards from its level."""
_PCL: tuple[Share, Share, Share] = ((-0.08, 0.16), (-0.06, 0.68), (-0.17, 0.28))
_TENDON_ACROSS = (-0.215, 0.205)
"""About the patella's middle: the tuberosity lies a little lateral of it."""
_TENDON_BOTTOM, _TENDON_TOP = -0.53, 0.10
"""From the plateau's level to the tuberosity, and from the patella's pole up its front."""
_TENDON_BACK, _TENDON_FRONT = 0.07, -0.09
"""From the plateau's front, and from the patella's front."""
_FAT_PAD_ACROSS = (-0.39, 0.38)
_FAT_PAD_BACK, _FAT_PAD_FRONT = 0.68, -0.16
"""From the plateau's back into the notch, and from the patella's front."""
_FAT_PAD_BOTTOM, _FAT_PAD_TOP = -0.30, 0.18
"""From the plateau's level, and from the patella's pole."""
_CAVITY_ACROSS = (-0.45, 0.43)
_CAVITY_BACK = 0.08
"""From the condyles' centre forwards: the recesses beside the patella reach back so far."""
_PATELLA_APEX = 0.24
"""Share of the patella's height below the joint: its apex carries fat pad, no cartilage."""
_POUCH_MM = 50.0
"""The suprapatellar pouch above the patella: three fingers' breadth (Gray's Anatomy)."""
_PATELLA_HEIGHTS = (0.25, 0.78)
"""Lower and upper pole above the plateau where there is no patella, in tibial widths."""
_MENISCUS_OUT = {Compartment.MEDIAL: 0.0, Compartment.LATERAL: -1.5}
"""mm by which a meniscus in place reaches beyond the bone's edge; on the two knees 1.0 and 2.5, and
-3.2 and -2.5."""
_MENISCUS_BACK_MM, _MENISCUS_FRONT_MM = 0.0, 4.5
"""mm in front of the plate's back and of its front at which a meniscus ends; on the two knees 2
to 4, and -3 to 5."""
_MENISCUS_LOW_MM = 0.5
_MENISCUS_HEIGHTS = {Compartment.MEDIAL: 0.12, Compartment.LATERAL: 0.13}
"""Above the plate's bone; the lateral plateau is convex, its meniscus rides higher."""
_ROOT_DEPTHS = {Compartment.MEDIAL: 0.23, Compartment.LATERAL: 0.30}
"""Shares of the own plateau's depth, from behind. Labels of both real knees end at 0.22 to 0.24;
the lateral root itself attaches some 8 mm further forward than the medial one (Johannsen 2012
[k])."""
_ROOT_OUT_MM = 1.5
"""And outwards of the plate's inner edge; the labels there end at 1 to 4 mm."""


@dataclass(frozen=True)
class KneeScale:
    """The lengths that regions are shares of, mm.

    Attributes:
        width: of the tibia without osteophytes; of the femur where there is no tibia.
        back: of the tibial plateau.
        depth: of the plateau, from back to front.
        level: of the plateau, the higher compartment's.
    """

    width: float
    back: float
    depth: float
    level: float

    @property
    def front(self) -> float:
        """Front of the plateau."""
        return self.back + self.depth


def tibial_scale(marks: TibiaMarks) -> KneeScale:
    """Returns the lengths of a tibia."""
    ends = marks.ends_a.values()
    back = min(end[0] for end in ends)
    return KneeScale(
        width=marks.outer_m[Compartment.MEDIAL] - marks.outer_m[Compartment.LATERAL],
        back=back,
        depth=max(end[1] for end in ends) - back,
        level=max(marks.level_s.values()),
    )


def _box(*ranges: tuple[float, float]) -> MmBox:
    low, high = zip(*ranges, strict=True)
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _from(origin: float, share: Share, length: float) -> tuple[float, float]:
    return origin + share[0] * length, origin + share[1] * length


def bounds_mm(parts: KneeParts, bone: Bone) -> MmBox | None:
    """Returns the corners of a bone in mm, None when it has no voxel."""
    mask = parts.knee.bone(bone)
    if not mask.any():
        return None
    low: list[float] = []
    high: list[float] = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low.append(float(used[0]) * parts.knee.spacing[axis])
        high.append(float(used[-1]) * parts.knee.spacing[axis])
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def patella_bounds(parts: KneeParts) -> MmBox | None:
    """Returns the corners of the patella in mm without its osteophytes, None without a patella.

    A remnant that has no landmarks is taken as it is.
    """
    bounds = bounds_mm(parts, Bone.PATELLA)
    plate = parts.plates.get(Bone.PATELLA)
    if bounds is None or plate is None:
        return bounds
    outline = open_outline(plate.chart.valid, plate.chart.step, PATELLA_RADIUS_MM).opened
    for axis, other in ((0, 1), (2, 0)):
        used = np.flatnonzero(outline.any(axis=other))
        if used.size:
            bounds[0][axis] = used[0] * parts.knee.spacing[axis]
            bounds[1][axis] = used[-1] * parts.knee.spacing[axis]
    return bounds


def _cruciate(parts: KneeParts, shares: tuple[Share, Share, Share]) -> MmBox | None:
    femur, tibia = parts.partition.femur, parts.partition.tibia
    if femur is None or tibia is None:
        return None
    scale = tibial_scale(tibia)
    return _box(
        _from(femur.notch_m, shares[0], scale.width),
        _from(scale.back, shares[1], scale.depth),
        _from(scale.level, shares[2], scale.width),
    )


def acl_box(parts: KneeParts) -> MmBox | None:
    """Returns the ACL's course with footprints: lateral condyle's wall to the front of the spines.

    None without the landmarks of femur and tibia.
    """
    return _cruciate(parts, _ACL)


def pcl_box(parts: KneeParts) -> MmBox | None:
    """Returns the PCL's course: medial wall of the notch to the back of the tibia below it.

    None without the landmarks of femur and tibia.
    """
    return _cruciate(parts, _PCL)


def patellar_tendon_box(parts: KneeParts) -> MmBox | None:
    """Returns inferior pole to tuberosity; None without patella or tibial landmarks."""
    patella, tibia = patella_bounds(parts), parts.partition.tibia
    if patella is None or tibia is None:
        return None
    scale = tibial_scale(tibia)
    middle = float(patella[0][0] + patella[1][0]) / 2
    pole, front = float(patella[0][2]), float(patella[1][1])
    return _box(
        _from(middle, _TENDON_ACROSS, scale.width),
        (scale.front + _TENDON_BACK * scale.depth, front + _TENDON_FRONT * scale.depth),
        (scale.level + _TENDON_BOTTOM * scale.width, pole + _TENDON_TOP * scale.width),
    )


def hoffa_box(parts: KneeParts) -> MmBox | None:
    """Returns the fat pad with its intercondylar part: patella's pole to tibia, notch to tendon.

    None without patella, or the landmarks of femur and tibia.
    """
    patella, femur = patella_bounds(parts), parts.partition.femur
    tibia = parts.partition.tibia
    if patella is None or femur is None or tibia is None:
        return None
    scale = tibial_scale(tibia)
    pole, front = float(patella[0][2]), float(patella[1][1])
    return _box(
        _from(femur.notch_m, _FAT_PAD_ACROSS, scale.width),
        (scale.back + _FAT_PAD_BACK * scale.depth, front + _FAT_PAD_FRONT * scale.depth),
        (scale.level + _FAT_PAD_BOTTOM * scale.width, pole + _FAT_PAD_TOP * scale.width),
    )


def joint_cavity_box(parts: KneeParts) -> MmBox | None:
    """Returns the retropatellar and suprapatellar space; None without the femur's landmarks.

    Nine tenths of the knee's width; from the patella's apex to 50 mm above its base; from the
    recesses beside the trochlea to the middle of the patella, behind whose level the quadriceps
    tendon closes the pouch. Without a patella its usual place stands in.
    """
    femur, tibia = parts.partition.femur, parts.partition.tibia
    bone = bounds_mm(parts, Bone.FEMUR)
    if femur is None or bone is None:
        return None
    edges = femur.edge_m
    width = edges[Compartment.MEDIAL] - edges[Compartment.LATERAL]
    if tibia is not None:
        width = tibial_scale(tibia).width
    patella = patella_bounds(parts)
    if patella is None:
        level = float(bone[0][2]) if tibia is None else tibial_scale(tibia).level
        low, high = _from(level, _PATELLA_HEIGHTS, width)
        front = float(bone[1][1]) + _PATELLA_APEX * width
    else:
        low, high = float(patella[0][2]), float(patella[1][2])
        front = float(patella[0][1] + patella[1][1]) / 2
    return _box(
        _from(femur.notch_m, _CAVITY_ACROSS, width),
        (femur.centre[0] + _CAVITY_BACK * width, front),
        (low + _PATELLA_APEX * (high - low), high + _POUCH_MM),
    )


def meniscus_box(parts: KneeParts, side: Compartment) -> MmBox | None:
    """Returns where a meniscus in place lies on its plateau; None without tibial landmarks."""
    tibia = parts.partition.tibia
    if tibia is None:
        return None
    outward = 1.0 if side is Compartment.MEDIAL else -1.0
    across = sorted((tibia.inner_m[side], tibia.outer_m[side] + outward * _MENISCUS_OUT[side]))
    back, front = tibia.plate_a[side]
    level = tibia.level_s[side]
    return _box(
        (across[0], across[1]),
        (back + _MENISCUS_BACK_MM, front + _MENISCUS_FRONT_MM),
        (level + _MENISCUS_LOW_MM, level + _MENISCUS_HEIGHTS[side] * tibial_scale(tibia).width),
    )


def meniscus_part_box(parts: KneeParts, side: Compartment, index: int) -> MmBox | None:
    """Returns where a part of a meniscus in place lies: 0 anterior horn, 1 body, 2 posterior horn.

    Horns lie in front of and behind the borders of the plate's central part; the body between them
    on the outer side of the compartment's middle. None without tibial landmarks.
    """
    whole, tibia = meniscus_box(parts, side), parts.partition.tibia
    if whole is None or tibia is None:
        return None
    low, high = whole[0].copy(), whole[1].copy()
    back, front = tibia.thirds_a[side]
    if index == 1:
        low[1], high[1] = back, front
        middle = tibia.middle_m(side)
        if side is Compartment.MEDIAL:
            low[0] = middle
        else:
            high[0] = middle
    elif index == 0:
        low[1] = front
    else:
        high[1] = back
    return low, high


def root_point(parts: KneeParts, side: Compartment) -> FloatArray | None:
    """Returns where a posterior root attaches (3,): at the plate's inner edge, behind the spine.

    None without tibial landmarks.
    """
    tibia = parts.partition.tibia
    if tibia is None:
        return None
    back, front = tibia.ends_a[side]
    outward = _ROOT_OUT_MM if side is Compartment.MEDIAL else -_ROOT_OUT_MM
    return np.asarray(
        (
            tibia.inner_m[side] + outward,
            back + _ROOT_DEPTHS[side] * (front - back),
            tibia.level_s[side] + 1.0,
        ),
        np.float32,
    )
