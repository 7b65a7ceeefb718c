"""The answer that a benched model is asked for: its JSON schema."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from eval.bench_records import BenchItem, Coordinates
from eval.pictures import PictureSeries
from knee.answers import plain_schema


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def bench_schema(
    item: BenchItem,
    coordinates: Coordinates | None,
    series: PictureSeries,
    max_reasoning: int,
) -> dict[str, Any]:
    """Returns the JSON schema of an item's answer: reasoning, perhaps a box, the grades read.

    Args:
        item: the item; its components are asked, with the grades of their scale.
        coordinates: in which numbers the box is given; None where none is asked for.
        series: the pictures; they bound the box's numbers.
        max_reasoning: characters of the reasoning at most.
    """
    grades: dict[str, Any] = {
        entry.component.value: (Literal[item.question.scale(entry.component).grades], ...)
        for entry in item.components
    }
    text = Annotated[str, Field(min_length=1, max_length=max_reasoning)]
    fields: dict[str, Any] = {"reasoning": (text, ...)}
    if coordinates is not None:
        fields["box"] = (_box_type(coordinates, series), ...)
    fields["grades"] = (create_model("Grades", __base__=_Answer, **grades), ...)
    return plain_schema(create_model("Answer", __base__=_Answer, **fields))


def _box_type(coordinates: Coordinates, series: PictureSeries) -> Any:  # noqa: ANN401 - a type
    if coordinates is Coordinates.VOXELS:
        return _numbers(max(series.volume.shape), 6)
    n_pictures = len(series.images)
    longest = max(max(plane.size) for plane in series.planes)
    largest = 1000 if coordinates is Coordinates.PER_MILLE else longest
    picture = Annotated[int, Field(ge=1, le=n_pictures)]
    fields: dict[str, Any] = {
        "first": (picture, ...),
        "last": (picture, ...),
        "rectangle": (_numbers(largest, 4), ...),
    }
    return create_model("Box", __base__=_Answer, **fields)


def _numbers(largest: int, n: int) -> Any:  # noqa: ANN401 - a type
    number = Annotated[int, Field(ge=0, le=largest)]
    return Annotated[list[number], Field(min_length=n, max_length=n)]
