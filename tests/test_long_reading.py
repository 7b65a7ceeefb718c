"""Readers of minutes beside a writer: real processes, waits on both sides, and one state read."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from knee.errors import StoreError
from store import long_reading as reading
from store.backup import copy_store
from store.connection import open_store
from store.long_reading import SteppingAside, long_reading
from store.reading_mark import is_marked, log_of, mark_of
from tests.demo_run import CHECKOUT
from tests.export_cases import make_store

WRITE = """
import pathlib, sys, time
from store.writer import StoreWriter
path, n_commits, wait_s = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
waits = []
with StoreWriter(path, wait_s=wait_s) as writer:
    for number in range(n_commits):
        begun = time.monotonic()
        with writer.transaction() as con:
            con.execute("UPDATE volumes SET reason = ?", [f"{number} " + "x" * 10_000])
        waits.append(time.monotonic() - begun)
        print(max(waits), flush=True)
"""
"""Commits one change after another and prints its longest wait."""
_LONG = "SELECT count(*) FROM range(4000000000) t(i) WHERE hash(i) = 1"
SLOW = f"SELECT run_id, ({_LONG}) FROM v_quintuples"
"""A query of a user that runs for minutes."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "knees.duckdb")


def write(store: Path, n_commits: int, wait_s: float = 30.0) -> float:
    """Commits in another process; returns the longest wait of a commit in seconds."""
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(store), str(n_commits), str(wait_s)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


def reasons(con: duckdb.DuckDBPyConnection) -> set[str | None]:
    return {
        row[0] for row in con.execute("SELECT DISTINCT left(reason, 2) FROM volumes").fetchall()
    }


def test_a_long_reader_sees_one_state_and_a_writer_does_not_wait_for_it(store: Path):
    with long_reading(store, after_s=0.1) as con:
        assert reasons(con) == {None}
        # The writer is let in while the reader's file is open, and commits more than once.
        assert write(store, 5) < 2
        assert is_marked(store)
        assert log_of(store).stat().st_size > 0
        assert reasons(con) == {None}
        with subprocess.Popen(
            [sys.executable, "run_pipeline.py", "sql", "--store", str(store), "--format", "csv",
             "SELECT DISTINCT left(reason, 2) FROM volumes"],
            cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
        ) as other:  # fmt: skip
            assert other.stdout is not None
            assert other.stdout.read().split()[-1] == "4"
    assert not mark_of(store).exists()
    write(store, 1)
    assert not log_of(store).exists(), "the next commit makes one file of it"
    with open_store(store, read_only=True) as con:
        assert reasons(con) == {"0 "}


@pytest.mark.parametrize(
    "command", [["sql", SLOW], ["export", "{folder}/out", "--where", f"({_LONG}) >= 0"]]
)
def test_a_command_of_minutes_lets_a_batch_commit_within_two_seconds(
    store: Path, command: list[str]
):
    arguments = [word.replace("{folder}", str(store.parent)) for word in command]
    query = subprocess.Popen(
        [sys.executable, "run_pipeline.py", *arguments, "--store", str(store)], cwd=CHECKOUT
    )
    try:
        deadline = time.monotonic() + 30
        while not mark_of(store).exists():
            assert query.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert write(store, 3) < 2
        assert query.poll() is None, "it still runs"
    finally:
        query.kill()
        query.wait()
    # The mark of a killed reader counts for nothing.
    write(store, 1)
    assert not mark_of(store).exists()
    assert not log_of(store).exists()


def test_a_short_reader_leaves_no_trace(store: Path):
    with long_reading(store) as con:
        assert reasons(con) == {None}
    assert [path.name for path in store.parent.iterdir()] == [store.name]


def read_beside_a_writer(store: Path, query: str, *, tidies_up: bool = False) -> None:
    """Reads while another process commits twice."""
    with long_reading(store, after_s=0.0) as con:
        deadline = time.monotonic() + 10
        while not mark_of(store).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if tidies_up:
            mark_of(store).unlink()
        write(store, 2)
        con.execute(query).fetchall()


def test_the_mark_of_another_user_counts_and_keeps_nobody_out(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    system_open = os.open

    def of_another_user(path: Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".reading") and flags & os.O_RDWR and Path(path).exists():
            raise PermissionError(13, "Permission denied")
        return system_open(path, flags, mode)

    with long_reading(store, after_s=0) as con:
        monkeypatch.setattr(os, "open", of_another_user)
        assert is_marked(store)
        second = SteppingAside(store)
        second.step_aside()
        assert second.is_aside
        second.leave()
        assert is_marked(store)
        assert reasons(con) == {None}
    assert not is_marked(store)
    assert not mark_of(store).exists()


def test_no_mark_stays_where_the_file_system_has_no_locks(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuses(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuses)
    with long_reading(store, after_s=0) as con:
        assert reasons(con) == {None}
        assert not mark_of(store).exists()


def test_a_reader_gives_up_where_the_batch_would_have_to_wait(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reading, "MAX_LOG_BYTES", 1000)
    with pytest.raises(StoreError, match="were written into") as error:
        read_beside_a_writer(store, SLOW)
    assert "store backup" in str(error.value.hint)
    assert not mark_of(store).exists()


def test_what_was_overwritten_is_never_taken_for_what_was_read(store: Path):
    with pytest.raises(StoreError, match="was rewritten while it was read"):
        read_beside_a_writer(store, "SELECT 1", tidies_up=True)


def test_a_backup_is_of_the_moment_when_it_began(store: Path, monkeypatch: pytest.MonkeyPatch):
    step_aside = SteppingAside.step_aside

    def and_write(reader: SteppingAside) -> None:
        step_aside(reader)
        assert write(store, 2) < 2

    monkeypatch.setattr(SteppingAside, "step_aside", and_write)
    copy_store(store, store.with_name("copy.duckdb"))
    with open_store(store.with_name("copy.duckdb"), read_only=True) as con:
        assert reasons(con) == {None}
    with open_store(store, read_only=True) as con:
        assert reasons(con) == {"1 "}
    assert not mark_of(store).exists()
