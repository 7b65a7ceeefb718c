"""The drafter of the always-majority control: no model, the commonest grade whatever is measured.

It writes the demo grammar's sentences with the item's own box and measurements, and concludes on
the grade that most training patients have. What of it is accepted on grades >= 1 shows how much a
guesser gets through (RULES 7).
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from agents.demo_model import phrases
from agents.demo_model.grammar import to_json
from agents.llm_client import Completion, JsonSchema
from knee.anatomy import Side
from knee.answers import StepName
from knee.calibration import Calibration, rule_for
from knee.errors import InputError
from knee.findings import Measurement, MeasurementName
from knee.keys import content_hash
from knee.moaks import Component, Feature, Interval
from knee.records import Item, Usage
from knee.run_config import Sampling
from prompts.render import ChatMessage

MAJORITY_VERSION = 1
"""A change of what is written raises it."""
MajorityGrades = Mapping[tuple[Feature, Component], int]
"""(feature, component) to the commonest grade of the training patients."""


def majority_model_name(grades: MajorityGrades) -> str:
    """Returns the drafter's name, with a hash over its grades: other grades are another run."""
    table = ";".join(f"{f.value}.{c.value}={g}" for (f, c), g in sorted(grades.items()))
    digest = content_hash(table).removeprefix("sha256:")[:12]
    return f"always-majority@{MAJORITY_VERSION}:{digest}"


class MajorityDrafter:
    """A `ChatModel` that answers what was written for a prompt; `expect` comes before the call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._answers: dict[str, list[str]] = {}

    def expect(self, messages: tuple[ChatMessage, ...], answer: str) -> None:
        """Keeps the answer to a prompt until it is asked for."""
        self._answers.setdefault(messages[-1].content, []).append(answer)

    async def complete(
        self, messages: Sequence[ChatMessage], schema: JsonSchema | None, sampling: Sampling
    ) -> Completion:
        """Returns the answer that is kept for the last message; a prompt is asked once.

        Raises:
            InputError: no answer was written for it.
        """
        del schema, sampling
        key = messages[-1].content
        # Two items may share a prompt, never more than are in flight.
        answers = self._answers.pop(key, [])
        if not answers:
            raise InputError("the majority drafter was asked for an item that it does not know")
        if answers[1:]:
            self._answers[key] = answers[1:]
        return Completion(text=answers[0], finish_reason="stop", usage=Usage(), model=self._name)

    async def find_trouble(self) -> str | None:
        """Returns None: it is always there."""
        return None


def write_majority_answer(
    item: Item,
    planes: tuple[str, ...],
    grades: MajorityGrades,
    calibration: Calibration | None,
    rng: Random,
) -> str | None:
    """Returns an answer with the majority's grades; None where one of them is not known.

    Args:
        item: the item; box and measurements are its own.
        planes: planes in which the region is read.
        grades: the majority of each feature's components.
        calibration: cut-offs for what MOAKS gives no number for.
        rng: chooses the wording.
    """
    given = {c: grades.get((item.question.feature, c)) for c in item.asked}
    chosen = {component: grade for component, grade in given.items() if grade is not None}
    if len(chosen) < len(given) or item.finding.box is None:
        return None
    side, question = Side(item.side), item.question
    carriers = {c: _carrier(item, c, calibration) for c in chosen}
    cited = tuple(dict.fromkeys(m for m in carriers.values() if m is not None))
    cited = cited or item.finding.measurements[:1]
    answer: dict[str, Any] = {
        StepName.LOCATE.value: {
            "text": phrases.locate_text(question, side, planes, rng),
            "box": list(item.finding.box.indices),
        },
        StepName.OBSERVE.value: {"text": _observe_text(item, max(chosen.values()), rng)},
        StepName.MEASURE.value: {
            "text": phrases.measure_text(cited, rng) if cited else "No measurement is given here.",
            "cites": [m.name.value for m in cited],
        },
        StepName.APPLY_SCALE.value: {
            "text": " ".join(
                _scale_text(item, c, grade, carriers[c], calibration, rng)
                for c, grade in chosen.items()
            )
        },
        StepName.CONCLUDE.value: {"text": phrases.conclude_text(question, side, chosen, rng)},
        "grades": {c.value: grade for c, grade in chosen.items()},
    }
    return to_json(answer)


def _carrier(
    item: Item, component: Component, calibration: Calibration | None
) -> Measurement | None:
    rule = rule_for(item.question.feature, component, calibration)
    if rule is None:
        return None
    return item.finding.measurement(MeasurementName(rule.measurement))


def _observe_text(item: Item, top_grade: int, rng: Random) -> str:
    try:
        return phrases.observe_text(item.question.feature, float(top_grade), top_grade, rng)
    except KeyError:
        return f"The {item.question.region_name} is seen inside the box."


def _scale_text(
    item: Item,
    component: Component,
    grade: int,
    carrier: Measurement | None,
    calibration: Calibration | None,
    rng: Random,
) -> str:
    """Returns the sentence that leads to the grade: from the value as a careless drafter would."""
    wording = item.question.scale(component).wording[grade]
    if carrier is None:
        return f"{phrases.grade_name(component).capitalize()} {grade} stands for {wording}."
    value = phrases.value_text(carrier)
    rule = rule_for(item.question.feature, component, calibration)
    interval: Interval | None = None
    if rule is not None:
        interval = next(i for i in rule.intervals if i.holds(float(carrier.shown)))
    # Half of the sentences name the interval, and so contradict the grade in so many words.
    within = value
    if interval is not None and rule is not None and rng.random() < 0.5:
        within = phrases.interval_text(interval, rule.unit)
    return phrases.scale_text(component, value, within, grade, rng)
