"""The knee's own axes from its bones: how far a volume's axes are turned against them (RULES 14).

Both from bone near the joint's middle, so that neither the field of view nor what is labelled
elsewhere matters:

    superior  from the middle of the tibia's end to the middle of the femur's, within 40 mm
    medial    the longest extent of the tibia's head, seen along the first

Both lean by some 10 degrees against what a reader calls upright and sideways. They are therefore
told against those of a knee as its slices are laid: the mean of CartiMorph's template of 103 knees,
the pymskt knee and the phantom, which differ from it by 2 to 3 degrees (the SPL knee by 10).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BoolArray = NDArray[np.bool_]
"""Masks in anatomical array axes."""
Matrix = NDArray[np.float64]
"""3 x 3; columns are unit vectors along medial, anterior and superior."""
_GRID_MM = 1.5
"""Bones are looked at on a grid of about this."""
_NEAR_MM = 10.0
"""Tibia within this of the femur is the joint's."""
_BALL_MM = 40.0
_HEAD_MM = (-20.0, 5.0)
"""Heights about the joint's middle between which the tibia shows its width; lower down the
tuberosity turns its long axis. On ten sick phantoms the axis then varies by 0.1 degrees."""
_LEAST_CELLS = 2000
"""Fewer grid cells of a bone within the ball (some 7 mL) do not show its axes."""
_MEAN_KNEE: Matrix = np.array(
    [[0.9933, 0.0058, 0.1150], [-0.0247, 0.9863, 0.1631], [-0.1125, -0.1649, 0.9799]]
)


_AXIAL_DEG, _TILT_DEG = 3.0, 10.0
"""A volume that lies no further off is not turned about the leg's long axis, or upright. The first
counts for more: 3 degrees move the coronal slice of the spine by 2 mm at the tibia's margin."""


@dataclass(frozen=True, eq=False)
class Turn:
    """How an upright array lies in the array that it was turned from.

    Attributes:
        axes: 3 x 3; columns are the upright axes in the other array's.
        middle: mm of the pivot in the other array.
        start: mm of the upright array's first voxel, before cropping, from the pivot.
    """

    axes: Matrix
    middle: NDArray[np.float64]
    start: NDArray[np.float64]


def needed_turn(
    femur: BoolArray, tibia: BoolArray, cysts: BoolArray, spacing: tuple[float, float, float]
) -> tuple[Matrix | None, float]:
    """Returns the axes that a volume should be turned to, and the lean that is left otherwise.

    Args:
        femur: mask in anatomical array axes (medial, anterior, superior).
        tibia: mask of the same shape.
        cysts: mask of the same shape; a cyst belongs to the bone that it touches.
        spacing: voxel size in mm.

    Returns:
        None and the angle in rad by which the bones' medial axis lies towards anterior where the
        volume lies as it should, None and 0 where too little bone is there to tell. A turn about
        the leg's long axis alone where that is enough.
    """
    axes = bone_axes(femur, tibia, cysts, spacing)
    if axes is None:
        return None, 0.0
    about_leg = np.arctan2(axes[1, 0] - axes[0, 1], axes[0, 0] + axes[1, 1])
    cos, sin = np.cos(about_leg), np.sin(about_leg)
    axial = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    if turned_deg(axial.T @ axes) > _TILT_DEG:
        return axes, 0.0
    if np.rad2deg(abs(about_leg)) > _AXIAL_DEG:
        return axial, 0.0
    return None, float(about_leg)


