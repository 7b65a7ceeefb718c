"""Whether two volumes lie on one grid, and a label map brought onto an image's grid.

An image is never resampled. A label map is only when it is asked for, by nearest neighbour: every
voxel of the image's grid gets the number at its centre, so no number is made up, and structures
thinner than a voxel may be lost.
"""

import numpy as np
import numpy.typing as npt

from knee.errors import InputError
from knee.keys import canonical_json, content_hash
from tools.volumes import Volume

_AFFINE_TOLERANCE_MM = 1e-2
"""Two grids are the same when no corner voxel is further apart than this; headers round."""


def is_same_grid(first: Volume, second: Volume) -> bool:
    """Returns whether the voxels of two volumes are at the same places.

    They may be stored in different axis orders as long as their canonical forms coincide.
    """
    one, other = first.to_canonical(), second.to_canonical()
    if one.shape != other.shape:
        return False
    corners = np.array(
        [[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64
    ) * [*(np.array(one.shape) - 1), 1]
    apart = np.abs(corners @ (one.affine - other.affine).T)[:, :3].max()
    return bool(apart <= _AFFINE_TOLERANCE_MM)


def check_same_grid(image: Volume, label_map: Volume) -> None:
    """Refuses an image and a label map whose voxels are not at the same places.

    Raises:
        InputError: names both shapes and both affines.
    """
    if not is_same_grid(image, label_map):
        raise InputError(
            f"{str(label_map.path)!r} is not on the grid of {str(image.path)!r}: "
            f"label map {shown_grid(label_map)}; image {shown_grid(image)}",
            "give the label map that was drawn on this image, or let `prepare --resample` bring "
            "it to the image's grid",
        )


def shown_grid(volume: Volume) -> str:
    """Returns shape, orientation and affine for a message."""
    rows = np.round(volume.affine[:3], 4).tolist()
    return f"shape {volume.shape!r} {volume.orientation}, affine {rows!r}"


def resample_nearest(labels: Volume, grid: Volume) -> Volume:
    """Returns the numbers of a label map at the voxel centres of another volume.

    Outside of the label map is background. The hash is of the label map's hash and the grid, so
    that findings tell a resampled label map from the one that was drawn.

    Args:
        labels: whole numbers.
        grid: whose shape and affine the result has; its voxels are not looked at.
    """
    to_index = np.linalg.inv(labels.affine) @ grid.affine
    shape = grid.shape
    array = np.zeros(shape, labels.array.dtype, order="F")
    rows, columns = np.indices(shape[:2], dtype=np.float64)
    for k in range(shape[2]):
        # One slab at a time: coordinates of a whole volume would be three float64 copies of it.
        plane = [
            np.rint(
                to_index[a, 0] * rows
                + to_index[a, 1] * columns
                + to_index[a, 2] * k
                + to_index[a, 3]
            )
            for a in range(3)
        ]
        array[:, :, k] = _picked(labels.array, plane)
    identity = canonical_json(
        {
            "labels": labels.sha256,
            "method": "nearest",
            "shape": shape,
            "affine": [list(row) for row in grid.affine_rows],
        }
    )
    return Volume(array, grid.affine, labels.path, content_hash(identity))


def _picked(
    array: npt.NDArray[np.integer], plane: list[npt.NDArray[np.float64]]
) -> npt.NDArray[np.integer]:
    """Values at index planes; 0 where they lie outside of the array."""
    inside = np.ones(plane[0].shape, np.bool_)
    for index, n in zip(plane, array.shape, strict=True):
        inside &= (index >= 0) & (index < n)
    picked = np.zeros(inside.shape, array.dtype)
    i, j, k = (index[inside].astype(np.intp) for index in plane)
    picked[inside] = array[i, j, k]
    return picked
