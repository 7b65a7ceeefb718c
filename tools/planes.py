"""Slices of a canonical volume, windowed and turned as a reader sees them.

Radiological convention: sagittal slices have anterior on the left, coronal and axial ones the
patient's right on the image's left; superior (in axial slices anterior) is up. In a canonical
array (x to the right, y to anterior, z to superior) all three are the slice transposed with both
axes reversed: image row 0 is the last index of one axis, column 0 the last of the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from knee.geometry import Box3D
from tools.volumes import Volume

Plane = Literal["sagittal", "coronal", "axial"]
"""The three planes, by their English names."""
Window = tuple[float, float]
"""Intensities shown as black and as white."""

PLANES: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")
"""In the order of the canonical axis that each is perpendicular to (x, y, z)."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaneImage:
    """One slice, oriented as a reader sees it.

    Attributes:
        pixels: (rows, columns) uint8, one pixel a voxel.
        spacing: mm between rows and between columns; pixels are square only where they agree.
        plane: which plane.
        index: canonical index along the plane's axis.
    """

    pixels: npt.NDArray[np.uint8]
    spacing: tuple[float, float]
    plane: Plane
    index: int


def default_window(volume: Volume, percentiles: tuple[float, float] = (1.0, 99.5)) -> Window:
    """Returns two percentiles of the voxels that are not zero.

    Every fourth voxel along each axis is looked at. A volume without contrast gives a window of
    width 1.

    Args:
        volume: in any axes.
        percentiles: the lower and the upper one, 0 to 100.
    """
    sample = np.asarray(volume.array[::4, ::4, ::4], dtype=np.float32)
    sample = sample[np.isfinite(sample) & (sample != 0)]
    if sample.size == 0:
        return (0.0, 1.0)
    low, high = (float(value) for value in np.percentile(sample, percentiles))
    return (low, high) if high > low else (low, low + 1.0)


def window_slice(values: npt.NDArray[Any], window: Window) -> npt.NDArray[np.uint8]:
    """Returns a 2D slice as 0-255, black at the window's low end; NaN is black.

    Args:
        values: intensities, any shape.
        window: low and high intensity; low < high.

    Raises:
        ValueError: the window is empty or not finite.
    """
    low, high = window
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"window must be finite and not empty, got {window!r}")
    scaled = (np.asarray(values, dtype=np.float32) - low) * (255.0 / (high - low))
    return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255).astype(
        np.uint8
    )


def take_plane(canonical: npt.NDArray[Any], plane: Plane, index: int) -> npt.NDArray[Any]:
    """Returns a slice of a canonical array as a reader sees it; a view.

    Args:
        canonical: 3D, x to the right, y to anterior, z to superior.
        plane: which plane.
        index: index along the plane's axis; negative ones are refused.

    Raises:
        IndexError: the index is outside of the array.
    """
    axis = PLANES.index(plane)
    if not 0 <= index < canonical.shape[axis]:
        raise IndexError(f"{plane} slice {index} of {canonical.shape[axis]}")
    return np.moveaxis(canonical, axis, 0)[index].T[::-1, ::-1]


def render_plane(volume_canonical: Volume, plane: Plane, index: int, window: Window) -> PlaneImage:
    """Returns one windowed slice of a canonical volume, one pixel a voxel, with its spacing.

    Use `to_square_pixels` before showing it: DESS voxels are twice as wide as they are high in
    coronal and axial slices.
    """
    pixels = window_slice(take_plane(volume_canonical.array, plane, index), window)
    row_axis, column_axis = image_axes(plane)
    spacing = volume_canonical.spacing
    return PlaneImage(pixels, (spacing[row_axis], spacing[column_axis]), plane, index)


def to_square_pixels(
    image: PlaneImage, mm_per_pixel: float, *, smooth: bool = True
) -> npt.NDArray[np.uint8]:
    """Returns the slice resampled to square pixels of the given size.

    Args:
        image: a slice.
        mm_per_pixel: edge of the new pixels in mm.
        smooth: bicubic, else nearest (label numbers, masks).
    """
    rows, columns = image.pixels.shape
    size = (
        max(1, round(columns * image.spacing[1] / mm_per_pixel)),
        max(1, round(rows * image.spacing[0] / mm_per_pixel)),
    )
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(image.pixels)).resize(size, method))


def box_on_plane(
    box_canonical: Box3D, shape: Sequence[int], plane: Plane
) -> tuple[int, int, int, int]:
    """Returns `(top, bottom, left, right)` of a canonical voxel box in a slice, half-open pixels.

    Args:
        box_canonical: voxel box in canonical indices.
        shape: canonical shape of the volume.
        plane: which plane; whether the slice meets the box is not asked.
    """
    bounds = box_canonical.indices
    row_axis, column_axis = image_axes(plane)
    row_low, row_high = bounds[2 * row_axis], bounds[2 * row_axis + 1]
    column_low, column_high = bounds[2 * column_axis], bounds[2 * column_axis + 1]
    rows, columns = shape[row_axis], shape[column_axis]
    return (rows - row_high, rows - row_low, columns - column_high, columns - column_low)


def image_axes(plane: Plane) -> tuple[int, int]:
    """Returns the canonical axes that image rows and image columns run along."""
    return {"sagittal": (2, 1), "coronal": (2, 0), "axial": (1, 0)}[plane]
