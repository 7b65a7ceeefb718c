"""`prepare` when the system kills a worker, memory runs out, or the store's place is no good."""

import os
import signal
from pathlib import Path

import pytest

from knee.errors import InputError, KneeError, StoreError
from knee.findings import VolumeFindings
from stages import describing
from stages.describing import DescribeSettings, describe_all
from stages.prepare import prepare
from tests.store_records import findings
from tools.cohort import Cohort, load_cohort

HEADER = (
    "patient,visit,side,sequence,image,label_map,scheme,mask_source,segmenter,licence,synthetic,"
    "split\n"
)
PATIENTS = ("P1", "P2", "P3", "KILLS", "P4", "HUGE", "P5")


def describe_or_die(task: describing._Task) -> VolumeFindings:  # pyright: ignore[reportPrivateUsage]
    """Stands in for the measuring code in a worker; the real one is tested elsewhere."""
    if task.volume_id.startswith("KILLS"):
        os.kill(os.getpid(), signal.SIGKILL)
    if task.volume_id.startswith("HUGE"):
        raise MemoryError
    return findings(task.volume_id)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    rows = [
        f"{patient},V00,right,dess,,{patient}.nii.gz,oaizib-cm,test,test,CC0-1.0,true,train"
        for patient in PATIENTS
    ]
    for patient in PATIENTS:
        (tmp_path / f"{patient}.nii.gz").touch()
    (tmp_path / "cohort.csv").write_text(HEADER + "\n".join(rows) + "\n")
    return load_cohort(tmp_path)


def test_a_volume_that_kills_its_worker_fails_and_the_others_go_on(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(describing, "_describe", describe_or_die)
    results = [
        (volume.key.patient, result)
        for volume, result in describe_all(cohort, DescribeSettings(), 2)
    ]
    assert sorted(patient for patient, _ in results) == sorted(PATIENTS)
    failed = {patient: str(error) for patient, error in results if isinstance(error, KneeError)}
    assert failed.keys() == {"KILLS", "HUGE"}
    assert "KILLS.nii.gz" in failed["KILLS"]
    assert "killed" in failed["KILLS"]
    assert "HUGE.nii.gz" in failed["HUGE"]
    assert "memory" in failed["HUGE"]


def test_a_place_that_cannot_be_a_store_is_refused_before_anything_is_described(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def described(*_: object) -> None:
        raise AssertionError("volumes were described first")

    monkeypatch.setattr("stages.prepare.describe_all", described)
    notes = tmp_path / "notes.duckdb"
    notes.write_text("these are notes")
    for store, error in ((notes, StoreError), (tmp_path / "none" / "s.duckdb", InputError)):
        with pytest.raises(error, match=store.parent.name if error is InputError else store.name):
            prepare(cohort.root, store, moaks=None, calibration=None, workers=1, as_json=False)
    assert notes.read_text() == "these are notes"
