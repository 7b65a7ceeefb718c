-- Acceptance by feature, component and clinician grade of a run; an item counts under each asked component.
-- $run =: run id (the newest production run)
-- As v_acceptance counts, without the knees' and runs' columns, whose joins cost more than all the rest.
WITH chosen AS (
    SELECT coalesce($run, (SELECT run_id FROM runs WHERE kind = 'production' ORDER BY started_at DESC, run_id DESC LIMIT 1)) AS run_id
), counted AS (
    SELECT c.question_id, c.component, c.clinician_grade,
        count(*) FILTER (o.state = 'accepted') AS accepted,
        count(*) FILTER (o.state = 'rejected') AS rejected,
        count(*) FILTER (o.state = 'disagrees') AS disagrees,
        count(*) FILTER (o.state = 'failed') AS failed
    FROM (
        SELECT volume_id, question_id, component, clinician_grade FROM outcome_components
        WHERE status = 'graded' AND run_id = (SELECT run_id FROM chosen)
    ) c
    JOIN (
        SELECT volume_id, question_id, state FROM v_outcomes
        WHERE run_id = (SELECT run_id FROM chosen)
    ) o USING (volume_id, question_id)
    GROUP BY ALL
)
SELECT q.feature, component, clinician_grade,
    sum(accepted)::BIGINT AS accepted, sum(rejected)::BIGINT AS rejected,
    sum(disagrees)::BIGINT AS disagrees, sum(failed)::BIGINT AS failed,
    round(sum(accepted) / sum(accepted + rejected + disagrees + failed), 4) AS acceptance
FROM counted JOIN questions q USING (question_id)
GROUP BY ALL ORDER BY min(question_id), component, clinician_grade
