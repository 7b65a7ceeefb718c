"""The nodes of the graph: draft, check, revise, compare, judge.

A node reads the state and the run's context, and returns the channels that it replaces. Only
label-free issues reach `revise`; `compare` is terminal for what disagrees, `judge` for the rest,
and neither's result reaches a drafter's prompt.
"""

from collections.abc import Sequence

from langgraph.runtime import Runtime

from agents.checks.run import (
    CheckContext,
    CheckReport,
    agrees,
    check_answer,
    compare_with_clinician,
)
from agents.context import GraphContext
from agents.judge import judge_draft
from agents.llm_client import Completion
from agents.server_guard import ServerGone
from agents.state import ItemGraphState, ItemGraphUpdate, ItemTask
from knee.answers import Draft
from knee.errors import KneeError, ModelOutputError, ModelUnavailable
from knee.records import Attempt, CheckSeverity, ItemState
from knee.run_config import Sampling
from prompts.render import ChatMessage, hash_messages, render_revision

REVISION_TEMPERATURE = 0.3
"""Added for each revision of a greedy run: the same prompt family would get the same answer."""
_MAX_REVISION_TEMPERATURE = 1.0


class ItemInterrupted(KneeError):  # noqa: N818 - it is no failure of the run
    """A call for this item failed for good; carries what was drafted before.

    Internal to `agents.graph`: it becomes an outcome, never an end of the run.
    """

    def __init__(self, cause: ModelUnavailable | ModelOutputError, state: ItemGraphState) -> None:
        super().__init__(cause.message, cause.hint)
        self.cause = cause
        self.attempts = state["attempts"]
        self.components = state["components"]


async def draft(state: ItemGraphState, runtime: Runtime[GraphContext]) -> ItemGraphUpdate:
    """Asks the model for a first draft."""
    context, task = runtime.context, state["task"]
    attempt = await _attempt(state, context, task.messages, context.sampling)
    return {"attempts": (attempt,)}


async def check(state: ItemGraphState, runtime: Runtime[GraphContext]) -> ItemGraphUpdate:
    """Runs the deterministic checks on the last answer and settles whether it can be revised."""
    context, attempts = runtime.context, state["attempts"]
    last = attempts[-1]
    report = await _checked(last, state["task"].checks, context)
    last = last.model_copy(
        update={
            "draft": report.draft,
            "issues": tuple(report.issues),
            "grade_changed": _grade_changed(attempts[:-1], report.draft),
        }
    )
    can_revise = last.passed or len(attempts) <= context.max_revisions
    verdict = ItemState.PENDING if can_revise else ItemState.REJECTED
    return {"attempts": (*attempts[:-1], last), "verdict": verdict}


async def revise(state: ItemGraphState, runtime: Runtime[GraphContext]) -> ItemGraphUpdate:
    """Asks the model again, with what the checks found."""
    context, task, attempts = runtime.context, state["task"], state["attempts"]
    last = attempts[-1]
    issues = tuple(i for i in last.issues if i.severity is CheckSeverity.FAIL)
    parts = () if task.images is None else task.images.parts
    messages = render_revision(context.template, task.prompt, last.text, issues, parts)
    sampling = revision_sampling(context.sampling, len(attempts))
    attempt = await _attempt(state, context, messages, sampling)
    return {"attempts": (*attempts, attempt)}


async def compare(state: ItemGraphState, runtime: Runtime[GraphContext]) -> ItemGraphUpdate:
    """Compares the grades of a sound draft with the clinician's; terminal for one that differs."""
    draft_answer = state["attempts"][-1].draft
    assert draft_answer is not None, "only a draft that passed the checks is compared"
    components = compare_with_clinician(state["task"].item, draft_answer)
    if not agrees(components):
        return {"components": components, "verdict": ItemState.DISAGREES}
    judged = runtime.context.judge is not None
    verdict = ItemState.PENDING if judged else ItemState.ACCEPTED
    return {"components": components, "verdict": verdict}


async def judge(state: ItemGraphState, runtime: Runtime[GraphContext]) -> ItemGraphUpdate:
    """Has a draft judged that agrees with the clinician; terminal."""
    judge_context, task, last = runtime.context.judge, state["task"], state["attempts"][-1]
    assert judge_context is not None, "without a judge the comparison is the last gate"
    assert last.draft is not None, "only a draft that passed the checks is judged"
    try:
        judgement = await judge_draft(
            last.draft, last.attempt_no, task.prompt, task.checks, judge_context
        )
    except ServerGone:
        raise
    except (ModelUnavailable, ModelOutputError) as error:
        raise ItemInterrupted(error, state) from error
    verdict = ItemState.ACCEPTED if judgement.passed else ItemState.REJECTED
    return {"judgement": judgement, "verdict": verdict}


def revision_sampling(sampling: Sampling, revision_no: int) -> Sampling:
    """Returns the sampling of revision 1, 2, …: a greedy run warms up, others stay as they are.

    Example:
        >>> revision_sampling(Sampling(temperature=0.0), 2).temperature
        0.6
    """
    if sampling.temperature > 0:
        return sampling
    warmer = min(round(REVISION_TEMPERATURE * revision_no, 2), _MAX_REVISION_TEMPERATURE)
    return sampling.model_copy(update={"temperature": warmer})


async def _attempt(
    state: ItemGraphState,
    context: GraphContext,
    messages: Sequence[ChatMessage],
    sampling: Sampling,
) -> Attempt:
    """Returns one answer as an attempt, not yet checked.

    Raises:
        ItemInterrupted: the call failed for this item.
        ServerGone: the server is away for good.
        InputError: key, model name or address are wrong.
    """
    task: ItemTask = state["task"]
    try:
        completion: Completion = await context.model.complete(messages, task.schema, sampling)
    except ServerGone:
        raise
    except (ModelUnavailable, ModelOutputError) as error:
        raise ItemInterrupted(error, state) from error
    return Attempt(
        attempt_no=len(state["attempts"]) + 1,
        prompt=context.template.ref,
        prompt_text_sha256=hash_messages(messages),
        model=completion.model,
        sampling=sampling.as_sent(),
        usage=completion.usage,
        finish_reason=completion.finish_reason,
        text=completion.text,
        draft=None,
        issues=(),
    )


async def _checked(last: Attempt, checks: CheckContext, context: GraphContext) -> CheckReport:
    if context.checkers is not None:
        return await context.checkers.check(last.text, last.finish_reason, checks)
    return check_answer(last.text, last.finish_reason, checks, context.warn_only)


def _grade_changed(earlier: Sequence[Attempt], answer: Draft | None) -> bool:
    """Returns whether an answer grades otherwise than the newest earlier one that parsed."""
    if answer is None:
        return False
    previous = next((a.draft for a in reversed(earlier) if a.draft is not None), None)
    return previous is not None and previous.grades != answer.grades
