"""Whole tables with every trap come back exactly, in all three forms."""

from pathlib import Path

import pytest

from knee.grades import ClinicianGrade, GradeStatus
from tests.moaks_generator import (
    UNKNOWN_COLUMNS,
    VARIABLES,
    GeneratedFile,
    Key,
    generate,
    question_of,
)
from tools.moaks_table import MoaksTable, find_moaks_tables, read_moaks_tables

FORMS = ("ascii", "csv", "sas")


def written(folder: Path, files: tuple[GeneratedFile, ...], form: str) -> MoaksTable:
    return read_moaks_tables([file.write(folder, form) for file in files])


def assert_comes_back(table: MoaksTable, files: tuple[GeneratedFile, ...], form: str) -> int:
    """Holds every component of every read against what was written; returns how many."""
    where: dict[tuple[str, str, str], list[tuple[GeneratedFile, int, Key]]] = {}
    for file in files:
        for number, key in enumerate(file.keys):
            knee_visit = (key.patient, key.visit, key.side.value)
            where.setdefault(knee_visit, []).append((file, number, key))
    assert {(p, v, s.value) for p, v, s in table.knee_visits()} == set(where)
    columns = {
        (question_of(stem), component): (stem, place)
        for stem, variable in VARIABLES.items()
        for place, component in enumerate(variable.components)
    }
    assert len(columns) == 118
    n = 0
    for knee_visit, reads in where.items():
        grades = table.grades_for(*knee_visit)
        assert {(g.question_id, g.component) for g in grades} == set(columns)
        for grade in grades:
            stem, place = columns[grade.question_id, grade.component]
            assert_read(grade, reads, stem, place, form)
            n += len(reads)
    return n


def assert_read(
    grade: ClinicianGrade,
    reads: list[tuple[GeneratedFile, int, Key]],
    stem: str,
    place: int,
    form: str,
) -> None:
    entries = [file.entry(stem, number) for file, number, _ in reads]
    told = [entry.told[place] for entry in entries]
    assert list(zip(grade.read_status, grade.read_grades, strict=True)) == told
    assert grade.readprj == tuple(key.readprj for _, _, key in reads)
    assert grade.version == tuple(key.version for _, _, key in reads)
    first_line = 1 if form == "sas" else 2
    assert grade.lines == tuple(number + first_line for _, number, _ in reads)
    if form != "sas":
        assert grade.raw == tuple(entry.text for entry in entries)
    values = {g for _, g in told if g is not None}
    if len(values) == 1 and GradeStatus.PROSTHESIS not in grade.read_status:
        assert (grade.status, grade.grade) == (GradeStatus.READ, values.pop())
    else:
        assert grade.grade is None


@pytest.mark.parametrize("form", FORMS)
def test_every_read_comes_back_exactly(tmp_path: Path, form: str):
    files = generate(400, seed=3)
    table = written(tmp_path, files, form)
    assert assert_comes_back(table, files, form) > 400 * 118
    assert table.absent_stems == ()
    assert len(table.unknown_columns) == len(UNKNOWN_COLUMNS) * len(files)
    assert set(find_moaks_tables(tmp_path)) == {file.path for file in table.files}


def test_the_generator_writes_every_status_and_conflicts(tmp_path: Path):
    table = written(tmp_path, generate(400, seed=3), "ascii")
    grades = [g for knee_visit in table.knee_visits() for g in table.grades_for(*knee_visit)]
    assert {g.status for g in grades} == set(GradeStatus)
    assert any(g.is_ambiguous for g in grades)
    assert {g.grade for g in grades if g.question_id == 48} >= {0, 7, 8}


def test_all_cells_at_once_say_what_each_says_by_itself(tmp_path: Path):
    files = generate(120, seed=5)
    table = written(tmp_path, files, "ascii")
    by_name = {file.name: file for file in files}
    n = 0
    for column in table.decoded_columns():
        file = by_name[column.file.path.stem]
        for number, cells in enumerate(column.cells):
            told = file.entry(column.variable.stem, number).told
            said = tuple((cell.status, cell.grade) for cell in cells)
            if (GradeStatus.NOT_READ_IN_PROJECT, None) not in told:
                assert said == told
            n += 1
    assert n == table.n_rows * 104
