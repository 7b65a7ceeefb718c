-- Migration 12: the same tables with the same columns, kept in less room.
-- A draft's text wants zstd, which a writer asks for wherever a table does not say otherwise. Ids,
-- hashes and words that repeat are smaller with a dictionary, and say so here.
-- Attempts, quintuples and items of a run lose the index of their key, a sixth of the file: they are
-- put in the transaction that puts their outcome, whose key is indexed, or that found them missing,
-- by the one writer of a store; `store verify` counts what is double.

ALTER TABLE regions RENAME TO regions_before;
CREATE TABLE regions ( -- The region of one question in one volume, with its box.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    findings_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The findings set.
    question_id SMALLINT NOT NULL, -- 1-69.
    region VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `<feature>:<site>`.
    box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), -- Voxel box in the stored array, half-open; NULL when it cannot be had.
    box_world STRUCT(x0 DOUBLE, x1 DOUBLE, y0 DOUBLE, y1 DOUBLE, z0 DOUBLE, z1 DOUBLE), -- The same box in RAS mm, all eight corners moved.
    box_source VARCHAR USING COMPRESSION dict_fsst, -- `mask`, `partition` or `derived`; NULL without a box.
    box_reason VARCHAR USING COMPRESSION dict_fsst, -- Why there is no box, or what it falls back to.
    truncated BOOLEAN NOT NULL, -- True where the field of view cuts the region off.
    definition_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Definition of the region and its version.
    PRIMARY KEY (volume_id, findings_id, question_id)
);
INSERT INTO regions SELECT * FROM regions_before;
DROP TABLE regions_before;

ALTER TABLE measurements RENAME TO measurements_before;
CREATE TABLE measurements ( -- One number in one region; unique by (volume, findings, question, name).
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    findings_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The findings set.
    question_id SMALLINT NOT NULL, -- 1-69.
    position SMALLINT NOT NULL, -- Order within the finding, from 0.
    name VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- What was measured; the id by which a draft cites it.
    value DOUBLE NOT NULL, -- In `unit`; what could not be measured has no row.
    unit VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `%`, `mm`, `mm²`, `mm³`, `mL`, `count` or `ratio`.
    sd DOUBLE, -- Standard deviation in `unit`; NULL when it is not known.
    method VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- How, in a few words.
    definition_id VARCHAR USING COMPRESSION dict_fsst NOT NULL -- The definition and its version.
);
INSERT INTO measurements SELECT * FROM measurements_before;
DROP TABLE measurements_before;

ALTER TABLE evidence RENAME TO evidence_before;
CREATE TABLE evidence ( -- What there is to reason from, a row per component; never from a grade.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    findings_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The findings set.
    question_id SMALLINT NOT NULL, -- 1-69.
    position SMALLINT NOT NULL, -- Order within the finding, from 0.
    component VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The component.
    level VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `measured`, `weak`, `image` or `none`.
    reason VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Why, in words.
    measurement VARCHAR USING COMPRESSION dict_fsst, -- The measurement that carries the grade; NULL when there is none.
    rule_grade SMALLINT, -- Grade that the rule gives; never shown to a drafter.
    rule_basis VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `moaks`, `calibrated` or `none`.
    margin DOUBLE, -- Distance to the nearest threshold, in the measurement's unit.
    borderline BOOLEAN NOT NULL -- True when the threshold lies within one SD.
);
INSERT INTO evidence SELECT * FROM evidence_before;
DROP TABLE evidence_before;

ALTER TABLE clinician_grades RENAME TO clinician_grades_before;
CREATE TABLE clinician_grades ( -- One component of one question in one knee-visit as clinicians read it.
    patient VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Patient id as in the table.
    visit VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `V00`...
    side VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `right` or `left`.
    question_id SMALLINT NOT NULL, -- 1-69.
    component VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The component.
    revision SMALLINT NOT NULL, -- 1 when first loaded; counts on when a later table says otherwise.
    status VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `read`, `missing`, `off_scale`, `change_code`, `conflict`, `not_read_in_project` or `prosthesis`.
    grade SMALLINT, -- The grade; NULL unless the status is `read`. Missing is never 0.
    raw VARCHAR[] NOT NULL, -- The cells as they stand in the table, one for each row read.
    variable VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The table's column.
    file VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The table's file name.
    lines INTEGER[] NOT NULL, -- 1-based line of each row read.
    readprj VARCHAR[] NOT NULL, -- Reading project of each row.
    version VARCHAR[] NOT NULL, -- VERSION of each row.
    is_current BOOLEAN NOT NULL, -- True for the newest revision.
    loaded_at TIMESTAMP NOT NULL, -- When it was loaded.
    policy VARCHAR USING COMPRESSION dict_fsst NOT NULL DEFAULT 'agree_or_conflict', -- How the reads became one: `agree_or_conflict`, `most_complete` or `project_priority:<order>`.
    read_files VARCHAR[] NOT NULL DEFAULT [], -- File name of each row read; like the next three empty where it was not kept.
    read_status VARCHAR[] NOT NULL DEFAULT [], -- What each read says by itself.
    read_grades SMALLINT[] NOT NULL DEFAULT [], -- The grade that each read gives; NULL unless its status is `read`.
    taken BOOLEAN[] NOT NULL DEFAULT [], -- Which reads the grade was taken from; the others were set aside.
    PRIMARY KEY (patient, visit, side, question_id, component, revision)
);
INSERT INTO clinician_grades SELECT * FROM clinician_grades_before;
DROP TABLE clinician_grades_before;

