"""`status`: the runs of a store, and how far one of them is; works while a batch runs."""

from pathlib import Path

from knee.errors import InputError
from stages.console import emit_json, say, show_table
from stages.summary import load_summary, show_summary
from store.connection import open_store
from store.queries import newest_run, require_run


def pick_run(store: Path, run_id: str | None) -> str:
    """Returns the run asked for, else the newest.

    Raises:
        InputError: no such run, or the store has none.
    """
    with open_store(store, read_only=True) as con:
        if run_id is not None:
            require_run(con, run_id)
            return run_id
        newest = newest_run(con)
    if newest is None:
        raise InputError(
            f"store {str(store)!r} has no run yet", "`run_pipeline.py generate` makes one"
        )
    return newest


def status(store: Path, run_id: str | None, *, as_json: bool) -> int:
    """Shows the runs, and the numbers of one (the newest unless named)."""
    with open_store(store, read_only=True) as con:
        runs = con.execute(
            "SELECT r.run_id, r.kind, r.control, r.state, r.drafter_model, "
            "count(o.question_id), count(o.question_id) FILTER (o.state = 'accepted') "
            "FROM runs r LEFT JOIN v_outcomes o USING (run_id) GROUP BY ALL ORDER BY r.run_id"
        ).fetchall()
        volumes = con.execute(
            "SELECT volume_id, status, reason FROM volumes ORDER BY volume_id"
        ).fetchall()
    failed = [(volume, reason) for volume, state, reason in volumes if state == "failed"]
    summary = load_summary(store, pick_run(store, run_id)) if runs else None
    columns = ["run", "kind", "control", "state", "model", "drafted", "accepted"]
    if as_json:
        emit_json(
            {
                "volumes": {"ready": len(volumes) - len(failed), "failed": dict(failed)},
                "runs": [dict(zip(columns, row, strict=True)) for row in runs],
                "run": None if summary is None else summary.as_json(),
            }
        )
        return 0
    show_table(f"runs in {store}", columns, [list(row) for row in runs], to_stdout=True)
    say(f"{len(volumes) - len(failed)} volume(s) ready, {len(failed)} failed")
    for volume, reason in failed:
        say(f"  {volume}: {reason}")
    if summary is not None:
        show_summary(summary)
    return 0
