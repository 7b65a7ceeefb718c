-- Migration 13: what a person said of a text, in a form that a condition on the volume reaches. The form
-- of migration 8 read the texts of all attempts to answer for one volume, reviewed or not.

DROP VIEW v_review_status;

CREATE VIEW v_review_status AS -- Of each text that was reviewed, in every run that has it: the word that holds.
    SELECT
        a.run_id, -- A run that has the text.
        a.volume_id, -- The volume.
        a.question_id, -- 1-69.
        a.attempt_no, -- The attempt.
        v.text_sha256, -- The text.
        arg_max(v.verdict, v.review_no) FILTER (v.verdict <> 'note') AS verdict, -- `accept` or `reject`, the newest; NULL with notes alone.
        arg_max(v.reviewer, v.review_no) FILTER (v.verdict <> 'note') AS reviewer, -- Whose it is.
        arg_max(v.reason, v.review_no) FILTER (v.verdict <> 'note') AS reason, -- Why.
        count(*) AS n_reviews -- Reviews of the text, notes included.
    FROM reviews v JOIN attempts a USING (volume_id, question_id)
    -- The hash names the review too, though it is never NULL: of attempts alone it would be a key of the
    -- join, taken of every text before the join has left the few that were reviewed.
    WHERE a.steps IS NOT NULL AND v.text_sha256 = CASE WHEN v.review_no IS NOT NULL THEN
        'sha256:' || sha256(array_to_string(list_transform(a.steps, lambda s: s.name || chr(31) || s."text"), chr(30)) || chr(29) || to_json(a.grades)::VARCHAR) END
    GROUP BY ALL;
