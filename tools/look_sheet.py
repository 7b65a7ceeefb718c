"""A sheet to look at one knee: three planes with outlines, subregions and a box, words beside it.

Cartilage is filled with its subregion's colour, the bone wedges under it are tinted with the same
colour, other structures are outlined. A sheet of a question has one row of planes through the
middle of its box; a sheet of a whole volume has two, through both compartments.
"""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from knee.anatomy import Bone, Compartment, Structure, Subregion
from knee.geometry import Box3D
from tools.articular_surface import CARTILAGES
from tools.derived_regions import bounds_mm
from tools.frame_sampling import canonical_index
from tools.knee_parts import KneeParts
from tools.planes import PLANES, Plane, PlaneImage, take_plane, to_square_pixels
from tools.segmentation import LabelMap
from tools.slices import COLOURS, Colour, PanelStyle, draw_panel, shown_volume
from tools.subregion_overlay import (
    SUBREGION_COLOURS,
    SubregionOverlay,
    subregion_overlay,
)
from tools.subregions import NOWHERE, ORDER
from tools.volumes import Volume, stored_box_to_canonical

_CARTILAGE_ALPHA, _BONE_ALPHA = 0.75, 0.30
_TEXT_WIDTH = 460
_LINE = 16
_GAP = 6
_COLUMNS = 6
"""Of the legend."""
_INK, _DIM, _PAPER = (235, 235, 235), (170, 170, 175), (16, 16, 18)
_PLAIN = str.maketrans("²³", "23")
_FILLED = {structure for structures in CARTILAGES.values() for structure in structures}


@dataclass(frozen=True)
class Words:
    """What stands beside the panels.

    Attributes:
        title: first line.
        lines: paragraphs; one that starts with `# ` is a heading.
    """

    title: str
    lines: tuple[str, ...]


def look_png(
    image: Volume | None,
    label_map: LabelMap,
    parts: KneeParts,
    words: Words,
    box: Box3D | None = None,
    *,
    panel_mm: float = 130.0,
    panel_pixels: int = 420,
) -> bytes:
    """Returns the PNG of a sheet.

    Args:
        image: as stored, on the label map's grid; None shows the labels in grey.
        label_map: as stored.
        parts: the knee measured from it.
        words: what stands beside the panels.
        box: stored voxel box of a question's region: one row of planes through its middle. None
            shows two rows through the whole knee.
        panel_mm: extent of the panels in mm.
        panel_pixels: height and width of a panel.
    """
    shown, window = shown_volume(image, label_map)
    canonical, labels = shown.to_canonical(), label_map.canonical()
    overlay = subregion_overlay(parts)
    style = PanelStyle(panel_mm / panel_pixels, panel_pixels, window, _outlined(labels))
    if box is None:
        centres, canonical_box = _through_the_knee(parts), None
    else:
        canonical_box = stored_box_to_canonical(box, shown)
        centres = [_middle(canonical_box)]
    tint = _Tint(overlay, canonical, style)
    rows = [
        [
            draw_panel(canonical, labels, canonical_box, plane, centre, style, paint=tint)
            for plane in PLANES
        ]
        for centre in centres
    ]
    legend = [_Key(_spoken(s), SUBREGION_COLOURS[s], is_filled=True) for s in overlay.present()]
    legend += [_Key(_spoken(s), colour, is_filled=False) for s, colour in style.outlines.items()]
    return _join(rows, words, legend)


class _Key(NamedTuple):
    """One entry of the legend."""

    name: str
    colour: Colour
    is_filled: bool


def _spoken(name: Subregion | Structure) -> str:
    return name.value.replace("_", " ")


def _outlined(labels: LabelMap) -> dict[Structure, Colour]:
    present = labels.present()
    return {s: c for s, c in COLOURS.items() if s in present and s not in _FILLED}


