"""`store verify` finds what is broken; `store backup` is whole or not there."""

import json
from pathlib import Path

import duckdb
import pytest

from run_pipeline import main
from store.backup import copy_store
from store.connection import open_store
from store.writer import StoreWriter
from tests.export_cases import NEW, make_store, volume_id
from tests.store_records import outcome


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "knees.duckdb")


def problems(
    store: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, int]]:
    capsys.readouterr()
    code = main(["store", "verify", "--store", str(store), "--json", *more])
    found = json.loads(capsys.readouterr().out)
    return code, {problem["where"]: problem["rows"] for problem in found}


def test_a_sound_store_has_no_problems(store: Path, capsys: pytest.CaptureFixture[str]):
    assert problems(store, capsys) == (0, {})


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        ("DELETE FROM attempts WHERE attempt_no = 1", "attempts: not numbered"),
        ("DELETE FROM quintuples WHERE question_id = 16", "outcomes: accepted, and no verdict"),
        ("DELETE FROM runs WHERE run_id = 'control'", "run_items: (run_id) is not in runs"),
        ("UPDATE attempts SET grade_changed = NOT grade_changed", "outcomes: content"),
        ("UPDATE attempts SET steps = NULL", "outcomes: content"),
        ("UPDATE attempts SET grades = NULL", "outcomes: content"),
        ("UPDATE attempts SET issues = [NULL]", "outcomes: content"),
        ("UPDATE attempts SET text = 'x'", "attempts: a text beside the steps"),
        ("UPDATE outcomes SET complete = NOT complete", "outcomes: complete is not"),
        ("UPDATE quintuples SET complete = NOT complete", "quintuples: not of the"),
        ("UPDATE quintuples SET synthetic = NOT synthetic", "quintuples: not of the"),
        ("UPDATE attempts SET passed = NOT passed", "attempts: passed is not what"),
        ("UPDATE quintuples SET attempt_no = 1", "quintuples: not of the"),
        ("UPDATE quintuples SET components_scored = ['size']", "quintuples: not of the"),
        (
            "INSERT INTO shown_images BY NAME SELECT run_id, volume_id, question_id, "
            "volume_id AS image_volume_id, 'sha256:0' AS image_sha256, [1.0, 99.0] AS percentiles, "
            "0.0 AS window_low, 1.0 AS window_high, false AS box_drawn, [] AS slices "
            "FROM outcomes LIMIT 1",
            "outcomes: content",
        ),
        ("UPDATE measurements SET value = value + 1", "findings: content"),
        ("INSERT INTO measurements FROM measurements LIMIT 1", "measurements: (volume_id"),
        ("DELETE FROM run_items WHERE question_id = 60", "run_items: a volume is not bound"),
        ("UPDATE clinician_grades SET is_current = false", "clinician_grades: not exactly one"),
        ("UPDATE clinician_grades SET grade = NULL", "clinician_grades: a grade that"),
        (
            "INSERT INTO prompts VALUES ('draft', 1, 'sha256:0', 'x', now()::TIMESTAMP)",
            "prompts: the text is not",
        ),
    ],
)
def test_each_damage_is_found(
    store: Path, damage: str, where: str, capsys: pytest.CaptureFixture[str]
):
    with duckdb.connect(str(store)) as con:
        con.execute(damage)
    code, found = problems(store, capsys)
    assert code == 1
    assert any(name.startswith(where) for name in found), found
    assert all(rows > 0 for rows in found.values())


def test_prompts_that_cannot_be_what_was_sent_are_told(
    store: Path, capsys: pytest.CaptureFixture[str]
):
    # The records of this store are made by hand: none of their prompts was ever rendered.
    code, found = problems(store, capsys, "--prompts", "--quick")
    assert code == 1
    assert list(found) == ["attempts: rendered again it is not what was sent"]


def test_a_backup_is_the_store_and_never_replaces(store: Path, tmp_path: Path):
    target = tmp_path / "backup.duckdb"
    assert main(["store", "backup", str(target), "--store", str(store)]) == 0
    assert main(["store", "verify", "--store", str(target), "--quick"]) == 0
    before = target.read_bytes()
    assert main(["store", "backup", str(target), "--store", str(store)]) == 2
    assert main(["store", "backup", str(tmp_path / "no" / "b"), "--store", str(store)]) == 2
    assert main(["store", "backup", str(tmp_path / "b"), "--store", str(tmp_path / "none")]) == 2
    assert target.read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    assert not list(tmp_path.glob("*.wal"))


def test_a_backup_beside_a_writer_holds_all_that_was_committed(store: Path, tmp_path: Path):
    with StoreWriter(store) as writer:
        writer.put_outcomes(NEW, [outcome(NEW, volume_id("9104004"), 16)])
        copy_store(store, tmp_path / "one.duckdb")
        writer.put_outcomes(NEW, [outcome(NEW, volume_id("9104004"), 2)])
    for name, count in (("one.duckdb", 1), ("knees.duckdb", 2)):
        with open_store(tmp_path / name, read_only=True) as con:
            rows = con.execute(
                "SELECT count(*) FROM quintuples WHERE run_id = ? AND volume_id = ? "
                "AND question_id > 1",
                [NEW, volume_id("9104004")],
            ).fetchall()
        assert rows == [(count,)]


def test_a_log_that_a_killed_writer_left_is_in_the_backup(store: Path, tmp_path: Path):
    con = duckdb.connect(str(store))
    con.execute("SET wal_autocheckpoint = '1GB'")
    con.execute("UPDATE volumes SET reason = 'logged'")
    killed, log = tmp_path / "killed.duckdb", tmp_path / "killed.duckdb.wal"
    # What a kill would leave: the file and its log as they are on disk now.
    killed.write_bytes(store.read_bytes())
    log.write_bytes(store.with_name(store.name + ".wal").read_bytes())
    con.close()
    copy_store(killed, tmp_path / "backup.duckdb")
    with open_store(tmp_path / "backup.duckdb", read_only=True) as copied:
        assert copied.execute("SELECT DISTINCT reason FROM volumes").fetchall() == [("logged",)]
