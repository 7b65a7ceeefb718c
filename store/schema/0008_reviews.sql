-- Migration 8: what people say of texts, one by one and in blinded samples. A review is of one text of
-- one question about one volume, by its hash: where a later run writes the same text again, it holds there too.

CREATE TABLE reviews ( -- What a person said of one text; rows are only ever added, the newest verdict holds.
    review_no BIGINT PRIMARY KEY, -- 1, 2, ... in the store.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    run_id VARCHAR NOT NULL, -- The run whose text was looked at.
    attempt_no SMALLINT NOT NULL, -- The attempt that was looked at.
    text_sha256 VARCHAR NOT NULL, -- Of the text that was looked at: names and texts of the steps, and grades.
    reviewer VARCHAR NOT NULL, -- Who; the readers of a sample as `A+B`.
    verdict VARCHAR NOT NULL, -- `accept`, `reject`, or `note`, which changes nothing.
    reason VARCHAR, -- What is wrong with it, of a closed list; NULL unless rejected or discordant.
    note VARCHAR, -- In the reviewer's words.
    sample VARCHAR, -- The blinded sample that it comes from; NULL for a single review.
    reviewed_at TIMESTAMP NOT NULL -- When.
);

CREATE TABLE review_samples ( -- A blinded sample of drafted items for two readers (RULES 21).
    name VARCHAR PRIMARY KEY, -- Chosen by a person.
    run_id VARCHAR NOT NULL, -- The run that it was drawn from.
    seed BIGINT NOT NULL, -- Of the draw.
    readers VARCHAR[] NOT NULL, -- Who reads; each has a sheet in an order of its own.
    drawn_at TIMESTAMP NOT NULL -- When.
);

CREATE TABLE review_sample_items ( -- An item of a sample, with the weight of its stratum.
    sample VARCHAR NOT NULL, -- The sample.
    code VARCHAR NOT NULL, -- What the sheets call it; says nothing of the item.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    attempt_no SMALLINT NOT NULL, -- The attempt that is read.
    text_sha256 VARCHAR NOT NULL, -- Of its text.
    state VARCHAR NOT NULL, -- Its state when it was drawn; not on the sheets.
    stratum VARCHAR NOT NULL, -- `<accepted|judge>:<feature>:<0|1+|unread>`; not on the sheets.
    weight DOUBLE NOT NULL, -- Items of the stratum / those drawn.
    PRIMARY KEY (sample, code)
);

CREATE TABLE review_reads ( -- One reader's word on one item of a sample.
    sample VARCHAR NOT NULL, -- The sample.
    code VARCHAR NOT NULL, -- The item.
    reader VARCHAR NOT NULL, -- Who.
    adjudicates BOOLEAN NOT NULL, -- True for the word that settles a difference of the two readers.
    verdict VARCHAR NOT NULL, -- `ok` or `wrong`: the text, not the grade.
    reason VARCHAR, -- What is wrong, of a closed list; NULL when nothing is.
    grades MAP(VARCHAR, SMALLINT) NOT NULL, -- The reader's own grade of each component; empty when not given.
    note VARCHAR, -- In the reader's words.
    read_at TIMESTAMP NOT NULL, -- When it was recorded.
    PRIMARY KEY (sample, code, reader)
);

CREATE VIEW v_texts AS -- The text of each parsed attempt by its hash; what a review is of.
    SELECT
        a.run_id, -- The run.
        a.volume_id, -- The volume.
        a.question_id, -- 1-69.
        a.attempt_no, -- The attempt.
        'sha256:' || sha256(array_to_string(list_transform(a.steps, lambda s: s.name || chr(31) || s."text"), chr(30)) || chr(29) || to_json(a.grades)::VARCHAR) AS text_sha256 -- Over names and texts of the steps, and the grades.
    FROM attempts a
    WHERE a.steps IS NOT NULL;

CREATE VIEW v_review_status AS -- Of each text that was reviewed, in every run that has it: the word that holds.
    WITH candidates AS MATERIALIZED (
        -- Hashes are taken of the few reviewed items alone, so the join comes first.
        SELECT a.run_id, a.volume_id, a.question_id, a.attempt_no, v.text_sha256, v.review_no,
            v.verdict, v.reviewer, v.reason, a.steps, a.grades
        FROM reviews v JOIN attempts a USING (volume_id, question_id)
        WHERE a.steps IS NOT NULL
    ), fitting AS (
        SELECT * FROM candidates
        WHERE text_sha256 = 'sha256:' || sha256(array_to_string(list_transform(steps, lambda s: s.name || chr(31) || s."text"), chr(30)) || chr(29) || to_json(grades)::VARCHAR)
    )
    SELECT
        f.run_id, -- A run that has the text.
        f.volume_id, -- The volume.
        f.question_id, -- 1-69.
        f.attempt_no, -- The attempt.
        f.text_sha256, -- The text.
        arg_max(f.verdict, f.review_no) FILTER (f.verdict <> 'note') AS verdict, -- `accept` or `reject`, the newest; NULL with notes alone.
        arg_max(f.reviewer, f.review_no) FILTER (f.verdict <> 'note') AS reviewer, -- Whose it is.
        arg_max(f.reason, f.review_no) FILTER (f.verdict <> 'note') AS reason, -- Why.
        count(*) AS n_reviews -- Reviews of the text, notes included.
    FROM fitting f
    GROUP BY ALL;

DROP VIEW v_quintuples;

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
        CASE WHEN p.verdict = 'reject' THEN 'rejected' WHEN o.state = 'accepted' AND len(s.stale_reasons) = 0 THEN 'valid' ELSE 'stale' END AS status, -- `valid`; `rejected` by a person, of this very text; `stale` when the newest verdict or what it rests on is another one.
        CASE WHEN o.state = 'accepted' THEN s.stale_reasons ELSE list_prepend('verdict', s.stale_reasons) END AS stale_reasons, -- `verdict` (a recheck says otherwise), `findings` (the volume was described anew), `clinician_grade` (the table changed); empty when valid.
        o.verdict_no, -- Number of the newest verdict; 1 is the run's own.
        CASE WHEN p.verdict = 'accept' THEN p.reviewer END AS checked_by -- Who accepted this very text; NULL when nobody did.
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
        AND g.question_id = z.question_id
    LEFT JOIN v_review_status p
        ON p.run_id = z.run_id AND p.volume_id = z.volume_id
        AND p.question_id = z.question_id AND p.attempt_no = z.attempt_no;
