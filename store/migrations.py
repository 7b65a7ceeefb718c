"""Numbered migrations: `schema/<NNNN>_<name>.sql`, each applied with its record in one transaction.

In those files the comment behind a table, view or column is its description; it is put into the
database by `COMMENT ON`, so that schema and description cannot drift apart.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

APPLICATION = "reasonknee-pipeline"
"""Marks a DuckDB file as ours."""
_FOLDER = Path(__file__).parent / "schema"
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_HEAD = re.compile(r"CREATE (TABLE|VIEW) (\w+) (?:\(|AS) -- (.+)")
_QUOTED_NAME = re.compile(r'(?:\w+\.)?"([^"]+)"')
_COMMENTED = re.compile(r"(.+?),? -- (.+)")

_DICTIONARY = " USING COMPRESSION dict_fsst"
"""In a migration: how a column is kept, where the file's format has it."""

_BOOKKEEPING = """
CREATE TABLE IF NOT EXISTS application (name VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL);
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE application IS 'Marks the file as a store of this program.';
COMMENT ON COLUMN application.name IS 'Name of the program.';
COMMENT ON COLUMN application.created_at IS 'When the file was made.';
COMMENT ON TABLE schema_migrations IS 'Migrations that were applied; the highest is the schema.';
COMMENT ON COLUMN schema_migrations.version IS '1, 2, ...';
COMMENT ON COLUMN schema_migrations.name IS 'What it is called.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';
"""


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    """1, 2, …"""
    name: str
    """From the file's name."""
    sql: str
    """Statements, with descriptions as comments."""


def load_migrations() -> tuple[Migration, ...]:
    """Returns all migrations, ascending."""
    found: list[Migration] = []
    for path in sorted(_FOLDER.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is not None:
            sql = path.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), match[2], sql))
    return tuple(found)


MIGRATIONS = load_migrations()
"""All migrations, ascending."""
SCHEMA_VERSION = MIGRATIONS[-1].version
"""The schema that this program reads and writes."""


def comment_statements(sql: str) -> list[str]:
    """Returns `COMMENT ON` statements for the descriptions in a migration's text.

    Example:
        >>> comment_statements("CREATE TABLE a ( -- An a.")
        ["COMMENT ON TABLE a IS 'An a.'"]
    """
    statements: list[str] = []
    owner = ""
    for line in sql.splitlines():
        head = _HEAD.fullmatch(line)
        if head is not None:
            owner = head[2]
            statements.append(f"COMMENT ON {head[1]} {owner} IS {_quoted(head[3])}")
            continue
        column = _COMMENTED.fullmatch(line.strip()) if owner else None
        if column is not None:
            name = _column_name(column[1])
            statements.append(f'COMMENT ON COLUMN {owner}."{name}" IS {_quoted(column[2])}')
        if line.endswith(";"):
            owner = ""
    return statements


def apply_migrations(con: duckdb.DuckDBPyConnection) -> int:
    """Brings an open, writable database to `SCHEMA_VERSION`; returns how many were applied.

    Each migration and its record are one transaction; a database that is up to date is untouched.
    """
    done = schema_version(con)
    pending = [migration for migration in MIGRATIONS if migration.version > done]
    without = "" if not pending or _has_dictionaries(con) else _DICTIONARY
    for migration in pending:
        now = datetime.now(UTC).replace(tzinfo=None)
        con.begin()
        try:
            if migration.version == 1:
                con.execute(_BOOKKEEPING)
                con.execute("INSERT INTO application VALUES (?, ?)", [APPLICATION, now])
            con.execute(migration.sql.replace(without, "") if without else migration.sql)
            # In one go: a thousand statements one by one take a third longer.
            con.execute(";\n".join(comment_statements(migration.sql)))
            con.execute(
                "INSERT INTO schema_migrations VALUES (?, ?, ?)",
                [migration.version, migration.name, now],
            )
            con.commit()
        except BaseException:
            con.rollback()
            raise
    return len(pending)


def schema_version(con: duckdb.DuckDBPyConnection) -> int:
    """Returns the number of the newest migration applied; 0 for an empty database."""
    if not has_table(con, "schema_migrations"):
        return 0
    return _number(con, "SELECT coalesce(max(version), 0) FROM schema_migrations")


def is_ours(con: duckdb.DuckDBPyConnection) -> bool:
    """Returns whether a database carries this program's marker."""
    if not has_table(con, "application"):
        return False
    columns = _number(
        con,
        "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'application' "
        "AND column_name = 'name' AND NOT internal",
    )
    if columns != 1:
        return False
    names = con.execute("SELECT name FROM application").fetchall()
    return names == [(APPLICATION,)]


def has_table(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Returns whether the database has a table of that name."""
    return (
        _number(
            con,
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = ? AND NOT internal",
            [name],
        )
        > 0
    )


def _has_dictionaries(con: duckdb.DuckDBPyConnection) -> bool:
    """Returns whether the file's format knows `_DICTIONARY`; those before DuckDB 1.3 do not."""
    con.begin()
    try:
        con.execute(f"CREATE TABLE dictionary_probe (word VARCHAR{_DICTIONARY})")
    except duckdb.BinderException:
        return False
    finally:
        con.rollback()
    return True


def _number(con: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[str] = ()) -> int:
    # All rows are fetched: one that is left would keep the connection from other work.
    return int(con.execute(query, list(parameters)).fetchall()[0][0])


def _quoted(text: str) -> str:
    return "'" + text.strip().replace("'", "''") + "'"


def _column_name(code: str) -> str:
    """`i.run_id` → run_id; `coalesce(…) AS state` → state; `box STRUCT(…)` → box; `"a b"` → a b."""
    _, found, alias = code.rpartition(" AS ")
    quoted = _QUOTED_NAME.match(alias.strip() if found else code)
    if quoted is not None:
        return quoted[1]
    if found:
        return alias.strip()
    first = code.split()[0]
    return first.rpartition(".")[2]
