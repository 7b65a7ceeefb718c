"""`schema`: tables, views and columns of a store with what they are."""

from pathlib import Path

import duckdb

from knee.errors import InputError
from knee.keys import JsonValue
from stages.console import emit, emit_json
from store.connection import open_store
from store.described import DescribedTable, described_tables
from store.migrations import SCHEMA_VERSION, apply_migrations


def schema(store: Path | None, names: tuple[str, ...], *, as_json: bool) -> int:
    """Prints tables and views with their columns, types and descriptions; returns 0.

    Args:
        store: the DuckDB file; None shows the schema that this program makes.
        names: tables and views to show; all when empty.
        as_json: print JSON.

    Raises:
        InputError: there is no table or view of a name.
        StoreError: the store cannot be read.
    """
    tables = _tables(store)
    known = [table.name for table in tables]
    strange = [name for name in names if name not in known]
    if strange:
        raise InputError(f"there is no table or view {strange[0]!r}", f"there are: {known!r}")
    shown = [table for table in tables if not names or table.name in names]
    if as_json:
        emit_json({"schema_version": SCHEMA_VERSION, "tables": [_json(table) for table in shown]})
        return 0
    emit("\n\n".join(_text(table) for table in shown))
    return 0


def _tables(store: Path | None) -> tuple[DescribedTable, ...]:
    if store is None:
        with duckdb.connect() as con:
            apply_migrations(con)
            return described_tables(con)
    with open_store(store, read_only=True) as con:
        return described_tables(con)


def _text(table: DescribedTable) -> str:
    key = f" [key: {', '.join(table.key)}]" if table.key else ""
    lines = [f"{table.name} ({table.kind}){key}: {table.comment}"]
    for column in table.columns:
        required = " NOT NULL" if column.required else ""
        lines += [f"  {column.name} {column.type}{required}", f"      {column.comment}"]
    return "\n".join(lines)


def _json(table: DescribedTable) -> JsonValue:
    columns: list[JsonValue] = [dict(column._asdict()) for column in table.columns]
    return {**table._asdict(), "key": list(table.key), "columns": columns}
