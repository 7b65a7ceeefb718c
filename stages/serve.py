"""`serve`: vLLM from a settings file, in the foreground, until Ctrl-C."""

import time
from pathlib import Path

from agents.vllm_server import CHECKOUT, running_server
from knee.errors import InputError, ModelUnavailable
from knee.run_config import RunConfig, ServeSettings, load_run_config
from stages.console import emit, say

_PROGRESS_EVERY_S = 5.0


def serve_settings(config: RunConfig, path: Path) -> ServeSettings:
    """Returns the `[serve]` part of a settings file.

    Raises:
        InputError: the file has none.
    """
    if config.serve is None:
        raise InputError(
            f"settings file {str(path)!r} has no [serve] part",
            "add one (see configs/demo.toml), or start your server yourself",
        )
    return config.serve


def default_log(config: RunConfig) -> Path:
    """Returns where vLLM's output goes when nobody says."""
    return CHECKOUT / ".cache" / "serve" / f"{config.name}.log"


class WaitingLine:
    """Tells every few seconds that the server is still starting."""

    def __init__(self) -> None:
        self._next = _PROGRESS_EVERY_S

    def __call__(self, waited_s: float) -> None:
        """Writes a line when the time for one has come."""
        if waited_s >= self._next:
            say(f"  waiting for vLLM: {waited_s:.0f} s")
            self._next += _PROGRESS_EVERY_S


def serve(config_path: Path, log: Path | None) -> int:
    """Serves until Ctrl-C; prints the base URL on stdout once the server answers.

    Raises:
        InputError: settings, environment, model, port or device are not as asked.
        ModelUnavailable: the server did not start, or ended by itself.
    """
    config = load_run_config(config_path)
    settings = serve_settings(config, config_path)
    log_path = log or default_log(config)
    say(f"starting vLLM for {config.drafter.model!r}; log: {log_path}")
    with running_server(settings, config.drafter, log_path, WaitingLine()) as server:
        say(f"ready after {server.ready_s:.0f} s; Ctrl-C stops it")
        emit(server.base_url)
        try:
            while server.process.poll() is None:
                time.sleep(0.5)
        except KeyboardInterrupt:
            say("stopping vLLM")
            return 0
    raise ModelUnavailable(
        f"vLLM ended by itself with code {server.process.returncode!r}",
        f"the log is {str(log_path)!r}",
    )
