"""Findings with drawn values: balanced over grades, near to cut-offs and far from them.

Phantoms alone give few examples of a grade 3, and always with the same boxes. So a training
example takes a finding (of a phantom, or a bare one), moves its box and draws new values: first
the grade, uniformly, then a value inside that grade's interval. Sampled findings train the demo
model and nothing else; their `definition_id` says `sampled`.
"""

from dataclasses import dataclass
from random import Random

from knee.anatomy import Side
from knee.calibration import Calibration, rule_for
from knee.findings import (
    UNITS,
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
)
from knee.geometry import voxel_box
from knee.moaks import Component, Feature, GradeRule, Interval
from knee.questions import QUESTIONS, Question

NEAR_SHARE = 0.12
"""Share of values drawn within `NEAR_WIDTH` of an edge of their interval."""
NEAR_WIDTH = 0.05
"""Part of an interval's width that counts as near its edge."""
TINY_SHARE = 0.04
"""Share of values in a lowest positive interval that are shown with one significant digit."""

_TOP: dict[MeasurementName, float] = {
    MeasurementName.BML_VOLUME_SHARE: 100,
    MeasurementName.BML_COUNT: 6,
    MeasurementName.BML_SHARE_OF_LESION: 100,
    MeasurementName.SURFACE_LOSS_SHARE: 100,
    MeasurementName.FULL_THICKNESS_SHARE: 100,
    MeasurementName.OSTEOPHYTE_PROTRUSION: 12,
    MeasurementName.EXTRUSION: 11,
    MeasurementName.EFFUSION_VOLUME: 60,
}
"""Upper end of the unbounded top interval, in the measurement's unit."""

_CONTEXT: dict[Feature, dict[MeasurementName, tuple[float, float]]] = {
    Feature.BML: {MeasurementName.SUBREGION_VOLUME: (800, 14000)},
    Feature.CARTILAGE: {
        MeasurementName.MEAN_THICKNESS: (0.4, 3.5),
        MeasurementName.SURFACE_AREA: (90, 1200),
    },
    Feature.OSTEOPHYTE: {},
    Feature.EXTRUSION: {MeasurementName.MENISCUS_VOLUME: (0.5, 4.0)},
    Feature.EFFUSION_SYNOVITIS: {MeasurementName.EFFUSION_DEPTH: (0.0, 14.0)},
}
"""What a bare finding carries beside the deciding measurements, with its range."""

_BOX_LIMIT = 384
"""Largest index drawn for a moved box; OAI's DESS volumes have 384 x 384 x 160 voxels."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A drawn finding and the knee that it is said to belong to."""

    finding: Finding
    """Box, values and evidence."""
    side: Side
    """Which knee."""


def gradable_components(
    question: Question, calibration: Calibration | None
) -> dict[Component, GradeRule]:
    """Returns the components of a question that a rule can grade, with the rule."""
    rules = {c: rule_for(question.feature, c, calibration) for c in question.components}
    return {component: rule for component, rule in rules.items() if rule is not None}


def draw_value(interval: Interval, top: float, decimals: int, rng: Random) -> float:
    """Returns a value inside `interval`, rounded; the rounded value lies inside as well.

    Args:
        interval: of a rule; a single point gives that point.
        top: upper end where the interval is unbounded.
        decimals: with which the value is shown.
        rng: the source of chance.
    """
    high = top if interval.high is None else interval.high
    if high <= interval.low:
        return interval.low
    if interval.low == 0 and decimals and not interval.low_closed and rng.random() < TINY_SHARE:
        return rng.randint(1, 9) / 10 ** (decimals + rng.randint(0, 1))
    while True:
        share = rng.random()
        if rng.random() < NEAR_SHARE:
            share = rng.choice((share * NEAR_WIDTH, 1 - share * NEAR_WIDTH))
        value = round(interval.low + share * (high - interval.low), decimals)
        if interval.holds(value):
            return value


