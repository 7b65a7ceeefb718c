"""Two runs on the same items, compared patient by patient: numpy alone, no files.

A figure is macro over cells (a cell is a clinician's grade): the mean over the cells that occur of
the share of hits in the cell, so that the many grades 0 do not drown the others (RULES 17). Hits
are of the same items in both runs, and so are the totals.

Patients are the unit (RULES 18): intervals are percentiles of a bootstrap over patients, both runs
resampled together; the test swaps the two runs of whole patients. The totals do not change when
runs are swapped, so the difference of two macro figures is a sum of one number a patient, and
swapping flips that number's sign: the test is exact where all flips can be counted, and drawn by
chance where they are too many. What is not defined is None with its reason, never 0.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eval.agreement import (
    MIN_FOR_INTERVAL,
    Floats,
    Statistic,
    resample_weights,
    with_interval,
)

MAX_EXACT = 16
"""Patients with a difference up to which all 2^n ways of swapping are counted."""
N_PERMUTATIONS = 20_000
"""Ways of swapping that are drawn above that; the smallest p is 1 / (N + 1)."""
_CHUNK = 2_000
_TIE = 1e-12
"""Sums of fractions that are equal on paper differ by rounding."""


class PairedCounts(NamedTuple):
    """Hits of two runs on the same items: (patients, cells) each."""

    hits_a: Floats
    """Hits of run A."""
    hits_b: Floats
    """Hits of run B."""
    totals: Floats
    """Out of how many, the same for both."""

    def keep_cells(self, kept: list[bool]) -> "PairedCounts":
        """Returns the counts of some cells."""
        columns = np.array(kept, bool)
        return PairedCounts(*(table[:, columns] for table in self))


class SwapTest(NamedTuple):
    """A patient-level permutation test of no difference between two runs."""

    p: float | None
    """Two-sided; None when nothing could be compared."""
    n_patients: int
    """Patients with items."""
    n_differing: int
    """Patients whose figures differ between the runs; the others say nothing."""
    is_exact: bool
    """Whether every way of swapping was counted."""


class PairedFigure(NamedTuple):
    """One figure of two runs, their difference, and whether it may be chance."""

    a: Statistic
    """Of run A."""
    b: Statistic
    """Of run B."""
    difference: Statistic
    """B - A."""
    test: SwapTest
    """Of no difference."""
    n: int
    """Components or items counted, in each run."""


def compare_paired(counts: PairedCounts, *, seed: int = 0) -> PairedFigure:
    """Returns both runs' macro figures, B - A, their intervals, and the permutation test.

    Args:
        counts: (patients, cells) each; cells without any total are left out of the mean.
        seed: of resampling and of drawing ways of swapping.

    Example:
        >>> counts = PairedCounts(np.array([[1.0]]), np.array([[2.0]]), np.array([[2.0]]))
        >>> compare_paired(counts).difference.value
        0.5
    """
    n = round(float(counts.totals.sum()))
    if n == 0:
        nothing = Statistic(None, "nothing was compared", no_interval="nothing was compared")
        return PairedFigure(nothing, nothing, nothing, SwapTest(None, 0, 0, True), 0)
    with_items = counts.totals.sum(axis=1) > 0
    counts = PairedCounts(*(table[with_items] for table in counts))
    counts = counts.keep_cells(list(counts.totals.sum(axis=0) > 0))
    n_patients = len(counts.totals)
    value_a, value_b = (_macro(hits, counts.totals) for hits in (counts.hits_a, counts.hits_b))
    test = swap_test(patient_differences(counts), seed=seed)
    if n_patients < MIN_FOR_INTERVAL:
        why = f"{n_patients} patients, fewer than {MIN_FOR_INTERVAL}"
        a, b, difference = (
            Statistic(value, no_interval=why) for value in (value_a, value_b, value_b - value_a)
        )
        return PairedFigure(a, b, difference, test, n)
    weights = resample_weights(n_patients, seed)
    totals = weights @ counts.totals
    drawn_a, drawn_b = (_macros(weights @ hits, totals) for hits in (counts.hits_a, counts.hits_b))
    same = "the same in every patient"
    return PairedFigure(
        _with_interval(value_a, drawn_a, same),
        _with_interval(value_b, drawn_b, same),
        _with_interval(
            value_b - value_a, drawn_b - drawn_a, same if test.n_differing else "no patient differs"
        ),
        test,
        n,
    )


def patient_differences(counts: PairedCounts) -> Floats:
    """Returns (patients,): each patient's part of the difference B - A of the macro figures."""
    totals = counts.totals.sum(axis=0)
    occurs = totals > 0
    gained = (counts.hits_b - counts.hits_a)[:, occurs]
    return (gained / totals[occurs]).sum(axis=1) / max(int(occurs.sum()), 1)


