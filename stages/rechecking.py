"""One stored item of a run, and its new verdict."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from agents.checks.run import agrees, check_answer, compare_with_clinician
from agents.context import GraphContext
from agents.graph import prepare_task
from agents.judge import JudgeContext, judge_draft
from agents.outcomes import DISAGREES_CODE, passed_gates
from agents.scripted_model import ScriptedChatModel
from agents.slice_source import stored_slices
from agents.state import ItemTask
from knee.judgement import Judgement
from knee.keys import ItemKey
from knee.records import (
    Attempt,
    CheckSeverity,
    ComponentComparison,
    ComponentStatus,
    Control,
    Item,
    ItemOutcome,
    ItemState,
    PromptRef,
)
from knee.run_config import Sampling
from knee.verdict import Verdict
from prompts.registry import PromptTemplate
from prompts.render import hash_messages
from stages.controls import without_measurements
from stages.recheck_plan import RecheckPlan
from stages.sent_template import SentTemplate, sent_template
from store.items import Selection, load_items
from store.loading import load_outcomes
from store.verdicts import newest_judgements
from store.writer import StoreWriter

NEEDS_JUDGE = "needs a judge: name one with --config"
"""Why an item has no new verdict: only a judge could give one, and none is asked."""
CHANGED_TEXT = "what the template shows of the item was changed since"
"""Grades that are asked, settings or code: the template itself is the one that was sent."""
UNREVISED = "its server failed before the draft could be revised: `generate` tries it again"
"""Why an item has no new verdict: infrastructure is never a rejection."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A finished item with what is needed to check it again."""

    task: ItemTask
    """Item, prompt and what the checks read, as when it was drafted."""
    attempt: Attempt
    """The attempt that it ended on."""
    state: ItemState
    """Its newest verdict."""
    codes: tuple[str, ...]
    """That verdict's reasons."""
    judgement: Judgement | None
    """What the last judge said of this attempt; None when none was asked."""
    prompt_changed: str | None = None
    """Why the prompt that it is checked against is not the one that was sent; None when it is."""

    @property
    def key(self) -> ItemKey:
        """The (volume, question)."""
        return ItemKey(self.task.item.volume_id, self.task.item.question_id)


def stored_items(writer: StoreWriter, plan: RecheckPlan, skipped: Counter[str]) -> Iterator[Stored]:
    """Yields the finished items of a run that have a draft, volume by volume.

    Args:
        writer: the store; it is open only while a volume is read.
        plan: the recheck.
        skipped: counts the items that are left out, by reason.

    Raises:
        InputError: the template of an attempt is neither saved nor kept in the store.
    """
    run_id = plan.run.run_id
    with writer.reading() as con:
        volumes = [
            str(row[0])
            for row in con.execute(
                "SELECT DISTINCT volume_id FROM outcomes WHERE run_id = ? ORDER BY ALL", [run_id]
            ).fetchall()
        ]
    templates: _Templates = {}
    for volume_id in volumes:
        with writer.reading() as con:
            found = list(_stored_of(con, plan, volume_id, templates, skipped))
        yield from found


_Templates = dict[PromptRef, SentTemplate]


def _stored_of(
    con: duckdb.DuckDBPyConnection,
    plan: RecheckPlan,
    volume_id: str,
    templates: _Templates,
    skipped: Counter[str],
) -> Iterator[Stored]:
    run_id = plan.run.run_id
    whole = Selection((volume_id,), pending_only=False)
    items = {item.question_id: item for item in load_items(con, whole, run_id=run_id)}
    judgements = newest_judgements(con, run_id, volume_id)
    newest = {
        int(question): (ItemState(state), tuple(codes))
        for question, state, codes in con.execute(
            "SELECT question_id, state, codes FROM v_outcomes WHERE run_id = ? AND volume_id = ?",
            [run_id, volume_id],
        ).fetchall()
    }
    keys = [ItemKey(volume_id, question) for question in newest]
    for outcome in load_outcomes(con, run_id, keys):
        item = items.get(outcome.question_id)
        reason = _reason_to_skip(outcome, item)
        if reason is not None or item is None:
            skipped[reason or "the volume is not ready any more"] += 1
            continue
        shown = shown_items(con, plan.run.control, item, outcome)
        if shown is None:
            skipped["the findings shown to the drafter are not the current ones of any volume"] += 1
            continue
        attempt = outcome.attempts[-1]
        judgement = judgements.get(outcome.question_id)
        if judgement is not None and judgement.attempt_no != attempt.attempt_no:
            judgement = None
        state, codes = newest[outcome.question_id]
        if attempt.prompt not in templates:
            templates[attempt.prompt] = sent_template(con, attempt.prompt)
        sent = templates[attempt.prompt]
        images = None if outcome.images is None else stored_slices(outcome.images)
        task = prepare_task(item, _context(plan, sent.template), *shown, images)
        is_same = hash_messages(task.messages) == outcome.attempts[0].prompt_text_sha256
        changed = sent.changed or (None if is_same else CHANGED_TEXT)
        yield Stored(task, attempt, state, codes, judgement, changed)


