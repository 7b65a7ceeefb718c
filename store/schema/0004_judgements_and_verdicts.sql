-- Migration 4: what judges say, and verdicts that come after a run (`recheck`).
-- An outcome keeps the run's own verdict for ever; later ones are rows beside it, and the views
-- follow the newest.

CREATE TABLE judgements ( -- What a judge said of one draft; the calls are in judge_calls.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    verdict_no SMALLINT NOT NULL, -- The verdict that it belongs to; 1 is the run's own.
    attempt_no SMALLINT NOT NULL, -- The attempt that was judged.
    judge_model VARCHAR NOT NULL, -- The judge, as the settings name it.
    prompts STRUCT(prompt_id VARCHAR, version INTEGER, sha256 VARCHAR)[] NOT NULL, -- Every prompt that the judge could be sent.
    versions MAP(VARCHAR, INTEGER) NOT NULL, -- Versions of the masking and of the rules that read its answers.
    grades STRUCT("size" SMALLINT, "number" SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), -- The blind re-answer's grade of each component; NULL when none could be read.
    marks STRUCT(item VARCHAR, essential BOOLEAN, holds BOOLEAN, reason VARCHAR)[] NOT NULL, -- Marks of the rubric; empty when it was not reached.
    codes VARCHAR[] NOT NULL, -- Why the draft is refused; empty when it passed.
    passed BOOLEAN NOT NULL, -- True when nothing spoke against the draft.
    recorded_at TIMESTAMP NOT NULL, -- When it was committed.
    PRIMARY KEY (run_id, volume_id, question_id, verdict_no)
);

CREATE TABLE judge_calls ( -- One call to a judge, as it was answered.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    verdict_no SMALLINT NOT NULL, -- The verdict that it belongs to.
    call_no SMALLINT NOT NULL, -- 1, 2, ... within the judgement; repairs count on.
    task VARCHAR NOT NULL, -- `reanswer` or `rubric`.
    prompt_id VARCHAR NOT NULL, -- Prompt that was rendered.
    prompt_version INTEGER NOT NULL, -- Its version.
    prompt_sha256 VARCHAR NOT NULL, -- Hash of the template.
    prompt_text_sha256 VARCHAR NOT NULL, -- Hash of the rendered messages.
    model VARCHAR NOT NULL, -- Model name as served.
    temperature DOUBLE, -- As sent; NULL when it was not sent.
    top_p DOUBLE, -- As sent; NULL when it was not sent.
    max_tokens BIGINT, -- As sent; NULL when it was not sent.
    seed BIGINT, -- As sent; provenance, not reproducibility.
    sampling_other MAP(VARCHAR, VARCHAR) NOT NULL, -- Every other sampling value, as a JSON scalar.
    prompt_tokens INTEGER NOT NULL, -- Tokens sent.
    completion_tokens INTEGER NOT NULL, -- Tokens generated.
    latency_s DOUBLE NOT NULL, -- Seconds from sending to the last byte.
    finish_reason VARCHAR NOT NULL, -- As the server gave it.
    text VARCHAR NOT NULL, -- The raw answer.
    PRIMARY KEY (run_id, volume_id, question_id, verdict_no, call_no)
);

CREATE TABLE rechecks ( -- One pass of present checks, or of another judge, over a run's stored attempts.
    recheck_id VARCHAR PRIMARY KEY, -- Short, sortable, unique in the store.
    run_id VARCHAR NOT NULL, -- The run.
    fingerprint VARCHAR NOT NULL, -- Over checks, calibration, warnings and judge: the same ones resume.
    checks MAP(VARCHAR, INTEGER) NOT NULL, -- Check to version.
    warn_only VARCHAR[] NOT NULL, -- Checks that only warned.
    judge_model VARCHAR, -- NULL when no judge was asked; what an earlier judge said then still counts.
    prompts STRUCT(prompt_id VARCHAR, version INTEGER, sha256 VARCHAR)[] NOT NULL, -- The judge's prompts.
    provenance MAP(VARCHAR, VARCHAR) NOT NULL, -- Commit, settings file, calibration: not identity.
    started_at TIMESTAMP NOT NULL -- First start.
);

