"""Slices of a volume as PNG for a model to look at: which ones, cut, windowed, turned and marked.

Pure: volume, window, box and style in, images with their metadata out. The drafter's slices and
those of ReasonKnee-Bench are made here; what people look at is `tools.slices`.

A slice is one of the stored array, turned as a reader sees it (`tools.planes`): nothing is
resampled through the plane, and in the plane only so far that pixels are square. Above the picture
is a strip with the slice's name and what its left and right edges are, so that no voxel is covered.
No label map is read here, so none can show.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from knee.anatomy import Side
from knee.geometry import Box3D
from knee.keys import content_hash
from knee.shown_images import PlaneName, ShownSlice
from tools.planes import (
    PLANES,
    PlaneImage,
    Window,
    image_axes,
    take_plane,
    to_square_pixels,
    window_slice,
)
from tools.volumes import Volume, stored_box_to_canonical

RENDERING_VERSION: Final = 1
"""A change of the pixels that the same volume, box and style give raises it."""
BOX_COLOUR: Final = (255, 221, 51)
"""Of the box's outline; everything else is grey."""
STRIP_PIXELS: Final = 18
"""Height of the strip above the picture."""
STRIP_WIDTH: Final = 240
"""No strip needs to be wider; a picture that is narrower gets black beside it."""
_BOX_INDEX, _WHITE = 255, 254
_COMPRESS_LEVEL = 4
"""Of zlib, 0-9. Its default, 6, takes twice as long on DESS slices for 1 % fewer bytes."""
_AXES: Final = ("i", "j", "k")
_FONT_SIZE = 12
_GAP = 8


@dataclass(frozen=True, slots=True)
class SliceStyle:
    """Which slices are shown and how."""

    n_slices: int = 5
    """In each plane at most."""
    max_pixels: int = 448
    """Longest edge of a picture; a larger one is made smaller, none is made larger."""
    margin_mm: float | None = None
    """Slices are cut so far around the box; None shows them whole."""
    box_drawn: bool = True
    """Whether the box is outlined."""
    marked: bool = True
    """Whether there is a strip with name and edges."""
    pad_to: int = 1
    """Width and height are filled up with black to a multiple of this, right and below."""


@dataclass(frozen=True, slots=True)
class SliceImage:
    """One slice and where its pixels are in the volume."""

    shown: ShownSlice
    """What goes to the store."""
    png: bytes
    """Losslessly compressed; grey, the outline in colour."""
    corner: tuple[float, float]
    """Canonical voxel coordinates (along the row axis, along the column axis) of the picture's top
    left corner, below the strip; a voxel's extent is from its index to its index + 1."""
    origin: tuple[int, int]
    """Pixel (x, y) of that corner: y is the strip's height."""
    extent: tuple[int, int]
    """Voxels that the picture shows along the row axis and the column axis."""
    voxels_per_pixel: tuple[float, float]
    """Along the row axis and the column axis; both indices fall with growing pixels."""
    canonical_index: int
    """Index along the plane's canonical axis."""

    def voxel_at(self, x: float, y: float) -> tuple[int, int, int]:
        """Returns the canonical voxel under a point of the image.

        Args:
            x: pixels from the left edge; the middle of the first pixel is 0.5.
            y: pixels from the top edge, the strip included.
        """
        row_axis, column_axis = image_axes(self.shown.plane)
        place = [0, 0, 0]
        place[PLANES.index(self.shown.plane)] = self.canonical_index
        place[row_axis] = int(self.corner[0] - (y - self.origin[1]) * self.voxels_per_pixel[0])
        place[column_axis] = int(self.corner[1] - (x - self.origin[0]) * self.voxels_per_pixel[1])
        return (place[0], place[1], place[2])


