"""Held-out scores of the demo model through its server: `python -m agents.demo_model.evaluate`.

Runs in the pipeline's environment against an OpenAI-compatible server that serves the weights, with
the schema, the prompt and the checks of a run. Half of the items are held-out phantoms as they were
measured, half have drawn values with balanced grades. The reference grade is what the rule gives to
the value shown: agreement is self-consistency, never accuracy (RULES 10).
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from agents.checks.run import check_answer
from agents.demo_model.corpus import (
    PROMPT,
    Base,
    bases_of,
    build_context,
    check_context,
    draw_task,
    make_task,
    read_findings,
)
from agents.demo_model.evaluate_judge import judge_items, judge_of, summarise_judge
from agents.demo_model.grammar import DraftTask, grade_task
from agents.demo_model.phantom_findings import CALIBRATION
from agents.demo_model.phrases import value_text
from agents.demo_model.sampler import gradable_components
from agents.llm_client import ChatClient, Completion
from knee.answers import Draft, StepName, answer_schema
from knee.calibration import Calibration, load_calibration
from knee.errors import exit_code_of
from knee.findings import Finding, Measurement, MeasurementName
from knee.moaks import Feature, GradeRule
from knee.questions import QUESTIONS
from knee.records import CheckSeverity
from knee.run_config import ModelEndpoint, Sampling
from prompts.registry import load_prompt
from prompts.render import ChatMessage, render_draft

_LOG = logging.getLogger(__name__)
_SAMPLING = Sampling(temperature=0.0, max_tokens=640)
"""As in `configs/demo.toml`."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out item."""

    task: DraftTask
    """What is asked."""
    is_drawn: bool
    """True where the values are drawn, False where a phantom was measured."""
    volume_id: str = ""
    """The phantom whose finding it is."""


@dataclass(frozen=True, slots=True)
class Score:
    """What became of one draft."""

    item: HeldOut
    """The item."""
    codes: tuple[str, ...]
    """Codes of the failures that the checks found; empty for a sound draft."""
    box_copied: bool
    """The six indices are the item's."""
    values_copied: bool
    """Every deciding value stands in `measure` as shown, with its unit."""
    grades: tuple[tuple[int, int | None], ...]
    """Reference and drafted grade of each asked component; None without a draft."""
    completion_tokens: int
    """Tokens generated."""


