"""The schema as a literal: a change of it is a new migration, and shows here."""

from pathlib import Path

import duckdb
import pytest

from knee.errors import StoreError
from store import migrations, verifying
from store.connection import check_store, create_store, open_store
from store.migrations import (
    MIGRATIONS,
    SCHEMA_VERSION,
    Migration,
    apply_migrations,
    comment_statements,
    schema_version,
)
from store.verifying import structure_problems
from store.writer import StoreWriter
from tests.store_child import fill, generate

SCHEMA = """\
application
    name VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL
attempts
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    attempt_no SMALLINT NOT NULL, prompt_id VARCHAR NOT NULL, prompt_version INTEGER NOT NULL,
    prompt_sha256 VARCHAR NOT NULL, prompt_text_sha256 VARCHAR NOT NULL, model VARCHAR NOT NULL,
    temperature DOUBLE, top_p DOUBLE, max_tokens BIGINT, seed BIGINT, sampling_other
    MAP(VARCHAR, VARCHAR) NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER
    NOT NULL, latency_s DOUBLE NOT NULL, finish_reason VARCHAR NOT NULL, parsed BOOLEAN NOT
    NULL, text VARCHAR, text_form VARCHAR NOT NULL, steps STRUCT("name" VARCHAR, "text" VARCHAR,
    box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), cites
    VARCHAR[])[], grades STRUCT(size SMALLINT, number SMALLINT, percent_bml SMALLINT,
    full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT,
    tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT,
    signal_abnormality SMALLINT), issues STRUCT("check" VARCHAR, "version" INTEGER, code
    VARCHAR, severity VARCHAR, message VARCHAR)[] NOT NULL, passed BOOLEAN NOT NULL,
    grade_changed BOOLEAN NOT NULL
clinician_grades
    patient VARCHAR NOT NULL, visit VARCHAR NOT NULL, side VARCHAR NOT NULL, question_id
    SMALLINT NOT NULL, component VARCHAR NOT NULL, revision SMALLINT NOT NULL, status VARCHAR
    NOT NULL, grade SMALLINT, raw VARCHAR[] NOT NULL, variable VARCHAR NOT NULL, file VARCHAR
    NOT NULL, lines INTEGER[] NOT NULL, readprj VARCHAR[] NOT NULL, version VARCHAR[] NOT NULL,
    is_current BOOLEAN NOT NULL, loaded_at TIMESTAMP NOT NULL, policy VARCHAR NOT NULL,
    read_files VARCHAR[] NOT NULL, read_status VARCHAR[] NOT NULL, read_grades SMALLINT[] NOT
    NULL, taken BOOLEAN[] NOT NULL
components
    question_id SMALLINT NOT NULL, component VARCHAR NOT NULL, position SMALLINT NOT NULL,
    scale_type VARCHAR NOT NULL, grades SMALLINT[] NOT NULL, wording VARCHAR[] NOT NULL,
    rule_measurement VARCHAR, rule_unit VARCHAR, rule_edges DOUBLE[]
evidence
    volume_id VARCHAR NOT NULL, findings_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    position SMALLINT NOT NULL, component VARCHAR NOT NULL, level VARCHAR NOT NULL, reason
    VARCHAR NOT NULL, measurement VARCHAR, rule_grade SMALLINT, rule_basis VARCHAR NOT NULL,
    margin DOUBLE, borderline BOOLEAN NOT NULL
findings_sets
    volume_id VARCHAR NOT NULL, findings_id VARCHAR NOT NULL, scheme VARCHAR NOT NULL,
    tools_version VARCHAR NOT NULL, side_check VARCHAR NOT NULL, shape INTEGER[3] NOT NULL,
    affine DOUBLE[4][4] NOT NULL, orientation VARCHAR NOT NULL, image_sha256 VARCHAR NOT NULL,
    label_map_sha256 VARCHAR NOT NULL, content_sha256 VARCHAR NOT NULL, created_at TIMESTAMP NOT
    NULL
frozen_releases
    name VARCHAR NOT NULL, content_sha256 VARCHAR NOT NULL, n_rows BIGINT NOT NULL, condition
    VARCHAR, named_runs VARCHAR[], label_given BOOLEAN NOT NULL, synthetic BOOLEAN NOT NULL,
    run_ids VARCHAR[] NOT NULL, definitions VARCHAR[] NOT NULL, tools_versions VARCHAR[] NOT
    NULL, prompts VARCHAR[] NOT NULL, models VARCHAR[] NOT NULL, judges VARCHAR[] NOT NULL,
    checks VARCHAR[] NOT NULL, gates VARCHAR[] NOT NULL, licences VARCHAR[] NOT NULL, flow
    STRUCT(feature VARCHAR, component VARCHAR, clinician_grade VARCHAR, n_all BIGINT, n_read
    BIGINT, n_boxed BIGINT, n_evidence BIGINT, n_drafted BIGINT, n_accepted BIGINT, n_frozen
    BIGINT)[] NOT NULL, frozen_at TIMESTAMP NOT NULL
frozen_rows
    name VARCHAR NOT NULL, run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id
    SMALLINT NOT NULL, split VARCHAR, grades STRUCT(size SMALLINT, number SMALLINT, percent_bml
    SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT,
    tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT,
    signal_abnormality SMALLINT), box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0
    INTEGER, k1 INTEGER), definition_id VARCHAR, findings_id VARCHAR NOT NULL, prompt_sha256
    VARCHAR NOT NULL, steps_sha256 VARCHAR NOT NULL, row_sha256 VARCHAR NOT NULL
judge_calls
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    verdict_no SMALLINT NOT NULL, call_no SMALLINT NOT NULL, task VARCHAR NOT NULL, prompt_id
    VARCHAR NOT NULL, prompt_version INTEGER NOT NULL, prompt_sha256 VARCHAR NOT NULL,
    prompt_text_sha256 VARCHAR NOT NULL, model VARCHAR NOT NULL, temperature DOUBLE, top_p
    DOUBLE, max_tokens BIGINT, seed BIGINT, sampling_other MAP(VARCHAR, VARCHAR) NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, latency_s DOUBLE NOT
    NULL, finish_reason VARCHAR NOT NULL, text VARCHAR NOT NULL
judgements
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    verdict_no SMALLINT NOT NULL, attempt_no SMALLINT NOT NULL, judge_model VARCHAR NOT NULL,
    prompts STRUCT(prompt_id VARCHAR, "version" INTEGER, sha256 VARCHAR)[] NOT NULL, versions
    MAP(VARCHAR, INTEGER) NOT NULL, grades STRUCT(size SMALLINT, number SMALLINT, percent_bml
    SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence SMALLINT,
    tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair SMALLINT,
    signal_abnormality SMALLINT), marks STRUCT(item VARCHAR, essential BOOLEAN, holds BOOLEAN,
    reason VARCHAR)[] NOT NULL, codes VARCHAR[] NOT NULL, passed BOOLEAN NOT NULL, recorded_at
    TIMESTAMP NOT NULL
measurements
    volume_id VARCHAR NOT NULL, findings_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    position SMALLINT NOT NULL, name VARCHAR NOT NULL, value DOUBLE NOT NULL, unit VARCHAR NOT
    NULL, sd DOUBLE, method VARCHAR NOT NULL, definition_id VARCHAR NOT NULL
outcome_components
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL, position
    SMALLINT NOT NULL, component VARCHAR NOT NULL, status VARCHAR NOT NULL, draft_grade
    SMALLINT, clinician_grade SMALLINT, clinician_status VARCHAR, evidence VARCHAR NOT NULL
outcomes
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    findings_id VARCHAR NOT NULL, state VARCHAR NOT NULL, codes VARCHAR[] NOT NULL, gates
    VARCHAR[] NOT NULL, complete BOOLEAN NOT NULL, error VARCHAR, n_attempts SMALLINT NOT NULL,
    content_sha256 VARCHAR NOT NULL, recorded_at TIMESTAMP NOT NULL
patient_splits
    patient VARCHAR NOT NULL, split VARCHAR NOT NULL, source VARCHAR NOT NULL, seed BIGINT,
    stratum VARCHAR, assigned_at TIMESTAMP NOT NULL
prompt_sources
    sha256 VARCHAR NOT NULL, source VARCHAR NOT NULL, settings VARCHAR NOT NULL
prompts
    prompt_id VARCHAR NOT NULL, version INTEGER NOT NULL, sha256 VARCHAR NOT NULL, text VARCHAR
    NOT NULL, added_at TIMESTAMP NOT NULL
questions
    question_id SMALLINT NOT NULL, feature VARCHAR NOT NULL, site VARCHAR NOT NULL, region
    VARCHAR NOT NULL, region_name VARCHAR NOT NULL, compartment VARCHAR NOT NULL, has_region
    BOOLEAN NOT NULL
quintuples
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    attempt_no SMALLINT NOT NULL, findings_id VARCHAR NOT NULL, components_scored VARCHAR[] NOT
    NULL, complete BOOLEAN NOT NULL, synthetic BOOLEAN NOT NULL, recorded_at TIMESTAMP NOT NULL
rechecks
    recheck_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, checks
    MAP(VARCHAR, INTEGER) NOT NULL, warn_only VARCHAR[] NOT NULL, judge_model VARCHAR, prompts
    STRUCT(prompt_id VARCHAR, "version" INTEGER, sha256 VARCHAR)[] NOT NULL, provenance
    MAP(VARCHAR, VARCHAR) NOT NULL, started_at TIMESTAMP NOT NULL
regions
    volume_id VARCHAR NOT NULL, findings_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    region VARCHAR NOT NULL, box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1 INTEGER, k0
    INTEGER, k1 INTEGER), box_world STRUCT(x0 DOUBLE, x1 DOUBLE, y0 DOUBLE, y1 DOUBLE, z0
    DOUBLE, z1 DOUBLE), box_source VARCHAR, box_reason VARCHAR, truncated BOOLEAN NOT NULL,
    definition_id VARCHAR NOT NULL
released_grades
    source VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    component VARCHAR NOT NULL, grade SMALLINT, problem VARCHAR, label_status VARCHAR,
    label_grades SMALLINT[], flag VARCHAR
released_imports
    source VARCHAR NOT NULL, licence VARCHAR NOT NULL, author VARCHAR NOT NULL, folder VARCHAR
    NOT NULL, layout_version INTEGER NOT NULL, content_sha256 VARCHAR NOT NULL, box_order
    VARCHAR, box_overlap DOUBLE, counts MAP(VARCHAR, BIGINT) NOT NULL, imported_at TIMESTAMP NOT
    NULL
released_items
    source VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    text_sha256 VARCHAR, raw_answer VARCHAR NOT NULL, raw_box INTEGER[], box STRUCT(i0 INTEGER,
    i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), box_reason VARCHAR, problems
    VARCHAR[] NOT NULL, file VARCHAR NOT NULL, position INTEGER NOT NULL
released_questions
    source VARCHAR NOT NULL, file VARCHAR NOT NULL, question_id SMALLINT NOT NULL, text VARCHAR
    NOT NULL
released_texts
    text_sha256 VARCHAR NOT NULL, text VARCHAR NOT NULL, is_template BOOLEAN
released_volumes
    source VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, patient VARCHAR NOT NULL, visit VARCHAR
    NOT NULL, side VARCHAR NOT NULL, split VARCHAR NOT NULL, image VARCHAR NOT NULL, label_map
    VARCHAR NOT NULL, n_items SMALLINT NOT NULL
review_reads
    sample VARCHAR NOT NULL, code VARCHAR NOT NULL, reader VARCHAR NOT NULL, adjudicates BOOLEAN
    NOT NULL, verdict VARCHAR NOT NULL, reason VARCHAR, grades MAP(VARCHAR, SMALLINT) NOT NULL,
    note VARCHAR, read_at TIMESTAMP NOT NULL
review_sample_items
    sample VARCHAR NOT NULL, code VARCHAR NOT NULL, run_id VARCHAR NOT NULL, volume_id VARCHAR
    NOT NULL, question_id SMALLINT NOT NULL, attempt_no SMALLINT NOT NULL, text_sha256 VARCHAR
    NOT NULL, state VARCHAR NOT NULL, stratum VARCHAR NOT NULL, weight DOUBLE NOT NULL
review_samples
    name VARCHAR NOT NULL, run_id VARCHAR NOT NULL, seed BIGINT NOT NULL, readers VARCHAR[] NOT
    NULL, drawn_at TIMESTAMP NOT NULL
reviews
    review_no BIGINT NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL, run_id
    VARCHAR NOT NULL, attempt_no SMALLINT NOT NULL, text_sha256 VARCHAR NOT NULL, reviewer
    VARCHAR NOT NULL, verdict VARCHAR NOT NULL, reason VARCHAR, note VARCHAR, sample VARCHAR,
    reviewed_at TIMESTAMP NOT NULL
run_items
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    findings_id VARCHAR NOT NULL, starting_state VARCHAR NOT NULL
run_questions
    run_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL, components VARCHAR[] NOT NULL, text
    VARCHAR NOT NULL
run_quota_items
    run_id VARCHAR NOT NULL, choice_no SMALLINT NOT NULL, volume_id VARCHAR NOT NULL,
    question_id SMALLINT NOT NULL, quota_nos SMALLINT[] NOT NULL
run_quotas
    run_id VARCHAR NOT NULL, choice_no SMALLINT NOT NULL, quota_no SMALLINT NOT NULL, quota
    VARCHAR NOT NULL, questions VARCHAR, visit VARCHAR, wanted INTEGER NOT NULL, available
    INTEGER NOT NULL, chosen INTEGER NOT NULL, chosen_at TIMESTAMP NOT NULL
runs
    run_id VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, kind VARCHAR NOT NULL, control
    VARCHAR NOT NULL, grounding VARCHAR NOT NULL, wording VARCHAR NOT NULL, prompts
    STRUCT(prompt_id VARCHAR, "version" INTEGER, sha256 VARCHAR)[] NOT NULL, drafter_model
    VARCHAR NOT NULL, judge_model VARCHAR, checks MAP(VARCHAR, INTEGER) NOT NULL, temperature
    DOUBLE, top_p DOUBLE, max_tokens BIGINT, seed BIGINT, sampling_other MAP(VARCHAR, VARCHAR)
    NOT NULL, provenance MAP(VARCHAR, VARCHAR) NOT NULL, state VARCHAR NOT NULL, n_starts
    INTEGER NOT NULL, started_at TIMESTAMP NOT NULL, resumed_at TIMESTAMP, finished_at
    TIMESTAMP, images VARCHAR
schema_migrations
    version INTEGER NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL
shown_images
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    image_volume_id VARCHAR NOT NULL, image_sha256 VARCHAR NOT NULL, percentiles DOUBLE[2] NOT
    NULL, window_low DOUBLE NOT NULL, window_high DOUBLE NOT NULL, box_drawn BOOLEAN NOT NULL,
    slices STRUCT("position" SMALLINT, plane VARCHAR, axis VARCHAR, "index" INTEGER, "left"
    VARCHAR, "right" VARCHAR, width INTEGER, height INTEGER, mm_per_pixel DOUBLE, box_pixels
    INTEGER[4], sha256 VARCHAR)[] NOT NULL
v_acceptance
    run_id VARCHAR, kind VARCHAR, control VARCHAR, question_id SMALLINT, feature VARCHAR,
    component VARCHAR, clinician_grade SMALLINT, synthetic BOOLEAN, accepted BIGINT, rejected
    BIGINT, disagrees BIGINT, failed BIGINT, drafted BIGINT, acceptance DOUBLE
v_acceptance_by_prompt
    run_id VARCHAR, kind VARCHAR, control VARCHAR, wording VARCHAR, prompt_id VARCHAR,
    prompt_version INTEGER, prompt_sha256 VARCHAR, drafter_model VARCHAR, judge_model VARCHAR,
    synthetic BOOLEAN, accepted BIGINT, rejected BIGINT, disagrees BIGINT, failed BIGINT,
    drafted BIGINT, acceptance DOUBLE
v_agreement
    run_id VARCHAR, kind VARCHAR, control VARCHAR, grounding VARCHAR, drafter_model VARCHAR,
    feature VARCHAR, component VARCHAR, scale_type VARCHAR, clinician_grade SMALLINT, synthetic
    BOOLEAN, n BIGINT, n_same BIGINT, n_within_one BIGINT, mean_difference DOUBLE
v_ambiguous
    patient VARCHAR, visit VARCHAR, side VARCHAR, question_id SMALLINT, feature VARCHAR, site
    VARCHAR, component VARCHAR, grades SMALLINT[], n_reads BIGINT, projects VARCHAR[], status
    VARCHAR, grade SMALLINT, policy VARCHAR
v_checks
    run_id VARCHAR, check_name VARCHAR, check_version INTEGER, code VARCHAR, severity VARCHAR,
    items BIGINT, accepted BIGINT, rejected BIGINT
v_clinician_reads
    patient VARCHAR, visit VARCHAR, side VARCHAR, question_id SMALLINT, feature VARCHAR, site
    VARCHAR, component VARCHAR, read_no BIGINT, status VARCHAR, grade SMALLINT, raw VARCHAR,
    file VARCHAR, line INTEGER, readprj VARCHAR, version VARCHAR, taken BOOLEAN, policy VARCHAR
v_flat
    run_id VARCHAR, volume_id VARCHAR, patient VARCHAR, visit VARCHAR, side VARCHAR, sequence
    VARCHAR, split VARCHAR, question_id SMALLINT, question VARCHAR, feature VARCHAR, site
    VARCHAR, region VARCHAR, region_name VARCHAR, compartment VARCHAR, box STRUCT(i0 INTEGER, i1
    INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), box_world STRUCT(x0 DOUBLE, x1
    DOUBLE, y0 DOUBLE, y1 DOUBLE, z0 DOUBLE, z1 DOUBLE), box_source VARCHAR, truncated BOOLEAN,
    definition_id VARCHAR, steps STRUCT("name" VARCHAR, "text" VARCHAR, box STRUCT(i0 INTEGER,
    i1 INTEGER, j0 INTEGER, j1 INTEGER, k0 INTEGER, k1 INTEGER), cites VARCHAR[])[], grades
    STRUCT(size SMALLINT, number SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade
    SMALLINT, morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear
    SMALLINT, bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), clinician_grades
    STRUCT(size SMALLINT, number SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade
    SMALLINT, morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear
    SMALLINT, bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), readprj
    VARCHAR[], components_scored VARCHAR[], complete BOOLEAN, kind VARCHAR, control VARCHAR,
    grounding VARCHAR, wording VARCHAR, prompt_id VARCHAR, prompt_version INTEGER, prompt_sha256
    VARCHAR, model VARCHAR, judge_model VARCHAR, author VARCHAR, gates VARCHAR[], attempt_no
    SMALLINT, n_attempts SMALLINT, grade_changed BOOLEAN, findings_id VARCHAR, image VARCHAR,
    label_map VARCHAR, scheme VARCHAR, mask_source VARCHAR, segmenter VARCHAR, licence VARCHAR,
    model_licence VARCHAR, synthetic BOOLEAN, image_source VARCHAR, image_licence VARCHAR,
    restricted BOOLEAN, segmenter_trained_on BOOLEAN, status VARCHAR, stale_reasons VARCHAR[],
    verdict_no SMALLINT, checked_by VARCHAR
v_item_states
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, feature VARCHAR, state VARCHAR,
    synthetic BOOLEAN
v_judgements
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, feature VARCHAR, verdict_no
    SMALLINT, judge_model VARCHAR, judge_grades STRUCT(size SMALLINT, number SMALLINT,
    percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence
    SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair
    SMALLINT, signal_abnormality SMALLINT), draft_grades STRUCT(size SMALLINT, number SMALLINT,
    percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology SMALLINT, presence
    SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst SMALLINT, repair
    SMALLINT, signal_abnormality SMALLINT), marks STRUCT(item VARCHAR, essential BOOLEAN, holds
    BOOLEAN, reason VARCHAR)[], codes VARCHAR[], passed BOOLEAN, is_newest BOOLEAN, calls
    BIGINT, tokens BIGINT
v_knee_components
    patient VARCHAR, visit VARCHAR, side VARCHAR, question_id SMALLINT, feature VARCHAR, site
    VARCHAR, component VARCHAR, scale_type VARCHAR, status VARCHAR, grade SMALLINT, readprj
    VARCHAR[], synthetic BOOLEAN, n_quintuples BIGINT
v_knees
    patient VARCHAR, visit VARCHAR, side VARCHAR, synthetic BOOLEAN, n_read BIGINT, n_quintuples
    BIGINT, q01_size SMALLINT, q01_number SMALLINT, q01_percent_bml SMALLINT, q02_size SMALLINT,
    q02_number SMALLINT, q02_percent_bml SMALLINT, q03_size SMALLINT, q03_number SMALLINT,
    q03_percent_bml SMALLINT, q04_size SMALLINT, q04_number SMALLINT, q04_percent_bml SMALLINT,
    q05_size SMALLINT, q05_number SMALLINT, q05_percent_bml SMALLINT, q06_size SMALLINT,
    q06_number SMALLINT, q06_percent_bml SMALLINT, q07_size SMALLINT, q07_number SMALLINT,
    q07_percent_bml SMALLINT, q08_size SMALLINT, q08_number SMALLINT, q08_percent_bml SMALLINT,
    q09_size SMALLINT, q09_number SMALLINT, q09_percent_bml SMALLINT, q10_size SMALLINT,
    q10_number SMALLINT, q10_percent_bml SMALLINT, q11_size SMALLINT, q11_number SMALLINT,
    q11_percent_bml SMALLINT, q12_size SMALLINT, q12_number SMALLINT, q12_percent_bml SMALLINT,
    q13_size SMALLINT, q13_number SMALLINT, q13_percent_bml SMALLINT, q14_size SMALLINT,
    q14_number SMALLINT, q14_percent_bml SMALLINT, q15_size SMALLINT, q15_number SMALLINT,
    q15_percent_bml SMALLINT, q16_size SMALLINT, q16_full_thickness SMALLINT, q17_size SMALLINT,
    q17_full_thickness SMALLINT, q18_size SMALLINT, q18_full_thickness SMALLINT, q19_size
    SMALLINT, q19_full_thickness SMALLINT, q20_size SMALLINT, q20_full_thickness SMALLINT,
    q21_size SMALLINT, q21_full_thickness SMALLINT, q22_size SMALLINT, q22_full_thickness
    SMALLINT, q23_size SMALLINT, q23_full_thickness SMALLINT, q24_size SMALLINT,
    q24_full_thickness SMALLINT, q25_size SMALLINT, q25_full_thickness SMALLINT, q26_size
    SMALLINT, q26_full_thickness SMALLINT, q27_size SMALLINT, q27_full_thickness SMALLINT,
    q28_size SMALLINT, q28_full_thickness SMALLINT, q29_size SMALLINT, q29_full_thickness
    SMALLINT, q30_grade SMALLINT, q31_grade SMALLINT, q32_grade SMALLINT, q33_grade SMALLINT,
    q34_grade SMALLINT, q35_grade SMALLINT, q36_grade SMALLINT, q37_grade SMALLINT, q38_grade
    SMALLINT, q39_grade SMALLINT, q40_grade SMALLINT, q41_grade SMALLINT, q42_grade SMALLINT,
    q43_grade SMALLINT, q44_grade SMALLINT, q45_grade SMALLINT, q46_grade SMALLINT, q47_grade
    SMALLINT, q48_morphology SMALLINT, q49_morphology SMALLINT, q50_morphology SMALLINT,
    q51_morphology SMALLINT, q52_morphology SMALLINT, q53_morphology SMALLINT, q54_presence
    SMALLINT, q54_tear_location SMALLINT, q55_presence SMALLINT, q55_tear_location SMALLINT,
    q56_presence SMALLINT, q57_presence SMALLINT, q58_presence SMALLINT, q59_presence SMALLINT,
    q60_complete_tear SMALLINT, q60_bml_cyst SMALLINT, q60_repair SMALLINT, q61_complete_tear
    SMALLINT, q61_bml_cyst SMALLINT, q62_signal_abnormality SMALLINT, q63_presence SMALLINT,
    q64_presence SMALLINT, q65_presence SMALLINT, q66_presence SMALLINT, q67_presence SMALLINT,
    q68_presence SMALLINT, q69_presence SMALLINT
v_outcomes
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, findings_id VARCHAR, state VARCHAR,
    codes VARCHAR[], gates VARCHAR[], complete BOOLEAN, n_attempts SMALLINT, verdict_no
    SMALLINT, first_state VARCHAR, recorded_at TIMESTAMP
v_quintuples
    run_id VARCHAR, volume_id VARCHAR, patient VARCHAR, visit VARCHAR, side VARCHAR, sequence
    VARCHAR, split VARCHAR, question_id SMALLINT, feature VARCHAR, site VARCHAR, region VARCHAR,
    region_name VARCHAR, compartment VARCHAR, box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1
    INTEGER, k0 INTEGER, k1 INTEGER), box_world STRUCT(x0 DOUBLE, x1 DOUBLE, y0 DOUBLE, y1
    DOUBLE, z0 DOUBLE, z1 DOUBLE), box_source VARCHAR, truncated BOOLEAN, definition_id VARCHAR,
    steps STRUCT("name" VARCHAR, "text" VARCHAR, box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER,
    j1 INTEGER, k0 INTEGER, k1 INTEGER), cites VARCHAR[])[], grades STRUCT(size SMALLINT, number
    SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT, morphology
    SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear SMALLINT, bml_cyst
    SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), clinician_grades STRUCT(size
    SMALLINT, number SMALLINT, percent_bml SMALLINT, full_thickness SMALLINT, grade SMALLINT,
    morphology SMALLINT, presence SMALLINT, tear_location SMALLINT, complete_tear SMALLINT,
    bml_cyst SMALLINT, repair SMALLINT, signal_abnormality SMALLINT), components_scored
    VARCHAR[], complete BOOLEAN, kind VARCHAR, control VARCHAR, grounding VARCHAR, wording
    VARCHAR, prompt_id VARCHAR, prompt_version INTEGER, prompt_sha256 VARCHAR, model VARCHAR,
    judge_model VARCHAR, author VARCHAR, gates VARCHAR[], attempt_no SMALLINT, n_attempts
    SMALLINT, grade_changed BOOLEAN, findings_id VARCHAR, image VARCHAR, label_map VARCHAR,
    scheme VARCHAR, mask_source VARCHAR, segmenter VARCHAR, licence VARCHAR, model_licence
    VARCHAR, synthetic BOOLEAN, image_source VARCHAR, image_licence VARCHAR, restricted BOOLEAN,
    segmenter_trained_on BOOLEAN, status VARCHAR, stale_reasons VARCHAR[], verdict_no SMALLINT,
    checked_by VARCHAR
v_quotas
    run_id VARCHAR, choice_no SMALLINT, quota_no SMALLINT, quota VARCHAR, questions VARCHAR,
    visit VARCHAR, wanted INTEGER, available INTEGER, chosen INTEGER, n_patients BIGINT,
    n_drafted BIGINT, n_accepted BIGINT
v_released
    source VARCHAR, licence VARCHAR, author VARCHAR, volume_id VARCHAR, patient VARCHAR, visit
    VARCHAR, side VARCHAR, split VARCHAR, question_id SMALLINT, feature VARCHAR, region VARCHAR,
    text VARCHAR, is_template BOOLEAN, box STRUCT(i0 INTEGER, i1 INTEGER, j0 INTEGER, j1
    INTEGER, k0 INTEGER, k1 INTEGER), box_reason VARCHAR, grades MAP(VARCHAR, SMALLINT), flags
    MAP(VARCHAR, VARCHAR), problems VARCHAR[], raw_answer VARCHAR
v_review_status
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, attempt_no SMALLINT, text_sha256
    VARCHAR, verdict VARCHAR, reviewer VARCHAR, reason VARCHAR, n_reviews BIGINT
v_run_costs
    run_id VARCHAR, kind VARCHAR, drafter_model VARCHAR, judge_model VARCHAR, items BIGINT,
    accepted BIGINT, calls BIGINT, prompt_tokens BIGINT, completion_tokens BIGINT, latency_s
    DOUBLE, judge_calls BIGINT, judge_tokens BIGINT, tokens_per_accepted DOUBLE
v_run_images
    run_id VARCHAR, planes VARCHAR[], n_slices INTEGER, max_pixels INTEGER, margin_mm DOUBLE,
    box_drawn BOOLEAN, percentiles DOUBLE[], rendering INTEGER
v_selection
    run_id VARCHAR, feature VARCHAR, component VARCHAR, clinician_status VARCHAR,
    clinician_grade SMALLINT, attempts SMALLINT, readprj VARCHAR, visit VARCHAR, mask_source
    VARCHAR, synthetic BOOLEAN, n_all BIGINT, n_read BIGINT, n_boxed BIGINT, n_evidence BIGINT,
    n_drafted BIGINT, n_accepted BIGINT, weight DOUBLE
v_selection_weight
    run_id VARCHAR, feature VARCHAR, component VARCHAR, clinician_grade SMALLINT, synthetic
    BOOLEAN, n_read BIGINT, n_accepted BIGINT, weight DOUBLE
v_shown_slices
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, feature VARCHAR, image_volume_id
    VARCHAR, image VARCHAR, image_sha256 VARCHAR, position SMALLINT, plane VARCHAR, axis
    VARCHAR, slice_index INTEGER, window_low DOUBLE, window_high DOUBLE, width INTEGER, height
    INTEGER, mm_per_pixel DOUBLE, box_pixels INTEGER[4], box_drawn BOOLEAN, sha256 VARCHAR,
    synthetic BOOLEAN
v_stale_counts
    run_id VARCHAR, status VARCHAR, stale_reasons VARCHAR[], quintuples BIGINT
v_staleness
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, stale_reasons VARCHAR[]
v_texts
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, attempt_no SMALLINT, text_sha256
    VARCHAR
v_verdicts
    run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT, verdict_no SMALLINT, recheck_id
    VARCHAR, attempt_no SMALLINT, state VARCHAR, codes VARCHAR[], gates VARCHAR[], judge_model
    VARCHAR, recorded_at TIMESTAMP, is_newest BOOLEAN
verdicts
    run_id VARCHAR NOT NULL, volume_id VARCHAR NOT NULL, question_id SMALLINT NOT NULL,
    verdict_no SMALLINT NOT NULL, recheck_id VARCHAR NOT NULL, attempt_no SMALLINT NOT NULL,
    state VARCHAR NOT NULL, codes VARCHAR[] NOT NULL, gates VARCHAR[] NOT NULL, complete BOOLEAN
    NOT NULL, issues STRUCT("check" VARCHAR, "version" INTEGER, code VARCHAR, severity VARCHAR,
    message VARCHAR)[] NOT NULL, error VARCHAR, recorded_at TIMESTAMP NOT NULL
volumes
    volume_id VARCHAR NOT NULL, patient VARCHAR NOT NULL, visit VARCHAR NOT NULL, side VARCHAR
    NOT NULL, sequence VARCHAR NOT NULL, image VARCHAR, label_map VARCHAR NOT NULL, cohort_root
    VARCHAR NOT NULL, scheme VARCHAR NOT NULL, mask_source VARCHAR, segmenter VARCHAR, licence
    VARCHAR, synthetic BOOLEAN NOT NULL, split VARCHAR, status VARCHAR NOT NULL, reason VARCHAR,
    findings_id VARCHAR, added_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL,
    image_source VARCHAR, image_licence VARCHAR, restricted BOOLEAN, segmenter_trained_on
    BOOLEAN
"""

