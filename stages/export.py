"""`export`: accepted quintuples as files to train on."""

from collections.abc import Sequence
from pathlib import Path

from stages.console import emit_json, say
from store.export import ExportRequest, export_parquet


def export(
    store: Path,
    out: Path,
    *,
    runs: Sequence[str] | None,
    where: str | None,
    synthetic: bool,
    as_json: bool,
) -> int:
    """Writes Parquet shards and a manifest into a new folder.

    Raises:
        InputError: the folder holds something, nothing matches, or phantoms are not named.
        StoreError: the store cannot be read, or the disk is full.
    """
    request = ExportRequest(
        run_ids=None if runs is None else tuple(runs), where=where, synthetic=synthetic
    )
    done = export_parquet(store, out, request)
    if as_json:
        emit_json({"folder": str(out), "rows": done.rows, "files": len(done.shards)})
    say(f"{done.rows} quintuple(s) in {out}")
    return 0
