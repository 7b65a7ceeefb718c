-- Migration 1. A comment behind a table, view or column becomes its COMMENT ON in the file.
-- Times are UTC. Hashes are `sha256:<hex>`. Never edit a released migration: add the next one.

CREATE TABLE volumes ( -- One volume of a cohort: which knee, which files, whose masks.
    volume_id VARCHAR PRIMARY KEY, -- `<patient>/<visit>/<side>/<sequence>`.
    patient VARCHAR NOT NULL, -- Patient id; items of one patient are not independent.
    visit VARCHAR NOT NULL, -- `V00` is baseline.
    side VARCHAR NOT NULL, -- `right` or `left`.
    sequence VARCHAR NOT NULL, -- MRI sequence of the image, lower case.
    image VARCHAR, -- Image file, relative to cohort_root; NULL when there is only a label map.
    label_map VARCHAR NOT NULL, -- Label map file, relative to cohort_root.
    cohort_root VARCHAR NOT NULL, -- Folder of the cohort when it was prepared; never exported.
    scheme VARCHAR NOT NULL, -- Label-map scheme: which number is which structure.
    mask_source VARCHAR, -- Where the masks come from; NULL when not known.
    segmenter VARCHAR, -- Who or what drew the masks, with version; NULL when not known.
    licence VARCHAR, -- Licence of image and masks; NULL when not known.
    synthetic BOOLEAN NOT NULL, -- True for phantoms and painted images.
    split VARCHAR, -- train, val or test; NULL when the cohort does not say.
    status VARCHAR NOT NULL, -- `ready`, or `failed` when the volume could not be described.
    reason VARCHAR, -- Why it failed.
    findings_id VARCHAR, -- The findings that are current; older sets stay in findings_sets.
    added_at TIMESTAMP NOT NULL, -- First prepared.
    updated_at TIMESTAMP NOT NULL -- Last prepared.
);

CREATE TABLE findings_sets ( -- All findings of one volume as computed once; append-only.
    volume_id VARCHAR NOT NULL, -- The volume.
    findings_id VARCHAR NOT NULL, -- Hash over image, label map, scheme, definitions, tools version.
    scheme VARCHAR NOT NULL, -- Label-map scheme that was used.
    tools_version VARCHAR NOT NULL, -- Version of the measuring code.
    side_check VARCHAR NOT NULL, -- `confirmed` from the anatomy, or `unverified`.
    shape INTEGER[3] NOT NULL, -- Array shape as stored, in voxels.
    affine DOUBLE[4][4] NOT NULL, -- Voxel to RAS mm, rows first.
    orientation VARCHAR NOT NULL, -- Axis codes of the stored array, e.g. `PIR`.
    image_sha256 VARCHAR NOT NULL, -- Of the image file; of the label map's when there is no image.
    label_map_sha256 VARCHAR NOT NULL, -- Of the label map file.
    content_sha256 VARCHAR NOT NULL, -- Of the whole record: the same id must be the same findings.
    created_at TIMESTAMP NOT NULL, -- When it was stored.
    PRIMARY KEY (volume_id, findings_id)
);

CREATE TABLE regions ( -- The region of one question in one volume, with its box.
    volume_id VARCHAR NOT NULL, -- The volume.
    findings_id VARCHAR NOT NULL, -- The findings set.
    question_id SMALLINT NOT NULL, -- 1-69.
    region VARCHAR NOT NULL, -- `<feature>:<site>`.
    box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), -- Voxel box in the stored array, half-open; NULL when it cannot be had.
    box_world STRUCT(x0 DOUBLE, x1 DOUBLE, y0 DOUBLE, y1 DOUBLE, z0 DOUBLE, z1 DOUBLE), -- The same box in RAS mm, all eight corners moved.
    box_source VARCHAR, -- `mask`, `partition` or `derived`; NULL without a box.
    box_reason VARCHAR, -- Why there is no box, or what it falls back to.
    truncated BOOLEAN NOT NULL, -- True where the field of view cuts the region off.
    definition_id VARCHAR NOT NULL, -- Definition of the region and its version.
    PRIMARY KEY (volume_id, findings_id, question_id)
);

