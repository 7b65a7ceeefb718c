"""`export` as files: layouts, splits, checksums, the same bytes, and nothing half-written."""

import fcntl
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from knee.errors import InputError, StoreError
from stages import export as export_stage
from stages import export_writers
from stages.export import ExportOptions, export
from stages.export_folder import export_folder
from stages.export_writers import regroup, shard_name
from stages.import_release import import_release
from store.connection import open_store
from store.export import ExportRequest
from tests.demo_run import CHECKOUT
from tests.export_cases import ROWS, make_store, volume_id

PATIENTS_ONLY = ExportRequest(where="NOT synthetic")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("export") / "knees.duckdb")


def put_out(store: Path, out: Path, form: str, request: ExportRequest = PATIENTS_ONLY) -> Path:
    assert export(ExportOptions(store, out, request, form)) == 0
    return out


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("form", ["parquet", "jsonl", "sft-chat", "release"])
def test_the_same_store_gives_the_same_bytes_and_sums_that_fit(
    store: Path, tmp_path: Path, form: str
):
    first, second = (content(put_out(store, tmp_path / name, form)) for name in "ab")
    assert first == second
    lines = first.pop("SHA256SUMS").decode().splitlines()
    assert [line.split("  ") for line in lines] == [
        [hashlib.sha256(first[name]).hexdigest(), name] for name in sorted(first)
    ]
    manifest = json.loads(first["manifest.json"])
    assert (manifest["rows"], manifest["format"]) == (6, form)
    assert {s: e["rows"] for s, e in manifest["splits"].items()} == {
        "train": 4,
        "val": 1,
        "test": 1,
    }


def test_parquet_has_a_folder_for_each_split_in_the_names_that_loaders_expect(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export_writers, "SHARD_ROWS", 2)
    monkeypatch.setattr(export_writers, "GROUP_ROWS", 1)
    out = put_out(store, tmp_path / "out", "parquet")
    names = [name for name in content(out) if name.endswith(".parquet")]
    assert sorted(names) == [
        "data/test/test-00000-of-00001.parquet",
        "data/train/train-00000-of-00002.parquet",
        "data/train/train-00001-of-00002.parquet",
        "data/val/val-00000-of-00001.parquet",
    ]
    with duckdb.connect() as con:
        rows = con.execute(
            f"SELECT patient, question_id, run_id FROM '{out}/data/*/*.parquet' ORDER BY ALL"
        ).fetchall()
        splits = con.execute(f"SELECT DISTINCT split FROM '{out}/data/train/*.parquet'").fetchall()
    assert (rows, splits) == (ROWS, [("train",)])
    column = pq.ParquetFile(out / "data/val/val-00000-of-00001.parquet").metadata.row_group(0)
    assert column.column(0).compression == "ZSTD"
    card = (out / "README.md").read_text()
    assert "  - split: train\n    path: data/train/*.parquet" in card


def test_tables_are_regrouped_for_each_split(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export_writers, "GROUP_ROWS", 4)
    given = [("a", 3), ("b", 9), ("a", 6), ("b", 3)]
    tables = ((split, pa.table({"x": list(range(n))})) for split, n in given)
    assert [(split, table.num_rows) for split, table in regroup(tables)] == [
        *[("b", 4), ("b", 4), ("a", 4), ("a", 4), ("b", 4), ("a", 1)]
    ]
    assert shard_name("val", 1, 50_001, ".x") == "data/val/val-00001-of-00002.x"


def test_a_chat_has_a_placeholder_for_each_slice_and_ends_with_the_grades(
    store: Path, tmp_path: Path
):
    out = put_out(store, tmp_path / "out", "sft-chat")
    (line,) = (out / "data/test/test-00000-of-00001.jsonl").read_text().splitlines()
    chat: dict[str, Any] = json.loads(line)
    assert [message["role"] for message in chat["messages"]] == ["system", "user", "assistant"]
    user, answer = (chat["messages"][n]["content"] for n in (1, 2))
    assert user.count("<image>") == len(chat["images"]) == len(chat["slices"]) == 15
    # Stored axes are P, I and R; the box has i from 3 to 9, j from 4 to 10 and k from 5 to 12.
    shown = [(one["plane"], one["axis"], one["slice_index"]) for one in chat["slices"]]
    assert [index for plane, axis, index in shown if (plane, axis) == ("sagittal", "k")] == [
        *[5, 7, 9, 10, 12]
    ]
    assert [index for plane, axis, index in shown if (plane, axis) == ("coronal", "i")] == [
        *[9, 7, 6, 5, 3]
    ]
    assert not chat["slices_seen_by_drafter"]
    assert json.loads(answer.rpartition("Final diagnosis: ")[2]) == {
        "size": 1, "number": 1, "percent_bml": 1,
    }  # fmt: skip
    info = json.loads((out / "dataset_info.json").read_text())
    assert info["reasonknee_test"]["file_name"] == "data/test"


