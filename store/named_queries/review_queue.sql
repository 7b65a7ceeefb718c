-- A page of accepted items of a run whose text nobody has decided on.
-- $run =: run id (the newest production run)
-- $page = 1: page, from 1
-- $size = 50: items a page
SELECT o.volume_id, o.question_id, q.feature, q.region_name, o.run_id
FROM v_outcomes o JOIN questions q USING (question_id)
LEFT JOIN v_review_status p
    ON p.run_id = o.run_id AND p.volume_id = o.volume_id AND p.question_id = o.question_id
    AND p.verdict IS NOT NULL
WHERE o.state = 'accepted' AND p.verdict IS NULL
    AND o.run_id = coalesce($run, (SELECT run_id FROM runs WHERE kind = 'production' ORDER BY started_at DESC, run_id DESC LIMIT 1))
ORDER BY o.volume_id, o.question_id
LIMIT $size::BIGINT OFFSET ($page::BIGINT - 1) * $size::BIGINT