def _reason_to_skip(outcome: ItemOutcome, item: Item | None) -> str | None:
    if item is None:
        return "the volume is not ready any more"
    if not outcome.attempts:
        return "failed without an answer: `generate` drafts, `recheck` does not"
    if item.finding.box is None or not item.asked:
        return "no component of it is asked any more: the clinician's table changed"
    return None


def shown_items(
    con: duckdb.DuckDBPyConnection, control: Control, item: Item, outcome: ItemOutcome
) -> tuple[Item, Item] | None:
    """Returns what the drafter saw and what the checks held it against; None when it is gone."""
    if control is Control.NO_FINDINGS:
        return without_measurements(item), item
    if outcome.findings_id == item.findings_id:
        return item, item
    rows = con.execute(
        "SELECT volume_id FROM volumes WHERE findings_id = ? ORDER BY volume_id",
        [outcome.findings_id],
    ).fetchall()
    for (volume_id,) in rows:
        whole = Selection((str(volume_id),), (item.question_id,), pending_only=False)
        for other in load_items(con, whole):
            return other, other
    return None


def _context(plan: RecheckPlan, template: PromptTemplate) -> GraphContext:
    return GraphContext(
        run_id=plan.run.run_id,
        model=ScriptedChatModel(lambda _: ""),
        template=template,
        sampling=Sampling(),
        max_revisions=0,
        wording=plan.run.wording,
        grounding=plan.run.grounding,
        calibration=plan.calibration,
        warn_only=plan.warn_only,
    )


async def recheck_item(
    stored: Stored, plan: RecheckPlan, judge: JudgeContext | None
) -> Verdict | str:
    """Returns the new verdict, or why there is none and the earlier one stands.

    Raises:
        ModelUnavailable: the judge does not answer.
        ModelOutputError: the judge's server refuses the request.
    """
    task = stored.task
    report = check_answer(
        stored.attempt.text, stored.attempt.finish_reason, task.checks, plan.warn_only
    )
    last = stored.attempt.model_copy(update={"draft": report.draft, "issues": report.issues})
    if report.draft is None or not report.passed:
        if stored.state is ItemState.FAILED:
            return UNREVISED
        failing = (i.code for i in report.issues if i.severity is CheckSeverity.FAIL)
        codes = tuple(dict.fromkeys(failing))
        return _verdict(stored, plan, last, ItemState.REJECTED, codes, ())
    components = compare_with_clinician(task.item, report.draft)
    if not agrees(components):
        codes = tuple(
            f"{DISAGREES_CODE}.{c.component.value}"
            for c in components
            if c.status is ComponentStatus.GRADED and c.draft_grade != c.clinician_grade
        )
        return _verdict(stored, plan, last, ItemState.DISAGREES, codes, components)
    judgement = stored.judgement
    if judge is not None:
        judgement = await judge_draft(
            report.draft, last.attempt_no, task.prompt, task.checks, judge
        )
    elif judgement is None and plan.run.judge_model is not None:
        return NEEDS_JUDGE
    passed = judgement is None or judgement.passed
    state = ItemState.ACCEPTED if passed else ItemState.REJECTED
    codes = () if judgement is None else judgement.codes
    return _verdict(stored, plan, last, state, codes, components, judgement)


def _verdict(
    stored: Stored,
    plan: RecheckPlan,
    last: Attempt,
    state: ItemState,
    codes: tuple[str, ...],
    components: tuple[ComponentComparison, ...],
    judgement: Judgement | None = None,
) -> Verdict:
    scored = [c for c in components if c.status is ComponentStatus.GRADED]
    return Verdict(
        run_id=plan.run.run_id,
        volume_id=stored.key.volume_id,
        question_id=stored.key.question_id,
        recheck_id=plan.recheck.recheck_id,
        attempt_no=last.attempt_no,
        state=state,
        codes=codes,
        gates=passed_gates(last, state, judgement),
        complete=len(scored) == len(stored.task.item.question.components),
        issues=last.issues,
        components_scored=tuple(c.component.value for c in scored),
        judgement=judgement,
    )
