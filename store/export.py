"""Accepted quintuples as sharded Parquet, with a manifest.

The same store and request give the same bytes. A folder is complete or not there at all.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from knee.errors import InputError
from knee.keys import HASH_PREFIX
from knee.records import Grounding, RunKind
from store.connection import is_damage, open_store, translate
from store.migrations import APPLICATION, SCHEMA_VERSION
from store.queries import require_run
from store.sql import check_reads

Schema: TypeAlias = Any
"""A pyarrow.Schema; pyarrow ships no types."""
SHARD_ROWS: Final = 50_000
"""Rows of a shard."""
_GROUP_ROWS = 5_000
"""Rows of a row group: fixed, so that the bytes do not depend on how results arrive."""
MANIFEST: Final = "manifest.json"
"""What was exported, beside the folder with the rows."""
DATA: Final = "data"
"""Folder that holds Parquet alone, so that it can be read as one data set."""


class ExportRequest(NamedTuple):
    """Which quintuples, and which mixtures are wanted."""

    run_ids: tuple[str, ...] | None = None
    """These runs, every accepted item of them; None takes each item's newest production run."""
    where: str | None = None
    """SQL condition over the columns of `v_quintuples`."""
    grounding: Grounding = Grounding.BLIND
    """Without run ids: only runs of this grounding."""
    synthetic: bool = False
    """Phantom rows are named; they are never pooled with patients (RULES 26)."""
    mixed_licences: bool = False
    """Rows of several licences are named."""


class Exported(NamedTuple):
    """What was written."""

    rows: int
    """Quintuples."""
    shards: tuple[str, ...]
    """File names."""
    run_ids: tuple[str, ...]
    """Runs that the rows come from."""


def export_parquet(path: Path, out_dir: Path, request: ExportRequest) -> Exported:
    """Writes quintuples to `out_dir`, which must not hold anything yet.

    Raises:
        InputError: the folder is not empty, the condition is not SQL, a run is not in the store,
            nothing is selected, or a mixture is selected that the request does not name.
        StoreError: the store cannot be opened, or the disk is full.
    """
    if out_dir.exists() and not (out_dir.is_dir() and not any(out_dir.iterdir())):
        raise InputError(f"{str(out_dir)!r} is there and not an empty folder", "name another one")
    if not out_dir.absolute().parent.is_dir():
        raise InputError(f"folder not found: {str(out_dir.parent)!r}", "make the folder first")
    draft = out_dir.absolute().with_name(f".{out_dir.name}.{os.getpid()}.partial")
    try:
        with open_store(path, read_only=True, closed=True) as con:
            for run_id in request.run_ids or ():
                require_run(con, run_id)
            check_reads(con, _query(request))
            run_ids = _check_mixture(con, request)
            (draft / DATA).mkdir(parents=True)
            files, columns = _write_shards(con, request, draft / DATA)
        rows = sum(n for _, n in files)
        manifest = _manifest(draft, request, run_ids, files, columns)
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        # Renaming a folder onto an empty one replaces it at once.
        draft.replace(out_dir)
    except duckdb.Error as error:
        if is_damage(error):
            raise translate(error, path) from error
        raise InputError(str(error), "--where is a condition on v_quintuples") from error
    except OSError as error:
        raise translate(error, out_dir) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exported(rows, tuple(name for name, _ in files), run_ids)


def _selected(request: ExportRequest) -> str:
    """Returns the rows that the runs give, before the condition; stale ones never (RULES 27)."""
    if request.run_ids is not None:
        return (
            "SELECT * FROM v_quintuples WHERE status = 'valid' AND run_id IN (SELECT unnest($runs))"
        )
    return (
        "SELECT q.* FROM v_quintuples q JOIN ("
        "SELECT z.volume_id, z.question_id, arg_max(z.run_id, (r.started_at, r.run_id)) AS run_id "
        "FROM v_quintuples z JOIN runs r USING (run_id) "
        "WHERE z.status = 'valid' AND r.kind = $kind AND r.grounding = $grounding GROUP BY ALL"
        ") newest USING (run_id, volume_id, question_id)"
    )


def _query(request: ExportRequest) -> str:
    condition = "true" if request.where is None else request.where
    # The line break ends a comment that the condition may close with.
    return (
        f"SELECT * FROM ({_selected(request)}) v_quintuples WHERE (\n{condition}\n) "
        "ORDER BY volume_id, question_id, run_id"
    )