CREATE TABLE verdicts ( -- A later verdict on an item of a run; never overwritten. The first is in outcomes.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    verdict_no SMALLINT NOT NULL, -- 2, 3, ...
    recheck_id VARCHAR NOT NULL, -- The recheck that gave it.
    attempt_no SMALLINT NOT NULL, -- The attempt that was checked: the item's last.
    state VARCHAR NOT NULL, -- `accepted`, `rejected`, `disagrees` or `failed`.
    codes VARCHAR[] NOT NULL, -- Reasons, as in outcomes.
    gates VARCHAR[] NOT NULL, -- Gates it passed through, as in outcomes.
    complete BOOLEAN NOT NULL, -- True when every component of the question was graded.
    issues STRUCT("check" VARCHAR, "version" INTEGER, code VARCHAR, severity VARCHAR, message VARCHAR)[] NOT NULL, -- What the checks found.
    error VARCHAR, -- Message of an infrastructure failure.
    recorded_at TIMESTAMP NOT NULL, -- When it was committed.
    PRIMARY KEY (run_id, volume_id, question_id, verdict_no)
);

DROP VIEW v_quintuples;
DROP VIEW v_acceptance;
DROP VIEW v_selection;
DROP VIEW v_item_states;

CREATE VIEW v_verdicts AS -- Every verdict on every finished item, the run's own and later ones.
    SELECT
        w.run_id, -- The run.
        w.volume_id, -- The volume.
        w.question_id, -- 1-69.
        w.verdict_no, -- 1 is the run's own.
        w.recheck_id, -- The recheck that gave it; NULL for the run's own.
        w.attempt_no, -- The attempt that it is of; 0 when the model never answered.
        w.state, -- `accepted`, `rejected`, `disagrees` or `failed`.
        w.codes, -- Reasons.
        w.gates, -- Gates it passed through.
        j.judge_model, -- The judge that was asked; NULL when none was, also where an earlier one's word was kept.
        w.recorded_at, -- When it was committed.
        w.verdict_no = max(w.verdict_no) OVER (PARTITION BY w.run_id, w.volume_id, w.question_id) AS is_newest -- True for the verdict that the other views follow.
    FROM (
        SELECT run_id, volume_id, question_id, 1::SMALLINT AS verdict_no,
            NULL::VARCHAR AS recheck_id, n_attempts AS attempt_no, state, codes, gates, recorded_at
        FROM outcomes
        UNION ALL BY NAME
        SELECT run_id, volume_id, question_id, verdict_no, recheck_id, attempt_no, state, codes,
            gates, recorded_at
        FROM verdicts
    ) w
    LEFT JOIN judgements j USING (run_id, volume_id, question_id, verdict_no);

CREATE VIEW v_outcomes AS -- Finished items by their newest verdict.
    SELECT
        o.run_id, -- The run.
        o.volume_id, -- The volume.
        o.question_id, -- 1-69.
        o.findings_id, -- The findings that were used; of another knee in a shuffled control.
        coalesce(w.state, o.state) AS state, -- The newest verdict.
        coalesce(w.codes, o.codes) AS codes, -- Its reasons.
        coalesce(w.gates, o.gates) AS gates, -- Its gates.
        coalesce(w.complete, o.complete) AS complete, -- True when every component of the question was graded.
        o.n_attempts, -- Rows in attempts.
        coalesce(w.verdict_no, 1::SMALLINT) AS verdict_no, -- 1 is the run's own verdict.
        o.state AS first_state, -- The run's own verdict.
        o.recorded_at -- When the item was finished.
    FROM outcomes o
    LEFT JOIN (
        SELECT run_id, volume_id, question_id,
            arg_max(state, verdict_no) AS state,
            arg_max(codes, verdict_no) AS codes,
            arg_max(gates, verdict_no) AS gates,
            arg_max(complete, verdict_no) AS complete,
            max(verdict_no) AS verdict_no
        FROM verdicts GROUP BY ALL
    ) w USING (run_id, volume_id, question_id);

