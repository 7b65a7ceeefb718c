"""What `prepare` asks of a calibration before it looks at a volume."""

from pathlib import Path

import pytest

from knee.calibration import load_calibration
from knee.errors import HeldOutPatientError
from knee.splits import PatientSplit, Split, SplitSource
from stages.split_guard import refuse_fit_on_test_cohort
from store.patient_splits import record_splits
from store.writer import StoreWriter
from tests.prepared_store import CALIBRATION
from tests.test_splits import two_patients
from tools.cohort import load_cohort


def test_what_the_store_has_recorded_counts_though_the_manifest_is_silent(tmp_path: Path):
    two_patients(tmp_path)
    cohort, store = load_cohort(tmp_path), tmp_path / "s.duckdb"
    fitted = load_calibration(CALIBRATION).model_copy(update={"patients": ("A", "Z")})
    refuse_fit_on_test_cohort(fitted, cohort, store)
    assert not store.exists()
    test_patient = PatientSplit(patient="Z", split=Split.TEST, source=SplitSource.RELEASED)
    with StoreWriter(store, create=True) as writer:
        record_splits(writer, [test_patient])
    with pytest.raises(HeldOutPatientError, match=r"calibration with 1 test patient\(s\): 'Z'"):
        refuse_fit_on_test_cohort(fitted, cohort, store)


def test_a_calibration_that_names_no_patients_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    two_patients(tmp_path)
    refuse_fit_on_test_cohort(load_calibration(CALIBRATION), load_cohort(tmp_path), tmp_path / "s")
    assert "cannot be checked" in capsys.readouterr().err