def _parameters(request: ExportRequest) -> dict[str, object]:
    if request.run_ids is not None:
        return {"runs": list(request.run_ids)}
    return {"kind": RunKind.PRODUCTION.value, "grounding": request.grounding.value}


def _check_mixture(con: duckdb.DuckDBPyConnection, request: ExportRequest) -> tuple[str, ...]:
    """Refuses what the request does not name; returns the runs of the selection."""
    rows = con.execute(
        "SELECT count(*), count(*) FILTER (synthetic), list_sort(list(DISTINCT run_id)), "
        "list_sort(list(DISTINCT coalesce(licence, 'not known'))), "
        "list_sort(list(DISTINCT coalesce(image_licence, 'not known'))), "
        "list_sort(list(DISTINCT coalesce(model_licence, 'not known'))) "
        f"FROM ({_query(request)})",
        _parameters(request),
    ).fetchall()
    total, synthetic, runs, licences, image_licences, model_licences = rows[0]
    if total == 0:
        raise InputError("no accepted quintuple is selected", "`status` shows what there is")
    if synthetic and not request.synthetic:
        raise InputError(
            f"{synthetic} of {total} selected rows are synthetic (phantoms or painted images)",
            "name them with --synthetic, or leave them out with --where 'NOT synthetic'",
        )
    if request.synthetic and synthetic < total:
        raise InputError(
            f"{total - synthetic} of {total} selected rows are of patients: synthetic rows are "
            "never pooled with them",
            "add --where synthetic, or leave --synthetic out and add --where 'NOT synthetic'",
        )
    for name, found in (
        ("licence", licences),
        ("image_licence", image_licences),
        ("model_licence", model_licences),
    ):
        if len(found) > 1 and not request.mixed_licences:
            raise InputError(
                f"the selected rows have {len(found)} values of {name}: {found!r}",
                f"choose one with --where \"{name} = '{found[0]}'\"",
            )
    return tuple(runs)


def _write_shards(
    con: duckdb.DuckDBPyConnection, request: ExportRequest, folder: Path
) -> tuple[list[tuple[str, int]], list[str]]:
    """Writes the shards; returns their names with rows, and the columns."""
    relation = con.sql(_query(request), params=_parameters(request))
    reader: Any = relation.to_arrow_reader(_GROUP_ROWS)
    schema: Schema = reader.schema
    files: list[tuple[str, int]] = []
    groups = _groups(reader, schema)
    group = next(groups, None)
    while group is not None:
        name = f"quintuples-{len(files):05d}.parquet"
        n_rows = 0
        with pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
            while group is not None and n_rows < SHARD_ROWS:
                writer.write_table(group, row_group_size=_GROUP_ROWS)
                n_rows += group.num_rows
                group = next(groups, None)
        files.append((name, n_rows))
    return files, list(schema.names)


def _groups(reader: Any, schema: Schema) -> Iterator[Any]:  # noqa: ANN401 - pyarrow has no types
    """Yields tables of exactly `_GROUP_ROWS` rows, the last one shorter."""
    waiting: list[Any] = []
    n_waiting = 0
    for batch in reader:
        waiting.append(batch)
        n_waiting += batch.num_rows
        while n_waiting >= _GROUP_ROWS:
            table = pa.Table.from_batches(waiting, schema).combine_chunks()
            yield table.slice(0, _GROUP_ROWS)
            waiting = table.slice(_GROUP_ROWS).to_batches()
            n_waiting -= _GROUP_ROWS
    if n_waiting:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()


def _manifest(
    folder: Path,
    request: ExportRequest,
    run_ids: Sequence[str],
    files: Sequence[tuple[str, int]],
    columns: Sequence[str],
) -> dict[str, object]:
    return {
        "application": APPLICATION,
        "schema_version": SCHEMA_VERSION,
        "rows": sum(n for _, n in files),
        "run_ids": list(run_ids),
        "where": request.where,
        "grounding": None if request.run_ids is not None else request.grounding.value,
        "synthetic": request.synthetic,
        "columns": list(columns),
        "files": [
            {"name": f"{DATA}/{name}", "rows": n, "sha256": _file_hash(folder / DATA / name)}
            for name, n in files
        ],
    }


def _file_hash(path: Path) -> str:
    with path.open("rb") as data:
        return HASH_PREFIX + hashlib.file_digest(data, "sha256").hexdigest()
