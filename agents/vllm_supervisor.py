"""Runs a server in a process group of its own, starts it anew when it dies, ends it with us.

`python -m agents.vllm_supervisor --health URL --state FD PATH -- COMMAND…`. The parent holds the
other end of standard input: the pipe closes when the parent stops us or dies, even by kill -9. The
command's process group then gets SIGTERM and, after a grace time, SIGKILL. A parent that detaches
writes `LET_GO` first, once all that it started is ready: from then on SIGTERM alone ends us. Should
this process itself be killed, the kernel sends the command SIGTERM.

A server that had answered its health check and then ended, with whatever code, is started anew:
vLLM ends with 0 when its engine was killed. One that never answered is not: its exit code is ours.
"""

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from pathlib import Path
from types import FrameType

from agents.state_file import StateFile, process_stat, start_ticks

MAX_RESTARTS = 5
"""Restarts within `RESTARTS_WITHIN_S`; one more, and something is wrong that no restart mends."""
RESTARTS_WITHIN_S = 600.0
"""Length of the window, in seconds."""
_GRACE_S = 10.0
_POLL_S = 0.2
_HEALTH_EVERY_S = 0.5
_HEALTH_TIMEOUT_S = 2.0
_PR_SET_PDEATHSIG = 1
LET_GO = b"."
"""What a parent writes that will leave without ending the server."""


def _end_with_parent() -> None:
    """Asks the kernel, in the child before its start, for SIGTERM when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _group_is_alive(group: int) -> bool:
    """Returns whether a process of the group lives; a zombie, which nobody waited for, has ended.

    In a container whose first process waits for no orphans, zombies stay for good.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    stats = (process_stat(int(path.name)) for path in Path("/proc").glob("[0-9]*"))
    return any(stat is not None and stat.group == group for stat in stats)


def end_group(child: subprocess.Popen[bytes], grace_s: float = _GRACE_S) -> None:
    """Ends the child's process group: SIGTERM, a grace time, SIGKILL."""
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, grace_s)):
        deadline = time.monotonic() + wait_s
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        while time.monotonic() < deadline and _group_is_alive(child.pid):
            child.poll()
            time.sleep(_POLL_S / 4)
    child.wait()


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_HEALTH_TIMEOUT_S) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _tell(text: str) -> None:
    """Writes a line into the server's log, which is our output."""
    sys.stdout.write(f"supervisor: {text}\n")
    sys.stdout.flush()


class Supervisor:
    """Watches one server."""

    def __init__(self, command: list[str], *, health: str, state: StateFile) -> None:
        """Starts nothing yet.

        Args:
            command: the server's command.
            health: address that answers 200 once the server is ready.
            state: where what changes is noted.
        """
        self._command = command
        self._health = health
        self._state = state
        self._detached = False
        self._restarted: deque[float] = deque(maxlen=MAX_RESTARTS)
        self._n_restarts = 0
        self._leaving = False

    def run(self) -> int:
        """Runs the server until we are told to end it or it ends for good; returns its code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._leave)
        self._state.note(supervisor_pid=os.getpid())
        while True:
            code, was_ready = self._run_once()
            if self._leaving or not self._may_restart(code, was_ready=was_ready):
                return code

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        self._leaving = True

    def _run_once(self) -> tuple[int, bool]:
        """Returns the server's exit code, and whether it had been ready."""
        child = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        self._state.note(
            vllm_pid=child.pid, vllm_start_ticks=start_ticks(child.pid) or 0, ready=False
        )
        ready, next_look = False, time.monotonic() + _HEALTH_EVERY_S
        try:
            while child.poll() is None and not self._told_to_end():
                if not ready and time.monotonic() >= next_look:
                    ready = _is_healthy(self._health)
                    next_look = time.monotonic() + _HEALTH_EVERY_S
                    if ready:
                        self._state.note(ready=True)
        finally:
            self._state.note(ready=False)
            end_group(child)
            self._state.note(vllm_pid=0, vllm_start_ticks=0)
        return child.returncode, ready

    def _told_to_end(self) -> bool:
        """Waits a moment; returns whether a signal came or the parent closed its pipe."""
        if self._leaving or self._detached:
            time.sleep(0 if self._leaving else _POLL_S)
            return self._leaving
        readable, _, _ = select.select([sys.stdin], [], [], _POLL_S)
        if readable:
            word = os.read(sys.stdin.fileno(), 1)
            self._detached = word == LET_GO
            self._leaving = self._leaving or word == b""
        return self._leaving

    def _may_restart(self, code: int, *, was_ready: bool) -> bool:
        if not was_ready and not self._n_restarts:
            return False
        now = time.monotonic()
        if len(self._restarted) == MAX_RESTARTS and now - self._restarted[0] < RESTARTS_WITHIN_S:
            _tell(
                f"the server ended with code {code}; not started again after {MAX_RESTARTS} "
                f"restarts within {RESTARTS_WITHIN_S:.0f} s"
            )
            return False
        self._restarted.append(now)
        self._n_restarts += 1
        self._state.note(restarts=self._n_restarts)
        _tell(f"the server ended with code {code}; restart {self._n_restarts}")
        return True


def main(arguments: list[str]) -> int:
    """Supervises the command after `--`; see the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--health", required=True)
    parser.add_argument("--state", nargs=2, required=True, metavar=("FD", "PATH"))
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    descriptor, path = options.state
    state = StateFile(int(descriptor), Path(path))
    try:
        return Supervisor(options.command, health=options.health, state=state).run()
    finally:
        state.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