CREATE TABLE measurements ( -- One number in one region; unique by (volume, findings, question, name).
    volume_id VARCHAR NOT NULL, -- The volume.
    findings_id VARCHAR NOT NULL, -- The findings set.
    question_id SMALLINT NOT NULL, -- 1-69.
    position SMALLINT NOT NULL, -- Order within the finding, from 0.
    name VARCHAR NOT NULL, -- What was measured; the id by which a draft cites it.
    value DOUBLE NOT NULL, -- In `unit`; what could not be measured has no row.
    unit VARCHAR NOT NULL, -- `%`, `mm`, `mm²`, `mm³`, `mL`, `count` or `ratio`.
    sd DOUBLE, -- Standard deviation in `unit`; NULL when it is not known.
    method VARCHAR NOT NULL, -- How, in a few words.
    definition_id VARCHAR NOT NULL -- The definition and its version.
);

CREATE TABLE evidence ( -- What there is to reason from, a row per component; never from a grade.
    volume_id VARCHAR NOT NULL, -- The volume.
    findings_id VARCHAR NOT NULL, -- The findings set.
    question_id SMALLINT NOT NULL, -- 1-69.
    position SMALLINT NOT NULL, -- Order within the finding, from 0.
    component VARCHAR NOT NULL, -- The component.
    level VARCHAR NOT NULL, -- `measured`, `weak`, `image` or `none`.
    reason VARCHAR NOT NULL, -- Why, in words.
    measurement VARCHAR, -- The measurement that carries the grade; NULL when there is none.
    rule_grade SMALLINT, -- Grade that the rule gives; never shown to a drafter.
    rule_basis VARCHAR NOT NULL, -- `moaks`, `calibrated` or `none`.
    margin DOUBLE, -- Distance to the nearest threshold, in the measurement's unit.
    borderline BOOLEAN NOT NULL -- True when the threshold lies within one SD.
);

CREATE TABLE clinician_grades ( -- One component of one question in one knee-visit as clinicians read it.
    patient VARCHAR NOT NULL, -- Patient id as in the table.
    visit VARCHAR NOT NULL, -- `V00`...
    side VARCHAR NOT NULL, -- `right` or `left`.
    question_id SMALLINT NOT NULL, -- 1-69.
    component VARCHAR NOT NULL, -- The component.
    revision SMALLINT NOT NULL, -- 1 when first loaded; counts on when a later table says otherwise.
    status VARCHAR NOT NULL, -- `read`, `missing`, `off_scale`, `change_code`, `conflict`, `not_read_in_project` or `prosthesis`.
    grade SMALLINT, -- The grade; NULL unless the status is `read`. Missing is never 0.
    raw VARCHAR[] NOT NULL, -- The cells as they stand in the table, one for each row read.
    variable VARCHAR NOT NULL, -- The table's column.
    file VARCHAR NOT NULL, -- The table's file name.
    lines INTEGER[] NOT NULL, -- 1-based line of each row read.
    readprj VARCHAR[] NOT NULL, -- Reading project of each row.
    version VARCHAR[] NOT NULL, -- VERSION of each row.
    is_current BOOLEAN NOT NULL, -- True for the newest revision.
    loaded_at TIMESTAMP NOT NULL, -- When it was loaded.
    PRIMARY KEY (patient, visit, side, question_id, component, revision)
);

CREATE TABLE questions ( -- The catalogue: 69 (feature, region), ids as released.
    question_id SMALLINT PRIMARY KEY, -- 1-69.
    feature VARCHAR NOT NULL, -- What is graded.
    site VARCHAR NOT NULL, -- Where.
    region VARCHAR NOT NULL, -- `<feature>:<site>`.
    region_name VARCHAR NOT NULL, -- The region in words, as texts name it.
    compartment VARCHAR NOT NULL, -- `medial`, `lateral` or `midline`.
    has_region BOOLEAN NOT NULL -- True for 1-62.
);

