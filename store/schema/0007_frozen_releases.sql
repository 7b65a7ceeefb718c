-- Migration 7: selections that were frozen under a name. Rows are written once, with their release,
-- and never changed: who wants another selection takes another name.

CREATE TABLE frozen_releases ( -- One selection under a name: what was chosen, by what, and what it rests on.
    name VARCHAR PRIMARY KEY, -- Chosen by a person; never used again for other rows.
    content_sha256 VARCHAR NOT NULL, -- Over the rows, and over the definitions, prompts and checks below: the same content gives the same.
    n_rows BIGINT NOT NULL, -- Quintuples.
    condition VARCHAR, -- The condition; NULL when there was none.
    named_runs VARCHAR[], -- Runs that were named; NULL when each item's newest run was taken.
    label_given BOOLEAN NOT NULL, -- Whether items without a blind quintuple could come from a `label_given` run.
    synthetic BOOLEAN NOT NULL, -- True for a selection of phantoms.
    run_ids VARCHAR[] NOT NULL, -- Runs that the rows come from, ascending.
    definitions VARCHAR[] NOT NULL, -- Region definitions of the rows, `<name>@<version>`.
    tools_versions VARCHAR[] NOT NULL, -- Versions of the measuring code.
    prompts VARCHAR[] NOT NULL, -- Prompts that drafted the rows, `<id> v<version> <sha256>`.
    models VARCHAR[] NOT NULL, -- Drafting models as served.
    judges VARCHAR[] NOT NULL, -- Judge models; `none` where there was none.
    checks VARCHAR[] NOT NULL, -- Checks of the runs, `<name>@<version>`.
    gates VARCHAR[] NOT NULL, -- Gates that the rows passed.
    licences VARCHAR[] NOT NULL, -- Licences of masks, images and model, as they come together.
    flow STRUCT(feature VARCHAR, component VARCHAR, clinician_grade VARCHAR, n_all BIGINT, n_read BIGINT, n_boxed BIGINT, n_evidence BIGINT, n_drafted BIGINT, n_accepted BIGINT, n_frozen BIGINT)[] NOT NULL, -- Components from all to frozen.
    frozen_at TIMESTAMP NOT NULL -- When; not part of the content.
);

CREATE TABLE frozen_rows ( -- A quintuple of a frozen release, with what it held then.
    name VARCHAR NOT NULL, -- The release.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    split VARCHAR, -- train, val or test; NULL for phantoms without one.
    grades STRUCT("size" SMALLINT, "number" SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), -- The grade of each component.
    box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), -- Voxel box.
    definition_id VARCHAR, -- Definition of the region and its version.
    findings_id VARCHAR NOT NULL, -- The findings that were used.
    prompt_sha256 VARCHAR NOT NULL, -- Hash of the prompt's template.
    steps_sha256 VARCHAR NOT NULL, -- Hash of the steps.
    row_sha256 VARCHAR NOT NULL, -- Hash of the whole row as frozen.
    PRIMARY KEY (name, run_id, volume_id, question_id)
);
