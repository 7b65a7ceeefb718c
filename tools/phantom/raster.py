"""From shapes to voxels: the tissue of every voxel centre of a grid.

The grid is walked in slabs of its first axis. Within a slab each structure is evaluated only on
the empty voxels inside its bounding box, and what was written first stays: bone before cartilage
before meniscus before ligament before fluid before fat.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tools.phantom.background import paint_background
from tools.phantom.grid import Grid
from tools.phantom.paint_bones import (
    paint_femur,
    paint_fibula,
    paint_patella,
    paint_spurs,
    paint_tibia,
)
from tools.phantom.paint_soft import (
    paint_bands,
    paint_fat_pad,
    paint_fluid,
    paint_joint_gap,
    paint_menisci,
)
from tools.phantom.sick_knee import SickKnee
from tools.phantom.slab import Slab

_SLAB_VOXELS = 1_000_000


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
        paint_femur,
        paint_tibia,
        paint_patella,
        paint_fibula,
        paint_spurs,
        paint_menisci,
        paint_bands,
        paint_fluid,
        paint_fat_pad,
        paint_joint_gap,
        paint_background,
    )
    for here, slab in _slabs(grid, knee):
        for paint in painters:
            paint(slab, knee)
        volume[here] = slab.tissue.reshape(volume[here].shape)
    return volume
