"""Held-out scores of the demo model as a judge: its own drafts, sound and with exchanged steps.

Every draft that passed the checks is judged as in a run (`agents.judge.judge_draft`: masking, blind
re-answer, rubric, code's verdict). Then the steps of another knee's draft of the same question with
another grade take the place of its own, and it is judged again against its own findings. Faults
other than that are drawn by `spoiling`, with sentences that no training example holds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from agents.checks.run import check_answer
from agents.demo_model.corpus import Base, build_context, check_context
from agents.demo_model.fault_phrases import HELD_OUT_COLLOQUIAL, HELD_OUT_HISTORY
from agents.demo_model.grammar import DraftTask, grade_task, write_answer
from agents.demo_model.judge_corpus import (
    REANSWER_PROMPT,
    RUBRIC_PROMPT,
    other_task,
)
from agents.demo_model.spoiling import Fault, draft_of, spoil
from agents.judge import JudgeContext, differing_components, judge_draft
from agents.llm_client import ChatClient, ChatModel
from knee.answers import Draft, StepName, answer_schema
from knee.judgement import REANSWER_CODE, RUBRIC_CODE, Judgement
from knee.run_config import ModelEndpoint, Sampling
from prompts.registry import load_prompt
from prompts.render import render_draft

_SAMPLING = Sampling(temperature=0.0, max_tokens=640)
"""As in `configs/demo.toml`."""
_FIRST = (StepName.LOCATE, StepName.OBSERVE, StepName.MEASURE)
_FAULTS = (
    *(
        fault
        for fault in Fault
        if fault not in (Fault.NONE, Fault.EXCHANGED, Fault.EXCHANGED_FIRST, Fault.REPEATED)
    ),
    Fault.DENIED,
)
"""Faults drawn beside the exchange, in turn; a repeated sentence rejects nothing. A denial comes
twice, since half of the items have no finding that could be denied."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge said of one draft."""

    kind: str
    """`sound`, `all steps exchanged`, `first steps exchanged`, or the fault."""
    agrees: bool | None
    """The re-answer gives the grades that the rule gives to the values shown (or, where a value is
    borderline, the neighbour's): asked of sound drafts. None where no rule gives a grade."""
    judgement: Judgement
    """Codes and calls."""
    volume_id: str = ""
    """The phantom whose finding it is; intervals are over phantoms."""


def judge_of(endpoint: ModelEndpoint, client: ChatModel) -> JudgeContext:
    """Returns the demo model as judge, as `configs/demo.toml` names it."""
    return JudgeContext(
        model=client,
        name=endpoint.model,
        reanswer=load_prompt(*REANSWER_PROMPT),
        rubric=load_prompt(*RUBRIC_PROMPT),
        sampling=_SAMPLING,
    )


async def judge_one(
    kind: str, draft: Draft, task: DraftTask, judge: JudgeContext, volume_id: str = ""
) -> Judged:
    """Returns the judge's answer to a draft of an item."""
    checks = check_context(task)
    judgement = await judge_draft(draft, 1, build_context(task), checks, judge)
    # A habit of the model is no deterministic grade.
    wanted = {g.component: g.grade for g in grade_task(task) if g.component in checks.rules}
    given = judgement.grades or {}
    agrees = not differing_components(wanted, given, checks) if wanted else None
    return Judged(kind, agrees, judgement, volume_id)


async def own_draft(task: DraftTask, client: ChatModel) -> Draft | None:
    """Returns the model's own draft of an item; None where a check fails."""
    messages = render_draft(load_prompt("demo-draft", 2), build_context(task))
    schema = answer_schema(task.question, task.asked)
    done = await client.complete(messages, schema, _SAMPLING)
    context = check_context(task, messages[-1].content)
    report = check_answer(done.text, done.finish_reason, context, frozenset())
    return report.draft if report.passed else None


def exchanged(draft: Draft, other: Draft, first_only: bool) -> Draft:
    """Returns a draft with its own grades and another's steps, all or the first three."""
    steps = tuple(
        theirs if not first_only or theirs.name in _FIRST else own
        for own, theirs in zip(draft.steps, other.steps, strict=True)
    )
    return draft.model_copy(update={"steps": steps})


