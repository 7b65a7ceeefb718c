"""How the exported rows came about of all components, and what each weighs (RULES 16).

`flow` has a row for every component of the knees that the exported runs were given, so that the
ones that were lost on the way are counted too. `weights` undoes the loss by clinician grade.
"""

from typing import Final, NamedTuple

import duckdb

from knee.findings import TEXT_EVIDENCE, EvidenceLevel
from store.volume_stretches import NOTHING, volume_stretches

SMOOTHING: Final = 10
"""Components of average acceptance that are added to each stratum, so that a rare grade of which
nothing was accepted does not weigh without bound."""
_STRETCH_ROWS: Final = 100_000
"""Items that are joined with all there is of them at a time."""
STAGES: Final = ("all", "read", "boxed", "evidence", "drafted", "accepted", "exported")
"""From everything to what is in the export; each is a part of the one before."""
_LEVELS = ", ".join(f"'{level.value}'" for level in sorted(TEXT_EVIDENCE))
_RUNS = """
CREATE TEMP TABLE flow_runs AS
SELECT DISTINCT run_id, synthetic FROM eligible
WHERE synthetic = (SELECT any_value(synthetic) FROM chosen)
"""
_ITEMS = """
CREATE OR REPLACE TEMP TABLE flow_items AS
SELECT i.volume_id, i.question_id, max_by(i.run_id, (e.run_id IS NOT NULL, r.started_at, i.run_id))
    AS run_id
FROM run_items i
JOIN runs r USING (run_id)
JOIN volumes v USING (volume_id)
LEFT JOIN eligible e USING (run_id, volume_id, question_id)
WHERE i.run_id IN (SELECT run_id FROM flow_runs)
    AND v.synthetic = (SELECT any_value(synthetic) FROM flow_runs)
    AND {stretch}
GROUP BY ALL
"""
_FLOW = f"""
SELECT
    v.patient, v.visit, coalesce(v.mask_source, 'not known') AS mask_source,
    f.volume_id, f.question_id, q.feature, k.component,
    coalesce(c.clinician_status, g.status) AS status,
    CASE WHEN c.run_id IS NULL THEN g.grade ELSE c.clinician_grade END AS grade,
    coalesce(array_to_string(list_sort(list_distinct(g.readprj)), '+'), 'none') AS readprj,
    CASE WHEN c.status = 'graded' THEN o.n_attempts END AS attempts,
    coalesce(coalesce(c.clinician_status, g.status) = 'read', false) AS is_read,
    is_read AND b.box IS NOT NULL AS is_boxed,
    is_boxed AND coalesce(d.level IN ({_LEVELS}) OR (d.level = '{EvidenceLevel.IMAGE.value}'
        AND r.images IS NOT NULL), false) AS has_evidence,
    coalesce(c.status = 'graded', false) AS is_drafted,
    is_drafted AND e.run_id IS NOT NULL AS is_accepted,
    is_accepted AND h.run_id IS NOT NULL AS is_exported
FROM flow_items f
JOIN run_items i USING (run_id, volume_id, question_id)
JOIN runs r USING (run_id)
JOIN volumes v USING (volume_id)
JOIN questions q USING (question_id)
JOIN components k USING (question_id)
LEFT JOIN regions b ON b.volume_id = f.volume_id AND b.findings_id = i.findings_id
    AND b.question_id = f.question_id
LEFT JOIN evidence d ON d.volume_id = f.volume_id AND d.findings_id = i.findings_id
    AND d.question_id = f.question_id AND d.component = k.component
LEFT JOIN clinician_grades g ON g.patient = v.patient AND g.visit = v.visit AND g.side = v.side
    AND g.question_id = f.question_id AND g.component = k.component AND g.is_current
LEFT JOIN outcome_components c ON c.run_id = f.run_id AND c.volume_id = f.volume_id
    AND c.question_id = f.question_id AND c.component = k.component
LEFT JOIN outcomes o ON o.run_id = f.run_id AND o.volume_id = f.volume_id
    AND o.question_id = f.question_id
LEFT JOIN eligible e ON e.run_id = f.run_id AND e.volume_id = f.volume_id
    AND e.question_id = f.question_id
LEFT JOIN chosen h ON h.run_id = f.run_id AND h.volume_id = f.volume_id
    AND h.question_id = f.question_id
WHERE {{stretch}}
"""
# Counts are whole numbers and the list has an order: sums of floats by several threads would give
# other last digits each time.
_ACCEPTANCE = f"""
CREATE TEMP TABLE acceptance AS
WITH strata AS (
    SELECT feature, component, grade, count(*) AS n_read,
        count(*) FILTER (is_accepted) AS n_accepted
    FROM flow WHERE is_read GROUP BY ALL
)
SELECT feature, component, grade,
    (n_read + {SMOOTHING}) / (n_accepted + {SMOOTHING} *
        (sum(n_accepted) OVER same)::DOUBLE / (sum(n_read) OVER same)) AS inverse
FROM strata WINDOW same AS (PARTITION BY feature, component)
"""
_INVERSE = """
SELECT e.run_id, e.volume_id, e.question_id,
    list_avg(list(a.inverse ORDER BY a.component)) AS inverse
FROM eligible e
JOIN flow f USING (volume_id, question_id)
JOIN acceptance a ON a.feature = f.feature AND a.component = f.component AND a.grade = f.grade
WHERE f.is_accepted AND list_contains(e.components_scored, f.component) AND {stretch}
GROUP BY ALL
"""
_WEIGHTS = """
CREATE TEMP VIEW weights AS
SELECT run_id, volume_id, question_id,
    round(inverse * n_rows * 1e6 / total, 6) AS selection_weight
FROM inverses,
    (SELECT count(*) AS n_rows, sum((inverse * 1e6)::BIGINT) AS total FROM inverses)
"""


