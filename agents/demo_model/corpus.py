"""Training examples: the prompt of an item and a sound answer to it, some of them revisions.

The prompt is rendered by the code that renders it in a run, from findings of phantoms whose seeds
demo and tests do not use; `sampler.resample` moves boxes and draws the deciding values anew.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from pydantic import ValidationError

from agents.checks.context import CheckContext
from agents.checks.run import check_answer
from agents.demo_model.grammar import DraftTask, to_json, write_answer
from agents.demo_model.rules import is_shown
from agents.demo_model.sampler import bare_finding, gradable_components, resample
from knee.anatomy import Side
from knee.calibration import Calibration
from knee.errors import InputError
from knee.findings import Finding, VolumeFindings
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from knee.records import CheckSeverity, Wording
from prompts.context import PromptContext, prompt_context
from prompts.registry import PromptTemplate, load_prompt
from prompts.render import ChatMessage, render_draft, render_revision

PROMPT = ("demo-draft", 2)
"""The prompt that the model learns: id and version."""
FEWER_SHARE = 0.2
"""Share of tasks with several components in which not all are asked."""
FEATURE_WEIGHTS: dict[Feature, float] = {
    Feature.BML: 3.0,
    Feature.CARTILAGE: 2.5,
    Feature.MORPHOLOGY: 1.5,
}
"""How often a feature is drawn; 1 where not named. More components take more practice."""
WEAK_FEATURE_WEIGHTS: dict[Feature, float] = {
    Feature.BML: 2.0,
    Feature.CARTILAGE: 2.0,
    Feature.MORPHOLOGY: 8.0,
    Feature.ACL: 3.0,
    Feature.PCL: 2.0,
    Feature.HOFFA_SYNOVITIS: 1.5,
}
"""The same in a run that practises what was weak: parts of a meniscus, ligaments, fat pad."""
REVISION_SHARE = 0.08
"""Share of examples that mend a spoilt answer."""
SHAPE = (384, 384, 160)
"""Array shape named to the context; the demo prompt does not show it."""

FIRST_HELD_OUT_SEED = 400_000
"""Phantoms of cohort seeds from here on are for the table of the model card, and train nothing."""
_PHANTOM = re.compile(r"PH(\d+)\d{4}/")


@dataclass(frozen=True, slots=True)
class Base:
    """A finding to draw from, with the knee that it belongs to."""

    finding: Finding
    """Region, context measurements; its deciding values are drawn anew."""
    side: Side
    """Which knee."""
    volume_id: str = ""
    """Of the phantom; empty for a bare finding."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt with the answer to learn."""

    messages: tuple[ChatMessage, ...]
    """As sent; ends with a user turn."""
    answer: str
    """Compact JSON."""
    task: DraftTask
    """What was asked, for scoring."""


def read_findings(path: Path) -> list[VolumeFindings]:
    """Returns the volumes of an exported findings file: one `VolumeFindings` as JSON a line.

    Raises:
        InputError: the file is missing, or a line is not a volume's findings.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(
            f"findings file not found: {str(path)!r}",
            "make one with `python -m agents.demo_model.phantom_findings`",
        ) from None
    volumes: list[VolumeFindings] = []
    for number, line in enumerate(lines, start=1):
        try:
            volumes.append(VolumeFindings.model_validate_json(line))
        except ValidationError as error:
            raise InputError(
                f"{str(path)!r} line {number} holds no findings: {error.errors()[0]['msg']}"
            ) from error
    return volumes


def refuse_held_out(volumes: list[VolumeFindings]) -> None:
    """Refuses to train on knees of the card's table.

    Raises:
        InputError: a phantom's cohort seed is `FIRST_HELD_OUT_SEED` or more.
    """
    for volume in volumes:
        found = _PHANTOM.match(volume.volume_id)
        if found is not None and int(found[1]) >= FIRST_HELD_OUT_SEED:
            raise InputError(
                f"phantom {volume.volume_id!r} is held out: seeds from {FIRST_HELD_OUT_SEED} on "
                "are of the table in the model card",
                "train on phantoms of seeds from 100000 on; 200000 and 300000 are for validation",
            )


def bases_of(volumes: list[VolumeFindings], calibration: Calibration | None) -> list[Base]:
    """Returns every finding with a box of which a rule can grade something, with its side."""
    return [
        Base(
            finding=finding,
            side=Side(volume.volume_id.split("/")[2]),
            volume_id=volume.volume_id,
        )
        for volume in volumes
        for finding in volume.findings
        if finding.box is not None
        and gradable_components(QUESTIONS[finding.question_id], calibration)
    ]


def synthetic_bases(
    calibration: Calibration | None, rng: Random, *, with_habits: bool = False
) -> list[Base]:
    """Returns one bare finding for each gradable question and side, for use without phantoms.

    Args:
        calibration: cut-offs for what MOAKS gives no number for.
        rng: draws the context measurements.
        with_habits: also what only a rule that no prompt shows can grade (`rules.HABITS`).
    """
    return [
        Base(finding=bare_finding(question, rng), side=side)
        for question in QUESTIONS.values()
        if question.has_region
        and any(
            with_habits or is_shown(rule)
            for rule in gradable_components(question, calibration).values()
        )
        for side in Side
    ]


def as_shown(finding: Finding) -> Finding:
    """Returns a finding with the measurements that the prompt shows: the model knows no others."""
    names = load_prompt(*PROMPT).shown.get(QUESTIONS[finding.question_id].feature)
    if names is None:
        return finding
    shown = tuple(m for m in finding.measurements if m.name.value in names)
    return finding.model_copy(update={"measurements": shown})


def build_context(task: DraftTask, slice_axis: int = 2) -> PromptContext:
    """Returns the prompt's context of a task."""
    return prompt_context(
        task.question,
        task.finding,
        task.asked,
        side=task.side.value,
        sequence="dess",
        shape=SHAPE,
        slice_axis=slice_axis,
        wording=Wording.GUIDED,
        calibration=task.calibration,
    )