CREATE VIEW v_judgements AS -- What judges said, with the verdict that came of it.
    SELECT
        j.run_id, -- The run.
        j.volume_id, -- The volume.
        j.question_id, -- 1-69.
        q.feature, -- What is graded.
        j.verdict_no, -- 1 is the run's own.
        j.judge_model, -- The judge, as the settings name it.
        j.grades AS judge_grades, -- The blind re-answer's grades.
        a.grades AS draft_grades, -- The draft's grades.
        j.marks, -- Marks of the rubric.
        j.codes, -- Why the draft is refused.
        j.passed, -- True when nothing spoke against the draft.
        w.is_newest, -- True when no later verdict stands.
        c.calls, -- Calls that were answered.
        c.tokens -- Tokens sent and generated.
    FROM judgements j
    JOIN questions q USING (question_id)
    JOIN attempts a USING (run_id, volume_id, question_id, attempt_no)
    JOIN v_verdicts w USING (run_id, volume_id, question_id, verdict_no)
    LEFT JOIN (
        SELECT run_id, volume_id, question_id, verdict_no, count(*) AS calls,
            sum(prompt_tokens + completion_tokens)::BIGINT AS tokens
        FROM judge_calls GROUP BY ALL
    ) c USING (run_id, volume_id, question_id, verdict_no);

CREATE VIEW v_staleness AS -- Of each quintuple: what it rests on that is another one now (RULES 27).
    SELECT
        z.run_id, -- The run.
        z.volume_id, -- The volume.
        z.question_id, -- 1-69.
        list_filter([
            CASE WHEN r.control <> 'shuffled-findings' AND z.findings_id <> v.findings_id THEN 'findings' END,
            CASE WHEN c.changed THEN 'clinician_grade' END
        ], lambda reason: reason IS NOT NULL) AS stale_reasons -- `findings`, `clinician_grade`; empty when neither changed.
    FROM quintuples z
    JOIN runs r USING (run_id)
    JOIN volumes v USING (volume_id)
    LEFT JOIN (
        SELECT k.run_id, k.volume_id, k.question_id,
            bool_or(g.grade IS DISTINCT FROM k.clinician_grade
                OR g.status IS DISTINCT FROM k.clinician_status) AS changed
        FROM outcome_components k
        JOIN volumes w USING (volume_id)
        JOIN clinician_grades g
            ON g.patient = w.patient AND g.visit = w.visit AND g.side = w.side
            AND g.question_id = k.question_id AND g.component = k.component AND g.is_current
        WHERE k.status = 'graded' GROUP BY ALL
    ) c USING (run_id, volume_id, question_id);

CREATE VIEW v_item_states AS -- The state of all 69 questions of each volume of a run, by the newest verdict.
    SELECT
        i.run_id, -- The run.
        i.volume_id, -- The volume.
        i.question_id, -- 1-69.
        q.feature, -- What is graded.
        coalesce(o.state, i.starting_state) AS state, -- One of the eight states.
        v.synthetic -- True when the volume is a phantom or painted.
    FROM run_items i
    JOIN questions q USING (question_id)
    JOIN volumes v USING (volume_id)
    LEFT JOIN v_outcomes o USING (run_id, volume_id, question_id);

