"""Where the volume ends within a bone."""

import numpy as np
import pytest

from knee.anatomy import Bone
from tools.field_of_view import LEAST_CUT_MM2, cut_faces

OF_BONE = np.array([False, True])


def codes(*bone: slice) -> np.ndarray:
    """A block of bone in a volume of 60 x 60 x 120 mm."""
    array = np.zeros((60, 60, 120), np.uint8)
    array[bone] = 1
    return array


def faces(bone: Bone, array: np.ndarray) -> tuple[str, ...]:
    used = np.flatnonzero(array.any(axis=(0, 1)))
    heights = (int(used[0]), int(used[-1]) + 1)
    return cut_faces(bone, array, OF_BONE, heights, (1.0, 1.0, 1.0))


INSIDE = slice(10, 50)


@pytest.mark.parametrize(
    ("bone", "height", "expected"),
    [
        (Bone.FEMUR, slice(60, 120), ()),
        (Bone.FEMUR, slice(90, 120), ("superior",)),
        (Bone.FEMUR, slice(0, 70), ("inferior",)),
        (Bone.TIBIA, slice(0, 60), ()),
        (Bone.TIBIA, slice(0, 20), ("inferior",)),
        (Bone.TIBIA, slice(60, 120), ("superior",)),
        (Bone.PATELLA, slice(60, 120), ("superior",)),
        (Bone.PATELLA, slice(0, 40), ("inferior",)),
        (Bone.PATELLA, slice(40, 80), ()),
    ],
)
def test_a_shaft_leaves_the_volume_and_a_joint_end_does_not(
    bone: Bone, height: slice, expected: tuple[str, ...]
):
    assert faces(bone, codes(INSIDE, INSIDE, height)) == expected


@pytest.mark.parametrize(
    ("across", "deep", "expected"),
    [
        (slice(0, 50), INSIDE, ("lateral",)),
        (slice(10, 60), INSIDE, ("medial",)),
        (INSIDE, slice(0, 50), ("posterior",)),
        (slice(0, 60), slice(10, 60), ("lateral", "medial", "anterior")),
    ],
)
def test_a_bone_that_goes_on_beside_the_volume_is_cut_off(
    across: slice, deep: slice, expected: tuple[str, ...]
):
    for bone, height in ((Bone.FEMUR, slice(40, 120)), (Bone.TIBIA, slice(0, 80))):
        assert faces(bone, codes(across, deep, height)) == expected


def test_a_leaning_shaft_may_leave_by_any_face():
    array = codes(INSIDE, INSIDE, slice(30, 120))
    array[20:40, 0:10, 75:120] = 1
    assert faces(Bone.FEMUR, array) == ()
    assert faces(Bone.PATELLA, array) == ("posterior", "superior")


def test_a_bone_that_just_touches_is_not_cut_off():
    array = codes(INSIDE, INSIDE, slice(30, 120))
    n = int(LEAST_CUT_MM2)
    array[0, 20 : 20 + n // 3, 40:43] = 1
    assert faces(Bone.FEMUR, array) == ("lateral",)
    array[0, 20, 40] = 0
    assert faces(Bone.FEMUR, array) == ()