PRIMARY_KEYS = {
    "clinician_grades": ["patient", "visit", "side", "question_id", "component", "revision"],
    "components": ["question_id", "component"],
    "findings_sets": ["volume_id", "findings_id"],
    "frozen_releases": ["name"],
    "frozen_rows": ["name", "run_id", "volume_id", "question_id"],
    "judge_calls": ["run_id", "volume_id", "question_id", "verdict_no", "call_no"],
    "judgements": ["run_id", "volume_id", "question_id", "verdict_no"],
    "outcomes": ["run_id", "volume_id", "question_id"],
    "patient_splits": ["patient"],
    "prompt_sources": ["sha256"],
    "prompts": ["prompt_id", "version", "sha256"],
    "questions": ["question_id"],
    "rechecks": ["recheck_id"],
    "regions": ["volume_id", "findings_id", "question_id"],
    "released_grades": ["source", "volume_id", "question_id", "component"],
    "released_imports": ["source"],
    "released_items": ["source", "volume_id", "question_id"],
    "released_questions": ["source", "file", "question_id"],
    "released_texts": ["text_sha256"],
    "released_volumes": ["source", "volume_id"],
    "review_reads": ["sample", "code", "reader"],
    "review_sample_items": ["sample", "code"],
    "review_samples": ["name"],
    "reviews": ["review_no"],
    "run_quota_items": ["run_id", "choice_no", "volume_id", "question_id"],
    "run_quotas": ["run_id", "choice_no", "quota_no"],
    "runs": ["run_id"],
    "schema_migrations": ["version"],
    "shown_images": ["run_id", "volume_id", "question_id"],
    "verdicts": ["run_id", "volume_id", "question_id", "verdict_no"],
    "volumes": ["volume_id"],
}
KEYS_WITHOUT_INDEX = {
    "attempts": ("run_id", "volume_id", "question_id", "attempt_no"),
    "quintuples": ("run_id", "volume_id", "question_id"),
    "run_items": ("run_id", "volume_id", "question_id"),
}
"""Held by the transaction that puts the outcome or the run's volumes, and counted by `verify`."""
PLAIN_TEXT = {"text", "error"}
"""Columns of long or rare texts, which zstd suits."""


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    apply_migrations(database)
    return database