CREATE VIEW v_quintuples AS -- Accepted items, flat: one row is everything a trainer or analyst needs; `status` says whether it still holds.
    SELECT
        z.run_id, -- The run.
        z.volume_id, -- `<patient>/<visit>/<side>/<sequence>`.
        v.patient, -- Patient id.
        v.visit, -- `V00` is baseline.
        v.side, -- `right` or `left`.
        v.sequence, -- MRI sequence of the image.
        v.split, -- train, val or test; NULL when the cohort does not say.
        z.question_id, -- 1-69.
        q.feature, -- What is graded.
        q.site, -- Where.
        q.region, -- `<feature>:<site>`.
        q.region_name, -- The region in words.
        q.compartment, -- `medial`, `lateral` or `midline`.
        g.box, -- Voxel box in the stored array, half-open; NULL in shuffled controls.
        g.box_world, -- The same box in RAS mm.
        g.box_source, -- `mask`, `partition` or `derived`.
        g.truncated, -- True where the field of view cuts the region off.
        g.definition_id, -- Definition of the region and its version.
        a.steps, -- The reasoning steps in the order written.
        a.grades, -- The grade of each component, NULL where not asked.
        c.clinician_grades, -- The clinician's grade of each component, NULL unless read.
        z.components_scored, -- Components that were graded and compared.
        z.complete, -- True when every component of the question was graded.
        r.kind, -- `production`, `trial` or `control`.
        r.control, -- Which negative control, or `none`.
        r.grounding, -- `blind` or `label_given`.
        r.wording, -- `guided` or `zero_shot`.
        a.prompt_id, -- Prompt that was rendered.
        a.prompt_version, -- Its version.
        a.prompt_sha256, -- Hash of the template.
        a.model, -- Drafting model as served.
        r.judge_model, -- NULL while there is no judge.
        'model' AS author, -- Who wrote the steps: never a clinician.
        o.gates, -- Gates of the newest verdict, as `name@version`; the judge's is `judge:<model>@…` or `judge:none`.
        z.attempt_no, -- The attempt that was accepted.
        o.n_attempts, -- Attempts of the item.
        a.grade_changed, -- True when the revision gave another grade than the attempt before.
        z.findings_id, -- The findings that were used.
        v.image, -- Image file, relative to the cohort's root.
        v.label_map, -- Label map file, relative to the cohort's root.
        v.scheme, -- Label-map scheme.
        v.mask_source, -- Where the masks come from.
        v.segmenter, -- Who or what drew the masks, with version.
        v.licence, -- Licence of image and masks.
        r.provenance['model_licence'] AS model_licence, -- Licence of the drafting model's weights.
        z.synthetic, -- True for phantoms and painted images: never pooled with patients.
        v.image_source, -- Where the image comes from; NULL when not known.
        v.image_licence, -- Licence of the image; NULL when not known.
        v.restricted, -- True where the data may not leave the machine; NULL (not known) counts as true.
        v.segmenter_trained_on, -- Whether the segmenter was trained on this patient; NULL when not known.
        CASE WHEN o.state = 'accepted' AND len(s.stale_reasons) = 0 THEN 'valid' ELSE 'stale' END AS status, -- `valid`, or `stale` when the newest verdict or what it rests on is another one.
        CASE WHEN o.state = 'accepted' THEN s.stale_reasons ELSE list_prepend('verdict', s.stale_reasons) END AS stale_reasons, -- `verdict` (a recheck says otherwise), `findings` (the volume was described anew), `clinician_grade` (the table changed); empty when valid.
        o.verdict_no -- Number of the newest verdict; 1 is the run's own.
    FROM quintuples z
    JOIN v_outcomes o USING (run_id, volume_id, question_id)
    JOIN v_staleness s USING (run_id, volume_id, question_id)
    JOIN attempts a USING (run_id, volume_id, question_id, attempt_no)
    JOIN runs r USING (run_id)
    JOIN volumes v USING (volume_id)
    JOIN questions q USING (question_id)
    LEFT JOIN (
        SELECT run_id, volume_id, question_id, struct_pack(
            "size" := max(clinician_grade) FILTER (component = 'size'),
            "number" := max(clinician_grade) FILTER (component = 'number'),
            percent_bml := max(clinician_grade) FILTER (component = 'percent_bml'),
            full_thickness := max(clinician_grade) FILTER (component = 'full_thickness'),
            grade := max(clinician_grade) FILTER (component = 'grade'),
            morphology := max(clinician_grade) FILTER (component = 'morphology'),
            presence := max(clinician_grade) FILTER (component = 'presence'),
            tear_location := max(clinician_grade) FILTER (component = 'tear_location'),
            complete_tear := max(clinician_grade) FILTER (component = 'complete_tear'),
            bml_cyst := max(clinician_grade) FILTER (component = 'bml_cyst'),
            repair := max(clinician_grade) FILTER (component = 'repair'),
            signal_abnormality := max(clinician_grade) FILTER (component = 'signal_abnormality')
        ) AS clinician_grades
        FROM outcome_components GROUP BY ALL
    ) c USING (run_id, volume_id, question_id)
    LEFT JOIN regions g
        ON g.volume_id = z.volume_id AND g.findings_id = z.findings_id
        AND g.question_id = z.question_id;