def faulty(task: DraftTask, fault: Fault, rng: Random) -> Draft | None:
    """Returns a draft in the grammar's words with one fault, sentences held out from training."""
    held_out = {Fault.HISTORY: HELD_OUT_HISTORY, Fault.COLLOQUIAL: HELD_OUT_COLLOQUIAL}.get(fault)
    if held_out is None:
        reading = spoil(task, fault, rng)
        return None if reading is None else reading.draft
    answer = write_answer(task, rng)
    step = answer[rng.choice(tuple(StepName)).value]
    step["text"] += " " + rng.choice(held_out).format(side=task.side.value)
    return draft_of(answer)


async def judge_items(
    tasks: list[tuple[str, DraftTask]],
    bases: list[Base],
    client: ChatClient,
    judge: JudgeContext,
    rng: Random,
) -> list[Judged]:
    """Returns the judgements of every sound draft, of its exchanges, and of drawn faults.

    Args:
        tasks: held-out items, each with its phantom's volume id.
        bases: held-out findings; the exchanged steps are drafted from another one of the question.
        client: the served model.
        judge: the same model as judge.
        rng: draws the other item and the fault.
    """
    by_question: dict[int, list[Base]] = defaultdict(list)
    for base in bases:
        by_question[base.finding.question_id].append(base)
    others = [
        other_task(task, rng.choice(by_question[task.finding.question_id]), rng)
        for _, task in tasks
    ]
    faults = [faulty(task, _FAULTS[n % len(_FAULTS)], rng) for n, (_, task) in enumerate(tasks)]

    async def judge_task(n: int) -> list[Judged]:
        (volume_id, task), other = tasks[n], others[n]
        draft = await own_draft(task, client)
        cases: list[tuple[str, Draft | None]] = [("sound", draft)]
        theirs = None if other is None else await own_draft(other, client)
        if draft is not None and theirs is not None:
            cases.append(("all steps exchanged", exchanged(draft, theirs, first_only=False)))
            cases.append(("first steps exchanged", exchanged(draft, theirs, first_only=True)))
        cases.append((_FAULTS[n % len(_FAULTS)].value, faults[n]))
        return [await judge_one(k, d, task, judge, volume_id) for k, d in cases if d is not None]

    found = await asyncio.gather(*(judge_task(n) for n in range(len(tasks))))
    return [judged for several in found for judged in several]


def summarise_judge(judged: list[Judged]) -> dict[str, Any]:
    """Returns counts: agreement and passes of sound drafts, rejections of the others by kind."""
    by_kind: dict[str, list[Judged]] = defaultdict(list)
    for entry in judged:
        by_kind[entry.kind].append(entry)
    sound = by_kind.pop("sound", [])
    return {
        "sound_agrees": _count(entry.agrees for entry in sound if entry.agrees is not None),
        "sound_passed": _count(entry.judgement.passed for entry in sound),
        "sound_codes": _codes(sound),
        "rejected": {
            kind: {
                "all": _count(not entry.judgement.passed for entry in several),
                "by_reanswer": _count(_has(entry, REANSWER_CODE) for entry in several),
                "by_rubric": _count(_has(entry, RUBRIC_CODE) for entry in several),
            }
            for kind, several in sorted(by_kind.items())
        },
        "by_volume": {
            "sound_agrees": _by_volume(
                (e.volume_id, e.agrees) for e in sound if e.agrees is not None
            ),
            "sound_passed": _by_volume((e.volume_id, e.judgement.passed) for e in sound),
            **{
                kind: _by_volume((e.volume_id, not e.judgement.passed) for e in several)
                for kind, several in sorted(by_kind.items())
            },
        },
        "judge_tokens": sum(
            call.usage.completion_tokens for entry in judged for call in entry.judgement.calls
        ),
    }


def _by_volume(hits: Iterable[tuple[str, bool]]) -> dict[str, list[int]]:
    """Returns [hits, all] of each volume, for an interval over phantoms."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for volume_id, is_hit in hits:
        counts[volume_id][0] += is_hit
        counts[volume_id][1] += 1
    return dict(sorted(counts.items()))


def _has(entry: Judged, code: str) -> bool:
    return any(found.startswith(code) for found in entry.judgement.codes)


def _codes(several: list[Judged]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for entry in several:
        for code in entry.judgement.codes:
            counts[code] += 1
    return dict(counts)


def _count(hits: Iterable[bool]) -> str:
    listed = list(hits)
    return f"{sum(listed)}/{len(listed)}"
