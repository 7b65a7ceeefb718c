"""One MOAKS table file: header, key columns, visits and rows; the cells stay text.

Only the rim is read here (who, which knee, which visit, which project); what a cell means is said
by `tools.moaks_cells`. Problems of the header and of all rows are gathered, not raised one by one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from knee.anatomy import Side
from knee.errors import InputError
from tools.moaks_cells import code_of
from tools.moaks_formats import NumberedRow, open_table
from tools.moaks_variables import Variable

_PREFIX = re.compile(r"(V\d\d)(\w+)")
_VISIT_IN_NAME = re.compile(r"BICL(\d\d)")
_KEY_COLUMNS = ("ID", "SIDE", "READPRJ", "VERSION", "VISIT")
_SIDES = {
    "1": Side.RIGHT,
    "R": Side.RIGHT,
    "RIGHT": Side.RIGHT,
    "2": Side.LEFT,
    "L": Side.LEFT,
    "LEFT": Side.LEFT,
}
_WHOLE = re.compile(r"(\d+)(?:\.0*)?")
_BYTES = re.compile(r"b'([^']*)'|b\"([^\"]*)\"")
"""How Python prints bytes: SAS texts that were exported without an encoding."""
_PATIENT = re.compile(r"[^/\s|:.][^/\s|:]*")
_ANY_VISIT = ""
"""Key of columns that carry no visit in their name."""
_REPEATED = re.compile(r"(.+)\.\d+")
"""How pandas writes the second of two columns of one name; the released label tables have such
pairs for cartilage: size, then full thickness."""
_MAX_SHOWN_COLUMNS = 20
"""Columns named when a key column is missing."""


class ReadKey(NamedTuple):
    """What tells one read from every other."""

    patient: str
    """The ID."""
    side: Side
    """The knee."""
    visit: str
    """`V00`…"""
    readprj: str
    """Reading project, empty where the table has none."""
    version: str
    """VERSION, empty where the table has none."""

    @property
    def told(self) -> str:
        """The key in words."""
        return (
            f"{self.patient} {self.side.value} {self.visit}, READPRJ {self.readprj!r}, "
            f"VERSION {self.version!r}"
        )


@dataclass(frozen=True, slots=True)
class MoaksRow:
    """One read of one knee.

    Attributes:
        line: 1-based line of a text file (of a row over several lines, the last), or observation
            of a SAS file.
        patient: the ID.
        side: the knee.
        readprj: reading project, empty where the table has none.
        version: VERSION, empty where the table has none.
        visit: `Vxx` of the VISIT column or of the file's name; None where columns say it.
        cells: all cells, as they stand.
    """

    line: int
    patient: str
    side: Side
    readprj: str
    version: str
    visit: str | None
    cells: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class MoaksFile:
    """A table with its columns sorted out.

    Attributes:
        path: the file.
        sha256: `sha256:<hex>` of its bytes.
        header: column names, as written.
        columns: (stem, visit) to column; the visit is empty where the name has no prefix.
        unknown_columns: columns that are neither keys nor known stems.
        rows: in the order of the file.
        prefixes: the visits in the columns' names; none where they have no prefix.
    """

    path: Path
    sha256: str
    header: tuple[str, ...]
    columns: dict[tuple[str, str], int]
    unknown_columns: tuple[str, ...]
    rows: tuple[MoaksRow, ...]
    prefixes: tuple[str, ...]

    @property
    def stems(self) -> set[str]:
        """The known stems that have a column."""
        return {stem for stem, _ in self.columns}

    def column_of(self, stem: str, visit: str) -> int | None:
        """Returns the column of a stem at a visit, None when there is none."""
        column = self.columns.get((stem, visit))
        return self.columns.get((stem, _ANY_VISIT)) if column is None else column

    def visits_of(self, row: MoaksRow) -> tuple[str, ...]:
        """Returns the visits that a row is about: one, or one for each column prefix."""
        if self.prefixes:
            return self.prefixes
        return () if row.visit is None else (row.visit,)

    def keys_of(self, row: MoaksRow) -> tuple[ReadKey, ...]:
        """Returns the keys of a row: one for each visit that it is about."""
        return tuple(
            ReadKey(row.patient, row.side, visit, row.readprj, row.version)
            for visit in self.visits_of(row)
        )


class FileReading(NamedTuple):
    """What came of reading a file."""

    file: MoaksFile | None
    """What could be read; None when not even the header could."""
    problems: tuple[str, ...]
    """What is wrong, each with its line where it is of one."""


def read_moaks_file(path: Path, variables: dict[str, Variable]) -> FileReading:
    """Returns one table, and everything that is wrong with it."""
    try:
        table = open_table(path)
        keys, problems = _key_columns(table.header)
        columns, unknown, column_problems = _sort_columns(table.header, keys, variables)
        visit, visit_problems = _file_visit(columns, keys, path)
        problems += column_problems + visit_problems
        if problems:
            return FileReading(None, tuple(problems))
        rim = _Rim(len(table.header), keys, visit, _prefixes(columns))
        rows, problems = _read_rows(table.rows, rim)
    except InputError as error:
        return FileReading(None, (error.message,))
    file = MoaksFile(
        path=path,
        sha256=table.sha256,
        header=table.header,
        columns=columns,
        unknown_columns=unknown,
        rows=tuple(rows),
        prefixes=rim.prefixes,
    )
    if not rows and not problems:
        problems = ["it has no rows"]
    return FileReading(file, (*problems, *_repeats(file)))


@cache
def parse_side(cell: str) -> Side | None:
    """Returns the side of `1`, `1.0`, `Right`, `R` or `1: Right` (2 for left), else None.

    A code and a text that contradict each other are no side.
    """
    code, _, text = _plain(cell).partition(":")
    sides = {_one_side(part) for part in (code, text) if part.strip()}
    return sides.pop() if len(sides) == 1 else None


def _one_side(text: str) -> Side | None:
    text = text.strip().upper()
    return _SIDES.get(_plain_number(text))


def _plain(cell: str) -> str:
    """A key's text without white space and without the `b'…'` of printed bytes."""
    cell = cell.strip()
    match = _BYTES.fullmatch(cell) if cell.startswith("b") else None
    return cell if match is None else (match[1] or match[2] or "").strip()


