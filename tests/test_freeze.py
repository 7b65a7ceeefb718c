"""Frozen releases: the same content the same checksum, never changed, and compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from knee.errors import InputError
from stages.freeze import diff, freeze, list_frozen
from store.export import ExportRequest
from store.writer import StoreWriter
from tests.export_cases import OLD, make_store, told, volume_id
from tests.store_records import run

PATIENTS_ONLY = ExportRequest(where="NOT synthetic")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "knees.duckdb")


def put(store: Path, name: str, request: ExportRequest = PATIENTS_ONLY, out: Path | None = None):
    assert freeze(store, name, request, out, as_json=False) == 0


def compared(
    store: Path | None, first: str, second: str, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    capsys.readouterr()
    assert diff(store, first, second, as_json=True) == 0
    return json.loads(capsys.readouterr().out)


def test_the_same_content_has_the_same_checksum_under_any_name(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    put(store, "one", out=tmp_path / "folder")
    put(store, "two", out=tmp_path / "again")
    put(store, "one")
    capsys.readouterr()
    list_frozen(store, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["n_rows"]) for entry in listed] == [("one", 6), ("two", 6)]
    assert listed[0]["content_sha256"] == listed[1]["content_sha256"]
    rows = [(tmp_path / name / "rows.parquet").read_bytes() for name in ("folder", "again")]
    assert rows[0] == rows[1]
    header = json.loads((tmp_path / "folder/release.json").read_text())
    assert header["condition"] == "NOT synthetic"
    assert header["definitions"] == ["subregion@1"]
    assert {
        "feature": "bml",
        "component": "size",
        "clinician_grade": "2",
        "n_frozen": 1,
    }.items() <= (
        next(e for e in header["flow"] if e["clinician_grade"] == "2" and e["component"] == "size")
    ).items()
    assert compared(store, "one", str(tmp_path / "again"), capsys)["same"] is True


def test_a_frozen_name_keeps_its_content(store: Path, tmp_path: Path):
    put(store, "one")
    other = ExportRequest(where="NOT synthetic AND question_id = 1")
    with pytest.raises(InputError, match="'one' is frozen with other content: 6 row"):
        put(store, "one", other, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    for name, words in (("../x", "is not legal"), ("", "is not legal")):
        with pytest.raises(InputError, match=words):
            put(store, name)
    with pytest.raises(InputError, match="no release 'lost' is frozen") as error:
        diff(store, "one", "lost", as_json=True)
    assert "frozen are: one" in str(error.value.hint)
    with pytest.raises(InputError, match="is no folder"):
        diff(None, "one", "lost", as_json=True)


def test_a_diff_names_rows_and_what_they_rest_on(store: Path, capsys: pytest.CaptureFixture[str]):
    put(store, "before", ExportRequest(where="NOT synthetic AND patient <> '9104004'"))
    newer = run("20260103-120000-newer", seed=9).model_copy(
        update={"checks": {"schema": 1, "numbers": 3}}
    )
    with StoreWriter(store) as writer:
        writer.start_or_resume_run(newer)
        writer.bind_volumes(newer.run_id)
        writer.put_outcomes(newer.run_id, [told(newer.run_id, "9104001", 1)])
    put(store, "after", ExportRequest(where="NOT synthetic AND question_id <> 16"))
    found = compared(store, "before", "after", capsys)
    assert found["added"] == [[volume_id("9104004"), 1]]
    assert found["removed"] == [[volume_id("9104001"), 16]]
    assert found["changed"] == [[volume_id("9104001"), 1]]
    assert (found["rows"], found["rows_same"]) == ([5, 5], 3)
    assert found["changes"] == {"run": 1}
    assert found["lists"] == {"checks": {"gone": [], "new": ["numbers@3"]}}
    assert found["by_feature"] == [
        {"feature": "bml", "added": 1, "removed": 0, "changed": 1},
        {"feature": "cartilage", "added": 0, "removed": 1, "changed": 0},
    ]
    gone = {"feature": "cartilage", "component": "size", "grade": 1, "first": 1, "second": 0}
    assert gone in found["by_grade"]
    assert diff(store, "before", "after", as_json=False) == 0
    assert "changed 1, same 3" in capsys.readouterr().err


def test_several_named_runs_are_told_apart(store: Path, capsys: pytest.CaptureFixture[str]):
    both = ExportRequest((OLD, "20260102-120000-new"), "NOT synthetic")
    put(store, "both", both)
    put(store, "new", ExportRequest(("20260102-120000-new",), "NOT synthetic"))
    found = compared(store, "both", "new", capsys)
    assert found["removed"] == [[volume_id("9104001"), 1], [volume_id("9104002"), 2]]
    assert (found["added"], found["changed"]) == ([], [])