CREATE TABLE components ( -- What is graded in each question, and on which scale.
    question_id SMALLINT NOT NULL, -- 1-69.
    component VARCHAR NOT NULL, -- The component.
    position SMALLINT NOT NULL, -- Order in MOAKS, from 0.
    scale_type VARCHAR NOT NULL, -- `ordinal`, `count`, `binary` or `nominal`: how grades may be compared.
    grades SMALLINT[] NOT NULL, -- Legal grades, ascending.
    wording VARCHAR[] NOT NULL, -- Meaning of each legal grade, in the same order.
    rule_measurement VARCHAR, -- Measurement that MOAKS' own numbers read; NULL without a rule.
    rule_unit VARCHAR, -- Unit of the rule's edges.
    rule_edges DOUBLE[], -- Positive edges between grades, ascending.
    PRIMARY KEY (question_id, component)
);

CREATE TABLE prompts ( -- Every prompt template that a run could send.
    prompt_id VARCHAR NOT NULL, -- Folder under prompts/templates.
    version INTEGER NOT NULL, -- 1, 2, ...
    sha256 VARCHAR NOT NULL, -- Over the template's bytes.
    text VARCHAR NOT NULL, -- The template.
    added_at TIMESTAMP NOT NULL, -- When it was stored.
    PRIMARY KEY (prompt_id, version, sha256)
);

CREATE TABLE runs ( -- What identifies and describes a run.
    run_id VARCHAR PRIMARY KEY, -- Short, sortable, unique in the store.
    fingerprint VARCHAR NOT NULL, -- Over prompts, models, sampling, checks, grounding, wording, findings ids.
    kind VARCHAR NOT NULL, -- `production`, `trial` or `control`; only production is exported by default.
    control VARCHAR NOT NULL, -- Which negative control; `none` for the others.
    grounding VARCHAR NOT NULL, -- `blind`, or `label_given` when the drafter saw the clinician's grade.
    wording VARCHAR NOT NULL, -- `guided` or `zero_shot`: which text of the question was shown.
    prompts STRUCT(prompt_id VARCHAR, version INTEGER, sha256 VARCHAR)[] NOT NULL, -- Every prompt that the run can send.
    drafter_model VARCHAR NOT NULL, -- Model name as served.
    judge_model VARCHAR, -- NULL while there is no judge.
    checks MAP(VARCHAR, INTEGER) NOT NULL, -- Check to version.
    temperature DOUBLE, -- As sent; NULL when it was not sent.
    top_p DOUBLE, -- As sent; NULL when it was not sent.
    max_tokens BIGINT, -- As sent; NULL when it was not sent.
    seed BIGINT, -- As sent; provenance, not reproducibility.
    sampling_other MAP(VARCHAR, VARCHAR) NOT NULL, -- Every other sampling value, as a JSON scalar.
    provenance MAP(VARCHAR, VARCHAR) NOT NULL, -- Commit, package versions, base URL, concurrency: not identity.
    state VARCHAR NOT NULL, -- `running`, `finished` or `stopped`.
    n_starts INTEGER NOT NULL, -- 1, and one more for each resumption.
    started_at TIMESTAMP NOT NULL, -- First start.
    resumed_at TIMESTAMP, -- Last resumption; NULL when there was none.
    finished_at TIMESTAMP -- Last time it ended; NULL while it runs or after a kill.
);

CREATE TABLE run_items ( -- All 69 questions of each volume that a run was given, bound to findings.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    findings_id VARCHAR NOT NULL, -- The findings that were current when the volume was bound.
    starting_state VARCHAR NOT NULL, -- `no_region`, `unlabelled`, `no_evidence` or `pending`.
    PRIMARY KEY (run_id, volume_id, question_id)
);

