-- Migration 11: what a question's text was, a flat view with it, a row a knee, and selection by all that
-- RULES 16 names.

CREATE TABLE run_questions ( -- The text of a question as a run asks it; unique by (run, question, components).
    run_id VARCHAR NOT NULL, -- The run.
    question_id SMALLINT NOT NULL, -- 1-69.
    components VARCHAR[] NOT NULL, -- Components whose scales the text shows, in the order of MOAKS.
    text VARCHAR NOT NULL -- The question.
);

CREATE VIEW v_flat AS -- As v_quintuples, with the text of the question and the reading projects.
    SELECT
        q.run_id, -- The run.
        q.volume_id, -- `<patient>/<visit>/<side>/<sequence>`.
        q.patient, -- Patient id.
        q.visit, -- `V00` is baseline.
        q.side, -- `right` or `left`.
        q.sequence, -- MRI sequence of the image.
        q.split, -- train, val or test; NULL when the cohort does not say.
        q.question_id, -- 1-69.
        t.text AS question, -- The question as the run asked it; NULL in runs of before migration 11.
        q.feature, -- What is graded.
        q.site, -- Where.
        q.region, -- `<feature>:<site>`.
        q.region_name, -- The region in words.
        q.compartment, -- `medial`, `lateral` or `midline`.
        q.box, -- Voxel box in the stored array, half-open; NULL in shuffled controls.
        q.box_world, -- The same box in RAS mm.
        q.box_source, -- `mask`, `partition` or `derived`.
        q.truncated, -- True where the field of view cuts the region off.
        q.definition_id, -- Definition of the region and its version.
        q.steps, -- The reasoning steps in the order written.
        q.grades, -- The grade of each component, NULL where not asked.
        q.clinician_grades, -- The clinician's grade of each component, NULL unless read.
        p.readprj, -- Reading projects of the clinicians' reads of the question; NULL when nobody read it.
        q.components_scored, -- Components that were graded and compared.
        q.complete, -- True when every component of the question was graded.
        q.kind, -- `production`, `trial` or `control`.
        q.control, -- Which negative control, or `none`.
        q.grounding, -- `blind` or `label_given`.
        q.wording, -- `guided` or `zero_shot`.
        q.prompt_id, -- Prompt that was rendered.
        q.prompt_version, -- Its version.
        q.prompt_sha256, -- Hash of the template.
        q.model, -- Drafting model as served.
        q.judge_model, -- NULL while there is no judge.
        q.author, -- Who wrote the steps: never a clinician.
        q.gates, -- Gates of the newest verdict, as `name@version`; the judge's is `judge:<model>@…` or `judge:none`.
        q.attempt_no, -- The attempt that was accepted.
        q.n_attempts, -- Attempts of the item.
        q.grade_changed, -- True when the revision gave another grade than the attempt before.
        q.findings_id, -- The findings that were used.
        q.image, -- Image file, relative to the cohort's root.
        q.label_map, -- Label map file, relative to the cohort's root.
        q.scheme, -- Label-map scheme.
        q.mask_source, -- Where the masks come from.
        q.segmenter, -- Who or what drew the masks, with version.
        q.licence, -- Licence of image and masks.
        q.model_licence, -- Licence of the drafting model's weights.
        q.synthetic, -- True for phantoms and painted images: never pooled with patients.
        q.image_source, -- Where the image comes from; NULL when not known.
        q.image_licence, -- Licence of the image; NULL when not known.
        q.restricted, -- True where the data may not leave the machine; NULL (not known) counts as true.
        q.segmenter_trained_on, -- Whether the segmenter was trained on this patient; NULL when not known.
        q.status, -- `valid`; `rejected` by a person, of this very text; `stale` when the newest verdict or what it rests on is another one.
        q.stale_reasons, -- `verdict` (a recheck says otherwise), `findings` (the volume was described anew), `clinician_grade` (the table changed); empty when valid.
        q.verdict_no, -- Number of the newest verdict; 1 is the run's own.
        q.checked_by -- Who accepted this very text; NULL when nobody did.
    FROM v_quintuples q
    LEFT JOIN run_questions t
        ON t.run_id = q.run_id AND t.question_id = q.question_id
        AND t.components = q.components_scored
    LEFT JOIN (
        SELECT patient, visit, side, question_id,
            list_sort(list_distinct(flatten(list(readprj)))) AS readprj
        FROM clinician_grades WHERE is_current GROUP BY ALL
    ) p ON p.patient = q.patient AND p.visit = q.visit AND p.side = q.side
        AND p.question_id = q.question_id;

