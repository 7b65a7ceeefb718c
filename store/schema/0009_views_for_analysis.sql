-- Migration 9: views that people ask for most; nothing is stored.

CREATE VIEW v_knee_components AS -- One row per knee-visit and component of all questions, read or not.
    SELECT
        n.patient, -- Patient id.
        n.visit, -- `V00` is baseline.
        n.side, -- `right` or `left`.
        q.question_id, -- 1-69.
        q.feature, -- What is graded.
        q.site, -- Where.
        k.component, -- The component.
        k.scale_type, -- `ordinal`, `count`, `binary` or `nominal`.
        g.status, -- The table's status; NULL when the knee-visit is in no table.
        g.grade, -- The clinician's grade; NULL unless read.
        g.readprj, -- Reading project of each row read; NULL without one.
        n.synthetic, -- True for phantoms and painted images.
        coalesce(z.n_quintuples, 0) AS n_quintuples -- Quintuples of the question in production runs, stale and rejected ones included.
    FROM (
        SELECT patient, visit, side, bool_or(synthetic) AS synthetic FROM volumes GROUP BY ALL
    ) n
    CROSS JOIN questions q
    JOIN components k USING (question_id)
    LEFT JOIN clinician_grades g
        ON g.patient = n.patient AND g.visit = n.visit AND g.side = n.side
        AND g.question_id = q.question_id AND g.component = k.component AND g.is_current
    LEFT JOIN (
        SELECT v.patient, v.visit, v.side, z.question_id, count(*) AS n_quintuples
        FROM quintuples z JOIN volumes v USING (volume_id) JOIN runs r USING (run_id)
        WHERE r.kind = 'production' GROUP BY ALL
    ) z ON z.patient = n.patient AND z.visit = n.visit AND z.side = n.side
        AND z.question_id = q.question_id;

CREATE VIEW v_agreement AS -- Drafts' grades against the clinician's by run, component and scale type, of all parsed drafts.
    SELECT
        c.run_id, -- The run.
        r.kind, -- `production`, `trial` or `control`.
        r.control, -- Which negative control, or `none`.
        r.grounding, -- `blind` or `label_given`.
        r.drafter_model, -- Drafting model as served.
        q.feature, -- What is graded.
        c.component, -- The component.
        k.scale_type, -- Says how grades may be compared.
        c.clinician_grade, -- The clinician's grade: figures over all grades are mostly about 0.
        v.synthetic, -- True for phantoms and painted images.
        count(*) AS n, -- Components with both grades.
        count(*) FILTER (c.draft_grade = c.clinician_grade) AS n_same, -- ... with the same one.
        CASE WHEN k.scale_type IN ('ordinal', 'count') THEN count(*) FILTER (abs(c.draft_grade - c.clinician_grade) <= 1) END AS n_within_one, -- ... at most one apart; NULL where grades are no steps.
        CASE WHEN k.scale_type IN ('ordinal', 'count') THEN avg(c.draft_grade - c.clinician_grade) END AS mean_difference -- Draft minus clinician, in grades; NULL where grades are no steps.
    FROM outcome_components c
    JOIN runs r USING (run_id)
    JOIN questions q USING (question_id)
    JOIN components k USING (question_id, component)
    JOIN volumes v USING (volume_id)
    WHERE c.status = 'graded' AND c.draft_grade IS NOT NULL AND c.clinician_grade IS NOT NULL
    GROUP BY c.run_id, r.kind, r.control, r.grounding, r.drafter_model, q.feature, c.component,
        k.scale_type, c.clinician_grade, v.synthetic;

CREATE VIEW v_acceptance_by_prompt AS -- Acceptance by run, prompt and models, with its counts.
    SELECT
        o.run_id, -- The run.
        r.kind, -- `production`, `trial` or `control`.
        r.control, -- Which negative control, or `none`.
        r.wording, -- `guided` or `zero_shot`.
        p.prompt_id, -- Prompt of the first attempt; NULL when the model never answered.
        p.prompt_version, -- Its version.
        p.prompt_sha256, -- Hash of its template.
        r.drafter_model, -- Drafting model as served.
        r.judge_model, -- NULL without a judge.
        v.synthetic, -- True for phantoms and painted images.
        count(*) FILTER (o.state = 'accepted') AS accepted, -- Items accepted.
        count(*) FILTER (o.state = 'rejected') AS rejected, -- Items rejected by a check or the judge.
        count(*) FILTER (o.state = 'disagrees') AS disagrees, -- Sound drafts with another grade.
        count(*) FILTER (o.state = 'failed') AS failed, -- Infrastructure failures.
        count(*) AS drafted, -- The denominator: the sum of the four.
        count(*) FILTER (o.state = 'accepted') / count(*) AS acceptance -- accepted / drafted.
    FROM v_outcomes o
    JOIN runs r USING (run_id)
    JOIN volumes v USING (volume_id)
    LEFT JOIN (
        SELECT run_id, volume_id, question_id, prompt_id, prompt_version, prompt_sha256
        FROM attempts WHERE attempt_no = 1
    ) p USING (run_id, volume_id, question_id)
    GROUP BY ALL;

