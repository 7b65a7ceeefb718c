-- Migration 5: runs whose drafter is shown slices of the image, and which slices it was shown.

ALTER TABLE runs ADD COLUMN images VARCHAR;
COMMENT ON COLUMN runs.images IS 'How slices were shown, as JSON (identity); NULL in a run that drafts from text alone.';

CREATE TABLE shown_images ( -- The slices that an item's drafter was shown; no row in a run without images.
    run_id VARCHAR NOT NULL, -- The run.
    volume_id VARCHAR NOT NULL, -- The volume.
    question_id SMALLINT NOT NULL, -- 1-69.
    image_volume_id VARCHAR NOT NULL, -- The volume that the slices are of; of another knee in a shuffled control.
    image_sha256 VARCHAR NOT NULL, -- Of that image file.
    percentiles DOUBLE[2] NOT NULL, -- Percentiles of the whole volume shown as black and as white.
    window_low DOUBLE NOT NULL, -- Intensity shown as black.
    window_high DOUBLE NOT NULL, -- Intensity shown as white.
    box_drawn BOOLEAN NOT NULL, -- True when the region's box was outlined.
    slices STRUCT(position SMALLINT, plane VARCHAR, axis VARCHAR, "index" INTEGER, "left" VARCHAR, "right" VARCHAR, width INTEGER, height INTEGER, mm_per_pixel DOUBLE, box_pixels INTEGER[4], sha256 VARCHAR)[] NOT NULL, -- In the order sent; the same for all attempts of the item.
    PRIMARY KEY (run_id, volume_id, question_id)
);

CREATE VIEW v_shown_slices AS -- One slice that a drafter was shown, with where its image is.
    SELECT
        s.run_id, -- The run.
        s.volume_id, -- The volume.
        s.question_id, -- 1-69.
        q.feature, -- What is graded.
        s.image_volume_id, -- The volume that the slice is of.
        v.image, -- Its image file, relative to the cohort's root.
        s.image_sha256, -- Hash of that file when the slice was drawn.
        s.slice.position AS position, -- 1, 2, ... in the order sent.
        s.slice.plane AS plane, -- `sagittal`, `coronal` or `axial`.
        s.slice.axis AS axis, -- Stored array axis on which slices of this plane are counted.
        s.slice."index" AS slice_index, -- Index along it.
        s.window_low, -- Intensity shown as black.
        s.window_high, -- Intensity shown as white.
        s.slice.width AS width, -- Pixels.
        s.slice.height AS height, -- Pixels, the strip with the markers included.
        s.slice.mm_per_pixel AS mm_per_pixel, -- Edge of a pixel in mm.
        s.slice.box_pixels AS box_pixels, -- `left, top, right, bottom` of the box in the image, half-open.
        s.box_drawn, -- True when the box was outlined.
        s.slice.sha256 AS sha256, -- Of the PNG.
        v.synthetic -- True for phantoms and painted images.
    FROM (SELECT *, unnest(slices) AS slice FROM shown_images) s
    JOIN questions q USING (question_id)
    JOIN volumes v ON v.volume_id = s.image_volume_id;

-- As in migration 4, but in a run that shows images they are evidence.
DROP VIEW v_selection;

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
        count(*) FILTER (coalesce(c.clinician_status, g.status) = 'read' AND b.box IS NOT NULL AND (e.level IN ('measured', 'weak') OR (e.level = 'image' AND r.images IS NOT NULL))) AS n_evidence, -- ... with evidence that the drafter can cite; an image alone is one only in a run that shows it.
        count(*) FILTER (c.status = 'graded') AS n_drafted, -- ... that were drafted.
        count(*) FILTER (c.status = 'graded' AND o.state = 'accepted') AS n_accepted -- ... in accepted items.
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
    GROUP BY ALL;