CREATE TABLE outcomes ( -- How one item of a run ended; a row is the mark that it is done.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    findings_id VARCHAR NOT NULL, -- The findings that were used; of another knee in a shuffled control.
    state VARCHAR NOT NULL, -- `accepted`, `rejected`, `disagrees` or `failed`.
    codes VARCHAR[] NOT NULL, -- Reasons: check codes, or the failure's name.
    gates VARCHAR[] NOT NULL, -- Gates it passed through, as `name@version`.
    complete BOOLEAN NOT NULL, -- True when every component of the question was graded.
    error VARCHAR, -- Message of an infrastructure failure.
    n_attempts SMALLINT NOT NULL, -- Rows in attempts.
    content_sha256 VARCHAR NOT NULL, -- Of the whole record: the same key must be the same outcome.
    recorded_at TIMESTAMP NOT NULL, -- When it was committed.
    PRIMARY KEY (run_id, volume_id, question_id)
);

CREATE TABLE outcome_components ( -- A draft's grade beside the clinician's, a row per component of an outcome.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    position SMALLINT NOT NULL, -- Order within the outcome, from 0.
    component VARCHAR NOT NULL, -- The component.
    status VARCHAR NOT NULL, -- `graded`, or why it was not asked: `unlabelled`, `no_evidence`.
    draft_grade SMALLINT, -- The draft's; NULL when not asked or not drafted.
    clinician_grade SMALLINT, -- The clinician's when it was compared; NULL unless read.
    clinician_status VARCHAR, -- The table's status; NULL when the knee-visit is in no table.
    evidence VARCHAR NOT NULL -- Evidence of the component in this run.
);

CREATE TABLE attempts ( -- One call to the drafter and what the checks said of it.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    attempt_no SMALLINT NOT NULL, -- 1 for the first draft; revisions count on.
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
    parsed BOOLEAN NOT NULL, -- True when the answer could be parsed into steps and grades.
    text VARCHAR, -- The raw answer; NULL when steps and grades written as JSON in text_form are it, byte for byte.
    text_form VARCHAR NOT NULL, -- `verbatim`, or the JSON style in which steps and grades give the raw answer.
    steps STRUCT(name VARCHAR, "text" VARCHAR, box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), cites VARCHAR[])[], -- The steps in the order written; NULL when not parsed.
    grades STRUCT("size" SMALLINT, "number" SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), -- The draft's grade of each component, NULL where not asked.
    issues STRUCT("check" VARCHAR, "version" INTEGER, code VARCHAR, severity VARCHAR, message VARCHAR)[] NOT NULL, -- What the checks found.
    passed BOOLEAN NOT NULL, -- True when the answer parsed and nothing failed.
    grade_changed BOOLEAN NOT NULL, -- True when a revision gave another grade than the attempt before.
    PRIMARY KEY (run_id, volume_id, question_id, attempt_no)
);

CREATE TABLE quintuples ( -- An accepted item: volume, question, box, steps, grades. The text is in its attempt.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    attempt_no SMALLINT NOT NULL, -- The attempt that was accepted.
    findings_id VARCHAR NOT NULL, -- The findings that were used.
    components_scored VARCHAR[] NOT NULL, -- Components with status `graded`.
    complete BOOLEAN NOT NULL, -- True when every component of the question was graded.
    synthetic BOOLEAN NOT NULL, -- True when the volume is a phantom or painted.
    recorded_at TIMESTAMP NOT NULL, -- When it was committed.
    PRIMARY KEY (run_id, volume_id, question_id)
);

CREATE VIEW v_item_states AS -- The state of all 69 questions of each volume of a run.
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
    LEFT JOIN outcomes o USING (run_id, volume_id, question_id);

CREATE VIEW v_quintuples AS -- Accepted items, flat: one row is everything a trainer or analyst needs.
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
        o.gates, -- Gates it passed through, as `name@version`.
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
        z.synthetic -- True for phantoms and painted images: never pooled with patients.
    FROM quintuples z
    JOIN outcomes o USING (run_id, volume_id, question_id)
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
    JOIN outcomes o USING (run_id, volume_id, question_id)
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
        count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read' AND b.box IS NOT NULL AND e.level <> 'none') AS n_evidence, -- ... with evidence.
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
    LEFT JOIN outcomes o
        ON o.run_id = i.run_id AND o.volume_id = i.volume_id AND o.question_id = i.question_id
    GROUP BY ALL;
