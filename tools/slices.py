"""Pictures of a box in its volume: outlines, the box, and a sheet of all three planes.

How slices are turned and windowed is `tools.planes`.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from knee.anatomy import Structure
from knee.geometry import Box3D
from tools.planes import (
    PLANES,
    Plane,
    PlaneImage,
    Window,
    box_on_plane,
    default_window,
    image_axes,
    render_plane,
    take_plane,
    to_square_pixels,
    window_slice,
)
from tools.segmentation import LabelMap
from tools.volumes import Volume, stored_box_to_canonical

__all__ = [
    "BOX_COLOUR",
    "COLOURS",
    "PLANES",
    "Colour",
    "PanelStyle",
    "Plane",
    "PlaneImage",
    "Window",
    "box_on_plane",
    "default_window",
    "draw_overlay",
    "draw_panel",
    "render_plane",
    "sheet_png",
    "shown_volume",
    "take_plane",
    "to_square_pixels",
    "window_slice",
]

Colour = tuple[int, int, int]
"""Red, green, blue, 0-255."""

BOX_COLOUR: Colour = (255, 221, 51)
"""Colour of boxes in every picture."""
_EDGE_LETTERS: dict[Plane, tuple[str, str, str, str]] = {
    "sagittal": ("S", "I", "A", "P"),
    "coronal": ("S", "I", "R", "L"),
    "axial": ("A", "P", "R", "L"),
}
"""Letters at the top, bottom, left and right edge (patient's own right and left)."""
COLOURS: dict[Structure, Colour] = {
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
_OTHER_COLOUR: Colour = (70, 70, 70)
_LABEL_BRIGHTNESS = 0.6
"""Of the outline's brightness, where labels are shown without an image."""


@dataclass(frozen=True)
class PanelStyle:
    """How a panel is drawn.

    Attributes:
        mm_per_pixel: edge of its pixels.
        pixels: its height and width.
        window: intensities shown as black and as white.
        outlines: structures that are outlined, with their colours.
    """

    mm_per_pixel: float
    pixels: int
    window: Window
    outlines: Mapping[Structure, Colour]

    def spacing_of(self, canonical: Volume, plane: Plane) -> tuple[float, float]:
        """Returns mm between rows and between columns of a plane's slices."""
        row_axis, column_axis = image_axes(plane)
        return canonical.spacing[row_axis], canonical.spacing[column_axis]


Paint = Callable[[npt.NDArray[np.uint8], Plane, int], npt.NDArray[np.uint8]]
"""Colours a slice (rows, columns, 3) of square pixels before outlines are drawn."""


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
    shown, window = shown_volume(volume, label_map)
    canonical_box = None if box is None else stored_box_to_canonical(box, shown)
    labels = label_map.canonical() if label_map else None
    canonical = shown.to_canonical()
    if panel_mm is None:
        panel_mm = max(n * mm for n, mm in zip(canonical.shape, canonical.spacing, strict=True))
    style = PanelStyle(panel_mm / panel_pixels, panel_pixels, window, COLOURS)
    centre = _centre(canonical, canonical_box)
    panels = [
        draw_panel(canonical, labels, canonical_box, plane, centre, style) for plane in PLANES
    ]
    return _join_panels(panels, title, _legend(label_map))


def shown_volume(volume: Volume | None, label_map: LabelMap | None) -> tuple[Volume, Window]:
    """Returns what is shown in grey and its window: the image, without one the label map.

    Raises:
        ValueError: neither image nor label map was given.
    """
    if volume is not None:
        return volume, default_window(volume)
    if label_map is None:
        raise ValueError("a sheet needs an image or a label map")
    return _grey_labels(label_map), (0.0, 255.0)


def _grey_labels(label_map: LabelMap) -> Volume:
    """The label map with each number replaced by its structure's colour in dark grey, 0-255."""
    volume = label_map.volume
    table = np.zeros(max(label_map.counts) + 1, dtype=np.uint8)
    for number in label_map.counts:
        colour = COLOURS.get(label_map.scheme.labels[number], _OTHER_COLOUR)
        table[number] = round(sum(colour) / 3 * _LABEL_BRIGHTNESS)
    return Volume(table[volume.array], volume.affine, volume.path, volume.sha256)


def _centre(canonical: Volume, box: Box3D | None) -> tuple[int, int, int]:
    if box is None:
        i, j, k = (n // 2 for n in canonical.shape)
        return (i, j, k)
    middles = [int((low + high) // 2) for low, high in zip(box.lower, box.upper, strict=True)]
    i, j, k = (
        min(max(middle, 0), n - 1) for middle, n in zip(middles, canonical.shape, strict=True)
    )
    return (i, j, k)


def draw_panel(
    canonical: Volume,
    labels: LabelMap | None,
    box: Box3D | None,
    plane: Plane,
    centre: tuple[int, int, int],
    style: PanelStyle,
    *,
    paint: Paint | None = None,
) -> Image.Image:
    """Returns one square panel, cut around a centre where it does not show everything.

    Args:
        canonical: what is shown, in canonical axes.
        labels: in canonical axes, on the same grid; outlined. May be None.
        box: canonical voxel box to draw, or None.
        plane: which plane.
        centre: canonical index that the plane goes through.
        style: size, window and outlines.
        paint: colours the slice before outlines are drawn.
    """
    index = centre[PLANES.index(plane)]
    image = render_plane(canonical, plane, index, style.window)
    grey = to_square_pixels(image, style.mm_per_pixel)
    rgb = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if paint is not None:
        rgb = paint(rgb, plane, index)
    masks = {} if labels is None else _outline_masks(labels, image, style)
    colours = {structure.value: colour for structure, colour in style.outlines.items()}
    scale = (image.spacing[0] / style.mm_per_pixel, image.spacing[1] / style.mm_per_pixel)
    rectangle = None
    if box is not None:
        top, bottom, left, right = box_on_plane(box, canonical.shape, plane)
        rectangle = (top * scale[0], bottom * scale[0], left * scale[1], right * scale[1])
    drawn = Image.fromarray(draw_overlay(rgb, masks, colours, rectangle))
    row_axis, column_axis = image_axes(plane)
    middle = (
        (canonical.shape[column_axis] - 0.5 - centre[column_axis]) * scale[1],
        (canonical.shape[row_axis] - 0.5 - centre[row_axis]) * scale[0],
    )
    cut = _cut(drawn, middle, style.pixels)
    _annotate(cut, plane, index, style.mm_per_pixel)
    return cut


def _outline_masks(
    labels: LabelMap, image: PlaneImage, style: PanelStyle
) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks of the outlined structures that the slice meets, in its square pixels."""
    numbers = take_plane(labels.volume.array, image.plane, image.index)
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    for structure in sorted(labels.present() & set(style.outlines)):
        mask = np.isin(numbers, labels.scheme.numbers(structure)).astype(np.uint8)
        if mask.any():
            one = PlaneImage(mask, image.spacing, image.plane, image.index)
            masks[structure.value] = to_square_pixels(one, style.mm_per_pixel, smooth=False) > 0
    return masks


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
    bar = 10.0 / mm_per_pixel
    draw.line((7, height - 10, 9 + bar, height - 10), fill=(0, 0, 0), width=4)
    draw.line((8, height - 10, 8 + bar, height - 10), fill=white, width=2)
    texts = (
        (width / 2, 4, top, "mt"),
        (width / 2, height - 4, bottom, "mb"),
        (4, height / 2, left, "lm"),
        (width - 4, height / 2, right, "rm"),
        (6, 6, f"{plane} {index}", "lt"),
        (8, height - 15, "10 mm", "lb"),
    )
    for x, y, text, anchor in texts:
        draw.text((x, y), text, fill=white, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _legend(label_map: LabelMap | None) -> list[tuple[str, Colour]]:
    if label_map is None:
        return []
    present = label_map.present()
    return [
        (structure.value.replace("_", " "), colour)
        for structure, colour in COLOURS.items()
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
