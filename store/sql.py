"""Read-only SQL over a store, for people: tables, CSV, JSON, Parquet.

The connection is read-only, without file or network access, its configuration locked. That is not
enough: DuckDB still lets `COPY … TO` write to the database's own files (it overwrites the
write-ahead log), so only statements that read are run at all. The result is complete on disk
before it is shown: a reader that pages through it does not keep the writer waiting, and a query
of minutes lets writers in (`store.long_reading`).
"""

import csv
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from knee.errors import InputError
from store.connection import is_full_disk, is_store_trouble, translate
from store.long_reading import long_reading
from store.own_file import refuse_own_file
from store.user_tables import put_user_tables, read_user_table

Parameters: TypeAlias = Sequence[object] | Mapping[str, object]
"""Values for `?`, or by name for `$name`."""
Reader: TypeAlias = Any
"""A pyarrow.RecordBatchReader; pyarrow ships no types."""
FORMATS: Final = ("table", "csv", "json", "parquet")
"""What `run_sql` can write."""
MAX_TABLE_ROWS: Final = 1000
"""A table is for reading; the other formats have all rows."""
_MAX_CELL = 60
_BATCH_ROWS = 2048
_EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b)?", re.IGNORECASE)


def run_sql(
    path: Path,
    query: str,
    params: Parameters | None = None,
    output_format: str = "table",
    out: Path | None = None,
    tables: Mapping[str, Path] | None = None,
) -> int:
    """Runs one statement that reads, and writes its rows; returns how many.

    Args:
        path: the store.
        query: one SELECT, WITH, FROM, VALUES, SHOW, DESCRIBE, SUMMARIZE or EXPLAIN.
        params: values of the query's parameters.
        output_format: `table` (at most a thousand rows), `csv`, `json` (an array) or `parquet`.
        out: a file that is replaced when all is written; stdout when None.
        tables: name to file of the user's own tables, which the query may join.

    Raises:
        InputError: a table cannot be read, DuckDB refuses the query (in its own words), it is not
            one statement that reads, or the format cannot be written.
        StoreError: the store cannot be opened.
    """
    if output_format not in FORMATS:
        raise InputError(f"format {output_format!r} is not known", f"one of {', '.join(FORMATS)}")
    if output_format == "parquet" and out is None:
        raise InputError("parquet cannot go to stdout", "name a file with --out")
    if out is not None:
        _check_out(path, out)
    # Before the store is opened: a long file keeps no writer waiting.
    given = {name: read_user_table(file) for name, file in (tables or {}).items()}
    folder = out.parent if out is not None else None
    with (
        _told(out),
        tempfile.NamedTemporaryFile(dir=folder, prefix=".sql-", delete=False) as spool,
    ):
        pass
    try:
        with _told(out), long_reading(path, closed=True) as con:
            put_user_tables(con, given)
            given.clear()
            n_rows = _write(con, query, params, (path, output_format, Path(spool.name)))
        if out is None:
            with Path(spool.name).open(encoding="utf-8", newline="") as lines:
                shutil.copyfileobj(lines, sys.stdout)
        else:
            Path(spool.name).chmod(0o644)
            Path(spool.name).replace(out)
    finally:
        Path(spool.name).unlink(missing_ok=True)
    return n_rows


def check_reads(con: duckdb.DuckDBPyConnection, query: str) -> None:
    """Checks that `query` is one statement that only reads.

    Raises:
        InputError: it is empty, several, does not parse, or does something else.
    """
    try:
        statements = con.extract_statements(query)
    except duckdb.Error as error:
        raise InputError(str(error)) from error
    if len(statements) != 1:
        raise InputError(f"{len(statements)} statements in one query", "give exactly one SELECT")
    kind = statements[0].type
    if kind is duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE runs what it explains.
        check_reads(con, _EXPLAIN.sub("", query, count=1))
    elif kind is not duckdb.StatementType.SELECT:
        raise InputError(
            f"this is a {kind.name} statement; only what reads is run",
            "SELECT, WITH, FROM, VALUES, SHOW, DESCRIBE, SUMMARIZE or EXPLAIN; "
            "`export` and `--out` write files",
        )


@contextmanager
def _told(out: Path | None) -> Generator[None]:
    """What the system says of the file that is written, as our error."""
    try:
        yield
    except OSError as error:
        name = repr(tempfile.gettempdir() if out is None else str(out))
        if is_full_disk(error):
            told = translate(error, out or Path(tempfile.gettempdir()))
            told.message = f"no space to write the result in {name}: {error}"
            raise told from error
        raise InputError(f"{name} cannot be written: {error}", "name another file") from error


