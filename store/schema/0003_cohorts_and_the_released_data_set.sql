-- Migration 3. What a cohort knows of its images and masks, splits by patient, and the released
-- 3DReasonKnee data set. Released rows have tables of their own: no query over our quintuples, and
-- no export of them, can hold one.

ALTER TABLE volumes ADD COLUMN image_source VARCHAR;
COMMENT ON COLUMN volumes.image_source IS 'Where the image comes from; NULL when not known.';
ALTER TABLE volumes ADD COLUMN image_licence VARCHAR;
COMMENT ON COLUMN volumes.image_licence IS 'Licence of the image; NULL when not known.';
ALTER TABLE volumes ADD COLUMN restricted BOOLEAN;
COMMENT ON COLUMN volumes.restricted IS 'True where the data may not leave the machine; NULL (not known) counts as true.';
ALTER TABLE volumes ADD COLUMN segmenter_trained_on BOOLEAN;
COMMENT ON COLUMN volumes.segmenter_trained_on IS 'Whether the segmenter was trained on this patient; NULL when not known.';

-- As in migration 1, with the four columns at the end.
DROP VIEW v_quintuples;

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
        z.synthetic, -- True for phantoms and painted images: never pooled with patients.
        v.image_source, -- Where the image comes from; NULL when not known.
        v.image_licence, -- Licence of the image; NULL when not known.
        v.restricted, -- True where the data may not leave the machine; NULL (not known) counts as true.
        v.segmenter_trained_on -- Whether the segmenter was trained on this patient; NULL when not known.
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

CREATE TABLE patient_splits ( -- The split of each patient; a row never changes again.
    patient VARCHAR PRIMARY KEY, -- Patient id: both knees, all visits and all sequences go together.
    split VARCHAR NOT NULL, -- train, val or test.
    source VARCHAR NOT NULL, -- `released`, `manifest`, `hashed` or `stratified`: how it came about.
    seed BIGINT, -- Seed of the hash; NULL when nothing was drawn.
    stratum VARCHAR, -- Severity stratum when it was assigned; NULL when not known or not used.
    assigned_at TIMESTAMP NOT NULL -- When it was recorded.
);

CREATE TABLE released_imports ( -- One import of a released data set; a later one of the source replaces it.
    source VARCHAR PRIMARY KEY, -- `3dreasonknee`.
    licence VARCHAR NOT NULL, -- Licence of the released data.
    author VARCHAR NOT NULL, -- Who wrote the reasoning.
    folder VARCHAR NOT NULL, -- Where it was read from; never exported.
    layout_version INTEGER NOT NULL, -- Version of tools/release_layout.toml.
    content_sha256 VARCHAR NOT NULL, -- Over the files that were read: names and bytes.
    box_order VARCHAR, -- How boxes lie in the arrays, verified against masks; NULL when not verified.
    box_overlap DOUBLE, -- Least median IoU of boxes and masks over the groups verified.
    counts MAP(VARCHAR, BIGINT) NOT NULL, -- Volumes, items, grades and problems by kind.
    imported_at TIMESTAMP NOT NULL -- When.
);

CREATE TABLE released_questions ( -- The text of the questions as the released files have them.
    source VARCHAR NOT NULL, -- `3dreasonknee`.
    file VARCHAR NOT NULL, -- File name.
    question_id SMALLINT NOT NULL, -- 1-69.
    text VARCHAR NOT NULL, -- The question.
    PRIMARY KEY (source, file, question_id)
);

CREATE TABLE released_texts ( -- Reasoning texts, each once: most are templates by (question, grade).
    text_sha256 VARCHAR PRIMARY KEY, -- Of the text.
    text VARCHAR NOT NULL, -- The reasoning.
    is_template BOOLEAN -- True when it is in the release's mapping of grades to texts; NULL without that file.
);

