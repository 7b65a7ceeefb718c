"""A condition that a user writes (`--where`): it only reads, and says the same each time.

The condition is put into a larger query, so it must not be able to close a bracket and go on; and
what it selects is published with checksums, so it must not depend on the hour or on chance.
DuckDB's own parser decides both: the query with the condition must differ from the one without it
in the WHERE clause alone.
"""

import json
from pathlib import Path
from typing import Any, Final

import duckdb

from knee.errors import InputError
from store.own_file import nodes_of, refuse_own_file
from store.sql import check_reads

_HINT: Final = "--where is a condition on the columns of v_quintuples"
_UNSTABLE: Final = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability IN ({})"
_UNSTABLE_KINDS: Final = "'VOLATILE', 'CONSISTENT_WITHIN_QUERY'"


def check_condition(
    con: duckdb.DuckDBPyConnection, path: Path, condition: str, *, subqueries: bool
) -> None:
    """Checks that a text is one condition, without parameters, whose answer never changes.

    Args:
        con: an open store, without access to files (`closed`).
        path: the store.
        condition: the text.
        subqueries: whether it may look into other tables.

    Raises:
        InputError: it is empty, does not parse (in DuckDB's words), is more than a condition, or
            calls what changes from time to time.
    """
    if not condition.strip():
        raise InputError(f"the condition {condition!r} is empty", _HINT)
    check_reads(con, f"SELECT 1 WHERE (\n{condition}\n)")
    with_it, without = _parse(con, condition), _parse(con, "true")
    where = _take_where(with_it)
    _take_where(without)
    if where is None or with_it != without:
        raise InputError(f"{condition!r} is more than a condition", _HINT)
    refuse_own_file(con, path, f"SELECT 1 WHERE (\n{condition}\n)")
    nodes = list(nodes_of(where))
    if not subqueries and any(node.get("class") == "SUBQUERY" for node in nodes):
        raise InputError(
            f"the condition {condition!r} looks into other tables",
            "without reference grades it may name the columns that are exported, and no others",
        )
    if any(node.get("sample") for node in nodes):
        raise InputError(f"{condition!r} draws a sample", "an export gives the same rows each time")
    _refuse_unstable(con, condition, nodes)


def _refuse_unstable(
    con: duckdb.DuckDBPyConnection, condition: str, nodes: list[dict[str, Any]]
) -> None:
    query = _UNSTABLE.format(_UNSTABLE_KINDS)
    unstable = {str(row[0]) for row in con.execute(query).fetchall()}
    called = {str(node["function_name"]).lower() for node in nodes if "function_name" in node}
    # `current_date` without brackets is parsed as a column.
    called |= {
        str(node["column_names"][0]).lower()
        for node in nodes
        if node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 1
    } & {name for name in unstable if name.startswith("current_")}
    found = sorted(called & unstable)
    if found:
        raise InputError(
            f"the condition {condition!r} calls {found[0]!r}, whose answer changes",
            "an export gives the same rows each time; for a random part take e.g. "
            "hash(patient) % 10 = 0",
        )


def _parse(con: duckdb.DuckDBPyConnection, condition: str) -> dict[str, Any]:
    text = f"SELECT 1 WHERE (\n{condition}\n)"
    row = con.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0]
    parsed: dict[str, Any] = json.loads(row[0])
    if parsed.get("error"):
        raise InputError(str(parsed.get("error_message")), _HINT)
    return parsed


def _take_where(parsed: dict[str, Any]) -> object:
    node: dict[str, Any] = parsed["statements"][0]["node"]
    where, node["where_clause"] = node.get("where_clause"), None
    return where
