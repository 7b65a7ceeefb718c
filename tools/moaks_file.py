"""One MOAKS table file: header, key columns, visits and rows; the cells stay text.

Only the rim is read here (who, which knee, which visit, which project); what a cell means is said
by `tools.moaks_cells`. Problems of all rows are listed at once.
"""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from knee.anatomy import Side
from knee.errors import InputError
from knee.keys import content_hash
from tools.cohort import list_problems
from tools.moaks_cells import code_of
from tools.moaks_variables import Variable

DELIMITER = "|"
"""Separator of OAI's ASCII files."""
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
_ANY_VISIT = ""
"""Key of columns that carry no visit in their name."""
_MAX_SHOWN_COLUMNS = 20
"""Columns named when a key column is missing."""


@dataclass(frozen=True, slots=True)
class MoaksRow:
    """One read of one knee.

    Attributes:
        line: 1-based line of the file.
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
    """

    path: Path
    sha256: str
    header: tuple[str, ...]
    columns: dict[tuple[str, str], int]
    unknown_columns: tuple[str, ...]
    rows: tuple[MoaksRow, ...]

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
        prefixes = sorted({visit for _, visit in self.columns if visit != _ANY_VISIT})
        if prefixes:
            return tuple(prefixes)
        return () if row.visit is None else (row.visit,)


def read_moaks_file(path: Path, variables: dict[str, Variable]) -> MoaksFile:
    """Returns one table.

    Raises:
        InputError: missing, empty, another delimiter, no ID or SIDE column, no known variable, no
            or a contradictory visit, or rows that cannot be read (first 20 and their number).
    """
    data = _read_bytes(path)
    reader = csv.reader(io.StringIO(_decode(data, path), newline=""), delimiter=DELIMITER)
    try:
        header = tuple(cell.strip() for cell in next(reader, []))
        _check_delimiter(header, path)
        keys = _key_columns(header, path)
        columns, unknown = _sort_columns(header, keys, variables)
        name_visit = _file_visit(columns, keys, path)
        rows, problems = _read_rows(
            ((reader.line_num, cells) for cells in reader), header, keys, name_visit
        )
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} line {reader.line_num} cannot be read: {error}",
            "the file may be damaged or binary",
        ) from error
    if not rows and not problems:
        problems = ["it has no rows"]
    if problems:
        raise InputError(
            f"{str(path)!r} has {list_problems(problems)}",
            "every row needs an ID, a SIDE (1 right, 2 left) and as many cells as the header",
        )
    return MoaksFile(
        path=path,
        sha256=content_hash(data),
        header=header,
        columns=columns,
        unknown_columns=unknown,
        rows=tuple(rows),
    )


def parse_side(cell: str) -> Side | None:
    """Returns the side of `1`, `1.0`, `Right`, `R` or `1: Right` (2 for left), else None.

    A code and a text that contradict each other are no side.
    """
    code, _, text = cell.partition(":")
    sides = {_one_side(part) for part in (code, text) if part.strip()}
    return sides.pop() if len(sides) == 1 else None


def _one_side(text: str) -> Side | None:
    text = text.strip().upper()
    whole = _WHOLE.fullmatch(text)
    return _SIDES.get(whole[1] if whole else text)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no MOAKS table {str(path)!r}", "check the path") from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}", "check it") from error


def _decode(data: bytes, path: Path) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        raise InputError(
            f"{str(path)!r} is not a text file in latin-1 or UTF-8",
            "give OAI's ASCII table (kMRI_SQ_MOAKS_BICL00.txt), not its SAS form",
        )
    if data[:3] == b"\xef\xbb\xbf":
        return data[3:].decode("utf-8", errors="replace")
    return data.decode("latin-1")


def _check_delimiter(header: tuple[str, ...], path: Path) -> None:
    if len(header) > 1:
        return
    line = header[0] if header else ""
    other = next((d for d in ("\t", ";", ",") if d in line), None)
    what = f"its first line has no {DELIMITER!r}" + (f", but {other!r}" if other else "")
    raise InputError(
        f"{str(path)!r} is not a MOAKS table in OAI's ASCII form: {what}: {line[:80]!r}",
        f"columns are separated by {DELIMITER!r}",
    )


def _key_columns(header: tuple[str, ...], path: Path) -> dict[str, int]:
    """Key name to column; the names may carry a visit prefix and any case."""
    keys: dict[str, int] = {}
    for column, name in enumerate(header):
        match = _PREFIX.fullmatch(name.upper())
        plain = match[2] if match else name.upper()
        if plain in _KEY_COLUMNS:
            if plain in keys:
                raise InputError(
                    f"{str(path)!r} has the key column {plain!r} twice: "
                    f"{header[keys[plain]]!r} and {name!r}",
                    "keep one of them",
                )
            keys[plain] = column
    missing = [name for name in ("ID", "SIDE") if name not in keys]
    if missing:
        shown = ", ".join(header[:_MAX_SHOWN_COLUMNS])
        more = len(header) - _MAX_SHOWN_COLUMNS
        raise InputError(
            f"{str(path)!r} has no column {' and no column '.join(missing)}; found {shown}"
            + (f" and {more} more" if more > 0 else ""),
            "a MOAKS table names the patient in ID and the knee in SIDE",
        )
    return keys