def columns_of(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    rows = con.execute(
        "SELECT table_name, string_agg(column_name || ' ' || data_type || "
        "CASE WHEN is_nullable THEN '' ELSE ' NOT NULL' END, ', ' ORDER BY column_index) "
        "FROM duckdb_columns() WHERE NOT internal GROUP BY table_name"
    ).fetchall()
    return {str(table): str(columns) for table, columns in rows}


def test_the_migrations_end_in_this_schema(con: duckdb.DuckDBPyConnection):
    expected: dict[str, str] = {}
    table = ""
    for line in SCHEMA.splitlines():
        if line.startswith(" "):
            expected[table] = f"{expected[table]} {line.strip()}".strip()
        else:
            table = line
            expected[table] = ""
    assert columns_of(con) == expected


def test_the_primary_keys_are_those_of_the_contracts(con: duckdb.DuckDBPyConnection):
    rows = con.execute(
        "SELECT table_name, constraint_column_names FROM duckdb_constraints() "
        "WHERE constraint_type = 'PRIMARY KEY'"
    ).fetchall()
    assert dict(rows) == PRIMARY_KEYS


def test_a_key_without_an_index_is_counted_by_verify(con: duckdb.DuckDBPyConnection):
    for table, key in KEYS_WITHOUT_INDEX.items():
        assert verifying._KEYS[table] == key  # pyright: ignore[reportPrivateUsage]
        comment = con.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = ?", [table]
        ).fetchall()[0][0]
        assert f"unique by ({', '.join(key)})" in comment


