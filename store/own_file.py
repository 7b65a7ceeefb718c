"""A query does not read the store's own file (`sql`, `export --where`).

DuckDB keeps a closed connection from every file but those of the database itself. Reading them
would not only be a file access: closing them again drops this process's lock on the store.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb

from knee.errors import InputError

_READERS: Final = (
    r"(read_\w+|parquet_\w+|glob|sniff_csv|query|query_table|json_execute_serialized_sql)"
)
_RUNS_TEXT = re.compile("query|json_execute_serialized_sql", re.IGNORECASE)
_READER = re.compile(_READERS, re.IGNORECASE)
_CALLS_READER = re.compile(rf'\b{_READERS}"?\s*\(', re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]|^\w+:")


def refuse_own_file(con: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    """Checks that a statement names no file of the store, and no file by an expression.

    Other files that it names are left to DuckDB, which refuses them in its own words.

    Args:
        con: any connection; it only parses.
        path: the store.
        query: one statement that reads.

    Raises:
        InputError: it does.
    """
    row = con.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0]
    parsed: dict[str, Any] = json.loads(row[0])
    if parsed.get("error"):
        # What has no tree: here a text that looks like a call is one.
        found = _CALLS_READER.search(query) is not None or path.name in query
    else:
        found = any(_reads_own(node, path) for node in nodes_of(parsed))
    if found:
        raise InputError(
            "a query reads the store's tables, no files, not even the store's own",
            "--with name=file.csv joins a table of yours",
        )


def nodes_of(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any part of a syntax tree
    """Yields every node of a statement that DuckDB serialised."""
    if isinstance(value, dict):
        yield value  # pyright: ignore[reportUnknownVariableType]
        for entry in value.values():
            yield from nodes_of(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from nodes_of(entry)


def _reads_own(node: dict[str, Any], path: Path) -> bool:
    if node.get("type") == "BASE_TABLE":
        return _is_own(".".join(node["qualified_name"]["path"]), path)
    if node.get("type") != "TABLE_FUNCTION":
        return False
    function: dict[str, Any] = node["function"]
    name = str(function["function_name"])
    if _RUNS_TEXT.fullmatch(name):
        return True
    if not _READER.fullmatch(name):
        return False
    given = [argument["expression"] for argument in function["arguments"]]
    named = given[0].get("literal") if given else None
    if named is None or named.get("kind") != "STRING":
        return True  # a parameter or an expression: whatever it gives
    return _is_own(str(named["text"]), path)


def _is_own(name: str, path: Path) -> bool:
    if path.name in name:
        return True
    if _PATTERN.search(name):
        return False  # DuckDB looks for no pattern and no scheme in a closed connection
    own = {path.with_name(path.name + end).resolve() for end in ("", ".wal", ".lock", ".reading")}
    return Path(name).resolve() in own
