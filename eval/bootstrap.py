"""Resampling of patients, once for a whole scoring: every figure sees the same resamples.

Figures are functions of counts that add up over patients, so a resample is a weighted sum of the
patients' counts: (resamples, patients) @ (patients, counts). The first row of what comes out is the
sample itself, the others are its resamples.
"""

from typing import NamedTuple

import numpy as np

from eval.agreement import MIN_FOR_INTERVAL, Floats, Statistic, resample_weights, with_interval

N_RESAMPLES = 1000
"""Resamples of the patients."""


class Resampling(NamedTuple):
    """How often each patient is drawn in each resample."""

    weights: Floats
    """(1 + resamples, patients); the first row is all ones: the sample itself."""

    def sums(self, counts: Floats) -> Floats:
        """Returns (1 + resamples, …) sums of (patients, …) counts."""
        flat = self.weights @ counts.reshape(len(counts), -1)
        return flat.reshape(len(self.weights), *counts.shape[1:])


def resampling(n_patients: int, *, seed: int = 0, n_resamples: int = N_RESAMPLES) -> Resampling:
    """Returns the resamples of `n_patients` patients (at least one)."""
    drawn = resample_weights(n_patients, seed, n_resamples)
    return Resampling(np.vstack([np.ones(n_patients), drawn]))


def statistic(values: Floats, reason: str, no_interval: str | None) -> Statistic:
    """Returns the figure of `Resampling.sums`-like values, with its interval where it may have one.

    Args:
        values: (1 + resamples,) or (1,) of the figure; NaN where it is not defined.
        reason: why it is not defined, where it is not.
        no_interval: why there can be no interval; None where there can.
    """
    value = float(values[0])
    if np.isnan(value):
        return Statistic(None, reason, no_interval=reason)
    if no_interval is not None or len(values) == 1:
        return Statistic(value, no_interval=no_interval or "no resamples")
    return with_interval(value, values[1:])


def too_few(**counted: int) -> str | None:
    """Returns why there is no interval, None where there are enough of everything.

    Example:
        >>> too_few(patients=12, positives=4)
        '4 positives, fewer than 10'
    """
    for what, n in counted.items():
        if n < MIN_FOR_INTERVAL:
            return f"{n} {what}, fewer than {MIN_FOR_INTERVAL}"
    return None
