"""Which servers of this checkout run: one locked file for each port, `.cache/serve/<port>.json`.

The supervisor of a server holds the file's lock from before the start until it ends. The kernel
drops the lock however it ends, so that a locked file is a running server, whatever became of its
process number; and two servers cannot be started on one port.
"""

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from agents.state_file import process_stat, start_ticks
from knee.errors import InputError

CHECKOUT = Path(__file__).resolve().parent.parent
"""Root of the checkout."""
STATE_FOLDER = CHECKOUT / ".cache" / "serve"
"""Where state files and logs lie."""
STOP_WAIT_S = 30.0
"""Longest wait for a supervisor that was told to stop: its grace time, and a margin."""
_POLL_S = 0.1
_CLAIM_TRIES = 5
"""A reader holds the lock for an instant; one try may meet it."""
_MAX_BYTES = 65536


class ServerState(BaseModel):
    """What is known of a server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the settings."""
    role: str
    """`drafter` or `judge`."""
    model: str
    """Name under which the model is served."""
    config: str
    """The settings file."""
    base_url: str
    """Where it answers."""
    port: int
    """Its port."""
    log: str
    """Where everything lies that it printed."""
    started_by: str
    """The command that started it."""
    started_at: str
    """When, ISO 8601 in UTC."""
    detached: bool
    """Whether it outlives the command that started it."""
    supervisor_pid: int = 0
    """Who watches it."""
    vllm_pid: int = 0
    """vLLM's own process and process group; 0 between two starts."""
    vllm_start_ticks: int = 0
    """When that process started, in the kernel's ticks: tells it from a later one of its number."""
    noted_ticks: int = 0
    """When the supervisor last wrote here, in the same ticks."""
    boot_id: str = ""
    """The run of the machine in which those ticks count."""
    ready: bool = False
    """Whether it has answered its health check since its last start."""
    restarts: int = 0
    """How often it was started anew."""

    @property
    def phase(self) -> str:
        """`starting`, `ready` or `restarting`."""
        if self.ready:
            return "ready"
        return "restarting" if self.restarts else "starting"


class ServerEntry(NamedTuple):
    """A state file."""

    path: Path
    """The file."""
    state: ServerState
    """What stands in it."""
    running: bool
    """Whether its supervisor still lives."""


def state_path(port: int) -> Path:
    """Returns the state file of a port."""
    return STATE_FOLDER / f"{port}.json"


def claim_port(state: ServerState) -> int:
    """Returns the descriptor of the state file of a port, locked for a new server.

    Raises:
        InputError: a server of this checkout holds it, or the file cannot be written.
    """
    path = state_path(state.port)
    for _ in range(_CLAIM_TRIES):
        descriptor = _open_state(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, state.model_dump_json().encode(), 0)
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass  # Held, or removed by a server that ended just now.
        os.close(descriptor)
        time.sleep(_POLL_S)
    raise InputError(
        f"port {state.port!r} is held by a server of this checkout: "
        f"{describe_holder(state.port) or 'it is just starting'}",
        f"`run_pipeline.py serve stop --port {state.port}` stops it",
    )


def _open_state(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(
            f"cannot write {str(path)!r}: {error.strerror}", "the checkout must be writable"
        ) from error


def list_servers() -> list[ServerEntry]:
    """Returns the servers that were started and not seen to end, by port."""
    entries: list[ServerEntry] = []
    for path in sorted(STATE_FOLDER.glob("[0-9]*.json"), key=lambda path: (len(path.name), path)):
        entry = _read(path)
        if entry is not None:
            entries.append(entry)
    return entries


def find_server(port: int) -> ServerEntry | None:
    """Returns the server of a port; None when none was started there."""
    return _read(state_path(port))


def describe_holder(port: int) -> str | None:
    """Returns who holds a port of ours in words; None when no server of ours does."""
    entry = find_server(port)
    if entry is None or not entry.running:
        return None
    state = entry.state
    return (
        f"{state.role} {state.model!r} of settings {state.name!r}, process "
        f"{state.supervisor_pid}, since {state.started_at}"
    )


def _read(path: Path) -> ServerEntry | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            running = False
        except BlockingIOError:
            running = True
        state = _parse(descriptor)
    finally:
        os.close(descriptor)
    return None if state is None else ServerEntry(path, state, running)


def _parse(descriptor: int) -> ServerState | None:
    # The supervisor writes it anew, in one write of one page: what is torn is read once more.
    for _ in range(3):
        try:
            return ServerState.model_validate_json(os.pread(descriptor, _MAX_BYTES, 0))
        except ValidationError:
            time.sleep(_POLL_S)
    return None


def stop_entry(entry: ServerEntry) -> bool:
    """Ends a server and every process of it; returns False when it had ended before.

    Raises:
        InputError: it belongs to another user, or does not end.
    """
    entry = _with_supervisor(entry)
    state = entry.state
    if entry.running:
        try:
            os.kill(state.supervisor_pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise InputError(
                f"process {state.supervisor_pid} of port {state.port} belongs to another user",
                "who started the server must stop it",
            ) from error
        if not _wait_for_end(state):
            raise InputError(
                f"the server on port {state.port} did not end within {STOP_WAIT_S:.0f} s",
                f"kill -9 {state.supervisor_pid}; its log is {state.log!r}",
            )
    left = end_leftover(state)
    remove_stale(entry)
    return entry.running or left


def _with_supervisor(entry: ServerEntry) -> ServerEntry:
    """Returns the entry once its supervisor has noted who it is: a start takes it a moment.

    Raises:
        InputError: it never does.
    """
    found: ServerEntry | None = entry
    deadline = time.monotonic() + STOP_WAIT_S
    while found is not None and found.running and not found.state.supervisor_pid:
        if time.monotonic() > deadline:
            raise InputError(
                f"the server on port {entry.state.port} is held by a process that is not known",
                f"`fuser {str(entry.path)!r}` names it; its log is {entry.state.log!r}",
            )
        time.sleep(_POLL_S)
        found = _read(entry.path)
    # Gone meanwhile: nothing runs any more.
    return entry._replace(running=False) if found is None else found


def remove_stale(entry: ServerEntry) -> None:
    """Removes the file of a server that ended without it; a later server's file stays."""
    try:
        descriptor = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), entry.path.stat()):
            entry.path.unlink()
    except (BlockingIOError, FileNotFoundError):
        pass  # Somebody serves on that port by now, or it is gone.
    finally:
        os.close(descriptor)


def _wait_for_end(state: ServerState) -> bool:
    """Returns whether the supervisor ended in time: its file is the last but one thing to go."""
    deadline = time.monotonic() + STOP_WAIT_S
    while time.monotonic() < deadline:
        entry = find_server(state.port)
        gone = entry is None or not entry.running
        if gone and start_ticks(state.supervisor_pid) is None:
            return True
        time.sleep(_POLL_S)
    return False


def end_leftover(state: ServerState) -> bool:
    """Kills what is left of a server whose supervisor was killed before it could.

    Numbers of processes and groups are used again. The server's own processes are of its group,
    started no earlier than its first one, and before the supervisor's last note (of its being
    ready): whoever got such a number later started later than that.
    """
    if not state.vllm_pid or state.boot_id != boot_id():
        return False
    left = False
    for path in Path("/proc").glob("[0-9]*"):
        stat = process_stat(int(path.name))
        if stat is None or stat.group != state.vllm_pid:
            continue
        if state.vllm_start_ticks <= stat.start_ticks <= state.noted_ticks:
            left = _kill(int(path.name)) or left
    return left


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def boot_id() -> str:
    """Returns the kernel's name of this run of the machine; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
