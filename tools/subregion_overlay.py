"""The MOAKS subregions voxel by voxel, for pictures: cartilage and the bone wedges under it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, Subregion
from tools.articular_surface import CARTILAGES
from tools.frame_sampling import canonical_of
from tools.knee_parts import KneeParts
from tools.subregions import NOWHERE, ORDER, label_cartilage

Colour = tuple[int, int, int]
"""Red, green, blue, 0-255."""

SUBREGION_COLOURS: dict[Subregion, Colour] = {
    Subregion.PATELLA_MEDIAL: (255, 160, 200),
    Subregion.PATELLA_LATERAL: (190, 120, 255),
    Subregion.FEMUR_MEDIAL_TROCHLEA: (255, 90, 90),
    Subregion.FEMUR_MEDIAL_CENTRAL: (255, 170, 60),
    Subregion.FEMUR_MEDIAL_POSTERIOR: (250, 225, 80),
    Subregion.FEMUR_LATERAL_TROCHLEA: (70, 150, 255),
    Subregion.FEMUR_LATERAL_CENTRAL: (60, 215, 215),
    Subregion.FEMUR_LATERAL_POSTERIOR: (140, 230, 120),
    Subregion.TIBIA_MEDIAL_ANTERIOR: (205, 60, 120),
    Subregion.TIBIA_MEDIAL_CENTRAL: (225, 120, 225),
    Subregion.TIBIA_MEDIAL_POSTERIOR: (165, 105, 60),
    Subregion.TIBIA_LATERAL_ANTERIOR: (90, 95, 225),
    Subregion.TIBIA_LATERAL_CENTRAL: (30, 165, 130),
    Subregion.TIBIA_LATERAL_POSTERIOR: (150, 190, 60),
    Subregion.TIBIA_SUBSPINOUS: (225, 225, 225),
}
"""Warm colours medial, cold ones lateral; neighbours differ."""


@dataclass(frozen=True)
class SubregionOverlay:
    """Partition indices in canonical axes; both arrays have the canonical shape.

    Attributes:
        cartilage: int8, subregion of each cartilage voxel, `NOWHERE` elsewhere.
        bone: int8, subregion of each bone voxel within the wedges' depth, `NOWHERE` elsewhere.
    """

    cartilage: NDArray[np.int8]
    bone: NDArray[np.int8]

    def present(self) -> tuple[Subregion, ...]:
        """Returns the subregions that have a voxel, in MOAKS' order."""
        seen = {int(i) for a in (self.cartilage, self.bone) for i in np.unique(a)} - {NOWHERE}
        return tuple(ORDER[index] for index in sorted(seen))


def subregion_overlay(parts: KneeParts) -> SubregionOverlay:
    """Returns the subregions of a measured knee, laid into the canonical volume."""
    knee = parts.knee
    cartilage = np.full(knee.frame.shape, NOWHERE, np.int8)
    for bone in (b for b in Bone if b in parts.plates):
        mask = knee.mask(*CARTILAGES[bone])
        cartilage[mask] = label_cartilage(parts.partition, knee, bone, mask)
    bones = np.full(knee.frame.shape, NOWHERE, np.int8)
    for wedges in parts.wedges.values():
        bones[wedges.where[0], wedges.where[1], wedges.where[2]] = wedges.labels
    fill = np.int8(NOWHERE)
    return SubregionOverlay(
        canonical_of(cartilage, knee.frame, fill), canonical_of(bones, knee.frame, fill)
    )
