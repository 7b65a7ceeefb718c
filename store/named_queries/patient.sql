-- All quintuples of one patient: both knees, all visits.
-- $patient: patient id
SELECT visit, side, sequence, run_id, question_id, feature, region_name, grades, clinician_grades,
    status
FROM v_quintuples
WHERE volume_id IN (SELECT volume_id FROM volumes WHERE patient = $patient)
ORDER BY visit, side, sequence, question_id, run_id
