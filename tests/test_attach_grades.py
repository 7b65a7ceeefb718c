"""Exports without reference grades, and putting the grades back."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from knee.errors import InputError
from stages.attach_grades import attach_grades
from stages.export import ExportOptions, export
from store.export import ExportRequest
from store.writer import StoreWriter
from tests.export_cases import PATIENTS, make_store
from tests.store_records import clinician_grades, volume

WITHOUT = ExportRequest(where="NOT synthetic", reference_grades=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("attach") / "knees.duckdb")


@pytest.fixture(scope="module")
def bare(store: Path) -> Path:
    out = store.with_name("bare")
    export(ExportOptions(store, out, WITHOUT, "parquet"))
    return out


def attach(source: Path, out: Path, **options: object) -> int:
    given: dict[str, Any] = {"store": None, "moaks": None, "key_file": None, **options}
    return attach_grades(source, out, as_json=False, **given)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(folder / "data").to_pylist()
    return sorted(rows, key=lambda row: (row["volume_id"], row["question_id"]))


def write_table(path: Path, *, size: int = 1) -> Path:
    """A MOAKS table that says what the store's clinicians said of questions 1, 2 and 16."""
    stems = [f"V00MBM{kind}{site}" for site in ("PM", "PL") for kind in "SNP"]
    lines = ["|".join(("ID", "SIDE", "READPRJ", "VERSION", *stems, "V00MCMPM"))]
    for patient in PATIENTS:
        second = "2" if patient == "9104002" else "1"
        cells = [str(size), "1", "1", second, second, second, "1.1"]
        lines.append("|".join((patient, "1: Right", "15", "0.1", *cells)))
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    return path


def test_nothing_from_which_a_grade_follows_goes_out(bare: Path, store: Path, tmp_path: Path):
    export(ExportOptions(store, tmp_path / "lines", WITHOUT, "jsonl"))
    for folder in (bare, tmp_path / "lines"):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            text = path.read_bytes().decode(errors="replace")
            # The texts of every step, and of the grades' own columns.
            for word in (
                "Grade 1.",
                "Less than 33 %",
                "12.3 %",
                "2 spots",
                "clinician_grades",
            ):
                if path.name != "README.md":
                    assert word not in text, (path.name, word)
    card = (bare / "README.md").read_text()
    assert "Without reference grades" in card
    assert "| bml | size |" not in card
    assert "odds" not in card
    for form in ("sft-chat", "release"):
        with pytest.raises(InputError, match="made of answers"):
            export(ExportOptions(store, tmp_path / form, WITHOUT, form))


def test_a_store_gives_back_grades_and_texts(bare: Path, store: Path, tmp_path: Path):
    assert attach(bare, tmp_path / "out", store=store) == 0
    export(ExportOptions(store, tmp_path / "whole", WITHOUT._replace(reference_grades=True)))
    found, wanted = rows_of(tmp_path / "out"), rows_of(tmp_path / "whole")
    shared = set(found[0]) & set(wanted[0])
    assert {"steps", "grades", "clinician_grades"} <= shared
    assert [{k: r[k] for k in shared} for r in found] == [{k: r[k] for k in shared} for r in wanted]


def test_tables_give_back_the_grades(bare: Path, tmp_path: Path):
    assert (
        attach(bare, tmp_path / "out", moaks=[write_table(tmp_path / "kMRI_SQ_MOAKS_BICL00.txt")])
        == 0
    )
    grades = {(r["patient"], r["question_id"]): r["grades"] for r in rows_of(tmp_path / "out")}
    assert grades["9104002", 2]["size"] == 2
    assert grades["9104001", 16]["full_thickness"] == 1
    assert grades["9104001", 1]["full_thickness"] is None


def test_pseudonyms_are_found_again_with_their_key(store: Path, tmp_path: Path):
    key, other = tmp_path / "key", tmp_path / "other"
    for path, content in ((key, bytes(range(40))), (other, bytes(range(50, 90)))):
        path.write_bytes(content)
        path.chmod(0o600)
    export(ExportOptions(store, tmp_path / "in", WITHOUT, "jsonl", key))
    with pytest.raises(InputError, match="is pseudonymised with the key"):
        attach(tmp_path / "in", tmp_path / "out", store=store)
    with pytest.raises(InputError, match="the export was made with"):
        attach(tmp_path / "in", tmp_path / "out", store=store, key_file=other)
    assert attach(tmp_path / "in", tmp_path / "out", store=store, key_file=key) == 0
    lines = (tmp_path / "out/data/train/train-00000-of-00001.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    assert sorted(row["grades"]["size"] for row in rows) == [1, 1, 1, 2]
    assert not [patient for patient in PATIENTS if patient in lines]


def test_what_does_not_fit_is_refused_and_nothing_written(bare: Path, store: Path, tmp_path: Path):
    out = tmp_path / "out"
    table = write_table(tmp_path / "kMRI_SQ_MOAKS_BICL00.txt")
    table.write_text(table.read_text().replace("9104003|", "9104009|"))
    with pytest.raises(InputError, match="was read for the export, and has no single read grade"):
        attach(bare, out, moaks=[table])
    elsewhere = make_store(tmp_path / "elsewhere.duckdb")
    with StoreWriter(elsewhere) as writer:
        record = volume("9104004", synthetic=False)
        writer.put_clinician_grades(clinician_grades(record, (1,), grade=3))
    with pytest.raises(InputError, match="the draft's grade is 1, the clinician's 3"):
        attach(bare, out, store=elsewhere)
    with StoreWriter(elsewhere) as writer, writer.transaction() as con:
        con.execute("UPDATE attempts SET steps = [] WHERE volume_id LIKE '9104004%'")
    with pytest.raises(InputError, match="another text than was exported"):
        attach(bare, out, store=elsewhere)
    export(ExportOptions(store, tmp_path / "copy", WITHOUT, "jsonl"))
    victim = tmp_path / "copy/data/val/val-00000-of-00001.jsonl"
    victim.write_text(victim.read_text().replace("right", "left"))
    with pytest.raises(InputError, match="is not the file that was exported"):
        attach(tmp_path / "copy", out, store=store)
    with pytest.raises(InputError, match="is not an export"):
        attach(tmp_path, out, store=store)
    assert not out.exists()
