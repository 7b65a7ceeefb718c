"""`kill -9` at random moments: nothing that was told as done is lost, nothing is there twice.

    python -m tests.soak_kills [--kills 100] [--seed 1]

Two children are killed: the writer with its journal (`tests.store_child generate`), in a tight
loop, so that many kills fall into a transaction or the checkpoint that closes it; and `generate`
against a stub server, which counts the calls that are paid for twice. After every kill the
file must open and hold, with the journal, all that was told as done; after every run through, each
item must be there exactly once, as it was made.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.batch import items_under_way
from knee.keys import ItemKey
from store.connection import open_store
from store.items import Selection
from store.journal import journalled_runs, journalled_states
from store.loading import load_outcomes
from store.reader import StoreReader
from tests.bench_cohort import make_cohort, write_config
from tests.demo_run import CHECKOUT
from tests.store_child import RUN, fill, generate_telling
from tests.store_records import outcome
from tests.stub_server import StubServer, prompt_key

WAIT_S = 30.0
"""For a file that a child, which was just killed or just started, may still hold."""
CONCURRENCY = 16
_MOST_WORDS = 25
"""Words of the writer after which it is killed at the latest; a run through takes some 90."""
_MOST_CALLS = 300
"""Calls of `generate` after which it is killed at the latest."""
_FORKS = multiprocessing.get_context("forkserver")
# Its imports are made once, and not after every kill.
_FORKS.set_forkserver_preload(["tests.store_child"])


@dataclass
class KillSoak:
    """What came of it."""

    n_kills: int = 0
    n_runs: int = 0
    """Runs that were brought to their end between the kills."""
    moments: Counter[str] = field(default_factory=Counter[str])
    """Kills by what the child had told last."""
    n_paid_twice: int = 0
    """Calls beyond the first for the same prompt; of `generate` alone."""
    n_calls: int = 0


def kill_writers(folder: Path, n_kills: int, rng: random.Random) -> KillSoak:
    """Kills the writer until it was killed so often, and lets the last run end.

    Raises:
        AssertionError: an item was lost or doubled, or the file did not open.
    """
    ended = KillSoak()
    patients = tuple(f"9{number:03}" for number in range(3))
    while ended.n_kills < n_kills:
        store = folder / f"run-{ended.n_runs}.duckdb"
        fill(store, patients)
        told: set[ItemKey] = set()
        wanted = _expected(store)
        while not _generate_and_kill(store, told, ended, n_kills, rng):
            _check_kept(store, told)
        ended.n_runs += 1
        _check_whole(store, wanted)
    return ended


def _expected(store: Path) -> list[str]:
    items = StoreReader(store).items(Selection())
    return [outcome(RUN, i.volume_id, i.question_id).model_dump_json() for i in items]


def _generate_and_kill(
    store: Path, told: set[ItemKey], ended: KillSoak, n_kills: int, rng: random.Random
) -> bool:
    """Starts the writer and kills it after some of its words; returns whether it ended first.

    After words and not after a time: on a busy machine that would always be the start. `told` gets
    the items that it told as journalled.
    """
    words, child_words = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=generate_telling, args=(store, child_words.send))
    process.start()
    child_words.close()
    kill_at = rng.randrange(_MOST_WORDS) if ended.n_kills < n_kills else None
    said: list[str] = []
    while True:
        if kill_at == len(said):
            # Also before the first word: then it commits what the journal brings back.
            time.sleep(rng.uniform(0.0, 0.03 if said else 0.2))
            process.kill()
        try:
            said.append(words.recv())
        except (EOFError, OSError):  # a word that the kill tore is none
            break
    words.close()
    process.join()
    code = process.exitcode
    for line in said:
        if line.startswith("journalled"):
            _, volume_id, question_id = line.split()
            told.add(ItemKey(volume_id, int(question_id)))
    if code == 0:
        assert said[-1] == "done"
        return True
    assert code == -signal.SIGKILL, f"the writer ended with {code}: {said[-3:]!r}"
    ended.n_kills += 1
    ended.moments[(said[-1].split() if said else ["starting"])[0]] += 1
    return False


def _check_kept(store: Path, told: set[ItemKey]) -> None:
    """The file opens, and it and the journal hold what was told; nothing is there twice."""
    with open_store(store, read_only=True, wait_s=WAIT_S) as con:
        rows = con.execute("SELECT volume_id, question_id FROM outcomes").fetchall()
        _check_single(con)
    kept = {ItemKey(*row) for row in rows} | journalled_states(store, RUN).keys()
    lost = told - kept
    assert not lost, f"told as done and lost: {sorted(lost)[:3]!r}"


def _check_single(con: Any) -> None:  # noqa: ANN401 - a connection
    for table, key in (
        ("outcomes", "volume_id, question_id"),
        ("quintuples", "volume_id, question_id"),
        ("attempts", "volume_id, question_id, attempt_no"),
        ("outcome_components", "volume_id, question_id, component"),
    ):
        twice = con.execute(
            f"SELECT run_id, {key} FROM {table} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        ).fetchall()
        assert not twice, f"{table} has {twice[0]!r} twice"


def _check_whole(store: Path, wanted: list[str]) -> None:
    """Every item is there exactly as it was made, and the journal is empty."""
    assert journalled_runs(store) == []
    with open_store(store, read_only=True, wait_s=WAIT_S) as con:
        _check_single(con)
        found = [one.model_dump_json() for one in load_outcomes(con, RUN)]
    assert found == wanted, "a run that was killed ends otherwise"


def kill_generates(folder: Path, n_kills: int, rng: random.Random) -> KillSoak:
    """Kills `generate` until it was killed so often, counting calls; lets the last run end.

    Raises:
        AssertionError: an item was lost or doubled, the file did not open, or more calls were
            paid for twice than were in flight.
    """
    ended = KillSoak()
    while ended.n_kills < n_kills:
        home = folder / f"generate-{ended.n_runs}"
        home.mkdir()
        cohort = make_cohort(home, 1500, seed=ended.n_runs + 1)
        answers: dict[str, str] = json.loads(cohort.answers.read_text(encoding="utf-8"))
        calls = Counter[str]()
        with _stub(answers, calls) as port:
            config = write_config(home, port, CONCURRENCY)
            before, n_finished = ended.n_kills, 0
            while not _run_and_kill((cohort.store, config), calls, ended, n_kills, rng):
                n_now = _count_finished(cohort.store)
                assert n_now >= n_finished, "a kill lost what was committed"
                n_finished = n_now
        ended.n_runs += 1
        ended.n_calls += calls.total()
        twice = sum(n - 1 for n in calls.values())
        ended.n_paid_twice += twice
        n_kills_here = ended.n_kills - before
        # One call an item: what waits for its answer, is checked or is on its way to the disk.
        bound = n_kills_here * items_under_way(CONCURRENCY)
        assert twice <= bound, f"{twice} calls paid twice in {n_kills_here}"
        with open_store(cohort.store, read_only=True, wait_s=WAIT_S) as con:
            _check_single(con)
            assert con.execute("SELECT count(*) FROM runs").fetchall() == [(1,)]
        assert _count_finished(cohort.store) == cohort.n_items, "items are missing at the end"
    return ended


def _run_and_kill(
    what: tuple[Path, Path],
    calls: Counter[str],
    ended: KillSoak,
    n_kills: int,
    rng: random.Random,
) -> bool:
    """Starts `generate` and kills it after some of its calls; returns whether it ended first."""
    store, config = what
    command = [sys.executable, "run_pipeline.py", "generate", "--store", str(store)]
    process = subprocess.Popen(
        [*command, "--config", str(config)],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    if ended.n_kills < n_kills:
        kill_at = calls.total() + rng.randrange(1, _MOST_CALLS)
        while process.poll() is None and calls.total() < kill_at:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.2))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    assert code in (0, -signal.SIGKILL), f"generate ended with {code}"
    if code:
        ended.n_kills += 1
        ended.moments["a call"] += 1
    return code == 0


def _count_finished(store: Path) -> int:
    """Returns how many items are committed or journalled; they are told as done."""
    with open_store(store, read_only=True, wait_s=WAIT_S) as con:
        rows = con.execute("SELECT volume_id, question_id FROM outcomes").fetchall()
        runs = [str(row[0]) for row in con.execute("SELECT run_id FROM runs").fetchall()]
    keys = {ItemKey(*row) for row in rows}
    for run_id in runs:
        keys |= journalled_states(store, run_id).keys()
    return len(keys)


@contextmanager
def _stub(answers: dict[str, str], calls: Counter[str]) -> Generator[int]:
    """Runs the stub server in a thread; `calls` counts the known prompts that it was sent."""

    def answer(body: dict[str, Any]) -> str | None:
        key = prompt_key(body["messages"])
        if key in answers:
            calls[key] += 1
        return answers.get(key)

    server = StubServer(answer=answer, latency_s=0.05, latency_spread_s=0.1)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        yield server.port
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> int:
    """Kills both; the exit status is that of an assertion when one fails."""
    parser = argparse.ArgumentParser(description="kill -9 at random moments")
    parser.add_argument("--kills", type=int, default=100, help="of the writer")
    parser.add_argument("--generate-kills", type=int, default=20, help="of `generate`")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="soak-kills-") as folder:
        for name, kill, n_kills in (
            ("writer", kill_writers, options.kills),
            ("generate", kill_generates, options.generate_kills),
        ):
            begun = time.monotonic()
            ended = kill(Path(folder), n_kills, rng)
            figures = {
                "killed": name,
                "kills": ended.n_kills,
                "runs": ended.n_runs,
                "after": dict(ended.moments),
                "calls": ended.n_calls,
                "paid twice": ended.n_paid_twice,
                "seconds": round(time.monotonic() - begun, 1),
            }
            sys.stdout.write(json.dumps(figures) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
