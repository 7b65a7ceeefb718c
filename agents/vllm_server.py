"""Starting, watching and stopping a vLLM server in an environment of its own.

vLLM is a server we talk to, never a library we import (ARCHITECTURE, decision 10). The server runs
under a small supervisor process (`agents.vllm_supervisor`) in a session of its own: when this
process ends for whatever reason, the supervisor sees its standard input close and takes the whole
process group down, so that no engine process is left behind. A server that dies once it was ready
is started anew by the supervisor.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.model_folder import find_model_folder
from agents.serve_checks import CPU_KV_GIB, CPU_KV_VARIABLE, checks_before_start, interpreter
from agents.server_state import (
    CHECKOUT,
    ServerState,
    boot_id,
    claim_port,
    end_leftover,
    find_server,
    remove_stale,
    state_path,
)
from agents.vllm_supervisor import LET_GO
from knee.errors import InputError, ModelUnavailable
from knee.run_config import ModelEndpoint, ServeSettings

_POLL_S = 0.5
_STOP_S = 15.0
_LOG_TAIL = 12
_KEY_VARIABLE = "VLLM_API_KEY"
_STRUCTURED_OUTPUTS = {"backend": "xgrammar", "disable_any_whitespace": True}
"""Without `disable_any_whitespace` a weak model fills its budget with legal JSON white space."""
_CPU_ENVIRONMENT = {
    CPU_KV_VARIABLE: str(CPU_KV_GIB),
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
_OFFLINE_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True)
class ServerLabel:
    """What `serve status` tells of a server beside its settings."""

    name: str = "unnamed"
    """Name of the settings."""
    config: str = ""
    """The settings file."""
    role: str = "drafter"
    """`drafter` or `judge`."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answered its health check."""

    base_url: str
    """`http://host:port/v1`, as this machine reaches it."""
    log_path: Path
    """Everything that vLLM printed."""
    ready_s: float
    """Seconds from the start to the first healthy answer."""
    process: subprocess.Popen[bytes]
    """The supervisor; its process group does not hold the engine, its child's does."""
    port: int
    """Where it listens."""


def server_command(settings: ServeSettings, endpoint: ModelEndpoint) -> list[str]:
    """Returns the command that starts vLLM's OpenAI-compatible server.

    The module is started instead of `vllm serve`, which looks for a distribution called `vllm` and
    does not find it beside the CPU build. A key is not in it: every user can read the list of
    processes.
    """
    folder = find_model_folder(settings, CHECKOUT)
    return [
        str(interpreter(settings)),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        # A cached hub model keeps its name: vLLM finds it in the cache, and its log says what it is
        str(folder) if (CHECKOUT / settings.model_path).exists() else settings.model_path,
        "--served-model-name",
        settings.base_name or endpoint.model,
        "--host",
        settings.host,
        "--port",
        str(settings.port),
        "--max-model-len",
        str(settings.max_model_len),
        "--max-num-seqs",
        str(settings.max_num_seqs),
        "--dtype",
        settings.dtype,
        "--structured-outputs-config",
        json.dumps(_STRUCTURED_OUTPUTS),
        *settings.extra_args,
    ]


def server_environment(settings: ServeSettings, endpoint: ModelEndpoint) -> dict[str, str]:
    """Returns the environment of the server process, the key that it asks for among it."""
    local_model = find_model_folder(settings, CHECKOUT) is not None
    inherited = {name: value for name, value in os.environ.items() if name != _KEY_VARIABLE}
    key = os.environ.get(endpoint.api_key_env or "", "")
    return {
        **inherited,
        **(_CPU_ENVIRONMENT if settings.device == "cpu" else {}),
        **(_OFFLINE_ENVIRONMENT if local_model else {"VLLM_NO_USAGE_STATS": "1"}),
        **settings.env,
        **({_KEY_VARIABLE: key} if key else {}),
    }


def is_ready(port: int) -> bool:
    """Returns whether the supervisor of a port has seen its server answer the health check.

    Its word and no look of our own: what it has not seen ready it does not start anew.
    """
    entry = find_server(port)
    return entry is not None and entry.running and entry.state.ready