ALTER TABLE run_items RENAME TO run_items_before;
CREATE TABLE run_items ( -- All 69 questions of each volume that a run was given, bound to findings; unique by (run_id, volume_id, question_id).
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    findings_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The findings that were current when the volume was bound.
    starting_state VARCHAR USING COMPRESSION dict_fsst NOT NULL -- `no_region`, `unlabelled`, `no_evidence` or `pending`.
);
INSERT INTO run_items SELECT * FROM run_items_before;
DROP TABLE run_items_before;

ALTER TABLE outcomes RENAME TO outcomes_before;
CREATE TABLE outcomes ( -- How one item of a run ended; a row is the mark that it is done.
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    findings_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The findings that were used; of another knee in a shuffled control.
    state VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `accepted`, `rejected`, `disagrees` or `failed`.
    codes VARCHAR[] NOT NULL, -- Reasons: check codes, or the failure's name.
    gates VARCHAR[] NOT NULL, -- Gates it passed through, as `name@version`.
    complete BOOLEAN NOT NULL, -- True when every component of the question was graded.
    error VARCHAR, -- Message of an infrastructure failure.
    n_attempts SMALLINT NOT NULL, -- Rows in attempts.
    content_sha256 VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Of the whole record: the same key must be the same outcome.
    recorded_at TIMESTAMP NOT NULL, -- When it was committed.
    PRIMARY KEY (run_id, volume_id, question_id)
);
INSERT INTO outcomes SELECT * FROM outcomes_before;
DROP TABLE outcomes_before;

ALTER TABLE outcome_components RENAME TO outcome_components_before;
CREATE TABLE outcome_components ( -- A draft's grade beside the clinician's, a row per component of an outcome.
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    position SMALLINT NOT NULL, -- Order within the outcome, from 0.
    component VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The component.
    status VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `graded`, or why it was not asked: `unlabelled`, `no_evidence`.
    draft_grade SMALLINT, -- The draft's; NULL when not asked or not drafted.
    clinician_grade SMALLINT, -- The clinician's when it was compared; NULL unless read.
    clinician_status VARCHAR USING COMPRESSION dict_fsst, -- The table's status; NULL when the knee-visit is in no table.
    evidence VARCHAR USING COMPRESSION dict_fsst NOT NULL -- Evidence of the component in this run.
);
INSERT INTO outcome_components SELECT * FROM outcome_components_before;
DROP TABLE outcome_components_before;

ALTER TABLE attempts RENAME TO attempts_before;
CREATE TABLE attempts ( -- One call to the drafter and what the checks said of it; unique by (run_id, volume_id, question_id, attempt_no).
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    attempt_no SMALLINT NOT NULL, -- 1 for the first draft; revisions count on.
    prompt_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Prompt that was rendered.
    prompt_version INTEGER NOT NULL, -- Its version.
    prompt_sha256 VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Hash of the template.
    prompt_text_sha256 VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Hash of the rendered messages.
    model VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Model name as served.
    temperature DOUBLE, -- As sent; NULL when it was not sent.
    top_p DOUBLE, -- As sent; NULL when it was not sent.
    max_tokens BIGINT, -- As sent; NULL when it was not sent.
    seed BIGINT, -- As sent; provenance, not reproducibility.
    sampling_other MAP(VARCHAR, VARCHAR) NOT NULL, -- Every other sampling value, as a JSON scalar.
    prompt_tokens INTEGER NOT NULL, -- Tokens sent.
    completion_tokens INTEGER NOT NULL, -- Tokens generated.
    latency_s DOUBLE NOT NULL, -- Seconds from sending to the last byte.
    finish_reason VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- As the server gave it.
    parsed BOOLEAN NOT NULL, -- True when the answer could be parsed into steps and grades.
    text VARCHAR, -- The raw answer; NULL when steps and grades written as JSON in text_form are it, byte for byte.
    text_form VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `verbatim`, or the JSON style in which steps and grades give the raw answer.
    steps STRUCT(name VARCHAR, "text" VARCHAR, box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), cites VARCHAR[])[], -- The steps in the order written; NULL when not parsed.
    grades STRUCT("size" SMALLINT, "number" SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), -- The draft's grade of each component, NULL where not asked.
    issues STRUCT("check" VARCHAR, "version" INTEGER, code VARCHAR, severity VARCHAR, message VARCHAR)[] NOT NULL, -- What the checks found.
    passed BOOLEAN NOT NULL, -- True when the answer parsed and nothing failed.
    grade_changed BOOLEAN NOT NULL -- True when a revision gave another grade than the attempt before.
);
INSERT INTO attempts SELECT * FROM attempts_before;
DROP TABLE attempts_before;

