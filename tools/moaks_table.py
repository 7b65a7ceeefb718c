"""Clinicians' MOAKS reads from OAI's ASCII tables, per component and with a status.

A table has a header and one row for each read of a knee at a visit; cells are separated by `|`,
encoded in latin-1, and written `code` or `code: text` (`tools.moaks_cells`). Key columns are ID and
SIDE; READPRJ (reading project) and VERSION tell the reads of one knee-visit apart. The visit is in
the columns' prefix (`V00MBMSFMA`), else in a VISIT column, else in the file's name (`…BICL00`).
Which column holds what is in `moaks_variables.toml`.

Several reads of one knee-visit (RULES 20). Policy `agree_or_conflict`, for each component: the
reads that gave a grade agree, and that is the grade, or they do not, and it is a conflict. A
prosthesis beside a grade is a conflict too. Reads without a grade do not count against one with a
grade; where there is none, the most telling of their statuses stays (prosthesis, off-scale, change
code, missing, not read in the project).

A knee-visit that is in no table has no grades at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from knee.anatomy import Side
from knee.errors import InputError
from knee.grades import ClinicianGrade, GradeStatus
from tools.moaks_cells import CellGrade, is_unread, read_cell
from tools.moaks_file import MoaksFile, MoaksRow, read_moaks_file
from tools.moaks_variables import Variable, load_variables

TABLE_PATTERN = "kMRI_*MOAKS_BICL*.txt"
"""How OAI names its MOAKS tables."""
_MIN_PROJECT_ROWS = 10
"""Rows of a project from which on a column that is missing in all of them was never read."""
_TELLING = (
    GradeStatus.PROSTHESIS,
    GradeStatus.OFF_SCALE,
    GradeStatus.CHANGE_CODE,
    GradeStatus.MISSING,
    GradeStatus.NOT_READ_IN_PROJECT,
)
"""Statuses without a grade, the most telling first."""

KneeVisit = tuple[str, str, Side]
"""(patient, visit, side)."""


class ReadPolicy(StrEnum):
    """What becomes of several reads of one knee-visit."""

    AGREE_OR_CONFLICT = "agree_or_conflict"


@dataclass(frozen=True, slots=True)
class _Read:
    """One cell that was found for a variable."""

    file: MoaksFile
    row: MoaksRow
    column: int

    @property
    def cell(self) -> str:
        return self.row.cells[self.column]


@dataclass(frozen=True, slots=True, eq=False)
class MoaksTable:
    """All reads of one or several tables.

    Attributes:
        files: what was read, in the order given.
        variables: stem to variable, in the order of question and component.
        unknown_columns: columns that match no known stem, `file: column`.
        absent_stems: stems that match no column of any file.
        policy: how several reads of one knee-visit are joined.
    """

    files: tuple[MoaksFile, ...]
    variables: dict[str, Variable]
    unknown_columns: tuple[str, ...]
    absent_stems: tuple[str, ...]
    policy: ReadPolicy = ReadPolicy.AGREE_OR_CONFLICT
    _rows: dict[KneeVisit, list[tuple[MoaksFile, MoaksRow]]] = field(
        default_factory=dict[KneeVisit, list[tuple[MoaksFile, MoaksRow]]], repr=False
    )
    _project_rows: dict[tuple[Path, str], list[MoaksRow]] = field(
        default_factory=dict[tuple[Path, str], list[MoaksRow]], repr=False
    )
    _read_in_project: dict[tuple[str, str, int], bool] = field(
        default_factory=dict[tuple[str, str, int], bool], repr=False
    )

    def __post_init__(self) -> None:
        for file in self.files:
            for row in file.rows:
                self._project_rows.setdefault((file.path, row.readprj), []).append(row)
                for visit in file.visits_of(row):
                    rows = self._rows.setdefault((row.patient, visit, row.side), [])
                    rows.append((file, row))

    @property
    def n_rows(self) -> int:
        """Number of rows in all files."""
        return sum(len(file.rows) for file in self.files)

    def knee_visits(self) -> tuple[KneeVisit, ...]:
        """Returns every (patient, visit, side) with at least one row, sorted."""
        return tuple(sorted(self._rows))

    def grades_for(self, patient: str, visit: str, side: Side | str) -> tuple[ClinicianGrade, ...]:
        """Returns the grades of one knee at one visit, in the order of question and component.

        One for each component that has a column in the tables that hold this knee-visit; empty
        when no row is about it.
        """
        rows = self._rows.get((patient, visit, Side(side)), [])
        grades: list[ClinicianGrade] = []
        for stem, variable in self.variables.items():
            reads = [
                _Read(file, row, column)
                for file, row in rows
                if (column := file.column_of(stem, visit)) is not None
            ]
            if reads:
                grades += self._join(reads, variable, visit)
        return tuple(grades)

    def _join(self, reads: list[_Read], variable: Variable, visit: str) -> list[ClinicianGrade]:
        follow_up = visit != "V00"
        cells = [read_cell(read.cell, variable, is_follow_up=follow_up) for read in reads]
        first = reads[0]
        joined: list[ClinicianGrade] = []
        for component in variable.components:
            each = [
                self._demote(read, cell[component]) for read, cell in zip(reads, cells, strict=True)
            ]
            cell = agree_or_conflict(each)
            joined.append(
                ClinicianGrade(
                    patient=first.row.patient,
                    visit=visit,
                    side=first.row.side.value,
                    question_id=variable.question_id,
                    component=component,
                    status=cell.status,
                    grade=cell.grade,
                    raw=tuple(read.cell for read in reads),
                    variable=first.file.header[first.column],
                    file="; ".join(dict.fromkeys(read.file.path.name for read in reads)),
                    lines=tuple(read.row.line for read in reads),
                    readprj=tuple(read.row.readprj for read in reads),
                    version=tuple(read.row.version for read in reads),
                )
            )
        return joined

    def _demote(self, read: _Read, cell: CellGrade) -> CellGrade:
        """Missing becomes "not read in the project" where the whole project lacks the column."""
        if cell.status is GradeStatus.MISSING and not self._was_read(read):
            return CellGrade(GradeStatus.NOT_READ_IN_PROJECT)
        return cell

    def _was_read(self, read: _Read) -> bool:
        key = (str(read.file.path), read.row.readprj, read.column)
        if key not in self._read_in_project:
            project = self._project_rows[read.file.path, read.row.readprj]
            self._read_in_project[key] = len(project) < _MIN_PROJECT_ROWS or any(
                not is_unread(row.cells[read.column]) for row in project
            )
        return self._read_in_project[key]


def agree_or_conflict(cells: Sequence[CellGrade]) -> CellGrade:
    """Returns what several reads of one component say together (policy `agree_or_conflict`)."""
    read = {cell.grade for cell in cells if cell.status is GradeStatus.READ}
    statuses = {cell.status for cell in cells}
    if len(read) > 1 or (read and GradeStatus.PROSTHESIS in statuses):
        return CellGrade(GradeStatus.CONFLICT)
    if read:
        return CellGrade(GradeStatus.READ, next(iter(read)))
    return CellGrade(next(status for status in _TELLING if status in statuses))


def find_moaks_tables(root: Path) -> tuple[Path, ...]:
    """Returns the tables in a folder that are named as OAI names them, in alphabetical order."""
    return tuple(sorted(path for path in root.glob(TABLE_PATTERN) if path.is_file()))


def read_moaks_tables(
    paths: Sequence[Path], variables: dict[str, Variable] | None = None
) -> MoaksTable:
    """Returns the reads of all tables.

    Args:
        paths: the tables; a file may be named once.
        variables: which column holds what; by default `moaks_variables.toml`.

    Raises:
        InputError: a file is missing, is not a MOAKS table, has no ID or SIDE, has rows that
            cannot be read (all problems of a file at once), or is given twice.
    """
    known = load_variables() if variables is None else variables
    files: list[MoaksFile] = []
    hashes: dict[str, Path] = {}
    for path in paths:
        file = read_moaks_file(path, known)
        if file.sha256 in hashes:
            raise InputError(
                f"{str(path)!r} and {str(hashes[file.sha256])!r} are the same table", "give it once"
            )
        hashes[file.sha256] = path
        files.append(file)
    found = {stem for file in files for stem in file.stems}
    return MoaksTable(
        files=tuple(files),
        variables=known,
        unknown_columns=tuple(
            f"{file.path.name}: {column}" for file in files for column in file.unknown_columns
        ),
        absent_stems=tuple(stem for stem in known if stem not in found),
    )
