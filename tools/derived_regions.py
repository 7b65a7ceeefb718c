"""Regions by anatomical rule, for what a label map does not hold: ligaments, fat pad, joint space.

All positions are mm in the crop's anatomical frame (medial, anterior, superior). Proportions were
read off the SPL atlas (a left knee with ligaments and fat pad labelled) and the pymskt knee.
"""

import numpy as np

from knee.anatomy import Bone, Compartment
from tools.anatomical_frame import FloatArray
from tools.femoral_landmarks import FemurMarks
from tools.knee_parts import KneeParts
from tools.tibial_landmarks import TibiaMarks

MmBox = tuple[FloatArray, FloatArray]
"""Lower and upper corner in mm."""


def _box(*ranges: tuple[float, float]) -> MmBox:
    low, high = zip(*ranges, strict=True)
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


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


def _both(parts: KneeParts) -> tuple[FemurMarks, TibiaMarks] | None:
    femur, tibia = parts.partition.femur, parts.partition.tibia
    return None if femur is None or tibia is None else (femur, tibia)


def _plateau(marks: TibiaMarks) -> tuple[float, float, float]:
    """Back, front and height of the tibial plateau, both compartments together."""
    ends = marks.ends_a.values()
    return min(e[0] for e in ends), max(e[1] for e in ends), max(marks.level_s.values())


def acl_box(parts: KneeParts) -> MmBox | None:
    """Returns the ACL's course with footprints.

    Across: between the plates and 8 mm into the lateral condyle's side. From the back of the
    notch to the front third of the plateau; from 2 mm below the plateau to the condyles' centre.
    """
    marks = _both(parts)
    if marks is None:
        return None
    femur, tibia = marks
    back, front, level = _plateau(tibia)
    depth = front - back
    return _box(
        (femur.notch_m - 14.0, femur.notch_m + 8.0),
        (back + 0.25 * depth, back + 0.80 * depth),
        (level - 2.0, femur.centre[1] + 8.0),
    )


def pcl_box(parts: KneeParts) -> MmBox | None:
    """Returns the PCL's course: medial wall of the notch to the back of the tibia below it."""
    marks = _both(parts)
    if marks is None:
        return None
    femur, tibia = marks
    back, front, level = _plateau(tibia)
    depth = front - back
    return _box(
        (femur.notch_m - 10.0, femur.notch_m + 12.0),
        (back - 4.0, back + 0.65 * depth),
        (level - 14.0, femur.centre[1] + 6.0),
    )


def patellar_tendon_box(parts: KneeParts) -> MmBox | None:
    """Returns inferior pole to tuberosity: 32 mm wide, down to 42 mm below the plateau."""
    patella, tibia = bounds_mm(parts, Bone.PATELLA), parts.partition.tibia
    if patella is None or tibia is None:
        return None
    front = max(end[1] for end in tibia.ends_a.values())
    middle = float(patella[0][0] + patella[1][0]) / 2
    level = max(tibia.level_s.values())
    return _box(
        (middle - 16.0, middle + 16.0),
        (front - 4.0, float(patella[1][1])),
        (level - 42.0, float(patella[0][2]) + 8.0),
    )


def hoffa_box(parts: KneeParts) -> MmBox | None:
    """Returns the fat pad with its intercondylar part: patella's pole to tibia, notch to tendon."""
    patella, marks = bounds_mm(parts, Bone.PATELLA), _both(parts)
    if patella is None or marks is None:
        return None
    femur, tibia = marks
    _, front, level = _plateau(tibia)
    return _box(
        (femur.notch_m - 28.0, femur.notch_m + 28.0),
        (front - 16.0, float(patella[0][1]) + 12.0),
        (level - 24.0, float(patella[0][2]) + 14.0),
    )


def joint_cavity_box(parts: KneeParts) -> MmBox | None:
    """Returns the retropatellar and suprapatellar space: condyles' width, to 50 mm above.

    From the trochlea's lower end to 50 mm above the patella (above the trochlea without one), and
    from the femoral shaft's front to the patella's back.
    """
    femur = parts.partition.femur
    bone = bounds_mm(parts, Bone.FEMUR)
    if femur is None or bone is None:
        return None
    patella = bounds_mm(parts, Bone.PATELLA)
    trochlea = max(femur.front_a.values())
    if patella is None:
        top, front = femur.centre[1] + 70.0, float(bone[1][1]) + 15.0
    else:
        top, front = float(patella[1][2]) + 50.0, float(patella[1][1])
    return _box(
        (femur.notch_m - 38.0, femur.notch_m + 38.0),
        (min(trochlea, float(bone[1][1]) - 20.0), front),
        (femur.centre[1] - 10.0, top),
    )


def meniscus_box(parts: KneeParts, side: Compartment) -> MmBox | None:
    """Returns where a meniscus lies: the compartment's plateau with 3 mm around, 8 mm high."""
    tibia = parts.partition.tibia
    if tibia is None:
        return None
    across = sorted((tibia.inner_m[side], tibia.outer_m[side]))
    back, front = tibia.ends_a[side]
    level = tibia.level_s[side]
    outward = 3.0 if side is Compartment.MEDIAL else -3.0
    across = sorted((tibia.inner_m[side], tibia.outer_m[side] + outward))
    return _box((across[0], across[1]), (back - 2.0, front + 2.0), (level, level + 9.0))


def root_point(parts: KneeParts, side: Compartment) -> FloatArray | None:
    """Returns where a posterior root attaches: behind the spine, at the plate's inner edge."""
    tibia = parts.partition.tibia
    if tibia is None:
        return None
    back, front = tibia.ends_a[side]
    inward = -3.0 if side is Compartment.MEDIAL else 3.0
    return np.asarray(
        (tibia.inner_m[side] + inward, back + 0.2 * (front - back), tibia.level_s[side] + 1.0),
        np.float32,
    )
