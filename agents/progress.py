"""How far a batch is: counters that items bump, and a display that reads them by a timer.

Never drawn per event: at thousands of items a minute the display would cost more than the work.
"""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from knee.records import ItemOutcome, ItemState

_LIVE_EVERY_S = 0.5
_LINE_EVERY_S = 5.0
_SHOWN = (ItemState.ACCEPTED, ItemState.DISAGREES, ItemState.REJECTED, ItemState.FAILED)


@dataclass
class BatchProgress:
    """Counters of one batch; the batch writes them, a display reads them."""

    total: int | None = None
    """Items to do; None when it is not known."""
    counts: Counter[ItemState] = field(default_factory=Counter[ItemState])
    """Items by the state in which they ended."""
    n_attempts: int = 0
    """Answers received."""
    prompt_tokens: int = 0
    """Tokens sent."""
    completion_tokens: int = 0
    """Tokens generated."""
    in_flight: int = 0
    """Items being worked on."""
    outage: str | None = None
    """Why the server is being waited for; None when it is not."""
    started: float = field(default_factory=time.monotonic)
    """Monotonic time of the start."""

    @property
    def n_done(self) -> int:
        """Items that ended."""
        return self.counts.total()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def tokens_per_s(self) -> float | None:
        """Generated tokens a second; None before any."""
        return self.completion_tokens / self.seconds if self.completion_tokens else None

    @property
    def seconds_left(self) -> float | None:
        """Time left at the pace so far; None when nothing is known yet."""
        if self.total is None or not self.n_done:
            return None
        return (self.total - self.n_done) * self.seconds / self.n_done

    def add(self, outcome: ItemOutcome) -> None:
        """Counts one finished item."""
        self.counts[outcome.state] += 1
        self.n_attempts += len(outcome.attempts)
        calls = [attempt.usage for attempt in outcome.attempts]
        if outcome.judgement is not None:
            calls += [call.usage for call in outcome.judgement.calls]
        for usage in calls:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens

    def line(self) -> str:
        """Returns the counters as one line for people."""
        of = "" if self.total is None else f"/{self.total}"
        parts = [f"{self.n_done}{of} items"]
        parts += [f"{self.counts[s]} {s.value}" for s in _SHOWN if self.counts[s]]
        if self.total is not None:
            parts.append(f"{self.total - self.n_done} pending")
        if self.tokens_per_s is not None:
            parts.append(f"{self.tokens_per_s:.0f} tokens/s")
        if self.outage is not None:
            parts.append(f"waiting for the server ({self.outage})")
        elif self.seconds_left is not None:
            parts.append(f"{_duration(self.seconds_left)} left")
        return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@asynccontextmanager
async def progress_shown(
    progress: BatchProgress, stream: TextIO | None = None, line_every_s: float = _LINE_EVERY_S
) -> AsyncGenerator[None]:
    """Shows the counters while the enclosed code runs: redrawn in place, or a line now and then.

    Args:
        progress: what to show.
        stream: where to; stderr unless given.
        line_every_s: seconds between two lines where the stream is no terminal.
    """
    out = sys.stderr if stream is None else stream
    console = Console(file=out, highlight=False)
    draw = (
        _redraw(progress, console) if console.is_terminal else _lines(progress, out, line_every_s)
    )
    timer = asyncio.create_task(draw)
    try:
        yield
    finally:
        timer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timer
        out.write(progress.line() + "\n")
        out.flush()


async def _redraw(progress: BatchProgress, console: Console) -> None:
    with Live(Text(progress.line()), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(_LIVE_EVERY_S)
            live.update(Text(progress.line()), refresh=True)


async def _lines(progress: BatchProgress, out: TextIO, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        out.write(progress.line() + "\n")
        out.flush()
