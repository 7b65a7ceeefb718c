"""`import-release` from end to end, on a release with the documented defects."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from knee.geometry import Box3D, Frame
from knee.moaks import Component
from store.connection import open_store
from store.items import box_of
from tests.demo_run import CommandResult, run_command
from tests.release_fixture import (
    CARTILAGE_CODES,
    WITHOUT_ITEMS,
    Release,
    final_answer,
    half_open,
    last_inside_y_up,
    write_release,
)

FIRST = "9000001/V00/right/dess"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release without defects but those of its formats; never changed by a test."""
    return write_release(tmp_path_factory.mktemp("sound") / "release", last_inside_y_up)


@pytest.fixture(scope="module")
def stored(sound: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("stored") / "knees.duckdb"
    done = run_import(sound.root, store)
    assert done.code == 0, done.err
    return store


@pytest.fixture
def release(sound: Release, tmp_path: Path) -> Release:
    """A copy that a test may damage."""
    shutil.copytree(sound.root, tmp_path / "release")
    return Release(tmp_path / "release", sound.shape, sound.boxes, sound.grades, sound.labels)


def run_import(root: Path, store: Path, *options: str) -> CommandResult:
    return run_command("import-release", str(root), "--store", str(store), *options)


def rows_of(store: Path, query: str) -> list[tuple[Any, ...]]:
    with open_store(store, read_only=True) as con:
        return con.execute(query).fetchall()


def refused(root: Path, store: Path, *options: str) -> str:
    """Runs an import that must be refused and leave no store behind."""
    done = run_import(root, store, *options)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert "hint:" in done.err
    assert not store.exists()
    return done.err


def change_items(
    release: Release, split: str, change: Callable[[list[dict[str, Any]]], None]
) -> None:
    items = release.items(split)
    change(items)
    release.write_items(split, items)


def test_every_grade_arrives_as_released(sound: Release, stored: Path):
    found = {
        (volume, number, Component(component)): grade
        for volume, number, component, grade in rows_of(
            stored, "SELECT volume_id, question_id, component, grade FROM released_grades"
        )
    }
    assert found == sound.grades
    assert len(found) == 4 * 111


def test_every_box_arrives_in_the_stored_array(sound: Release, stored: Path):
    found: dict[tuple[str, int], Box3D | None] = {
        (volume, number): box_of(box, Frame.VOXEL_IJK)
        for volume, number, box in rows_of(
            stored, "SELECT volume_id, question_id, box FROM released_items"
        )
    }
    assert {key: box.indices for key, box in found.items() if box} == sound.boxes


def test_rows_say_what_they_are(stored: Path):
    rows = rows_of(
        stored,
        "SELECT DISTINCT source, licence, author, is_template, text LIKE '%[%' FROM v_released",
    )
    assert rows == [("3dreasonknee", "cc-by-4.0", "template by grade", True, False)]


def test_our_own_tables_hold_nothing_of_the_release(stored: Path):
    for table in ("volumes", "quintuples", "outcomes", "attempts", "clinician_grades", "runs"):
        assert rows_of(stored, f"SELECT count(*) FROM {table}") == [(0,)]
    assert rows_of(stored, "SELECT count(*) FROM v_quintuples") == [(0,)]
    done = run_command("export", "--store", str(stored), str(stored.with_name("out")))
    assert done.code == 2
    assert "no accepted quintuple" in done.err


def test_who_names_the_released_rows_gets_them_as_parquet(stored: Path, tmp_path: Path):
    out = tmp_path / "released.parquet"
    query = "SELECT * FROM v_released WHERE split = 'test'"
    done = run_command(
        "sql", "--store", str(stored), query, "--format", "parquet", "--out", str(out)
    )
    assert done.code == 0, done.err
    with duckdb.connect() as con:
        rows = con.execute(f"SELECT DISTINCT source, patient FROM '{out}'").fetchall()
    assert rows == [("3dreasonknee", "9000003")]


def test_a_cohorts_patients_keep_the_splits_of_a_release_folder(sound: Release, tmp_path: Path):
    wanted = {"9000001": "train", "9000002": "val", "9000003": "test"}
    rows = [f"{patient},V00,right,{patient}.nii,oai-zib" for patient in wanted]
    text = "\n".join(("patient,visit,side,label_map,scheme", *rows)) + "\n"
    (tmp_path / "cohort.csv").write_text(text)
    done = run_command("splits", "assign", str(tmp_path), "--released", str(sound.root))
    assert done.code == 0, done.err
    lines = (tmp_path / "cohort.csv").read_text().splitlines()[1:]
    assert [line.rpartition(",")[2] for line in lines] == list(wanted.values())


def test_volumes_that_the_json_leaves_out_are_counted(stored: Path):
    query = "SELECT volume_id, n_items FROM released_volumes ORDER BY n_items, volume_id"
    rows = rows_of(stored, query)
    assert rows[0] == (WITHOUT_ITEMS, 0)
    assert [n for _, n in rows[1:]] == [62] * 4


def test_released_splits_are_recorded_and_kept(stored: Path):
    rows = rows_of(stored, "SELECT patient, split, source FROM patient_splits ORDER BY patient")
    assert rows == [
        ("9000001", "train", "released"),
        ("9000002", "val", "released"),
        ("9000003", "test", "released"),
        ("9000004", "train", "released"),
    ]


def test_the_verified_order_is_kept_with_its_overlap(stored: Path):
    ((order, overlap, counts),) = rows_of(
        stored, "SELECT box_order, box_overlap, counts FROM released_imports"
    )
    assert "right/RAS: slice=axis 0, x=axis 2 from the end, y=axis 1; 0-based, end inside" in order
    assert overlap == 1.0
    assert counts["items"] == 248
    assert counts["texts_not_templates"] == 0


def test_no_flag_without_a_reason(stored: Path):
    flags = rows_of(stored, "SELECT DISTINCT flag FROM released_grades")
    assert flags == [(None,)]
    compared = rows_of(stored, "SELECT count(*) FROM released_grades WHERE label_status = 'read'")
    assert compared == [(4 * 28,)]


def test_the_same_release_twice_gives_the_same_rows(sound: Release, tmp_path: Path, stored: Path):
    store = tmp_path / "twice.duckdb"
    shutil.copy(stored, store)
    before = rows_of(store, "SELECT * FROM v_released ORDER BY volume_id, question_id")
    done = run_import(sound.root, store)
    assert done.code == 0, done.err
    assert "an earlier import of the same files is replaced" in done.err
    assert rows_of(store, "SELECT * FROM v_released ORDER BY volume_id, question_id") == before


def test_a_released_zero_that_nobody_read_is_flagged(release: Release, tmp_path: Path):
    """The audit's defects: missing became 0, depth 5 became 0, reads that differ."""
    labels = release.data / "labels" / "taxonomymatch_kMRI_SQ_MOAKS_BICL00.csv"
    header, first, second = labels.read_text().splitlines()
    cells = first.split(",")
    at = {name: n for n, name in enumerate(header.split(","))}
    zero, other = _questions_with(release, 0, 2)
    for number in (zero, other):
        cells[at[f"V00MCM{_code(number)}"]] = ""
    deep = next(q for q in range(16, 30) if q not in (zero, other))
    cells[at[f"V00MCM{_code(deep)}.1"]] = "5"
    conflict = next(q for q in range(16, 30) if q not in (zero, other, deep))
    again = list(cells)
    size = release.grades[FIRST, conflict, Component.SIZE]
    again[at[f"V00MCM{_code(conflict)}"]] = str((size + 1) % 4)
    labels.write_text("\n".join((header, ",".join(cells), ",".join(again), second)) + "\n")
    store = tmp_path / "s.duckdb"
    done = run_import(release.root, store, "--json")
    assert done.code == 0, done.err
    flags = {
        (number, component): (grade, status, flag)
        for number, component, grade, status, flag in rows_of(
            store,
            "SELECT question_id, component, grade, label_status, flag FROM released_grades "
            f"WHERE volume_id = '{FIRST}' AND flag IS NOT NULL",
        )
    }
    assert flags == {
        (zero, "size"): (0, "missing", "zero_for_missing"),
        (other, "size"): (2, "missing", "grade_for_missing"),
        (deep, "full_thickness"): (
            release.grades[FIRST, deep, Component.FULL_THICKNESS],
            "off_scale",
            "grade_for_off_scale",
        ),
        (conflict, "size"): (size, "conflict", "conflict"),
    }
    counts = json.loads(done.out)["counts"]
    assert counts["flag.zero_for_missing"] == 1


def test_what_cannot_be_mapped_has_no_grade_and_is_counted(release: Release, tmp_path: Path):
    def damage(items: list[dict[str, Any]]) -> None:
        items[0]["final_diagnosis"] = "I cannot tell."
        items[1]["final_diagnosis"] = final_answer(2, dict.fromkeys(Component, None))
        items[2]["final_diagnosis"] = final_answer(4, dict.fromkeys(Component, 0))

    change_items(release, "train", damage)
    store = tmp_path / "s.duckdb"
    done = run_import(release.root, store, "--json")
    assert done.code == 1, done.err
    assert "9 component(s) could not be mapped" in done.err
    rows = rows_of(
        store,
        "SELECT question_id, grade, split_part(problem, ':', 1) FROM released_grades "
        f"WHERE volume_id = '{FIRST}' AND question_id <= 3",
    )
    assert {row[1] for row in rows} == {None}
    assert {(row[0], row[2]) for row in rows} == {
        (1, "no_key"),
        (2, "missing"),
        (3, "other_question"),
    }
    assert json.loads(done.out)["counts"]["unmapped.missing"] == 3


def test_entries_without_volume_or_question_are_told(release: Release, tmp_path: Path):
    def damage(items: list[dict[str, Any]]) -> None:
        items[0]["image"] = "somewhere/else/image.nii.gz"
        items[1]["prompt"] = "Is there anything wrong?"
        items[2] = dict(items[3])
        items.append(release.items("test")[0])
        # The same volume under another beginning of the path is the same volume.
        items[4]["image"] = "/scratch/oai/" + items[4]["image"]

    change_items(release, "train", damage)
    store = tmp_path / "s.duckdb"
    done = run_import(release.root, store)
    assert done.code == 1, done.err
    for words in (
        "train.json 0: unknown_image",
        "train.json 1: unknown_question: 'Is there anything wrong?'",
        "train.json 3: repeated: as train.json 2",
        "train.json 124: other_split",
    ):
        assert words in done.err
    assert rows_of(store, "SELECT count(*) FROM released_items") == [(248 - 3,)]


def test_boxes_of_other_masks_are_refused_with_the_figures(release: Release, tmp_path: Path):
    for split in ("train", "val", "test"):
        change_items(release, split, _exchange_boxes)
    text = refused(release.root, tmp_path / "s.duckdb")
    assert "do not fit the masks: of 144 orders the best" in text
    assert "median IoU of 0." in text
    done = run_import(release.root, tmp_path / "s.duckdb", "--without-boxes")
    assert done.code == 0, done.err
    rows = rows_of(
        tmp_path / "s.duckdb",
        "SELECT DISTINCT box, raw_box IS NULL, box_reason FROM released_items",
    )
    assert rows == [(None, False, "the order of the boxes was not verified")]


def test_a_release_in_the_plain_order_is_told_apart(tmp_path: Path):
    plain = write_release(tmp_path / "release", lambda _: half_open)
    done = run_import(plain.root, tmp_path / "s.duckdb")
    assert done.code == 0, done.err
    assert "slice=axis 0, x=axis 1, y=axis 2; 0-based, end outside; median IoU 1.000" in done.err


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("split_files/val_split.csv", "no split file"),
        ("generate_data/test.json", "no item file"),
        ("question_files/questions.json", "none of ['questions.json']"),
        ("question_files/question_subregion_mapping.json", "boxes cannot be verified"),
        ("OAI", "has a mask"),
    ],
)
def test_a_missing_part_is_named(release: Release, tmp_path: Path, path: str, words: str):
    part = release.data / path
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink()
    assert words in refused(release.root, tmp_path / "s.duckdb")


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("split_files/train_split.csv", "knee_side", "side", "no column 'knee_side'"),
        ("split_files/train_split.csv", ",00M,", ",06M,", "time '06M'"),
        ("split_files/train_split.csv", ",RIGHT,", ",BOTH,", "side 'BOTH'"),
        ("split_files/val_split.csv", "9000002", "9000001", "'9000001' is in 'train' and 'val'"),
        ("question_files/questions.json", '"43"', '"42"', "shows the answer key of 43"),
        ("question_files/questions.json", "{", "[", "is not JSON"),
        ("generate_data/val.json", "final_diagnosis", "diagnosis", None),
        ("generate_data/val.json", '"prompt"', '"question"', "has no 'prompt'"),
        ("generate_data/val.json", '"image": "', '"image": 3, "x": "', "is no text"),
        ("generate_data/val.json", "[{", '{"items": [{', "is no JSON list"),
        ("generate_data/val.json", "}]", "}", "not a whole JSON list"),
        (
            "question_files/question_subregion_mapping.json",
            '["region_1"]',
            "7",
            "not a question id",
        ),
    ],
)
def test_a_part_that_is_not_as_assumed_is_named(
    release: Release, tmp_path: Path, path: str, old: str, new: str, words: str | None
):
    part = release.data / path
    text = part.read_text(encoding="utf-8")
    assert old in text
    part.write_text(text.replace(old, new) if words != "is not JSON" else text.replace(old, new, 1))
    if words is None:
        # Without `final_diagnosis` the answer's own final part is read.
        done = run_import(release.root, tmp_path / "s.duckdb")
        assert done.code == 0, done.err
        return
    assert words in refused(release.root, tmp_path / "s.duckdb")


