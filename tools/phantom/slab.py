"""A block of voxels on its way to being painted."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.phantom.shape import FloatArray


class Box(NamedTuple):
    """Corners in the knee frame, mm."""

    low: tuple[float, ...]
    high: tuple[float, ...]


class Part(NamedTuple):
    """Some voxels of a slab: their knee-frame coordinates and how to write them back."""

    x: FloatArray
    y: FloatArray
    z: FloatArray
    where: NDArray[np.intp]
    tissue: NDArray[np.uint8]
    """The whole slab's tissue."""

    def write(self, codes: NDArray[np.integer]) -> None:
        """Writes codes into the slab; 0 leaves a voxel as it was."""
        found = codes > 0
        self.tissue[self.where[found]] = codes[found]


class Slab(NamedTuple):
    """Knee-frame coordinates of a block of voxels, flat, and the tissue found so far."""

    x: FloatArray
    y: FloatArray
    z: FloatArray
    tissue: NDArray[np.uint8]

    def empty_in(self, box: Box) -> Part:
        """Returns the voxels inside a box that no tissue was written to yet."""
        inside = self.tissue == 0
        for axis, low, high in zip((self.x, self.y, self.z), box.low, box.high, strict=True):
            inside &= axis > low
            inside &= axis < high
        where = np.flatnonzero(inside)
        return Part(self.x[where], self.y[where], self.z[where], where, self.tissue)
