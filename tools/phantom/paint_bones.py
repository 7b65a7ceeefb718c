"""Painters of bone and cartilage: femur, tibia, patella, fibula and their spurs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone
from tools.phantom.femur import polar, shaft_depth
from tools.phantom.marrow import BML, CYST
from tools.phantom.plate import DEPTH_STEP, sample
from tools.phantom.shape import FloatArray
from tools.phantom.sick_knee import SickKnee, SickPlate
from tools.phantom.slab import Box, Slab
from tools.phantom.tibia import outline_depth
from tools.phantom.tissues import Tissue

_CORTEX = 0.9
"""Knee-frame mm of dark bone under every surface."""


_FEMUR_BOX = Box((-42.0, -32.0, -2.0), (42.0, 50.0, 130.0))
_TIBIA_BOX = Box((-42.0, -32.0, -130.0), (42.0, 42.0, 18.0))
_PATELLA_BOX = Box((-28.0, 28.0, 8.0), (32.0, 80.0, 66.0))
_FIBULA_BOX = Box((18.0, -45.0, -130.0), (46.0, -5.0, -2.0))


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


def paint_femur(slab: Slab, knee: SickKnee) -> None:
    """Writes femur, its lesions and the femoral cartilage."""
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


def paint_tibia(slab: Slab, knee: SickKnee) -> None:
    """Writes tibia, its lesions and both tibial cartilages."""
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
    side = np.where(x[near] > 0.0, Tissue.LATERAL_TIBIAL_CARTILAGE, Tissue.MEDIAL_TIBIAL_CARTILAGE)
    found[near] = np.where(-depth[near] < left, side, 0)
    part.write(found)


def paint_patella(slab: Slab, knee: SickKnee) -> None:
    """Writes patella, its lesions and the patellar cartilage."""
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


def paint_fibula(slab: Slab, _knee: SickKnee) -> None:
    """Writes the fibula: a head below the lateral plateau, behind, and a shaft."""
    part = slab.empty_in(_FIBULA_BOX)
    down = np.clip((-9.0 - part.z) / 40.0, 0.0, 4.0)
    radius = 5.5 + 3.4 * np.exp(-down * 3.0)
    centre_x, centre_y = 33.0 - 3.5 * down, -22.0 - 3.0 * down
    above = np.maximum(part.z + 12.0, 0.0)
    away = np.sqrt((part.x - centre_x) ** 2 + (part.y - centre_y) ** 2 + above**2)
    depth = radius - away
    found = np.where(depth > 1.4, Tissue.FIBULA, Tissue.FIBULA_CORTEX)
    part.write(np.where(depth > 0.0, found, 0))


def paint_spurs(slab: Slab, knee: SickKnee) -> None:
    """Writes the osteophytes as bone of their site."""
    for spur in knee.spurs:
        reach = float(spur.semi_axes.max())
        low, high = spur.centre - reach, spur.centre + reach
        part = slab.empty_in(Box(tuple(low), tuple(high)))
        inside = spur.holds(part.x, part.y, part.z)
        part.write(np.where(inside, _CODES[spur.bone].whole, 0))
