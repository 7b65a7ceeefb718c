"""Checks in processes of their own, beside the one that talks to the server.

One Python process has one core, and the checks are the largest part of what it does for an item.
They are pure functions of an answer and its finding, so any process can run them and none is lost
with one: where a worker is gone, cannot be started or is not ready yet (it takes seconds to import
what it needs), the answer is checked here. A worker says when it is ready, then reads requests and
writes reports in the same order (`agents.check_worker`); it is in a session of its
own, so that a Ctrl-C in the terminal reaches the batch alone, and ends when its input does.
"""

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agents.check_worker import READY, CheckRequest, CheckSetup
from agents.checks.context import CheckContext
from agents.checks.run import CheckReport, check_answer
from knee.run_config import BatchSettings

FEWEST_IN_FLIGHT = 32
"""Items in flight from which a worker is started unasked: slower batches leave the core idle."""
_LONGEST_LINE = 1 << 24
_END_WITHIN_S = 5.0
_CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(slots=True, eq=False)
class _Worker:
    """One process, and who waits for its replies, the longest first."""

    process: asyncio.subprocess.Process
    waiting: deque[asyncio.Future[bytes | None]] = field(
        default_factory=deque[asyncio.Future[bytes | None]]
    )
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    is_there: bool = True

    async def read_on(self) -> None:
        """Hands out replies until the process ends; who still waits then gets None."""
        assert self.process.stdout is not None
        try:
            if await self.process.stdout.readline() != READY:
                return
            self.ready.set()
            async for line in self.process.stdout:
                if not line.endswith(b"\n"):
                    break  # torn: the process died while it wrote
                reply = self.waiting.popleft()
                if not reply.done():
                    reply.set_result(line)
        finally:
            self.is_there = False
            self.ready.set()  # nobody waits for one that is gone
            for reply in self.waiting:
                if not reply.done():
                    reply.set_result(None)

    async def ask(self, line: bytes) -> bytes | None:
        """Returns the reply to a request, None when the process ended before it came."""
        assert self.process.stdin is not None
        reply = asyncio.get_running_loop().create_future()
        self.waiting.append(reply)
        self.process.stdin.write(line)
        return await reply


class CheckPool:
    """Runs the checks of a run's answers in its workers, or here where there is none."""

    def __init__(self, setup: CheckSetup, workers: Sequence[_Worker]) -> None:
        """Takes workers that have been told `setup`."""
        self._setup = setup
        self._warn_only = frozenset(setup.warn_only)
        self._workers = tuple(workers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that are still there."""
        return tuple(worker.process.pid for worker in self._workers if worker.is_there)

    async def wait_until_ready(self) -> None:
        """Returns once every worker is ready or gone; `check` does not need it."""
        for worker in self._workers:
            await worker.ready.wait()

    async def check(self, text: str, finish_reason: str, context: CheckContext) -> CheckReport:
        """Returns what `check_answer` returns.

        Args:
            text: the answer as received.
            finish_reason: as the server gave it.
            context: what it is held against, with the calibration of the run.
        """
        worker = min(
            (worker for worker in self._workers if worker.is_there and worker.ready.is_set()),
            key=lambda worker: len(worker.waiting),
            default=None,
        )
        if worker is not None:
            request = CheckRequest.of(text, finish_reason, context)
            reply = await worker.ask(request.model_dump_json().encode() + b"\n")
            if reply is not None:
                return CheckReport.model_validate_json(reply)
        return check_answer(text, finish_reason, context, self._warn_only)


def n_check_workers(settings: BatchSettings) -> int:
    """Returns how many workers a batch gets: as set, else one where there is a core for it."""
    if settings.check_workers is not None:
        return settings.check_workers
    has_core = (os.cpu_count() or 1) > 1
    return int(has_core and settings.concurrency >= FEWEST_IN_FLIGHT)


@asynccontextmanager
async def check_pool(n_workers: int, setup: CheckSetup) -> AsyncGenerator[CheckPool | None]:
    """Starts workers for the block and ends them behind it; yields None for none.

    Args:
        n_workers: processes beside this one.
        setup: what is the same for all answers of the run.
    """
    workers = [worker for _ in range(n_workers) if (worker := await _start(setup)) is not None]
    readers = [asyncio.create_task(worker.read_on()) for worker in workers]
    try:
        yield CheckPool(setup, workers) if workers else None
    finally:
        for worker in workers:
            await _end(worker)
        await asyncio.gather(*readers)


async def _start(setup: CheckSetup) -> _Worker | None:
    path = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # what lies in the working directory is no part of this checkout
            "-m",
            "agents.check_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
    except OSError:
        return None  # no memory or process left for it: the checks run here
    assert process.stdin is not None
    process.stdin.write(setup.model_dump_json().encode() + b"\n")
    return _Worker(process)


async def _end(worker: _Worker) -> None:
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    try:
        async with asyncio.timeout(_END_WITHIN_S):
            await worker.process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        await worker.process.wait()
