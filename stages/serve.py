"""`serve`: the servers of a settings file, until Ctrl-C or, detached, until `serve stop`."""

import signal
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from agents.vllm_server import (
    CHECKOUT,
    RunningServer,
    ServerLabel,
    let_go,
    log_tail,
    running_server,
    start_server,
    stop_server,
)
from knee.errors import InputError, ModelUnavailable
from knee.records import Item
from knee.run_config import DescribedServer, RunConfig, ServeSettings
from stages.console import emit, say
from stages.phantom_items import phantom_items
from stages.serve_prompts import check_prompts_fit
from stages.settings import load_settings

_PROGRESS_EVERY_S = 5.0
_STEP_CHARACTERS = 90


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


def servers_of(config: RunConfig, path: Path, only: str | None = None) -> list[DescribedServer]:
    """Returns the servers that a settings file describes, or the one that is named.

    Raises:
        InputError: it describes none, or not that one.
    """
    found = [server for server in config.servers if only in (None, server.role)]
    if found:
        return found
    if only == "judge":
        raise InputError(
            f"settings file {str(path)!r} has no [judge.serve] part",
            "add one (see configs/gpu-judge.toml); a judge with the drafter's base_url is served "
            "by the drafter's server",
        )
    serve_settings(config, path)
    raise InputError(f"settings file {str(path)!r} has no server to start")


def default_log(config: RunConfig, role: str = "drafter") -> Path:
    """Returns where vLLM's output goes when nobody says."""
    name = config.name if role == "drafter" else f"{config.name}-{role}"
    return CHECKOUT / ".cache" / "serve" / f"{name}.log"


class WaitingLine:
    """Tells every few seconds that the server is still starting, and what it does."""

    def __init__(self, log: Path | None = None) -> None:
        """Starts counting.

        Args:
            log: vLLM's log; its last line is shown.
        """
        self._next = _PROGRESS_EVERY_S
        self._log = log

    def __call__(self, waited_s: float) -> None:
        """Writes a line when the time for one has come."""
        if waited_s >= self._next:
            step = "" if self._log is None else log_tail(self._log, 1).strip()
            say(f"  waiting for vLLM: {waited_s:.0f} s  {_shortened(step)}".rstrip())
            self._next += _PROGRESS_EVERY_S


def _shortened(line: str) -> str:
    # vLLM begins its lines with process, level, time and source: `… [core.py:114] what it does`.
    text = line.partition("] ")[2].strip() or line
    return text if len(text) <= _STEP_CHARACTERS else text[:_STEP_CHARACTERS] + "…"


def serve(config_path: Path, log: Path | None, *, only: str | None, detach: bool) -> int:
    """Serves until Ctrl-C or SIGTERM; prints each base URL on stdout once its server answers.

    Args:
        config_path: the settings file.
        log: where vLLM's output goes; the judge's beside it.
        only: `drafter` or `judge`; None starts each that the file describes.
        detach: return once they answer; `serve stop` ends them.

    Raises:
        InputError: settings, environment, model, memory, port or device are not as asked, or a
            server did not start.
        ModelUnavailable: a server ended by itself and could not be started again.
    """
    config = load_settings(config_path)
    servers = servers_of(config, config_path, only)
    if detach:
        return _detach(servers, config, config_path, log)
    try:
        with _signals_interrupt(), running_servers(servers, config, config_path, log) as running:
            say("Ctrl-C stops " + ("it" if len(running) == 1 else "them"))
            for server in running:
                emit(server.base_url)
            ended = _wait_for_one(running)
    except KeyboardInterrupt:
        say("stopped")
        return 0
    raise ModelUnavailable(
        f"vLLM ended by itself with code {ended.process.returncode!r}",
        f"the log is {str(ended.log_path)!r}",
    )


def _wait_for_one(running: list[RunningServer]) -> RunningServer:
    while True:
        for server in running:
            if server.process.poll() is not None:
                return server
        time.sleep(0.5)


@contextmanager
def _signals_interrupt() -> Generator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell that starts a command with `&` has it ignored, and Python leaves it so.
    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_servers(
    servers: Iterable[DescribedServer],
    config: RunConfig,
    path: Path,
    log: Path | None = None,
    items: Iterable[Item] | None = None,
) -> Generator[list[RunningServer]]:
    """Brings servers up, one after the other, and down behind the block.

    Args:
        servers: of the settings.
        config: the settings.
        path: where they lie.
        log: the first server's log; None takes the default place.
        items: whose prompts must fit; None takes those of a phantom knee.

    Raises:
        InputError: something is not as asked, or a server did not start; none is left.
    """
    checked = list(servers)
    say_prompts_fit(checked, config, path, items)
    running: list[RunningServer] = []
    with ExitStack() as stack:
        for server in checked:
            log_path = _log_of(server, config, log)
            _announce(server, log_path)
            running.append(
                stack.enter_context(
                    running_server(
                        server.settings,
                        server.endpoint,
                        log_path,
                        WaitingLine(log_path),
                        label=_label(server, config, path),
                        on_check=_say_check,
                    )
                )
            )
            say(f"{server.role} ready after {running[-1].ready_s:.0f} s")
        yield running


def _detach(servers: list[DescribedServer], config: RunConfig, path: Path, log: Path | None) -> int:
    say_prompts_fit(servers, config, path)
    started: list[RunningServer] = []
    with ExitStack() as stack:  # one of two servers is none
        for server in servers:
            log_path = _log_of(server, config, log)
            _announce(server, log_path)
            running = start_server(
                server.settings,
                server.endpoint,
                log_path,
                WaitingLine(log_path),
                label=_label(server, config, path),
                detached=True,
                on_check=_say_check,
            )
            stack.callback(stop_server, running)
            started.append(running)
            say(f"{server.role} ready after {running.ready_s:.0f} s")
        stack.pop_all()
    say(f"stop with `run_pipeline.py serve stop --config {path}`")
    for server in started:
        let_go(server)
        emit(server.base_url)
    return 0


def say_prompts_fit(
    servers: Iterable[DescribedServer],
    config: RunConfig,
    path: Path,
    items: Iterable[Item] | None = None,
) -> None:
    """Tells how much of each context the longest prompt takes.

    Raises:
        InputError: a prompt does not fit.
    """
    if items is None:
        items = phantom_items(sees_images=config.drafter.images is not None)
    shown = list(items)
    for server in asked_on(servers, config):
        _say_check(check_prompts_fit(server, config, path, shown))


def asked_on(servers: Iterable[DescribedServer], config: RunConfig) -> list[DescribedServer]:
    """Returns the servers, and behind the drafter's the judge that is asked there too."""
    shared = config.judge_on_the_drafters_server
    found: list[DescribedServer] = []
    for server in servers:
        found.append(server)
        if shared is not None and server.role == "drafter":
            found.append(shared)
    return found


def _announce(server: DescribedServer, log: Path) -> None:
    say(f"starting vLLM for {server.role} {server.endpoint.model!r}; log: {log}")


def _say_check(line: str) -> None:
    say(f"  {line}")


def _label(server: DescribedServer, config: RunConfig, path: Path) -> ServerLabel:
    return ServerLabel(config.name, str(path.resolve()), server.role)


def _log_of(server: DescribedServer, config: RunConfig, log: Path | None) -> Path:
    if log is None:
        return default_log(config, server.role)
    drafter_alone = server.role == "drafter" or config.serve is None
    return log if drafter_alone else log.with_name(f"{log.stem}-{server.role}{log.suffix}")
