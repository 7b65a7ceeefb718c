-- Migration 13: what a question's text was, one flat view with it, and selection by all that RULES 16
-- names.

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
        t.text AS question, -- The question as the run asked it; NULL in runs of before migration 13.
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
