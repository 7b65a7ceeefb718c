"""The first accepted quintuple of a run, shown as soon as it is safe on disk."""

import time
from collections.abc import Awaitable, Callable, Iterator

from knee.answers import StepName
from knee.records import ItemOutcome, ItemState
from prompts.question_text import question_ask
from stages.console import say

Keep = Callable[[ItemOutcome], Awaitable[None]]
"""Keeps an outcome; it is done when it returns."""


def first_shown(keep: Keep, since: float | None) -> Keep:
    """Returns `keep`, which in addition shows the first outcome that is accepted.

    Args:
        keep: what makes an outcome safe.
        since: monotonic time from which the seconds are told; None shows nothing.
    """
    if since is None:
        return keep
    started, shown = since, False

    async def keep_and_show(outcome: ItemOutcome) -> None:
        nonlocal shown
        await keep(outcome)
        if outcome.state is ItemState.ACCEPTED and not shown:
            shown = True
            say("\n".join(quintuple_lines(outcome, time.monotonic() - started)))

    return keep_and_show


def quintuple_lines(outcome: ItemOutcome, seconds: float) -> Iterator[str]:
    """Yields the five parts of an accepted item as text.

    Args:
        outcome: the item; its last attempt passed.
        seconds: since the command's start.
    """
    draft = outcome.attempts[-1].draft
    assert draft is not None, "an accepted item ends with an attempt that was parsed"
    located = draft.step(StepName.LOCATE)
    yield ""
    yield f"first accepted quintuple, after {seconds:.0f} s"
    yield f"  volume     {outcome.volume_id}"
    yield f"  question   {outcome.question_id}: {question_ask(outcome.question_id)}"
    yield f"  box        {located.box if located else None} (i0, i1, j0, j1, k0, k1; voxels)"
    for step in draft.steps:
        yield f"  {step.name.value:<11}{step.text}"
    yield f"  grades     {', '.join(f'{c.value} {g}' for c, g in draft.grades.items())}"
    yield f"  gates      {', '.join(outcome.gates)}"
    yield ""
