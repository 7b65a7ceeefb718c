"""Findings with drawn values: balanced over grades, near to cut-offs and far from them.

Phantoms alone give few examples of a grade 3, and always with the same boxes. So a training
example takes a finding (of a phantom, or a bare one), moves its box and draws new values: first
the grade, uniformly, then a value inside that grade's interval. Sampled findings train the demo
model and nothing else; their `definition_id` says `sampled`.
"""

from random import Random

from agents.demo_model.rules import is_shown, learnt_rule
from knee.calibration import Calibration
from knee.findings import (
    DECIMALS,
    UNITS,
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
)
from knee.geometry import Box3D, voxel_box
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
    MeasurementName.HOFFA_SIGNAL_SHARE: 90,
    MeasurementName.STRUCTURE_GAP: 25,
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
    Feature.HOFFA_SYNOVITIS: {MeasurementName.STRUCTURE_VOLUME: (8.0, 30.0)},
    Feature.ACL: {MeasurementName.STRUCTURE_VOLUME: (0.5, 4.0)},
    Feature.PCL: {MeasurementName.STRUCTURE_VOLUME: (0.5, 5.0)},
}
"""What a bare finding carries beside the deciding measurements, with its range."""

_BOX_LIMIT = 384
"""Largest index drawn for a moved box; OAI's DESS volumes have 384 x 384 x 160 voxels."""
OWN_BOX_SHARE = 0.7
"""Share of examples whose box is the finding's own, jittered; the others' lies anywhere."""
_JITTER = 15
"""Voxels by which an edge of such a box moves at most."""


def gradable_components(
    question: Question, calibration: Calibration | None
) -> dict[Component, GradeRule]:
    """Returns the components of a question that a rule can grade, with the rule."""
    rules = {c: learnt_rule(question.feature, c, calibration) for c in question.components}
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
    if interval.high_closed and high - interval.low < 2 / 10**decimals:
        return high  # too narrow for a rounded value inside
    while True:
        share = rng.random()
        if rng.random() < NEAR_SHARE:
            share = rng.choice((share * NEAR_WIDTH, 1 - share * NEAR_WIDTH))
        value = round(interval.low + share * (high - interval.low), decimals)
        if interval.holds(value):
            return value


def draw_deciding(rules: dict[Component, GradeRule], rng: Random) -> dict[MeasurementName, float]:
    """Returns a value for each deciding measurement, grades uniform where they may be free.

    Grades stay legal (RULES 3): no lesion has neither number nor share; full-thickness loss is
    never more than any loss.
    """
    values: dict[MeasurementName, float] = {}
    first: float | None = None
    for component, rule in rules.items():
        name = MeasurementName(rule.measurement)
        interval = rng.choice(_free_intervals(component, rule, first))
        top = _TOP.get(name, 100.0)
        if component is Component.FULL_THICKNESS and first is not None:
            interval, top = _cut(interval, first), min(top, first)
        values[name] = draw_value(interval, top, DECIMALS[UNITS[name]], rng)
        first = values[name] if first is None else first
    return values


def _free_intervals(
    component: Component, rule: GradeRule, first: float | None
) -> tuple[Interval, ...]:
    """The intervals that a component may have beside the first component's value."""
    if first is None:
        return rule.intervals
    if component is Component.FULL_THICKNESS:
        return tuple(i for i in rule.intervals if i.low < first or i.high == 0)
    if component in (Component.NUMBER, Component.PERCENT_BML) and first == 0:
        return rule.intervals[:1]
    return rule.intervals[1:] if component is Component.NUMBER else rule.intervals


def _cut(interval: Interval, highest: float) -> Interval:
    if interval.high is not None and interval.high <= highest:
        return interval
    return interval.model_copy(update={"high": highest, "high_closed": True})


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


def resample(base: Finding, calibration: Calibration | None, rng: Random) -> Finding:
    """Returns `base` with a moved box and drawn deciding values.

    Args:
        base: a phantom's finding or `bare_finding`; its other measurements are kept.
        calibration: cut-offs for what MOAKS gives no number for.
        rng: the source of chance.
    """
    rules = gradable_components(QUESTIONS[base.question_id], calibration)
    values = draw_deciding(rules, rng)
    drawn = {name: _redrawn(base.measurement(name), name, v, rng) for name, v in values.items()}
    kept = [drawn.pop(m.name, m) for m in base.measurements]
    return Finding(
        question_id=base.question_id,
        region=base.region,
        box=_jittered_box(base.box, rng) if rng.random() < OWN_BOX_SHARE else _moved_box(rng),
        box_source=BoxSource.PARTITION,
        definition_id="sampled@1",
        measurements=(*drawn.values(), *kept),
        evidence=tuple(_evidence(c, r, values) for c, r in rules.items()),
    )


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
        rule_grade=rule.grade(values[name]) if is_shown(rule) else None,
        rule_basis=rule.basis,
        margin=rule.margin(values[name]) if is_shown(rule) else None,
    )


def _jittered_box(box: Box3D | None, rng: Random) -> Box3D:
    """Returns a finding's own box with each edge moved by up to `_JITTER` voxels.

    The indices of real boxes are smaller and closer together than those of a box drawn anywhere;
    a model that saw only the latter slips on their digits. A bare finding's box is a placeholder.
    """
    if box is None or max(box.size) <= 1:
        return _moved_box(rng)
    bounds: list[int] = []
    indices = box.indices
    for low, high in zip(indices[::2], indices[1::2], strict=True):
        first = max(0, low + rng.randint(-_JITTER, _JITTER))
        bounds += [first, max(first + 2, high + rng.randint(-_JITTER, _JITTER))]
    i0, i1, j0, j1, k0, k1 = bounds
    return voxel_box(i0, i1, j0, j1, k0, k1)


def _moved_box(rng: Random) -> Box3D:
    bounds: list[int] = []
    for _ in range(3):
        size = rng.randint(4, 140)
        low = rng.randint(0, _BOX_LIMIT - size)
        bounds += [low, low + size]
    i0, i1, j0, j1, k0, k1 = bounds
    return voxel_box(i0, i1, j0, j1, k0, k1)
