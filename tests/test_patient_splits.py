"""Splits in the store: recorded once, adopted by volumes, refused to trials."""

from pathlib import Path

import pytest

from knee.errors import HeldOutPatientError, InputError, StoreError
from knee.grades import ClinicianGrade
from knee.records import RunKind
from knee.splits import PatientSplit, Split, SplitSource
from store.connection import open_store
from store.patient_splits import (
    cartilage_lesions,
    load_patient_splits,
    record_splits,
    split_leaks,
    volume_patients,
)
from store.writer import StoreWriter
from tests import store_records as records
from tests.test_splits import grade


def split(patient: str, value: Split, source: SplitSource = SplitSource.HASHED) -> PatientSplit:
    return PatientSplit(patient=patient, split=value, source=source, seed=0)


def splits_of(store: Path) -> dict[str, str | None]:
    with open_store(store, read_only=True) as con:
        return dict(con.execute("SELECT volume_id, split FROM volumes").fetchall())


def test_a_recorded_split_reaches_all_volumes_of_the_patient(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        writer.put_volume(records.volume("9001"))
        writer.put_volume(records.volume("9001", visit="V01"))
        assert record_splits(writer, [split("9001", Split.TEST)]) == 1
        writer.put_volume(records.volume("9001", visit="V03"))
    assert set(splits_of(tmp_path / "s.duckdb").values()) == {"test"}
    with open_store(tmp_path / "s.duckdb", read_only=True) as con:
        assert load_patient_splits(con) == {"9001": split("9001", Split.TEST)}
        assert volume_patients(con) == ["9001"]
        assert split_leaks(con) == []


def test_a_split_never_changes(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        record_splits(writer, [split("9001", Split.TEST)])
        with pytest.raises(InputError, match="'9001' from 'test' to 'train'"):
            record_splits(writer, [split("9000", Split.VAL), split("9001", Split.TRAIN)])
        assert record_splits(writer, [split("9001", Split.TEST)]) == 0
        with pytest.raises(StoreError, match="has split 'train', its patient 'test'"):
            writer.put_volume(records.volume("9001").model_copy(update={"split": "train"}))
    with open_store(tmp_path / "s.duckdb", read_only=True) as con:
        assert load_patient_splits(con).keys() == {"9001"}
        assert volume_patients(con) == []


def test_a_split_that_volumes_carry_counts_as_known(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        writer.put_volume(records.volume("9001").model_copy(update={"split": "val"}))
        with pytest.raises(InputError, match="from 'val' to 'test'"):
            record_splits(writer, [split("9001", Split.TEST)])
        with writer.reading() as con:
            assert load_patient_splits(con)["9001"].source is SplitSource.MANIFEST


def test_leaks_are_found_over_knees_and_visits(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        writer.put_volume(records.volume("9001").model_copy(update={"split": "val"}))
        later = records.volume("9001", visit="V01").model_copy(update={"split": "test"})
        writer.put_volume(later)
        writer.put_volume(records.volume("9002").model_copy(update={"split": "train"}))
        writer.put_volume(records.volume("9002", visit="V01"))
        with writer.reading() as con:
            leaks = split_leaks(con)
    assert leaks == [
        "patient '9001' is in splits ['test', 'val'] (2 entries)",
        "patient '9002' is in splits ['none', 'train'] (2 entries)",
    ]


def test_a_trial_with_test_patients_is_refused(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        writer.put_catalogue()
        for patient, value in (("9001", "test"), ("9002", "train"), ("9003", None)):
            volume = records.volume(patient).model_copy(update={"split": value})
            writer.put_volume(volume)
            writer.put_findings(records.findings(volume.volume_id))
        trial = records.run("t").model_copy(update={"kind": RunKind.TRIAL})
        writer.start_or_resume_run(trial)
        with pytest.raises(HeldOutPatientError, match="trial with 1 test patient") as caught:
            writer.bind_volumes("t")
        assert caught.value.patients == ("9001",)
        with writer.reading() as con:
            assert con.execute("SELECT count(*) FROM run_items").fetchone() == (0,)
        writer.bind_volumes("t", ["9002/V00/right/dess", "9003/V00/right/dess"])
        writer.start_or_resume_run(records.run("p"))
        writer.bind_volumes("p")


def test_lesions_are_counted_in_the_worst_knee_visit(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        writer.put_catalogue()
        grades = [
            size
            for visit, values in (("V00", {16: 2, 17: 3}), ("V01", {16: 2, 17: 1, 18: None}))
            for question, value in values.items()
            for size in [_size("9001", visit, question, value)]
        ]
        writer.put_clinician_grades([*grades, _size("9002", "V00", 16, None)])
        with writer.reading() as con:
            assert cartilage_lesions(con, 2) == {"9001": 2}


def _size(patient: str, visit: str, question: int, value: int | None) -> ClinicianGrade:
    return grade(question, value, visit).model_copy(update={"patient": patient})
