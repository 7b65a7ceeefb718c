"""Splits by patient: seeded, stable when patients are added, and written down.

Who goes where
--------------
1. A patient of the released data set keeps the released split (RULES 19).
2. A patient who has a split keeps it: it is recorded (`splits.csv`, or the store) and read back.
3. Everyone else is hashed: `sha256(seed | patient)` as a number in [0, 1) falls into train, val or
   test by their shares. It depends on seed and patient alone, so neither adding nor removing
   others changes it, and a lost record is made again as it was.
4. With severity strata (where clinicians' grades are known) a new patient goes, in the order of the
   hash, where the stratum is furthest below its share. That depends on who is there already, so it
   is done once, when a patient is first assigned, and recorded; point 2 then keeps it. A patient of
   unknown severity is hashed (point 3). What stratification costs is that a lost record cannot be
   made again patient by patient if the cohort grew in several steps.

Severity is the number of the 14 articular subregions with a cartilage lesion of size grade 2 or
more in a patient's worst knee-visit: 0, 1-2, 3-5, 6 or more (ours; MOAKS defines no such sum).
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from knee.errors import InputError
from knee.grades import ClinicianGrade
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from knee.splits import PatientSplit, Split, SplitSource
from tools.cohort import list_problems

DEFAULT_SEED = 0
"""Seed when none is recorded or named."""
LESION_SIZE = 2
"""Cartilage size grade from which on a subregion counts."""
_STRATUM_EDGES = ((0, "0"), (2, "1-2"), (5, "3-5"))
"""Most lesions of each stratum; more is the last one."""
_LAST_STRATUM = "6+"


class Shares(BaseModel):
    """Wanted shares of patients; they sum to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = 0.7
    """Share of train patients."""
    val: float = 0.1
    """Share of val patients."""
    test: float = 0.2
    """Share of test patients."""

    @model_validator(mode="after")
    def validate_sum(self) -> Self:
        """Refuses negative shares and another sum than 1."""
        shares = (self.train, self.val, self.test)
        # Written so that NaN, which is neither more nor less, is refused too.
        if not (min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-9):
            raise ValueError(f"shares must be 0 or more and sum to 1: {shares!r}")
        return self

    def of(self, split: Split) -> float:
        """Returns the share of a split."""
        return {Split.TRAIN: self.train, Split.VAL: self.val, Split.TEST: self.test}[split]


def assign_splits(
    patients: Mapping[str, str | None],
    *,
    known: Mapping[str, PatientSplit],
    released: Mapping[str, Split],
    shares: Shares,
    seed: int,
) -> dict[str, PatientSplit]:
    """Returns a split for every patient; those that are known are returned as they are.

    Args:
        patients: patient to severity stratum, None where it is not known or not wanted.
        known: recorded splits, also of patients that are not among `patients`.
        released: the released data set's splits.
        shares: wanted shares for those that are new.
        seed: of the hash.

    Raises:
        InputError: a recorded split is not the released one (all are listed).
    """
    conflicts = [
        f"patient {patient!r} is recorded as {known[patient].split.value!r} "
        f"({known[patient].source.value}), released as {released[patient].value!r}"
        for patient in sorted(known.keys() & released.keys())
        if known[patient].split is not released[patient]
    ]
    if conflicts:
        raise InputError(
            f"recorded splits are not the released ones: {list_problems(conflicts)}",
            "a split never changes; start a new record from the released splits",
        )
    assigned = {patient: known[patient] for patient in patients if patient in known}
    hashed = sorted((split_hash(p, seed), p) for p in patients if p not in known)
    counts = _counts(known.values())
    for position, patient in hashed:
        stratum = patients[patient]
        if patient in released:
            new = PatientSplit(
                patient=patient,
                split=released[patient],
                source=SplitSource.RELEASED,
                stratum=stratum,
            )
        elif stratum is None:
            new = PatientSplit(
                patient=patient,
                split=_by_hash(position, shares),
                source=SplitSource.HASHED,
                seed=seed,
            )
        else:
            new = PatientSplit(
                patient=patient,
                split=_furthest_below(counts.get(stratum, {}), shares),
                source=SplitSource.STRATIFIED,
                seed=seed,
                stratum=stratum,
            )
        _count(counts, new)
        assigned[patient] = new
    return {patient: assigned[patient] for patient in patients}


def split_hash(patient: str, seed: int) -> float:
    """Returns a number in [0, 1) that depends on seed and patient alone."""
    digest = hashlib.sha256(f"{seed}|{patient}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def severity_stratum(grades: Iterable[ClinicianGrade]) -> str | None:
    """Returns a patient's severity stratum from all grades of all knee-visits.

    None when not one cartilage size was read: missing is not mild.
    """
    lesions: dict[tuple[str, str], int] = {}
    for grade in grades:
        is_size = grade.component is Component.SIZE
        if not is_size or QUESTIONS[grade.question_id].feature is not Feature.CARTILAGE:
            continue
        if grade.grade is not None:
            knee_visit = (grade.visit, grade.side)
            lesions[knee_visit] = lesions.get(knee_visit, 0) + (grade.grade >= LESION_SIZE)
    return stratum_of(max(lesions.values())) if lesions else None


def stratum_of(n_lesions: int) -> str:
    """Returns the stratum of a number of subregions with cartilage lesions.

    Example:
        >>> [stratum_of(n) for n in (0, 2, 3, 14)]
        ['0', '1-2', '3-5', '6+']
    """
    return next((name for most, name in _STRATUM_EDGES if n_lesions <= most), _LAST_STRATUM)


_Counts = dict[str, dict[Split, int]]


def _counts(known: Iterable[PatientSplit]) -> _Counts:
    counts: _Counts = {}
    for record in known:
        _count(counts, record)
    return counts


def _count(counts: _Counts, record: PatientSplit) -> None:
    # Released patients are no draw of ours: counting them would push all others into the rest.
    if record.stratum is not None and record.source is SplitSource.STRATIFIED:
        stratum = counts.setdefault(record.stratum, {})
        stratum[record.split] = stratum.get(record.split, 0) + 1


def _by_hash(position: float, shares: Shares) -> Split:
    if position < shares.train:
        return Split.TRAIN
    return Split.VAL if position < shares.train + shares.val else Split.TEST


def _furthest_below(counts: Mapping[Split, int], shares: Shares) -> Split:
    """The split whose count, with one patient more in the stratum, is furthest below its share."""
    total = sum(counts.values()) + 1
    wanted = [split for split in Split if shares.of(split) > 0]
    return max(wanted, key=lambda split: shares.of(split) * total - counts.get(split, 0))
