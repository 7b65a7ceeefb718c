"""The items of a trial: stratified by feature and clinician grade, spread over patients.

The clinician's grade decides which items are drawn and nothing else: a prompt is rendered from
question and finding alone, as in every run. Test patients, and those without a split, are never
drawn (RULES 19).
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from knee.errors import InputError
from knee.keys import ItemKey, JsonValue, canonical_json, content_hash
from knee.moaks import Feature
from knee.questions import QUESTIONS
from knee.splits import HeldOutUse, refuse_test_patients
from stages.console import say, show_table
from store.trial_rows import (
    TrialCandidate,
    has_volumes,
    trial_candidates,
    trial_patients,
)


class SampleRequest(NamedTuple):
    """What a trial is to be drawn from."""

    n: int
    """Items wanted."""
    seed: int = 0
    """Which of the equals are drawn."""
    question_ids: tuple[int, ...] | None = None
    """Of these questions; all when None."""
    visit: str | None = None
    """Of this visit; all when None."""
    sees_images: bool = False
    """Whether the drafter is shown slices."""


class TrialSample(NamedTuple):
    """The items of a trial."""

    items: tuple[TrialCandidate, ...]
    """Drawn, ascending by key."""
    request: SampleRequest | None
    """What was asked for; None when the items are another run's."""

    @property
    def keys(self) -> frozenset[ItemKey]:
        """The items' keys."""
        return frozenset(item.key for item in self.items)

    @property
    def sha256(self) -> str:
        """`sha256:` over the keys: trials of the same items have the same."""
        keys: list[JsonValue] = [[key.volume_id, key.question_id] for key in sorted(self.keys)]
        return content_hash(canonical_json(keys))


def draw_sample(con: duckdb.DuckDBPyConnection, request: SampleRequest) -> TrialSample:
    """Returns the sample of a request; the same store and request give the same one.

    A store that holds patients and phantoms gives patients alone (RULES 26).

    Raises:
        InputError: no patient may be used, or no item matches.
        HeldOutPatientError: a test patient would have come through.
    """
    synthetic = not has_volumes(con, synthetic=False)
    patients = trial_patients(con, synthetic=synthetic)
    if not patients.allowed:
        raise InputError(
            f"a trial needs train or val patients: the store has {patients.n_test} test patient(s) "
            f"and {patients.n_unassigned} without a split",
            "`run_pipeline.py splits assign` gives every patient a split; test patients are for "
            "the benchmark alone",
        )
    candidates = trial_candidates(
        con,
        patients.allowed,
        synthetic=synthetic,
        questions=QUESTIONS if request.question_ids is None else request.question_ids,
        visit=request.visit,
        seed=request.seed,
        most=request.n,
        sees_images=request.sees_images,
    )
    chosen = choose_stratified(candidates, request.n)
    if not chosen:
        raise InputError(
            "no item of a train or val patient matches: none is read by a clinician, has evidence "
            "in text and a box" + (f", and is of visit {request.visit!r}" if request.visit else ""),
            "`status` and `sql` show what there is; --questions and --visit narrow it",
        )
    refuse_test_patients(
        HeldOutUse.TRIAL, (item.patient for item in chosen), patients.splits, assigned_only=True
    )
    if patients.n_unassigned:
        say(f"{patients.n_unassigned} patient(s) without a split are left out of the trial")
    return TrialSample(tuple(sorted(chosen)), request)


def sample_of(
    con: duckdb.DuckDBPyConnection, keys: Sequence[ItemKey], *, sees_images: bool = False
) -> TrialSample:
    """Returns given items as a sample, to try another prompt on the items of an earlier trial.

    Raises:
        HeldOutPatientError: one of them is of a patient who is in the test split by now.
        InputError: one of them cannot be drafted any more.
    """
    every: dict[ItemKey, TrialCandidate] = {}
    splits: dict[str, str] = {}
    for synthetic in (False, True):
        patients = trial_patients(con, synthetic=synthetic)
        splits |= patients.splits
        found = trial_candidates(
            con,
            list(patients.splits),
            synthetic=synthetic,
            questions={key.question_id for key in keys},
            visit=None,
            seed=0,
            most=2**31 - 1,
            sees_images=sees_images,
        )
        every |= {item.key: item for item in found}
    gone = [key for key in keys if key not in every]
    if gone:
        raise InputError(
            f"{len(gone)} item(s) of that trial cannot be drafted now, the first is {gone[0]!r}",
            "grades, findings or splits have changed since; try both prompts anew",
        )
    items = [every[key] for key in keys]
    refuse_test_patients(
        HeldOutUse.TRIAL, (item.patient for item in items), splits, assigned_only=True
    )
    return TrialSample(tuple(sorted(items)), None)


def choose_stratified(candidates: Sequence[TrialCandidate], n: int) -> list[TrialCandidate]:
    """Returns up to `n` candidates: features in turn, of each the grade with the fewest so far.

    Of equals, the higher grade (it is the rarer one), then the patient with the fewest items, then
    the candidates' order.
    """
    strata: dict[Feature, dict[int, list[TrialCandidate]]] = {}
    for item in candidates:
        grade = -1 if item.grade is None else item.grade
        strata.setdefault(item.feature, {}).setdefault(grade, []).append(item)
    features = [feature for feature in Feature if feature in strata]
    taken: Counter[tuple[Feature, int]] = Counter()
    of_patient: Counter[str] = Counter()
    chosen: list[TrialCandidate] = []
    while len(chosen) < n and features:
        for feature in tuple(features):
            grades = [grade for grade, left in strata[feature].items() if left]
            if not grades:
                features.remove(feature)
                continue
            grade = min(grades, key=lambda g, f=feature: (taken[f, g], -g))
            left = strata[feature][grade]
            place = min(range(len(left)), key=lambda i, left=left: (of_patient[left[i].patient], i))
            item = left.pop(place)
            taken[feature, grade] += 1
            of_patient[item.patient] += 1
            chosen.append(item)
            if len(chosen) == n:
                break
    return chosen


def show_sample(sample: TrialSample) -> None:
    """Shows how many items of which feature and clinician grade were drawn."""
    counted = Counter((item.feature, item.grade) for item in sample.items)
    grades = sorted({item.grade for item in sample.items}, key=lambda g: -1 if g is None else g)
    n_patients = len({item.patient for item in sample.items})
    show_table(
        f"trial: {len(sample.items)} item(s) of {n_patients} patient(s), by clinician grade",
        ["feature", *("tear's place" if g is None else f"grade {g}" for g in grades)],
        [
            [feature.value, *(counted[feature, g] or None for g in grades)]
            for feature in Feature
            if any(counted[feature, g] for g in grades)
        ],
    )
    if sample.request is not None and len(sample.items) < sample.request.n:
        say(f"{sample.request.n} items were asked for: the store has no more")
