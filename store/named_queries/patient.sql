-- All quintuples of one patient: both knees, all visits.
-- $patient: patient id
SELECT visit, side, sequence, run_id, question_id, feature, region_name, grades, clinician_grades,
    status
FROM v_quintuples
-- Volume ids begin with the patient's and a slash, behind which comes the 0: a range is looked up in
-- every table below, a list of volumes in the last one only.
WHERE patient = $patient AND volume_id >= $patient || '/' AND volume_id < $patient || '0'
ORDER BY visit, side, sequence, question_id, run_id
