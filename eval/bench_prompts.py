"""What a model is sent for one item of a bench: its messages and the schema of its answer."""

from typing import NamedTuple

from agents.llm_client import JsonSchema
from eval.bench_answers import bench_schema
from eval.bench_config import BenchModel, PictureSettings
from eval.bench_records import BenchItem, BenchVolume, Coordinates, Setting
from eval.coordinates import picture_box
from eval.pictures import PictureSeries, PlanePictures
from knee.geometry import Box3D
from prompts.bench import BenchContext, BenchPictures, KnownBox, bench_context
from prompts.bench_messages import render_bench
from prompts.registry import PromptKind, PromptTemplate, load_prompt_for
from prompts.render import ChatMessage, MessageImage
from tools.slice_images import SliceImage

_AXES = "ijk"


class Asked(NamedTuple):
    """One item as it is put to a model."""

    messages: tuple[ChatMessage, ...]
    """What is sent."""
    schema: JsonSchema
    """What its answer must look like."""


def setting_prompt(setting: Setting, version: int) -> PromptTemplate:
    """Returns the prompt of a setting.

    Raises:
        InputError: there is no such version.
    """
    prompt_id = f"{PromptKind.BENCH.value}{setting.value.replace('_', '-')}"
    return load_prompt_for(PromptKind.BENCH, prompt_id, version)


def ask(
    item: BenchItem,
    volume: BenchVolume,
    series: PictureSeries,
    box: Box3D | None,
    *,
    setting: Setting,
    template: PromptTemplate,
    model: BenchModel,
    pictures: PictureSettings,
    shown: bool,
) -> Asked:
    """Returns what is sent for one item.

    Args:
        item: the item.
        volume: its volume: what is said of the knee.
        series: the pictures, of this volume or of another patient's.
        box: the region's box in the volume of the pictures; None when it cannot be had.
        setting: how the item is put.
        template: the setting's prompt.
        model: its convention, and the bound of its reasoning.
        pictures: how the pictures were made.
        shown: whether the pictures are sent; without, the text stays the same but for one sentence.
    """
    coordinates = model.coordinates
    context = _context(item, volume, series, box, setting, coordinates, pictures, shown)
    images = tuple(_part(image) for image in series.images) if shown else ()
    wanted = coordinates if setting is Setting.LOCALISE else None
    schema = bench_schema(item, wanted, series, model.max_reasoning)
    return Asked(render_bench(template, context, images), schema)


def _context(
    item: BenchItem,
    volume: BenchVolume,
    series: PictureSeries,
    box: Box3D | None,
    setting: Setting,
    coordinates: Coordinates,
    pictures: PictureSettings,
    shown: bool,
) -> BenchContext:
    known: tuple[KnownBox, ...] = ()
    indices = None
    if setting is Setting.GIVEN_BOX and box is not None:
        if coordinates is Coordinates.VOXELS:
            indices = box.indices
        else:
            known = tuple(_known(box, plane, series, coordinates) for plane in series.planes)
    return bench_context(
        item.question,
        tuple(entry.component for entry in item.components),
        side=volume.side,
        sequence=volume.sequence,
        guided=setting is Setting.GUIDED,
        convention=coordinates.value,
        shape=series.volume.shape,
        pictures=tuple(_pictures(plane, series) for plane in series.planes),
        shown=shown,
        percentiles=pictures.percentiles,
        cut=setting is Setting.REGION_CROP and box is not None,
        known_boxes=known,
        known_indices=indices,
    )


def _pictures(plane: PlanePictures, series: PictureSeries) -> BenchPictures:
    first = plane.images[0]
    width, height = plane.size
    _, rows, columns = plane.axes
    return BenchPictures(
        plane=plane.plane,
        first=plane.first,
        last=plane.last,
        axis=first.shown.axis,
        indices=tuple(image.shown.index for image in plane.images),
        width=width,
        height=height,
        mm_per_pixel=f"{first.shown.mm_per_pixel:.2f}",
        across=_run(series, columns, first.corner[1], first.extent[1]),
        down=_run(series, rows, first.corner[0], first.extent[0]),
    )


def _run(series: PictureSeries, axis: int, corner: float, length: int) -> str:
    """Stored axis and indices from the corner on: canonical indices fall with growing pixels."""
    stored, flipped = series.volume.canonical_axes()[axis]
    start, end = int(corner) - 1, int(corner) - length
    if flipped:
        n = series.volume.shape[stored]
        start, end = n - 1 - start, n - 1 - end
    return f"{_AXES[stored]} from {start} to {end}"


def _known(
    box: Box3D, plane: PlanePictures, series: PictureSeries, coordinates: Coordinates
) -> KnownBox:
    found = picture_box(box, plane, series, coordinates)
    x0, y0, x1, y1 = (int(value) for value in found.rectangle)
    return KnownBox(
        plane=plane.plane, first=found.first, last=found.last, rectangle=(x0, y0, x1, y1)
    )


def _part(image: SliceImage) -> MessageImage:
    shown = image.shown
    label = (
        f"Picture {shown.position}: {shown.name} (axis {shown.axis}); left edge: {shown.left}; "
        f"right edge: {shown.right}"
    )
    return MessageImage(label=label, png=image.png, sha256=shown.sha256)