def draw_deciding(
    rules: dict[Component, GradeRule], rng: Random
) -> dict[MeasurementName, float]:
    """Returns a value for each deciding measurement, grades uniform where they may be free.

    Grades stay legal (RULES 3): no lesion has neither number nor share; full-thickness loss is
    never more than any loss.
    """
    values: dict[MeasurementName, float] = {}
    first: float | None = None
    for component, rule in rules.items():
        name = MeasurementName(rule.measurement)
        intervals = list(rule.intervals)
        if component in (Component.NUMBER, Component.PERCENT_BML) and first is not None:
            if first == 0:
                intervals = intervals[:1]
            elif component is Component.NUMBER:
                intervals = intervals[1:]
        value = draw_value(rng.choice(intervals), _TOP.get(name, 100), _decimals(name), rng)
        if component is Component.FULL_THICKNESS and first is not None:
            value = min(value, first)
        values[name] = value
        first = value if first is None else first
    return values


def _decimals(name: MeasurementName) -> int:
    return {"%": 1, "mm": 1, "mm²": 0, "mm³": 0, "mL": 2, "count": 0, "ratio": 2}[
        UNITS[name].value
    ]


def bare_finding(question: Question, rng: Random) -> Finding:
    """Returns a finding of a question with context measurements and a box, to draw values into."""
    context = tuple(
        _measurement(name, rng.uniform(*bounds), rng)
        for name, bounds in _CONTEXT.get(question.feature, {}).items()
    )
    return Finding(
        question_id=question.question_id,
        region=question.region,
        box=voxel_box(0, 1, 0, 1, 0, 1),
        box_source=BoxSource.PARTITION,
        definition_id="sampled@1",
        measurements=context,
        evidence=(),
    )


def _measurement(name: MeasurementName, value: float, rng: Random) -> Measurement:
    sd = round(rng.uniform(0.0, 0.12) * abs(value) + rng.uniform(0.0, 0.3), 2)
    return Measurement(
        name=name,
        value=value,
        unit=UNITS[name],
        sd=None if UNITS[name].value == "count" else sd,
        method="sampled",
        definition_id="sampled@1",
    )


def resample(
    base: Finding, side: Side, calibration: Calibration | None, rng: Random
) -> Sample | None:
    """Returns `base` with a moved box and drawn deciding values, None when no rule applies.

    Args:
        base: a phantom's finding or `bare_finding`; its other measurements are kept.
        side: which knee.
        calibration: cut-offs for what MOAKS gives no number for.
        rng: the source of chance.
    """
    question = QUESTIONS[base.question_id]
    rules = gradable_components(question, calibration)
    if not rules:
        return None
    values = draw_deciding(rules, rng)
    drawn = {name: _redrawn(base.measurement(name), name, v, rng) for name, v in values.items()}
    kept = [drawn.pop(m.name, m) for m in base.measurements]
    finding = Finding(
        question_id=base.question_id,
        region=base.region,
        box=_moved_box(base, rng),
        box_source=BoxSource.PARTITION,
        definition_id="sampled@1",
        measurements=(*drawn.values(), *kept),
        evidence=tuple(_evidence(c, r, values) for c, r in rules.items()),
    )
    return Sample(finding=finding, side=side)


def _redrawn(
    old: Measurement | None, name: MeasurementName, value: float, rng: Random
) -> Measurement:
    if old is None:
        return _measurement(name, value, rng)
    return old.model_copy(update={"value": value})


def _evidence(
    component: Component, rule: GradeRule, values: dict[MeasurementName, float]
) -> ComponentEvidence:
    name = MeasurementName(rule.measurement)
    return ComponentEvidence(
        component=component,
        level=EvidenceLevel.MEASURED,
        reason="sampled",
        measurement=name,
        rule_grade=rule.grade(values[name]),
        rule_basis=rule.basis,
        margin=rule.margin(values[name]),
    )


def _moved_box(base: Finding, rng: Random) -> object:
    bounds: list[int] = []
    for _ in range(3):
        size = rng.randint(4, 140)
        low = rng.randint(0, _BOX_LIMIT - size)
        bounds += [low, low + size]
    return voxel_box(*bounds)
