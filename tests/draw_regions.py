"""Draws the pictures of docs/regions.md from one phantom, so that they can be drawn again.

.venv/bin/python -m tests.draw_regions [OUT_FOLDER]
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from knee.anatomy import Bone, Side
from knee.geometry import Box3D
from knee.moaks import Feature
from knee.questions import QUESTIONS
from tools.articular_surface import CARTILAGES
from tools.boxes import region_box
from tools.knee_parts import KneeParts, measure_parts
from tools.phantom import regions as truth
from tools.phantom.build import Phantom, make_phantom
from tools.phantom.grid import Grid, make_grid
from tools.planes import (
    PLANES,
    Plane,
    PlaneImage,
    box_on_plane,
    default_window,
    render_plane,
    take_plane,
    to_square_pixels,
)
from tools.region_boxes import NoBox, place_box
from tools.segmentation import label_map_from_volume, load_scheme
from tools.subregions import ORDER, label_cartilage
from tools.volumes import Volume, make_volume, stored_box_to_canonical

SEED, SIDE, SEVERITY = 15, Side.RIGHT, 0.3
GRID = make_grid((0.8, 0.6, 0.6), (140, 236, 236))
OUT = Path("docs/images/regions")
_MM_PER_PIXEL = 0.45
_COLOURS = (
    (255, 99, 71),
    (72, 160, 255),
    (92, 214, 92),
    (255, 200, 60),
    (214, 110, 255),
    (80, 220, 220),
    (255, 150, 190),
    (170, 200, 90),
    (255, 140, 40),
    (140, 150, 255),
    (120, 255, 180),
    (230, 230, 120),
    (200, 120, 80),
    (150, 220, 255),
    (240, 90, 150),
)


@dataclass(frozen=True)
class Knee:
    """What is drawn: one phantom, its canonical volumes and its measured parts."""

    phantom: Phantom
    grid: Grid
    image: Volume
    parts: KneeParts

    def boxes(self, number: int) -> tuple[Box3D, Box3D]:
        """Returns the box found and the analytic one, canonical voxels."""
        question = QUESTIONS[number]
        found = region_box(self.parts, question)
        if isinstance(found, NoBox):
            raise SystemExit(f"{question.region}: {found.reason}")
        placed = place_box(self.parts, found)
        model = self.phantom.knee.model
        extrusion = self.phantom.knee.meniscus_state.extrusion
        wanted = truth.region_box(model, self.grid, truth.find_region(model, question, extrusion))
        if placed is None or wanted is None:
            raise SystemExit(f"{question.region}: not in the volume")
        return placed[0], stored_box_to_canonical(wanted[0], self.image)


def make_knee() -> Knee:
    """Returns the phantom of the pictures."""
    phantom = make_phantom(SEED, SIDE, GRID, SEVERITY)
    path = Path("phantom.nii.gz")
    labels = make_volume(phantom.label_map, phantom.affine, path, "sha256:labels")
    image = make_volume(phantom.image, phantom.affine, path, "sha256:image").to_canonical()
    parts = measure_parts(label_map_from_volume(labels, load_scheme("phantom"), SIDE))
    return Knee(phantom, GRID, image, parts)


def draw_feature(knee: Knee, feature: Feature, out: Path) -> None:
    """Writes a sheet of the three planes with all boxes of a feature; analytic ones dotted."""
    numbers = [n for n, q in QUESTIONS.items() if q.feature is feature and q.has_region]
    boxes = {n: knee.boxes(n) for n in numbers}
    tiles: list[Image.Image] = []
    for axis, plane in enumerate(PLANES):
        at = _busiest([found for found, _ in boxes.values()], axis)
        tiles.append(_tile(knee, plane, at, boxes))
    legend = _legend([QUESTIONS[n].site for n in numbers], sum(t.width for t in tiles))
    _save(tiles, legend, out / f"{feature.value}.jpg")


def draw_subregions(knee: Knee, out: Path) -> None:
    """Writes a sheet with cartilage and the bone under it in the colours of the subregions."""
    labels = np.full(knee.parts.knee.frame.shape, -1, np.int8)
    anatomical = knee.parts.knee
    for wedges in knee.parts.wedges.values():
        labels[tuple(wedges.where)] = wedges.labels
    for bone in Bone:
        mask = anatomical.mask(*CARTILAGES[bone])
        labels[mask] = label_cartilage(knee.parts.partition, anatomical, bone, mask)
    whole = _to_canonical(knee, labels)
    used = np.argwhere(whole >= 0)
    low, high = used.min(axis=0), used.max(axis=0)
    tiles: list[Image.Image] = []
    views: tuple[tuple[Plane, int, float], ...] = (
        ("sagittal", 0, 0.24),
        ("sagittal", 0, 0.76),
        ("coronal", 1, 0.35),
        ("axial", 2, 0.28),
        ("axial", 2, 0.75),
    )
    for plane, axis, share in views:
        at = int(low[axis] + share * (high[axis] - low[axis]))
        tiles.append(_coloured(knee, plane, at, whole))
    legend = _legend([s.value for s in ORDER], sum(t.width for t in tiles))
    _save(tiles, legend, out / "subregions.jpg")


def _to_canonical(knee: Knee, labels: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Labels of the crop in the canonical array; -1 outside."""
    frame = knee.parts.knee.frame
    whole = np.full(frame.canonical_shape, -1, np.int8)
    where = np.argwhere(labels >= 0)
    points = (where * np.asarray(frame.spacing)).astype(np.float32)
    index = np.rint(frame.to_anatomical(points)).astype(int)
    inside = ((index >= 0) & (index < whole.shape)).all(axis=1)
    index, values = index[inside], labels[tuple(where[inside].T)]
    if frame.flipped:
        index[:, 0] = whole.shape[0] - 1 - index[:, 0]
    whole[tuple(index.T)] = values
    return whole


