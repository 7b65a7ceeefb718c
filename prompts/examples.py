"""Few-shot examples: invented knees with sound answers, kept as data and never a patient's.

`data/examples/<feature>.toml` holds them with their origin. An example names the cut-offs that its
answer goes by, and is shown only where the run's scale has exactly those: the cut-offs of a
feature for which MOAKS prints none are each user's own.
"""

import tomllib
from functools import lru_cache
from pathlib import Path

from pydantic import Field, ValidationError

from knee.anatomy import Side
from knee.calibration import Calibration, rule_for
from knee.errors import InputError
from knee.findings import UNITS, Measurement, MeasurementName
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS, Question
from knee.records import Record

DATA = Path(__file__).parent / "data"
"""Texts that templates show and that are no templates."""
EXAMPLES_FOLDER = DATA / "examples"
"""`<feature>.toml`; a feature without a file has no examples."""
_BY_REGION = {question.region: question for question in QUESTIONS.values()}


class ShownMeasurement(Record):
    """One measurement as a drafter sees it."""

    name: str
    """The id by which it is cited."""
    value: str
    """As `Measurement.shown`."""
    unit: str
    """`%`, `mm`, `mm²`, `mm³`, `mL`, `count` or `ratio`."""
    sd: str | None
    """Standard deviation in the same unit; None when it is not known."""
    method: str
    """How it was measured."""


class ShownExample(Record):
    """One worked example as a template shows it."""

    side: str
    """`right` or `left`."""
    region_name: str
    """The region in words."""
    box: tuple[int, int, int, int, int, int]
    """`i0, i1, j0, j1, k0, k1`, half-open."""
    measurements: tuple[ShownMeasurement, ...]
    """What was "measured"."""
    answer: str
    """A sound answer, JSON on one line."""


class ExampleMeasurement(Record):
    """One invented measurement."""

    name: MeasurementName
    """What is measured."""
    value: float
    """In the measurement's unit."""
    sd: float | None = None
    """Standard deviation in the same unit."""


class Example(Record):
    """One example as its file declares it."""

    region: str
    """Region id of its question, e.g. `bml:tibia_medial_central`."""
    side: Side
    """Which knee."""
    box: tuple[int, int, int, int, int, int]
    """An invented box."""
    cut_offs: dict[Component, tuple[float, ...]]
    """The edges between grades that the answer goes by, of each component it grades."""
    measurements: tuple[ExampleMeasurement, ...] = Field(min_length=1)
    """Invented values."""
    answer: str
    """The answer, JSON."""

    @property
    def question(self) -> Question:
        """The question that it answers."""
        return _BY_REGION[self.region]

    @property
    def shown(self) -> ShownExample:
        """The example as a template shows it."""
        return ShownExample(
            side=self.side.value,
            region_name=self.question.region_name,
            box=self.box,
            measurements=tuple(_shown(entry) for entry in self.measurements),
            answer=" ".join(self.answer.split()),
        )


class ExampleFile(Record):
    """The examples of one feature."""

    origin: str = Field(min_length=10)
    """Where they come from; never from a patient."""
    examples: tuple[Example, ...] = Field(min_length=1)
    """In the order shown."""


def load_examples(feature: Feature) -> ExampleFile | None:
    """Returns the examples of a feature, None when it has none.

    Raises:
        InputError: the file is not TOML, or an example is not declared whole.
    """
    return _load(feature)


@lru_cache(maxsize=len(Feature))
def _load(feature: Feature) -> ExampleFile | None:
    path = EXAMPLES_FOLDER / f"{feature.value}.toml"
    if not path.is_file():
        return None
    try:
        file = ExampleFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InputError(f"examples {path.name!r}: {error}", "mend the file") from error
    foreign = [
        example.region
        for example in file.examples
        if example.region not in _BY_REGION or example.question.feature is not feature
    ]
    if foreign:
        raise InputError(f"examples {path.name!r}: {foreign[0]!r} is no region of the feature")
    return file


def shown_examples(
    feature: Feature, asked: tuple[Component, ...], calibration: Calibration | None
) -> tuple[ShownExample, ...]:
    """Returns the examples that go by the run's scale and grade every component asked."""
    return _shown_examples(feature, asked, _edges(feature, asked, calibration))


def _edges(
    feature: Feature, asked: tuple[Component, ...], calibration: Calibration | None
) -> tuple[tuple[float, ...], ...]:
    rules = [rule_for(feature, component, calibration) for component in asked]
    return tuple(() if rule is None else rule.edges for rule in rules)


@lru_cache(maxsize=256)
def _shown_examples(
    feature: Feature, asked: tuple[Component, ...], edges: tuple[tuple[float, ...], ...]
) -> tuple[ShownExample, ...]:
    file = load_examples(feature)
    if file is None:
        return ()
    return tuple(
        example.shown
        for example in file.examples
        if all(
            own and example.cut_offs.get(component) == own
            for component, own in zip(asked, edges, strict=True)
        )
    )


def _shown(entry: ExampleMeasurement) -> ShownMeasurement:
    unit = UNITS[entry.name]
    made = Measurement(
        name=entry.name,
        value=entry.value,
        unit=unit,
        sd=entry.sd,
        method="invented",
        definition_id="example",
    )
    return ShownMeasurement(
        name=entry.name.value,
        value=made.shown,
        unit=unit.value,
        sd=made.shown_sd,
        method=made.method,
    )
