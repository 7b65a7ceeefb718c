"""The commonest grade of the training patients: what a guesser that saw no image would say."""

import duckdb

from knee.errors import InputError
from knee.moaks import Component

_MAJORITY = """
WITH reads AS (
    SELECT DISTINCT g.patient, g.visit, g.side, g.question_id, g.component, g.grade
    FROM clinician_grades g
    JOIN volumes v USING (patient, visit, side)
    WHERE v.split = 'train' AND g.is_current AND g.status = 'read'
), counted AS (
    SELECT question_id, component, grade, count(*) AS n FROM reads GROUP BY ALL
)
SELECT question_id, component, arg_max(grade, (n, -grade)) FROM counted GROUP BY ALL ORDER BY ALL
"""


def majority_grades(con: duckdb.DuckDBPyConnection) -> dict[tuple[int, Component], int]:
    """Returns the commonest grade of each question's components; the lower one of a tie.

    Only reads of patients in the split `train` are counted (RULES 19: thresholds and controls
    refuse test patients).

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
        (int(question), Component(component)): int(grade) for question, component, grade in rows
    }
