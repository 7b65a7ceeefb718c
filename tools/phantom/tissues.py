"""What a voxel of the phantom can be, and the label and DESS signal that go with it.

The label numbers are those of `tools/schemes/phantom.toml`; a test holds the two together.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Structure


class Tissue(IntEnum):
    """Code of a voxel. Codes below 30 are label numbers; the others exist in the image only."""

    AIR = 0
    FEMUR = 1
    FEMORAL_CARTILAGE = 2
    TIBIA = 3
    MEDIAL_TIBIAL_CARTILAGE = 4
    LATERAL_TIBIAL_CARTILAGE = 5
    PATELLA = 6
    PATELLAR_CARTILAGE = 7
    FIBULA = 8
    MEDIAL_MENISCUS = 9
    LATERAL_MENISCUS = 10
    ACL = 11
    PCL = 12
    PATELLAR_TENDON = 13
    QUADRICEPS_TENDON = 14
    HOFFA_FAT_PAD = 15
    JOINT_FLUID = 16
    FEMORAL_BML = 17
    TIBIAL_BML = 18
    PATELLAR_BML = 19
    SUBCHONDRAL_CYST = 20
    FEMUR_CORTEX = 31
    TIBIA_CORTEX = 32
    PATELLA_CORTEX = 33
    FIBULA_CORTEX = 34
    HOFFA_SYNOVITIS = 35
    FAT = 40
    MUSCLE = 41
    SKIN = 42
    VESSEL = 43
    JOINT_GAP = 44
    RETINACULUM = 45
    SYNOVIUM = 46


N_CODES = 64

LABELS: dict[int, Structure] = {
    tissue.value: Structure(tissue.name.lower())
    for tissue in Tissue
    if 0 < tissue.value < Tissue.FEMUR_CORTEX
}
"""Label number → structure, as in the scheme file."""

_IMAGE_ONLY_PARTS = {
    Tissue.FEMUR_CORTEX: Tissue.FEMUR,
    Tissue.TIBIA_CORTEX: Tissue.TIBIA,
    Tissue.PATELLA_CORTEX: Tissue.PATELLA,
    Tissue.FIBULA_CORTEX: Tissue.FIBULA,
    Tissue.HOFFA_SYNOVITIS: Tissue.HOFFA_FAT_PAD,
}
"""Parts that look different in the image but belong to a labelled structure."""


class Appearance(NamedTuple):
    """Mean DESS signal of a tissue and the standard deviation of its texture, both arbitrary."""

    signal: float
    texture: float


_MARROW = Appearance(58.0, 9.0)
_CORTEX = Appearance(14.0, 2.0)
_LIGAMENT = Appearance(44.0, 8.0)

SIGNALS: dict[Tissue, Appearance] = {
    Tissue.AIR: Appearance(0.0, 0.0),
    Tissue.FEMUR: _MARROW,
    Tissue.TIBIA: _MARROW,
    Tissue.PATELLA: _MARROW,
    Tissue.FIBULA: _MARROW,
    Tissue.FEMORAL_CARTILAGE: Appearance(196.0, 14.0),
    Tissue.MEDIAL_TIBIAL_CARTILAGE: Appearance(190.0, 14.0),
    Tissue.LATERAL_TIBIAL_CARTILAGE: Appearance(190.0, 14.0),
    Tissue.PATELLAR_CARTILAGE: Appearance(204.0, 14.0),
    Tissue.MEDIAL_MENISCUS: Appearance(48.0, 9.0),
    Tissue.LATERAL_MENISCUS: Appearance(48.0, 9.0),
    Tissue.ACL: Appearance(62.0, 16.0),
    Tissue.PCL: _LIGAMENT,
    Tissue.PATELLAR_TENDON: Appearance(34.0, 6.0),
    Tissue.QUADRICEPS_TENDON: Appearance(38.0, 10.0),
    Tissue.HOFFA_FAT_PAD: Appearance(74.0, 14.0),
    Tissue.HOFFA_SYNOVITIS: Appearance(178.0, 26.0),
    Tissue.JOINT_FLUID: Appearance(330.0, 10.0),
    # On DESS a marrow lesion is fainter and smaller than on fat-suppressed IW (RULES 9).
    Tissue.FEMORAL_BML: Appearance(112.0, 16.0),
    Tissue.TIBIAL_BML: Appearance(112.0, 16.0),
    Tissue.PATELLAR_BML: Appearance(112.0, 16.0),
    Tissue.SUBCHONDRAL_CYST: Appearance(270.0, 12.0),
    Tissue.FEMUR_CORTEX: _CORTEX,
    Tissue.TIBIA_CORTEX: _CORTEX,
    Tissue.PATELLA_CORTEX: _CORTEX,
    Tissue.FIBULA_CORTEX: _CORTEX,
    Tissue.FAT: Appearance(72.0, 10.0),
    Tissue.MUSCLE: Appearance(132.0, 12.0),
    Tissue.SKIN: Appearance(96.0, 8.0),
    Tissue.VESSEL: Appearance(205.0, 12.0),
    Tissue.JOINT_GAP: Appearance(215.0, 24.0),
    Tissue.SYNOVIUM: Appearance(108.0, 24.0),
    Tissue.RETINACULUM: Appearance(40.0, 8.0),
}


def label_lookup() -> NDArray[np.uint8]:
    """Returns the label number of every tissue code, shape (N_CODES,)."""
    lookup = np.zeros(N_CODES, np.uint8)
    for number in LABELS:
        lookup[number] = number
    for part, whole in _IMAGE_ONLY_PARTS.items():
        lookup[part] = whole
    return lookup


def signal_lookup() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns mean signal and texture of every tissue code, two arrays of shape (N_CODES,)."""
    signal, texture = np.zeros(N_CODES, np.float32), np.zeros(N_CODES, np.float32)
    for tissue, look in SIGNALS.items():
        signal[tissue], texture[tissue] = look
    return signal, texture
