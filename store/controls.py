"""What negative controls need of the store, and what is asked of them afterwards (RULES 7)."""

import duckdb

from knee.errors import InputError
from knee.moaks import Component, Feature
from store.queries import Acceptance

_MAJORITY = """
WITH reads AS (
    SELECT DISTINCT g.patient, g.visit, g.side, g.question_id, q.feature, g.component, g.grade,
        k.position
    FROM clinician_grades g
    JOIN volumes v USING (patient, visit, side)
    JOIN questions q USING (question_id)
    JOIN components k USING (question_id, component)
    WHERE v.split = 'train' AND g.is_current AND g.status = 'read'
), read_together AS (
    SELECT feature, list(component ORDER BY position) AS components,
        list(grade ORDER BY position) AS grades
    FROM reads GROUP BY patient, visit, side, question_id, feature
), counted AS (
    SELECT feature, components, grades, count(*) AS n, len(components) AS n_components
    FROM read_together GROUP BY ALL
)
SELECT feature, components, grades FROM counted
QUALIFY row_number() OVER (
    PARTITION BY feature ORDER BY n_components DESC, n DESC, grades) = 1
ORDER BY feature
"""
_ZEROS = """
SELECT count(*) FILTER (state = 'accepted'), count(*) FILTER (state = 'rejected'),
    count(*) FILTER (state = 'disagrees'), count(*) FILTER (state = 'failed')
FROM (
    SELECT any_value(o.state) AS state
    FROM v_outcomes o
    JOIN outcome_components c USING (run_id, volume_id, question_id)
    WHERE o.run_id = ? AND c.status = 'graded' AND c.component <> 'tear_location'
    GROUP BY o.volume_id, o.question_id
    HAVING max(c.clinician_grade) >= 1 AND max(c.draft_grade) = 0
)
"""
_UNFOUNDED = """
SELECT count(*) FILTER (unfounded), count(*)
FROM (
    SELECT bool_or(NOT coalesce(
        abs(e.rule_grade - c.draft_grade) <= CASE WHEN e.borderline THEN 1 ELSE 0 END, false
    )) AS unfounded
    FROM v_outcomes o
    JOIN outcome_components c USING (run_id, volume_id, question_id)
    LEFT JOIN evidence e
        ON e.volume_id = o.volume_id AND e.findings_id = o.findings_id
        AND e.question_id = o.question_id AND e.component = c.component
    WHERE o.run_id = ? AND o.state = 'accepted' AND c.status = 'graded'
    GROUP BY o.volume_id, o.question_id
)
"""


def majority_grades(con: duckdb.DuckDBPyConnection) -> dict[tuple[Feature, Component], int]:
    """Returns the commonest grades of each feature's components; the lower ones of a tie.

    The commonest combination of grades of one reading, so that it is a legal one, pooled over the
    sites of a feature; where some readings lack a component, those that have most components
    decide. Only reads of patients in the split `train` are counted (RULES 19: thresholds and
    controls refuse test patients).

    Raises:
        InputError: no grade of a training patient is in the store.
    """
    rows = con.execute(_MAJORITY).fetchall()
    if not rows:
        raise InputError(
            "the always-majority control needs grades of training patients, the store has none",
            "prepare volumes whose `split` in cohort.csv is `train`; test patients are not used",
        )
    return {
        (Feature(feature), Component(name)): int(grade)
        for feature, names, grades in rows
        for name, grade in zip(names, grades, strict=True)
    }


def zeros_on_findings(con: duckdb.DuckDBPyConnection, run_id: str) -> Acceptance:
    """Returns what became of items with a clinician's grade >= 1 whose draft said 0 throughout."""
    row = con.execute(_ZEROS, [run_id]).fetchone()
    counts = (0, 0, 0, 0) if row is None else tuple(int(n) for n in row)
    return Acceptance("grade >= 1, drafted 0", *counts)


def accepted_without_evidence(con: duckdb.DuckDBPyConnection, run_id: str) -> tuple[int, int]:
    """Returns accepted items with a grade that its measurement does not give, and all accepted.

    A grade counts as given when the rule gives it, or a neighbour's where the measurement is
    borderline (RULES 11). A component without a rule cannot be held against one: not given.
    """
    row = con.execute(_UNFOUNDED, [run_id]).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))