CREATE TABLE released_volumes ( -- One row of the released split files.
    source VARCHAR NOT NULL, -- `3dreasonknee`.
    volume_id VARCHAR NOT NULL, -- `<patient>/<visit>/<side>/dess`, as our own volumes are named.
    patient VARCHAR NOT NULL, -- Patient id.
    visit VARCHAR NOT NULL, -- From the release's time.
    side VARCHAR NOT NULL, -- `right` or `left`.
    split VARCHAR NOT NULL, -- train, val or test, as released.
    image VARCHAR NOT NULL, -- Path in the split file; images are not part of the release.
    label_map VARCHAR NOT NULL, -- Path in the split file.
    n_items SMALLINT NOT NULL, -- Items of the volume; 0 for those that the JSON files leave out.
    PRIMARY KEY (source, volume_id)
);

CREATE TABLE released_items ( -- One released (volume, question): template text, box and raw answer.
    source VARCHAR NOT NULL, -- `3dreasonknee`.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    text_sha256 VARCHAR, -- The reasoning in released_texts; NULL when there is none.
    raw_answer VARCHAR NOT NULL, -- The part that holds the grades, as released.
    raw_box INTEGER[], -- The six numbers as released; NULL when there are none.
    box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), -- Half-open voxel box in the stored array of the release's masks; NULL unless verified.
    box_reason VARCHAR, -- Why there is no verified box.
    problems VARCHAR[] NOT NULL, -- What could not be mapped, `code: detail`.
    file VARCHAR NOT NULL, -- File name.
    position INTEGER NOT NULL, -- Place in the file, from 0.
    PRIMARY KEY (source, volume_id, question_id)
);

CREATE TABLE released_grades ( -- One component of a released item beside its row in the label table.
    source VARCHAR NOT NULL, -- `3dreasonknee`.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    component VARCHAR NOT NULL, -- The component.
    grade SMALLINT, -- As released; NULL when it could not be mapped, never a default.
    problem VARCHAR, -- Why there is no grade.
    label_status VARCHAR, -- `read`, `missing`, `off_scale`, `conflict` in the label table; NULL when it was not there.
    label_grades SMALLINT[], -- Grades of the label table's reads, ascending.
    flag VARCHAR, -- `zero_for_missing`, `grade_for_missing`, `grade_for_off_scale`, `differs` or `conflict`; NULL when all is well or nothing was compared.
    PRIMARY KEY (source, volume_id, question_id, component)
);

CREATE VIEW v_released AS -- Released items, flat; never mixed with v_quintuples.
    SELECT
        i.source, -- `3dreasonknee`.
        m.licence, -- Licence of the released data.
        m.author, -- Who wrote the reasoning: a template by grade, not a clinician on this patient.
        i.volume_id, -- `<patient>/<visit>/<side>/dess`.
        v.patient, -- Patient id.
        v.visit, -- `V00` is baseline.
        v.side, -- `right` or `left`.
        v.split, -- As released.
        i.question_id, -- 1-69.
        q.feature, -- What is graded.
        q.region, -- `<feature>:<site>`.
        t.text, -- The reasoning.
        t.is_template, -- True when it is in the release's mapping of grades to texts.
        i.box, -- Verified voxel box, half-open.
        i.box_reason, -- Why there is no verified box.
        g.grades, -- Component to grade; a component that could not be mapped is not in it.
        g.flags, -- Component to flag, where the label table says otherwise.
        i.problems, -- What could not be mapped.
        i.raw_answer -- The part that holds the grades, as released.
    FROM released_items i
    JOIN released_imports m USING (source)
    JOIN released_volumes v USING (source, volume_id)
    JOIN questions q USING (question_id)
    LEFT JOIN released_texts t USING (text_sha256)
    LEFT JOIN (
        SELECT
            source, volume_id, question_id,
            map_from_entries(list((component, grade) ORDER BY component) FILTER (grade IS NOT NULL)) AS grades,
            map_from_entries(list((component, flag) ORDER BY component) FILTER (flag IS NOT NULL)) AS flags
        FROM released_grades GROUP BY ALL
    ) g USING (source, volume_id, question_id);
