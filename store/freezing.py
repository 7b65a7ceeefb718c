"""Frozen releases: a selection under a name, recorded once and never changed."""

import hashlib
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from knee.errors import InputError
from knee.keys import HASH_PREFIX, canonical_json, content_hash
from store.arrow_rows import BOX, GRADES, TEXT, arrow, utc_now
from store.connection import open_store
from store.export import ExportRows, Table
from store.export_facts import ExportFacts
from store.export_flow import stages_by
from store.inserting import insert
from store.writer import StoreWriter

ROW_SCHEMA: Final = pa.schema(
    {
        "run_id": TEXT,
        "volume_id": TEXT,
        "question_id": pa.int16(),
        "split": TEXT,
        "grades": GRADES,
        "box": BOX,
        "definition_id": TEXT,
        "findings_id": TEXT,
        "prompt_sha256": TEXT,
        "steps_sha256": TEXT,
        "row_sha256": TEXT,
    }
)
"""A frozen row."""
FLOW_COLUMNS: Final = (
    *("feature", "component", "clinician_grade", "n_all", "n_read", "n_boxed", "n_evidence"),
    *("n_drafted", "n_accepted", "n_frozen"),
)
"""Fields of a release's flow table."""
LISTS: Final = (
    *("definitions", "tools_versions", "prompts", "models", "judges", "checks", "gates"),
    "licences",
)
"""What a release rests on, a list of words each."""
_NOT_CONTENT = frozenset({"selection_weight", "stale_reasons", "status"})
"""Columns that may change although the quintuple is the same."""
_BATCH = 20_000
Header = dict[str, Any]
"""A row of `frozen_releases`."""


def read_selection(rows: ExportRows, facts: ExportFacts) -> tuple[Header, Table]:
    """Returns an open selection as a release without a name: its header and its rows.

    Rows are in the order of volume, question and run; the hash is over them and over what the
    header says they rest on, and not over the time.
    """
    parts: list[Table] = []
    whole = hashlib.sha256()
    for _, table in rows.tables():
        frozen = [_frozen(row) for row in table.to_pylist()]
        parts.append(arrow(frozen, ROW_SCHEMA))
    table = pa.concat_tables(parts).sort_by(
        [(name, "ascending") for name in ("volume_id", "question_id", "run_id")]
    )
    for batch in table.column("row_sha256").chunks:
        for digest in batch.to_pylist():
            whole.update(f"{digest}\n".encode())
    named = rows.request.run_ids
    lists = {name: list(getattr(facts, name)) for name in LISTS if name != "licences"}
    lists["licences"] = sorted(
        f"masks {masks}; images {images}; model {model}"
        for masks, images, model, _ in facts.licences
    )
    whole.update(canonical_json(lists).encode())
    header: Header = {
        "content_sha256": HASH_PREFIX + whole.hexdigest(),
        "n_rows": rows.total,
        "condition": rows.request.where,
        "named_runs": None if named is None else list(named),
        "label_given": rows.request.label_given,
        "synthetic": rows.request.synthetic,
        "run_ids": list(rows.run_ids),
        **lists,
        "flow": [
            dict(zip(FLOW_COLUMNS, (*stage.group, *stage.counts), strict=True))
            for stage in stages_by(rows.con, "feature", "component", "grade")
        ],
    }
    return header, table


def put_frozen(writer: StoreWriter, name: str, header: Header, rows: Table) -> bool:
    """Records a release in one transaction; returns False when it is there with the same content.

    Raises:
        InputError: the name is taken by other content.
    """
    with writer.transaction() as con:
        known = con.execute(
            "SELECT content_sha256, n_rows FROM frozen_releases WHERE name = ?", [name]
        ).fetchone()
        if known is not None:
            if known[0] == header["content_sha256"]:
                return False
            raise InputError(
                f"release {name!r} is frozen with other content: {known[1]} row(s), {known[0]}; "
                f"this selection has {header['n_rows']} row(s), {header['content_sha256']}",
                "what is frozen stays as it is; take another name, `release diff` compares them",
            )
        row = {"name": name, **header, "frozen_at": utc_now()}
        insert(con, "frozen_releases", _header_table(row))
        for start in range(0, rows.num_rows, _BATCH):
            part = rows.slice(start, _BATCH)
            names = pa.array([name] * part.num_rows, TEXT)
            insert(con, "frozen_rows", part.add_column(0, "name", names))
    return True


def load_frozen(store: Path, name: str) -> tuple[Header, Table]:
    """Returns a frozen release of a store.

    Raises:
        InputError: there is none of that name.
    """
    with open_store(store, read_only=True) as con:
        headers = _headers(con, "WHERE name = ?", [name])
        if not headers:
            known = [str(row[0]) for row in con.execute(_NAMES).fetchall()]
            raise InputError(
                f"no release {name!r} is frozen in {str(store)!r}",
                f"frozen are: {', '.join(known) or 'none yet'}",
            )
        columns = ", ".join(ROW_SCHEMA.names)
        rows = con.sql(
            f"SELECT {columns} FROM frozen_rows WHERE name = $name "
            "ORDER BY volume_id, question_id, run_id",
            params={"name": name},
        ).to_arrow_table()
    return headers[0], rows.cast(ROW_SCHEMA)


def list_frozen(store: Path) -> list[Header]:
    """Returns the headers of all frozen releases, the oldest first."""
    with open_store(store, read_only=True) as con:
        return _headers(con, "ORDER BY frozen_at, name", [])


def write_rows(path: Path, rows: Table) -> None:
    """Writes the rows of a release as Parquet."""
    pq.write_table(rows, path, compression="zstd", row_group_size=_BATCH)


def read_rows(path: Path) -> Table:
    """Returns the rows that `write_rows` wrote.

    Raises:
        InputError: the file is no such file.
    """
    try:
        return pq.read_table(path).cast(ROW_SCHEMA)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(
            f"{str(path)!r} does not hold frozen rows: {error}", "give a folder of `freeze --out`"
        ) from error


_NAMES = "SELECT name FROM frozen_releases ORDER BY frozen_at, name"


def _headers(con: duckdb.DuckDBPyConnection, end: str, values: list[str]) -> list[Header]:
    result = con.execute(f"SELECT * FROM frozen_releases {end}", values)
    names = [str(column[0]) for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    content = {name: value for name, value in row.items() if name not in _NOT_CONTENT}
    return {
        **{name: row[name] for name in ROW_SCHEMA.names if name in row},
        "steps_sha256": content_hash(canonical_json(row["steps"])),
        "row_sha256": content_hash(canonical_json(content)),
    }


def _header_table(row: Header) -> Table:
    texts = pa.list_(TEXT)
    flow = pa.struct(
        [(name, pa.int64() if name.startswith("n_") else TEXT) for name in FLOW_COLUMNS]
    )
    schema = pa.schema(
        {
            "name": TEXT,
            "content_sha256": TEXT,
            "n_rows": pa.int64(),
            "condition": TEXT,
            "named_runs": texts,
            "label_given": pa.bool_(),
            "synthetic": pa.bool_(),
            "run_ids": texts,
            **dict.fromkeys(LISTS, texts),
            "flow": pa.list_(flow),
            "frozen_at": pa.timestamp("us"),
        }
    )
    return arrow([row], schema)
