-- Acceptance by feature, component and clinician grade of a run; an item counts under each asked component.
-- $run =: run id (the newest production run)
SELECT feature, component, clinician_grade,
    sum(accepted)::BIGINT AS accepted, sum(rejected)::BIGINT AS rejected,
    sum(disagrees)::BIGINT AS disagrees, sum(failed)::BIGINT AS failed,
    round(sum(accepted) / sum(drafted), 4) AS acceptance
FROM v_acceptance
WHERE run_id = coalesce($run, (SELECT run_id FROM runs WHERE kind = 'production' ORDER BY started_at DESC, run_id DESC LIMIT 1))
GROUP BY ALL ORDER BY min(question_id), component, clinician_grade