def _write(
    con: duckdb.DuckDBPyConnection,
    query: str,
    params: Parameters | None,
    where: tuple[Path, str, Path],
) -> int:
    path, form, target = where
    check_reads(con, query)
    refuse_own_file(con, path, _EXPLAIN.sub("", query, count=1))
    try:
        # With parameters or without, the rows stream: 130 MB at the peak for 500 MB of text.
        reader: Reader = con.sql(query, params=params).to_arrow_reader(_BATCH_ROWS)
        return _WRITERS[form](reader, target)
    except pa.ArrowException as error:
        raise InputError(
            f"this result cannot be written as {form}: {error}", "cast the column in the query"
        ) from error
    except duckdb.Error as error:
        if is_store_trouble(error):
            raise translate(error, path) from error
        raise InputError(str(error)) from error


def _check_out(path: Path, out: Path) -> None:
    if not out.parent.is_dir():
        raise InputError(f"folder not found: {str(out.parent)!r}", "make the folder first")
    own = {path.with_name(path.name + end).resolve() for end in ("", ".wal", ".lock")}
    if out.resolve() in own:
        raise InputError(f"{str(out)!r} belongs to the store", "name another file")
    if out.is_dir():
        raise InputError(f"{str(out)!r} is a folder", "name a file")


def _rows(reader: Reader) -> Iterator[dict[str, Any]]:
    for batch in reader:
        yield from batch.to_pylist(maps_as_pydicts="lossy")


def _write_table(reader: Reader, target: Path) -> int:
    names: list[str] = list(reader.schema.names)
    if names == ["explain_key", "explain_value"]:
        plans = [str(row["explain_value"]) for row in _rows(reader)]
        target.write_text("\n".join(plans), encoding="utf-8")
        return len(plans)
    shown: list[list[str]] = []
    n_rows = 0
    for row in _rows(reader):
        n_rows += 1
        if n_rows > MAX_TABLE_ROWS:
            break
        shown.append([_cell(value) for value in row.values()])
    widths = [
        max(len(name), *(len(row[column]) for row in shown)) if shown else len(name)
        for column, name in enumerate(names)
    ]
    with target.open("w", encoding="utf-8") as file:
        rule = ["-" * width for width in widths]
        for cells in (names, rule, *shown):
            line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            file.write(line.rstrip() + "\n")
        if n_rows > MAX_TABLE_ROWS:
            file.write(f"... more than {MAX_TABLE_ROWS} rows; --format csv or json has all\n")
    return min(n_rows, MAX_TABLE_ROWS)


def _write_csv(reader: Reader, target: Path) -> int:
    n_rows = 0
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(reader.schema.names)
        for row in _rows(reader):
            # An empty cell is NULL; an empty string cannot be told from it in CSV.
            writer.writerow(["" if value is None else _plain(value) for value in row.values()])
            n_rows += 1
    return n_rows


def _write_json(reader: Reader, target: Path) -> int:
    n_rows = 0
    with target.open("w", encoding="utf-8") as file:
        file.write("[")
        for row in _rows(reader):
            file.write(",\n" if n_rows else "\n")
            _dump(row, file)
            n_rows += 1
        file.write("\n]\n")
    return n_rows


def _write_parquet(reader: Reader, target: Path) -> int:
    n_rows = 0
    with pq.ParquetWriter(target, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


_WRITERS: dict[str, Callable[[Reader, Path], int]] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}


def _dump(row: dict[str, Any], file: IO[str]) -> None:
    file.write(json.dumps(_jsonable(row), ensure_ascii=False, allow_nan=False))


def _cell(value: object) -> str:
    text = "NULL" if value is None else str(_plain(value))
    text = text.replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def _plain(value: object) -> object:
    """Returns a value as a cell shows it: nested ones as JSON."""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(_jsonable(value), ensure_ascii=False)
    if isinstance(value, (bytes, datetime)):
        return _jsonable(value)
    return value


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - any value of a database
    """Returns a value that JSON can hold; not a number is null."""
    if isinstance(value, dict):
        entries: dict[Any, Any] = value
        return {str(key): _jsonable(entry) for key, entry in entries.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return [_jsonable(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)
