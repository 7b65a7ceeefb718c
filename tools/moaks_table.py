"""Clinicians' MOAKS reads from OAI's tables, per component and with a status.

A table has a header and one row for each read of a knee at a visit, as delimited text or as a SAS
file (`tools.moaks_formats`); its cells are `code` or `code: text` (`tools.moaks_cells`). Key
columns are ID and SIDE; READPRJ (reading project) and VERSION tell the reads of one knee-visit
apart. The visit is in the columns' prefix (`V00MBMSFMA`), a VISIT column, or the file's name
(`…BICL00`); where more than one says it, they must agree. Which column holds what is in
`moaks_variables.toml`.
Several reads of one knee-visit are joined by a policy, for each component (`tools.moaks_policy`).

A knee-visit that is in no table has no grades at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from knee.anatomy import Side
from knee.errors import InputError
from knee.grades import ClinicianGrade, GradeStatus, ReadsPolicy, ReadsPolicyKind
from tools.cohort import list_problems
from tools.moaks_cells import CellGrade, is_unread, read_cell
from tools.moaks_file import FileReading, MoaksFile, MoaksRow, read_moaks_file
from tools.moaks_formats import SAS_SUFFIX
from tools.moaks_policy import join_reads
from tools.moaks_variables import Variable, load_variables

_TABLE_NAME = ("kmri_", "moaks_bicl")
"""How OAI's MOAKS tables begin, and what is in their names, in lower case."""
_TABLE_SUFFIXES = (".txt", ".csv", SAS_SUFFIX)
_MIN_PROJECT_ROWS = 10
"""Rows of a project from which on a column that is missing in all of them was never read."""
_BASELINE = "V00"

KneeVisit = tuple[str, str, Side]
"""(patient, visit, side)."""


class _Read(NamedTuple):
    """One cell that was found for a variable."""

    file: MoaksFile
    row: MoaksRow
    column: int

    @property
    def cell(self) -> str:
        return self.row.cells[self.column]


