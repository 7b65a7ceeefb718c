"""`serve`: detached and not, two servers, stopped, killed, started anew; no process is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agents.server_state import (
    ServerEntry,
    ServerState,
    claim_port,
    find_server,
    state_path,
    stop_entry,
)
from agents.state_file import StateFile
from run_pipeline import main
from store.connection import open_store
from tests.demo_run import CHECKOUT, CommandResult, free_port
from tests.sampled_store import make_sampled_store
from tests.serve_cases import server_processes, wait_until, write_serve_settings

Command = Callable[..., CommandResult]
NO_STATE = ServerState(
    name="none",
    role="drafter",
    model="none",
    config="",
    base_url="",
    port=0,
    log="",
    started_by="",
    started_at="",
    detached=False,
)


@pytest.fixture
def port() -> Generator[int]:
    """A free port; whatever a failed test left on it is ended."""
    number = free_port()
    yield number
    for pid in server_processes(number):
        os.kill(pid, signal.SIGKILL)
    state_path(number).unlink(missing_ok=True)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: what it starts are processes all the same."""

    def run(*arguments: str) -> CommandResult:
        capsys.readouterr()
        code = main(list(arguments))
        said = capsys.readouterr()
        return CommandResult(code, said.out, said.err)

    return run


def foreground(config: Path, *more: str) -> subprocess.Popen[str]:
    """Starts `serve` as a user does, and returns once it printed a base URL."""
    process = subprocess.Popen(
        [sys.executable, "run_pipeline.py", "serve", "--config", str(config), *more],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), process.communicate()[1]
    return process


def end(process: subprocess.Popen[str]) -> CommandResult:
    out, err = process.communicate(timeout=120)
    return CommandResult(process.returncode, out, err)


def status(command: Command, port: int) -> dict[str, Any] | None:
    shown = json.loads(command("serve", "status", "--json").out)
    return next((entry for entry in shown if entry["port"] == port), None)


def test_detached_it_outlives_the_command_and_stop_ends_every_process(
    tmp_path: Path, port: int, command: Command
):
    config = write_serve_settings(tmp_path, port=port)
    log = tmp_path / "vllm.log"
    done = command("serve", "--config", str(config), "--detach", "--log", str(log))
    assert done.code == 0, done.err
    assert done.out == f"http://127.0.0.1:{port}/v1\n"
    assert str(log) in done.err
    assert "startup complete" in log.read_text()
    assert len(server_processes(port)) == 3, "supervisor, server, engine"
    shown = status(command, port)
    assert shown is not None
    assert (shown["state"], shown["restarts"], shown["detached"]) == ("ready", 0, True)
    assert (shown["model"], shown["log"]) == ("fake", str(log))
    assert f"{port}" in command("serve", "status").out
    again = command("serve", "--config", str(config))
    assert again.code == 2
    assert "taken by a server of this checkout: drafter 'fake' of settings 'served'" in (again.err)
    assert f"serve stop --port {port}" in again.err
    stopped = command("serve", "stop", "--config", str(config))
    assert stopped.code == 0, stopped.err
    assert f"stopped drafter 'fake' on port {port}" in stopped.err
    assert server_processes(port) == []
    assert status(command, port) is None
    nothing = command("serve", "stop", "--port", str(port))
    assert nothing.code == 2
    assert "no server of this checkout runs on port" in nothing.err


def test_whoever_is_killed_before_a_detached_server_is_ready_takes_it_along(
    tmp_path: Path, port: int
):
    config = write_serve_settings(tmp_path, port=port, more='env = { FAKE_VLLM_START_S = "60" }')
    process = subprocess.Popen(
        [sys.executable, "run_pipeline.py", "serve", "--config", str(config), "--detach"],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_until(lambda: len(server_processes(port)) == 3, 60)
    process.kill()
    process.wait()
    assert wait_until(lambda: not server_processes(port), 60)
    assert find_server(port) is None


def test_a_server_is_stopped_that_was_claimed_and_has_no_supervisor_yet(port: int):
    descriptor = claim_port(NO_STATE.model_copy(update={"port": port}))
    entry = find_server(port)
    assert entry is not None
    assert entry.running
    supervisor = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,))

    def note_it() -> None:
        time.sleep(0.3)
        StateFile(descriptor, entry.path).note(supervisor_pid=supervisor.pid)
        os.close(descriptor)

    later = threading.Thread(target=note_it)
    later.start()
    try:
        assert stop_entry(entry)
        assert supervisor.poll() == -signal.SIGTERM
    finally:
        supervisor.kill()
        supervisor.wait()
        later.join()


