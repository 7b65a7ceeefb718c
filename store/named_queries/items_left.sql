-- Items of a run that are still to be drafted, by feature.
-- $run =: run id (the newest production run)
SELECT q.feature, count(*) AS items, count(DISTINCT i.volume_id) AS volumes
FROM run_items i JOIN questions q USING (question_id)
ANTI JOIN outcomes o USING (run_id, volume_id, question_id)
WHERE starting_state = 'pending' AND i.run_id = coalesce($run, (SELECT run_id FROM runs WHERE kind = 'production' ORDER BY started_at DESC, run_id DESC LIMIT 1))
GROUP BY ALL ORDER BY min(question_id)