class Stage(NamedTuple):
    """Components of one group at every stage."""

    group: tuple[str, ...]
    """Values that the components are counted by."""
    counts: tuple[int, ...]
    """As `STAGES`."""


def make_flow(con: duckdb.DuckDBPyConnection) -> None:
    """Makes `flow`: a row for each component of the knees of the eligible rows' runs.

    The condition of an export does not change it, but for what is exported.
    """
    con.execute(_RUNS)
    made = False
    for stretch in volume_stretches(con, "run_items", _STRETCH_ROWS) or [NOTHING]:
        con.execute(_ITEMS.format(stretch=stretch.holds("i.volume_id")))
        # Grades are joined by the patient, to whom no condition on the volume leads.
        patients = f"patient) FROM volumes WHERE {stretch.holds('volume_id')})"
        held = (
            f"{stretch.holds('f.volume_id')} "
            f"AND v.patient BETWEEN (SELECT min({patients} AND (SELECT max({patients}"
        )
        head = "INSERT INTO flow" if made else "CREATE TEMP TABLE flow AS"
        con.execute(head + _FLOW.format(stretch=held))
        made = True


def make_weights(con: duckdb.DuckDBPyConnection) -> None:
    """Makes `weights`: inverse acceptance by component and clinician grade, mean 1 over `eligible`.

    From what was read to what was accepted, each stratum with `SMOOTHING` components of average
    acceptance added; a row weighs the mean of its components. The condition of an export does not
    change it.
    """
    con.execute(_ACCEPTANCE)
    con.execute(
        "CREATE TEMP TABLE inverses "
        "(run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, inverse DOUBLE)"
    )
    for stretch in volume_stretches(con, "eligible", _STRETCH_ROWS):
        con.execute("INSERT INTO inverses" + _INVERSE.format(stretch=stretch.holds("e.volume_id")))
    con.execute(_WEIGHTS)


def stages_by(con: duckdb.DuckDBPyConnection, *columns: str) -> list[Stage]:
    """Returns the components of `flow` at every stage, by some of its columns.

    Args:
        con: an open selection.
        columns: of `flow`; none counts all together.
    """
    named = ", ".join(f"coalesce({column}::VARCHAR, '–')" for column in columns)
    order = "min(question_id), " if "feature" in columns else ""
    rows = con.execute(
        f"SELECT [{named}]::VARCHAR[] AS named, count(*), count(*) FILTER (is_read), "
        "count(*) FILTER (is_boxed), count(*) FILTER (has_evidence), "
        "count(*) FILTER (is_drafted), count(*) FILTER (is_accepted), "
        f"count(*) FILTER (is_exported) FROM flow GROUP BY named ORDER BY {order}named"
    ).fetchall()
    return [Stage(tuple(group), tuple(int(n) for n in counts)) for group, *counts in rows]
