"""What other commands ask of splits: no patient moves, and nothing is fitted on test patients."""

from pathlib import Path

import duckdb

from knee.calibration import Calibration
from knee.errors import InputError
from knee.splits import HeldOutUse, PatientSplit, SplitSource, refuse_test_patients
from stages.console import say
from store.patient_splits import load_patient_splits
from store.writer import StoreWriter
from tools.cohort import Cohort, list_problems


def agree_with_store(cohort: Cohort, store: Path) -> list[PatientSplit]:
    """Returns the splits that a manifest names, to be recorded with its first volume.

    Raises:
        InputError: the store has another split of a patient; all are listed, nothing is written.
    """
    named = {v.key.patient: v.split for v in cohort.volumes if v.split is not None}
    known: dict[str, PatientSplit] = {}
    if store.exists():
        # Writing brings an older store up to date, which reading does not.
        with StoreWriter(store) as writer, writer.reading() as con:
            known = load_patient_splits(con)
    moved = [
        f"patient {patient!r} is in split {split.value!r}, but in {known[patient].split.value!r} "
        "in the store"
        for patient, split in named.items()
        if patient in known and known[patient].split is not split
    ]
    if moved:
        raise InputError(
            f"the manifest of {str(cohort.root)!r} has {list_problems(moved)}",
            "a split never changes: what was fitted has seen the patient already",
        )
    return [
        PatientSplit(patient=patient, split=split, source=SplitSource.MANIFEST)
        for patient, split in named.items()
    ]


def refuse_fit_on_test_cohort(calibration: Calibration | None, cohort: Cohort, store: Path) -> None:
    """Refuses a calibration that was fitted on test patients of a cohort (RULES 19).

    What the store has recorded counts as well: a manifest need not repeat it, and the patients of
    a calibration need not be in this cohort.

    Raises:
        HeldOutPatientError: names them.
    """
    if calibration is None:
        return
    if not calibration.patients:
        if not all(volume.synthetic for volume in cohort.volumes):
            say(
                f"calibration {calibration.name!r} does not say on whose knees it was fitted "
                "(`patients`): that none is a test patient cannot be checked"
            )
        return
    named = {v.key.patient: v.split.value for v in cohort.volumes if v.split is not None}
    known: dict[str, str] = {}
    if store.exists():
        # Writing brings an older store up to date, which reading does not.
        with StoreWriter(store) as writer, writer.reading() as con:
            known = {p: record.split.value for p, record in load_patient_splits(con).items()}
    refuse_test_patients(HeldOutUse.CALIBRATION, calibration.patients, {**known, **named})


def refuse_fit_on_test_store(
    calibration: Calibration | None, con: duckdb.DuckDBPyConnection
) -> None:
    """Refuses a calibration that was fitted on test patients of a store (RULES 19).

    Raises:
        HeldOutPatientError: names them.
    """
    if calibration is not None and calibration.patients:
        splits = {p: record.split.value for p, record in load_patient_splits(con).items()}
        refuse_test_patients(HeldOutUse.CALIBRATION, calibration.patients, splits)
