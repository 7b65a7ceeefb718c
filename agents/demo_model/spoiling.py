"""Drafts as a judge meets them: sound ones, and ones with one fault of a known kind.

Each fault breaks one item of the rubric and leaves the others alone. What a judge has to read off a
draft (sides, values, grades) is kept beside the text, so that the reason in a training example
says what stands there and the mark follows from it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Any

from agents.demo_model import phrases
from agents.demo_model.fault_phrases import COLLOQUIAL, HISTORY
from agents.demo_model.grammar import DraftTask, grade_task, measured_components, write_answer
from knee.anatomy import Side
from knee.answers import Draft, Step, StepName
from knee.findings import Measurement, MeasurementName
from knee.moaks import Component

_TEXTS = tuple(step.value for step in StepName)
_EXCHANGED = (
    (StepName.LOCATE, StepName.CONCLUDE),
    (StepName.OBSERVE, StepName.CONCLUDE),
    (StepName.MEASURE, StepName.CONCLUDE),
    (StepName.MEASURE, StepName.APPLY_SCALE),
    (StepName.OBSERVE, StepName.APPLY_SCALE),
    (StepName.LOCATE, StepName.APPLY_SCALE),
)
"""Steps whose texts change places in a disordered draft."""


class Fault(StrEnum):
    """What is wrong with a draft."""

    NONE = "none"
    """Nothing: a sound draft."""
    EXCHANGED = "exchanged"
    """All steps are those of another knee's item of the same question, with another grade."""
    EXCHANGED_FIRST = "exchanged_first"
    """Only the first three steps are."""
    WRONG_VALUE = "wrong_value"
    """One digit of a deciding value is another one."""
    WRONG_SIDE = "wrong_side"
    """The steps name the other knee."""
    DENIED = "denied"
    """`observe` finds nothing where a grade above 0 follows."""
    CONTRADICTED = "contradicted"
    """`conclude` gives another grade than `apply_scale`."""
    NOT_MEASURED = "not_measured"
    """The value that decides a component is left out of `measure`."""
    NOT_SCALED = "not_scaled"
    """A component is not held against the scale."""
    NOT_CONCLUDED = "not_concluded"
    """A component is missing in the conclusion."""
    DISORDERED = "disordered"
    """Two steps have changed places."""
    HISTORY = "history"
    """Something is said of the patient that no finding says."""
    COLLOQUIAL = "colloquial"
    """Something is said as no radiologist says it."""
    REPEATED = "repeated"
    """A sentence stands twice."""


BROKEN_ITEM: dict[Fault, str] = {
    Fault.EXCHANGED: "faithful",
    Fault.EXCHANGED_FIRST: "faithful",
    Fault.WRONG_VALUE: "faithful",
    Fault.WRONG_SIDE: "faithful",
    Fault.DENIED: "faithful",
    Fault.CONTRADICTED: "faithful",
    Fault.NOT_MEASURED: "complete",
    Fault.NOT_SCALED: "complete",
    Fault.NOT_CONCLUDED: "complete",
    Fault.DISORDERED: "ordered",
    Fault.HISTORY: "no_history",
    Fault.COLLOQUIAL: "clinical",
    Fault.REPEATED: "concise",
}
"""The item of the rubric that does not hold for a fault."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A draft with what stands in its text."""

    answer: dict[str, Any]
    """Wire form; the grades are the item's own whatever the steps say."""
    side: Side
    """Side that the steps name."""
    written: dict[MeasurementName, str]
    """Values in `measure`, in the order written, as shown."""
    seen: str
    """What `observe` says: `something`, `little` or `nothing`."""
    scaled: dict[Component, int]
    """Grades in `apply_scale`."""
    concluded: dict[Component, int]
    """Grades in `conclude`."""
    fault: Fault = Fault.NONE
    """What is wrong."""
    detail: str = ""
    """What exactly, in the words of a judge's reason."""

    @property
    def draft(self) -> Draft:
        """The draft as the checks would have parsed it."""
        return draft_of(self.answer)


def draft_of(answer: dict[str, Any]) -> Draft:
    """Returns the draft of an answer in the wire form, without any check."""
    steps = tuple(
        Step(
            name=StepName(name),
            text=answer[name]["text"],
            box=answer[name].get("box"),
            cites=tuple(answer[name].get("cites", ())),
        )
        for name in _TEXTS
    )
    grades = {Component(name): grade for name, grade in answer["grades"].items()}
    return Draft(steps=steps, grades=grades)


