"""Charts of the three bones' articular surfaces, with cartilage thickness on them.

A chart is a 2D grid of rays that meet the bone's articular side:

    tibia     one ray per (medial, anterior) voxel column, from above
    patella   one ray per (medial, superior) voxel column, from behind
    femur     per sagittal slice, rays from the condyles' centre, one per angle; 0 degrees points
              down, positive angles forward

The bone's surface on a ray is the outer edge of its outermost bone voxel. Cartilage thickness is
the length of the ray inside cartilage times the cosine between ray and surface normal, so it is
measured along the normal; a ray without cartilage has thickness 0. Each ray stands for a patch of
the surface whose area follows from the neighbouring rays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knee.anatomy import Bone, Compartment, Structure, Subregion
from tools.anatomical_frame import BoolArray, Knee
from tools.crop_frame import FloatArray, IntArray

CARTILAGES: dict[Bone, tuple[Structure, ...]] = {
    Bone.FEMUR: (Structure.FEMORAL_CARTILAGE,),
    Bone.TIBIA: (Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE),
    Bone.PATELLA: (Structure.PATELLAR_CARTILAGE,),
}
"""The cartilage labels that lie on each bone."""
_TIBIAL = {
    Compartment.MEDIAL: Structure.MEDIAL_TIBIAL_CARTILAGE,
    Compartment.LATERAL: Structure.LATERAL_TIBIAL_CARTILAGE,
}
_LEAST_BONE_MM3 = 3000.0
"""Less bone than this (a patella has 10,000 mm³ or more) has no landmarks to go by."""
_ANGLES_DEG = (-140.0, 135.0)
"""Femur: from above the posterior condyles' cartilage to above the trochlea; the rest is shaft."""
_ANGLE_STEP_DEG = 0.75
"""At the condyles' radius of about 25 mm a step is 0.33 mm, a DESS voxel."""
_MAX_RADIUS_MM = 60.0
"""No articular surface of a femur is farther from the centre of its condyles."""
_CENTRE_AP, _CENTRE_HEIGHT = 0.42, 0.33
"""Centre of the condyles, as shares of the epiphysis's depth: from behind, and from below."""
_EPIPHYSIS_MM = 45.0
"""Height of bone over the lowest point that counts for the epiphysis's depth."""
_SMOOTHING_MM = 1.5
"""Gaussian SD with which the surface is smoothed before normals are taken."""
_MIN_COSINE = 0.4
"""Rays flatter than 66 degrees to the normal are treated as 66 degrees."""


@dataclass(frozen=True)
class Chart:
    """One bone's articular side as a 2D grid of rays; arrays have shape (n_u, n_v).

    Attributes:
        bone: the bone.
        points: (n_u, n_v, 3) mm in the crop's frame, where the ray leaves the bone.
        valid: whether the ray meets the bone.
        rays: (n_u, n_v, 3) unit vectors, outwards from the bone.
        cosine: between ray and surface normal; where it is small, thickness is uncertain.
        thickness: mm of cartilage along the normal; 0 where there is none.
        area: mm² of surface that the ray stands for.
        step: mm between rays along u and v, typical.
    """

    bone: Bone
    points: FloatArray
    valid: BoolArray
    rays: FloatArray
    cosine: FloatArray
    thickness: FloatArray
    area: FloatArray
    step: tuple[float, float]

    @property
    def covered(self) -> BoolArray:
        """Rays with cartilage."""
        return self.thickness > 0


def cartilage_of(subregion: Subregion) -> Structure:
    """Returns the cartilage label that an articular subregion is covered by.

    A map may hold one tibial cartilage and not the other: then only that side can be measured.
    """
    if subregion.bone is not Bone.TIBIA:
        (structure,) = CARTILAGES[subregion.bone]
        return structure
    return _TIBIAL[subregion.compartment]


def make_chart(knee: Knee, bone: Bone) -> Chart | None:
    """Returns the chart of a bone, None when there is none or only a remnant of it."""
    mask = knee.bone(bone)
    if float(mask.sum()) * knee.voxel_mm3 < _LEAST_BONE_MM3:
        return None
    cartilage = knee.mask(*CARTILAGES[bone])
    if bone is Bone.FEMUR:
        return _femoral_chart(knee, mask, cartilage)
    axis = 2 if bone is Bone.TIBIA else 1
    return _flat_chart(knee, bone, mask, cartilage, axis)


def femoral_angles_deg() -> NDArray[np.float64]:
    """Returns the angles of the femoral chart's second axis, ascending; 0 is straight down."""
    return np.arange(_ANGLES_DEG[0], _ANGLES_DEG[1] + 1e-6, _ANGLE_STEP_DEG)


def condyle_centre(knee: Knee, femur: BoolArray) -> tuple[float, float]:
    """Returns (anterior, superior) mm of the centre of the femoral rays, from the bone alone."""
    _, sa, ss = knee.spacing
    heights = np.flatnonzero(femur.any(axis=(0, 1)))
    low = int(heights[0])
    top = min(femur.shape[2], low + int(_EPIPHYSIS_MM / ss))
    depths = np.flatnonzero(femur[:, :, low:top].any(axis=(0, 2)))
    back, front = float(depths[0]) * sa, float(depths[-1]) * sa
    depth = front - back
    return back + _CENTRE_AP * depth, low * ss + _CENTRE_HEIGHT * depth