def _sort_columns(
    header: tuple[str, ...], keys: dict[str, int], variables: dict[str, Variable]
) -> tuple[dict[tuple[str, str], int], tuple[str, ...]]:
    columns: dict[tuple[str, str], int] = {}
    unknown: list[str] = []
    for column, name in enumerate(header):
        if column in keys.values() or not name:
            continue
        match = _PREFIX.fullmatch(name.upper())
        visit, stem = (match[1], match[2]) if match else (_ANY_VISIT, name.upper())
        if stem not in variables:
            unknown.append(name)
        elif (stem, visit) in columns:
            raise InputError(f"column {name!r} is there twice", "keep one of them")
        else:
            columns[stem, visit] = column
    return columns, tuple(unknown)


def _file_visit(
    columns: dict[tuple[str, str], int], keys: dict[str, int], path: Path
) -> str | None:
    """The visit in the file's name; the columns' prefix must not contradict it."""
    if not columns:
        raise InputError(
            f"{str(path)!r} has no column that is a known MOAKS variable",
            "known names are in tools/moaks_variables.toml",
        )
    match = _VISIT_IN_NAME.search(path.name.upper())
    visit = f"V{match[1]}" if match else None
    prefixes = {prefix for _, prefix in columns if prefix != _ANY_VISIT}
    if prefixes and _ANY_VISIT in {prefix for _, prefix in columns}:
        raise InputError(
            f"{str(path)!r} has variables with the prefixes {sorted(prefixes)!r} and without",
            "give every variable its visit prefix, or none",
        )
    if visit is not None and prefixes and prefixes != {visit}:
        raise InputError(
            f"{str(path)!r} is of visit {visit!r} by its name, but its columns are of "
            f"{sorted(prefixes)!r}",
            "rename the file, or give the right one",
        )
    if not prefixes and "VISIT" not in keys and visit is None:
        raise InputError(
            f"{str(path)!r} does not say which visit it is of",
            "visits are in the columns' prefix (V00…), a VISIT column, or the name (…BICL00)",
        )
    return visit


def _read_rows(
    numbered: Iterable[tuple[int, list[str]]],
    header: tuple[str, ...],
    keys: dict[str, int],
    visit: str | None,
) -> tuple[list[MoaksRow], list[str]]:
    rows: list[MoaksRow] = []
    problems: list[str] = []
    # A table repeats a few hundred texts a million times: each is kept once.
    texts: dict[str, str] = {}
    for line, cells in numbered:
        if not any(cells):
            continue
        if len(cells) > len(header) and not any(cells[len(header) :]):
            del cells[len(header) :]
        if len(cells) != len(header):
            problems.append(f"line {line}: {len(cells)} cells, the header has {len(header)}")
            continue
        row = _read_row(line, [texts.setdefault(c, c) for c in cells], keys, visit)
        if isinstance(row, str):
            problems.append(row)
        else:
            rows.append(row)
    return rows, problems


def _read_row(
    line: int, cells: list[str], keys: dict[str, int], visit: str | None
) -> MoaksRow | str:
    """The row, or what is wrong with it."""
    patient = cells[keys["ID"]].strip()
    whole = _WHOLE.fullmatch(patient)
    patient = whole[1] if whole else patient
    if not re.fullmatch(r"[^/\s|:]+", patient) or patient.startswith("."):
        return f"line {line}: ID {cells[keys['ID']]!r} is not a patient id"
    side = parse_side(cells[keys["SIDE"]])
    if side is None:
        return f"line {line}: SIDE {cells[keys['SIDE']]!r} is neither right (1) nor left (2)"
    if "VISIT" in keys:
        visit = _parse_visit(cells[keys["VISIT"]])
        if visit is None:
            return f"line {line}: VISIT {cells[keys['VISIT']]!r} is not a visit number"
    return MoaksRow(
        line=line,
        patient=patient,
        side=side,
        readprj=code_of(cells[keys["READPRJ"]]) if "READPRJ" in keys else "",
        version=cells[keys["VERSION"]].strip() if "VERSION" in keys else "",
        visit=visit,
        cells=cells,
    )


def _parse_visit(cell: str) -> str | None:
    """`V03` of `3`, `03`, `3.0`, `V03` or `3: 24-month`; None for anything else."""
    code = code_of(cell).upper().removeprefix("V")
    whole = _WHOLE.fullmatch(code)
    return f"V{int(whole[1]):02d}" if whole and int(whole[1]) < 100 else None