def _plain_number(text: str) -> str:
    """`22` of `22.0`, and any other text as it is."""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _prefixes(columns: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted({visit for _, visit in columns if visit != _ANY_VISIT}))


def _key_columns(header: tuple[str, ...]) -> tuple[dict[str, int], list[str]]:
    """Key name to column; the names may carry a visit prefix and any case."""
    keys: dict[str, int] = {}
    problems: list[str] = []
    for column, name in enumerate(header):
        match = _PREFIX.fullmatch(name.upper())
        plain = match[2] if match else name.upper()
        if plain not in _KEY_COLUMNS:
            continue
        if plain in keys:
            problems.append(
                f"it has the key column {plain!r} twice: {header[keys[plain]]!r} and {name!r}"
            )
        keys.setdefault(plain, column)
    missing = [name for name in ("ID", "SIDE") if name not in keys]
    if missing:
        shown = ", ".join(header[:_MAX_SHOWN_COLUMNS])
        more = len(header) - _MAX_SHOWN_COLUMNS
        problems.append(
            f"it has no column {' and no column '.join(missing)}; found {shown}"
            + (f" and {more} more" if more > 0 else "")
        )
    return keys, problems


def _sort_columns(
    header: tuple[str, ...], keys: dict[str, int], variables: dict[str, Variable]
) -> tuple[dict[tuple[str, str], int], tuple[str, ...], list[str]]:
    columns: dict[tuple[str, str], int] = {}
    unknown: list[str] = []
    problems: list[str] = []
    for column, name in enumerate(header):
        if column in keys.values() or not name:
            continue
        visit, stem = _visit_and_stem(name)
        repeated = _REPEATED.fullmatch(name)
        if repeated is not None and _visit_and_stem(repeated[1])[1] in variables:
            problems.append(
                f"column {name!r} is a second {repeated[1]!r}: a code is not split over two columns"
            )
        elif stem not in variables:
            unknown.append(name)
        elif (stem, visit) in columns:
            problems.append(f"column {name!r} is there twice")
        else:
            columns[stem, visit] = column
    return columns, tuple(unknown), problems


def _visit_and_stem(name: str) -> tuple[str, str]:
    match = _PREFIX.fullmatch(name.upper())
    return (match[1], match[2]) if match else (_ANY_VISIT, name.upper())


