"""Whether the volume ends within a bone's part near the joint.

The subregions' borders, the margins without osteophytes and the reference slice of extrusion are
found from a whole bone's shape. A volume that ends within it moves them all, those of regions too
that lie whole in the volume: 11 mm off the back of a knee moved a lesion of 75 % out of its
subregion. So a bone is `cut off` where its label touches a face of the volume near the joint; the
shafts leave every knee volume, away from it.
"""

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone

NEAR_JOINT_MM: dict[Bone, float] = {Bone.FEMUR: 40.0, Bone.TIBIA: 25.0, Bone.PATELLA: np.inf}
"""How far a bone's shape matters: the femur's trochlea ends less than 40 mm over its lowest point;
a tibia is measured to 15 mm under its plates, over which the spines rise by up to 10 mm."""
LEAST_CUT_MM2 = 60.0
"""A bone that touches a face with less area is not cut off: of a condyle of 20 mm radius a plane
takes that area 0.5 mm under its outermost point, less than the borders' own uncertainty."""
_FACES = (("lateral", "medial"), ("posterior", "anterior"), ("inferior", "superior"))


def cut_faces(
    bone: Bone,
    codes: NDArray[np.uint8],
    of_bone: NDArray[np.bool_],
    heights: tuple[int, int],
    spacing: tuple[float, float, float],
) -> tuple[str, ...]:
    """Returns the faces of the volume that cut a bone off near the joint, e.g. `posterior`.

    Args:
        bone: the bone.
        codes: structure codes of the whole volume; axes medial, anterior, superior.
        of_bone: by code, whether it is of the bone.
        heights: first index of the bone along axis 2, and last + 1.
        spacing: mm along the axes.
    """
    near = _near_joint(bone, codes.shape[2], heights, spacing[2])
    touched: list[str] = []
    for axis, names in enumerate(_FACES):
        for end, name in zip((0, -1), names, strict=True):
            # A view: np.take would copy a volume that does not lie in memory in this order.
            face = of_bone[np.moveaxis(codes, axis, 0)[end]]
            on_joint = face[:, near] if axis < 2 else face & near[end]
            area = float(np.count_nonzero(on_joint) * np.prod(spacing) / spacing[axis])
            if area >= LEAST_CUT_MM2:
                touched.append(name)
    return tuple(touched)


def _near_joint(
    bone: Bone, n_slices: int, heights: tuple[int, int], step: float
) -> NDArray[np.bool_]:
    """Which axial slices count: up from the femur's lowest, down from the tibia's highest."""
    index = np.arange(n_slices)
    away = heights[1] - 1 - index if bone is Bone.TIBIA else index - heights[0]
    return np.asarray(away * step <= NEAR_JOINT_MM[bone], np.bool_)