class DecodedColumn(NamedTuple):
    """One column of one file, every cell told."""

    file: MoaksFile
    """The file."""
    variable: Variable
    """What the column holds."""
    visit: str
    """The visit of its prefix; empty where each row has its own."""
    cells: list[tuple[CellGrade, ...]]
    """For each row of the file, what it says of each component of the variable."""


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
    policy: ReadsPolicy = field(default_factory=ReadsPolicy)
    _rows: dict[KneeVisit, list[tuple[MoaksFile, MoaksRow]]] = field(
        default_factory=dict[KneeVisit, list[tuple[MoaksFile, MoaksRow]]], repr=False
    )
    _project_rows: dict[tuple[Path, str], list[MoaksRow]] = field(
        default_factory=dict[tuple[Path, str], list[MoaksRow]], repr=False
    )
    _read_in_project: dict[tuple[Path, str, int], bool] = field(
        default_factory=dict[tuple[Path, str, int], bool], repr=False
    )
    _decoded: dict[tuple[str, bool], dict[str, tuple[CellGrade, ...]]] = field(
        default_factory=dict[tuple[str, bool], dict[str, tuple[CellGrade, ...]]], repr=False
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

    @property
    def projects(self) -> tuple[str, ...]:
        """The reading projects, ascending."""
        return tuple(sorted({project for _, project in self._project_rows}))

    def knee_visits(self) -> tuple[KneeVisit, ...]:
        """Returns every (patient, visit, side) with at least one row, sorted."""
        return tuple(sorted(self._rows))

    def n_reads_of(self, patient: str, visit: str, side: Side | str) -> int:
        """Returns how many rows are about a knee at a visit."""
        return len(self._rows.get((patient, visit, Side(side)), ()))

    def grades_for(self, patient: str, visit: str, side: Side | str) -> tuple[ClinicianGrade, ...]:
        """Returns the grades of one knee at one visit, in the order of question and component.

        One for each component that has a column in the tables that hold this knee-visit; empty
        when no row is about it.
        """
        rows = self._rows.get((patient, visit, Side(side)), [])
        if not rows:
            return ()
        ranks = [self._rank(file, row, visit) for file, row in rows]
        policy = str(self.policy)
        grades: list[ClinicianGrade] = []
        for stem, variable in self.variables.items():
            reads: list[_Read] = []
            read_ranks: list[int] = []
            for (file, row), rank in zip(rows, ranks, strict=True):
                column = file.column_of(stem, visit)
                if column is not None:
                    reads.append(_Read(file, row, column))
                    read_ranks.append(rank)
            if reads:
                grades += self._join(reads, read_ranks, variable, visit, policy)
        return tuple(grades)

    def decoded_columns(self) -> Iterator[DecodedColumn]:
        """Yields every known column with what each of its cells says by itself."""
        for file in self.files:
            columns = list(zip(*(row.cells for row in file.rows), strict=True))
            follow = {
                visit: [(visit or row.visit) != _BASELINE for row in file.rows]
                for visit in {visit for _, visit in file.columns}
            }
            for (stem, visit), column in file.columns.items():
                variable = self.variables[stem]
                cells = self._decode_column(variable, columns[column], follow[visit])
                yield DecodedColumn(file, variable, visit, cells)

    def _join(
        self, reads: list[_Read], ranks: list[int], variable: Variable, visit: str, policy: str
    ) -> Iterator[ClinicianGrade]:
        follow_up = visit != _BASELINE
        cells = [self._decode(variable, read.cell, follow_up) for read in reads]
        first = reads[0]
        raw = tuple(read.cell for read in reads)
        names = tuple(read.file.path.name for read in reads)
        lines = tuple(read.row.line for read in reads)
        readprj = tuple(read.row.readprj for read in reads)
        version = tuple(read.row.version for read in reads)
        for number, component in enumerate(variable.components):
            each = [
                self._demote(read, cell[number]) for read, cell in zip(reads, cells, strict=True)
            ]
            joined = join_reads(each, ranks)
            yield ClinicianGrade(
                patient=first.row.patient,
                visit=visit,
                side=first.row.side.value,
                question_id=variable.question_id,
                component=component,
                status=joined.cell.status,
                grade=joined.cell.grade,
                raw=raw,
                variable=first.file.header[first.column],
                file="; ".join(dict.fromkeys(names)),
                lines=lines,
                readprj=readprj,
                version=version,
                policy=policy,
                read_files=names,
                read_status=tuple(cell.status for cell in each),
                read_grades=tuple(cell.grade for cell in each),
                taken=joined.taken,
            )

    def _rank(self, file: MoaksFile, row: MoaksRow, visit: str) -> int:
        """The read's place by the policy, lowest first."""
        if self.policy.kind is ReadsPolicyKind.PROJECT_PRIORITY:
            rank = self.policy.rank(row.readprj)
            if rank is None:
                raise _unranked(self.policy, (row.readprj,))
            return rank
        if self.policy.kind is ReadsPolicyKind.MOST_COMPLETE:
            return -self._n_graded(file, row, visit)
        return 0

    def _n_graded(self, file: MoaksFile, row: MoaksRow, visit: str) -> int:
        """How many components a read grades; over all variables, not only those asked about."""
        follow_up = visit != _BASELINE
        return sum(
            cell.status is GradeStatus.READ
            for stem, variable in self.variables.items()
            if (column := file.column_of(stem, visit)) is not None
            for cell in self._decode(variable, row.cells[column], follow_up)
        )

    def _decode_column(
        self, variable: Variable, texts: Sequence[str], follow: Sequence[bool]
    ) -> list[tuple[CellGrade, ...]]:
        told = {
            follow_up: {
                text: self._decode(variable, text, follow_up)
                for text in {t for t, f in zip(texts, follow, strict=True) if f == follow_up}
            }
            for follow_up in set(follow)
        }
        if len(told) == 1:
            (known,) = told.values()
            return [known[text] for text in texts]
        return [told[f][text] for text, f in zip(texts, follow, strict=True)]

    def _decode(self, variable: Variable, text: str, follow_up: bool) -> tuple[CellGrade, ...]:
        """What a text says of each component; a table repeats a few texts a million times."""
        known = self._decoded.setdefault((variable.stem, follow_up), {})
        cell = known.get(text)
        if cell is None:
            told = read_cell(text, variable, is_follow_up=follow_up)
            cell = known[text] = tuple(told[component] for component in variable.components)
        return cell

    def _demote(self, read: _Read, cell: CellGrade) -> CellGrade:
        """Missing becomes "not read in the project" where the whole project lacks the column."""
        if cell.status is GradeStatus.MISSING and not self._was_read(read):
            return CellGrade(GradeStatus.NOT_READ_IN_PROJECT)
        return cell

    def _was_read(self, read: _Read) -> bool:
        key = (read.file.path, read.row.readprj, read.column)
        if key not in self._read_in_project:
            project = self._project_rows[read.file.path, read.row.readprj]
            self._read_in_project[key] = len(project) < _MIN_PROJECT_ROWS or any(
                not is_unread(row.cells[read.column]) for row in project
            )
        return self._read_in_project[key]


def find_moaks_tables(root: Path) -> tuple[Path, ...]:
    """Returns the tables in a folder that are named as OAI names them, in alphabetical order."""
    begin, inside = _TABLE_NAME
    return tuple(
        sorted(
            path
            for path in root.iterdir()
            if path.name.lower().startswith(begin)
            and inside in path.name.lower()
            and path.suffix.lower() in _TABLE_SUFFIXES
            and path.is_file()
        )
    )


def read_moaks_tables(
    paths: Sequence[Path],
    variables: dict[str, Variable] | None = None,
    policy: ReadsPolicy | None = None,
) -> MoaksTable:
    """Returns the reads of all tables.

    Args:
        paths: the tables; a file may be named once.
        variables: which column holds what; by default `moaks_variables.toml`.
        policy: how several reads of one knee-visit are joined; by default `agree_or_conflict`.

    Raises:
        InputError: with all problems of all files (the first 20, and their number): a file is
            missing or unreadable, has another delimiter, no ID or SIDE, a contradictory visit, rows
            that cannot be read or that are there twice; two files hold reads of one project at one
            visit; the policy's order leaves a project out.
    """
    known = load_variables() if variables is None else variables
    chosen = ReadsPolicy() if policy is None else policy
    readings = [read_moaks_file(path, known) for path in paths]
    _refuse_problems(paths, readings)
    files = tuple(reading.file for reading in readings if reading.file is not None)
    found = {stem for file in files for stem in file.stems}
    table = MoaksTable(
        files=files,
        variables=known,
        unknown_columns=tuple(
            f"{file.path.name}: {column}" for file in files for column in file.unknown_columns
        ),
        absent_stems=tuple(stem for stem in known if stem not in found),
        policy=chosen,
    )
    if chosen.kind is ReadsPolicyKind.PROJECT_PRIORITY:
        unranked = tuple(name for name in table.projects if chosen.rank(name) is None)
        if unranked:
            raise _unranked(chosen, unranked)
    return table


def _refuse_problems(paths: Sequence[Path], readings: Sequence[FileReading]) -> None:
    one = len(paths) == 1
    problems = [
        problem if one else f"{path.name!r}: {problem}"
        for path, reading in zip(paths, readings, strict=True)
        for problem in reading.problems
    ]
    files = [reading.file for reading in readings if reading.file is not None]
    problems += _overlaps(files)
    if problems:
        name = repr(str(paths[0])) if one else f"the {len(paths)} MOAKS tables"
        raise InputError(
            f"{name} {'has' if one else 'have'} {list_problems(problems)}",
            "every row needs an ID, a SIDE (1 right, 2 left), as many cells as the header and a "
            "READPRJ and VERSION of its own; `run_pipeline.py reads check` looks at tables alone",
        )


def _overlaps(files: Sequence[MoaksFile]) -> list[str]:
    """Pairs of files that hold the same reads: one project's reads of a visit are in one file.

    VERSION is left out, so that two releases of one table are found as well.
    """
    problems: list[str] = []
    keys = [
        {(row.patient, row.side, v, row.readprj) for row in file.rows for v in file.visits_of(row)}
        for file in files
    ]
    for number, file in enumerate(files):
        for other_number, other in enumerate(files[:number]):
            if file.sha256 == other.sha256:
                problems.append(f"{str(file.path)!r} and {str(other.path)!r} are the same table")
                continue
            shared = keys[number] & keys[other_number]
            if shared:
                patient, side, visit, readprj = min(shared)
                problems.append(
                    f"{other.path.name!r} and {file.path.name!r} are two files for one visit: "
                    f"{len(shared)} knee(s) of the same project are in both, e.g. {patient} "
                    f"{side.value} {visit}, READPRJ {readprj!r}; leave one of the files out"
                )
    return problems


def _unranked(policy: ReadsPolicy, projects: tuple[str, ...]) -> InputError:
    return InputError(
        f"the policy {str(policy)!r} does not name the project(s) "
        + ", ".join(repr(name) for name in projects),
        "add them to the order, or `*` at its end for every other project",
    )
