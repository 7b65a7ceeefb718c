"""From the end of the graph to the record of how an item ended."""

from agents.checks.run import CHECK_VERSIONS, compare_with_clinician
from agents.nodes import ItemInterrupted
from agents.slice_source import SlicesUnavailable
from agents.state import ItemGraphState, ItemTask
from knee.answers import Draft
from knee.errors import ModelOutputError
from knee.judgement import NO_JUDGE_GATE, Judgement
from knee.records import (
    Attempt,
    CheckSeverity,
    ComponentComparison,
    ComponentStatus,
    Item,
    ItemOutcome,
    ItemState,
)

COMPARE = "compare"
"""Name of the comparison with the clinician among the checks."""
DISAGREES_CODE = "grade_differs"
"""Code of a sound draft with another grade than the clinician's; the component follows a dot."""
SERVER_CODE = "model_unavailable"
"""Code of an item that a server which answers others never answered."""
JUDGE_PREFIX = "judge_"
"""Begins the code of a call to the judge that failed: the item is `failed`, never rejected."""
NO_BOX_CODE = "no_box"
"""Code of an item whose finding has no box to reason in."""


def finished_outcome(run_id: str, task: ItemTask, state: ItemGraphState) -> ItemOutcome:
    """Returns the outcome of an item that went through the graph."""
    attempts, verdict, judgement = state["attempts"], state["verdict"], state["judgement"]
    components = state["components"] or uncompared_components(task.item, attempts[-1].draft)
    return ItemOutcome(
        run_id=run_id,
        volume_id=task.item.volume_id,
        question_id=task.item.question_id,
        findings_id=task.shown.findings_id,
        state=verdict,
        codes=_codes(verdict, attempts, components, judgement),
        attempts=attempts,
        components=components,
        gates=passed_gates(attempts[-1], verdict, judgement),
        judgement=judgement,
        images=None if task.images is None else task.images.shown,
    )


def interrupted_outcome(run_id: str, task: ItemTask, interruption: ItemInterrupted) -> ItemOutcome:
    """Returns the outcome of an item whose next call failed for good.

    A server that fails, or refuses for a reason of its own, is `failed`. A revision that outgrew
    the context leaves a draft that the checks had refused: `rejected`, with both reasons; without
    any draft it is `failed` too. A judge that fails or refuses leaves a draft that nothing speaks
    against: `failed`, and `recheck` can have it judged.
    """
    cause, attempts = interruption.cause, interruption.attempts
    # The comparison was made: it is the judge that was asked.
    judging = bool(interruption.components)
    outgrown = isinstance(cause, ModelOutputError) and cause.code == "context_too_long"
    state = ItemState.REJECTED if outgrown and attempts and not judging else ItemState.FAILED
    code = cause.code if isinstance(cause, ModelOutputError) else SERVER_CODE
    if judging:
        code = JUDGE_PREFIX + code
    earlier = _codes(state, attempts, ()) if attempts else ()
    return ItemOutcome(
        run_id=run_id,
        volume_id=task.item.volume_id,
        question_id=task.item.question_id,
        findings_id=task.shown.findings_id,
        state=state,
        codes=(*earlier, code),
        attempts=attempts,
        components=uncompared_components(task.item, attempts[-1].draft if attempts else None),
        error=str(cause),
        images=None if task.images is None else task.images.shown,
    )


def boxless_outcome(run_id: str, item: Item, shown: Item) -> ItemOutcome:
    """Returns the outcome of an item whose finding has no box: `failed`, and nothing was sent."""
    why = f"{shown.finding.region!r} has no box: {shown.finding.box_reason!r}"
    return _unsent_outcome(run_id, item, shown, NO_BOX_CODE, why)


def unseen_outcome(run_id: str, item: Item, shown: Item, trouble: SlicesUnavailable) -> ItemOutcome:
    """Returns the outcome of an item whose slices cannot be had: `failed`, and nothing was sent."""
    return _unsent_outcome(run_id, item, shown, trouble.code, str(trouble))


def _unsent_outcome(run_id: str, item: Item, shown: Item, code: str, error: str) -> ItemOutcome:
    return ItemOutcome(
        run_id=run_id,
        volume_id=item.volume_id,
        question_id=item.question_id,
        findings_id=shown.findings_id,
        state=ItemState.FAILED,
        codes=(code,),
        components=uncompared_components(item),
        error=error,
    )


def uncompared_components(
    item: Item, answer: Draft | None = None
) -> tuple[ComponentComparison, ...]:
    """Returns every component of an item that did not reach the comparison, with its status.

    The clinician's grade stands beside a refused draft's for the record; it decided nothing.

    Args:
        item: the item.
        answer: the last answer when it parsed; None leaves the draft's grades out.
    """
    return compare_with_clinician(item, answer or Draft(steps=(), grades={}))


def _codes(
    verdict: ItemState,
    attempts: tuple[Attempt, ...],
    components: tuple[ComponentComparison, ...],
    judgement: Judgement | None = None,
) -> tuple[str, ...]:
    """Returns the reasons of a verdict: the judge's, the last answer's failures, what differs."""
    if judgement is not None:
        return judgement.codes
    if verdict is ItemState.DISAGREES:
        return tuple(
            f"{DISAGREES_CODE}.{c.component.value}"
            for c in components
            if c.status is ComponentStatus.GRADED and c.draft_grade != c.clinician_grade
        )
    if verdict in (ItemState.REJECTED, ItemState.FAILED):
        failures = (i for i in attempts[-1].issues if i.severity is CheckSeverity.FAIL)
        return tuple(dict.fromkeys(issue.code for issue in failures))
    return ()


def passed_gates(last: Attempt, verdict: ItemState, judgement: Judgement | None) -> tuple[str, ...]:
    """Returns the gates that the last answer passed: checks as `name@version`, then the judge.

    What was accepted without a judge says so (`judge:none`).
    """
    if last.draft is None:
        return ()
    failed = {issue.check for issue in last.issues if issue.severity is CheckSeverity.FAIL}
    if verdict is not ItemState.ACCEPTED and judgement is None:
        failed.add(COMPARE)
    checks = [f"{n}@{v}" for n, v in sorted(CHECK_VERSIONS.items()) if n not in failed]
    if judgement is not None and judgement.passed:
        checks += [f"{name}@{version}" for name, version in sorted(judgement.versions.items())]
        checks.append(judgement.gate)
    elif judgement is None and verdict is ItemState.ACCEPTED:
        checks.append(NO_JUDGE_GATE)
    return tuple(checks)
