"""Slices as a reader sees them, with outlines and a box drawn in.

Radiological convention: sagittal slices have anterior on the left, coronal and axial ones the
patient's right on the image's left; superior (in axial slices anterior) is up. In a canonical
array (x to the right, y to anterior, z to superior) all three are the slice transposed with both
axes reversed: image row 0 is the last index of one axis, column 0 the last of the other.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from knee.anatomy import Structure
from knee.geometry import Box3D
from tools.segmentation import LabelMap
from tools.volumes import Volume, stored_box_to_canonical

Plane = Literal["sagittal", "coronal", "axial"]
"""The three planes, by their English names."""
Window = tuple[float, float]
"""Intensities shown as black and as white."""
Colour = tuple[int, int, int]
"""Red, green, blue, 0-255."""

PLANES: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")
"""In the order of the canonical axis that each is perpendicular to (x, y, z)."""
BOX_COLOUR: Colour = (255, 221, 51)
"""Colour of boxes in every picture."""
_EDGE_LETTERS: dict[Plane, tuple[str, str, str, str]] = {
    "sagittal": ("S", "I", "A", "P"),
    "coronal": ("S", "I", "R", "L"),
    "axial": ("A", "P", "R", "L"),
}
"""Letters at the top, bottom, left and right edge (patient's own right and left)."""
_COLOURS: dict[Structure, Colour] = {
    Structure.FEMUR: (222, 184, 135),
    Structure.TIBIA: (173, 216, 120),
    Structure.PATELLA: (216, 160, 216),
    Structure.FIBULA: (160, 160, 160),
    Structure.FEMORAL_CARTILAGE: (80, 200, 255),
    Structure.TIBIAL_CARTILAGE: (60, 140, 255),
    Structure.MEDIAL_TIBIAL_CARTILAGE: (60, 140, 255),
    Structure.LATERAL_TIBIAL_CARTILAGE: (0, 220, 200),
    Structure.PATELLAR_CARTILAGE: (150, 120, 255),
    Structure.MENISCUS: (255, 90, 90),
    Structure.MEDIAL_MENISCUS: (255, 90, 90),
    Structure.LATERAL_MENISCUS: (255, 150, 60),
    Structure.ACL: (120, 255, 120),
    Structure.PCL: (255, 120, 220),
    Structure.MCL: (200, 255, 160),
    Structure.LCL: (255, 200, 230),
    Structure.PATELLAR_TENDON: (255, 255, 160),
    Structure.QUADRICEPS_TENDON: (240, 230, 140),
    Structure.HOFFA_FAT_PAD: (205, 133, 63),
    Structure.JOINT_FLUID: (0, 255, 255),
    Structure.FEMORAL_BML: (255, 0, 255),
    Structure.TIBIAL_BML: (255, 0, 255),
    Structure.PATELLAR_BML: (255, 0, 255),
    Structure.SUBCHONDRAL_CYST: (255, 255, 255),
}
"""Outline colours; `other` is not drawn."""


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


def default_window(volume: Volume) -> Window:
    """Returns the 1st and 99.5th percentile of the voxels that are not zero.

    Every fourth voxel along each axis is looked at. A volume without contrast gives a window of
    width 1.
    """
    sample = np.asarray(volume.array[::4, ::4, ::4], dtype=np.float32)
    sample = sample[np.isfinite(sample) & (sample != 0)]
    if sample.size == 0:
        return (0.0, 1.0)
    low, high = (float(value) for value in np.percentile(sample, (1.0, 99.5)))
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
    row_axis, column_axis = _image_axes(plane)
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
    row_axis, column_axis = _image_axes(plane)
    row_low, row_high = bounds[2 * row_axis], bounds[2 * row_axis + 1]
    column_low, column_high = bounds[2 * column_axis], bounds[2 * column_axis + 1]
    rows, columns = shape[row_axis], shape[column_axis]
    return (rows - row_high, rows - row_low, columns - column_high, columns - column_low)


def draw_overlay(
    rgb: npt.NDArray[np.uint8],
    mask_slices: Mapping[str, npt.NDArray[np.bool_]],
    colours: Mapping[str, Colour],
    box: tuple[float, float, float, float] | None = None,
) -> npt.NDArray[np.uint8]:
    """Returns a copy of a colour slice with outlines and a box drawn in.

    Args:
        rgb: (rows, columns, 3).
        mask_slices: name to (rows, columns) mask; its inner edge is drawn.
        colours: name to colour.
        box: `(top, bottom, left, right)` in pixels, half-open; drawn around those pixels.
    """
    drawn = rgb.copy()
    for name, mask in mask_slices.items():
        drawn[mask & ~ndimage.binary_erosion(mask)] = colours[name]
    if box is None:
        return drawn
    picture = Image.fromarray(drawn)
    top, bottom, left, right = box
    ImageDraw.Draw(picture).rectangle(
        (left - 1, top - 1, right, bottom), outline=BOX_COLOUR, width=2
    )
    return np.asarray(picture)


def sheet_png(
    volume: Volume | None,
    label_map: LabelMap | None,
    box: Box3D | None,
    *,
    title: str = "",
    panel_mm: float | None = None,
    panel_pixels: int = 400,
) -> bytes:
    """Returns a PNG with the three planes through the box's centre side by side.

    Args:
        volume: the image as stored; without one, the label map is shown in grey.
        label_map: as stored, on the same grid; its structures are outlined. May be None.
        box: voxel box in *stored* indices (as findings have it); None shows the volume's middle.
        title: a line above the panels.
        panel_mm: extent of each panel in mm, cut around the box; None shows all of the volume.
        panel_pixels: height and width of each panel.

    Raises:
        ValueError: neither image nor label map was given.
    """
    shown = volume if volume is not None else (label_map.volume if label_map else None)
    if shown is None:
        raise ValueError("a sheet needs an image or a label map")
    canonical = shown.to_canonical()
    labels = label_map.canonical() if label_map else None
    canonical_box = None if box is None else stored_box_to_canonical(box, shown)
    window = default_window(canonical)
    if panel_mm is None:
        panel_mm = max(n * mm for n, mm in zip(canonical.shape, canonical.spacing, strict=True))
    panels = [
        _panel(canonical, labels, canonical_box, plane, window, (panel_mm, panel_pixels))
        for plane in PLANES
    ]
    return _join_panels(panels, title, _legend(label_map))


def _image_axes(plane: Plane) -> tuple[int, int]:
    """Canonical axes of image rows and columns."""
    return {"sagittal": (2, 1), "coronal": (2, 0), "axial": (1, 0)}[plane]


def _centre(canonical: Volume, box: Box3D | None) -> tuple[int, int, int]:
    if box is None:
        i, j, k = (n // 2 for n in canonical.shape)
        return (i, j, k)
    middles = [int((low + high) // 2) for low, high in zip(box.lower, box.upper, strict=True)]
    i, j, k = (
        min(max(middle, 0), n - 1) for middle, n in zip(middles, canonical.shape, strict=True)
    )
    return (i, j, k)


def _panel(
    canonical: Volume,
    labels: LabelMap | None,
    box: Box3D | None,
    plane: Plane,
    window: Window,
    size: tuple[float, int],
) -> Image.Image:
    """One square panel, cut around the box's centre where it does not show everything."""
    panel_mm, panel_pixels = size
    mm_per_pixel = panel_mm / panel_pixels
    centre = _centre(canonical, box)
    index = centre[PLANES.index(plane)]
    image = render_plane(canonical, plane, index, window)
    grey = to_square_pixels(image, mm_per_pixel)
    rgb = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    if labels is not None:
        numbers = take_plane(labels.volume.array, plane, index)
        for structure in sorted(labels.present() & set(_COLOURS)):
            mask = np.isin(numbers, labels.scheme.numbers(structure)).astype(np.uint8)
            if mask.any():
                one = PlaneImage(mask, image.spacing, plane, index)
                masks[structure.value] = to_square_pixels(one, mm_per_pixel, smooth=False) > 0
    colours = {structure.value: colour for structure, colour in _COLOURS.items()}
    scale = (image.spacing[0] / mm_per_pixel, image.spacing[1] / mm_per_pixel)
    rectangle = None
    if box is not None:
        top, bottom, left, right = box_on_plane(box, canonical.shape, plane)
        rectangle = (top * scale[0], bottom * scale[0], left * scale[1], right * scale[1])
    drawn = Image.fromarray(draw_overlay(rgb, masks, colours, rectangle))
    row_axis, column_axis = _image_axes(plane)
    middle = (
        (canonical.shape[column_axis] - 0.5 - centre[column_axis]) * scale[1],
        (canonical.shape[row_axis] - 0.5 - centre[row_axis]) * scale[0],
    )
    cut = _cut(drawn, middle, panel_pixels)
    _annotate(cut, plane, index, mm_per_pixel)
    return cut


def _cut(drawn: Image.Image, middle: tuple[float, float], pixels: int) -> Image.Image:
    """A square around `middle`, moved inwards so that it shows no more margin than it must."""
    corner: list[int] = []
    for extent, centre in zip(drawn.size, middle, strict=True):
        if extent <= pixels:
            corner.append(-((pixels - extent) // 2))
        else:
            corner.append(min(max(round(centre - pixels / 2), 0), extent - pixels))
    left, top = corner
    return drawn.crop((left, top, left + pixels, top + pixels))


def _annotate(panel: Image.Image, plane: Plane, index: int, mm_per_pixel: float) -> None:
    draw = ImageDraw.Draw(panel)
    width, height = panel.size
    top, bottom, left, right = _EDGE_LETTERS[plane]
    white: Colour = (235, 235, 235)
    draw.text((width / 2, 4), top, fill=white, anchor="mt")
    draw.text((width / 2, height - 4), bottom, fill=white, anchor="mb")
    draw.text((4, height / 2), left, fill=white, anchor="lm")
    draw.text((width - 4, height / 2), right, fill=white, anchor="rm")
    draw.text((6, 6), f"{plane} {index}", fill=white, anchor="lt")
    bar = 10.0 / mm_per_pixel
    draw.line((8, height - 10, 8 + bar, height - 10), fill=white, width=2)
    draw.text((8, height - 14), "10 mm", fill=white, anchor="lb")


def _legend(label_map: LabelMap | None) -> list[tuple[str, Colour]]:
    if label_map is None:
        return []
    present = label_map.present()
    return [
        (structure.value.replace("_", " "), colour)
        for structure, colour in _COLOURS.items()
        if structure in present
    ]


def _join_panels(
    panels: Sequence[Image.Image], title: str, legend: Sequence[tuple[str, Colour]]
) -> bytes:
    gap, line = 6, 18
    width = sum(panel.width for panel in panels) + gap * (len(panels) - 1)
    head = line + 4 if title else 0
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    rows: list[list[tuple[float, str, Colour]]] = [[]]
    x = 6.0
    for name, colour in legend:
        needed = draw.textlength(name) + 28
        if x + needed > width:
            rows.append([])
            x = 6.0
        rows[-1].append((x, name, colour))
        x += needed
    foot = line * len(rows) + 6 if legend else 0
    sheet = Image.new("RGB", (width, head + panels[0].height + foot), (16, 16, 18))
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((6, 5), title, fill=(240, 240, 240), anchor="lt")
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number * (panel.width + gap), head))
    for number, row in enumerate(rows):
        y = head + panels[0].height + 5 + number * line
        for x, name, colour in row:
            draw.rectangle((x, y + 2, x + 9, y + 11), fill=colour)
            draw.text((x + 14, y + 1), name, fill=(220, 220, 220), anchor="lt")
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