CREATE VIEW v_checks AS -- What each check found in a run's own attempts.
    SELECT
        a.run_id, -- The run.
        a.issue."check" AS check_name, -- The check.
        a.issue."version" AS check_version, -- Its version.
        a.issue.code AS code, -- What it found.
        a.issue.severity AS severity, -- `fail` sends the draft back or rejects it; `warn` is kept beside it.
        count(DISTINCT (a.volume_id, a.question_id)) AS items, -- Items with it in any attempt.
        count(DISTINCT (a.volume_id, a.question_id)) FILTER (o.state = 'accepted') AS accepted, -- ... that were accepted all the same: revised, or only warned.
        count(DISTINCT (a.volume_id, a.question_id)) FILTER (o.state = 'rejected') AS rejected -- ... that were rejected.
    FROM (
        SELECT run_id, volume_id, question_id, unnest(issues) AS issue FROM attempts
    ) a
    JOIN v_outcomes o USING (run_id, volume_id, question_id)
    GROUP BY ALL;

CREATE VIEW v_run_costs AS -- What each run took, the judge's part and rechecks apart.
    SELECT
        r.run_id, -- The run.
        r.kind, -- `production`, `trial` or `control`.
        r.drafter_model, -- Drafting model as served.
        r.judge_model, -- NULL without a judge.
        coalesce(a.items, 0) AS items, -- Items with an answer.
        coalesce(z.accepted, 0) AS accepted, -- Quintuples, whatever became of them later.
        coalesce(a.calls, 0) AS calls, -- Calls to the drafter that were answered.
        coalesce(a.prompt_tokens, 0)::BIGINT AS prompt_tokens, -- Tokens sent to it.
        coalesce(a.completion_tokens, 0)::BIGINT AS completion_tokens, -- Tokens that it generated.
        a.latency_s, -- Seconds of its calls, added; they overlap.
        coalesce(j.calls, 0) AS judge_calls, -- Calls to judges that were answered.
        coalesce(j.tokens, 0)::BIGINT AS judge_tokens, -- Tokens sent to them and generated.
        (coalesce(a.prompt_tokens, 0) + coalesce(a.completion_tokens, 0) + coalesce(j.tokens, 0)) / nullif(z.accepted, 0) AS tokens_per_accepted -- All tokens / accepted; NULL without accepted ones.
    FROM runs r
    LEFT JOIN (
        SELECT run_id, count(DISTINCT (volume_id, question_id)) AS items, count(*) AS calls,
            sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
            sum(latency_s) AS latency_s
        FROM attempts GROUP BY ALL
    ) a USING (run_id)
    LEFT JOIN (
        SELECT run_id, count(*) AS calls, sum(prompt_tokens + completion_tokens) AS tokens
        FROM judge_calls GROUP BY ALL
    ) j USING (run_id)
    LEFT JOIN (
        SELECT run_id, count(*) AS accepted FROM quintuples GROUP BY ALL
    ) z USING (run_id);

CREATE VIEW v_stale_counts AS -- Quintuples by what became of them, by run.
    SELECT
        run_id, -- The run.
        status, -- `valid`, `stale` or `rejected`.
        stale_reasons, -- Why; empty when nothing it rests on changed.
        count(*) AS quintuples -- How many.
    FROM v_quintuples
    GROUP BY ALL;

CREATE VIEW v_selection_weight AS -- Inverse acceptance by run, component and clinician grade (RULES 16), smoothed as in an export.
    SELECT
        s.run_id, -- The run.
        s.feature, -- What is graded.
        s.component, -- The component.
        s.clinician_grade, -- The clinician's grade.
        s.synthetic, -- True for phantoms and painted images.
        s.n_read, -- Components that a clinician read.
        s.n_accepted, -- ... in accepted items.
        (s.n_read + 10) / nullif(s.n_accepted + 10 * sum(s.n_accepted) OVER same / sum(s.n_read) OVER same, 0) AS weight -- Read / accepted, with 10 components of the component's mean acceptance added; NULL where nothing was accepted. Not scaled to a mean of 1.
    FROM (
        SELECT run_id, feature, component, clinician_grade, synthetic,
            sum(n_read)::BIGINT AS n_read, sum(n_accepted)::BIGINT AS n_accepted
        FROM v_selection WHERE clinician_status = 'read' GROUP BY ALL
    ) s
    WINDOW same AS (PARTITION BY s.run_id, s.feature, s.component, s.synthetic);
