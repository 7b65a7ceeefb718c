"""Clean drafts that the mutation suite spoils: grammar drafts, hand-written ones, free prose.

A base is a draft that must pass, with everything that the checks hold it against. Prompts are
rendered as in a run, so that the copied-prompt check sees what a drafter saw.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from agents.checks.context import CheckContext
from agents.checks.run import CheckReport, check_answer
from agents.demo_model.corpus import SHAPE, build_context, draw_task, synthetic_bases
from agents.demo_model.grammar import DraftTask, write_answer
from knee.calibration import Calibration, load_calibration
from knee.moaks import Feature
from knee.questions import Question
from knee.records import CheckSeverity
from prompts.registry import load_prompt
from prompts.render import render_draft
from tests.draft_cases import CASES

STEPS = ("locate", "observe", "measure", "apply_scale", "conclude")
"""In the order of an answer."""
CALIBRATION_FILE = Path(__file__).parents[1] / "configs" / "calibration-demo.toml"
SLICE_AXIS = 2
"""Of the grammar's volumes; the hand-written drafts have it in front."""


@dataclass(frozen=True)
class Base:
    """One clean draft with what it is held against."""

    name: str
    """For messages and tables."""
    source: str
    """`grammar`, `hand` or `prose`."""
    context: CheckContext
    """What the draft is held against."""
    answer: dict[str, Any]
    """The draft in wire form; never changed in place."""
    task: DraftTask | None = None
    """Of grammar drafts: what they were written from."""

    @property
    def question(self) -> Question:
        """The question."""
        return self.context.question

    @property
    def feature(self) -> Feature:
        """What is graded."""
        return self.context.question.feature

    @property
    def grades(self) -> dict[str, int]:
        """Component key to grade."""
        return self.answer["grades"]

    def text(self, step: str) -> str:
        """Returns a step's text."""
        return self.answer[step]["text"]


def report_on(base: Base, answer: object) -> CheckReport:
    """Returns the checks' report on an answer object, or on a raw text, to a base's item."""
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return check_answer(text, "stop", base.context, frozenset())


def failing(report: CheckReport) -> set[str]:
    """Returns the codes that fail."""
    return {i.code for i in report.issues if i.severity is CheckSeverity.FAIL}


def rendered_context(task: DraftTask) -> CheckContext:
    """Returns what the checks hold a draft on a task against, with the prompt of a real run."""
    messages = render_draft(load_prompt("draft", 1), build_context(task, SLICE_AXIS))
    return CheckContext(
        question=task.question,
        finding=task.finding,
        asked=task.asked,
        side=task.side.value,
        is_follow_up=False,
        shape=SHAPE,
        slice_axis=SLICE_AXIS,
        calibration=task.calibration,
        prompt_text="\n".join(message.content for message in messages),
        sequence="dess",
    )


@lru_cache(maxsize=1)
def demo_calibration() -> Calibration:
    """Returns the cut-offs of the grammar's drafts."""
    return load_calibration(CALIBRATION_FILE)


def grammar_bases(count: int, seed: int) -> Iterator[Base]:
    """Yields grammar drafts: every gradable question and both knees in turn, values drawn anew."""
    rng = Random(seed)
    calibration = demo_calibration()
    bare = synthetic_bases(calibration, rng)
    rng.shuffle(bare)
    for n in range(count):
        task = draw_task(bare[n % len(bare)], calibration, rng)
        name = f"{task.question.region}/{task.side.value}/{n}"
        yield Base(name, "grammar", rendered_context(task), write_answer(task, rng), task)


@lru_cache(maxsize=1)
def hand_bases() -> tuple[Base, ...]:
    """Returns the hand-written drafts of `tests.draft_cases`."""
    return tuple(Base(case.name, "hand", case.context, case.answer) for case in CASES)
