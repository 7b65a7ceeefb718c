"""Agreement between reads, and what a guess without any image reaches: numpy alone, no files.

Pairs of reads are exchangeable (there is no first reader), so each pair enters a table in both
orders with half its weight; Cohen's kappa of such a table has pooled margins (Scott's pi). Items of
a patient are not independent: intervals are percentiles of a bootstrap over patients (RULES 18).
What is not defined is None with its reason, never 0 and never NaN (RULES 2, 24).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MIN_FOR_INTERVAL = 10
"""Pairs, positives or patients below which there is no interval."""
N_BOOTSTRAP = 2000
"""Resamples of the patients."""
LEVEL = 0.95
"""Coverage of the intervals."""
_MAX_UNDEFINED = 0.05
"""Share of resamples in which a statistic may be undefined before there is no interval."""

Floats = npt.NDArray[np.float64]


class Weighting(StrEnum):
    """How a disagreement counts by its distance in grades."""

    NONE = "none"
    """Every disagreement counts the same; the only one for nominal scales."""
    LINEAR = "linear"
    """By the distance."""
    QUADRATIC = "quadratic"
    """By the square of the distance."""


class Statistic(NamedTuple):
    """A number with its interval, or why there is none."""

    value: float | None
    """The statistic; None when it is not defined."""
    reason: str | None = None
    """Why it is not defined."""
    low: float | None = None
    """Lower end of the interval; None without one."""
    high: float | None = None
    """Upper end of the interval."""
    no_interval: str | None = None
    """Why there is no interval."""


class MajorityBaseline(NamedTuple):
    """What always answering the most frequent grade reaches."""

    n: int
    """Graded components."""
    majority: int
    """The most frequent grade; the lowest of equals."""
    accuracy: float
    """Share of the components that have it."""
    mae: float | None
    """Mean distance in grades; None where distances mean nothing."""
    macro_recall: float
    """Mean over the grades that occur of the share found: 1 / their number."""


def majority_baseline(counts: Mapping[int, int], *, distances: bool = True) -> MajorityBaseline:
    """Returns what always answering the most frequent grade reaches.

    Args:
        counts: grade to how often it occurs; grades that never occur may be left out.
        distances: False for nominal scales.

    Raises:
        ValueError: nothing was counted.

    Example:
        >>> round(majority_baseline({0: 8476, 1: 651, 2: 2381, 3: 210}).accuracy, 4)
        0.7233
    """
    n = sum(counts.values())
    if n <= 0 or min(counts.values()) < 0:
        raise ValueError(f"no majority among the counts {dict(counts)!r}")
    majority = min(counts, key=lambda grade: (-counts[grade], grade))
    away = sum(count * abs(grade - majority) for grade, count in counts.items())
    return MajorityBaseline(
        n=n,
        majority=majority,
        accuracy=counts[majority] / n,
        mae=away / n if distances else None,
        macro_recall=1 / sum(count > 0 for count in counts.values()),
    )


def pair_tables(pairs: Mapping[str, Sequence[tuple[int, int]]], grades: Sequence[int]) -> Floats:
    """Returns the table of pairs of each patient: (patients, grades, grades), symmetric.

    Args:
        pairs: patient to the (grade, grade) of each pair of reads of one component.
        grades: the legal grades, in the order of the table.
    """
    place = {grade: number for number, grade in enumerate(grades)}
    tables = np.zeros((len(pairs), len(grades), len(grades)))
    for number, patient in enumerate(pairs):
        for one, other in pairs[patient]:
            tables[number, place[one], place[other]] += 0.5
            tables[number, place[other], place[one]] += 0.5
    return tables


def weighted_kappa(table: Floats, weighting: Weighting, grades: Sequence[int]) -> Statistic:
    """Returns Cohen's kappa of one table of two readings, without an interval.

    Args:
        table: (grades, grades) counts.
        weighting: how disagreements count.
        grades: the grades of rows and columns; distances are between them.

    Example:
        >>> weighted_kappa(np.array([[20.0, 5], [10, 15]]), Weighting.NONE, (0, 1)).value
        0.4
    """
    (value,) = kappas(table[np.newaxis], weighting, grades)
    if not np.isnan(value):
        return Statistic(float(value))
    n = float(table.sum())
    return Statistic(None, "no pairs" if n == 0 else "all reads gave the same grade")


def kappa_with_interval(
    tables: Floats, weighting: Weighting, grades: Sequence[int], *, seed: int = 0
) -> Statistic:
    """Returns kappa over all patients with its interval.

    Args:
        tables: (patients, grades, grades), as `pair_tables` gives them.
        weighting: how disagreements count.
        grades: the grades of rows and columns.
        seed: of the resampling.
    """
    total = tables.sum(axis=0) if len(tables) else np.zeros((len(grades), len(grades)))
    point = weighted_kappa(total, weighting, grades)
    too_few = _too_few(round(float(total.sum())), "pairs", len(tables))
    if point.value is None or too_few is not None:
        return point._replace(no_interval=point.reason or too_few)
    flat = tables.reshape(len(tables), -1)
    resampled = resample_weights(len(tables), seed) @ flat
    values = kappas(resampled.reshape(-1, *total.shape), weighting, grades)
    return with_interval(point.value, values)


def share_with_interval(hits: npt.ArrayLike, totals: npt.ArrayLike, *, seed: int = 0) -> Statistic:
    """Returns a share over all patients with its interval.

    Args:
        hits: of each patient, how many have it.
        totals: of each patient, out of how many.
        seed: of the resampling.
    """
    counts = np.stack([np.asarray(hits, float), np.asarray(totals, float)], axis=1)
    n_hits, n = counts.sum(axis=0) if len(counts) else (0.0, 0.0)
    if n == 0:
        return Statistic(None, "nothing was counted", no_interval="nothing was counted")
    too_few = _too_few(round(float(min(n_hits, n - n_hits))), "of the rarer kind", len(counts))
    if too_few is not None:
        return Statistic(float(n_hits / n), no_interval=too_few)
    resampled = resample_weights(len(counts), seed) @ counts
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(resampled[:, 1] > 0, resampled[:, 0] / resampled[:, 1], np.nan)
    return with_interval(float(n_hits / n), values)


def _too_few(n: int, what: str, n_patients: int) -> str | None:
    if n < MIN_FOR_INTERVAL:
        return f"{n} {what}, fewer than {MIN_FOR_INTERVAL}"
    if n_patients < MIN_FOR_INTERVAL:
        return f"{n_patients} patients, fewer than {MIN_FOR_INTERVAL}"
    return None


def resample_weights(n_patients: int, seed: int, n_resamples: int = N_BOOTSTRAP) -> Floats:
    """Returns (resamples, patients): how often each patient is drawn in a bootstrap."""
    rng = np.random.default_rng(seed)
    share = np.full(n_patients, 1 / n_patients)
    return rng.multinomial(n_patients, share, size=n_resamples).astype(float)


def with_interval(value: float, resampled: Floats) -> Statistic:
    """Returns a value with the percentile interval of its resampled values; NaN is undefined."""
    is_undefined = np.isnan(resampled)
    undefined = float(is_undefined.mean())
    if undefined > _MAX_UNDEFINED:
        return Statistic(
            value, no_interval=f"undefined in {100 * undefined:.0f} % of the resamples"
        )
    ends = np.quantile(resampled[~is_undefined], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Statistic(value, low=float(ends[0]), high=float(ends[1]))


def kappas(tables: Floats, weighting: Weighting, grades: Sequence[int]) -> Floats:
    """Returns Cohen's kappa of each of (n, grades, grades) tables; NaN where it is not defined."""
    distance = np.abs(np.subtract.outer(np.array(grades, float), np.array(grades, float)))
    cost = {
        Weighting.NONE: (distance > 0).astype(float),
        Weighting.LINEAR: distance,
        Weighting.QUADRATIC: distance**2,
    }[weighting]
    n = tables.sum(axis=(1, 2))
    observed = (tables * cost).sum(axis=(1, 2))
    margins = tables.sum(axis=2)[:, :, np.newaxis] * tables.sum(axis=1)[:, np.newaxis, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (margins * cost).sum(axis=(1, 2)) / n
        return np.where((n > 0) & (expected > 0), 1 - observed / expected, np.nan)
