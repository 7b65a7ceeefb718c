"""Starting, watching and stopping a vLLM server in an environment of its own.

vLLM is a server we talk to, never a library we import (ARCHITECTURE, decision 10). The server runs
under a small supervisor process (`agents.vllm_supervisor`) in a session of its own: when this
process ends for whatever reason, the supervisor sees its standard input close and takes the whole
process group down, so that no engine process is left behind.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from knee.errors import InputError, ModelUnavailable
from knee.run_config import ModelEndpoint, ServeSettings

CHECKOUT = Path(__file__).resolve().parent.parent
"""Root of the checkout; relative paths in `[serve]` start here."""
_POLL_S = 0.5
_STOP_S = 15.0
_LOG_TAIL = 12
_STRUCTURED_OUTPUTS = {"backend": "xgrammar", "disable_any_whitespace": True}
"""Without `disable_any_whitespace` a weak model fills its budget with legal JSON white space."""
_CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
_OFFLINE_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answered its health check."""

    base_url: str
    """`http://host:port/v1`."""
    log_path: Path
    """Everything that vLLM printed."""
    ready_s: float
    """Seconds from the start to the first healthy answer."""
    process: subprocess.Popen[bytes]
    """The supervisor; its process group does not hold the engine, its child's does."""


def interpreter(settings: ServeSettings) -> Path:
    """Returns the Python of vLLM's environment.

    Raises:
        InputError: it is not there; the hint says which command makes it.
    """
    path = CHECKOUT / settings.python
    if not path.is_file():
        command = "make setup-vllm" if settings.device == "cpu" else "make setup-vllm-gpu"
        raise InputError(
            f"vLLM's own Python was not found: {settings.python!r}",
            f"`{command}` makes it, or set serve.python in the settings file",
        )
    return path


def check_model_folder(settings: ServeSettings) -> str:
    """Returns what to hand to `--model`: an absolute folder, or a hub name as it is.

    Raises:
        InputError: the folder exists and lacks a file that vLLM needs.
    """
    folder = CHECKOUT / settings.model_path
    if not folder.exists():
        if settings.model_path.startswith((".", "/")) or settings.device == "cpu":
            raise InputError(
                f"model folder not found: {settings.model_path!r}",
                "serve.model_path is a folder (relative to the checkout) or a hub name",
            )
        return settings.model_path
    missing = [
        name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()
    ]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise InputError(
            f"model folder {settings.model_path!r} is incomplete: no {', '.join(missing)}",
            "save the model with its tokenizer and weights in that folder",
        )
    has_template = (folder / "chat_template.jinja").is_file() or "chat_template" in json.loads(
        (folder / "tokenizer_config.json").read_text(encoding="utf-8")
    )
    if not has_template:
        raise InputError(
            f"the tokenizer of {settings.model_path!r} has no chat template",
            "add chat_template.jinja: the drafter is asked through the chat API",
        )
    return str(folder)


def check_port(settings: ServeSettings) -> None:
    """Refuses a port that something listens on already.

    Raises:
        InputError: the port is taken.
    """
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((settings.host, settings.port)) == 0:
            raise InputError(
                f"port {settings.port} on {settings.host!r} is taken",
                "stop what listens there, or set another serve.port and drafter.base_url",
            )


def check_gpu(settings: ServeSettings) -> None:
    """Refuses a GPU configuration on a machine without one.

    Raises:
        InputError: there is no NVIDIA device.
    """
    if settings.device == "gpu" and not (
        shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()
    ):
        raise InputError(
            "the settings ask for device 'gpu' and no NVIDIA device was found",
            "use configs/demo.toml on a machine without a GPU",
        )


def server_command(settings: ServeSettings, endpoint: ModelEndpoint) -> list[str]:
    """Returns the command that starts vLLM's OpenAI-compatible server.

    The module is started instead of `vllm serve`, which looks for a distribution called `vllm` and
    does not find it beside the CPU build.
    """
    return [
        str(interpreter(settings)),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        check_model_folder(settings),
        "--served-model-name",
        endpoint.model,
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


def server_environment(settings: ServeSettings) -> dict[str, str]:
    """Returns the environment of the server process."""
    local_model = (CHECKOUT / settings.model_path).exists()
    return {
        **os.environ,
        **(_CPU_ENVIRONMENT if settings.device == "cpu" else {}),
        **(_OFFLINE_ENVIRONMENT if local_model else {"VLLM_NO_USAGE_STATS": "1"}),
        **settings.env,
    }


def is_healthy(settings: ServeSettings) -> bool:
    """Returns whether the server answers its health check now."""
    url = f"http://{settings.host}:{settings.port}/health"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


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
) -> RunningServer:
    """Starts vLLM and returns when its health check answers.

    Args:
        settings: the `[serve]` part of a settings file.
        endpoint: the model that is to be served under its name.
        log_path: where vLLM's output goes.
        on_wait: called with the seconds waited, about twice a second.

    Raises:
        InputError: interpreter, model, port or device are not as asked.
        ModelUnavailable: the server ended or did not answer in time; the log's end is shown.
    """
    check_gpu(settings)
    check_port(settings)
    command = server_command(settings, endpoint)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents.vllm_supervisor", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=server_environment(settings),
            cwd=CHECKOUT,
            start_new_session=True,
        )
    try:
        return _wait_until_ready(settings, process, log_path, on_wait)
    except BaseException:  # Ctrl-C while waiting must not leave a server behind either
        _end(process)
        raise


def _wait_until_ready(
    settings: ServeSettings,
    process: subprocess.Popen[bytes],
    log_path: Path,
    on_wait: Callable[[float], None] | None,
) -> RunningServer:
    started = time.monotonic()
    while not is_healthy(settings):
        waited = time.monotonic() - started
        if process.poll() is not None:
            raise ModelUnavailable(
                f"vLLM ended with code {process.returncode!r} after {waited:.0f} s; "
                f"its last words:\n{log_tail(log_path)}",
                f"the whole log is {str(log_path)!r}",
            )
        if waited > settings.ready_timeout_s:
            raise ModelUnavailable(
                f"vLLM did not answer within {settings.ready_timeout_s:.0f} s; "
                f"its last words:\n{log_tail(log_path)}",
                f"raise serve.ready_timeout_s; the whole log is {str(log_path)!r}",
            )
        if on_wait is not None:
            on_wait(waited)
        time.sleep(_POLL_S)
    return RunningServer(
        base_url=f"http://{settings.host}:{settings.port}/v1",
        log_path=log_path,
        ready_s=time.monotonic() - started,
        process=process,
    )


def stop_server(server: RunningServer) -> None:
    """Stops the server and every process that it started; returns when they are gone."""
    _end(server.process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=_STOP_S + 5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def running_server(
    settings: ServeSettings,
    endpoint: ModelEndpoint,
    log_path: Path,
    on_wait: Callable[[float], None] | None = None,
) -> Generator[RunningServer]:
    """Brings a server up for the length of a `with` block; see `start_server`."""
    server = start_server(settings, endpoint, log_path, on_wait)
    try:
        yield server
    finally:
        stop_server(server)
