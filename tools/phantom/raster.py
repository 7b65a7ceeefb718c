"""From shapes to voxels: the tissue of every voxel centre of a grid.

The grid is walked in slabs of its first axis. Within a slab each structure is evaluated only on
the empty voxels inside its bounding box, and what was written first stays: bone before cartilage
before meniscus before ligament before fluid before fat.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone
from tools.phantom.background import paint_background
from tools.phantom.femur import AXIS_Z, polar, shaft_depth
from tools.phantom.grid import Grid
from tools.phantom.lesions import BML, CYST
from tools.phantom.plate import DEPTH_STEP, sample
from tools.phantom.shape import FloatArray
from tools.phantom.sick_knee import SickKnee, SickPlate
from tools.phantom.slab import Box, Slab
from tools.phantom.soft_tissue import fat_pad
from tools.phantom.tibia import outline_depth
from tools.phantom.tissues import Tissue

_CORTEX = 0.9
"""Knee-frame mm of dark bone under every surface."""

_SLAB_VOXELS = 1_000_000

_FEMUR_BOX = Box((-42.0, -32.0, -2.0), (42.0, 50.0, 130.0))
_TIBIA_BOX = Box((-42.0, -32.0, -130.0), (42.0, 42.0, 18.0))
_PATELLA_BOX = Box((-28.0, 28.0, 8.0), (32.0, 80.0, 66.0))
_FIBULA_BOX = Box((18.0, -45.0, -130.0), (46.0, -5.0, -2.0))
_JOINT_BOX = Box((-50.0, -40.0, -8.0), (50.0, 40.0, 22.0))


class _BoneCodes(NamedTuple):
    whole: Tissue
    cortex: Tissue
    bml: Tissue


_CODES = {
    Bone.FEMUR: _BoneCodes(Tissue.FEMUR, Tissue.FEMUR_CORTEX, Tissue.FEMORAL_BML),
    Bone.TIBIA: _BoneCodes(Tissue.TIBIA, Tissue.TIBIA_CORTEX, Tissue.TIBIAL_BML),
    Bone.PATELLA: _BoneCodes(Tissue.PATELLA, Tissue.PATELLA_CORTEX, Tissue.PATELLAR_BML),
}


def _bone_tissue(
    sick: SickPlate, row: FloatArray, column: FloatArray, depth: FloatArray, cortex: FloatArray
) -> NDArray[np.uint8]:
    """Bone codes of points inside a bone: lesion where the table says so, else cortex, else marrow.

    Args:
        sick: the bone's plate.
        row: fractional table rows of the points.
        column: fractional table columns.
        depth: below the joint surface.
        cortex: below the nearest bone surface of any kind.
    """
    codes = _CODES[sick.plate.bone]
    tissue = np.where(cortex < _CORTEX, codes.cortex, codes.whole).astype(np.uint8)
    layer = (depth / DEPTH_STEP).astype(np.int32)
    cell = (row + 0.5).astype(np.int32), (column + 0.5).astype(np.int32)
    within = (depth > 0.0) & (depth <= sick.plate.max_depth[cell])
    layer = np.clip(layer, 0, sick.lesions.shape[2] - 1)
    lesion = sick.lesions[cell[0], cell[1], layer]
    tissue[within & (lesion == BML)] = codes.bml
    tissue[within & (lesion == CYST)] = Tissue.SUBCHONDRAL_CYST
    return tissue


def _paint_femur(slab: Slab, knee: SickKnee) -> None:
    part = slab.empty_in(_FEMUR_BOX)
    x, y, z = part.x, part.y, part.z
    angle, radius = polar(y, z)
    row, column = knee.femur.plate.index_of(x, angle)
    depth = sample(knee.femur.plate.surface, row, column) - radius
    whole = np.maximum(depth, shaft_depth(x, y, z))
    bone = whole > 0.0
    found = np.zeros(x.size, np.uint8)
    found[bone] = _bone_tissue(knee.femur, row[bone], column[bone], depth[bone], whole[bone])
    near = ~bone & (depth > -6.0)
    left = sample(knee.femur.thickness, row[near], column[near])
    found[near] = np.where(-depth[near] < left, Tissue.FEMORAL_CARTILAGE, 0)
    part.write(found)


def _paint_tibia(slab: Slab, knee: SickKnee) -> None:
    part = slab.empty_in(_TIBIA_BOX)
    x, y, z = part.x, part.y, part.z
    plate = knee.tibia.plate
    row, column = plate.index_of(x, y)
    depth = sample(plate.surface, row, column) - z
    inside = outline_depth(knee.model.shape, x, y, z)
    whole = np.minimum(depth, inside)
    bone = whole > 0.0
    found = np.zeros(x.size, np.uint8)
    found[bone] = _bone_tissue(knee.tibia, row[bone], column[bone], depth[bone], whole[bone])
    near = ~bone & (depth > -6.0) & (inside > 0.0)
    left = sample(knee.tibia.thickness, row[near], column[near])
    side = np.where(
        x[near] > 0.0, Tissue.LATERAL_TIBIAL_CARTILAGE, Tissue.MEDIAL_TIBIAL_CARTILAGE
    )
    found[near] = np.where(-depth[near] < left, side, 0)
    part.write(found)


def _paint_patella(slab: Slab, knee: SickKnee) -> None:
    part = slab.empty_in(_PATELLA_BOX)
    plate = knee.patella.plate
    row, column = plate.index_of(part.x, part.z)
    depth = part.y - sample(plate.surface, row, column)
    behind_front = sample(knee.model.patella.front, row, column) - part.y
    whole = np.minimum(depth, behind_front)
    bone = whole > 0.0
    found = np.zeros(part.x.size, np.uint8)
    found[bone] = _bone_tissue(knee.patella, row[bone], column[bone], depth[bone], whole[bone])
    near = ~bone & (depth < 0.0) & (depth > -6.0)
    left = sample(knee.patella.thickness, row[near], column[near])
    found[near] = np.where(-depth[near] < left, Tissue.PATELLAR_CARTILAGE, 0)
    part.write(found)


def _paint_fibula(slab: Slab, _knee: SickKnee) -> None:
    part = slab.empty_in(_FIBULA_BOX)
    down = np.clip((-9.0 - part.z) / 40.0, 0.0, 4.0)
    radius = 5.5 + 3.4 * np.exp(-down * 3.0)
    centre_x, centre_y = 33.0 - 3.5 * down, -22.0 - 3.0 * down
    above = np.maximum(part.z + 12.0, 0.0)
    away = np.sqrt((part.x - centre_x) ** 2 + (part.y - centre_y) ** 2 + above**2)
    depth = radius - away
    found = np.where(depth > 1.4, Tissue.FIBULA, Tissue.FIBULA_CORTEX)
    part.write(np.where(depth > 0.0, found, 0))


def _paint_spurs(slab: Slab, knee: SickKnee) -> None:
    for spur in knee.spurs:
        reach = float(spur.semi_axes.max())
        low, high = spur.centre - reach, spur.centre + reach
        part = slab.empty_in(Box(tuple(low), tuple(high)))
        inside = spur.holds(part.x, part.y, part.z)
        part.write(np.where(inside, _CODES[spur.bone].whole, 0))


def _paint_menisci(slab: Slab, knee: SickKnee) -> None:
    part = slab.empty_in(_JOINT_BOX)
    plate = knee.tibia.plate
    row, column = plate.index_of(part.x, part.y)
    top = sample(knee.menisci.top, row, column)
    bottom = sample(knee.menisci.bottom, row, column)
    inside = (part.z > bottom) & (part.z < top)
    code = np.where(part.x > 0.0, Tissue.LATERAL_MENISCUS, Tissue.MEDIAL_MENISCUS)
    part.write(np.where(inside, code, 0))


def _paint_bands(slab: Slab, knee: SickKnee) -> None:
    bands = (
        (knee.tissue.acl, Tissue.ACL),
        (knee.tissue.pcl, Tissue.PCL),
        (knee.tissue.patellar_tendon, Tissue.PATELLAR_TENDON),
        (knee.tissue.quadriceps_tendon, Tissue.QUADRICEPS_TENDON),
    )
    for band, code in bands:
        low = band.course.min(axis=0) - band.half_width
        high = band.course.max(axis=0) + band.half_width
        part = slab.empty_in(Box(tuple(low), tuple(high)))
        part.write(np.where(band.holds(part.x, part.y, part.z), code, 0))


def _paint_fluid(slab: Slab, knee: SickKnee) -> None:
    part = slab.empty_in(Box((-36.0, 5.0, 20.0), (36.0, 80.0, 82.0)))
    back, profile = knee.tissue.recess.at(part.x, part.z)
    depth = knee.tissue.distension * profile
    behind = part.y - back
    part.write(np.where((behind > 0.0) & (behind < depth), Tissue.JOINT_FLUID, 0))


def _paint_fat_pad(slab: Slab, knee: SickKnee) -> None:
    part = slab.empty_in(Box((-26.0, 10.0, -22.0), (26.0, 70.0, 32.0)))
    inside = fat_pad(knee.model, knee.tissue, part.x, part.y, part.z)
    # Strands of high signal radiate from the intercondylar part; their share is the quantile of
    # a smooth field that is close to uniform on 0–1.
    waves = np.sin(0.42 * part.x + 1.0) + np.sin(0.35 * part.y + 0.31 * part.z)
    field = 0.5 + 0.5 * np.sin(1.2 * waves + 0.25 * part.z)
    bright = field < np.sin(0.5 * np.pi * knee.hoffa_share) ** 2
    code = np.where(bright & (knee.hoffa_share > 0.0), Tissue.HOFFA_SYNOVITIS, Tissue.HOFFA_FAT_PAD)
    part.write(np.where(inside, code, 0))


def _paint_joint_gap(slab: Slab, knee: SickKnee) -> None:
    """Synovial fluid between the surfaces: bright in the image, not labelled."""
    part = slab.empty_in(_JOINT_BOX)
    plate = knee.tibia.plate
    row, column = plate.index_of(part.x, part.y)
    height = sample(plate.surface, row, column)
    floor = sample(np.minimum(knee.model.femoral_floor, 40.0), row, column)
    inside = outline_depth(knee.model.shape, part.x, part.y, part.z * 0.0) > -1.5
    gap = inside & (part.z > height) & (part.z < np.minimum(floor + 3.0, height + 9.0))
    part.write(np.where(gap & (floor < 39.0), Tissue.JOINT_GAP, 0))
    front = slab.empty_in(Box((-24.0, 20.0, 14.0), (26.0, 60.0, 60.0)))
    patella = knee.patella.plate
    row, column = patella.index_of(front.x, front.z)
    ahead = sample(patella.surface, row, column) - front.y
    angle, radius = polar(front.y, front.z)
    femoral = knee.femur.plate
    r, c = femoral.index_of(front.x, angle)
    beyond = radius - sample(femoral.surface, r, c)
    covered = sample(patella.cartilage, row, column) > 0.0
    between = covered & (ahead > 0.0) & (beyond > 0.0) & (beyond < 8.0)
    front.write(np.where(between, Tissue.JOINT_GAP, 0))


def _slabs(grid: Grid, knee: SickKnee) -> Iterator[tuple[slice, Slab]]:
    """Slabs of whole planes with knee-frame coordinates."""
    pose = knee.model.pose
    to_knee = np.linalg.inv(pose.matrix)
    matrix = to_knee @ grid.affine[:3, :3]
    origin = to_knee @ (grid.affine[:3, 3] - pose.shift)
    planes = max(1, _SLAB_VOXELS // (grid.shape[1] * grid.shape[2]))
    steps = [np.arange(n, dtype=np.float64) for n in grid.shape]
    for start in range(0, grid.shape[0], planes):
        here = slice(start, min(start + planes, grid.shape[0]))
        axes = (
            (
                (origin[a] + matrix[a, 0] * steps[0][here])[:, None, None]
                + (matrix[a, 1] * steps[1])[None, :, None]
                + (matrix[a, 2] * steps[2])[None, None, :]
            )
            .astype(np.float32)
            .ravel()
            for a in range(3)
        )
        x, y, z = axes
        yield here, Slab(x, y, z, np.zeros(x.size, np.uint8))


def rasterise(knee: SickKnee, grid: Grid) -> NDArray[np.uint8]:
    """Returns the tissue code of every voxel of a grid, shape `grid.shape`."""
    volume = np.zeros(grid.shape, np.uint8)
    painters = (
        _paint_femur,
        _paint_tibia,
        _paint_patella,
        _paint_fibula,
        _paint_spurs,
        _paint_menisci,
        _paint_bands,
        _paint_fluid,
        _paint_fat_pad,
        _paint_joint_gap,
        paint_background,
    )
    for here, slab in _slabs(grid, knee):
        for paint in painters:
            paint(slab, knee)
        volume[here] = slab.tissue.reshape(volume[here].shape)
    return volume