CREATE VIEW v_run_images AS -- How the slices of a run's drafter were drawn; no row for a run from text alone.
    SELECT
        run_id, -- The run.
        CAST(images -> 'planes' AS VARCHAR[]) AS planes, -- Planes that may be shown.
        CAST(images ->> 'n_slices' AS INTEGER) AS n_slices, -- Slices in each plane at most.
        CAST(images ->> 'max_pixels' AS INTEGER) AS max_pixels, -- Longest edge of a slice in pixels.
        CAST(images ->> 'margin_mm' AS DOUBLE) AS margin_mm, -- Slices are cut so far around the box; NULL shows them whole.
        CAST(images ->> 'box_drawn' AS BOOLEAN) AS box_drawn, -- True when the region's box was outlined.
        CAST(images -> 'percentiles' AS DOUBLE[]) AS percentiles, -- Percentiles of the volume's intensities shown as black and as white.
        CAST(images ->> 'rendering' AS INTEGER) AS rendering -- Version of the drawing.
    FROM runs
    WHERE images IS NOT NULL;

CREATE VIEW v_knees AS -- One row per knee-visit, the clinician's grade of every component a column: to join with a table of one's own.
    SELECT
        patient, -- Patient id.
        visit, -- `V00` is baseline.
        side, -- `right` or `left`.
        synthetic, -- True for phantoms and painted images.
        count(grade) AS n_read, -- Components that a clinician read.
        sum(n_quintuples) FILTER (is_first)::BIGINT AS n_quintuples, -- Quintuples in production runs, stale and rejected ones included.
        max(grade) FILTER (question_id = 1 AND component = 'size') AS q01_size, -- Size of bml:patella_medial; NULL unless read.
        max(grade) FILTER (question_id = 1 AND component = 'number') AS q01_number, -- Number of bml:patella_medial; NULL unless read.
        max(grade) FILTER (question_id = 1 AND component = 'percent_bml') AS q01_percent_bml, -- Percent bml of bml:patella_medial; NULL unless read.
        max(grade) FILTER (question_id = 2 AND component = 'size') AS q02_size, -- Size of bml:patella_lateral; NULL unless read.
        max(grade) FILTER (question_id = 2 AND component = 'number') AS q02_number, -- Number of bml:patella_lateral; NULL unless read.
        max(grade) FILTER (question_id = 2 AND component = 'percent_bml') AS q02_percent_bml, -- Percent bml of bml:patella_lateral; NULL unless read.
        max(grade) FILTER (question_id = 3 AND component = 'size') AS q03_size, -- Size of bml:femur_medial_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 3 AND component = 'number') AS q03_number, -- Number of bml:femur_medial_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 3 AND component = 'percent_bml') AS q03_percent_bml, -- Percent bml of bml:femur_medial_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 4 AND component = 'size') AS q04_size, -- Size of bml:femur_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 4 AND component = 'number') AS q04_number, -- Number of bml:femur_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 4 AND component = 'percent_bml') AS q04_percent_bml, -- Percent bml of bml:femur_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 5 AND component = 'size') AS q05_size, -- Size of bml:femur_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 5 AND component = 'number') AS q05_number, -- Number of bml:femur_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 5 AND component = 'percent_bml') AS q05_percent_bml, -- Percent bml of bml:femur_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 6 AND component = 'size') AS q06_size, -- Size of bml:femur_lateral_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 6 AND component = 'number') AS q06_number, -- Number of bml:femur_lateral_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 6 AND component = 'percent_bml') AS q06_percent_bml, -- Percent bml of bml:femur_lateral_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 7 AND component = 'size') AS q07_size, -- Size of bml:femur_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 7 AND component = 'number') AS q07_number, -- Number of bml:femur_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 7 AND component = 'percent_bml') AS q07_percent_bml, -- Percent bml of bml:femur_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 8 AND component = 'size') AS q08_size, -- Size of bml:femur_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 8 AND component = 'number') AS q08_number, -- Number of bml:femur_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 8 AND component = 'percent_bml') AS q08_percent_bml, -- Percent bml of bml:femur_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 9 AND component = 'size') AS q09_size, -- Size of bml:tibia_medial_anterior; NULL unless read.
        max(grade) FILTER (question_id = 9 AND component = 'number') AS q09_number, -- Number of bml:tibia_medial_anterior; NULL unless read.
        max(grade) FILTER (question_id = 9 AND component = 'percent_bml') AS q09_percent_bml, -- Percent bml of bml:tibia_medial_anterior; NULL unless read.
        max(grade) FILTER (question_id = 10 AND component = 'size') AS q10_size, -- Size of bml:tibia_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 10 AND component = 'number') AS q10_number, -- Number of bml:tibia_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 10 AND component = 'percent_bml') AS q10_percent_bml, -- Percent bml of bml:tibia_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 11 AND component = 'size') AS q11_size, -- Size of bml:tibia_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 11 AND component = 'number') AS q11_number, -- Number of bml:tibia_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 11 AND component = 'percent_bml') AS q11_percent_bml, -- Percent bml of bml:tibia_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 12 AND component = 'size') AS q12_size, -- Size of bml:tibia_lateral_anterior; NULL unless read.
        max(grade) FILTER (question_id = 12 AND component = 'number') AS q12_number, -- Number of bml:tibia_lateral_anterior; NULL unless read.
        max(grade) FILTER (question_id = 12 AND component = 'percent_bml') AS q12_percent_bml, -- Percent bml of bml:tibia_lateral_anterior; NULL unless read.
        max(grade) FILTER (question_id = 13 AND component = 'size') AS q13_size, -- Size of bml:tibia_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 13 AND component = 'number') AS q13_number, -- Number of bml:tibia_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 13 AND component = 'percent_bml') AS q13_percent_bml, -- Percent bml of bml:tibia_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 14 AND component = 'size') AS q14_size, -- Size of bml:tibia_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 14 AND component = 'number') AS q14_number, -- Number of bml:tibia_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 14 AND component = 'percent_bml') AS q14_percent_bml, -- Percent bml of bml:tibia_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 15 AND component = 'size') AS q15_size, -- Size of bml:tibia_subspinous; NULL unless read.
        max(grade) FILTER (question_id = 15 AND component = 'number') AS q15_number, -- Number of bml:tibia_subspinous; NULL unless read.
        max(grade) FILTER (question_id = 15 AND component = 'percent_bml') AS q15_percent_bml, -- Percent bml of bml:tibia_subspinous; NULL unless read.
        max(grade) FILTER (question_id = 16 AND component = 'size') AS q16_size, -- Size of cartilage:patella_medial; NULL unless read.
        max(grade) FILTER (question_id = 16 AND component = 'full_thickness') AS q16_full_thickness, -- Full thickness of cartilage:patella_medial; NULL unless read.
        max(grade) FILTER (question_id = 17 AND component = 'size') AS q17_size, -- Size of cartilage:patella_lateral; NULL unless read.
        max(grade) FILTER (question_id = 17 AND component = 'full_thickness') AS q17_full_thickness, -- Full thickness of cartilage:patella_lateral; NULL unless read.
        max(grade) FILTER (question_id = 18 AND component = 'size') AS q18_size, -- Size of cartilage:femur_medial_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 18 AND component = 'full_thickness') AS q18_full_thickness, -- Full thickness of cartilage:femur_medial_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 19 AND component = 'size') AS q19_size, -- Size of cartilage:femur_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 19 AND component = 'full_thickness') AS q19_full_thickness, -- Full thickness of cartilage:femur_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 20 AND component = 'size') AS q20_size, -- Size of cartilage:femur_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 20 AND component = 'full_thickness') AS q20_full_thickness, -- Full thickness of cartilage:femur_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 21 AND component = 'size') AS q21_size, -- Size of cartilage:femur_lateral_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 21 AND component = 'full_thickness') AS q21_full_thickness, -- Full thickness of cartilage:femur_lateral_trochlea; NULL unless read.
        max(grade) FILTER (question_id = 22 AND component = 'size') AS q22_size, -- Size of cartilage:femur_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 22 AND component = 'full_thickness') AS q22_full_thickness, -- Full thickness of cartilage:femur_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 23 AND component = 'size') AS q23_size, -- Size of cartilage:femur_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 23 AND component = 'full_thickness') AS q23_full_thickness, -- Full thickness of cartilage:femur_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 24 AND component = 'size') AS q24_size, -- Size of cartilage:tibia_medial_anterior; NULL unless read.
        max(grade) FILTER (question_id = 24 AND component = 'full_thickness') AS q24_full_thickness, -- Full thickness of cartilage:tibia_medial_anterior; NULL unless read.
        max(grade) FILTER (question_id = 25 AND component = 'size') AS q25_size, -- Size of cartilage:tibia_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 25 AND component = 'full_thickness') AS q25_full_thickness, -- Full thickness of cartilage:tibia_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 26 AND component = 'size') AS q26_size, -- Size of cartilage:tibia_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 26 AND component = 'full_thickness') AS q26_full_thickness, -- Full thickness of cartilage:tibia_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 27 AND component = 'size') AS q27_size, -- Size of cartilage:tibia_lateral_anterior; NULL unless read.
        max(grade) FILTER (question_id = 27 AND component = 'full_thickness') AS q27_full_thickness, -- Full thickness of cartilage:tibia_lateral_anterior; NULL unless read.
        max(grade) FILTER (question_id = 28 AND component = 'size') AS q28_size, -- Size of cartilage:tibia_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 28 AND component = 'full_thickness') AS q28_full_thickness, -- Full thickness of cartilage:tibia_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 29 AND component = 'size') AS q29_size, -- Size of cartilage:tibia_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 29 AND component = 'full_thickness') AS q29_full_thickness, -- Full thickness of cartilage:tibia_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 30 AND component = 'grade') AS q30_grade, -- Grade of osteophyte:patella_superior; NULL unless read.
        max(grade) FILTER (question_id = 31 AND component = 'grade') AS q31_grade, -- Grade of osteophyte:patella_inferior; NULL unless read.
        max(grade) FILTER (question_id = 32 AND component = 'grade') AS q32_grade, -- Grade of osteophyte:patella_medial; NULL unless read.
        max(grade) FILTER (question_id = 33 AND component = 'grade') AS q33_grade, -- Grade of osteophyte:patella_lateral; NULL unless read.
        max(grade) FILTER (question_id = 34 AND component = 'grade') AS q34_grade, -- Grade of osteophyte:femur_medial_anterior; NULL unless read.
        max(grade) FILTER (question_id = 35 AND component = 'grade') AS q35_grade, -- Grade of osteophyte:femur_medial_central; NULL unless read.
        max(grade) FILTER (question_id = 36 AND component = 'grade') AS q36_grade, -- Grade of osteophyte:femur_medial_posterior; NULL unless read.
        max(grade) FILTER (question_id = 37 AND component = 'grade') AS q37_grade, -- Grade of osteophyte:femur_lateral_anterior; NULL unless read.
        max(grade) FILTER (question_id = 38 AND component = 'grade') AS q38_grade, -- Grade of osteophyte:femur_lateral_central; NULL unless read.
        max(grade) FILTER (question_id = 39 AND component = 'grade') AS q39_grade, -- Grade of osteophyte:femur_lateral_posterior; NULL unless read.
        max(grade) FILTER (question_id = 40 AND component = 'grade') AS q40_grade, -- Grade of osteophyte:tibia_medial; NULL unless read.
        max(grade) FILTER (question_id = 41 AND component = 'grade') AS q41_grade, -- Grade of osteophyte:tibia_lateral; NULL unless read.
        max(grade) FILTER (question_id = 42 AND component = 'grade') AS q42_grade, -- Grade of hoffa_synovitis:hoffa_fat_pad; NULL unless read.
        max(grade) FILTER (question_id = 43 AND component = 'grade') AS q43_grade, -- Grade of effusion_synovitis:joint_cavity; NULL unless read.
        max(grade) FILTER (question_id = 44 AND component = 'grade') AS q44_grade, -- Grade of extrusion:medial_meniscus_anterior; NULL unless read.
        max(grade) FILTER (question_id = 45 AND component = 'grade') AS q45_grade, -- Grade of extrusion:medial_meniscus_medial; NULL unless read.
        max(grade) FILTER (question_id = 46 AND component = 'grade') AS q46_grade, -- Grade of extrusion:lateral_meniscus_anterior; NULL unless read.
        max(grade) FILTER (question_id = 47 AND component = 'grade') AS q47_grade, -- Grade of extrusion:lateral_meniscus_lateral; NULL unless read.
        max(grade) FILTER (question_id = 48 AND component = 'morphology') AS q48_morphology, -- Morphology of morphology:medial_meniscus_anterior; NULL unless read.
        max(grade) FILTER (question_id = 49 AND component = 'morphology') AS q49_morphology, -- Morphology of morphology:medial_meniscus_body; NULL unless read.
        max(grade) FILTER (question_id = 50 AND component = 'morphology') AS q50_morphology, -- Morphology of morphology:medial_meniscus_posterior; NULL unless read.
        max(grade) FILTER (question_id = 51 AND component = 'morphology') AS q51_morphology, -- Morphology of morphology:lateral_meniscus_anterior; NULL unless read.
        max(grade) FILTER (question_id = 52 AND component = 'morphology') AS q52_morphology, -- Morphology of morphology:lateral_meniscus_body; NULL unless read.
        max(grade) FILTER (question_id = 53 AND component = 'morphology') AS q53_morphology, -- Morphology of morphology:lateral_meniscus_posterior; NULL unless read.
        max(grade) FILTER (question_id = 54 AND component = 'presence') AS q54_presence, -- Presence of meniscal_cyst:medial_meniscus; NULL unless read.
        max(grade) FILTER (question_id = 54 AND component = 'tear_location') AS q54_tear_location, -- Tear location of meniscal_cyst:medial_meniscus; NULL unless read.
        max(grade) FILTER (question_id = 55 AND component = 'presence') AS q55_presence, -- Presence of meniscal_cyst:lateral_meniscus; NULL unless read.
        max(grade) FILTER (question_id = 55 AND component = 'tear_location') AS q55_tear_location, -- Tear location of meniscal_cyst:lateral_meniscus; NULL unless read.
        max(grade) FILTER (question_id = 56 AND component = 'presence') AS q56_presence, -- Presence of hypertrophy:medial_meniscus; NULL unless read.
        max(grade) FILTER (question_id = 57 AND component = 'presence') AS q57_presence, -- Presence of hypertrophy:lateral_meniscus; NULL unless read.
        max(grade) FILTER (question_id = 58 AND component = 'presence') AS q58_presence, -- Presence of root_tear:medial_posterior_root; NULL unless read.
        max(grade) FILTER (question_id = 59 AND component = 'presence') AS q59_presence, -- Presence of root_tear:lateral_posterior_root; NULL unless read.
        max(grade) FILTER (question_id = 60 AND component = 'complete_tear') AS q60_complete_tear, -- Complete tear of acl:acl; NULL unless read.
        max(grade) FILTER (question_id = 60 AND component = 'bml_cyst') AS q60_bml_cyst, -- Bml cyst of acl:acl; NULL unless read.
        max(grade) FILTER (question_id = 60 AND component = 'repair') AS q60_repair, -- Repair of acl:acl; NULL unless read.
        max(grade) FILTER (question_id = 61 AND component = 'complete_tear') AS q61_complete_tear, -- Complete tear of pcl:pcl; NULL unless read.
        max(grade) FILTER (question_id = 61 AND component = 'bml_cyst') AS q61_bml_cyst, -- Bml cyst of pcl:pcl; NULL unless read.
        max(grade) FILTER (question_id = 62 AND component = 'signal_abnormality') AS q62_signal_abnormality, -- Signal abnormality of patellar_tendon:patellar_tendon; NULL unless read.
        max(grade) FILTER (question_id = 63 AND component = 'presence') AS q63_presence, -- Presence of periarticular:pes_anserine_bursitis; NULL unless read.
        max(grade) FILTER (question_id = 64 AND component = 'presence') AS q64_presence, -- Presence of periarticular:iliotibial_band_signal; NULL unless read.
        max(grade) FILTER (question_id = 65 AND component = 'presence') AS q65_presence, -- Presence of periarticular:popliteal_cyst; NULL unless read.
        max(grade) FILTER (question_id = 66 AND component = 'presence') AS q66_presence, -- Presence of periarticular:infrapatellar_bursitis; NULL unless read.
        max(grade) FILTER (question_id = 67 AND component = 'presence') AS q67_presence, -- Presence of periarticular:prepatellar_bursitis; NULL unless read.
        max(grade) FILTER (question_id = 68 AND component = 'presence') AS q68_presence, -- Presence of periarticular:ganglion_cyst; NULL unless read.
        max(grade) FILTER (question_id = 69 AND component = 'presence') AS q69_presence -- Presence of periarticular:loose_bodies; NULL unless read.
    FROM (
        SELECT *, component = first(component) OVER (PARTITION BY patient, visit, side, question_id ORDER BY component) AS is_first
        FROM v_knee_components
    )
    GROUP BY patient, visit, side, synthetic;