def _flat_chart(knee: Knee, bone: Bone, mask: BoolArray, cartilage: BoolArray, axis: int) -> Chart:
    """Rays along an array axis: the tibia from above (axis 2), the patella from behind (1)."""
    spacing = knee.spacing
    outward = 1.0 if axis == 2 else -1.0
    valid = np.asarray(mask.any(axis=axis), dtype=np.bool_)
    n = mask.shape[axis]
    if outward > 0:
        index = n - 1 - np.argmax(np.flip(mask, axis), axis=axis)
    else:
        index = np.argmax(mask, axis=axis)
    height = ((index + 0.5 * outward) * spacing[axis]).astype(np.float32)
    others = [a for a in range(3) if a != axis]
    step = (spacing[others[0]], spacing[others[1]])
    grid = np.meshgrid(
        np.arange(mask.shape[others[0]], dtype=np.float32) * step[0],
        np.arange(mask.shape[others[1]], dtype=np.float32) * step[1],
        indexing="ij",
    )
    points = np.zeros((*valid.shape, 3), np.float32)
    points[..., others[0]], points[..., others[1]], points[..., axis] = *grid, height
    length = cartilage.sum(axis=axis, dtype=np.float32) * np.float32(spacing[axis])
    smooth = points.copy()
    smooth[..., axis] = _smooth(height, valid, step)
    rays = np.zeros_like(points)
    rays[..., axis] = outward
    return _finish(bone, points, smooth, rays, valid, length, step)


def _femoral_chart(knee: Knee, mask: BoolArray, cartilage: BoolArray) -> Chart:
    sm, sa, ss = knee.spacing
    a0, s0 = condyle_centre(knee, mask)
    angles = np.deg2rad(femoral_angles_deg())
    dr = min(sa, ss) / 1.5
    radii = np.arange(4.0, _MAX_RADIUS_MM, dr)
    ia = np.rint((a0 + np.outer(np.sin(angles), radii)) / sa).astype(np.intp)
    js = np.rint((s0 - np.outer(np.cos(angles), radii)) / ss).astype(np.intp)
    inside = (ia >= 0) & (ia < mask.shape[1]) & (js >= 0) & (js < mask.shape[2])
    ia, js = np.where(inside, ia, 0), np.where(inside, js, 0)
    on_bone = mask[:, ia, js] & inside
    last = radii.size - 1 - np.argmax(on_bone[:, :, ::-1], axis=2)
    # A ray that is still inside bone at its end runs up the shaft: no articular surface there.
    valid = on_bone.any(axis=2) & (last < radii.size - 1)
    radius = (radii[last] + dr / 2).astype(np.float32)
    length = (cartilage[:, ia, js] & inside).sum(axis=2, dtype=np.float32) * np.float32(dr)
    step = (sm, float(np.deg2rad(_ANGLE_STEP_DEG) * 25.0))
    m = (np.arange(mask.shape[0], dtype=np.float32) * np.float32(sm))[:, None]
    points = _polar_points(m, angles, radius, a0, s0)
    smooth = _polar_points(m, angles, _smooth(radius, valid, step), a0, s0)
    rays = np.zeros_like(points)
    rays[..., 1], rays[..., 2] = np.sin(angles), -np.cos(angles)
    return _finish(Bone.FEMUR, points, smooth, rays, valid, length, step)


def _polar_points(
    m: FloatArray, angles: FloatArray, radius: FloatArray, a0: float, s0: float
) -> FloatArray:
    points = np.empty((*radius.shape, 3), np.float32)
    points[..., 0] = m
    points[..., 1] = a0 + radius * np.sin(angles)
    points[..., 2] = s0 - radius * np.cos(angles)
    return points


def _smooth(values: FloatArray, valid: BoolArray, step: tuple[float, float]) -> FloatArray:
    """Gaussian smoothing that uses valid rays only."""
    sigma = (_SMOOTHING_MM / step[0], _SMOOTHING_MM / step[1])
    weight = ndimage.gaussian_filter(valid.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(valid, values, 0).astype(np.float32), sigma)
    return np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), values).astype(np.float32)


def _finish(
    bone: Bone,
    points: FloatArray,
    smooth: FloatArray,
    rays: FloatArray,
    valid: BoolArray,
    length: FloatArray,
    step: tuple[float, float],
) -> Chart:
    """Areas and normals from the smoothed surface, thickness from the length inside cartilage."""
    along_u = np.gradient(smooth, axis=0)
    along_v = np.gradient(smooth, axis=1)
    normal = np.cross(along_u, along_v).astype(np.float32)
    size = np.linalg.norm(normal, axis=2)
    facing = np.abs((normal * rays).sum(axis=2))
    cosine = np.clip(facing / np.maximum(size, 1e-6), _MIN_COSINE, 1.0).astype(np.float32)
    # facing is the patch's area seen along the ray; a nearly parallel patch is kept bounded.
    return Chart(
        bone=bone,
        points=points,
        valid=valid,
        rays=rays,
        cosine=cosine,
        thickness=np.where(valid, length * cosine, 0).astype(np.float32),
        area=np.where(valid, facing / cosine, 0).astype(np.float32),
        step=step,
    )


def to_indices(points: FloatArray, knee: Knee) -> IntArray:
    """Returns the voxel indices (crop) nearest to mm points of shape (..., 3)."""
    index = np.rint(points / np.asarray(knee.spacing, np.float32)).astype(np.intp)
    return np.clip(index, 0, np.asarray(knee.frame.shape) - 1)
