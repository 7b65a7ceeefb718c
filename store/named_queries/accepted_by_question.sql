-- Acceptance of each question of a run: accepted / (accepted + rejected + disagrees + failed).
-- $run =: run id (the newest production run)
SELECT question_id, q.feature, q.region_name,
    count(*) FILTER (state = 'accepted') AS accepted,
    count(*) FILTER (state = 'rejected') AS rejected,
    count(*) FILTER (state = 'disagrees') AS disagrees,
    count(*) FILTER (state = 'failed') AS failed,
    round(accepted / count(*), 4) AS acceptance
FROM v_outcomes JOIN questions q USING (question_id)
WHERE run_id = coalesce($run, (SELECT run_id FROM runs WHERE kind = 'production' ORDER BY started_at DESC, run_id DESC LIMIT 1))
GROUP BY ALL ORDER BY question_id
