-- All quintuples of one volume.
-- $volume: volume id, <patient>/<visit>/<side>/<sequence>
SELECT run_id, question_id, feature, region_name, box, grades, clinician_grades, status, steps
FROM v_quintuples WHERE volume_id = $volume ORDER BY question_id, run_id
