"""Many items at once: a bounded pool of workers over an iterator, without barriers.

Items flow one by one, so memory stays flat however many there are. An item's error is a state of
its row and never an end of the run; a server that goes away pauses everyone (`server_guard`).
Ctrl-C, SIGTERM and a server that stays away end the batch in order: no new item is taken, drafts in
flight are dropped, and outcomes that are being kept are kept.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from agents.context import GraphContext
from agents.graph import run_item
from agents.llm_client import ChatModel
from agents.progress import BatchProgress
from agents.server_guard import ServerGuard
from agents.worker_pool import StopReason, WorkerPool, signals_stop
from knee.records import Item, ItemOutcome, ItemState
from knee.run_config import BatchSettings

OnOutcome = Callable[[ItemOutcome], Awaitable[None] | None]
"""Keeps an outcome; an item is done when it returns. Calls of an async one may overlap."""
_COLLECT_AFTER = 20_000
"""New objects before the youngest generation is searched; Python's own 700 cost a sixth of all
items a second, because the graph makes thousands of short-lived objects an item (measured)."""


class WorkItem(NamedTuple):
    """One item, and whose finding its drafter is shown."""

    item: Item
    """The item."""
    shown: Item | None = None
    """Another knee's item in the shuffled control; None shows the item's own finding."""
    held_against: Item | None = None
    """Whose finding the checks hold drafts against; None holds them against the shown one."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a batch ended."""

    counts: Counter[ItemState]
    """Items by the state in which they ended."""
    n_dropped: int
    """Items that were in flight when the batch was stopped; they are still pending."""
    stopped: StopReason | None
    """None when the iterator was worked off."""
    message: str | None
    """What to tell about the stop."""
    n_outages: int
    """How often the server went away."""
    seconds: float
    """Duration."""

    @property
    def stopped_early(self) -> bool:
        """True when items may be left."""
        return self.stopped is not None

    @property
    def exit_code(self) -> int:
        """0 done, 1 some items failed, 3 stopped early (CONTRACTS)."""
        if self.stopped_early:
            return 3
        return 1 if self.counts[ItemState.FAILED] else 0


def items_under_way(concurrency: int) -> int:
    """Returns how many items are worked on at once, of which `concurrency` are with a server.

    A quarter more: an item that is prepared, checked or written to disk leaves its slot to the
    next. Without them a server of 0.5-1.5 s an answer was kept 0.86 full (`make bench-agents`).

    Example:
        >>> items_under_way(256)
        320
    """
    return concurrency + concurrency // 4


async def run_batch(
    work: Iterable[WorkItem],
    context: GraphContext,
    settings: BatchSettings,
    on_outcome: OnOutcome,
    *,
    progress: BatchProgress | None = None,
    poll_s: float = 1.0,
) -> BatchResult:
    """Returns how the batch ended, after having run every item that `work` gives.

    Args:
        work: items to run; read as workers become free, never ahead.
        context: the run; its models are guarded against a server that goes away.
        settings: concurrency and how long a lost server is waited for.
        on_outcome: called once for each finished item, in the order in which they finish.
        progress: counters to keep; new ones unless given.
        poll_s: seconds between two questions to a server that is away.

    Raises:
        KneeError: what no retry mends (wrong key or model, a template that cannot be rendered),
            and what `on_outcome` or `work` raises; items in flight are dropped.
    """
    counters = BatchProgress() if progress is None else progress
    slots = asyncio.Semaphore(settings.concurrency)

    def note_outage(trouble: str | None) -> None:
        counters.outage = trouble

    def guarded(model: ChatModel) -> ServerGuard:
        return ServerGuard(
            model,
            wait_s=settings.server_wait_s,
            poll_s=poll_s,
            on_outage=note_outage,
            slots=slots,
        )

    guards = [guarded(context.model)]
    context = replace(context, model=guards[0])
    if context.judge is not None:
        guards.append(guarded(context.judge.model))
        context = replace(context, judge=replace(context.judge, model=guards[1]))

    async def draft(work: WorkItem) -> ItemOutcome:
        counters.in_flight += 1
        try:
            return await run_item(work.item, context, work.shown, work.held_against)
        finally:
            counters.in_flight -= 1

    async def keep(outcome: ItemOutcome) -> None:
        kept = on_outcome(outcome)
        if kept is not None:
            await kept
        counters.add(outcome)

    pool = WorkerPool(work, draft, keep)
    try:
        with signals_stop(pool), collector_calmed():
            await pool.run(items_under_way(settings.concurrency))
    finally:
        for guard in guards:
            await guard.close()
    return BatchResult(
        counts=counters.counts.copy(),
        n_dropped=pool.n_dropped,
        stopped=pool.stopped,
        message=pool.message,
        n_outages=sum(guard.n_outages for guard in guards),
        seconds=counters.seconds,
    )


@contextmanager
def collector_calmed() -> Generator[None]:
    """Lets the garbage collector search less often, and never what was there before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
