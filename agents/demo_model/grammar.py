"""The reasoning grammar: a sound answer to one item, in one of many wordings.

The demo model learns from these texts, so each says only what the findings of the item say: the
box, the measured values and what the scale makes of them. Numbers are written exactly as the
prompt shows them. The grade of a component is what its rule gives to the value *as shown*.
"""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from agents.demo_model import phrases
from knee.anatomy import Side
from knee.answers import StepName
from knee.calibration import Calibration, rule_for
from knee.errors import InputError
from knee.findings import Finding, Measurement, MeasurementName
from knee.moaks import Component, GradeRule, ScaleType
from knee.questions import QUESTIONS, Question


@dataclass(frozen=True, slots=True)
class DraftTask:
    """What a drafter is asked: one item with its findings."""

    finding: Finding
    """Region, box and measurements; a box must be there."""
    side: Side
    """Which knee."""
    asked: tuple[Component, ...]
    """Components to grade, in MOAKS' order; not empty."""
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
    rule: GradeRule
    """The rule applied."""
    grade: int
    """Grade of the value as shown."""
    is_count: bool
    """True when the value is a number of lesions."""


def grade_task(task: DraftTask) -> tuple[GradedValue, ...]:
    """Returns measurement, rule and grade of each asked component.

    Raises:
        InputError: a component has no rule, or its measurement was not made.
    """
    graded: list[GradedValue] = []
    for component in task.asked:
        rule = rule_for(task.question.feature, component, task.calibration)
        found = rule and task.finding.measurement(MeasurementName(rule.measurement))
        if rule is None or found is None:
            raise InputError(
                f"{task.question.region!r} {component.value!r} cannot be graded from its findings",
                "ask only components with a rule and its measurement",
            )
        scale = task.question.scale(component)
        graded.append(
            GradedValue(
                component=component,
                measurement=found,
                rule=rule,
                grade=rule.grade(float(found.shown)),
                is_count=scale.scale_type is ScaleType.COUNT,
            )
        )
    return tuple(graded)


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
    cited = _cited(task, graded, rng)
    return {
        StepName.LOCATE.value: {
            "text": phrases.locate_text(task.question, task.side, rng),
            "box": list(task.finding.box.indices),
        },
        StepName.OBSERVE.value: {
            "text": phrases.observe_text(task.question, [g.measurement for g in graded], rng)
        },
        StepName.MEASURE.value: {
            "text": phrases.measure_text(cited, rng),
            "cites": [m.name.value for m in cited],
        },
        StepName.APPLY_SCALE.value: {
            "text": " ".join(
                phrases.scale_text(g.component, g.measurement, g.rule, g.grade, g.is_count, rng)
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
    if others and rng.random() < phrases.CONTEXT_SHARE:
        chosen.append(others[0])
    return tuple(chosen)


def to_json(answer: dict[str, Any]) -> str:
    """Returns the answer as the structured-output backend would write it: without white space."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
