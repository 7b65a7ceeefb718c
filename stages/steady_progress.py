"""How far a command is that works through volumes: a bar redrawn by a timer, or plain lines."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_REDRAWS_A_SECOND = 2
_LINE_EVERY_S = 2.0


class SteadyProgress(Protocol):
    """What the working code tells."""

    def done(self, name: str, trouble: str | None = None) -> None:
        """Counts one finished volume; `trouble` says why it failed."""
        ...


@contextmanager
def progress_of(total: int, what: str, stream: TextIO | None = None) -> Generator[SteadyProgress]:
    """Shows progress while the enclosed code runs.

    On a terminal a bar is redrawn twice a second by rich's own timer, whatever is finished in
    between. Elsewhere a line is written for the first volume, for what fails, and else at most
    every two seconds, the last one always.

    Args:
        total: volumes to do.
        what: a word or two in front of the bar.
        stream: where to; stderr unless given.
    """
    out = sys.stderr if stream is None else stream
    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        lines = _Lines(total, out)
        try:
            yield lines
        finally:
            lines.close()
        return
    with Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[name]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=_REDRAWS_A_SECOND,
    ) as bar:
        yield _Bar(bar, total)


class _Bar:
    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total, name="")

    def done(self, name: str, trouble: str | None = None) -> None:
        """Advances the bar; a failure stays on the screen as a line above it."""
        if trouble is not None:
            self._bar.console.print(f"{name} FAILED: {trouble}", markup=False)
        self._bar.update(self._task, advance=1, name=name)


class _Lines:
    def __init__(self, total: int, out: TextIO) -> None:
        self._total = total
        self._out = out
        self._n_done = 0
        self._pending = ""
        self._written_at = float("-inf")

    def done(self, name: str, trouble: str | None = None) -> None:
        """Writes a line when one is due."""
        self._n_done += 1
        self._pending = f"  {self._n_done}/{self._total} {name}"
        if trouble is not None:
            self._pending += f" FAILED: {trouble}"
        due = time.monotonic() - self._written_at >= _LINE_EVERY_S
        if due or trouble is not None or self._n_done == self._total:
            self.close()

    def close(self) -> None:
        """Writes the line that is still owed."""
        if self._pending:
            self._out.write(self._pending + "\n")
            self._out.flush()
            self._pending = ""
            self._written_at = time.monotonic()
