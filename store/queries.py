"""Questions that commands ask of a run: states, acceptance, coverage, reasons, cost.

Acceptance = accepted / (accepted + rejected + disagrees + failed); coverage = drafted / all. Both
always travel with their counts, and a share of nothing is None (CONTRACTS, RULES 2).
"""

from collections.abc import Iterator
from typing import NamedTuple

import duckdb

from knee.errors import InputError
from knee.keys import ItemKey
from knee.moaks import Component, Feature
from knee.records import Control, ItemState, RunKind
from store.items import Selection, finished_keys, load_items, rows_of, select_volumes
from store.write_sql import STARTING_STATES

__all__ = [
    "Acceptance",
    "CodeCount",
    "Coverage",
    "GradeAcceptance",
    "ItemStateRow",
    "RunCost",
    "acceptance",
    "acceptance_by_clinician_grade",
    "acceptance_by_feature",
    "code_counts",
    "count_left",
    "coverage",
    "current_findings_ids",
    "find_run",
    "finished_keys",
    "item_states",
    "load_items",
    "newest_run",
    "run_cost",
    "selection_states",
    "state_table",
]

_COUNTS = (
    "count(*) FILTER (state = 'accepted'), count(*) FILTER (state = 'rejected'), "
    "count(*) FILTER (state = 'disagrees'), count(*) FILTER (state = 'failed')"
)


class ItemStateRow(NamedTuple):
    """The state of one (volume, question) of a run."""

    key: ItemKey
    """The item."""
    state: ItemState
    """One of the eight."""


class Acceptance(NamedTuple):
    """How drafted items of one group ended."""

    group: str
    """`all`, `grade 0`, `grade >= 1`, or a feature."""
    accepted: int
    """Items that became quintuples."""
    rejected: int
    """Items that a check or the judge refused."""
    disagrees: int
    """Sound drafts with another grade than the clinician's."""
    failed: int
    """Infrastructure failures."""

    @property
    def drafted(self) -> int:
        """The denominator."""
        return self.accepted + self.rejected + self.disagrees + self.failed

    @property
    def share(self) -> float | None:
        """Share accepted / drafted, None when nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None


class GradeAcceptance(NamedTuple):
    """How items with one clinician grade of one component ended."""

    feature: Feature
    """The feature."""
    component: Component
    """The component that the grade is of."""
    clinician_grade: int
    """The clinician's grade of the item itself, in controls too."""
    items: Acceptance
    """The counts."""


class Coverage(NamedTuple):
    """How much of the whole was drafted."""

    drafted: int
    """accepted + rejected + disagrees + failed."""
    all: int
    """All 69 questions of each volume of the run."""

    @property
    def share(self) -> float | None:
        """Share drafted / all, None for a run without volumes."""
        return self.drafted / self.all if self.all else None


class CodeCount(NamedTuple):
    """How often a reason was given."""

    state: ItemState
    """How the items ended."""
    code: str
    """The reason; an item may have several."""
    items: int
    """Items that have it."""


class RunCost(NamedTuple):
    """What a run took."""

    attempts: int
    """Calls that were answered."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens generated."""
    median_latency_s: float | None
    """Seconds of the middle call; None without calls."""
    p95_latency_s: float | None
    """Seconds under which 95 % of the calls stay; None without calls."""
    elapsed_s: float | None
    """Seconds from the last start to the end; None while it runs."""


def find_run(
    con: duckdb.DuckDBPyConnection, fingerprint: str, kind: RunKind, control: Control
) -> str | None:
    """Returns the newest run with this identity, None when there is none."""
    row = con.execute(
        "SELECT run_id FROM runs WHERE fingerprint = ? AND kind = ? AND control = ? "
        "ORDER BY started_at DESC, run_id DESC LIMIT 1",
        [fingerprint, kind.value, control.value],
    ).fetchone()
    return None if row is None else str(row[0])


