"""A small store for the export's tests: ids, dates and barcodes as OAI has them, all made up."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from knee.records import Grounding, ItemOutcome, ItemState, RunKind
from store.writer import StoreWriter
from tests.store_records import (
    answer,
    attempt,
    clinician_grades,
    draft,
    findings,
    outcome,
    run,
    volume,
)

PATIENTS = {"9104001": "train", "9104002": "train", "9104003": "val", "9104004": "test"}
PHANTOM = "PH000001"
DATE, BARCODE, STUDY = "20050825", "16610498212", "10498212"
QUESTIONS = (1, 2, 16)


def bare_question(*_: object) -> str:
    """A question's text that needs no prompts."""
    return "What is there?"


def volume_id(patient: str) -> str:
    return f"{patient}/V00/right/dess"


def told(run_id: str, patient: str, question_id: int, grade: int = 1) -> ItemOutcome:
    """An accepted item whose text names the patient, a date, a barcode and a path."""
    text = f"Knee {patient} of 2005-08-25, series {BARCODE}, {STUDY}, in /mnt/oai/{patient}/{DATE}."
    value = draft(question_id, grade, text)
    last = attempt(question_id, number=2, grade=grade).model_copy(
        update={"draft": value, "text": answer(value)}
    )
    plain = outcome(run_id, volume_id(patient), question_id, grade=grade, clinician=grade)
    return plain.model_copy(update={"attempts": (*plain.attempts[:1], last)})


def make_store(path: Path) -> Path:
    """Four patients and a phantom; an older and a newer run, a trial, a control, a label-given."""
    shutil.copy(_made_once(), path)
    return path


@cache
def _made_once() -> Path:
    """Made once a test process; every test that writes takes a copy."""
    folder = Path(tempfile.mkdtemp(prefix="export-cases-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _make(folder / "knees.duckdb")


def _make(path: Path) -> Path:
    runs = {
        "20260101-120000-old": run("20260101-120000-old", seed=1),
        "20260102-120000-new": run("20260102-120000-new", seed=2),
        "trial": run("trial", kind=RunKind.TRIAL),
        "control": run("control", kind=RunKind.CONTROL),
        "given": run("given", seed=3).model_copy(update={"grounding": Grounding.LABEL_GIVEN}),
    }
    old, new = list(runs)[:2]
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        for patient in (PHANTOM, *reversed(PATIENTS)):
            record = volume(patient, synthetic=patient == PHANTOM).model_copy(
                update={
                    "image": f"0.E.1/{patient}/{DATE}/{STUDY}/{BARCODE}.nii.gz",
                    "label_map": f"masks/{patient}_{DATE}.nii.gz",
                    "split": PATIENTS.get(patient),
                    "cohort_root": f"/mnt/oai/{DATE}",
                    "segmenter": f"nnU-Net of {DATE}",
                }
            )
            writer.put_volume(record)
            writer.put_findings(findings(record.volume_id, QUESTIONS))
            for question_id in QUESTIONS:
                grade = 2 if (patient, question_id) == ("9104002", 2) else 1
                writer.put_clinician_grades(clinician_grades(record, (question_id,), grade=grade))
        for run_id, one in runs.items():
            writer.start_or_resume_run(one)
            if one.kind is not RunKind.TRIAL:
                writer.bind_volumes(run_id)
        writer.put_outcomes(old, [told(old, "9104001", 1), told(old, "9104002", 2, 2)])
        items = [told(new, patient, 1) for patient in (*reversed(PATIENTS), PHANTOM)]
        items += [told(new, "9104001", 16)]
        items += [outcome(new, volume_id("9104003"), 16, state=ItemState.REJECTED)]
        writer.put_outcomes(new, items)
        writer.put_outcomes("given", [told("given", "9104001", 1), told("given", "9104001", 2)])
        writer.put_outcomes("control", [outcome("control", volume_id("9104001"), 1)])
    return path


OLD, NEW = "20260101-120000-old", "20260102-120000-new"
ROWS = [
    ("9104001", 1, NEW),
    ("9104001", 16, NEW),
    ("9104002", 1, NEW),
    ("9104002", 2, OLD),
    ("9104003", 1, NEW),
    ("9104004", 1, NEW),
]
"""What an export of the patients holds."""