def test_the_releases_layout_is_read_again_by_its_import(store: Path, tmp_path: Path):
    out = put_out(store, tmp_path / "out", "release")
    assert json.loads((out / "box_order.json").read_text())["box_order"] == "inferred"
    again = tmp_path / "again.duckdb"
    assert import_release(out, again, boxes=False, as_json=False) == 0
    with open_store(again, read_only=True) as con:
        rows = con.execute(
            "SELECT i.volume_id, i.question_id, i.raw_box, g.grades, v.split, i.problems "
            "FROM released_items i JOIN v_released g USING (volume_id, question_id) "
            "JOIN released_volumes v USING (volume_id) ORDER BY 1, 2"
        ).fetchall()
    wanted = [(volume_id(patient), question) for patient, question, _ in ROWS]
    assert [row[:2] for row in rows] == wanted
    # finding(1): i 3-10, j 4-11, k 5-13; slices run along k.
    assert rows[0][2] == [5, 13, 3, 10, 4, 11]
    assert dict(rows[0][3]) == {"size": 1, "number": 1, "percent_bml": 1}
    assert dict(rows[3][3]) == {"size": 2, "number": 2, "percent_bml": 2}
    assert [row[4] for row in rows] == ["train"] * 4 + ["val", "test"]


def test_what_the_releases_layout_cannot_say_is_refused(store: Path, tmp_path: Path):
    for request, words in (
        (ExportRequest(synthetic=True), "1 rows have no split"),
        (ExportRequest(("20260101-120000-old", "20260102-120000-new"), "NOT synthetic"), "several"),
    ):
        with pytest.raises(InputError, match=words):
            put_out(store, tmp_path / "out", "release", request)
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_what_must_be_known(store: Path, tmp_path: Path):
    card = (put_out(store, tmp_path / "out", "jsonl") / "README.md").read_text()
    for words in (
        "Model text checked against one clinician read",
        "Not a population sample",
        "| bml | size | 2 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |",
        "| 15 | 32 | 32 | 32 |",
        "| shuffled-findings | demo | 100.0 % (1/1) |",
        "| CC0-1.0 | not known | Apache-2.0 | 6 |",
        "`compare@1`",
        "`draft v1 sha256:",
        "6 rows are of restricted volumes",
        "0 stale quintuple(s) of the same runs are left out",
        "and 0 that a person rejected",
        "0 of 6 texts were read and accepted by a person",
    ):
        assert words in card, words


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_used(
    store: Path, tmp_path: Path
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        put_out(store, out, "jsonl")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    put_out(store, out, "jsonl")
    with pytest.raises(InputError, match="folder not found"):
        put_out(store, tmp_path / "no" / "out", "jsonl")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), StoreError),
    ],
)
def test_a_failure_while_writing_leaves_nothing(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    told: type[BaseException],
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(export_stage, "card", fail)
    with pytest.raises(told) as caught:
        put_out(store, tmp_path / "out", "parquet")
    assert list(tmp_path.iterdir()) == []
    if isinstance(caught.value, StoreError):
        assert (caught.value.exit_code, "no space" in str(caught.value)) == (3, True)


def test_a_full_disk_ends_with_code_3_and_an_older_option_still_works(store: Path, tmp_path: Path):
    def run(*options: str, before: Callable[[], None] | None = None) -> int:
        command = [sys.executable, "run_pipeline.py", "export", "--store", str(store)]
        done = subprocess.run(
            [*command, *options], cwd=CHECKOUT, preexec_fn=before, capture_output=True, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr
        return done.returncode

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    wanted = ("--where", "NOT synthetic")
    assert run(str(tmp_path / "full"), *wanted, before=small_files) == 3
    assert list(tmp_path.iterdir()) == []
    assert run(str(tmp_path / "phantoms"), "--synthetic") == 0
    assert (tmp_path / "phantoms/data/unassigned").is_dir()


def test_what_a_killed_export_left_is_removed_by_the_next_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code = (
        "import os, pathlib, signal, sys\n"
        "from stages.export_folder import export_folder\n"
        "with export_folder(pathlib.Path(sys.argv[1])) as draft:\n"
        "    (draft / 'data').mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "killed")], cwd=CHECKOUT, check=False
    )
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".killed.")
    dead = left.name.split(".")[2]
    foreign = tmp_path / f".x.{dead}.partial"
    foreign.mkdir()
    # Of a process that lives, and of a dead one's number on another machine, which holds the lock.
    alive = tmp_path / f".a.{os.getpid()}.export.partial"
    alive.mkdir()
    held = tmp_path / f".b.{dead}.export.partial"
    held.mkdir()
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with export_folder(tmp_path / "out") as draft:
        (draft / "some.txt").write_text("some")
    os.close(descriptor)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("out", foreign.name, alive.name, held.name)
    }
    assert f"removed {str(left)!r}" in capsys.readouterr().err


def test_what_another_users_killed_export_left_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    left = tmp_path / ".theirs.999999999.export.partial"
    left.mkdir()
    system_open = os.open

    def refuses(path: Path, flags: int, mode: int = 0o777) -> int:
        if Path(path) == left:
            raise PermissionError(13, "Permission denied")
        return system_open(path, flags, mode)

    monkeypatch.setattr(os, "open", refuses)
    with export_folder(tmp_path / "out") as draft:
        (draft / "some.txt").write_text("some")
    assert left.is_dir()
    assert (tmp_path / "out/some.txt").is_file()
