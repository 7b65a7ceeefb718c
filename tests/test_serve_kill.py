"""`generate --serve` with a real vLLM server whose engine is killed in the midst of a run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from agents.server_state import ServerState, find_server
from store.connection import open_store
from tests.demo_run import CHECKOUT, DemoRun, config_on_free_port
from tests.serve_cases import server_processes, wait_until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]
N_ITEMS = 48
FIRST = (
    "SELECT volume_id, question_id, prompt_text_sha256, passed FROM attempts "
    "WHERE run_id = ? AND attempt_no = 1 ORDER BY ALL"
)


def finished(store: Path, run_id: str | None) -> int:
    """Returns how many items the newest run has finished, when it is not `run_id`."""
    with open_store(store, read_only=True, wait_s=30) as con:
        row = con.execute(
            "SELECT count(*) FROM outcomes WHERE run_id = (SELECT max(run_id) FROM runs) "
            "AND run_id > ?",
            [run_id],
        ).fetchone()
    return 0 if row is None else int(row[0])


def process_of(state: ServerState, name: str) -> int:
    """Returns the process of a server's group whose command line holds a name."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            group = os.getpgid(int(path.parent.name))
            text = path.read_text(errors="replace")
        except OSError:
            continue
        if group == state.vllm_pid and name in text:
            return int(path.parent.name)
    raise AssertionError(f"no {name} in the group of process {state.vllm_pid}")


def test_the_run_ends_as_if_its_engine_had_not_been_killed(demo_run: DemoRun, tmp_path: Path):
    undisturbed = demo_run.figures["own_findings"]["run_id"]
    store = tmp_path / "knees.duckdb"
    shutil.copy(demo_run.store, store)
    config = config_on_free_port(tmp_path)
    # Another number of revisions is another run, whose first attempts are the demo's first ones.
    text, n_changed = re.subn(
        r"max_revisions = (\d+)",
        lambda found: f"max_revisions = {int(found[1] == '0')}",
        config.read_text(),
    )
    assert n_changed == 1
    config.write_text(re.sub(r"concurrency = \d+", "concurrency = 8", text))
    port = int(text.split("port = ")[1].split()[0])
    command = [sys.executable, "run_pipeline.py", "generate", "--serve", "--store", str(store)]
    newest = _newest(store)
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            [*command, "--config", str(config), "--limit", str(N_ITEMS)],
            cwd=CHECKOUT,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )
        try:
            assert _wait_for_items(store, newest, process), (tmp_path / "err").read_text()[-3000:]
            entry = find_server(port)
            assert entry is not None
            os.kill(process_of(entry.state, "EngineCore"), signal.SIGKILL)
            restarted = wait_until(lambda: _restarts(port) == 1 or process.poll() is not None, 300)
            assert restarted
            assert process.poll() is None, "it ended before its server could be started anew"
            code = process.wait(timeout=600)
        finally:
            process.kill()
            process.wait()
    said = (tmp_path / "err").read_text()
    assert code == 0, said[-3000:]
    assert server_processes(port) == []
    with duckdb.connect(str(store), read_only=True) as con:
        row = con.execute("SELECT max(run_id) FROM runs").fetchone()
        assert row is not None
        run = row[0]
        outcomes = con.execute(
            "SELECT count(*), count(DISTINCT (volume_id, question_id)), "
            "count(*) FILTER (state = 'failed' OR error IS NOT NULL) FROM outcomes "
            "WHERE run_id = ?",
            [run],
        ).fetchone()
        own = con.execute(FIRST, [run]).fetchall()
        other = {tuple(r[:2]): r for r in con.execute(FIRST, [undisturbed]).fetchall()}
    assert outcomes == (N_ITEMS, N_ITEMS, 0)
    assert len(own) == N_ITEMS, "one attempt an item: none was paid for twice, none is missing"
    assert all(other[tuple(r[:2])][2] == r[2] for r in own), "the same prompts"
    # The same answers, but for near ties of a greedy model, which batching alone decides.
    assert sum(other[tuple(r[:2])][3] == r[3] for r in own) >= 0.9 * N_ITEMS


def _newest(store: Path) -> str:
    with duckdb.connect(str(store), read_only=True) as con:
        row = con.execute("SELECT max(run_id) FROM runs").fetchone()
    assert row is not None
    return str(row[0])


def _restarts(port: int) -> int:
    entry = find_server(port)
    return 0 if entry is None else entry.state.restarts


def _wait_for_items(store: Path, newest: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < deadline:
        if finished(store, newest):
            return True
        time.sleep(0.2)
    return False
