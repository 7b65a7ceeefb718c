-- Migration 6: items chosen by quota. A run may be worked off by several choices, one after another;
-- what none of them chose stays `pending`.

CREATE TABLE run_quotas ( -- One quota by which items of a run were chosen (`generate --quota`).
    run_id VARCHAR NOT NULL, -- The run.
    choice_no SMALLINT NOT NULL, -- 1, 2, ... within the run; a choice is made once and kept by resumption.
    quota_no SMALLINT NOT NULL, -- 1, 2, ... within the choice, in the order asked for.
    quota VARCHAR NOT NULL, -- As asked for, e.g. `bml grade>=2:30`; the grade is the clinician's.
    questions VARCHAR, -- Question ids that it was restricted to; NULL for all.
    visit VARCHAR, -- Visit that it was restricted to; NULL for all.
    wanted INTEGER NOT NULL, -- Items asked for.
    available INTEGER NOT NULL, -- Items that could be drafted and match.
    chosen INTEGER NOT NULL, -- Of those, items that were chosen or drafted already; another quota may add to them.
    chosen_at TIMESTAMP NOT NULL, -- When it was committed.
    PRIMARY KEY (run_id, choice_no, quota_no)
);

CREATE TABLE run_quota_items ( -- The items that a choice holds, those drafted before it included.
    run_id VARCHAR NOT NULL, -- The run.
    choice_no SMALLINT NOT NULL, -- The choice.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    quota_nos SMALLINT[] NOT NULL, -- The quotas that it counts for.
    PRIMARY KEY (run_id, choice_no, volume_id, question_id)
);

CREATE VIEW v_quotas AS -- What became of each quota of a run.
    SELECT
        u.run_id, -- The run.
        u.choice_no, -- 1, 2, ... within the run.
        u.quota_no, -- 1, 2, ... within the choice.
        u.quota, -- As asked for; the grade is the clinician's.
        u.questions, -- Question ids that it was restricted to; NULL for all.
        u.visit, -- Visit that it was restricted to; NULL for all.
        u.wanted, -- Items asked for.
        u.available, -- Items that could be drafted and match.
        u.chosen, -- Items that were chosen or drafted already.
        count(DISTINCT v.patient) AS n_patients, -- Patients of the chosen items.
        count(o.state) AS n_drafted, -- Chosen items that are drafted by now.
        count(*) FILTER (o.state = 'accepted') AS n_accepted -- Chosen items that are accepted by now.
    FROM run_quotas u
    LEFT JOIN (
        SELECT run_id, choice_no, volume_id, question_id, unnest(quota_nos) AS quota_no
        FROM run_quota_items
    ) i USING (run_id, choice_no, quota_no)
    LEFT JOIN volumes v USING (volume_id)
    LEFT JOIN v_outcomes o
        ON o.run_id = u.run_id AND o.volume_id = i.volume_id AND o.question_id = i.question_id
    GROUP BY ALL;