def _middle(box: Box3D) -> tuple[int, int, int]:
    low, high = box.lower, box.upper
    return (
        int((low[0] + high[0]) // 2),
        int((low[1] + high[1]) // 2),
        int((low[2] + high[2]) // 2),
    )


def _through_the_knee(parts: KneeParts) -> list[tuple[int, int, int]]:
    """Centres of the two rows: medial with the tibial plateau, lateral with the patella."""
    frame, tibia = parts.knee.frame, parts.partition.tibia
    size = [n * step for n, step in zip(frame.shape, frame.spacing, strict=True)]
    if tibia is None:
        middle = (size[0] / 2, size[1] / 2, size[2] / 2)
        return [canonical_index(frame, middle)]
    across = {
        side: (tibia.inner_m[side] + tibia.outer_m[side]) / 2
        for side in (Compartment.MEDIAL, Compartment.LATERAL)
    }
    low = tibia.level_s[Compartment.MEDIAL] + 2.0
    patella = bounds_mm(parts, Bone.PATELLA)
    high = low + 30.0 if patella is None else float(patella[0][2] + patella[1][2]) / 2
    back = tibia.thirds_a[Compartment.LATERAL][0]
    return [
        canonical_index(frame, (across[Compartment.MEDIAL], tibia.spine_a, low)),
        canonical_index(frame, (across[Compartment.LATERAL], back, high)),
    ]


@dataclass(frozen=True)
class _Tint:
    """Colours a slice: wedges and cartilage in their subregions' colours."""

    overlay: SubregionOverlay
    canonical: Volume
    style: PanelStyle

    def __call__(self, rgb: NDArray[np.uint8], plane: Plane, index: int) -> NDArray[np.uint8]:
        table = np.array([SUBREGION_COLOURS[s] for s in ORDER], np.float32)
        spacing = self.style.spacing_of(self.canonical, plane)
        drawn = rgb.astype(np.float32)
        for array, alpha in (
            (self.overlay.bone, _BONE_ALPHA),
            (self.overlay.cartilage, _CARTILAGE_ALPHA),
        ):
            # 0 is nowhere: unsigned numbers survive the resampling as they are.
            numbers = (take_plane(array, plane, index) - NOWHERE).astype(np.uint8)
            one = PlaneImage(numbers, spacing, plane, index)
            square = to_square_pixels(one, self.style.mm_per_pixel, smooth=False).astype(np.intp)
            here = square > 0
            drawn[here] = (1 - alpha) * drawn[here] + alpha * table[square[here] - 1]
        return drawn.astype(np.uint8)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _join(rows: Sequence[Sequence[Image.Image]], words: Words, legend: Sequence[_Key]) -> bytes:
    panel = rows[0][0].width
    width = 3 * panel + 2 * _GAP
    lines = _wrapped(words, _TEXT_WIDTH - 20)
    text_height = _LINE * len(lines) + 12
    legend_rows = -(-len(legend) // _COLUMNS)
    panels_height = len(rows) * (panel + _GAP) + legend_rows * _LINE + 8
    head = 28
    sheet = Image.new("RGB", (width + _TEXT_WIDTH, head + max(panels_height, text_height)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((8, 6), words.title, fill=_INK, font=_font(15))
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * (panel + _GAP), head + number * (panel + _GAP)))
    top = head + len(rows) * (panel + _GAP) + 2
    for number, key in enumerate(legend):
        x, y = 8 + (number % _COLUMNS) * (width // _COLUMNS), top + (number // _COLUMNS) * _LINE
        fill = key.colour if key.is_filled else None
        draw.rectangle((x, y + 3, x + 10, y + 12), fill=fill, outline=key.colour)
        draw.text((x + 16, y), key.name, fill=_INK, font=_font(12))
    for number, (text, is_heading) in enumerate(lines):
        place = (width + 14, head + 2 + number * _LINE)
        draw.text(
            place, text, fill=_INK if is_heading else _DIM, font=_font(13 if is_heading else 12)
        )
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _wrapped(words: Words, width: int) -> list[tuple[str, bool]]:
    """The words in lines that fit, each with whether it is a heading.

    Pillow's own font has no raised digits: mm² is written mm2.
    """
    n_characters = int(width / _font(12).getlength("n"))
    lines: list[tuple[str, bool]] = []
    for paragraph in (line.translate(_PLAIN) for line in words.lines):
        if paragraph.startswith("# "):
            lines += [("", False)] if lines else []
            lines.append((paragraph[2:], True))
            continue
        lines += [(line, False) for line in textwrap.wrap(paragraph, n_characters)]
    return lines
