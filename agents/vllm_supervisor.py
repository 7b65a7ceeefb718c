"""Runs a command in a process group of its own and ends the group when standard input closes.

`python -m agents.vllm_supervisor COMMAND…`. The parent holds the other end of standard input and
never writes: the pipe closes when the parent stops us or dies, even by kill -9. The command's
process group then gets SIGTERM and, after a grace time, SIGKILL. If the command ends first, its
exit code is ours.
"""

import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

_GRACE_S = 10.0
_POLL_S = 0.2


def _parent_is_gone(timeout_s: float) -> bool:
    """Waits up to `timeout_s` and returns whether standard input was closed."""
    readable, _, _ = select.select([sys.stdin], [], [], timeout_s)
    return bool(readable) and os.read(sys.stdin.fileno(), 1) == b""


def _group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Ends the child's process group: SIGTERM, a grace time, SIGKILL."""
    deadline = time.monotonic() + _GRACE_S
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        while time.monotonic() < deadline and _group_is_alive(child.pid):
            child.poll()
            time.sleep(_POLL_S)
    child.wait()


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def supervise(command: list[str]) -> int:
    """Runs `command` until it ends or the parent goes away; returns its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        while child.poll() is None:
            if _parent_is_gone(_POLL_S):
                break
    finally:
        end_group(child)
    return child.returncode if child.returncode is not None else 1


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
