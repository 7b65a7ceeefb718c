-- The drafts' grades against the clinician's for one feature, of all drafts that could be parsed, accepted or not.
-- $feature: feature, e.g. bml; `FROM questions` lists them
-- $run =: run id (the newest production run)
SELECT component, clinician_grade, draft_grade, count(*) AS items
FROM outcome_components JOIN questions USING (question_id)
WHERE feature = $feature AND status = 'graded' AND draft_grade IS NOT NULL
    AND clinician_grade IS NOT NULL
    AND run_id = coalesce($run, (SELECT run_id FROM runs WHERE kind = 'production' ORDER BY started_at DESC, run_id DESC LIMIT 1))
GROUP BY ALL ORDER BY component, clinician_grade, draft_grade