ALTER TABLE quintuples RENAME TO quintuples_before;
CREATE TABLE quintuples ( -- An accepted item: volume, question, box, steps, grades. The text is in its attempt; unique by (run_id, volume_id, question_id).
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    attempt_no SMALLINT NOT NULL, -- The attempt that was accepted.
    findings_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The findings that were used.
    components_scored VARCHAR[] NOT NULL, -- Components with status `graded`.
    complete BOOLEAN NOT NULL, -- True when every component of the question was graded.
    synthetic BOOLEAN NOT NULL, -- True when the volume is a phantom or painted.
    recorded_at TIMESTAMP NOT NULL -- When it was committed.
);
INSERT INTO quintuples SELECT * FROM quintuples_before;
DROP TABLE quintuples_before;

ALTER TABLE judgements RENAME TO judgements_before;
CREATE TABLE judgements ( -- What a judge said of one draft; the calls are in judge_calls.
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    verdict_no SMALLINT NOT NULL, -- The verdict that it belongs to; 1 is the run's own.
    attempt_no SMALLINT NOT NULL, -- The attempt that was judged.
    judge_model VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The judge, as the settings name it.
    prompts STRUCT(prompt_id VARCHAR, version INTEGER, sha256 VARCHAR)[] NOT NULL, -- Every prompt that the judge could be sent.
    versions MAP(VARCHAR, INTEGER) NOT NULL, -- Versions of the masking and of the rules that read its answers.
    grades STRUCT("size" SMALLINT, "number" SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), -- The blind re-answer's grade of each component; NULL when none could be read.
    marks STRUCT(item VARCHAR, essential BOOLEAN, holds BOOLEAN, reason VARCHAR)[] NOT NULL, -- Marks of the rubric; empty when it was not reached.
    codes VARCHAR[] NOT NULL, -- Why the draft is refused; empty when it passed.
    passed BOOLEAN NOT NULL, -- True when nothing spoke against the draft.
    recorded_at TIMESTAMP NOT NULL, -- When it was committed.
    PRIMARY KEY (run_id, volume_id, question_id, verdict_no)
);
INSERT INTO judgements SELECT * FROM judgements_before;
DROP TABLE judgements_before;

ALTER TABLE judge_calls RENAME TO judge_calls_before;
CREATE TABLE judge_calls ( -- One call to a judge, as it was answered.
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    verdict_no SMALLINT NOT NULL, -- The verdict that it belongs to.
    call_no SMALLINT NOT NULL, -- 1, 2, ... within the judgement; repairs count on.
    task VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- `reanswer` or `rubric`.
    prompt_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Prompt that was rendered.
    prompt_version INTEGER NOT NULL, -- Its version.
    prompt_sha256 VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Hash of the template.
    prompt_text_sha256 VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Hash of the rendered messages.
    model VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Model name as served.
    temperature DOUBLE, -- As sent; NULL when it was not sent.
    top_p DOUBLE, -- As sent; NULL when it was not sent.
    max_tokens BIGINT, -- As sent; NULL when it was not sent.
    seed BIGINT, -- As sent; provenance, not reproducibility.
    sampling_other MAP(VARCHAR, VARCHAR) NOT NULL, -- Every other sampling value, as a JSON scalar.
    prompt_tokens INTEGER NOT NULL, -- Tokens sent.
    completion_tokens INTEGER NOT NULL, -- Tokens generated.
    latency_s DOUBLE NOT NULL, -- Seconds from sending to the last byte.
    finish_reason VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- As the server gave it.
    text VARCHAR NOT NULL, -- The raw answer.
    PRIMARY KEY (run_id, volume_id, question_id, verdict_no, call_no)
);
INSERT INTO judge_calls SELECT * FROM judge_calls_before;
DROP TABLE judge_calls_before;

ALTER TABLE shown_images RENAME TO shown_images_before;
CREATE TABLE shown_images ( -- The slices that an item's drafter was shown; no row in a run without images.
    run_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The run.
    volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    image_volume_id VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- The volume that the slices are of; of another knee in a shuffled control.
    image_sha256 VARCHAR USING COMPRESSION dict_fsst NOT NULL, -- Of that image file.
    percentiles DOUBLE[2] NOT NULL, -- Percentiles of the whole volume shown as black and as white.
    window_low DOUBLE NOT NULL, -- Intensity shown as black.
    window_high DOUBLE NOT NULL, -- Intensity shown as white.
    box_drawn BOOLEAN NOT NULL, -- True when the region's box was outlined.
    slices STRUCT(position SMALLINT, plane VARCHAR, axis VARCHAR, "index" INTEGER, "left" VARCHAR, "right" VARCHAR, width INTEGER, height INTEGER, mm_per_pixel DOUBLE, box_pixels INTEGER[4], sha256 VARCHAR)[] NOT NULL, -- In the order sent; the same for all attempts of the item.
    PRIMARY KEY (run_id, volume_id, question_id)
);
INSERT INTO shown_images SELECT * FROM shown_images_before;
DROP TABLE shown_images_before;
