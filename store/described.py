"""What the tables and views of a store are, and each column: as the database itself says it."""

import re
from typing import Final, NamedTuple

import duckdb

_TABLES: Final = """
SELECT 'table' AS kind, table_name AS name, comment FROM duckdb_tables()
WHERE NOT internal AND NOT temporary
UNION ALL
SELECT 'view', view_name, comment FROM duckdb_views() WHERE NOT internal AND NOT temporary
ORDER BY kind, name
"""
_COLUMNS: Final = """
SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns()
WHERE NOT internal ORDER BY table_name, column_index
"""
_KEYS: Final = """
SELECT table_name, constraint_column_names FROM duckdb_constraints()
WHERE constraint_type = 'PRIMARY KEY'
"""
_UNIQUE_BY: Final = re.compile(r"unique by \(([^)]*)\)")


class DescribedColumn(NamedTuple):
    """One column."""

    name: str
    """As in SQL."""
    type: str
    """DuckDB's type."""
    required: bool
    """True where NULL is refused; not known of a view's columns, which say false."""
    comment: str | None
    """What it is."""


class DescribedTable(NamedTuple):
    """One table or view."""

    name: str
    """As in SQL."""
    kind: str
    """`table` or `view`."""
    comment: str | None
    """What a row of it is."""
    key: tuple[str, ...]
    """Its key, indexed or by its comment (`unique by (…)`); empty without one."""
    columns: tuple[DescribedColumn, ...]
    """In their order."""


def described_tables(con: duckdb.DuckDBPyConnection) -> tuple[DescribedTable, ...]:
    """Returns all tables, then all views, each by name."""
    columns: dict[str, list[DescribedColumn]] = {}
    for table, name, kind, nullable, comment in con.execute(_COLUMNS).fetchall():
        column = DescribedColumn(str(name), str(kind), not nullable, comment)
        columns.setdefault(str(table), []).append(column)
    keys = {str(table): tuple(names) for table, names in con.execute(_KEYS).fetchall()}
    return tuple(
        DescribedTable(
            str(name),
            str(kind),
            comment,
            keys.get(name) or _key_by_comment(comment, columns[name]),
            tuple(columns[name]),
        )
        for kind, name, comment in con.execute(_TABLES).fetchall()
    )


def _key_by_comment(comment: str | None, columns: list[DescribedColumn]) -> tuple[str, ...]:
    """Returns the key of a table that has no index of it (docs/decisions/0008)."""
    found = _UNIQUE_BY.search(comment or "")
    names = tuple(found[1].split(", ")) if found else ()
    return names if {*names} <= {column.name for column in columns} else ()
