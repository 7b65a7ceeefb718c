"""Splits by patient, and the one guard that keeps test patients out of what is fitted (RULES 19).

A split belongs to the patient: both knees, all visits and all sequences go together. Trials,
few-shot examples, calibrations and thresholds call `refuse_test_patients` before they look at a
volume.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from knee.errors import HeldOutPatientError

_MAX_NAMED = 5
"""Patients named in a message; the rest is counted."""


class Split(StrEnum):
    """What a patient's volumes are for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class SplitSource(StrEnum):
    """How a patient came into a split."""

    RELEASED = "released"
    """Taken over from the released data set, which keeps its splits."""
    MANIFEST = "manifest"
    """Written in the cohort's manifest by a person."""
    HASHED = "hashed"
    """From a hash of seed and patient alone."""
    STRATIFIED = "stratified"
    """Balanced within a stratum of severity when it was first assigned."""


class PatientSplit(BaseModel):
    """The split of one patient, with how it came about; it is never changed again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient: str
    """Patient id."""
    split: Split
    """The split of all of the patient's volumes."""
    source: SplitSource
    """How it came about."""
    seed: int | None = None
    """Seed of the hash; None when nothing was drawn."""
    stratum: str | None = None
    """Severity stratum at the time; None when it was not known or not used."""


class HeldOutUse(StrEnum):
    """What must never see a test patient."""

    TRIAL = "trial"
    FEW_SHOT = "few_shot"
    CALIBRATION = "calibration"
    THRESHOLD = "threshold"


def refuse_test_patients(
    use: HeldOutUse,
    patients: Iterable[str],
    split_of: Mapping[str, str | None],
    *,
    assigned_only: bool = False,
) -> None:
    """Lets no test patient through.

    Args:
        use: what the patients are wanted for.
        patients: patient ids, repeats allowed.
        split_of: patient to split, None or absent where no split is assigned.
        assigned_only: refuse patients without a split as well: they may become test patients.

    Raises:
        HeldOutPatientError: names the first of them and how many there are.

    Example:
        >>> refuse_test_patients(HeldOutUse.TRIAL, ["a"], {"a": "train"})
    """
    wanted = sorted(set(patients))
    held_out = tuple(p for p in wanted if split_of.get(p) == Split.TEST.value)
    if held_out:
        raise HeldOutPatientError(
            f"{use.value} with {len(held_out)} test patient(s): {_named(held_out)}",
            patients=held_out,
            hint="take train or val patients; test patients are for the benchmark alone",
        )
    unassigned = tuple(p for p in wanted if split_of.get(p) is None)
    if assigned_only and unassigned:
        raise HeldOutPatientError(
            f"{use.value} with {len(unassigned)} patient(s) without a split: {_named(unassigned)}",
            patients=unassigned,
            hint="run `splits assign` first: a patient without a split may become a test patient",
        )


def _named(patients: tuple[str, ...]) -> str:
    names = ", ".join(repr(patient) for patient in patients[:_MAX_NAMED])
    more = len(patients) - _MAX_NAMED
    return f"{names} and {more} more" if more > 0 else names