def test_ids_and_words_of_the_large_tables_are_kept_in_a_dictionary(tmp_path: Path):
    store = tmp_path / "knees.duckdb"
    fill(store)
    generate(store, tell=lambda _: None)
    with open_store(store, read_only=True) as con:
        for table in ("attempts", "outcomes", "quintuples", "run_items", "clinician_grades"):
            found = dict(
                con.execute(
                    "SELECT column_name, max(compression) FROM pragma_storage_info(?) "
                    "WHERE segment_type = 'VARCHAR' AND column_path NOT LIKE '%,%' GROUP BY ALL",
                    [table],
                ).fetchall()
            )
            short = {name: kind for name, kind in found.items() if name not in PLAIN_TEXT}
            assert len(short) >= 3
            assert set(short.values()) <= {"DICT_FSST", "Constant", "Empty Validity"}, table
        steps = con.execute(
            "SELECT DISTINCT compression FROM pragma_storage_info('attempts') "
            "WHERE column_name = 'steps' AND segment_type = 'VARCHAR'"
        ).fetchall()
        assert steps == [("ZSTD",)]


def test_a_store_of_schema_11_keeps_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = tmp_path / "knees.duckdb"
    monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS[:11])
    monkeypatch.setattr("store.connection.SCHEMA_VERSION", 11)
    fill(store)
    generate(store, tell=lambda _: None)
    before = contents_of(store)
    monkeypatch.undo()
    with StoreWriter(store):
        pass
    assert contents_of(store) == before
    assert before["attempts"][0] > 40
    assert before["v_quintuples"][0] > 0
    with open_store(store, read_only=True) as con:
        assert schema_version(con) == SCHEMA_VERSION
        assert list(structure_problems(con)) == []