def turn_upright(
    codes: NDArray[np.uint8], spacing: tuple[float, float, float], axes: Matrix
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Returns an array turned upright, and mm from its pivot to the new first voxel.

    Args:
        codes: any label numbers; each new voxel takes the nearest old one's, 0 outside.
        spacing: voxel size in mm, of both arrays.
        axes: columns are the upright axes in the array's; it is turned about its middle.
    """
    step = np.asarray(spacing)
    size = np.asarray(codes.shape)
    half = (size - 1) / 2 * step
    # As many voxels more on either side as the corners need. With the pivot in the middle of both
    # arrays, an axis that stays where it is keeps its voxel centres: half a voxel off, all of its
    # voxels would lie between two old ones.
    wider = np.maximum(0, np.ceil((np.abs(axes.T) @ half - half) / step)).astype(np.intp)
    start: NDArray[np.float64] = -(half + wider * step)
    turned: NDArray[np.uint8] = sample_nearest(
        codes,
        axes * step[None, :] / step[:, None],
        (axes @ start + half) / step,
        size + 2 * wider,
    )
    return turned, start


def sample_nearest(
    source: NDArray[Any],
    matrix: NDArray[np.float64],
    first: NDArray[np.float64],
    shape: NDArray[np.intp],
) -> NDArray[Any]:
    """Returns the nearest voxels of an array on a grid that lies turned in it, 0 outside of it.

    Args:
        source: 3D.
        matrix: 3 x 3; source voxels for a step along each of the grid's axes, in columns.
        first: (3,) where the grid's first voxel lies, fractional index of the source.
        shape: (3,) of the grid.
    """
    sizes = [int(n) for n in shape]
    steps = [matrix[:, axis][:, None] * np.arange(sizes[axis]) for axis in range(3)]
    found: NDArray[Any] = np.zeros(sizes, source.dtype)
    # Plane by plane: an index array of the whole grid would take 24 bytes a voxel.
    for plane in range(sizes[0]):
        index: list[NDArray[np.int32]] = []
        inside = np.ones((sizes[1], sizes[2]), np.bool_)
        for axis in range(3):
            along = first[axis] + steps[0][axis, plane] + steps[1][axis]
            at = np.rint(along[:, None] + steps[2][axis][None, :]).astype(np.int32)
            # As unsigned numbers those below 0 are large: one comparison sees both ends.
            inside &= at.view(np.uint32) < source.shape[axis]
            index.append(at)
        i, j, k = (at[inside] for at in index)
        found[plane][inside] = source[i, j, k]
    return found


def bone_axes(
    femur: BoolArray, tibia: BoolArray, cysts: BoolArray, spacing: tuple[float, float, float]
) -> Matrix | None:
    """Returns the knee's axes in a volume's, the identity where the volume lies as it should.

    Args:
        femur: mask in anatomical array axes (medial, anterior, superior).
        tibia: mask of the same shape.
        cysts: mask of the same shape; a cyst is part of the bone that it touches more.
        spacing: voxel size in mm.

    Returns:
        A rotation whose columns are the knee's axes; None where too little of a bone is there.
    """
    raw = raw_axes(femur, tibia, cysts, spacing)
    return None if raw is None else raw @ _MEAN_KNEE.T


def raw_axes(
    femur: BoolArray, tibia: BoolArray, cysts: BoolArray, spacing: tuple[float, float, float]
) -> Matrix | None:
    """Returns the axes as the bones give them, before they are told against the mean knee's."""
    factor = [max(1, round(_GRID_MM / step)) for step in spacing]
    cut = tuple(slice(f // 2, None, f) for f in factor)
    step = np.asarray(spacing) * factor
    thigh, shin = _with_cysts(femur[cut], tibia[cut], cysts[cut])
    if thigh.sum() < _LEAST_CELLS or shin.sum() < _LEAST_CELLS:
        return None
    away = ndimage.distance_transform_edt(~thigh, sampling=step)
    near = np.argwhere(shin & (away <= _NEAR_MM)) * step
    if near.shape[0] == 0:
        return None
    middle = near.mean(axis=0)
    ends = [_within(mask, step, middle) for mask in (thigh, shin)]
    if min(end.shape[0] for end in ends) < _LEAST_CELLS:
        return None
    superior = _unit(ends[0].mean(axis=0) - ends[1].mean(axis=0))
    cells = np.argwhere(shin) * step
    height = (cells - middle) @ superior
    head = cells[(height > _HEAD_MM[0]) & (height < _HEAD_MM[1])]
    offset = head - head.mean(axis=0)
    flat = offset - np.outer(offset @ superior, superior)
    _, vectors = np.linalg.eigh(flat.T @ flat)
    medial = vectors[:, 2] * np.sign(vectors[0, 2])
    medial = _unit(medial - (medial @ superior) * superior)
    return np.stack([medial, np.cross(superior, medial), superior], axis=1)


def _with_cysts(thigh: BoolArray, shin: BoolArray, cysts: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Both bones with their cysts: a large one that is left out shifts the middle of its bone."""
    labels, n_cysts = ndimage.label(cysts, structure=np.ones((3, 3, 3)))
    if n_cysts == 0:
        return thigh, shin
    # Around cysts only: each neighbour's cyst, counted for the bone that the neighbour is of.
    nearby = ndimage.grey_dilation(labels, size=(3, 3, 3))
    contacts = [np.bincount(nearby[bone], minlength=n_cysts + 1) for bone in (thigh, shin)]
    owners = [contacts[0] > contacts[1], contacts[1] > contacts[0]]
    for owner in owners:
        owner[0] = False
    return thigh | owners[0][labels], shin | owners[1][labels]


def turned_deg(axes: Matrix) -> float:
    """Returns the angle of a rotation in degrees."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(axes) - 1) / 2, -1.0, 1.0))))


def _within(
    mask: BoolArray, step: NDArray[np.float64], middle: NDArray[np.float64]
) -> NDArray[np.float32]:
    cells = (np.argwhere(mask) * step).astype(np.float32)
    away = np.linalg.norm(cells - middle, axis=1)
    return cells[away <= _BALL_MM]


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)
