"""Many items at once: a bounded pool of workers over an iterator, without barriers.

Items flow one by one, so memory stays flat however many there are. An item's error is a state of
its row and never an end of the run; a server that goes away pauses everyone (`server_guard`).
Ctrl-C, SIGTERM and a server that stays away end the batch in order: no new item is taken, drafts in
flight are dropped, and outcomes that are being kept are kept.
"""

import asyncio
import gc
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from agents.context import GraphContext
from agents.graph import run_item
from agents.llm_client import ChatModel
from agents.progress import BatchProgress
from agents.server_guard import ServerGone, ServerGuard
from knee.records import Item, ItemOutcome, ItemState
from knee.run_config import BatchSettings

OnOutcome = Callable[[ItemOutcome], Awaitable[None] | None]
"""Keeps an outcome; an item is done when it returns. Calls of an async one may overlap."""
_COLLECT_AFTER = 20_000
"""New objects before the youngest generation is searched; Python's own 700 cost a sixth of all
items a second, because the graph makes thousands of short-lived objects an item (measured)."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkItem(NamedTuple):
    """One item, and whose finding its drafter is shown."""

    item: Item
    """The item."""
    shown: Item | None = None
    """Another knee's item in the shuffled control; None shows the item's own finding."""
    held_against: Item | None = None
    """Whose finding the checks hold drafts against; None holds them against the shown one."""


class StopReason(StrEnum):
    """Why a batch ended before its items did."""

    INTERRUPTED = "interrupted"
    SERVER_GONE = "server_gone"


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

    def note_outage(trouble: str | None) -> None:
        counters.outage = trouble

    def guarded(model: ChatModel) -> ServerGuard:
        return ServerGuard(
            model, wait_s=settings.server_wait_s, poll_s=poll_s, on_outage=note_outage
        )

    guards = [guarded(context.model)]
    context = replace(context, model=guards[0])
    if context.judge is not None:
        guards.append(guarded(context.judge.model))
        context = replace(context, judge=replace(context.judge, model=guards[1]))
    pool = _Pool(work, context, on_outcome, counters)
    try:
        with _signals_stop(pool), collector_calmed():
            await pool.run(settings.concurrency)
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


class _Pool:
    """The workers of one batch and their way to stop."""

    def __init__(
        self,
        work: Iterable[WorkItem],
        context: GraphContext,
        on_outcome: OnOutcome,
        progress: BatchProgress,
    ) -> None:
        self._work = iter(work)
        self._context = context
        self._on_outcome = on_outcome
        self._progress = progress
        self._drafting: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.stopped: StopReason | None = None
        self.message: str | None = None
        self.n_dropped = 0

    async def run(self, n_workers: int) -> None:
        """Works until the iterator is empty or the pool is stopped."""
        workers = {asyncio.create_task(self._work_on()) for _ in range(n_workers)}
        try:
            done, running = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            if running:
                self._drop_drafts()
                more, _ = await asyncio.wait(running)
                done |= more
        except asyncio.CancelledError:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            raise
        for worker in done:
            if not worker.cancelled() and (error := worker.exception()) is not None:
                raise error

    def stop(self, reason: StopReason, message: str) -> None:
        """Takes no new item and drops drafts in flight; only the first reason is kept."""
        if self.stopped is None:
            self.stopped, self.message = reason, message
        self._drop_drafts()

    def _drop_drafts(self) -> None:
        self._stopping = True
        for task in self._drafting:
            task.cancel()

    async def _work_on(self) -> None:
        while not self._stopping and (work := next(self._work, None)) is not None:
            outcome = await self._draft(work)
            if outcome is None:
                return
            # Not in `_drafting`: a stop does not reach an outcome that is being kept.
            kept = self._on_outcome(outcome)
            if kept is not None:
                await kept
            self._progress.add(outcome)

    async def _draft(self, work: WorkItem) -> ItemOutcome | None:
        """Returns the outcome of one item; None when it was dropped."""
        task = asyncio.current_task()
        assert task is not None
        self._drafting.add(task)
        self._progress.in_flight += 1
        try:
            return await run_item(work.item, self._context, work.shown, work.held_against)
        except ServerGone as gone:
            self.n_dropped += 1
            # Before `stop`, which would cancel this very task.
            self._drafting.discard(task)
            self.stop(StopReason.SERVER_GONE, str(gone))
            return None
        except asyncio.CancelledError:
            self.n_dropped += 1
            raise
        finally:
            self._drafting.discard(task)
            self._progress.in_flight -= 1


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


@contextmanager
def _signals_stop(pool: _Pool) -> Generator[None]:
    """Turns the first Ctrl-C or SIGTERM into an orderly stop; a second one acts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])

    def stop(name: str) -> None:
        restore()
        pool.stop(StopReason.INTERRUPTED, f"stopped by {name}")

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number.name)
    try:
        yield
    finally:
        restore()