CREATE VIEW v_acceptance AS -- Acceptance by run, question, component and clinician grade, with its counts.
    SELECT
        o.run_id, -- The run.
        r.kind, -- `production`, `trial` or `control`.
        r.control, -- Which negative control, or `none`.
        o.question_id, -- 1-69.
        q.feature, -- What is graded.
        c.component, -- The component; an item counts once under each that was asked.
        c.clinician_grade, -- The clinician's grade of the item itself, in controls too.
        v.synthetic, -- True for phantoms and painted images.
        count(*) FILTER (o.state = 'accepted') AS accepted, -- Items accepted.
        count(*) FILTER (o.state = 'rejected') AS rejected, -- Items rejected by a check or the judge.
        count(*) FILTER (o.state = 'disagrees') AS disagrees, -- Sound drafts with another grade.
        count(*) FILTER (o.state = 'failed') AS failed, -- Infrastructure failures.
        count(*) AS drafted, -- The denominator: the sum of the four.
        count(*) FILTER (o.state = 'accepted') / count(*) AS acceptance -- accepted / drafted.
    FROM outcome_components c
    JOIN v_outcomes o USING (run_id, volume_id, question_id)
    JOIN runs r USING (run_id)
    JOIN questions q USING (question_id)
    JOIN volumes v USING (volume_id)
    WHERE c.status = 'graded'
    GROUP BY ALL;

CREATE VIEW v_selection AS -- From all components of a run's knees to the accepted ones, by clinician grade.
    SELECT
        i.run_id, -- The run.
        q.feature, -- What is graded.
        k.component, -- The component.
        coalesce(c.clinician_status, g.status) AS clinician_status, -- The table's status; NULL when the knee-visit is in no table.
        CASE WHEN c.run_id IS NULL THEN g.grade ELSE c.clinician_grade END AS clinician_grade, -- The clinician's grade; NULL unless read.
        v.synthetic, -- True for phantoms and painted images.
        count(*) AS n_all, -- Components of all 69 questions.
        count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read') AS n_read, -- ... that a clinician read.
        count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read' AND b.box IS NOT NULL) AS n_boxed, -- ... whose region has a box.
        count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read' AND b.box IS NOT NULL AND e.level IN ('measured', 'weak')) AS n_evidence, -- ... with evidence that text can cite; an image alone is none of it.
        count(*) FILTER (c.status = 'graded') AS n_drafted, -- ... that were drafted.
        count(*) FILTER (c.status = 'graded' AND o.state = 'accepted') AS n_accepted -- ... in accepted items.
    FROM run_items i
    JOIN volumes v USING (volume_id)
    JOIN questions q USING (question_id)
    JOIN components k USING (question_id)
    LEFT JOIN regions b
        ON b.volume_id = i.volume_id AND b.findings_id = i.findings_id
        AND b.question_id = i.question_id
    LEFT JOIN evidence e
        ON e.volume_id = i.volume_id AND e.findings_id = i.findings_id
        AND e.question_id = i.question_id AND e.component = k.component
    LEFT JOIN clinician_grades g
        ON g.patient = v.patient AND g.visit = v.visit AND g.side = v.side
        AND g.question_id = i.question_id AND g.component = k.component AND g.is_current
    LEFT JOIN outcome_components c
        ON c.run_id = i.run_id AND c.volume_id = i.volume_id
        AND c.question_id = i.question_id AND c.component = k.component
    LEFT JOIN v_outcomes o
        ON o.run_id = i.run_id AND o.volume_id = i.volume_id AND o.question_id = i.question_id
    GROUP BY ALL;
