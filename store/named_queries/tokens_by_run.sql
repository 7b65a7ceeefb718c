-- Calls, tokens and latency of each run, the judge's apart.
SELECT r.run_id, r.kind, r.drafter_model, a.calls, a.prompt_tokens, a.completion_tokens,
    a.median_latency_s, coalesce(j.calls, 0) AS judge_calls, coalesce(j.tokens, 0) AS judge_tokens
FROM runs r
LEFT JOIN (
    SELECT run_id, count(*) AS calls, sum(prompt_tokens)::BIGINT AS prompt_tokens,
        sum(completion_tokens)::BIGINT AS completion_tokens,
        round(quantile_cont(latency_s, 0.5), 2) AS median_latency_s
    FROM attempts GROUP BY ALL
) a USING (run_id)
LEFT JOIN (
    SELECT run_id, count(*) AS calls, sum(prompt_tokens + completion_tokens)::BIGINT AS tokens
    FROM judge_calls GROUP BY ALL
) j USING (run_id)
ORDER BY r.started_at, r.run_id
