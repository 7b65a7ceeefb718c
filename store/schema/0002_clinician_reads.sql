-- Migration 2: what each read of a component says, and the policy by which the reads became one.
-- Rows of migration 1 were joined by `agree_or_conflict`; what each read said was not kept then.

ALTER TABLE clinician_grades ADD COLUMN policy VARCHAR NOT NULL DEFAULT 'agree_or_conflict';
ALTER TABLE clinician_grades ADD COLUMN read_files VARCHAR[] NOT NULL DEFAULT [];
ALTER TABLE clinician_grades ADD COLUMN read_status VARCHAR[] NOT NULL DEFAULT [];
ALTER TABLE clinician_grades ADD COLUMN read_grades SMALLINT[] NOT NULL DEFAULT [];
ALTER TABLE clinician_grades ADD COLUMN taken BOOLEAN[] NOT NULL DEFAULT [];
COMMENT ON COLUMN clinician_grades.policy IS 'How the reads became one: `agree_or_conflict`, `most_complete` or `project_priority:<order>`.';
COMMENT ON COLUMN clinician_grades.read_files IS 'File name of each row read; like the next three empty where it was not kept.';
COMMENT ON COLUMN clinician_grades.read_status IS 'What each read says by itself.';
COMMENT ON COLUMN clinician_grades.read_grades IS 'The grade that each read gives; NULL unless its status is `read`.';
COMMENT ON COLUMN clinician_grades.taken IS 'Which reads the grade was taken from; the others were set aside.';

CREATE VIEW v_clinician_reads AS -- One read of one component: every row of a table, taken or set aside.
    SELECT
        g.patient, -- Patient id as in the table.
        g.visit, -- `V00`...
        g.side, -- `right` or `left`.
        g.question_id, -- 1-69.
        g.feature, -- What is graded.
        g.site, -- Where.
        g.component, -- The component.
        g.n AS read_no, -- 1 for the first row read.
        g.read_status[g.n] AS status, -- What the read says by itself; NULL where it was not kept.
        g.read_grades[g.n] AS grade, -- The grade that it gives; NULL unless its status is `read`.
        g.raw[g.n] AS raw, -- The cell as it stands in the table.
        g.read_files[g.n] AS file, -- The table's file name; NULL where it was not kept.
        g.lines[g.n] AS line, -- 1-based line of the table.
        g.readprj[g.n] AS readprj, -- Reading project.
        g.version[g.n] AS version, -- VERSION.
        g.taken[g.n] AS taken, -- True when the component's grade was taken from it.
        g.policy -- How the reads became one.
    FROM (
        SELECT c.*, q.feature, q.site, unnest(range(1, len(c.raw) + 1)) AS n
        FROM clinician_grades c
        JOIN questions q USING (question_id)
        WHERE c.is_current
    ) g;

CREATE VIEW v_ambiguous AS -- Components whose reads gave different grades, whatever the policy made of them.
    SELECT
        c.patient, -- Patient id as in the table.
        c.visit, -- `V00`...
        c.side, -- `right` or `left`.
        c.question_id, -- 1-69.
        q.feature, -- What is graded.
        q.site, -- Where.
        c.component, -- The component.
        list_sort(list_distinct(c.read_grades)) AS grades, -- The grades that were given: either may be right.
        len(c.raw) AS n_reads, -- Rows read.
        list_sort(list_distinct(c.readprj)) AS projects, -- Their reading projects.
        c.status, -- `conflict`, or `read` when the policy chose.
        c.grade, -- The grade that the policy chose; NULL for a conflict.
        c.policy -- How the reads became one.
    FROM clinician_grades c
    JOIN questions q USING (question_id)
    WHERE c.is_current AND len(list_distinct(c.read_grades)) > 1;
