"""Fits the cut-offs of a calibrated rule to measured values with known grades (RULES 10, 19).

Edge g is where "grade g or more" and "less than g" are told apart best: with the largest mean of
both sides' shares of right decisions, so that rare grades weigh as much as common ones. Of equally
good edges the middle one is taken. Only training cases may be given: a case says whether its
patient is one, and any other is refused.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from knee.calibration import CalibratedRule, CalibrationFit
from knee.errors import InputError
from knee.findings import UNITS, MeasurementName
from knee.moaks import SCALES, Component, Feature

LEAST_CASES = 5
"""Cases of every grade, below which no edge is fitted."""


@dataclass(frozen=True)
class CalibrationCase:
    """One measured component with a known grade.

    Attributes:
        patient: id of the patient (of a phantom: its seed).
        split: `train`, `val` or `test`.
        value: measured, in the measurement's own unit.
        grade: the reader's (of a phantom: the truth's).
    """

    patient: str
    split: str
    value: float
    grade: int


def fit_rule(
    feature: Feature,
    component: Component,
    measurement: MeasurementName,
    cases: Sequence[CalibrationCase],
    population: str,
    fitted_on: str,
) -> CalibratedRule:
    """Returns the rule fitted to training cases.

    Args:
        feature: the feature graded.
        component: its component.
        measurement: what was measured.
        cases: training cases, with every grade of the scale among them.
        population: what they are, for people.
        fitted_on: date, ISO 8601.

    Raises:
        InputError: a case is not of a training patient, a grade has too few cases, or the fitted
            edges do not ascend.
    """
    other = sorted({case.patient for case in cases if case.split != "train"})
    if other:
        raise InputError(
            f"{len(other)} patients are not training patients, such as {other[0]!r}",
            "fit on split = train only",
        )
    grades = SCALES[feature, component].grades
    for grade in grades:
        n_cases = sum(case.grade == grade for case in cases)
        if n_cases < LEAST_CASES:
            raise InputError(
                f"{feature.value} has {n_cases!r} training cases of grade {grade}",
                f"at least {LEAST_CASES} of every grade are needed",
            )
    edges = tuple(round(fit_edge(cases, grade), 2) for grade in grades[1:])
    if any(low >= high for low, high in zip((0.0, *edges), edges, strict=False)):
        raise InputError(
            f"the fitted edges of {feature.value} do not ascend: {edges!r}",
            f"{measurement.value} does not tell its grades apart on these patients",
        )
    return CalibratedRule(
        feature=feature,
        component=component,
        measurement=measurement,
        unit=UNITS[measurement],
        edges=edges,
        source=f"largest balanced accuracy at every edge, {population}",
        fit=CalibrationFit(
            population=population,
            n_patients=len({case.patient for case in cases}),
            n_cases=len(cases),
            fitted_on=fitted_on,
        ),
    )


def fit_edge(cases: Sequence[CalibrationCase], grade: int) -> float:
    """Returns the value from which on a case has at least that grade."""
    below = sorted(case.value for case in cases if case.grade < grade)
    above = sorted(case.value for case in cases if case.grade >= grade)
    values = sorted({*below, *above})
    middles = [(low + high) / 2 for low, high in pairwise(values)]

    def balanced(edge: float) -> float:
        kept = bisect_left(below, edge) / len(below)
        return kept + (len(above) - bisect_left(above, edge)) / len(above)

    scores = [balanced(edge) for edge in middles]
    best = [edge for edge, score in zip(middles, scores, strict=True) if score == max(scores)]
    return best[len(best) // 2]
