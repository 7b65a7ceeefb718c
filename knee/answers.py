"""The answer a drafter gives: its steps, its grades, and the JSON schema that constrains it.

The wire form is an object with the five steps as keys in their order, then the grades of the asked
components. Keys rather than an array, because every structured-output backend keeps the order of
required properties, while `prefixItems` is not supported everywhere. The record (`Draft`) holds
`steps[]` in the order in which they were written.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from knee.moaks import Component
from knee.questions import Question

MAX_STEP_CHARACTERS = 600
"""Bound on a step's text; an unbounded string lets a weak model run to its token limit."""
MAX_CITES = 12
"""More citations than any finding has measurements would be noise."""


class StepName(StrEnum):
    """The reasoning steps, in this order (CONTRACTS, "A draft")."""

    LOCATE = "locate"
    OBSERVE = "observe"
    MEASURE = "measure"
    APPLY_SCALE = "apply_scale"
    CONCLUDE = "conclude"


class Step(BaseModel):
    """One reasoning step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: StepName
    """Which step."""
    text: str
    """What the author wrote."""
    box: tuple[int, int, int, int, int, int] | None = None
    """Only in `locate`: `i0, i1, j0, j1, k0, k1`, half-open, the volume's voxel frame."""
    cites: tuple[str, ...] = ()
    """Only in `measure`: names of the measurements cited."""


class Draft(BaseModel):
    """A parsed answer: the steps in the order written, and the grades of the asked components."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[Step, ...]
    """In the order in which the answer gave them."""
    grades: dict[Component, int]
    """Component to grade."""

    def step(self, name: StepName) -> Step | None:
        """Returns the first step of that name, None when it is missing."""
        return next((step for step in self.steps if step.name is name), None)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Text = Annotated[str, Field(min_length=1, max_length=MAX_STEP_CHARACTERS)]
_Index = Annotated[int, Field(ge=0, le=4096)]


class TextStep(_Answer):
    """A step that is text alone."""

    text: _Text


class LocateStep(_Answer):
    """Where the region is: text and the box."""

    text: _Text
    box: Annotated[list[_Index], Field(min_length=6, max_length=6)]


class MeasureStep(_Answer):
    """What was measured: text and the names of the findings cited."""

    text: _Text
    cites: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=40)]], Field(max_length=MAX_CITES)
    ]


def answer_model(question: Question, asked: tuple[Component, ...]) -> type[BaseModel]:
    """Returns the pydantic model of an answer to `question`, for the asked components only.

    Args:
        question: one of the 69.
        asked: components that are read and have evidence, in MOAKS' order; not empty.
    """
    grade_fields: dict[str, Any] = {
        component.value: (Literal[question.scale(component).grades], ...) for component in asked
    }
    grades = create_model("Grades", __base__=_Answer, **grade_fields)
    fields: dict[str, Any] = {
        StepName.LOCATE.value: (LocateStep, ...),
        StepName.OBSERVE.value: (TextStep, ...),
        StepName.MEASURE.value: (MeasureStep, ...),
        StepName.APPLY_SCALE.value: (TextStep, ...),
        StepName.CONCLUDE.value: (TextStep, ...),
        "grades": (grades, ...),
    }
    return create_model("Answer", __base__=_Answer, **fields)


def answer_schema(question: Question, asked: tuple[Component, ...]) -> dict[str, Any]:
    """Returns the JSON schema of an answer, references resolved, titles left out.

    References and titles are dropped because some structured-output backends choke on `$defs`.
    """
    return plain_schema(answer_model(question, asked))


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns a model's JSON schema with references resolved and titles left out."""
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs", {})
    return _inline(schema, definitions)


def _inline(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(node, list):
        return [_inline(entry, definitions) for entry in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inline(definitions[str(node["$ref"]).rsplit("/", 1)[-1]], definitions)
    plain: dict[str, Any] = {
        str(key): _inline(value, definitions)
        for key, value in node.items()  # pyright: ignore[reportUnknownVariableType]
        if not (key in ("title", "description") and isinstance(value, str))
    }
    # A Literal of one integer becomes `const`; an enum of one is understood everywhere.
    if "const" in plain:
        plain["enum"] = [plain.pop("const")]
    return plain
