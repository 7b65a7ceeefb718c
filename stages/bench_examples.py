"""Examples of a localising run: the slices that were sent, the true and the predicted box on them.

Which items: evenly spaced along their IoU, from the worst to the best, so that neither is picked by
hand.
"""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, ImageDraw

from eval.bench_config import PictureSettings, planes_shown
from eval.bench_files import Bench
from eval.bench_records import BenchItem, Coordinates, Prediction, PredictionRun
from eval.coordinates import picture_box
from eval.pictures import PictureSeries, draw_series
from eval.prediction_lines import PredictionLines
from knee.anatomy import Side
from knee.errors import InputError
from knee.geometry import Box3D, intersection_over_union
from prompts.context import reading_planes
from tools.planes import default_window
from tools.volumes import load_volume

TRUE_COLOUR: Final = (255, 221, 51)
"""Of the reference box."""
ANSWER_COLOUR: Final = (86, 180, 233)
"""Of the model's box; told from the other also by people who see no red and green."""
_OUTLINES: Final = (4, 2)
"""Pixels of the outlines of the reference and of the answer."""
_PICTURES: Final = 3
_ZOOM_TO: Final = 300
_EXCERPT: Final = 240


class ExamplePicture(NamedTuple):
    """One slice with both boxes, as far as they reach it."""

    label: str
    """Plane, index, number."""
    png: str
    """In base64."""


class Example(NamedTuple):
    """One item with what was answered."""

    title: str
    """Region and item."""
    overlap: float
    """3D IoU."""
    grades: str
    """True and answered grade of each component."""
    reasoning: str
    """The beginning of the text before the grades."""
    pictures: tuple[ExamplePicture, ...]
    """Through the reference box; empty where the image cannot be had."""
    trouble: str
    """Why there are none; empty with pictures."""


class _Overlapping(NamedTuple):
    overlap: float
    item: BenchItem
    prediction: Prediction


def examples(
    bench: Bench, run: PredictionRun, folder: Path, root: Path | None, n: int
) -> list[Example]:
    """Returns examples of a run that gave boxes.

    Args:
        bench: the bench.
        run: the run.
        folder: of its predictions.
        root: of the cohort; None shows no pictures.
        n: examples at most.
    """
    found = sorted(_overlaps(bench, folder), key=lambda one: (one.overlap, one.item.item_id))
    if len(found) > n > 0:
        found = [found[k * (len(found) - 1) // max(n - 1, 1)] for k in range(n)]
    return [_example(bench, run, one, root) for one in found[:n]]


def _overlaps(bench: Bench, folder: Path) -> Iterator[_Overlapping]:
    boxed = {row.item_id: row for _, row in PredictionLines(folder) if row.box is not None}
    for item in bench.items():
        row = boxed.get(item.item_id)
        if row is not None and row.box is not None and item.box is not None:
            yield _Overlapping(intersection_over_union(row.box, item.box), item, row)


def _example(bench: Bench, run: PredictionRun, one: _Overlapping, root: Path | None) -> Example:
    item, row = one.item, one.prediction
    answered = {entry.component: entry.grade for entry in row.grades}
    grades = ", ".join(
        f"{c.component.value}: {' or '.join(map(str, c.accepted))} read, "
        f"{'none' if answered.get(c.component) is None else answered[c.component]} answered"
        for c in item.components
    )
    pictures, trouble = _pictures(bench, run, one, root)
    text = row.reasoning or ""
    return Example(
        title=f"{item.question.feature.value}: {item.question.region_name} – {item.item_id}",
        overlap=one.overlap,
        grades=grades,
        reasoning=text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…",
        pictures=pictures,
        trouble=trouble,
    )


def _pictures(
    bench: Bench, run: PredictionRun, one: _Overlapping, root: Path | None
) -> tuple[tuple[ExamplePicture, ...], str]:
    volume = bench.volumes[one.item.volume_id]
    if root is None or volume.image is None:
        return (), "no picture: say where the cohort lies with --cohort-root"
    settings = _settings_of(run)
    planes = planes_shown(settings, reading_planes(one.item.question))[:1]
    try:
        loaded = load_volume(root / volume.image)
    except InputError as error:
        return (), f"no picture: {error.message}"
    if loaded.sha256 != volume.image_sha256:
        return (), "no picture: the image is not the one that the bench was built from"
    window = default_window(loaded, settings.percentiles)
    series = draw_series(loaded, Side(volume.side), planes, window, settings)
    assert one.item.box is not None, "examples have a reference box"
    assert one.prediction.box is not None, "examples have an answered box"
    return tuple(_drawn(series, one.item.box, one.prediction.box)), ""


def _settings_of(run: PredictionRun) -> PictureSettings:
    values = json.loads(run.images)
    return PictureSettings.model_validate(
        {name: value for name, value in values.items() if name in PictureSettings.model_fields}
    )


def _drawn(series: PictureSeries, true: Box3D, answered: Box3D) -> Iterator[ExamplePicture]:
    plane = series.planes[0]
    boxes = [
        (picture_box(box, plane, series, Coordinates.PIXELS_SENT), colour)
        for box, colour in ((true, TRUE_COLOUR), (answered, ANSWER_COLOUR))
    ]
    first, last = boxes[0][0].first, boxes[0][0].last
    middle = (first + last) // 2
    for number in sorted({first, middle, last})[:_PICTURES]:
        image = series.images[number - 1]
        picture = Image.open(io.BytesIO(image.png)).convert("RGB")
        # Small pictures are made larger, so that an outline is a line.
        zoom = max(1, round(_ZOOM_TO / max(picture.size)))
        picture = picture.resize(
            (picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST
        )
        draw = ImageDraw.Draw(picture)
        # The reference lies wider below the answer, so that both are seen where they are the same.
        for (box, colour), width in zip(boxes, _OUTLINES, strict=True):
            if box.first <= number <= box.last:
                x0, y0, x1, y1 = (int(value) * zoom for value in box.rectangle)
                draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=width)
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        png = base64.b64encode(buffer.getvalue()).decode("ascii")
        yield ExamplePicture(f"{image.shown.name}, picture {number}", png)