def _busiest(boxes: Sequence[Box3D], axis: int) -> int:
    """The slice that meets most boxes; the middle one of several."""
    starts = [int(box.lower[axis]) for box in boxes]
    stops = [int(box.upper[axis]) for box in boxes]
    slices = range(min(starts), max(stops))
    met = [sum(a <= i < b for a, b in zip(starts, stops, strict=True)) for i in slices]
    best = [i for i, count in zip(slices, met, strict=True) if count == max(met)]
    return best[len(best) // 2]


def _square(knee: Knee, plane: Plane, at: int) -> Image.Image:
    window = default_window(knee.image)
    image = render_plane(knee.image, plane, at, window)
    return Image.fromarray(to_square_pixels(image, _MM_PER_PIXEL)).convert("RGB")


def _tile(knee: Knee, plane: Plane, at: int, boxes: dict[int, tuple[Box3D, Box3D]]) -> Image.Image:
    tile = _square(knee, plane, at)
    draw = ImageDraw.Draw(tile)
    axis = PLANES.index(plane)
    rows, columns = take_plane(knee.image.array, plane, at).shape
    scale = (tile.height / rows, tile.width / columns)
    for colour, (found, wanted) in zip(_COLOURS, boxes.values(), strict=False):
        for box, dotted in ((wanted, True), (found, False)):
            if not box.lower[axis] <= at < box.upper[axis]:
                continue
            top, bottom, left, right = box_on_plane(box, knee.image.shape, plane)
            corners = (left * scale[1], top * scale[0], right * scale[1], bottom * scale[0])
            if dotted:
                _dotted(draw, corners, colour)
            else:
                draw.rectangle(corners, outline=colour, width=2)
    return tile


def _dotted(
    draw: ImageDraw.ImageDraw,
    corners: tuple[float, float, float, float],
    colour: tuple[int, int, int],
) -> None:
    left, top, right, bottom = corners
    for x in np.arange(left, right, 4.0):
        draw.point([(x, top), (x, bottom)], fill=colour)
    for y in np.arange(top, bottom, 4.0):
        draw.point([(left, y), (right, y)], fill=colour)


def _coloured(knee: Knee, plane: Plane, at: int, labels: npt.NDArray[np.int8]) -> Image.Image:
    tile = np.asarray(_square(knee, plane, at)).astype(np.float32)
    row_axis, column_axis = {"sagittal": (2, 1), "coronal": (2, 0), "axial": (1, 0)}[plane]
    spacing = (knee.image.spacing[row_axis], knee.image.spacing[column_axis])
    pixels = np.ascontiguousarray(take_plane(labels, plane, at) + 1).astype(np.uint8)
    shown = to_square_pixels(
        PlaneImage(pixels, spacing, plane, at), _MM_PER_PIXEL, smooth=False
    ).astype(int)
    colours = np.asarray([(0, 0, 0), *_COLOURS], np.float32)
    mixed = np.where((shown > 0)[..., None], 0.45 * tile + 0.55 * colours[shown], tile)
    return Image.fromarray(mixed.astype(np.uint8))


def _legend(names: Sequence[str], width: int) -> Image.Image:
    per_row = 4
    legend = Image.new("RGB", (width, 16 * -(-len(names) // per_row) + 4), (20, 20, 20))
    draw = ImageDraw.Draw(legend)
    for place, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
        x, y = (place % per_row) * width // per_row + 6, (place // per_row) * 16 + 3
        draw.rectangle((x, y + 2, x + 9, y + 11), fill=colour)
        draw.text((x + 14, y), name, fill=(235, 235, 235))
    return legend


def _save(tiles: Sequence[Image.Image], legend: Image.Image, path: Path) -> None:
    height = max(tile.height for tile in tiles)
    sheet = Image.new("RGB", (legend.width, height + legend.height), (20, 20, 20))
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width
    sheet.paste(legend, (0, height))
    sheet.save(path, quality=82)


def main(arguments: Sequence[str]) -> int:
    """Draws all sheets."""
    out = Path(arguments[0]) if arguments else OUT
    out.mkdir(parents=True, exist_ok=True)
    knee = make_knee()
    draw_subregions(knee, out)
    for feature in dict.fromkeys(q.feature for q in QUESTIONS.values() if q.has_region):
        draw_feature(knee, feature, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