def test_clearing_up_after_one_that_ended_leaves_its_successors_file_alone(port: int):
    state = NO_STATE.model_copy(update={"port": port})
    state_path(port).parent.mkdir(parents=True, exist_ok=True)
    state_path(port).write_text(state.model_dump_json())
    ended = find_server(port)
    assert ended is not None
    assert not ended.running
    descriptor = claim_port(state)
    try:
        assert not stop_entry(ended)
        assert find_server(port) is not None
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_in_the_foreground_nothing_outlives_the_command(tmp_path: Path, port: int, number: int):
    process = foreground(write_serve_settings(tmp_path, port=port))
    assert len(server_processes(port)) == 3
    process.send_signal(number)
    done = end(process)
    assert done.code == (0 if number == signal.SIGTERM else -number), done.err
    assert wait_until(lambda: not server_processes(port), 60)
    assert find_server(port) is None


def test_a_dead_server_is_started_anew_and_ctrl_c_ends_it(tmp_path: Path, port: int):
    process = foreground(write_serve_settings(tmp_path, port=port))
    before = find_server(port)
    assert before is not None
    os.kill(before.state.vllm_pid, signal.SIGKILL)

    def is_back() -> bool:
        now = find_server(port)
        return now is not None and now.state.restarts == 1 and now.state.ready

    assert wait_until(is_back, 60)
    assert len(server_processes(port)) == 3, "the first one's engine is gone"
    process.send_signal(signal.SIGINT)
    assert end(process).code == 0
    assert server_processes(port) == []


def test_a_killed_supervisor_takes_the_server_along_and_the_command_says_so(
    tmp_path: Path, port: int
):
    process = foreground(write_serve_settings(tmp_path, port=port))
    entry = find_server(port)
    assert entry is not None
    os.kill(entry.state.supervisor_pid, signal.SIGKILL)
    done = end(process)
    assert done.code == 3
    assert "ended by itself with code -9" in done.err
    assert "hint: the log is" in done.err
    assert server_processes(port) == []


def test_an_engine_that_ignores_sigterm_is_killed(tmp_path: Path, port: int, command: Command):
    config = write_serve_settings(tmp_path, port=port, more='env = { FAKE_VLLM_STUBBORN = "1" }')
    assert command("serve", "--config", str(config), "--detach").code == 0
    assert command("serve", "stop", "--port", str(port)).code == 0
    assert server_processes(port) == []


