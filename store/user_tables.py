"""A user's own tables beside the store, for one query (`sql --with kl=grades.csv`).

The program reads the file, in a DuckDB of its own, and hands the rows to the store's connection as
a temporary table. So the query that joins it still reaches no file: the store's connection is
closed to files from the moment it is opened, and the user's file is named outside the SQL.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import duckdb

from knee.errors import InputError

Table: TypeAlias = Any
"""A pyarrow.Table; pyarrow ships no types."""
TEXT_COLUMNS: Final = ("patient", "id", "volume_id", "visit", "side")
"""Columns that stay text, in any case: as numbers they lose leading zeros, and match no key."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_HINT = "like --with kl=grades.csv, and then: JOIN kl USING (patient)"


def parse_with(words: list[str]) -> dict[str, Path]:
    """Returns table name to file, from `name=file` words.

    Raises:
        InputError: a word is no such pair, or a name comes twice.
    """
    files: dict[str, Path] = {}
    for word in words:
        name, found, file = word.partition("=")
        if not found or not file or not _NAME.fullmatch(name):
            raise InputError(f"--with {word!r} is not name=file", _HINT)
        if name.lower() in files:
            raise InputError(f"--with names {name!r} twice", "give each table a name of its own")
        files[name.lower()] = Path(file)
    return files


def read_user_table(path: Path) -> Table:
    """Returns the rows of a CSV, TSV, text or Parquet file as an Arrow table.

    Keys (`TEXT_COLUMNS`) are text; every other column has the type that DuckDB finds.

    Raises:
        InputError: there is no such file, or DuckDB cannot read it (in its own words).
    """
    if not path.is_file():
        raise InputError(f"table not found: {str(path)!r}", _HINT)
    kind = path.suffix.lower()
    try:
        with duckdb.connect(config={"python_enable_replacements": "false"}) as con:
            if kind == ".parquet":
                return _with_text_keys(con.read_parquet(_literal(path)))
            return _read_csv(con, path)
    except duckdb.Error as error:
        raise InputError(
            f"table {str(path)!r} cannot be read: {error}",
            "a CSV file with a header, or a Parquet file (.parquet)",
        ) from error


def put_user_tables(con: duckdb.DuckDBPyConnection, tables: Mapping[str, Table]) -> None:
    """Puts tables beside those of an open store, for this connection only.

    Raises:
        InputError: the store has a table or view of that name, or two columns have one name.
    """
    query = "SELECT lower(table_name) FROM information_schema.tables"
    taken = {str(row[0]) for row in con.execute(query).fetchall()}
    for name, table in tables.items():
        if name in taken:
            raise InputError(f"the store has a table {name!r} already", "give yours another name")
        con.register("user_table_given", table)
        try:
            con.execute(f'CREATE TEMP TABLE "{name}" AS FROM user_table_given')
        except duckdb.Error as error:
            raise InputError(f"table {name!r} cannot be used: {error}") from error
        finally:
            con.unregister("user_table_given")


def _read_csv(con: duckdb.DuckDBPyConnection, path: Path) -> Table:
    found = con.sql("SELECT * FROM read_csv(?) LIMIT 0", params=[_literal(path)]).columns
    kept = {name: "VARCHAR" for name in found if name.lower() in TEXT_COLUMNS}
    return con.read_csv(_literal(path), dtype=kept).to_arrow_table()


def _with_text_keys(rows: duckdb.DuckDBPyRelation) -> Table:
    columns = ", ".join(
        f"{_quoted(name)}::VARCHAR AS {_quoted(name)}"
        if name.lower() in TEXT_COLUMNS
        else _quoted(name)
        for name in rows.columns
    )
    return rows.project(columns).to_arrow_table()


def _literal(path: Path) -> str:
    """Returns a path that DuckDB takes by its letters, not as a pattern of several files."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
