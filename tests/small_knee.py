"""A knee made of blocks, for tests of reading: 40 voxels of 2 mm a side, scheme `pymskt`."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from knee.anatomy import Side
from tools.volumes import Volume, make_volume

AFFINE = np.array([[2.0, 0, 0, -31], [0, 2.0, 0, -22], [0, 0, 2.0, -45], [0, 0, 0, 1]])
"""RAS, 2 mm."""
_BLOCKS = {
    5: ((8, 32), (10, 30), (24, 38)),  # femur
    6: ((8, 32), (10, 30), (2, 18)),  # tibia
    8: ((33, 37), (10, 15), (2, 14)),  # fibula
    3: ((22, 31), (12, 28), (18, 19)),  # lateral tibial cartilage
    2: ((9, 18), (12, 28), (18, 19)),  # medial tibial cartilage
    9: ((22, 31), (12, 28), (19, 21)),  # lateral meniscus
    10: ((9, 18), (12, 28), (19, 21)),  # medial meniscus
    1: ((9, 31), (12, 28), (22, 24)),  # femoral cartilage
}
"""Label to half-open index ranges of a right knee in RAS (lateral is large x)."""


def block_labels(side: Side) -> npt.NDArray[np.uint8]:
    """Returns the label numbers in RAS order; a left knee is the mirror image."""
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    for number, ((i0, i1), (j0, j1), (k0, k1)) in _BLOCKS.items():
        labels[i0:i1, j0:j1, k0:k1] = number
    return labels if side is Side.RIGHT else labels[::-1].copy()


def stored_as(
    array: npt.NDArray[Any], affine: npt.NDArray[np.float64], codes: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Returns the same content in another axis order (by nibabel, not by our code)."""
    change = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(codes)))
    moved = np.ascontiguousarray(apply_orientation(array, change))
    return moved, affine @ inv_ornt_aff(change, array.shape)


def block_volume(side: Side = Side.RIGHT, codes: str = "RAS") -> Volume:
    """Returns the block knee's label numbers as a volume."""
    array, affine = stored_as(block_labels(side), AFFINE, codes)
    return make_volume(array, affine, Path("block.nii"), "sha256:0")


def write_nifti(
    path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64] = AFFINE
) -> Path:
    """Writes a NIfTI file and returns its path."""
    nib.Nifti1Image(array, affine).to_filename(path)
    return path
