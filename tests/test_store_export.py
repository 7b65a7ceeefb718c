import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from knee.errors import InputError
from knee.keys import content_hash
from knee.records import Grounding, ItemState, RunKind
from store import export
from store.export import MANIFEST, ExportRequest, export_parquet
from store.writer import StoreWriter
from tests.store_records import findings, outcome, run, volume

V1, V2, V3 = (f"{patient}/V00/right/dess" for patient in ("9001", "9002", "9003"))


def request(where: str | None = None, **changes: object) -> ExportRequest:
    return ExportRequest(where=where)._replace(**changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients and a phantom; an older and a newer run, a trial and a label-given run."""
    path = tmp_path_factory.mktemp("export") / "knees.duckdb"
    runs = {
        "old": run("old", seed=1),
        "new": run("new", seed=2),
        "trial": run("trial", kind=RunKind.TRIAL),
        "given": run("given", seed=3).model_copy(update={"grounding": Grounding.LABEL_GIVEN}),
    }
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        for patient in ("9003", "9002", "9001"):
            writer.put_volume(volume(patient, synthetic=patient == "9003"))
            writer.put_findings(findings(f"{patient}/V00/right/dess", tuple(range(1, 20))))
        for run_id, one in runs.items():
            writer.start_or_resume_run(one)
            writer.bind_volumes(run_id)
        writer.put_outcomes("old", [outcome("old", V2, 2), outcome("old", V1, 1)])
        writer.put_outcomes(
            "new",
            [outcome("new", V1, q) for q in range(12, 0, -1)]
            + [outcome("new", V3, 1), outcome("new", V2, 3, state=ItemState.REJECTED)],
        )
        writer.put_outcomes("trial", [outcome("trial", V2, 4)])
        writer.put_outcomes("given", [outcome("given", V1, 1)])
    return path


def test_each_item_comes_once_from_the_newest_blind_production_run(store: Path, tmp_path: Path):
    done = export_parquet(store, tmp_path / "out", request("NOT synthetic"))
    table = pq.read_table(tmp_path / "out" / "data" / done.shards[0])
    rows = [(r["volume_id"], r["question_id"], r["run_id"]) for r in table.to_pylist()]
    assert rows == [(V1, q, "new") for q in range(1, 13)] + [(V2, 2, "old")]
    assert done == (13, ("quintuples-00000.parquet",), ("new", "old"))
    first = table.to_pylist()[0]
    assert first["grades"]["size"] == 1
    assert first["clinician_grades"]["size"] == 1
    assert first["steps"][0]["box"]["i1"] == 10
    assert first["box"]["i1"] == 10
    assert first["synthetic"] is False
    assert first["author"] == "model"
    assert "cohort_root" not in first


def test_named_runs_and_groundings(store: Path, tmp_path: Path):
    named = request("NOT synthetic", run_ids=("old", "trial"))
    export_parquet(store, tmp_path / "named", named)
    rows = pq.read_table(tmp_path / "named" / "data").to_pylist()
    assert [(r["run_id"], r["question_id"]) for r in rows] == [("old", 1), ("old", 2), ("trial", 4)]
    given = request(grounding=Grounding.LABEL_GIVEN)
    assert export_parquet(store, tmp_path / "given", given).run_ids == ("given",)
    with pytest.raises(InputError, match="no run 'lost'"):
        export_parquet(store, tmp_path / "lost", request(run_ids=("lost",)))


def test_the_same_request_gives_the_same_bytes_and_a_manifest_that_fits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export, "SHARD_ROWS", 5)
    monkeypatch.setattr(export, "_GROUP_ROWS", 5)
    folders = [tmp_path / "a", tmp_path / "b"]
    done, again = (export_parquet(store, folder, request("NOT synthetic")) for folder in folders)
    assert done == again
    assert done.shards == tuple(f"quintuples-{i:05d}.parquet" for i in range(3))
    data = [f"data/{name}" for name in done.shards]
    found = sorted(p.relative_to(folders[0]).as_posix() for p in folders[0].rglob("*.*"))
    assert found == [*data, MANIFEST]
    for name in found:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    manifest = json.loads((folders[0] / MANIFEST).read_text())
    assert (manifest["rows"], manifest["run_ids"]) == (13, ["new", "old"])
    assert [(f["rows"], f["sha256"]) for f in manifest["files"]] == [
        (n, content_hash((folders[0] / name).read_bytes()))
        for n, name in zip((5, 5, 3), data, strict=True)
    ]
    assert manifest["columns"] == pq.read_schema(folders[0] / data[0]).names
    assert (
        pq.ParquetFile(folders[0] / data[0]).metadata.row_group(0).column(0).compression == "ZSTD"
    )


def test_synthetic_rows_must_be_named_and_are_never_pooled(store: Path, tmp_path: Path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="1 of 14 selected rows are synthetic") as error:
        export_parquet(store, out, request())
    assert "--synthetic" in str(error.value.hint)
    with pytest.raises(InputError, match="13 of 14 selected rows are of patients"):
        export_parquet(store, out, request(synthetic=True))
    assert not out.exists()
    assert export_parquet(store, out, request("synthetic", synthetic=True)).rows == 1


def test_mixed_licences_must_be_named(store: Path, tmp_path: Path):
    other = volume("9002", synthetic=False).model_copy(update={"licence": None})
    with StoreWriter(store) as writer:
        writer.put_volume(other)
    try:
        with pytest.raises(InputError, match=r"2 values of licence: \['CC0-1.0', 'not known'\]"):
            export_parquet(store, tmp_path / "out", request("NOT synthetic"))
        mixed = request("NOT synthetic", mixed_licences=True)
        assert export_parquet(store, tmp_path / "out", mixed).rows == 13
    finally:
        with StoreWriter(store) as writer:
            writer.put_volume(volume("9002", synthetic=False))


def test_mixed_image_licences_must_be_named_and_travel_with_the_rows(store: Path, tmp_path: Path):
    other = volume("9002", synthetic=False).model_copy(
        update={"image_source": "OAI", "image_licence": "OAI terms", "restricted": True}
    )
    with StoreWriter(store) as writer:
        writer.put_volume(other)
    try:
        with pytest.raises(InputError, match=r"2 values of image_licence: \['OAI terms', 'not"):
            export_parquet(store, tmp_path / "out", request("NOT synthetic"))
        one = request("image_licence = 'OAI terms' AND restricted AND image_source = 'OAI'")
        assert export_parquet(store, tmp_path / "out", one).rows > 0
    finally:
        with StoreWriter(store) as writer:
            writer.put_volume(volume("9002", synthetic=False))


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_used(
    store: Path, tmp_path: Path
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        export_parquet(store, out, request("NOT synthetic"))
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    assert export_parquet(store, out, request("NOT synthetic")).rows == 13
    with pytest.raises(InputError, match="folder not found"):
        export_parquet(store, tmp_path / "no" / "out", request("NOT synthetic"))


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("nope = 1", "nope"),
        ("feature =", "syntax error"),
        ("false", "no accepted quintuple"),
        ("true); DROP TABLE runs; SELECT (1", "2 statements|3 statements"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 0", "disabled by configuration"),
    ],
)
def test_a_bad_condition_is_named_and_leaves_nothing(
    store: Path, tmp_path: Path, where: str, words: str
):
    with pytest.raises(InputError, match=words):
        export_parquet(store, tmp_path / "out", request(where))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_nothing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_manifest", fail)
    with pytest.raises(KeyboardInterrupt):
        export_parquet(store, tmp_path / "out", request("NOT synthetic"))
    assert list(tmp_path.iterdir()) == []
