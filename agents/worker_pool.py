"""A bounded pool of workers over an iterator: no barrier between items, and an orderly stop.

Ctrl-C, SIGTERM and a server that stays away end the work in order: no new item is taken, what is in
flight is dropped, and results that are being kept are kept.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from enum import StrEnum
from typing import Generic, TypeVar

from agents.server_guard import ServerGone

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopReason(StrEnum):
    """Why work ended before its items did."""

    INTERRUPTED = "interrupted"
    SERVER_GONE = "server_gone"


class WorkerPool(Generic[_Item, _Result]):
    """The workers of one run and their way to stop."""

    def __init__(
        self,
        items: Iterable[_Item],
        work: Callable[[_Item], Awaitable[_Result]],
        keep: Callable[[_Result], Awaitable[None]],
    ) -> None:
        """Prepares a pool; nothing is read yet.

        Args:
            items: read as workers become free, never ahead.
            work: makes an item's result; dropped by a stop.
            keep: keeps a result; a stop does not reach it. Calls may overlap.
        """
        self._items = iter(items)
        self._work = work
        self._keep = keep
        self._working: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.stopped: StopReason | None = None
        self.message: str | None = None
        """What to tell about the stop."""
        self.n_dropped = 0
        """Items that were in flight when the pool was stopped."""

    async def run(self, n_workers: int) -> None:
        """Works until the iterator is empty or the pool is stopped.

        Args:
            n_workers: items at once.

        Raises:
            Exception: what `work` or `keep` raises first; items in flight are dropped.
        """
        workers = {asyncio.create_task(self._work_on()) for _ in range(n_workers)}
        try:
            done, running = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            if running:
                self._drop()
                more, _ = await asyncio.wait(running)
                done |= more
        except asyncio.CancelledError:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            raise
        # All are asked: asyncio would tell of an error that nobody asked for.
        errors = [worker.exception() for worker in done if not worker.cancelled()]
        for error in filter(None, errors):
            raise error

    def stop(self, reason: StopReason, message: str) -> None:
        """Takes no new item and drops what is in flight; only the first reason is kept."""
        if self.stopped is None:
            self.stopped, self.message = reason, message
        self._drop()

    def _drop(self) -> None:
        self._stopping = True
        for task in self._working:
            task.cancel()

    async def _work_on(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not self._stopping and (item := next(self._items, None)) is not None:
            self._working.add(task)
            try:
                result = await self._work(item)
            except ServerGone as gone:
                self.n_dropped += 1
                # Before `stop`, which would cancel this very task.
                self._working.discard(task)
                self.stop(StopReason.SERVER_GONE, str(gone))
                return
            except asyncio.CancelledError:
                self.n_dropped += 1
                raise
            finally:
                self._working.discard(task)
            # Not in `_working`: a stop does not reach a result that is being kept.
            await self._keep(result)


@contextmanager
def signals_stop(pool: WorkerPool[_Item, _Result]) -> Generator[None]:
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
