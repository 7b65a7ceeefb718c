"""Finds the real label maps and images that tests may use (`KNEE_REAL_DATA`)."""

import os
from pathlib import Path

import pytest

PYMSKT = "pymskt/SAG_3D_DESS_RIGHT_bones_cart_men_fib-label.nrrd"
"""Label map of a real right knee, scheme `pymskt`."""
SPL = "spl-knee-atlas/seg.nrrd"
"""Label map of a real left knee, scheme `spl-atlas`."""
CARTIMORPH_IMAGE = "cartimorph/CLAIR-Knee-103R_template_64x128x128.nii.gz"
"""Mean DESS image of 103 right knees."""
CARTIMORPH_LABELS = "cartimorph/CLAIR-Knee-103R_segmentation_64x128x128.nii.gz"
"""Its label map, scheme `oaizib-cm`."""


def real_file(name: str) -> Path:
    """Returns a file of the real data; skips the test where it is not there."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("KNEE_REAL_DATA", default))
    path = root / name
    if not path.is_file():
        pytest.skip(f"no real data: {name} is not in KNEE_REAL_DATA (or ../shared/data)")
    return path


def real_folder(name: str) -> Path:
    """Returns a folder of the real data; skips the test where it is not there."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    path = Path(os.environ.get("KNEE_REAL_DATA", default)) / name
    if not path.is_dir():
        pytest.skip(f"no real data: {name} is not in KNEE_REAL_DATA (or ../shared/data)")
    return path
