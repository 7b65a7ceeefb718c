-- Agreement of drafts and clinician by drafting model and scale type; patterns (nominal) have no "within one".
-- $kind = production: production, trial or control
SELECT r.drafter_model, k.scale_type, count(*) AS components,
    round(avg((c.draft_grade = c.clinician_grade)::INT), 4) AS same_grade,
    CASE WHEN k.scale_type IN ('ordinal', 'count')
        THEN round(avg((abs(c.draft_grade - c.clinician_grade) <= 1)::INT), 4) END AS within_one,
    count(*) FILTER (c.clinician_grade >= 1) AS components_grade_1_up,
    round(avg((c.draft_grade = c.clinician_grade)::INT) FILTER (c.clinician_grade >= 1), 4)
        AS same_grade_1_up
FROM outcome_components c JOIN runs r USING (run_id)
JOIN components k USING (question_id, component)
WHERE r.kind = $kind AND c.status = 'graded' AND c.draft_grade IS NOT NULL
    AND c.clinician_grade IS NOT NULL
GROUP BY r.drafter_model, k.scale_type ORDER BY r.drafter_model, k.scale_type
