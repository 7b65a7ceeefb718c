"""The longer statements of the writer."""

from typing import Final

_VOLUME_COLUMNS = (
    "image",
    "label_map",
    "cohort_root",
    "scheme",
    "mask_source",
    "segmenter",
    "licence",
    "image_source",
    "image_licence",
    "synthetic",
    "restricted",
    "segmenter_trained_on",
    "split",
    "status",
    "reason",
    "updated_at",
)
UPDATE_VOLUME: Final = "ON CONFLICT (volume_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _VOLUME_COLUMNS
)
"""A volume that is prepared again keeps its findings and the time when it was added."""

_GRADE_CONTENT = (
    "status",
    "grade",
    "raw",
    "variable",
    "file",
    "lines",
    "readprj",
    "version",
    "policy",
    "read_files",
    "read_status",
    "read_grades",
    "taken",
)

STAGE_GRADES: Final = """
CREATE TEMP TABLE changed_grades AS
SELECT g.*, (coalesce(old.revision, 0) + 1)::SMALLINT AS revision
FROM given_grades g
LEFT JOIN clinician_grades old
    ON old.patient = g.patient AND old.visit = g.visit AND old.side = g.side
    AND old.question_id = g.question_id AND old.component = g.component AND old.is_current
WHERE old.patient IS NULL OR """ + " OR ".join(
    f"old.{name} IS DISTINCT FROM g.{name}" for name in _GRADE_CONTENT
)
"""Grades that are new or differ from the current ones, with their revision."""

STARTING_STATES: Final = """
SELECT
    v.volume_id, q.question_id, v.findings_id,
    CASE
        WHEN any_value(b.region) IS NULL THEN 'no_region'
        WHEN bool_or(g.status = 'read' AND e.level IN (SELECT unnest($levels))) THEN 'pending'
        WHEN bool_or(g.status = 'read') THEN 'no_evidence'
        ELSE 'unlabelled'
    END AS starting_state
FROM (
    SELECT w.volume_id, w.patient, w.visit, w.side,
        coalesce(any_value(i.findings_id), any_value(w.findings_id)) AS findings_id
    FROM volumes w
    LEFT JOIN (
        SELECT volume_id, any_value(findings_id) AS findings_id
        FROM run_items WHERE run_id = $run GROUP BY ALL
    ) i USING (volume_id)
    WHERE w.volume_id IN (SELECT unnest($volumes)) AND w.findings_id IS NOT NULL
    GROUP BY ALL
) v
CROSS JOIN questions q
JOIN components k USING (question_id)
LEFT JOIN regions b
    ON b.volume_id = v.volume_id AND b.findings_id = v.findings_id
    AND b.question_id = q.question_id
LEFT JOIN evidence e
    ON e.volume_id = v.volume_id AND e.findings_id = v.findings_id
    AND e.question_id = q.question_id AND e.component = k.component
LEFT JOIN clinician_grades g
    ON g.patient = v.patient AND g.visit = v.visit AND g.side = v.side
    AND g.question_id = q.question_id AND g.component = k.component AND g.is_current
GROUP BY ALL
"""
"""State of all 69 questions of `$volumes` before a run; the same rule as `Item.starting_state`.

`$levels` are the levels of evidence that the drafter can reason from (`evidence_levels`).
"""

BIND_ITEMS: Final = f"""
INSERT INTO run_items
SELECT $run, s.volume_id, s.question_id, s.findings_id, s.starting_state
FROM ({STARTING_STATES}) s
ANTI JOIN (SELECT * FROM run_items WHERE run_id = $run) i USING (volume_id, question_id)
ORDER BY s.volume_id, s.question_id
"""
"""Items of volumes that the run does not have yet."""

REBIND_ITEMS: Final = f"""
UPDATE run_items SET starting_state = s.starting_state
FROM (
    SELECT * FROM ({STARTING_STATES}) t
    ANTI JOIN (SELECT * FROM outcomes WHERE run_id = $run) o USING (volume_id, question_id)
) s
WHERE run_items.run_id = $run AND run_items.volume_id = s.volume_id
    AND run_items.question_id = s.question_id
    AND run_items.starting_state <> s.starting_state
"""
"""Items whose table rows were loaded anew after the run was bound."""
