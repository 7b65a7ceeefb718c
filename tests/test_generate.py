"""`generate` as a process: exactly once under kill -9, controls, and what bad input gets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from store.connection import open_store
from tests.demo_run import CHECKOUT, run_command
from tests.prepared_store import prepare_phantoms, stub_process, write_answers, write_config

Finished = list[tuple[str, int, str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A prepared store of two phantoms, and the answers to its items."""
    folder = tmp_path_factory.mktemp("prepared")
    store = prepare_phantoms(folder)
    answers = folder / "answers.json"
    assert write_answers(store, answers) > 60
    return store, answers


def finished(store: Path) -> Finished:
    """Returns every finished item with state and codes; checks that no key is there twice."""
    with duckdb.connect(str(store), read_only=True) as con:
        rows = con.execute(
            "SELECT volume_id, question_id, state, codes FROM outcomes ORDER BY ALL"
        ).fetchall()
        doubled = con.execute(
            "SELECT count(*) FROM (SELECT 1 FROM attempts GROUP BY run_id, volume_id, question_id, "
            "attempt_no HAVING count(*) > 1)"
        ).fetchone()
        runs = con.execute("SELECT count(*) FROM runs").fetchone()
    assert doubled == (0,)
    assert runs == (1,)
    return [(volume, question, state, tuple(codes)) for volume, question, state, codes in rows]


def test_five_kills_and_a_resume_finish_the_same_items(prepared: tuple[Path, Path], tmp_path: Path):
    original, answers = prepared
    undisturbed, disturbed = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    shutil.copy(original, undisturbed)
    shutil.copy(original, disturbed)
    with stub_process(answers, 0.15) as port:
        config = write_config(tmp_path, port)
        arguments = ["--config", str(config)]
        done = run_command("generate", "--store", str(undisturbed), *arguments)
        assert done.code == 0, done.err
        expected = finished(undisturbed)
        states = {state for _, _, state, _ in expected}
        assert {"accepted", "rejected"} <= states
        n_before = 0
        for later_s in (0.0, 0.05, 0.1, 0.2, 0.3):
            _generate_and_kill(disturbed, config, after_more_than=n_before, later_s=later_s)
            n_now = count_finished(disturbed)
            assert n_now > n_before, "a kill lost what was committed"
            n_before = n_now
        assert n_before < len(expected), "the kills came too late to show anything"
        resumed = run_command("generate", "--store", str(disturbed), *arguments)
        assert resumed.code == 0, resumed.err
        assert finished(disturbed) == expected


