"""Where the cropped anatomical array lies in the canonical one, and boxes carried between them.

Axes of both are those of `tools.anatomical_frame`: medial, anterior, superior.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.geometry import Box3D, voxel_box
from tools.bone_axes import Turn

FloatArray = NDArray[np.float32]
"""Lengths in mm or shares, float32 to spare memory."""
IntArray = NDArray[np.intp]
"""Indices."""
_ROUND_OFF = 1e-3
"""Voxels: a centre so near to a box's side lies within, whichever way its mm were rounded."""


@dataclass(frozen=True)
class AnatomicalFrame:
    """How the cropped anatomical array lies in the canonical one.

    Attributes:
        canonical_shape: shape of the canonical (closest-RAS) array.
        spacing: voxel size in mm along medial, anterior, superior.
        flipped: True when axis 0 runs against the canonical one (right knees).
        offset: index of the crop's first voxel, in the uncropped anatomical array.
        shape: shape of the crop.
        turn: how the volume was turned upright; None where it lies as it should.
        lean_rad: how far the bones' medial axis still is from axis 0, towards anterior; 0 where
            the bones do not show it.
    """

    canonical_shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    flipped: bool
    offset: tuple[int, int, int]
    shape: tuple[int, int, int]
    turn: Turn | None = None
    lean_rad: float = 0.0

    def to_anatomical(self, points: FloatArray) -> NDArray[np.float64]:
        """Returns indices in the anatomical array of the whole volume.

        Args:
            points: (n, 3) mm of the crop's frame, 0 at its first voxel's centre.

        Returns:
            (n, 3) fractional indices; voxel i covers i - 0.5 to i + 0.5. Axis 0 still runs
            medially.
        """
        spacing = np.asarray(self.spacing)
        inside = points.astype(np.float64) + np.asarray(self.offset) * spacing
        if self.turn is not None:
            inside = self.turn.middle + (inside + self.turn.start) @ self.turn.axes.T
        return inside / spacing

    def place(self, points: FloatArray, margin_mm: float = 0.0) -> tuple[IntArray, IntArray]:
        """Returns half-open indices of the box around points, in the whole anatomical array.

        The box holds the voxels whose centre lies within, one on an axis along which none does. It
        may reach beyond the volume.

        Args:
            points: (n, 3) mm of the crop's frame.
            margin_mm: added on every side.
        """
        index = self.to_anatomical(points)
        reach = margin_mm / np.asarray(self.spacing)
        low, high = index.min(axis=0) - reach, index.max(axis=0) + reach
        lower = np.ceil(low - _ROUND_OFF).astype(np.intp)
        upper = np.floor(high + _ROUND_OFF).astype(np.intp) + 1
        middle = np.rint((low + high) / 2).astype(np.intp)
        thin = lower >= upper
        return np.where(thin, middle, lower), np.where(thin, middle + 1, upper)

    def cut(self, lower: IntArray, upper: IntArray) -> tuple[Box3D, bool] | None:
        """Returns the canonical voxel box of `place`'s indices, and whether it was cut.

        Args:
            lower: first indices per axis; may lie outside the volume.
            upper: last indices + 1.

        Returns:
            The box cut to the field of view with True when something was cut off; None when
            nothing of it is left.
        """
        full = np.asarray(self.canonical_shape)
        cut_low, cut_high = np.maximum(lower, 0), np.minimum(upper, full)
        if bool((cut_low >= cut_high).any()):
            return None
        truncated = bool((lower < 0).any() or (upper > full).any())
        m0, m1 = int(cut_low[0]), int(cut_high[0])
        if self.flipped:
            m0, m1 = int(full[0]) - m1, int(full[0]) - m0
        box = voxel_box(
            m0, m1, int(cut_low[1]), int(cut_high[1]), int(cut_low[2]), int(cut_high[2])
        )
        return box, truncated

    def to_canonical_box(self, lower: IntArray, upper: IntArray) -> tuple[Box3D, bool] | None:
        """Returns the canonical voxel box of half-open crop indices, and whether it was cut.

        Args:
            lower: first indices per axis; may lie outside the crop and the volume.
            upper: last indices + 1.

        Returns:
            See `cut`.
        """
        spacing = np.asarray(self.spacing)
        corners = np.asarray(
            [
                [(lower, upper - 1)[side][axis] for axis, side in enumerate(sides)]
                for sides in np.ndindex(2, 2, 2)
            ]
        )
        return self.cut(*self.place((corners * spacing).astype(np.float32)))