def sound_reading(task: DraftTask, rng: Random) -> Reading:
    """Returns a sound draft of an item in one of the grammar's wordings."""
    answer = write_answer(task, rng)
    grades = {g.component: g.grade for g in grade_task(task)}
    cited = [MeasurementName(name) for name in answer["measure"]["cites"]]
    return Reading(
        answer=answer,
        side=task.side,
        written={name: _made(task, name).shown for name in cited},
        seen=_seen(task),
        scaled=grades,
        concluded=dict(grades),
    )


def _made(task: DraftTask, name: MeasurementName) -> Measurement:
    found = task.finding.measurement(name)
    assert found is not None, "only what was measured is cited"
    return found


def _seen(task: DraftTask) -> str:
    seen = grade_task(replace(task, asked=measured_components(task)))
    if max(g.grade for g in seen) > 0:
        return "something"
    is_below = max(float(g.measurement.shown) for g in seen) > 0
    return "little" if is_below and task.question.feature in phrases.BELOW else "nothing"


def exchange(task: DraftTask, other: DraftTask, first_only: bool, rng: Random) -> Reading:
    """Returns an item's draft with the steps of another item of the same question.

    Args:
        task: the item; its grades stay.
        other: whose steps are taken; same question and components.
        first_only: take `locate`, `observe` and `measure` alone.
        rng: chooses the wording.
    """
    own, foreign = sound_reading(task, rng), sound_reading(other, rng)
    taken = _TEXTS[:3] if first_only else _TEXTS
    answer = {**own.answer, **{name: foreign.answer[name] for name in taken}}
    rest = own if first_only else foreign
    return replace(
        foreign,
        answer=answer,
        scaled=rest.scaled,
        concluded=rest.concluded,
        fault=Fault.EXCHANGED_FIRST if first_only else Fault.EXCHANGED,
    )


def spoil(task: DraftTask, fault: Fault, rng: Random) -> Reading | None:
    """Returns a draft with a fault other than an exchange; None where it cannot have it."""
    reading = sound_reading(task, rng)
    if fault is Fault.NONE:
        return reading
    spoilt = _SPOILERS[fault](task, reading, rng)
    return None if spoilt is None else replace(spoilt, fault=fault)


def _with_text(reading: Reading, step: StepName, text: str) -> Reading:
    answer = {**reading.answer, step.value: {**reading.answer[step.value], "text": text}}
    return replace(reading, answer=answer)


def _text(reading: Reading, step: StepName) -> str:
    return str(reading.answer[step.value]["text"])


def _wrong_value(task: DraftTask, reading: Reading, rng: Random) -> Reading | None:
    graded = rng.choice(grade_task(task))
    name, shown = graded.measurement.name, graded.measurement.shown
    places = [n for n, c in enumerate(shown) if c.isdigit()]
    place = rng.choice(places)
    digits = [d for d in "0123456789" if d != shown[place]]
    wrong = shown[:place] + rng.choice(digits) + shown[place + 1 :]
    pair = phrases.value_text(graded.measurement), wrong
    text = _text(reading, StepName.MEASURE)
    if text.count(f" {shown}") != 1:
        return None
    spoilt = _with_text(reading, StepName.MEASURE, text.replace(f" {shown}", f" {pair[1]}"))
    if rng.random() < 0.5 and len({g.measurement.shown for g in grade_task(task)}) == len(
        task.asked
    ):
        scale = _text(reading, StepName.APPLY_SCALE).replace(pair[0], pair[0].replace(shown, wrong))
        spoilt = _with_text(spoilt, StepName.APPLY_SCALE, scale)
    return replace(spoilt, written={**reading.written, name: wrong})


