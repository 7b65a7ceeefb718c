"""The reasoning grammar: a sound answer to one item, in one of many wordings.

The demo model learns from these texts, so each says only what the findings of the item say: the
box, the measured values and what the scale makes of them. Numbers are written exactly as the
prompt shows them. The grade of a component is what its rule gives to the value *as shown*.
"""

import json
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from agents.demo_model import phrases
from agents.demo_model.rules import is_shown, learnt_rule
from knee.anatomy import Side
from knee.answers import StepName
from knee.calibration import Calibration
from knee.errors import InputError
from knee.findings import Finding, Measurement, MeasurementName, Unit
from knee.moaks import Component, GradeRule, Interval
from knee.questions import QUESTIONS, Question

CONTEXT_SHARE = 0.1
"""Share of answers that also cite one measurement which decides no grade."""


@dataclass(frozen=True, slots=True)
class DraftTask:
    """What a drafter is asked: one item with its findings."""

    finding: Finding
    """Region, box and measurements; a box must be there."""
    side: Side
    """Which knee."""
    asked: tuple[Component, ...]
    """Components to grade, in MOAKS' order; not empty."""
    planes: tuple[str, ...]
    """Planes in which the region is read, as the prompt names them."""
    calibration: Calibration | None
    """Cut-offs for what MOAKS gives no number for."""

    @property
    def question(self) -> Question:
        """The question of the finding."""
        return QUESTIONS[self.finding.question_id]


@dataclass(frozen=True, slots=True)
class GradedValue:
    """One asked component with the measurement that decides it and the grade that follows."""

    component: Component
    """The component."""
    measurement: Measurement
    """What decides it."""
    grade: int
    """Grade of the value as shown."""
    within: str
    """The interval of the rule that holds the value, in words."""


def measured_components(task: DraftTask) -> tuple[Component, ...]:
    """Returns every component that a rule can grade from the finding, asked or not."""
    feature = task.question.feature
    rules = {c: learnt_rule(feature, c, task.calibration) for c in task.question.components}
    return tuple(
        component
        for component, rule in rules.items()
        if rule is not None and task.finding.measurement(MeasurementName(rule.measurement))
    )


def grade_task(task: DraftTask) -> tuple[GradedValue, ...]:
    """Returns measurement, rule and grade of each asked component.

    Raises:
        InputError: a component has no rule, or its measurement was not made.
    """
    graded: list[GradedValue] = []
    for component in task.asked:
        rule = learnt_rule(task.question.feature, component, task.calibration)
        found = rule and task.finding.measurement(MeasurementName(rule.measurement))
        if rule is None or found is None:
            raise InputError(
                f"{task.question.region!r} {component.value!r} cannot be graded from its findings",
                "ask only components with a rule and its measurement",
            )
        interval = next(i for i in rule.intervals if i.holds(float(found.shown)))
        graded.append(
            GradedValue(
                component=component,
                measurement=found,
                grade=interval.grade,
                within=_within(interval, rule, found),
            )
        )
    return tuple(graded)


def _within(interval: Interval, rule: GradeRule, found: Measurement) -> str:
    # A count below the open end is its own interval: `2 means number grade 2`.
    is_point = rule.unit == Unit.COUNT.value or interval.high == interval.low
    if (interval.high is not None and is_point) or not is_shown(rule):
        return phrases.value_text(found)
    return phrases.interval_text(interval, rule.unit)


def write_answer(task: DraftTask, rng: Random) -> dict[str, Any]:
    """Returns a sound answer in the wire form of `knee.answers`, keys in the order of the steps.

    Args:
        task: the item; every asked component must be gradable.
        rng: chooses wording and order; nothing else depends on it.

    Raises:
        InputError: no box, or a component that no rule can grade.
    """
    if task.finding.box is None:
        raise InputError(f"{task.finding.region!r} has no box", "draft only items with a box")
    graded = grade_task(task)
    # What is seen does not depend on which components are asked.
    seen = grade_task(replace(task, asked=measured_components(task)))
    cited = _cited(task, graded, rng)
    return {
        StepName.LOCATE.value: {
            "text": phrases.locate_text(task.question, task.side, task.planes, rng),
            "box": list(task.finding.box.indices),
        },
        StepName.OBSERVE.value: {
            "text": phrases.observe_text(
                task.question.feature,
                max(float(g.measurement.shown) for g in seen),
                max(g.grade for g in seen),
                rng,
            )
        },
        StepName.MEASURE.value: {
            "text": phrases.measure_text(cited, rng),
            "cites": [m.name.value for m in cited],
        },
        StepName.APPLY_SCALE.value: {
            "text": " ".join(
                phrases.scale_text(
                    g.component, phrases.value_text(g.measurement), g.within, g.grade, rng
                )
                for g in graded
            )
        },
        StepName.CONCLUDE.value: {
            "text": phrases.conclude_text(
                task.question, task.side, {g.component: g.grade for g in graded}, rng
            )
        },
        "grades": {g.component.value: g.grade for g in graded},
    }


def _cited(
    task: DraftTask, graded: tuple[GradedValue, ...], rng: Random
) -> tuple[Measurement, ...]:
    """The deciding measurements, each once, and at times one more for context."""
    chosen = list(dict.fromkeys(g.measurement for g in graded))
    others = [m for m in task.finding.measurements if m not in chosen]
    if others and rng.random() < CONTEXT_SHARE:
        chosen.append(rng.choice(others))
    return tuple(chosen)


def to_json(answer: dict[str, Any]) -> str:
    """Returns the answer as the structured-output backend would write it: without white space."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