def log_tail(path: Path, lines: int = _LOG_TAIL) -> str:
    """Returns the last lines of a log file, empty when there is none."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as handle:
        return "".join(deque(handle, maxlen=lines)).rstrip()


def start_server(
    settings: ServeSettings,
    endpoint: ModelEndpoint,
    log_path: Path,
    on_wait: Callable[[float], None] | None = None,
    *,
    label: ServerLabel | None = None,
    detached: bool = False,
    on_check: Callable[[str], None] | None = None,
) -> RunningServer:
    """Starts vLLM and returns when its health check answers.

    Args:
        settings: the `[serve]` part of a settings file.
        endpoint: the model that is to be served under its name.
        log_path: where vLLM's output goes.
        on_wait: called with the seconds waited, about twice a second.
        label: whose server it is, for `serve status`.
        detached: it will be let go (`let_go`); until then it ends with this process.
        on_check: told what each check before the start found.

    Raises:
        InputError: something that a server needs is not as asked, or it ended or did not answer in
            time (the log's end is shown); no process is left.
    """
    for line in checks_before_start(settings, endpoint):
        if on_check is not None:
            on_check(line)
    command = server_command(settings, endpoint)
    label = label or ServerLabel()
    state = ServerState(
        name=label.name,
        role=label.role,
        model=endpoint.model,
        config=label.config,
        base_url=f"{settings.own_url}/v1",
        port=settings.port,
        log=str(log_path),
        started_by=" ".join(sys.argv),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        detached=detached,
        boot_id=boot_id(),
    )
    process = _spawn(command, server_environment(settings, endpoint), state)
    try:
        return _wait_until_ready(settings, process, log_path, on_wait)
    except BaseException:  # Ctrl-C while waiting must not leave a server behind either
        _end(process, settings.port)
        raise


def _spawn(command: list[str], env: dict[str, str], state: ServerState) -> subprocess.Popen[bytes]:
    """Starts the supervisor, which holds the port's state file from now on."""
    log_path = Path(state.log)
    descriptor = claim_port(state)
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("wb") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "agents.vllm_supervisor"),
                    *("--health", state.base_url.removesuffix("/v1") + "/health"),
                    *("--state", str(descriptor), str(state_path(state.port))),
                    "--",
                    *command,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=CHECKOUT,
                start_new_session=True,
                pass_fds=(descriptor,),
            )
    except OSError as error:
        state_path(state.port).unlink(missing_ok=True)
        raise InputError(
            f"cannot write the log {state.log!r}: {error.strerror}", "name another with --log"
        ) from error
    finally:
        os.close(descriptor)


def _wait_until_ready(
    settings: ServeSettings,
    process: subprocess.Popen[bytes],
    log_path: Path,
    on_wait: Callable[[float], None] | None,
) -> RunningServer:
    started = time.monotonic()
    while not is_ready(settings.port):
        waited = time.monotonic() - started
        if process.poll() is not None:
            raise InputError(
                f"vLLM ended with code {process.returncode!r} after {waited:.0f} s; "
                f"its last words:\n{log_tail(log_path)}",
                f"the whole log is {str(log_path)!r}",
            )
        if waited > settings.ready_timeout_s:
            raise InputError(
                f"vLLM did not answer within {settings.ready_timeout_s:.0f} s; "
                f"its last words:\n{log_tail(log_path)}",
                f"raise serve.ready_timeout_s; the whole log is {str(log_path)!r}",
            )
        if on_wait is not None:
            on_wait(waited)
        time.sleep(_POLL_S)
    return RunningServer(
        base_url=f"{settings.own_url}/v1",
        log_path=log_path,
        ready_s=time.monotonic() - started,
        process=process,
        port=settings.port,
    )


def stop_server(server: RunningServer) -> None:
    """Stops the server and every process that it started; returns when they are gone."""
    _end(server.process, server.port)


def let_go(server: RunningServer) -> None:
    """Lets a detached server outlive this process: `serve stop` ends it from now on.

    Raises:
        ModelUnavailable: it ended a moment ago.
    """
    assert server.process.stdin is not None, "started with a pipe"
    try:
        with server.process.stdin as pipe:
            pipe.write(LET_GO)
    except BrokenPipeError as error:
        raise ModelUnavailable(
            f"the server on port {server.port} ended as soon as it was ready",
            f"the log is {str(server.log_path)!r}",
        ) from error
    # It is no child to be waited for any more; else Python warns, when the object goes, of a
    # process that it thinks was forgotten.
    server.process.returncode = 0


def _end(process: subprocess.Popen[bytes], port: int) -> None:
    assert process.stdin is not None, "started with a pipe"
    process.stdin.close()
    try:
        process.wait(timeout=_STOP_S + 5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    entry = find_server(port)
    if entry is not None and entry.state.supervisor_pid == process.pid:
        # The supervisor was killed before it could clean up.
        end_leftover(entry.state)
        remove_stale(entry)


@contextmanager
def running_server(
    settings: ServeSettings,
    endpoint: ModelEndpoint,
    log_path: Path,
    on_wait: Callable[[float], None] | None = None,
    *,
    label: ServerLabel | None = None,
    on_check: Callable[[str], None] | None = None,
) -> Generator[RunningServer]:
    """Brings a server up for the length of a `with` block; see `start_server`."""
    server = start_server(settings, endpoint, log_path, on_wait, label=label, on_check=on_check)
    try:
        yield server
    finally:
        stop_server(server)