def choose_items(
    bases: list[Base], calibration: Calibration, count: int, rng: Random
) -> list[HeldOut]:
    """Returns `count` items, features in turn; every other one with drawn values."""
    by_feature: dict[Feature, list[Base]] = defaultdict(list)
    for base in bases:
        by_feature[QUESTIONS[base.finding.question_id].feature].append(base)
    features = sorted(by_feature)
    items: list[HeldOut] = []
    while len(items) < count:
        base = rng.choice(by_feature[features[len(items) // 2 % len(features)]])
        is_drawn = len(items) % 2 == 1
        task = draw_task(base, calibration, rng) if is_drawn else _as_measured(base, calibration)
        if task is not None:
            items.append(HeldOut(task=task, is_drawn=is_drawn, volume_id=base.volume_id))
    return items


def _as_measured(base: Base, calibration: Calibration) -> DraftTask | None:
    rules = gradable_components(QUESTIONS[base.finding.question_id], calibration)
    names = {m.name.value for m in base.finding.measurements}
    asked = tuple(
        c
        for c, rule in rules.items()
        if rule.measurement in names and _is_graded(rule, base.finding)
    )
    return make_task(base.finding, base.side, asked, calibration) if asked else None


def _is_graded(rule: GradeRule, finding: Finding) -> bool:
    """Whether a rule says something of the value: of a meniscus only that it is gone."""
    found = finding.measurement(MeasurementName(rule.measurement))
    return found is not None and any(i.holds(float(found.shown)) for i in rule.intervals)


def score_answer(item: HeldOut, messages: tuple[ChatMessage, ...], done: Completion) -> Score:
    """Returns what the checks and the comparison with the findings say of one answer."""
    task = item.task
    context = check_context(task, messages[-1].content)
    report = check_answer(done.text, done.finish_reason, context, frozenset())
    graded, draft = grade_task(task), report.draft
    return Score(
        item=item,
        codes=tuple(i.code for i in report.issues if i.severity is CheckSeverity.FAIL),
        box_copied=draft is not None and _has_box(draft, task),
        values_copied=draft is not None and _has_values(draft, [g.measurement for g in graded]),
        grades=tuple(
            (g.grade, None if draft is None else draft.grades.get(g.component)) for g in graded
        ),
        completion_tokens=done.usage.completion_tokens,
    )


def _has_box(draft: Draft, task: DraftTask) -> bool:
    step = draft.step(StepName.LOCATE)
    return (
        step is not None and task.finding.box is not None and step.box == task.finding.box.indices
    )


def _has_values(draft: Draft, deciding: list[Measurement]) -> bool:
    step = draft.step(StepName.MEASURE)
    return step is not None and all(value_text(m) in step.text for m in deciding)


def summarise(scores: list[Score], seconds: float) -> dict[str, Any]:
    """Returns shares and counts: soundness, copies, grades macro over grades, tokens a second."""
    pairs: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for score in scores:
        pairs[score.item.task.question.feature.value] += score.grades
    tokens = sum(score.completion_tokens for score in scores)
    return {
        "items": len(scores),
        "pass_all_checks": _share([not s.codes for s in scores]),
        "pass_measured": _share([not s.codes for s in scores if not s.item.is_drawn]),
        "pass_drawn": _share([not s.codes for s in scores if s.item.is_drawn]),
        "pass_and_all_grades_follow": _share(
            [not s.codes and all(a == b for a, b in s.grades) for s in scores]
        ),
        "box_copied": _share([s.box_copied for s in scores]),
        "values_copied": _share([s.values_copied for s in scores]),
        "grades": {feature: _grade_shares(found) for feature, found in sorted(pairs.items())},
        "failure_codes": dict(Counter(code for s in scores for code in set(s.codes))),
        "seconds": round(seconds, 1),
        "completion_tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
    }


def _grade_shares(pairs: list[tuple[int, int | None]]) -> dict[str, Any]:
    by_grade: dict[int, list[bool]] = defaultdict(list)
    for wanted, given in pairs:
        by_grade[wanted].append(wanted == given)
    shares = {str(grade): _share(hits) for grade, hits in sorted(by_grade.items())}
    right = [sum(hits) / len(hits) for hits in by_grade.values()]
    return {"macro": round(sum(right) / len(right), 3), "by_grade": shares}


def _share(hits: list[bool]) -> str:
    """`hits/all`: a share is never shown without its counts."""
    return f"{sum(hits)}/{len(hits)}"


def served(base_url: str, model: str) -> ModelEndpoint:
    """Returns the endpoint that serves the weights."""
    return ModelEndpoint(
        base_url=base_url,
        model=model,
        prompt_id=PROMPT[0],
        prompt_version=PROMPT[1],
        licence="Apache-2.0",
    )


async def judge_drafts(
    items: list[HeldOut], bases: list[Base], endpoint: ModelEndpoint, concurrency: int, rng: Random
) -> dict[str, Any]:
    """Returns what the model says as judge of its own drafts of the items, see `evaluate_judge`."""
    async with ChatClient(endpoint, concurrency=concurrency) as client:
        judge = judge_of(endpoint, client)
        tasks = [(item.volume_id, item.task) for item in items]
        return summarise_judge(await judge_items(tasks, bases, client, judge, rng))


async def draft_items(
    items: list[HeldOut], endpoint: ModelEndpoint, concurrency: int
) -> tuple[list[Score], float]:
    """Returns the scores of all items and the seconds that drafting took."""
    template = load_prompt(*PROMPT)

    async def draft(client: ChatClient, item: HeldOut) -> Score:
        messages = render_draft(template, build_context(item.task))
        schema = answer_schema(item.task.question, item.task.asked)
        return score_answer(item, messages, await client.complete(messages, schema, _SAMPLING))

    async with ChatClient(endpoint, concurrency=concurrency) as client:
        started = time.monotonic()
        scores = await asyncio.gather(*(draft(client, item) for item in items))
        return list(scores), time.monotonic() - started


def main() -> None:
    """Drafts held-out items through a server and writes the scores as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=Path, required=True, help="of held-out phantoms")
    parser.add_argument("--base-url", default="http://127.0.0.1:8765/v1")
    parser.add_argument("--model", default="reasonknee-demo")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    calibration = load_calibration(CALIBRATION)
    bases = bases_of(read_findings(chosen.findings), calibration)
    items = choose_items(bases, calibration, chosen.items, Random(chosen.seed))
    endpoint = served(chosen.base_url, chosen.model)
    scores, seconds = asyncio.run(draft_items(items, endpoint, chosen.concurrency))
    rng = Random(chosen.seed)
    judged = asyncio.run(judge_drafts(items, bases, endpoint, chosen.concurrency, rng))
    text = json.dumps({**summarise(scores, seconds), "judge": judged}, indent=2)
    chosen.out.write_text(text + "\n", encoding="utf-8")
    _LOG.info("%s", text)
    for score in [s for s in scores if s.codes][:5]:
        _LOG.info("%s %s", score.item.task.question.region, score.codes)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