def swap_test(differences: Floats, *, seed: int = 0) -> SwapTest:
    """Returns the two-sided test of no difference, swapping the two runs of whole patients.

    Patients without a difference stay what they are under every swap: they change no p.

    Args:
        differences: (patients,) parts of the difference, of every patient with items.
        seed: of the ways of swapping, where they are drawn.

    Example:
        >>> swap_test(np.array([0.1, 0.2, 0.0])).p
        0.5
    """
    n_patients = len(differences)
    if n_patients == 0:
        return SwapTest(None, 0, 0, True)
    parts = differences[np.abs(differences) > _TIE]
    n = len(parts)
    if n == 0:
        return SwapTest(1.0, n_patients, 0, True)
    reached = abs(float(parts.sum())) * (1 - 1e-9) - _TIE
    if n <= MAX_EXACT:
        ways = np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1
        sums = np.abs((1 - 2.0 * ways) @ parts)
        return SwapTest(float((sums >= reached).mean()), n_patients, n, True)
    rng = np.random.default_rng(seed)
    as_far = 0
    for start in range(0, N_PERMUTATIONS, _CHUNK):
        size = (min(_CHUNK, N_PERMUTATIONS - start), n)
        as_far += int((np.abs(rng.choice((-1.0, 1.0), size) @ parts) >= reached).sum())
    return SwapTest((as_far + 1) / (N_PERMUTATIONS + 1), n_patients, n, False)


def swap_tests(
    differences: Sequence[Floats], n_patients: Sequence[int], *, seed: int = 0
) -> list[SwapTest]:
    """Returns `swap_test` of several figures of the same patients; ways are drawn once for all.

    Args:
        differences: (patients,) of each figure, over the same patients; those without items have 0.
        n_patients: of each figure, patients with items.
        seed: of the ways of swapping, where they are drawn.
    """
    tests: dict[int, SwapTest] = {}
    drawn: list[int] = []
    for number, (parts, n) in enumerate(zip(differences, n_patients, strict=True)):
        differing = parts[np.abs(parts) > _TIE]
        if n and len(differing) > MAX_EXACT:
            drawn.append(number)
        else:
            exact = swap_test(differing, seed=seed)
            p = None if n == 0 else 1.0 if exact.p is None else exact.p
            tests[number] = SwapTest(p, n, len(differing), True)
    if drawn:
        columns = np.stack([differences[number] for number in drawn], axis=1)
        for number, p in zip(drawn, _drawn_p(columns, seed), strict=True):
            differing = int((np.abs(differences[number]) > _TIE).sum())
            tests[number] = SwapTest(float(p), n_patients[number], differing, False)
    return [tests[number] for number in range(len(differences))]


def _drawn_p(columns: Floats, seed: int) -> Floats:
    """(figures,) two-sided p of (patients, figures) differences; a byte drawn is eight swaps."""
    rng = np.random.default_rng(seed)
    total = columns.sum(axis=0)
    reached = np.abs(total) * (1 - 1e-9) - _TIE
    as_far = np.zeros(len(total))
    n = len(columns)
    for start in range(0, N_PERMUTATIONS, _CHUNK):
        size = min(_CHUNK, N_PERMUTATIONS - start)
        drawn = rng.integers(0, 256, (size, (n + 7) // 8), dtype=np.uint8)
        swapped = np.unpackbits(drawn, axis=1, count=n).astype(float)
        # A sum with some signs turned is the total less twice what was turned.
        as_far += (np.abs(total - 2 * (swapped @ columns)) >= reached).sum(axis=0)
    return (as_far + 1) / (N_PERMUTATIONS + 1)


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Returns p-values adjusted for their number by Holm's step-down; None stays and counts not.

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None})
        {'a': 0.03, 'b': 0.06, 'c': 0.06, 'd': None}
    """
    tested = sorted((p, name) for name, p in p_values.items() if p is not None)
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for number, (p, name) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - number)))
        adjusted[name] = highest
    return adjusted


def _with_interval(value: float, drawn: Floats, why_none: str) -> Statistic:
    """Returns a value with its interval, or why there is none.

    Where all resamples are the same there is none: thirteen hits of thirteen would have
    [100, 100] %, which says more than thirteen patients can. Nor is there one where a cell is
    missing in many resamples: the figure would then be a mean over other cells.
    """
    found = with_interval(value, drawn)
    if found.low is None or found.high is None:
        return found._replace(no_interval="a grade of too few patients")
    return Statistic(value, no_interval=why_none) if found.high - found.low <= _TIE else found


def _macro(hits: Floats, totals: Floats) -> float:
    return float(_macros(hits.sum(axis=0)[np.newaxis], totals.sum(axis=0)[np.newaxis])[0])


def _macros(hits: Floats, totals: Floats) -> Floats:
    """Mean over the cells, of each of (n, cells) sums; NaN where a cell has nothing."""
    shares = np.divide(hits, totals, out=np.full_like(hits, np.nan), where=totals > 0)
    return shares.mean(axis=1)