def contents_of(store: Path) -> dict[str, tuple[int, int]]:
    """Returns rows and a hash over all of them, by table and for the flat view."""
    with open_store(store, read_only=True, known=True) as con:
        tables = con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT internal "
            "AND table_name <> 'schema_migrations'"
        ).fetchall()
        return {
            str(name): con.execute(
                f"SELECT count(*), coalesce(bit_xor(hash(rows)), 0) FROM {name} rows"
            ).fetchall()[0]
            for (name,) in [*tables, ("v_quintuples",)]
        }


def test_every_table_view_and_column_says_what_it_is(con: duckdb.DuckDBPyConnection):
    silent = con.execute(
        "SELECT table_name || '.' || column_name FROM duckdb_columns() "
        "WHERE NOT internal AND comment IS NULL "
        "UNION ALL SELECT table_name FROM duckdb_tables() WHERE comment IS NULL "
        "UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL"
    ).fetchall()
    assert silent == []


def test_migrations_are_numbered_without_gaps_and_applied_once(con: duckdb.DuckDBPyConnection):
    assert [migration.version for migration in MIGRATIONS] == list(range(1, SCHEMA_VERSION + 1))
    assert schema_version(con) == SCHEMA_VERSION
    assert apply_migrations(con) == 0


def test_a_migration_that_fails_leaves_neither_change_nor_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = tmp_path / "knees.duckdb"
    create_store(store)
    broken = "ALTER TABLE volumes ADD COLUMN manufacturer VARCHAR; SELECT no_such_function();"
    later = (*MIGRATIONS, Migration(SCHEMA_VERSION + 1, "broken", broken))
    monkeypatch.setattr(migrations, "MIGRATIONS", later)
    monkeypatch.setattr("store.connection.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match="no_such_function"), StoreWriter(store):
        pass
    monkeypatch.undo()
    with open_store(store, read_only=True) as con:
        assert schema_version(con) == SCHEMA_VERSION
        assert "manufacturer" not in columns_of(con)["volumes"]


def test_an_older_store_is_brought_up_to_date_by_the_writer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = tmp_path / "knees.duckdb"
    create_store(store)
    sql = "ALTER TABLE volumes ADD COLUMN manufacturer VARCHAR;"
    later = (*MIGRATIONS, Migration(SCHEMA_VERSION + 1, "manufacturer", sql))
    monkeypatch.setattr(migrations, "MIGRATIONS", later)
    monkeypatch.setattr("store.connection.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match=f"has schema {SCHEMA_VERSION}") as error:
        open_store(store, read_only=True)
    assert "prepare" in str(error.value.hint)
    check_store(store)  # what `prepare` asks before its hours of work: this one can be written
    with StoreWriter(store):
        pass
    with open_store(store, read_only=True) as con:
        assert schema_version(con) == SCHEMA_VERSION + 1
        assert columns_of(con)["volumes"].endswith("manufacturer VARCHAR")


def test_descriptions_become_comments():
    sql = (
        "CREATE VIEW v AS -- It's a view.\n    SELECT\n        a.one, -- First.\n"
        "        max(b) AS two -- Second.\n    FROM a;\nCREATE TABLE t ( -- T.\n"
        "    box STRUCT(i0 INTEGER), -- A box.\n    PRIMARY KEY (box)\n);\n"
    )
    assert comment_statements(sql) == [
        "COMMENT ON VIEW v IS 'It''s a view.'",
        "COMMENT ON COLUMN v.\"one\" IS 'First.'",
        "COMMENT ON COLUMN v.\"two\" IS 'Second.'",
        "COMMENT ON TABLE t IS 'T.'",
        "COMMENT ON COLUMN t.\"box\" IS 'A box.'",
    ]


def test_quoted_names_have_descriptions_too():
    sql = (
        'CREATE VIEW v AS -- V.\n    SELECT\n        a."check", -- One.\n'
        '        max(b) AS "the version" -- Two.\n    FROM a;\n'
        'CREATE TABLE t ( -- T.\n    "of it" INTEGER NOT NULL -- Three.\n);\n'
    )
    assert [line.split(" IS ")[0] for line in comment_statements(sql)] == [
        "COMMENT ON VIEW v",
        'COMMENT ON COLUMN v."check"',
        'COMMENT ON COLUMN v."the version"',
        "COMMENT ON TABLE t",
        'COMMENT ON COLUMN t."of it"',
    ]
