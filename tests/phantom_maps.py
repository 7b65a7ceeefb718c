"""Phantoms as label maps, in any storage order, for tests of the findings."""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from knee.anatomy import Side
from tests.small_knee import stored_as
from tools.phantom.build import Phantom, make_phantom
from tools.phantom.grid import DEMO_GRID
from tools.segmentation import LabelMap, label_map_from_volume, load_scheme
from tools.volumes import Volume, make_volume


@cache
def phantom(seed: int, side: Side, severity: float | None = None) -> Phantom:
    """Returns one phantom on the demo's grid; made once for all tests."""
    return make_phantom(seed, side, DEMO_GRID, severity)


def as_label_map(
    labels: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    side: Side,
    codes: str | None = None,
) -> LabelMap:
    """Returns label numbers of the phantom's scheme as a label map, stored as `codes`."""
    if codes is not None:
        labels, affine = stored_as(labels, affine, codes)
    volume = make_volume(labels, affine, Path("phantom-labels.nii.gz"), "sha256:phantom")
    return label_map_from_volume(volume, load_scheme("phantom"), side)


def phantom_map(
    seed: int, side: Side, severity: float | None = None, codes: str | None = None
) -> LabelMap:
    """Returns the label map of one phantom."""
    made = phantom(seed, side, severity)
    return as_label_map(np.asarray(made.label_map), np.asarray(made.affine), side, codes)


def phantom_image(seed: int, side: Side, severity: float | None = None) -> Volume:
    """Returns the image of one phantom."""
    made = phantom(seed, side, severity)
    path = Path("phantom-image.nii.gz")
    return make_volume(np.asarray(made.image), np.asarray(made.affine), path, "sha256:image")