def _wrong_side(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    other = Side.LEFT if task.side is Side.RIGHT else Side.RIGHT
    wrong = sound_reading(replace(task, side=other), rng)
    if rng.random() < 0.5:  # in the conclusion alone, or throughout
        text = wrong.answer["conclude"]["text"]
        return replace(_with_text(reading, StepName.CONCLUDE, text), side=other)
    return wrong


def _denied(task: DraftTask, reading: Reading, rng: Random) -> Reading | None:
    if max(reading.scaled.values()) == 0 or task.question.feature not in phrases.NOTHING:
        return None
    is_below = task.question.feature in phrases.BELOW and rng.random() < 0.3
    text = phrases.observe_text(task.question.feature, float(is_below), 0, rng)
    spoilt = _with_text(reading, StepName.OBSERVE, text)
    return replace(spoilt, seen="little" if is_below else "nothing")


def _contradicted(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    component = rng.choice(task.asked)
    grades = task.question.scale(component).grades
    other = rng.choice([g for g in grades if g != reading.scaled[component]])
    concluded = {**reading.concluded, component: other}
    text = phrases.conclude_text(task.question, task.side, concluded, rng)
    return replace(_with_text(reading, StepName.CONCLUDE, text), concluded=concluded)


def _not_measured(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    left_out = rng.choice(grade_task(task))
    kept = [_made(task, n) for n in reading.written if n is not left_out.measurement.name]
    text = (
        phrases.measure_text(tuple(kept), rng)
        if kept
        else rng.choice(("The region was measured.", "The value was read in the box."))
    )
    measure = {"text": text, "cites": [m.name.value for m in kept]}
    return replace(
        reading,
        answer={**reading.answer, "measure": measure},
        written={m.name: m.shown for m in kept},
        detail=f"{left_out.component.value} not measured",
    )


def _not_scaled(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    left_out = rng.choice(task.asked)
    kept = [g for g in grade_task(task) if g.component is not left_out]
    text = " ".join(
        phrases.scale_text(g.component, phrases.value_text(g.measurement), g.within, g.grade, rng)
        for g in kept
    )
    bare = rng.choice(
        ("The scale is applied to the value.", "The value is held against the scale.")
    )
    return replace(
        _with_text(reading, StepName.APPLY_SCALE, text or bare),
        scaled={g.component: g.grade for g in kept},
        detail=f"{left_out.value} not scaled",
    )


def _not_concluded(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    left_out = rng.choice(task.asked)
    kept = {c: grade for c, grade in reading.concluded.items() if c is not left_out}
    feature, region = phrases.FEATURE_WORDS[task.question.feature], task.question.region_name
    bare = rng.choice(
        (
            f"{task.side.value.capitalize()} knee, {region}: {feature} as measured.",
            f"The {region} of the {task.side.value} knee was read for {feature}.",
        )
    )
    text = phrases.conclude_text(task.question, task.side, kept, rng) if kept else bare
    return replace(
        _with_text(reading, StepName.CONCLUDE, text),
        concluded=kept,
        detail=f"{left_out.value} not concluded",
    )


def _disordered(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    first, second = rng.choice(_EXCHANGED)
    texts = _text(reading, first), _text(reading, second)
    spoilt = _with_text(_with_text(reading, first, texts[1]), second, texts[0])
    return replace(spoilt, detail=f"{first.value} and {second.value} exchanged")


def _with_sentence(reading: Reading, sentence: str, rng: Random) -> Reading:
    step = rng.choice(tuple(StepName))
    text = _text(reading, step)
    joined = f"{text} {sentence}" if rng.random() < 0.75 else f"{sentence} {text}"
    return replace(_with_text(reading, step, joined), detail=f"{step.value} says so")


def _history(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    return _with_sentence(reading, rng.choice(HISTORY).format(side=task.side.value), rng)


def _colloquial(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    return _with_sentence(reading, rng.choice(COLLOQUIAL).format(side=task.side.value), rng)


def _repeated(task: DraftTask, reading: Reading, rng: Random) -> Reading:
    step = rng.choice(tuple(StepName))
    text = _text(reading, step)
    spoilt = _with_text(reading, step, f"{text} {text}")
    return replace(spoilt, detail=f"{step.value} repeats itself")


_SPOILERS: dict[Fault, Callable[[DraftTask, Reading, Random], Reading | None]] = {
    Fault.WRONG_VALUE: _wrong_value,
    Fault.WRONG_SIDE: _wrong_side,
    Fault.DENIED: _denied,
    Fault.CONTRADICTED: _contradicted,
    Fault.NOT_MEASURED: _not_measured,
    Fault.NOT_SCALED: _not_scaled,
    Fault.NOT_CONCLUDED: _not_concluded,
    Fault.DISORDERED: _disordered,
    Fault.HISTORY: _history,
    Fault.COLLOQUIAL: _colloquial,
    Fault.REPEATED: _repeated,
}
