"""Training examples of a judge: the prompts of its two tasks, rendered as in a run, with answers.

A re-answer's reason holds each value against its interval, as `apply_scale` of a draft does; a
masked or missing value has none, and then only what was seen speaks. A rubric's reasons first copy
what is to be compared (given and written values, scaled and concluded grades), so that each mark
follows from the line before it.
"""

import re
from collections.abc import Iterator, Mapping
from random import Random

from agents.demo_model import phrases
from agents.demo_model.corpus import (
    FEATURE_WEIGHTS,
    Base,
    Example,
    build_context,
    check_context,
    draw_task,
    make_task,
)
from agents.demo_model.grammar import DraftTask, GradedValue, grade_task, to_json
from agents.demo_model.sampler import resample
from agents.demo_model.spoiling import BROKEN_ITEM, Fault, Reading, exchange, spoil
from agents.masking import find_injections, mask_steps, quote_steps
from knee.calibration import Calibration
from knee.judgement import JudgeTask
from knee.moaks import Feature
from knee.questions import QUESTIONS
from prompts.judging import QuotedStep, render_judge, rubric_items
from prompts.registry import load_prompt

REANSWER_PROMPT = ("judge-reanswer-demo", 1)
"""The blind re-answer's prompt that the model learns: id and version."""
RUBRIC_PROMPT = ("judge-rubric-demo", 2)
"""The rubric's."""
_SAME = {True: "same", False: "differs"}
REANSWER_SHARE = 0.3
"""Share of judge examples that are re-answers."""
_REANSWER_FAULTS: dict[Fault, float] = {
    Fault.NONE: 0.85,
    Fault.EXCHANGED_FIRST: 0.1,
    Fault.NOT_MEASURED: 0.05,
}
RUBRIC_FAULTS: dict[Fault, float] = {
    Fault.NONE: 0.7,
    Fault.EXCHANGED: 0.3,
    Fault.EXCHANGED_FIRST: 0.12,
    Fault.WRONG_VALUE: 0.06,
    Fault.WRONG_SIDE: 0.12,
    Fault.DENIED: 0.08,
    Fault.CONTRADICTED: 0.12,
    Fault.NOT_MEASURED: 0.03,
    Fault.NOT_SCALED: 0.02,
    Fault.NOT_CONCLUDED: 0.02,
    Fault.DISORDERED: 0.03,
    Fault.HISTORY: 0.03,
    Fault.COLLOQUIAL: 0.02,
    Fault.REPEATED: 0.02,
}
"""How often each fault is drawn for a rubric, sound drafts among them."""
WEAK_RUBRIC_FAULTS: dict[Fault, float] = {
    **RUBRIC_FAULTS,
    Fault.NONE: 0.85,
    Fault.DENIED: 1.2,
    Fault.CONTRADICTED: 0.2,
    Fault.DISORDERED: 0.06,
}
"""The same in a run that practises what was weak before: denied findings above all."""
_HOLDS: dict[str, str] = {
    "ordered": "in order",
    "clinical": "in a reader's words",
    "no_history": "nothing beside the findings",
    "concise": "nothing twice",
}
"""Reason of an item that holds; `faithful` and `complete` say what was compared."""


def other_task(task: DraftTask, base: Base, rng: Random) -> DraftTask | None:
    """Returns another knee's item of the same question, of which an asked grade is another one.

    Args:
        task: the item.
        base: the other knee's finding of that question.
        rng: draws its values.
    """
    own = [g.grade for g in grade_task(task)]
    for _ in range(10):
        finding = resample(base.finding, task.calibration, rng)
        other = make_task(finding, base.side, task.asked, task.calibration)
        if [g.grade for g in grade_task(other)] != own:
            return other
    return None


def draw_reading(
    task: DraftTask, fault: Fault, others: list[Base], rng: Random
) -> tuple[Reading, DraftTask] | None:
    """Returns a draft with a fault and the item whose first steps it holds.

    None where the item does not allow the fault.

    Args:
        task: the item.
        fault: what is to be wrong.
        others: findings of the same question, of any knee.
        rng: the source of chance.
    """
    source = task
    if fault in (Fault.EXCHANGED, Fault.EXCHANGED_FIRST):
        other = other_task(task, rng.choice(others), rng)
        if other is None:
            return None
        source = other
        reading = exchange(task, other, fault is Fault.EXCHANGED_FIRST, rng)
    else:
        reading = spoil(task, fault, rng)
    # What speaks to its judge is refused before a model is asked.
    if reading is None or find_injections(reading.draft.steps):
        return None
    return reading, source


def reanswer(reading: Reading, source: DraftTask, steps: tuple[QuotedStep, ...]) -> str:
    """Returns the answer to a blind re-answer, as compact JSON.

    Args:
        reading: the draft.
        source: the item whose values its first steps give.
        steps: its masked first three steps.
    """
    measure = steps[-1].text
    reasons: list[str] = []
    grades: dict[str, int] = {}
    for graded in grade_task(source):
        key = graded.component.value
        if graded.measurement.name in reading.written and _stands_in(graded, measure):
            value = phrases.value_text(graded.measurement)
            grades[key] = graded.grade
            reasons.append(_follows(graded, value))
        else:
            grades[key] = int(reading.seen == "something")
            reasons.append(f"No value for {phrases.grade_name(graded.component)}, {reading.seen}.")
    return to_json({"reason": " ".join(reasons), "grades": grades})