def newest_run(con: duckdb.DuckDBPyConnection, kind: RunKind | None = None) -> str | None:
    """Returns the run that was started or resumed last, of one kind or of any; None without."""
    row = con.execute(
        "SELECT run_id FROM runs WHERE $kind IS NULL OR kind = $kind "
        "ORDER BY coalesce(resumed_at, started_at) DESC, run_id DESC LIMIT 1",
        {"kind": None if kind is None else kind.value},
    ).fetchone()
    return None if row is None else str(row[0])


def require_run(con: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Checks that a run is in the store.

    Raises:
        InputError: it is not; the hint names some that are.
    """
    rows = con.execute("SELECT run_id FROM runs ORDER BY started_at DESC").fetchall()
    known = [str(row[0]) for row in rows]
    if run_id not in known:
        some = ", ".join(known[:5]) or "none yet"
        raise InputError(f"no run {run_id!r} in the store", f"runs, newest first: {some}")


def current_findings_ids(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Returns the current findings of all ready volumes, ascending."""
    rows = con.execute(
        "SELECT DISTINCT findings_id FROM volumes "
        "WHERE status = 'ready' AND findings_id IS NOT NULL ORDER BY findings_id"
    ).fetchall()
    return [str(row[0]) for row in rows]


def count_left(con: duckdb.DuckDBPyConnection, run_id: str, selection: Selection) -> int:
    """Returns how many items of a selection a run has still to draft.

    The limit counts from the first item of the selection, finished or not.
    """
    row = con.execute(
        """
        SELECT count(*) FILTER (NOT done) FROM (
            SELECT o.run_id IS NOT NULL AS done
            FROM run_items i
            LEFT JOIN (SELECT * FROM outcomes WHERE run_id = $run) o USING (volume_id, question_id)
            WHERE i.run_id = $run AND i.starting_state = 'pending'
                AND i.volume_id IN (SELECT unnest($volumes))
                AND ($questions IS NULL OR i.question_id IN (SELECT unnest($questions)))
            ORDER BY i.volume_id, i.question_id LIMIT $limit
        )
        """,
        {
            "run": run_id,
            "volumes": select_volumes(con, selection),
            "questions": None if selection.question_ids is None else list(selection.question_ids),
            "limit": selection.limit,
        },
    ).fetchone()
    return 0 if row is None else int(row[0])


def selection_states(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[ItemState, int]:
    """Returns how many items of a selection would start in which state; all eight are named."""
    rows = con.execute(
        f"SELECT starting_state, count(*) FROM ({STARTING_STATES}) "
        "WHERE $questions IS NULL OR question_id IN (SELECT unnest($questions)) GROUP BY ALL",
        {
            "run": None,
            "volumes": select_volumes(con, selection),
            "questions": None if selection.question_ids is None else list(selection.question_ids),
        },
    ).fetchall()
    found = {ItemState(state): int(n) for state, n in rows}
    return {state: found.get(state, 0) for state in ItemState}


def item_states(con: duckdb.DuckDBPyConnection, run_id: str) -> Iterator[ItemStateRow]:
    """Yields the state of all 69 questions of each volume of a run, ascending by key."""
    result = con.execute(
        "SELECT volume_id, question_id, state FROM v_item_states WHERE run_id = ? "
        "ORDER BY volume_id, question_id",
        [run_id],
    )
    for row in rows_of(result):
        yield ItemStateRow(ItemKey(row["volume_id"], row["question_id"]), ItemState(row["state"]))


def state_table(con: duckdb.DuckDBPyConnection, run_id: str) -> dict[ItemState, int]:
    """Returns how many items of a run are in which state; all eight are named."""
    rows = con.execute(
        "SELECT state, count(*) FROM v_item_states WHERE run_id = ? GROUP BY ALL", [run_id]
    ).fetchall()
    found = {ItemState(state): int(n) for state, n in rows}
    return {state: found.get(state, 0) for state in ItemState}


def acceptance(con: duckdb.DuckDBPyConnection, run_id: str) -> list[Acceptance]:
    """Returns the acceptance of `all` items, of `grade 0` and of `grade >= 1`.

    An item is `grade >= 1` when the clinician gave 1 or more to a component that was asked. The
    location of a tear does not count: its numbers name places, 3 says that there is no tear.
    """
    rows = con.execute(
        f"""
        WITH items AS (
            SELECT o.state, max(c.clinician_grade) FILTER (
                c.status = 'graded' AND c.component <> 'tear_location') AS highest
            FROM outcomes o
            LEFT JOIN outcome_components c USING (run_id, volume_id, question_id)
            WHERE o.run_id = ?
            GROUP BY o.volume_id, o.question_id, o.state
        )
        SELECT 'all', {_COUNTS} FROM items
        UNION ALL SELECT 'grade 0', {_COUNTS} FROM items WHERE highest = 0
        UNION ALL SELECT 'grade >= 1', {_COUNTS} FROM items WHERE highest >= 1
        """,
        [run_id],
    ).fetchall()
    order = {"all": 0, "grade 0": 1, "grade >= 1": 2}
    return sorted((Acceptance(*row) for row in rows), key=lambda row: order[row.group])


def acceptance_by_feature(con: duckdb.DuckDBPyConnection, run_id: str) -> list[Acceptance]:
    """Returns the acceptance of items by feature, in MOAKS' order; only drafted features."""
    rows = con.execute(
        f"SELECT q.feature, {_COUNTS} FROM outcomes JOIN questions q USING (question_id) "
        "WHERE run_id = ? GROUP BY q.feature ORDER BY min(question_id)",
        [run_id],
    ).fetchall()
    return [Acceptance(*row) for row in rows]


def acceptance_by_clinician_grade(
    con: duckdb.DuckDBPyConnection, run_id: str
) -> list[GradeAcceptance]:
    """Returns the acceptance by feature, component and clinician grade, in MOAKS' order.

    An item counts once under each component that was asked (RULES 1).
    """
    rows = con.execute(
        "SELECT a.feature, a.component, a.clinician_grade, sum(accepted)::BIGINT, "
        "sum(rejected)::BIGINT, sum(disagrees)::BIGINT, sum(failed)::BIGINT "
        "FROM v_acceptance a JOIN components k USING (question_id, component) "
        "WHERE run_id = ? AND clinician_grade IS NOT NULL "
        "GROUP BY ALL ORDER BY min(a.question_id), min(k.position), a.clinician_grade",
        [run_id],
    ).fetchall()
    return [
        GradeAcceptance(
            Feature(feature), Component(component), grade, Acceptance(f"grade {grade}", *counts)
        )
        for feature, component, grade, *counts in rows
    ]


def coverage(con: duckdb.DuckDBPyConnection, run_id: str) -> Coverage:
    """Returns how many of all items of a run's volumes were drafted."""
    counts = state_table(con, run_id)
    drafted = sum(n for state, n in counts.items() if state.is_drafted)
    return Coverage(drafted, sum(counts.values()))


def code_counts(con: duckdb.DuckDBPyConnection, run_id: str) -> list[CodeCount]:
    """Returns the reasons of items that were not accepted, most frequent first."""
    rows = con.execute(
        "SELECT state, code, count(*) AS n FROM "
        "(SELECT state, unnest(list_distinct(codes)) AS code FROM outcomes WHERE run_id = ?) "
        "GROUP BY ALL ORDER BY n DESC, state, code",
        [run_id],
    ).fetchall()
    return [CodeCount(ItemState(state), str(code), int(n)) for state, code, n in rows]


def run_cost(con: duckdb.DuckDBPyConnection, run_id: str) -> RunCost:
    """Returns tokens, latencies and seconds of a run."""
    row = con.execute(
        "SELECT count(*), coalesce(sum(prompt_tokens), 0)::BIGINT, "
        "coalesce(sum(completion_tokens), 0)::BIGINT, quantile_cont(latency_s, 0.5), "
        "quantile_cont(latency_s, 0.95), (SELECT epoch(finished_at) - "
        "epoch(coalesce(resumed_at, started_at)) FROM runs WHERE run_id = $run) "
        "FROM attempts WHERE run_id = $run",
        {"run": run_id},
    ).fetchone()
    return RunCost(0, 0, 0, None, None, None) if row is None else RunCost(*row)