def test_a_store_with_another_split_is_left_as_it_was(release: Release, tmp_path: Path):
    store = tmp_path / "s.duckdb"
    assert run_import(release.root, store).code == 0
    before = rows_of(store, "SELECT * FROM released_volumes ORDER BY ALL")
    for name in ("val", "test"):
        (release.data / "split_files" / f"{name}.old").write_bytes(
            (release.data / "split_files" / f"{name}_split.csv").read_bytes()
        )
    for name, other in (("val", "test"), ("test", "val")):
        (release.data / "split_files" / f"{other}_split.csv").write_bytes(
            (release.data / "split_files" / f"{name}.old").read_bytes()
        )
    done = run_import(release.root, store, "--without-boxes")
    assert done.code == 2
    assert "2 patient(s) would change their split" in done.err
    assert rows_of(store, "SELECT * FROM released_volumes ORDER BY ALL") == before


def test_masks_outside_of_the_release_are_not_read(release: Release, tmp_path: Path):
    shutil.move(release.data / "OAI", tmp_path / "OAI")
    (release.data / "OAI").symlink_to(tmp_path / "OAI")
    assert "has a mask" in refused(release.root, tmp_path / "s.duckdb")


def test_the_store_may_be_made_by_another_command(release: Release, tmp_path: Path):
    foreign = tmp_path / "foreign.duckdb"
    duckdb.connect(str(foreign)).close()
    done = run_import(release.root, foreign)
    assert done.code == 2
    assert "another program" in done.err
    assert foreign.exists()


def _exchange_boxes(items: list[dict[str, Any]]) -> None:
    """Gives each item of a volume the box of the item 20 further on: another region."""
    boxes = [item["answer"].split("Bounding box: ")[1].split("\n")[0] for item in items]
    for n, item in enumerate(items):
        item["answer"] = item["answer"].replace(boxes[n], boxes[(n + 20) % len(boxes)])


def _questions_with(release: Release, first: int, second: int) -> tuple[int, int]:
    """Cartilage questions of the first volume whose size is released as these grades."""
    sizes = {q: release.grades[FIRST, q, Component.SIZE] for q in range(16, 30)}
    found = [next(q for q, size in sizes.items() if size == wanted) for wanted in (first, second)]
    return found[0], found[1]


def _code(number: int) -> str:
    return CARTILAGE_CODES[number - 16]
