"""Real processes: kill -9 at every kind of moment, two writers, readers beside a writer."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from knee.errors import StoreError
from knee.records import ItemOutcome, ItemState
from store.connection import open_store
from store.items import Selection
from store.journal import journalled_runs
from store.loading import load_outcomes
from store.queries import state_table
from store.writer import StoreWriter
from tests.store_child import RUN, expected, fill, generate

ROOT = Path(__file__).parents[1]


def start(what: str, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store_child", what, str(store)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.strip()


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.splitlines()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "knees.duckdb"
    fill(path)
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path))


@pytest.mark.parametrize(
    ("moment", "occurrence", "delay_s"),
    [
        ("journalled", 3, 0.0),
        ("committing", 1, 0.0),
        ("committing", 2, 0.02),
        ("committing", 3, 0.05),
        ("committed", 2, 0.0),
        ("dropped", 3, 0.003),
    ],
)
def test_a_kill_loses_no_journalled_item_and_doubles_none(
    store: Path, moment: str, occurrence: int, delay_s: float
):
    process = start("generate", store)
    journalled: set[tuple[str, int]] = set()
    seen = 0
    for line in lines_of(process):
        if line.startswith("journalled"):
            _, volume_id, question_id = line.split()
            journalled.add((volume_id, int(question_id)))
        seen += line.startswith(moment)
        if seen == occurrence:
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()

    with StoreWriter(store) as writer:
        after_kill = writer.finished_keys(RUN)
    assert journalled <= after_kill
    assert journalled_runs(store) == []

    wanted = sorted_json(expected(store))
    generate(store)
    with open_store(store, read_only=True) as con:
        outcomes = list(load_outcomes(con, RUN))
        assert [one.model_dump_json() for one in outcomes] == wanted
        doubles = con.execute(
            "SELECT count(*) FROM (SELECT run_id, volume_id, question_id, attempt_no "
            "FROM attempts GROUP BY ALL HAVING count(*) > 1)"
        ).fetchall()
        assert doubles == [(0,)]
        components = con.execute("SELECT count(*) FROM outcome_components").fetchall()
        assert components == [(sum(len(one.components) for one in outcomes),)]
        assert state_table(con, RUN)[ItemState.PENDING] == 0


def sorted_json(outcomes: list[ItemOutcome]) -> list[str]:
    ordered = sorted(outcomes, key=lambda one: (one.volume_id, one.question_id))
    return [one.model_dump_json() for one in ordered]


def test_a_second_writer_is_refused_and_told_who_holds_the_store(store: Path):
    process = start("hold", store)
    assert next(lines_of(process)) == "holding"
    with pytest.raises(StoreError) as refused, StoreWriter(store):
        pass
    assert f"process {process.pid} on" in refused.value.message
    assert "store_child" in refused.value.message
    assert refused.value.exit_code == 2
    finish(process)
    with StoreWriter(store) as writer:
        assert writer.finished_keys(RUN) == set()
    assert not store.with_name(store.name + ".lock").exists()


def test_the_lock_of_a_killed_writer_blocks_nobody(store: Path):
    process = start("hold", store)
    assert next(lines_of(process)) == "holding"
    process.kill()
    process.communicate()
    with StoreWriter(store) as writer:
        assert writer.recovered == 0


def test_readers_get_in_within_two_seconds_while_a_writer_works(store: Path):
    waits: list[float] = []
    counts: list[int] = []
    with start("generate_drafting", store) as process:
        try:
            while process.poll() is None:
                begun = time.monotonic()
                with open_store(store, read_only=True) as con:
                    waits.append(time.monotonic() - begun)
                    counts.append(con.execute("SELECT count(*) FROM outcomes").fetchall()[0][0])
                time.sleep(random.Random(len(waits)).uniform(0.0, 0.02))
            assert finish(process)[-1] == "done"
        finally:
            process.kill()
    assert counts == sorted(counts)
    assert len({*counts}) > 2
    assert max(waits) < 2


def test_a_reader_is_told_which_process_keeps_the_file_open(store: Path):
    process = start("keep_open", store)
    assert next(lines_of(process)) == "holding"
    with pytest.raises(StoreError, match=f"held by process {process.pid}"):
        open_store(store, read_only=True, wait_s=0.1)
    finish(process)
    with open_store(store, read_only=True) as con:
        assert con.execute("SELECT count(*) FROM outcomes").fetchall() == [(0,)]


def test_a_full_disk_is_exit_code_3_and_leaves_nothing_half_written(store: Path):
    said = finish(start("fill_disk", store))
    assert said[0].startswith("exit code 3: no space to write the store")
    assert said[1] == "finished 5"
    with open_store(store, read_only=True) as con:
        rows = con.execute("SELECT count(DISTINCT (volume_id, question_id)) FROM attempts")
        assert rows.fetchall() == [(5,)]


def test_the_writer_waits_for_a_reader(store: Path):
    with StoreWriter(store, wait_s=0.1) as writer:
        items = list(writer.items(Selection(limit=1)))
        reader = start_reader(store)
        with pytest.raises(StoreError, match=f"held by process {reader.pid}"):
            writer.put_catalogue()
        finish(reader)
        writer.put_catalogue()
    assert len(items) == 1


def start_reader(store: Path) -> subprocess.Popen[str]:
    code = (
        "import sys, pathlib, store.connection as c\n"
        "con = c.open_store(pathlib.Path(sys.argv[1]), read_only=True)\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert next(lines_of(process)) == "open"
    return process