DROP VIEW v_selection_weight;
DROP VIEW v_selection;

CREATE VIEW v_selection AS -- From all components of a run's knees to the accepted ones, by all that RULES 16 names; sums over its rows are over components.
    SELECT
        s.run_id, -- The run.
        s.feature, -- What is graded.
        s.component, -- The component.
        s.clinician_status, -- The table's status; NULL when the knee-visit is in no table.
        s.clinician_grade, -- The clinician's grade; NULL unless read.
        s.attempts, -- Attempts of the item; NULL where the component was not drafted.
        s.readprj, -- Reading projects of the component, joined by `+`; NULL when it is in no table.
        s.visit, -- `V00` is baseline.
        s.mask_source, -- Where the masks come from; NULL when not known.
        s.synthetic, -- True for phantoms and painted images.
        s.n_all, -- Components of all 69 questions.
        s.n_read, -- ... that a clinician read.
        s.n_boxed, -- ... whose region has a box.
        s.n_evidence, -- ... with evidence that the drafter can cite; an image alone is one only in a run that shows it.
        s.n_drafted, -- ... that were drafted.
        s.n_accepted, -- ... in accepted items.
        CASE WHEN s.clinician_status = 'read' THEN (sum(s.n_read) OVER grade + 10) / nullif(sum(s.n_accepted) OVER grade + 10 * sum(s.n_accepted) OVER same / sum(s.n_read) OVER same, 0) END AS weight -- Inverse acceptance of the component's clinician grade in this run: read / accepted, with 10 components of the component's mean acceptance added. Not scaled to a mean of 1; NULL unless read, or where nothing was accepted.
    FROM (
        SELECT
            i.run_id, q.feature, k.component,
            coalesce(c.clinician_status, g.status) AS clinician_status,
            CASE WHEN c.run_id IS NULL THEN g.grade ELSE c.clinician_grade END AS clinician_grade,
            CASE WHEN c.status = 'graded' THEN o.n_attempts END AS attempts,
            array_to_string(list_sort(list_distinct(g.readprj)), '+') AS readprj,
            v.visit, v.mask_source, v.synthetic,
            count(*) AS n_all,
            count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read') AS n_read,
            count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read' AND b.box IS NOT NULL) AS n_boxed,
            count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read' AND b.box IS NOT NULL AND (e.level IN ('measured', 'weak') OR (e.level = 'image' AND r.images IS NOT NULL))) AS n_evidence,
            count(*) FILTER (c.status = 'graded') AS n_drafted,
            count(*) FILTER (c.status = 'graded' AND o.state = 'accepted') AS n_accepted
        FROM run_items i
        JOIN runs r USING (run_id)
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
        GROUP BY ALL
    ) s
    WINDOW
        grade AS (PARTITION BY s.run_id, s.feature, s.component, s.synthetic, s.clinician_status, s.clinician_grade),
        same AS (PARTITION BY s.run_id, s.feature, s.component, s.synthetic);

CREATE VIEW v_selection_weight AS -- Inverse acceptance by run, component and clinician grade (RULES 16), smoothed as in an export.
    SELECT
        run_id, -- The run.
        feature, -- What is graded.
        component, -- The component.
        clinician_grade, -- The clinician's grade.
        synthetic, -- True for phantoms and painted images.
        sum(n_read)::BIGINT AS n_read, -- Components that a clinician read.
        sum(n_accepted)::BIGINT AS n_accepted, -- ... in accepted items.
        any_value(weight) AS weight -- As in v_selection.
    FROM v_selection
    WHERE clinician_status = 'read'
    GROUP BY run_id, feature, component, clinician_grade, synthetic;
