-- The most frequent reasons why items were not accepted, by the prompt of their first attempt, over all runs of a kind.
-- $kind = production: production, trial or control
-- $limit = 50: rows
SELECT prompt_id, prompt_version, left(prompt_sha256, 15) AS prompt_sha256, state, code,
    count(*) AS items
FROM (
    SELECT run_id, volume_id, question_id, state, unnest(list_distinct(codes)) AS code
    FROM v_outcomes SEMI JOIN (SELECT run_id FROM runs WHERE kind = $kind) USING (run_id)
    WHERE state <> 'accepted'
) JOIN attempts USING (run_id, volume_id, question_id)
WHERE attempt_no = 1
GROUP BY ALL ORDER BY items DESC, prompt_id, prompt_version, state, code LIMIT $limit::BIGINT