def _generate_and_kill(store: Path, config: Path, *, after_more_than: int, later_s: float) -> None:
    """Kills a run in its midst: once more items are committed than before, and a moment later.

    Seconds since the start would not do: on a busy machine they end before the first item.
    """
    process = subprocess.Popen(
        [
            sys.executable,
            "run_pipeline.py",
            "generate",
            "--store",
            str(store),
            "--config",
            str(config),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while count_finished(store) <= after_more_than:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.02)
    time.sleep(later_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def count_finished(store: Path) -> int:
    """Returns how many items are committed; waits for a writer."""
    with open_store(store, read_only=True, wait_s=30) as con:
        row = con.execute("SELECT count(*) FROM outcomes").fetchone()
    return 0 if row is None else int(row[0])


def test_the_shuffled_control_is_a_run_of_its_own_with_its_own_kind(
    prepared: tuple[Path, Path], tmp_path: Path
):
    original, answers = prepared
    store = tmp_path / "c.duckdb"
    shutil.copy(original, store)
    with stub_process(answers, 0.0) as port:
        config = write_config(tmp_path, port, concurrency=16)
        common = ["--store", str(store), "--config", str(config), "--json"]
        real = run_command("generate", *common)
        control = run_command("generate", *common, "--control", "shuffled-findings")
    assert (real.code, control.code) == (0, 0), control.err
    own, exchanged = json.loads(real.out), json.loads(control.out)
    assert own["run_id"] != exchanged["run_id"]
    assert own["states"]["accepted"] > 0
    with duckdb.connect(str(store), read_only=True) as con:
        kinds = con.execute("SELECT kind, control FROM runs ORDER BY kind").fetchall()
        swapped = con.execute(
            "SELECT count(*) FROM outcomes o JOIN runs r USING (run_id) JOIN volumes v USING "
            "(volume_id) WHERE (r.control = 'none') <> (o.findings_id = v.findings_id)"
        ).fetchone()
    assert kinds == [("control", "shuffled-findings"), ("production", "none")]
    assert swapped == (0,)


def test_sql_export_and_status_read_what_was_generated(prepared: tuple[Path, Path], tmp_path: Path):
    original, answers = prepared
    store = tmp_path / "d.duckdb"
    shutil.copy(original, store)
    with stub_process(answers, 0.0) as port:
        config = write_config(tmp_path, port, concurrency=16)
        done = run_command("generate", "--store", str(store), "--config", str(config), "--json")
    accepted = json.loads(done.out)["states"]["accepted"]
    sql = run_command(
        "sql", "--store", str(store), "SELECT count(*) AS n FROM v_quintuples", "--format", "json"
    )
    assert json.loads(sql.out) == [{"n": accepted}]
    refused = run_command("export", "--store", str(store), str(tmp_path / "p"))
    assert refused.code == 2
    assert "synthetic" in refused.err
    exported = run_command(
        "export", "--store", str(store), str(tmp_path / "p"), "--synthetic", "--json"
    )
    assert exported.code == 0, exported.err
    assert json.loads(exported.out)["rows"] == accepted
    status = run_command("status", "--store", str(store), "--json")
    assert json.loads(status.out)["run"]["states"]["accepted"] == accepted


def test_without_a_table_every_item_is_unlabelled_and_none_is_drafted(tmp_path: Path):
    store = tmp_path / "u.duckdb"
    made = run_command("phantom", str(tmp_path / "cohort"), "--knees", "1", "--seed", "5")
    assert made.code == 0, made.err
    for table in (tmp_path / "cohort").glob("kMRI_*"):
        table.unlink()
    prepared = run_command("prepare", str(tmp_path / "cohort"), "--store", str(store))
    assert prepared.code == 0, prepared.err
    done = run_command("generate", "--store", str(store), "--config", "configs/demo.toml", "--json")
    assert done.code == 0, done.err
    assert "nothing to draft" in done.err
    told = json.loads(done.out)
    assert told["run_id"] is None
    assert told["states"]["unlabelled"] > 50
    with duckdb.connect(str(store), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM attempts").fetchone() == (0,)


def test_unreachable_server_and_wrong_model_write_nothing(
    prepared: tuple[Path, Path], tmp_path: Path
):
    original, answers = prepared
    store = tmp_path / "e.duckdb"
    shutil.copy(original, store)
    config = write_config(tmp_path, 9)
    unreachable = run_command("generate", "--store", str(store), "--config", str(config))
    assert unreachable.code == 2
    assert "127.0.0.1:9" in unreachable.err
    assert "hint:" in unreachable.err
    with stub_process(answers, 0.0) as port:
        config = write_config(tmp_path, port)
        config.write_text(config.read_text().replace('model = "stub"', 'model = "other"'))
        wrong = run_command("generate", "--store", str(store), "--config", str(config))
    assert wrong.code == 2
    assert "'other'" in wrong.err
    assert "'stub'" in wrong.err
    for result in (unreachable, wrong):
        assert "Traceback" not in result.err
    with duckdb.connect(str(store), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_warn_only_names_checks_that_there_are(prepared: tuple[Path, Path], tmp_path: Path):
    config = write_config(tmp_path, 9)
    config.write_text(config.read_text() + '[checks]\nwarn_only = ["lateralty"]\n')
    refused = run_command("generate", "--store", str(prepared[0]), "--config", str(config))
    assert refused.code == 2
    assert "'lateralty'" in refused.err
    assert "laterality" in refused.err
    assert "checks.warn_only" in refused.err


def test_a_run_that_would_show_grades_is_refused_where_its_prompt_does_not(
    prepared: tuple[Path, Path], tmp_path: Path
):
    config = write_config(tmp_path, 9)
    config.write_text('grounding = "label_given"\n' + config.read_text())
    refused = run_command("generate", "--store", str(prepared[0]), "--config", str(config))
    assert refused.code == 2
    assert "'label_given'" in refused.err