def _follows(graded: GradedValue, value: str) -> str:
    name = phrases.grade_name(graded.component)
    if value == graded.within:
        return f"{value} gives {name} {graded.grade}."
    return f"{value} is {graded.within}, which gives {name} {graded.grade}."


def _stands_in(graded: GradedValue, text: str) -> bool:
    value = re.escape(graded.measurement.shown)
    return re.search(rf"(?<![\d.]){value}(?!\.?\d)", text) is not None


def rubric_answer(task: DraftTask, reading: Reading) -> str:
    """Returns the rubric's answer to a draft, as compact JSON in the order of the items."""
    broken = BROKEN_ITEM.get(reading.fault)
    reasons = {
        "faithful": faithful_reason(task, reading),
        "complete": " ".join(c.value for c in task.asked) + " all there",
        **_HOLDS,
    }
    if broken is not None and reading.detail:
        reasons[broken] = reading.detail
    return to_json(
        {
            item.key: {"reason": reasons[item.key], "holds": item.key != broken}
            for item in rubric_items()
        }
    )


def faithful_reason(task: DraftTask, reading: Reading) -> str:
    """Returns what is given and written, scaled and concluded, pair by pair: same or differs.

    Pairs, because a small model that had to hold one whole list against another did not learn to.
    """
    given = [task.finding.measurement(name) for name in reading.written]
    shown = ["none" if m is None else m.shown for m in given]
    both = [c for c in reading.scaled if c in reading.concluded]
    pairs = [
        (task.side.value, reading.side.value),
        *zip(shown, reading.written.values(), strict=True),
    ]
    grades = [(str(reading.scaled[c]), str(reading.concluded[c])) for c in both]
    is_denied = reading.seen != "something" and max(reading.scaled.values(), default=0) > 0
    seen = f"seen {reading.seen} {_SAME[not is_denied]}"
    return "given " + "; ".join([*map(_compared, pairs), seen, *map(_compared, grades)])


def _compared(pair: tuple[str, str]) -> str:
    return f"{pair[0]} {pair[1]} {_SAME[pair[0] == pair[1]]}"


def judge_example(
    task: DraftTask, kind: JudgeTask, fault: Fault, others: list[Base], rng: Random
) -> Example | None:
    """Returns one example of a judge's task; None where the item does not allow the fault."""
    drawn = draw_reading(task, fault, others, rng)
    if drawn is None:
        return None
    reading, source = drawn
    context = build_context(task)
    if kind is JudgeTask.REANSWER:
        steps = mask_steps(reading.draft, check_context(task)).steps
        messages = render_judge(load_prompt(*REANSWER_PROMPT), context, steps)
        return Example(messages=messages, answer=reanswer(reading, source, steps), task=task)
    steps = quote_steps(reading.draft).steps
    messages = render_judge(load_prompt(*RUBRIC_PROMPT), context, steps)
    return Example(messages=messages, answer=rubric_answer(task, reading), task=task)


def build_judge_examples(
    bases: list[Base],
    calibration: Calibration | None,
    count: int,
    rng: Random,
    feature_weights: Mapping[Feature, float] = FEATURE_WEIGHTS,
    rubric_faults: Mapping[Fault, float] = RUBRIC_FAULTS,
) -> Iterator[Example]:
    """Yields `count` examples of a judge's two tasks, features weighted as for drafts.

    Args:
        bases: findings to draw from.
        calibration: cut-offs for what MOAKS gives no number for.
        count: how many examples.
        rng: the source of chance.
        feature_weights: how often a feature is drawn; 1 where not named.
        rubric_faults: how often each fault is drawn for a rubric.
    """
    by_feature: dict[Feature, list[Base]] = {}
    by_question: dict[int, list[Base]] = {}
    for base in bases:
        by_feature.setdefault(QUESTIONS[base.finding.question_id].feature, []).append(base)
        by_question.setdefault(base.finding.question_id, []).append(base)
    features = list(by_feature)
    weights = [feature_weights.get(f, 1.0) for f in features]
    made = 0
    while made < count:
        base = rng.choice(by_feature[rng.choices(features, weights)[0]])
        task = draw_task(base, calibration, rng)
        is_reanswer = rng.random() < REANSWER_SHARE
        shares = _REANSWER_FAULTS if is_reanswer else rubric_faults
        fault = rng.choices(list(shares), list(shares.values()))[0]
        kind = JudgeTask.REANSWER if is_reanswer else JudgeTask.RUBRIC
        example = judge_example(task, kind, fault, by_question[base.finding.question_id], rng)
        if example is not None:
            made += 1
            yield example