def _file_visit(
    columns: dict[tuple[str, str], int], keys: dict[str, int], path: Path
) -> tuple[str | None, list[str]]:
    """The visit in the file's name; the columns' prefix must not contradict it."""
    if not columns:
        return None, [
            "it has no column that is a known MOAKS variable (see tools/moaks_variables.toml)"
        ]
    match = _VISIT_IN_NAME.search(path.name.upper())
    visit = f"V{match[1]}" if match else None
    prefixes = _prefixes(columns)
    problems: list[str] = []
    if prefixes and _ANY_VISIT in {prefix for _, prefix in columns}:
        problems.append(f"it has variables with the prefixes {list(prefixes)!r} and without")
    if visit is not None and prefixes and prefixes != (visit,):
        problems.append(
            f"it is of visit {visit!r} by its name, but its columns are of {list(prefixes)!r}"
        )
    if len(prefixes) > 1 and "VISIT" in keys:
        problems.append(
            f"it has a VISIT column, but its columns are of several visits: {list(prefixes)!r}"
        )
    if not prefixes and "VISIT" not in keys and visit is None:
        problems.append(
            "it does not say which visit it is of: by the columns' prefix (V00…), a VISIT column, "
            "or its name (…BICL00)"
        )
    return visit, problems


class _Rim(NamedTuple):
    """What the header and the file's name say about every row."""

    n_columns: int
    keys: dict[str, int]
    name_visit: str | None
    prefixes: tuple[str, ...]


def _read_rows(numbered: Iterable[NumberedRow], rim: _Rim) -> tuple[list[MoaksRow], list[str]]:
    rows: list[MoaksRow] = []
    problems: list[str] = []
    n_columns = rim.n_columns
    # A table repeats a few hundred texts a million times: each is kept once.
    kept_once: dict[str, str] = {}
    keep = kept_once.setdefault
    for line, cells in numbered:
        if len(cells) != n_columns:
            if not any(cells):
                continue
            if any(cells[n_columns:]) or len(cells) < n_columns:
                problems.append(f"line {line}: {len(cells)} cells, the header has {n_columns}")
                continue
            del cells[n_columns:]
        row = _read_row(line, list(map(keep, cells, cells)), rim)
        if isinstance(row, str):
            if any(cells):
                problems.append(row)
        else:
            rows.append(row)
    return rows, problems


def _read_row(line: int, cells: list[str], rim: _Rim) -> MoaksRow | str:
    """The row, or what is wrong with it."""
    keys = rim.keys
    patient = cells[keys["ID"]]
    if not (patient.isascii() and patient.isdecimal()):
        patient = _plain_number(_plain(patient))
    if not _PATIENT.fullmatch(patient):
        return f"line {line}: ID {cells[keys['ID']]!r} is not a patient id"
    side = parse_side(cells[keys["SIDE"]])
    if side is None:
        return f"line {line}: SIDE {cells[keys['SIDE']]!r} is neither right (1) nor left (2)"
    visit = rim.name_visit
    if "VISIT" in keys:
        visit = _parse_visit(cells[keys["VISIT"]])
        if visit is None:
            return f"line {line}: VISIT {cells[keys['VISIT']]!r} is not a visit number"
        other = rim.prefixes[0] if rim.prefixes else rim.name_visit
        if other not in (None, visit):
            where = "columns" if rim.prefixes else "the file's name"
            return f"line {line}: VISIT {cells[keys['VISIT']]!r}, but {other!r} by {where}"
    return MoaksRow(
        line=line,
        patient=patient,
        side=side,
        readprj=_project(cells[keys["READPRJ"]]) if "READPRJ" in keys else "",
        version=_version(cells[keys["VERSION"]]) if "VERSION" in keys else "",
        visit=visit,
        cells=cells,
    )


@cache
def _project(cell: str) -> str:
    return _plain_number(code_of(_plain(cell)))


@cache
def _version(cell: str) -> str:
    return _plain(cell)


@cache
def _parse_visit(cell: str) -> str | None:
    """`V03` of `3`, `03`, `3.0`, `V03` or `3: 24-month`; None for anything else."""
    code = _plain_number(code_of(_plain(cell)).upper().removeprefix("V"))
    return f"V{int(code):02d}" if code.isdecimal() and int(code) < 100 else None


def _repeats(file: MoaksFile) -> list[str]:
    """Reads that the file holds twice: which of them counts cannot be known."""
    first: dict[tuple[object, ...], MoaksRow] = {}
    problems: list[str] = []
    for row in file.rows:
        other = first.setdefault((row.patient, row.side, row.visit, row.readprj, row.version), row)
        if other is not row:
            same = "with the same cells" if other.cells == row.cells else "with other cells"
            problems.append(
                f"line {row.line}: the read of {file.keys_of(row)[0].told} is there already, line "
                f"{other.line}, {same}"
            )
    return problems
