"""How far what was accepted is from what was read, with intervals over patients (RULES 16-18)."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from store.export import ExportRows

N_RESAMPLES: Final = 200
"""Resamples of patients."""
_SEED: Final = 20
_QUERY = (
    "SELECT patient, feature, component, grade, count(*), count(*) FILTER (is_accepted) "
    "FROM flow WHERE is_read GROUP BY ALL ORDER BY min(question_id), feature, component, grade, "
    "patient"
)
Counts = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    """The figure itself."""
    low: float
    """2.5 % of the resamples."""
    high: float
    """97.5 % of them."""


class SelectionBias(NamedTuple):
    """One component: what was read beside what was accepted."""

    feature: str
    """What is graded."""
    component: str
    """The component."""
    n_read: int
    """Components that a clinician read."""
    n_accepted: int
    """... in accepted items."""
    distance: Estimate | None
    """Half the sum of differences between the two distributions of grades, 0 to 1; None without
    an accepted one."""
    odds_ratio: Estimate | None
    """Odds of acceptance of grade >= 2 against grade 0; None where one of the four is empty."""


def selection_bias(rows: ExportRows) -> list[SelectionBias]:
    """Returns, for each component of the knees of an export, how selective acceptance was."""
    counted = rows.fetch(_QUERY)
    patients = {p: n for n, p in enumerate(sorted({str(row[0]) for row in counted}))}
    groups: dict[tuple[str, str], list[tuple[int, int, int, int]]] = {}
    for patient, feature, component, grade, n_read, n_accepted in counted:
        entry = (patients[str(patient)], int(grade), int(n_read), int(n_accepted))
        groups.setdefault((str(feature), str(component)), []).append(entry)
    rng = np.random.default_rng(_SEED)
    even = np.full(len(patients), 1 / len(patients)) if patients else np.zeros(0)
    draws = (
        rng.multinomial(len(patients), even, size=N_RESAMPLES).astype(np.float64)
        if patients
        else np.zeros((0, 0))
    )
    weights = np.vstack((np.ones((1, len(patients))), draws))
    return [_of_group(key, entries, weights) for key, entries in groups.items()]


def _of_group(
    key: tuple[str, str], entries: list[tuple[int, int, int, int]], weights: Counts
) -> SelectionBias:
    n_grades = max(grade for _, grade, _, _ in entries) + 1
    read = np.zeros((weights.shape[1], n_grades))
    accepted = np.zeros_like(read)
    for patient, grade, n_read, n_accepted in entries:
        read[patient, grade] = n_read
        accepted[patient, grade] = n_accepted
    all_read, all_accepted = weights @ read, weights @ accepted
    return SelectionBias(
        *key,
        n_read=int(read.sum()),
        n_accepted=int(accepted.sum()),
        distance=_estimate(_distance(all_read, all_accepted)),
        odds_ratio=_estimate(_odds_ratio(all_read, all_accepted)),
    )


def _distance(read: Counts, accepted: Counts) -> Counts:
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [part / part.sum(axis=1, keepdims=True) for part in (read, accepted)]
    return np.abs(shares[0] - shares[1]).sum(axis=1) / 2


def _odds_ratio(read: Counts, accepted: Counts) -> Counts:
    lost = read - accepted
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (accepted[:, 2:].sum(axis=1) * lost[:, 0]) / (
            lost[:, 2:].sum(axis=1) * accepted[:, 0]
        )
    return np.where(ratio > 0, ratio, np.nan)


def _estimate(values: Counts) -> Estimate | None:
    if not np.isfinite(values[0]):
        return None
    sound = values[1:][np.isfinite(values[1:])]
    if sound.size == 0:
        return None
    low, high = np.quantile(sound, (0.025, 0.975))
    return Estimate(float(values[0]), float(low), float(high))
