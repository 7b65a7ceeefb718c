"""A server's state file from its supervisor's side, with the standard library alone.

See `agents.server_state` for what stands in it and how it is read.
"""

import json
import os
from pathlib import Path

_MAX_BYTES = 65536


class StateFile:
    """Notes what changes, and removes the file last."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """Takes over a locked descriptor of the file."""
        self._descriptor = descriptor
        self._path = path

    def note(self, **changes: int | bool) -> None:
        """Writes some fields anew."""
        fields = json.loads(os.pread(self._descriptor, _MAX_BYTES, 0))
        text = json.dumps({**fields, **changes}).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def remove(self) -> None:
        """Removes the file while it is still locked: nobody can hold another one by then."""
        self._path.unlink(missing_ok=True)


def start_ticks(pid: int) -> int | None:
    """Returns when a process started, in ticks since the machine's start; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name stands in brackets and may hold anything; field 22 counts from the start.
    return int(text.rpartition(")")[2].split()[19])
