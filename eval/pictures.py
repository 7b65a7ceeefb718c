"""The pictures of one item as a series: which slices, and where their pixels are in the volume.

Pictures are numbered 1, 2, … over all planes. The slices of a plane lie in the middles of equal
parts of the volume, and a picture stands for its part: from the first to the last picture of a
region the parts reach from end to end, so that a box of any size can be said in pictures, with an
error of at most one part at either end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.bench_config import PictureSettings
from eval.bench_records import BenchVolume
from knee.anatomy import Side
from knee.geometry import Box3D, voxel_box
from knee.shown_images import PlaneName
from tools.planes import PLANES, Window, image_axes
from tools.slice_images import SliceImage, SliceStyle, draw_slices
from tools.volumes import Volume, stored_box_to_canonical


@dataclass(frozen=True, slots=True, eq=False)
class PlanePictures:
    """The pictures of one plane."""

    plane: PlaneName
    """Which plane."""
    first: int
    """Number of its first picture, from 1."""
    images: tuple[SliceImage, ...]
    """Ascending by canonical index."""
    parts: tuple[tuple[int, int], ...]
    """Half-open canonical range of slices that each picture stands for."""

    @property
    def last(self) -> int:
        """Number of its last picture."""
        return self.first + len(self.images) - 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a picture as sent, in pixels."""
        return self.images[0].shown.width, self.images[0].shown.height

    @property
    def axes(self) -> tuple[int, int, int]:
        """Canonical axes through the plane, along its rows' index and along its columns' index."""
        rows, columns = image_axes(self.plane)
        return PLANES.index(self.plane), rows, columns


@dataclass(frozen=True, slots=True, eq=False)
class PictureSeries:
    """All pictures of one item."""

    volume: Volume
    """The volume that they are of; only shape and affine are used."""
    planes: tuple[PlanePictures, ...]
    """In the order sent."""

    @property
    def images(self) -> tuple[SliceImage, ...]:
        """In the order sent."""
        return tuple(image for plane in self.planes for image in plane.images)

    def plane_of(self, picture: int) -> PlanePictures | None:
        """Returns the plane of a picture's number; None where there is no such picture."""
        return next((p for p in self.planes if p.first <= picture <= p.last), None)


def equal_parts(low: int, high: int, n: int) -> tuple[tuple[int, int], ...]:
    """Returns `n` equal half-open parts of [low, high), at most as many as it has indices.

    `tools.slice_images.choose_slices` takes the middle of each.

    Example:
        >>> equal_parts(10, 20, 3), equal_parts(10, 12, 5)
        (((10, 13), (13, 16), (16, 20)), ((10, 11), (11, 12)))
    """
    length = max(high - low, 0)
    n = min(n, length)
    return tuple((low + k * length // n, low + (k + 1) * length // n) for k in range(n))


def draw_series(
    volume: Volume,
    side: Side,
    planes: Sequence[PlaneName],
    window: Window,
    settings: PictureSettings,
    cut_to: Box3D | None = None,
) -> PictureSeries:
    """Returns an item's pictures: through the whole volume, or through a box and cut around it.

    Args:
        volume: as stored.
        side: which knee.
        planes: planes to show.
        window: intensities shown as black and as white.
        settings: how many, how large.
        cut_to: half-open voxel box in stored indices; None shows the whole volume.

    Raises:
        ValueError: the box lies outside of the volume.
    """
    i, j, k = volume.shape
    whole = voxel_box(0, i, 0, j, 0, k)
    style = SliceStyle(
        n_slices=settings.n_slices,
        max_pixels=settings.max_pixels,
        margin_mm=None if cut_to is None else settings.margin_mm,
        box_drawn=False,
        marked=True,
        pad_to=settings.pad_to,
    )
    box = whole if cut_to is None else cut_to
    images = draw_slices(volume, box, side, planes, window, style)
    bounds = stored_box_to_canonical(box, volume).indices
    shape = volume.to_canonical().shape
    series: list[PlanePictures] = []
    for plane in planes:
        axis = PLANES.index(plane)
        low, high = max(bounds[2 * axis], 0), min(bounds[2 * axis + 1], shape[axis])
        own = tuple(image for image in images if image.shown.plane == plane)
        parts = equal_parts(low, high, settings.n_slices)
        series.append(PlanePictures(plane, own[0].shown.position, own, parts))
    return PictureSeries(volume, tuple(series))


def blank_volume(volume: BenchVolume) -> Volume:
    """Returns a volume of the same grid in which every voxel is 0; it takes no memory.

    Raises:
        ValueError: the grid of the volume is not known.
    """
    if volume.shape is None or volume.affine is None:
        raise ValueError(f"the grid of {volume.volume_id!r} is not known")
    array = np.broadcast_to(np.zeros((), np.uint8), volume.shape)
    return Volume(array, np.array(volume.affine, float), Path(), "")
