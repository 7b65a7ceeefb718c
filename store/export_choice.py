"""Which rows an export takes: their keys and what the export is checked by, no texts.

Joined all at once, the tables behind half a million quintuples want more memory than an export is
given, so they are joined a stretch of volumes at a time.
"""

from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from knee.errors import InputError
from knee.records import Grounding, RunKind
from store.connection import is_store_trouble
from store.export_columns import kept_without_grades
from store.volume_stretches import NOTHING, VolumeStretch, volume_stretches
from store.where import check_condition

_STRETCH_ROWS: Final = 40_000
"""Quintuples that are looked at together; a condition may look at their texts, some 3 KB each."""
_COLUMNS: Final = (
    "q.run_id, q.volume_id, q.question_id, q.patient, q.split, q.feature, q.synthetic, "
    "q.restricted, q.licence, q.image_licence, q.model_licence, q.grounding, q.wording, "
    "q.components_scored, q.findings_id, q.checked_by IS NOT NULL AS is_checked, r.started_at, "
    "r.kind, q.status"
)
_NEWEST: Final = (
    "QUALIFY row_number() OVER (PARTITION BY volume_id, question_id "
    "ORDER BY grounding = 'blind' DESC, started_at DESC, run_id DESC) = 1"
)
_KEY: Final = "(run_id, volume_id, question_id)"


class ExportRequest(NamedTuple):
    """Which quintuples, and which mixtures are wanted."""

    run_ids: tuple[str, ...] | None = None
    """These runs, every valid item of them; None takes each item's newest blind production run."""
    where: str | None = None
    """SQL condition over the columns of `v_quintuples`."""
    label_given: bool = False
    """Without run ids: items without a blind quintuple may come from a `label_given` run."""
    synthetic: bool = False
    """Phantom rows, and only those: they are never pooled with patients (RULES 26)."""
    licences: tuple[str, ...] = ()
    """Licences that are named: a selection with several values needs them all (RULES 26)."""
    reference_grades: bool = True
    """Whether clinicians' grades, and what they follow from, go out (RULES 25)."""
    slices: bool = False
    """Whether rows say what their drafter was shown of the image."""


def choose_rows(con: duckdb.DuckDBPyConnection, path: Path, request: ExportRequest) -> None:
    """Makes `eligible`, the valid rows of the runs, and `chosen`, those that the condition takes.

    Stale rows, and rows that a later verdict refuses, are never among them (RULES 27); `statuses`
    has how many there are, by run.

    Raises:
        InputError: the condition is not one, or DuckDB refuses it (in its own words).
        duckdb.Error: the file or the machine.
    """
    if request.where is not None:
        check_condition(con, path, request.where, subqueries=request.reference_grades)
    stretches = volume_stretches(con, "quintuples", _STRETCH_ROWS)
    # Nothing is in the store: the tables are made all the same.
    for stretch in stretches or [NOTHING]:
        _take(con, request, stretch)
    con.execute("DROP TABLE looked_at")
    if request.where is None:
        con.execute("CREATE TEMP VIEW chosen AS FROM eligible")
        return
    con.execute(
        "CREATE TEMP TABLE condition_holds "
        "(run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT)"
    )
    try:
        for stretch in volume_stretches(con, "eligible", _STRETCH_ROWS):
            _ask(con, request, request.where, stretch)
    except duckdb.Error as error:
        if is_store_trouble(error):
            raise
        raise InputError(str(error), "--where is a condition on v_quintuples") from error
    con.execute(
        f"CREATE TEMP TABLE chosen AS SELECT * FROM eligible SEMI JOIN condition_holds USING {_KEY}"
    )


def _take(con: duckdb.DuckDBPyConnection, request: ExportRequest, stretch: VolumeStretch) -> None:
    """Adds a stretch to `eligible` and to `statuses`."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE looked_at AS SELECT {_COLUMNS} FROM v_quintuples q "
        f"JOIN runs r USING (run_id) WHERE {stretch.holds('q.volume_id')}"
    )
    con.execute(
        "CREATE TEMP TABLE IF NOT EXISTS statuses (run_id VARCHAR, status VARCHAR, n BIGINT)"
    )
    con.execute("INSERT INTO statuses SELECT run_id, status, count(*) FROM looked_at GROUP BY ALL")
    con.execute("CREATE TEMP TABLE IF NOT EXISTS eligible AS FROM looked_at LIMIT 0")
    if request.run_ids is not None:
        runs, newest = "run_id IN (SELECT unnest($runs))", ""
        values: dict[str, object] = {"runs": list(request.run_ids)}
    else:
        groundings = [Grounding.BLIND.value]
        groundings += [Grounding.LABEL_GIVEN.value] if request.label_given else []
        runs, newest = "kind = $kind AND list_contains($groundings, grounding)", _NEWEST
        values = {"kind": RunKind.PRODUCTION.value, "groundings": groundings}
    synthetic = "AND synthetic" if request.synthetic else ""
    con.execute(
        "INSERT INTO eligible SELECT * FROM (SELECT * FROM looked_at "
        f"WHERE status = 'valid' AND {runs} {synthetic}) {newest}",
        values,
    )


def _ask(
    con: duckdb.DuckDBPyConnection, request: ExportRequest, condition: str, stretch: VolumeStretch
) -> None:
    """Adds the eligible rows of a stretch for which the condition holds to `condition_holds`."""
    con.execute(
        "INSERT INTO condition_holds SELECT run_id, volume_id, question_id FROM "
        f"(SELECT {_visible(con, request)} FROM v_quintuples q "
        f"SEMI JOIN eligible USING {_KEY} WHERE {stretch.holds('q.volume_id')}) v_quintuples "
        # The line break ends a comment that the condition may close with.
        f"WHERE (\n{condition}\n)"
    )


def _visible(con: duckdb.DuckDBPyConnection, request: ExportRequest) -> str:
    """The columns that a condition may name: what it selects by is told by what it selects."""
    if request.reference_grades:
        return "q.*"
    names = [str(row[0]) for row in con.execute("DESCRIBE v_quintuples").fetchall()]
    return ", ".join(f'q."{name}"' for name in names if kept_without_grades(name))
