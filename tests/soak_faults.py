"""A batch under faults ends as it ends without: the small form for tests, the full one for a soak.

Each time one `generate` runs undisturbed and one against a server that answers HTTP 500 (10 %),
hangs (5 %), breaks off in the midst of a body (5 %), sends no JSON (5 %), and is killed and started
again twice. Compared are all outcomes: state, reasons, grades, texts, number of attempts.

    python -m tests.soak_faults [--items N] [--away SECONDS] [--rounds N]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import duckdb

from agents.progress import BatchProgress
from stages import generate as stage
from tests.bench_cohort import BenchCohort, make_cohort, write_config
from tests.demo_run import CHECKOUT, free_port

SHARES = {"http_500": 0.10, "hang": 0.05, "truncated": 0.05, "not_json": 0.05}
"""What goes wrong with requests, and how often."""
Outcomes = list[tuple[object, ...]]


@dataclass(frozen=True)
class Soak:
    """How the two runs ended."""

    code: int
    """Exit code of the disturbed run."""
    undisturbed: Outcomes
    disturbed: Outcomes
    n_kills: int
    seconds: float
    """Of the disturbed run."""

    @property
    def is_same(self) -> bool:
        return self.code == 0 and self.undisturbed == self.disturbed


class StubProcess:
    """The stub server as a process that can be killed and started again on its port."""

    def __init__(self, answers: Path, faults: Sequence[str]) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", "tests.stub_server", "--port", str(self.port)]
        self._command += ["--answers", str(answers), "--latency", "0.02", *faults]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self._process = subprocess.Popen(self._command, cwd=CHECKOUT)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the stub server does not answer")

    def kill(self) -> None:
        """Ends it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def soak(folder: Path, *, n_items: int, away_s: float, seed: int = 1) -> Soak:
    """Runs a cohort undisturbed and disturbed.

    Args:
        folder: where the stores are made.
        n_items: items at least.
        away_s: how long the server stays away after each of two kills, in seconds.
        seed: of the cohort and of the faults.
    """
    cohort = make_cohort(folder, n_items, seed)
    code, undisturbed, _, _ = _run(cohort, folder / "calm.duckdb", (), ())
    assert code == 0, "the undisturbed run did not end well"
    shares = [word for name, share in SHARES.items() for word in (f"--{name}", str(share))]
    kills = (cohort.n_items // 3, 2 * cohort.n_items // 3)
    code, disturbed, n_kills, seconds = _run(
        cohort, folder / "storm.duckdb", [*shares, "--seed", str(seed)], kills, away_s
    )
    return Soak(code, undisturbed, disturbed, n_kills, seconds)


def _run(
    cohort: BenchCohort,
    store: Path,
    faults: Sequence[str],
    kills: Sequence[int],
    away_s: float = 0.0,
) -> tuple[int, Outcomes, int, float]:
    shutil.copy(cohort.store, store)
    server, seen = StubProcess(cohort.answers, faults), list[BatchProgress]()
    config = write_config(store.parent, server.port, 32, timeout_s=1.0)

    def watch_progress(total: int | None = None) -> BatchProgress:
        seen.append(BatchProgress(total=total))
        return seen[-1]

    server.start()
    try:
        with (
            patch.object(stage, "BatchProgress", watch_progress),
            _killing(server, seen, kills, away_s) as killed,
        ):
            start = time.monotonic()
            code = stage.generate(stage.GenerateOptions(store=store, config=config, quiet=True))
            seconds = time.monotonic() - start
    finally:
        server.kill()
    return code, _outcomes(store), len(killed), seconds


@contextmanager
def _killing(
    server: StubProcess, seen: list[BatchProgress], at: Sequence[int], away_s: float
) -> Generator[list[int]]:
    """Kills the server when so many items are done, and starts it again after a while."""
    over, killed = threading.Event(), list[int]()

    def watch() -> None:
        for count in at:
            while not (seen and seen[-1].n_done >= count):
                if over.wait(0.01):
                    return
            server.kill()
            killed.append(seen[-1].n_done)
            over.wait(away_s)
            server.start()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _outcomes(store: Path) -> Outcomes:
    with duckdb.connect(str(store), read_only=True) as con:
        return con.execute(
            "SELECT o.volume_id, o.question_id, o.state, o.codes, o.gates, o.error, o.n_attempts, "
            "list(a.steps::VARCHAR ORDER BY a.attempt_no), list(a.grades::VARCHAR ORDER BY "
            "a.attempt_no) FROM outcomes o LEFT JOIN attempts a "
            "USING (run_id, volume_id, question_id) GROUP BY ALL ORDER BY 1, 2"
        ).fetchall()


def main() -> int:
    """Runs rounds of the full form; returns 1 when an item ended otherwise."""
    parser = argparse.ArgumentParser(description="Faults that no item may notice")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--away", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    same = True
    for seed in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory(prefix="soak-faults-") as folder:
            ended = soak(Path(folder), n_items=options.items, away_s=options.away, seed=seed)
        same = same and ended.is_same
        figures = {
            "seed": seed,
            "items": len(ended.disturbed),
            "kills": ended.n_kills,
            "exit": ended.code,
            "same": ended.is_same,
            "seconds": round(ended.seconds, 1),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