def draw_task(base: Base, calibration: Calibration | None, rng: Random) -> DraftTask:
    """Returns a task with drawn values; mostly all gradable components are asked, at times fewer.

    Fewer, because a clinician's table may lack some components of an item.
    """
    question = QUESTIONS[base.finding.question_id]
    finding = resample(base.finding, calibration, rng)
    asked = tuple(gradable_components(question, calibration))
    if len(asked) > 1 and rng.random() < FEWER_SHARE:
        keep = set(rng.sample(asked, rng.randint(1, len(asked) - 1)))
        asked = tuple(component for component in asked if component in keep)
    return make_task(finding, base.side, asked, calibration)


def make_task(
    finding: Finding, side: Side, asked: tuple[Component, ...], calibration: Calibration | None
) -> DraftTask:
    """Returns the task of a finding, with the measurements and planes that its prompt names."""
    bare = DraftTask(
        finding=as_shown(finding), side=side, asked=asked, planes=(), calibration=calibration
    )
    return replace(bare, planes=build_context(bare).planes)


def build_examples(
    bases: list[Base],
    calibration: Calibration | None,
    count: int,
    rng: Random,
    feature_weights: Mapping[Feature, float] = FEATURE_WEIGHTS,
) -> Iterator[Example]:
    """Yields examples, features drawn by weight, so that none starves.

    Args:
        bases: findings to draw from; several of a question are drawn from evenly.
        calibration: cut-offs for what MOAKS gives no number for.
        count: how many examples.
        rng: the source of chance.
        feature_weights: how often a feature is drawn; 1 where not named.
    """
    template = load_prompt(*PROMPT)
    by_feature: dict[Feature, list[Base]] = {}
    for base in bases:
        feature = QUESTIONS[base.finding.question_id].feature
        by_feature.setdefault(feature, []).append(base)
    features = list(by_feature)
    for _ in range(count):
        feature = rng.choices(features, [feature_weights.get(f, 1.0) for f in features])[0]
        task = draw_task(rng.choice(by_feature[feature]), calibration, rng)
        answer = to_json(write_answer(task, rng))
        context = build_context(task)
        messages = render_draft(template, context)
        if rng.random() < REVISION_SHARE:
            messages = revised(template, context, messages, answer, task, rng)
        yield Example(messages=messages, answer=answer, task=task)


def check_context(task: DraftTask, prompt_text: str = "") -> CheckContext:
    """Returns what a draft on a task is held against.

    Args:
        task: the item.
        prompt_text: what was sent, for the check on copied prompts.
    """
    return CheckContext(
        question=task.question,
        finding=task.finding,
        asked=task.asked,
        side=task.side.value,
        is_follow_up=False,
        shape=SHAPE,
        slice_axis=2,
        calibration=task.calibration,
        prompt_text=prompt_text,
        sequence="dess",
    )


def revised(
    template: PromptTemplate,
    context: PromptContext,
    messages: tuple[ChatMessage, ...],
    answer: str,
    task: DraftTask,
    rng: Random,
) -> tuple[ChatMessage, ...]:
    """Returns the messages of a revision: a spoilt answer, and what the checks say of it.

    One digit of the answer is another one; where the checks let that pass, the first messages come
    back as they are.
    """
    digits = [match.start() for match in re.finditer(r"\d", answer)]
    place = rng.choice(digits)
    other = rng.choice([d for d in "0123456789" if d != answer[place]])
    spoilt = answer[:place] + other + answer[place + 1 :]
    checks = check_context(task, messages[-1].content)
    report = check_answer(spoilt, "stop", checks, frozenset())
    issues = [issue for issue in report.issues if issue.severity is CheckSeverity.FAIL]
    return render_revision(template, context, spoilt, issues) if issues else messages
