"""A server's state file from its supervisor's side, with the standard library alone.

See `agents.server_state` for what stands in it and how it is read.
"""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

_MAX_BYTES = 65536


class StateFile:
    """Notes what changes, and removes the file last."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """Takes over a locked descriptor of the file."""
        self._descriptor = descriptor
        self._path = path

    def note(self, **changes: int | bool) -> None:
        """Writes some fields anew, and when."""
        now = round(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
        fields = json.loads(os.pread(self._descriptor, _MAX_BYTES, 0))
        text = json.dumps({**fields, **changes, "noted_ticks": now}).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def remove(self) -> None:
        """Removes the file while it is still locked: nobody can hold another one by then."""
        self._path.unlink(missing_ok=True)


class ProcessStat(NamedTuple):
    """What the kernel says of a process."""

    group: int
    """Its process group."""
    start_ticks: int
    """When it started, in ticks since the machine's start."""


def process_stat(pid: int) -> ProcessStat | None:
    """Returns a process's group and start; None when it has ended.

    One that waits for its parent to take notice (a zombie) has ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name stands in brackets and may hold anything. Behind it: the state, field 3 of
    # proc(5), then the parent, the group, and so on to the start, field 22.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else ProcessStat(int(fields[2]), int(fields[19]))


def start_ticks(pid: int) -> int | None:
    """Returns when a process started, in ticks since the machine's start; None when it ended."""
    stat = process_stat(pid)
    return None if stat is None else stat.start_ticks