def choose_slices(low: int, high: int, n: int) -> tuple[int, ...]:
    """Returns at most `n` indices of [low, high): the middles of equal parts, ascending.

    Example:
        >>> choose_slices(10, 20, 3), choose_slices(10, 12, 5)
        ((11, 15, 18), (10, 11))
    """
    n_there = max(high - low, 0)
    n = min(n, n_there)
    return tuple(low + (2 * part + 1) * n_there // (2 * n) for part in range(n))


def edge_names(plane: PlaneName, side: Side) -> tuple[str, str]:
    """Returns what the left and the right edge of a slice are.

    Radiological convention: the patient's right is on the image's left. In a right knee that is
    lateral, in a left knee medial.

    Example:
        >>> edge_names("coronal", Side.RIGHT)
        ("patient's right, lateral", "patient's left, medial")
    """
    if plane == "sagittal":
        return "anterior", "posterior"
    outer, inner = ("lateral", "medial") if side is Side.RIGHT else ("medial", "lateral")
    return f"patient's right, {outer}", f"patient's left, {inner}"


def edge_marks(plane: PlaneName, side: Side) -> tuple[str, str]:
    """Returns the same in short, as it stands in the strip: `A`, `P`, `R lat`, `L med`."""
    if plane == "sagittal":
        return "A", "P"
    return ("R lat", "L med") if side is Side.RIGHT else ("R med", "L lat")


def draw_slices(
    volume: Volume,
    box: Box3D,
    side: Side,
    planes: Sequence[PlaneName],
    window: Window,
    style: SliceStyle,
) -> tuple[SliceImage, ...]:
    """Returns the slices through a box, plane by plane in the order given, ascending within.

    Args:
        volume: as stored; only the voxels of the slices shown are read.
        box: half-open voxel box in stored indices, clipped to the volume.
        side: which knee, for medial and lateral.
        planes: planes to show.
        window: intensities shown as black and as white (`tools.planes.default_window`).
        style: how.

    Raises:
        ValueError: the box lies outside of the volume, or the window is empty.
    """
    canonical = volume.to_canonical()
    clipped = _clipped(stored_box_to_canonical(box, volume), canonical.shape)
    images: list[SliceImage] = []
    for plane in planes:
        for index in choose_slices(*clipped[PLANES.index(plane)], style.n_slices):
            place = _Place(plane, index, len(images) + 1)
            images.append(_draw(volume, canonical, clipped, side, place, window, style))
    return tuple(images)


_Bounds = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open canonical ranges along x, y, z."""


@dataclass(frozen=True, slots=True)
class _Place:
    plane: PlaneName
    index: int
    position: int


def _clipped(box: Box3D, shape: Sequence[int]) -> _Bounds:
    numbers = box.indices
    bounds = [(max(numbers[2 * a], 0), min(numbers[2 * a + 1], shape[a])) for a in range(3)]
    if any(low >= high for low, high in bounds):
        raise ValueError(f"the box {numbers!r} lies outside of a volume of shape {tuple(shape)!r}")
    return (bounds[0], bounds[1], bounds[2])


def _cut(low: int, high: int, n: int, spacing: float, margin_mm: float | None) -> tuple[int, int]:
    """The range of a canonical axis that is shown."""
    if margin_mm is None:
        return 0, n
    margin = round(margin_mm / spacing)
    return max(low - margin, 0), min(high + margin, n)


def _draw(
    volume: Volume,
    canonical: Volume,
    box: _Bounds,
    side: Side,
    place: _Place,
    window: Window,
    style: SliceStyle,
) -> SliceImage:
    plane, index = place.plane, place.index
    axes = image_axes(plane)
    spacing = (canonical.spacing[axes[0]], canonical.spacing[axes[1]])
    counts = (canonical.shape[axes[0]], canonical.shape[axes[1]])
    rows, columns = (
        _cut(*box[axis], n, mm, style.margin_mm)
        for axis, n, mm in zip(axes, counts, spacing, strict=True)
    )
    part = take_plane(canonical.array, plane, index)[
        counts[0] - rows[1] : counts[0] - rows[0],
        counts[1] - columns[1] : counts[1] - columns[0],
    ]
    longest = max(part.shape[0] * spacing[0], part.shape[1] * spacing[1])
    mm = max(*(min(spacing),), longest / style.max_pixels)
    grey = to_square_pixels(PlaneImage(window_slice(part, window), spacing, plane, index), mm)
    # The true size of a pixel: the number of pixels is whole.
    per_pixel = (part.shape[0] / grey.shape[0], part.shape[1] / grey.shape[1])
    strip = STRIP_PIXELS if style.marked else 0
    rectangle = _rectangle(box, axes, (rows[1], columns[1]), per_pixel)
    stored_axis, stored_index = _stored(volume, plane, index)
    text = (f"{plane} {stored_index}", *edge_marks(plane, side)) if style.marked else None
    drawn = rectangle if style.box_drawn else None
    picture, left = _picture(grey, drawn, text, style.pad_to)
    png = _png(picture)
    edges = edge_names(plane, side)
    x0, y0, x1, y1 = rectangle
    shown = ShownSlice(
        position=place.position,
        plane=plane,
        axis=_AXES[stored_axis],
        index=stored_index,
        left=edges[0],
        right=edges[1],
        width=picture.width,
        height=picture.height,
        mm_per_pixel=round(per_pixel[1] * spacing[1], 6),
        box_pixels=(x0 + left, y0 + strip, x1 + left, y1 + strip),
        sha256=content_hash(png),
    )
    return SliceImage(
        shown=shown,
        png=png,
        corner=(rows[1], columns[1]),
        origin=(left, strip),
        extent=(part.shape[0], part.shape[1]),
        voxels_per_pixel=per_pixel,
        canonical_index=index,
    )


def _stored(volume: Volume, plane: PlaneName, index: int) -> tuple[int, int]:
    """The stored axis of a plane, and the stored index of a canonical one."""
    axis, flipped = volume.canonical_axes()[PLANES.index(plane)]
    return axis, volume.shape[axis] - 1 - index if flipped else index


def _rectangle(
    box: _Bounds,
    axes: tuple[int, int],
    corner: tuple[int, int],
    per_pixel: tuple[float, float],
) -> tuple[int, int, int, int]:
    """`left, top, right, bottom` of the box in the picture, half-open pixels."""
    (row_low, row_high), (column_low, column_high) = box[axes[0]], box[axes[1]]
    left = round((corner[1] - column_high) / per_pixel[1])
    right = round((corner[1] - column_low) / per_pixel[1])
    top = round((corner[0] - row_high) / per_pixel[0])
    bottom = round((corner[0] - row_low) / per_pixel[0])
    return (left, top, max(right, left + 1), max(bottom, top + 1))


def _picture(
    grey: npt.NDArray[np.uint8],
    rectangle: tuple[int, int, int, int] | None,
    text: tuple[str, str, str] | None,
    pad_to: int,
) -> tuple[Image.Image, int]:
    """Slice, outline and strip, and where the slice begins from the left.

    With an outline 255 is its colour, and white becomes 254.
    """
    if rectangle is not None:
        grey = np.minimum(grey, np.uint8(_WHITE))
    picture = Image.fromarray(np.ascontiguousarray(grey))
    if rectangle is not None:
        left, top, right, bottom = rectangle
        edges = (
            max(left - 1, 0),
            max(top - 1, 0),
            min(right, picture.width - 1),
            min(bottom, picture.height - 1),
        )
        ImageDraw.Draw(picture).rectangle(edges, outline=_BOX_INDEX)
    if text is not None:
        picture = _with_strip(picture, text)
    start = (picture.width - grey.shape[1]) // 2
    size = tuple(-(-edge // pad_to) * pad_to for edge in picture.size)
    if size != picture.size:
        sheet = Image.new("L", (size[0], size[1]), 0)
        sheet.paste(picture, (0, 0))
        picture = sheet
    if rectangle is not None:
        picture.putpalette(_palette())
    return picture, start


def _with_strip(picture: Image.Image, text: tuple[str, str, str]) -> Image.Image:
    name, left, right = text
    strip = _strip(name, left, right, picture.width)
    sheet = Image.new("L", (strip.width, STRIP_PIXELS + picture.height), 0)
    sheet.paste(strip, (0, 0))
    sheet.paste(picture, ((strip.width - picture.width) // 2, STRIP_PIXELS))
    return sheet


def _strip(name: str, left: str, right: str, width: int) -> Image.Image:
    """The strip; wider than a picture that is too narrow for its words."""
    font = _font()
    lengths = [round(font.getlength(word)) for word in (left, name, right)]
    # The name stays in the middle: what is needed is twice the wider side.
    needed = lengths[1] + 2 * max(lengths[0], lengths[2]) + 4 * _GAP
    strip = Image.new("L", (max(width, needed), STRIP_PIXELS), 0)
    draw = ImageDraw.Draw(strip)
    middle = STRIP_PIXELS / 2
    draw.text((_GAP, middle), left, fill=_WHITE, font=font, anchor="lm")
    draw.text((strip.width / 2, middle), name, fill=_WHITE, font=font, anchor="mm")
    draw.text((strip.width - _GAP, middle), right, fill=_WHITE, font=font, anchor="rm")
    return strip


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)


@lru_cache(maxsize=1)
def _palette() -> list[int]:
    greys = [level for level in range(_WHITE + 1) for _ in range(3)]
    return [*greys, *BOX_COLOUR]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=_COMPRESS_LEVEL)
    return buffer.getvalue()
