"""The forms in which MOAKS tables come: delimited text and SAS files, as a header and text cells.

    ASCII   `|` between cells, latin-1 (OAI's `…_ASCII` folders)
    CSV     `,` between cells, quotes where needed, UTF-8 or latin-1
    SAS     `.sas7bdat`; a number becomes the shortest text that gives it back (`2.0`, `2.1`), and
            its special missing values become `.A` … `.Z`, `._` and `.`, so that they stay apart

Nothing is said here of what a cell means.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knee.errors import InputError
from knee.keys import content_hash

SAS_SUFFIX = ".sas7bdat"
"""Files that end so are read as SAS files."""
DELIMITERS = ("|", ",")
"""Separators of the text forms; the first that the header holds is the file's."""
_FOREIGN_DELIMITERS = ("\t", ";")
_SAS_MAGIC = bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011")
"""Bytes 12-31 of every `.sas7bdat`."""

NumberedRow = tuple[int, list[str]]
"""1-based line of a text file (observation of a SAS file), and the row's cells."""


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """A table of text cells; `rows` can be walked through once.

    Attributes:
        sha256: `sha256:<hex>` of the file's bytes.
        header: column names without white space around them.
        rows: in the order of the file; a row need not have as many cells as the header.
    """

    sha256: str
    header: tuple[str, ...]
    rows: Iterator[NumberedRow]


def open_table(path: Path) -> RawTable:
    """Returns a table's header and rows.

    Raises:
        InputError: the file is missing, cannot be read, is neither text nor a SAS file, or its
            header has another delimiter; while rows are walked through, a row that is no CSV.
    """
    data = _read_bytes(path)
    if path.suffix.lower() == SAS_SUFFIX or data[12:32] == _SAS_MAGIC:
        return _open_sas(path, content_hash(data))
    return _open_text(data)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no MOAKS table {str(path)!r}", "check the path") from error
    except OSError as error:
        raise InputError(f"it cannot be read: {error.strerror}", "check the file") from error


def _open_text(data: bytes) -> RawTable:
    text = _decode(data)
    # Not splitlines: it would end a line at characters that are none in a table.
    lines = (text if "\n" in text else text.replace("\r", "\n")).split("\n")
    delimiter = _delimiter(lines[0])
    if '"' in text:
        reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter)
        first_cells, rows = next(reader), _text_rows(reader, delimiter)
        _refuse_swallowed(first_cells, reader.line_num, delimiter)
    else:
        # Nothing is quoted: the same rows, in half the time.
        split = (line.rstrip("\r").split(delimiter) for line in lines)
        first_cells, rows = next(split), enumerate(split, start=2)
    header = tuple(cell.strip() for cell in first_cells)
    return RawTable(content_hash(data), header, rows)


def _text_rows(
    reader: Any,  # noqa: ANN401 - csv names no type for it
    delimiter: str,
) -> Iterator[NumberedRow]:
    before = reader.line_num
    try:
        for cells in reader:
            if reader.line_num > before + 1:
                _refuse_swallowed(cells, reader.line_num, delimiter)
            before = reader.line_num
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(
            f"line {reader.line_num}: {error}", "the file may be damaged or binary"
        ) from error


def _refuse_swallowed(cells: list[str], line: int, delimiter: str) -> None:
    """Refuses a cell that goes on over a line end and holds cells behind it: a swallowed row.

    A quote that is left open would join one patient's first cells with another's last ones.
    """
    several = [cell for cell in cells if "\n" in cell]
    swallowed = next((cell for cell in several if delimiter in cell.partition("\n")[2]), None)
    if swallowed is not None:
        raise InputError(
            f"the row that ends on line {line} holds other rows in one cell, "
            f"{swallowed[:40]!r}…: a quote is left open",
            "close or remove the quote",
        )


def _decode(data: bytes) -> str:
    hint = "give OAI's ASCII table, a CSV in UTF-8 or latin-1, or a .sas7bdat file"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        raise InputError("it is not a text file in latin-1 or UTF-8", hint)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data[:3] == b"\xef\xbb\xbf":
            raise InputError(f"it is marked as UTF-8 and is not: {error}", hint) from error
        return data.decode("latin-1")


def _delimiter(first_line: str) -> str:
    for delimiter in DELIMITERS:
        if delimiter in first_line:
            return delimiter
    other = next((d for d in _FOREIGN_DELIMITERS if d in first_line), None)
    what = "its first line has neither '|' nor ','" + (f", but {other!r}" if other else "")
    raise InputError(
        f"wrong delimiter: {what}: {first_line.strip()[:80]!r}",
        "columns are separated by '|' (OAI's ASCII form) or ',' (CSV)",
    )


def _open_sas(path: Path, sha256: str) -> RawTable:
    import pyreadstat

    try:
        columns, meta = pyreadstat.read_sas7bdat(
            str(path), user_missing=True, disable_datetime_conversion=True, output_format="dict"
        )
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, UnicodeDecodeError) as error:
        raise InputError(
            f"it cannot be read as a SAS file: {error}", "the file may be damaged or cut off"
        ) from error
    kinds: dict[str, str] = meta.readstat_variable_types
    header = tuple(str(name) for name in columns)
    texts = [
        list(values) if kinds[name] == "string" else _number_texts(values)
        for name, values in columns.items()
    ]
    rows = (
        (number, ["" if cell is None else cell for cell in cells])
        for number, cells in enumerate(zip(*texts, strict=True), start=1)
    )
    return RawTable(sha256, tuple(name.strip() for name in header), rows)


def _number_texts(values: list[Any]) -> list[str]:
    """Texts of a numeric column: in it, a text is the letter of a special missing value."""
    known: dict[Any, str] = {None: "."}
    texts: list[str] = []
    for value in values:
        text = known.get(value)
        if text is None:
            text = f".{value}" if isinstance(value, str) else repr(float(value))
            known[value] = text
        texts.append(text)
    return texts
