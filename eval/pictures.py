"""The pictures of one item as a series: which slices, and where their pixels are in the volume.

Pictures are numbered 1, 2, … over all planes. A picture stands for the slices that are nearer to it
than to its neighbours: who says on which pictures a region is seen says its extent without bias,
with an error of at most half the distance of two pictures at either end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from eval.bench_config import PictureSettings
from eval.bench_records import BenchVolume
from knee.anatomy import Side
from knee.geometry import Box3D, voxel_box
from knee.shown_images import PlaneName
from tools.planes import PLANES, Window, image_axes
from tools.slice_images import SliceImage, SliceStyle, draw_slices
from tools.volumes import Volume


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


def slice_parts(indices: Sequence[int], n: int) -> tuple[tuple[int, int], ...]:
    """Returns the half-open part of [0, n) that each slice stands for: up to midway to the next.

    Args:
        indices: of the slices, ascending.
        n: slices of the volume along that axis.

    Example:
        >>> slice_parts((2, 7, 12), 15)
        ((0, 5), (5, 10), (10, 15))
    """
    edges = [0, *((a + b + 1) // 2 for a, b in pairwise(indices)), n]
    return tuple(pairwise(edges))


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
    shape = volume.to_canonical().shape
    series: list[PlanePictures] = []
    for plane in planes:
        own = tuple(image for image in images if image.shown.plane == plane)
        indices = [image.canonical_index for image in own]
        parts = slice_parts(indices, shape[PLANES.index(plane)])
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
