from pathlib import Path

import pytest

from knee.errors import InputError
from knee.moaks import Component
from knee.released import LabelFlag, LabelStatus
from tools.release_labels import LabelCompared, LabelTables, read_labels

NAME = "taxonomymatch_kMRI_SQ_MOAKS_BICL00.csv"
KNEE = ("9000001", "V00", "right")
SIZE, DEPTH = (16, Component.SIZE), (16, Component.FULL_THICKNESS)
NUMBER = (1, Component.NUMBER)


def table(folder: Path, *rows: str, name: str = NAME, header: str | None = None) -> LabelTables:
    labels = folder / "data" / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    header = header or "ID,SIDE,READPRJ,V00MCMPM,V00MCMPM.1,V00MBMNPM"
    (labels / name).write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return read_labels(folder)


def test_a_grade_that_was_read_stands(tmp_path: Path):
    tables = table(tmp_path, "9000001,1,65,2,1,5")
    assert tables.compare(KNEE, SIZE, 2) == LabelCompared(LabelStatus.READ, (2,), None)
    assert tables.compare(KNEE, DEPTH, 1) == LabelCompared(LabelStatus.READ, (1,), None)
    # MOAKS counts on; the release stops at 3.
    assert tables.compare(KNEE, NUMBER, 3) == LabelCompared(LabelStatus.READ, (3,), None)
    assert tables.compare(KNEE, SIZE, 0) == LabelCompared(LabelStatus.READ, (2,), LabelFlag.DIFFERS)


@pytest.mark.parametrize("cell", ["", ".", ".: Missing Form", ".P", "nan"])
def test_a_zero_that_nobody_read_is_flagged(tmp_path: Path, cell: str):
    tables = table(tmp_path, f"9000001,1,65,{cell},{cell},0")
    missing = LabelStatus.MISSING
    assert tables.compare(KNEE, SIZE, 0) == LabelCompared(missing, (), LabelFlag.ZERO_FOR_MISSING)
    assert tables.compare(KNEE, SIZE, 2) == LabelCompared(missing, (), LabelFlag.GRADE_FOR_MISSING)
    assert tables.compare(KNEE, SIZE, None) == LabelCompared(missing, (), None)


def test_depth_5_is_off_scale(tmp_path: Path):
    tables = table(tmp_path, "9000001,1,65,3,5,1")
    compared = tables.compare(KNEE, DEPTH, 0)
    assert compared == LabelCompared(LabelStatus.OFF_SCALE, (), LabelFlag.GRADE_FOR_OFF_SCALE)


def test_reads_that_differ_are_a_conflict(tmp_path: Path):
    tables = table(tmp_path, "9000001,1,65,2,1,1", "9000001,1,61,3,,1", "9000001,1,63A,,1,1")
    conflict = LabelStatus.CONFLICT
    assert tables.compare(KNEE, SIZE, 3) == LabelCompared(conflict, (2, 3), LabelFlag.CONFLICT)
    assert tables.compare(KNEE, SIZE, 0) == LabelCompared(conflict, (2, 3), LabelFlag.DIFFERS)
    # A read without a grade does not count against one with a grade.
    assert tables.compare(KNEE, DEPTH, 1) == LabelCompared(LabelStatus.READ, (1,), None)


def test_one_column_with_both_parts_is_read_too(tmp_path: Path):
    tables = table(tmp_path, "9000001,1: Right,2.1: text", header="ID,SIDE,V00MCMPM")
    assert tables.compare(KNEE, SIZE, 2) == LabelCompared(LabelStatus.READ, (2,), None)
    assert tables.compare(KNEE, DEPTH, 1) == LabelCompared(LabelStatus.READ, (1,), None)


def test_what_no_table_holds_is_not_compared(tmp_path: Path):
    tables = table(tmp_path, "9000001.0,1.0,65,2,1,1")
    assert tables.compare(("9000001", "V00", "left"), SIZE, 0) is None
    assert tables.compare(("9000001", "V01", "right"), SIZE, 0) is None
    assert tables.compare(KNEE, (43, Component.GRADE), 0) is None
    assert tables.compare(KNEE, SIZE, 2) is not None


def test_the_visit_is_in_the_files_name(tmp_path: Path):
    name = "taxonomymatch_kMRI_FNIH_SQ_MOAKS_BICL03.csv"
    tables = table(tmp_path, "9000001,2,1", name=name, header="ID,SIDE,V03MCMPM")
    assert tables.compare(("9000001", "V03", "left"), SIZE, 1) is not None
    assert read_labels(tmp_path / "none").files == []


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("PATIENT,SIDE,V00MCMPM", ["1,1,2"], "no column 'ID'"),
        ("ID,SIDE,V03MCMPM", ["1,1,2"], "no column of a MOAKS variable at V00"),
        ("ID,SIDE,V00MCMPM", ["1,3,2", ",1,2", "1"], "3 problems"),
        ("ID,SIDE,V00MCMPM,v00mcmpm", ["1,1,2,1"], "has the column 'V00MCMPM' 2 times"),
    ],
)
def test_a_table_that_is_not_as_assumed_is_refused(
    tmp_path: Path, header: str, rows: list[str], words: str
):
    with pytest.raises(InputError, match=words):
        table(tmp_path, *rows, header=header)