def test_zombies_that_no_first_process_waits_for_hold_nothing_up():
    # The script takes the place of such a process: orphans become its own, and it waits for none.
    script = """
import ctypes, subprocess, time
from agents.vllm_supervisor import end_group
ctypes.CDLL(None).prctl(36, 1)
child = subprocess.Popen(["sh", "-c", "sleep 60 & exec sleep 60"], start_new_session=True)
time.sleep(0.5)
started = time.monotonic()
end_group(child, 10.0)
print(time.monotonic() - started)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 9


@pytest.mark.parametrize("more", [[], ["--detach"]])
def test_a_server_that_never_was_ready_is_not_started_anew(
    tmp_path: Path, port: int, command: Command, more: list[str]
):
    config = write_serve_settings(tmp_path, port=port, more='env = { FAKE_VLLM_FAILS = "1" }')
    done = command("serve", "--config", str(config), *more)
    assert done.code == 2
    assert "vLLM ended with code 1" in done.err
    assert "ValueError: as asked" in done.err
    assert "hint: the whole log is" in done.err
    assert server_processes(port) == []
    assert find_server(port) is None


def test_a_server_that_is_not_ready_in_time_is_ended(tmp_path: Path, port: int, command: Command):
    more = 'ready_timeout_s = 1.0\nenv = { FAKE_VLLM_START_S = "60" }'
    config = write_serve_settings(tmp_path, port=port, more=more)
    done = command("serve", "--config", str(config), "--detach")
    assert done.code == 2
    assert "did not answer within 1 s" in done.err
    assert server_processes(port) == []


def test_drafter_and_judge_are_started_together_or_the_one_that_is_named(
    tmp_path: Path, port: int, command: Command
):
    judge_port = free_port()
    config = write_serve_settings(tmp_path, port=port, judge_port=judge_port)
    done = command("serve", "--config", str(config), "--detach")
    try:
        assert done.code == 0, done.err
        assert done.out.splitlines() == [
            f"http://127.0.0.1:{port}/v1",
            f"http://127.0.0.1:{judge_port}/v1",
        ]
        assert "judge ready" in done.err
        assert (status(command, port) or {})["role"] == "drafter"
        assert (status(command, judge_port) or {})["role"] == "judge"
    finally:
        stopped = command("serve", "stop", "--config", str(config))
    assert "stopped drafter" in stopped.err
    assert "stopped judge" in stopped.err
    assert server_processes(port) + server_processes(judge_port) == []
    alone = command("serve", "--config", str(config), "--detach", "--only", "judge")
    try:
        assert alone.out == f"http://127.0.0.1:{judge_port}/v1\n"
        assert status(command, port) is None
    finally:
        command("serve", "stop", "--port", str(judge_port))
    assert server_processes(judge_port) == []


@pytest.mark.parametrize("more", [[], ["--detach"]])
def test_when_the_judge_does_not_start_the_drafter_goes_too(
    tmp_path: Path, port: int, command: Command, more: list[str]
):
    judge_port = free_port()
    config = write_serve_settings(tmp_path, port=port, judge_port=judge_port)
    text = config.read_text().replace(
        f"port = {judge_port}\n[serve]",
        f'port = {judge_port}\nenv = {{ FAKE_VLLM_FAILS = "1" }}\n[serve]',
    )
    assert "FAKE_VLLM_FAILS" in text
    config.write_text(text)
    done = command("serve", "--config", str(config), *more)
    assert done.code == 2, done.err
    assert "drafter ready" in done.err
    assert server_processes(port) + server_processes(judge_port) == []


def test_the_key_is_asked_for_and_is_nowhere_to_be_read(
    tmp_path: Path, port: int, command: Command, monkeypatch: pytest.MonkeyPatch
):
    config = write_serve_settings(tmp_path, port=port, drafter='api_key_env = "OUR_KEY"')
    refused = command("serve", "--config", str(config))
    assert refused.code == 2
    assert "environment variable 'OUR_KEY' is not set" in refused.err
    monkeypatch.setenv("OUR_KEY", "s3cret-and-long")
    log = tmp_path / "vllm.log"
    done = command("serve", "--config", str(config), "--detach", "--log", str(log))
    try:
        assert done.code == 0, done.err
        address = f"http://127.0.0.1:{port}/v1/models"
        with pytest.raises(urllib.error.HTTPError, match="401") as unauthorised:
            urllib.request.urlopen(address, timeout=5)
        unauthorised.value.close()
        request = urllib.request.Request(
            address, headers={"Authorization": "Bearer s3cret-and-long"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in server_processes(port)]
        written = [done.out, done.err, log.read_text(), state_path(port).read_text(), *commands]
        assert not any("s3cret" in text for text in written)
        measured = command(
            *("serve", "measure", "--config", str(config), "--concurrency", "4", "--json")
        )
    finally:
        command("serve", "stop", "--port", str(port))
    assert measured.code == 0, measured.err
    (only,) = json.loads(measured.out)["rounds"]
    assert (only["in_flight"], only["items"], only["refused"]) == (4, 12, 0)
    assert only["prefix_cache_hit_rate"] is None, "the stand-in counts none"
    assert server_processes(port) == []


def test_status_marks_what_ended_without_cleaning_up(tmp_path: Path, port: int, command: Command):
    config = write_serve_settings(tmp_path, port=port)
    assert command("serve", "--config", str(config), "--detach").code == 0
    entry = find_server(port)
    assert entry is not None
    os.kill(entry.state.supervisor_pid, signal.SIGKILL)
    assert wait_until(lambda: not (find_server(port) or entry).running)
    shown = status(command, port)
    assert shown is not None
    assert shown["state"] == "ended"
    assert status(command, port) is None, "it is told once"
    assert wait_until(lambda: not server_processes(port))


def test_generate_brings_up_and_down_every_server_that_it_needs(
    tmp_path: Path, port: int, command: Command
):
    store = make_sampled_store(tmp_path / "s.duckdb")
    judge_port = free_port()
    config = write_serve_settings(tmp_path, port=port, judge_port=judge_port)
    options = ("generate", "--serve", "--store", str(store), "--config", str(config))
    done = command(*options, "--limit", "3")
    assert done.code == 0, done.err
    assert "drafter ready" in done.err
    assert "judge ready" in done.err
    assert "the longest prompt of the drafter has" in done.err
    assert server_processes(port) + server_processes(judge_port) == []
    control = command(*options, "--limit", "3", "--control", "always-majority")
    assert control.code == 0, control.err
    assert "starting vLLM for judge" in control.err
    assert "starting vLLM for drafter" not in control.err, "nobody drafts"
    assert server_processes(port) + server_processes(judge_port) == []


def test_a_run_whose_server_is_killed_ends_with_the_rows_of_an_undisturbed_one(
    tmp_path: Path, port: int, command: Command
):
    undisturbed = make_sampled_store(tmp_path / "a.duckdb")
    disturbed = Path(shutil.copy(undisturbed, tmp_path / "b.duckdb"))
    slow = 'env = { FAKE_VLLM_ANSWER_S = "0.3" }\n[batch]\nconcurrency = 2\ncommit_seconds = 0.1'
    config = write_serve_settings(tmp_path, port=port, more=slow)
    arguments = ("generate", "--serve", "--config", str(config), "--store")
    assert command(*arguments, str(undisturbed)).code == 0
    process = subprocess.Popen(
        [sys.executable, "run_pipeline.py", *arguments, str(disturbed)],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: (find_server(port) or no_server()).state.ready, 120)
        assert wait_until(lambda: _n_outcomes(disturbed) > 0, 120)
        entry = find_server(port)
        assert entry is not None
        n_before = _n_outcomes(disturbed)
        os.kill(entry.state.vllm_pid, signal.SIGKILL)
        assert wait_until(lambda: (find_server(port) or no_server()).state.restarts == 1, 60)
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.wait()
    rows = _rows(disturbed)
    assert 0 < n_before < len(rows), "it was killed in the midst of the run"
    assert rows == _rows(undisturbed)
    assert server_processes(port) == []


def no_server() -> ServerEntry:
    return ServerEntry(Path(), NO_STATE, running=False)


def _n_outcomes(store: Path) -> int:
    with open_store(store, read_only=True, wait_s=30) as con:
        row = con.execute("SELECT count(*) FROM outcomes").fetchone()
    return 0 if row is None else int(row[0])


def _rows(store: Path) -> list[tuple[Any, ...]]:
    """Returns every attempt with its text and its item's outcome."""
    with duckdb.connect(str(store), read_only=True) as con:
        return con.execute(
            "SELECT volume_id, question_id, attempt_no, prompt_text_sha256, text, steps, grades, "
            "issues, state, codes, error FROM attempts JOIN outcomes "
            "USING (run_id, volume_id, question_id) ORDER BY ALL"
        ).fetchall()
