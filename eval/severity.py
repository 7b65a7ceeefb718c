"""How right grades are, by scale type (RULES 2, 17, 23): numpy alone, no files.

Everything is a function of tables of true grade against answered grade, with one more column for
answers without a grade. Two forms of each figure:

    primary   an answer without a grade (unparsed, failed, missing) is wrong: a miss for shares and
              recalls, a severe error, and the farthest grade of the scale for distances and kappa;
    scored    only answers with a grade count.

Macro figures are means over the true grades that occur in the sample; where a resample lacks one of
them, the figure is undefined there. Undefined is NaN inside this module and None outside, never 0.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eval.agreement import Floats, Statistic, Weighting, kappas
from eval.bootstrap import statistic, too_few
from knee.moaks import Component, ComponentScale, Feature, ScaleType

SEVERE = 2
"""Grades apart from which an error is severe."""
MORPHOLOGY_GROUPS: tuple[tuple[int, ...], ...] = ((0, 1), (2, 3, 4, 5), (6, 7, 8))
"""Meniscal morphology collapsed: normal or signal, tear, maceration (RULES 2)."""
MORPHOLOGY_GROUP_NAMES = ("normal_or_signal", "tear", "maceration")
"""Names of the groups."""
NO_TEAR = 3
"""Tear location: the grade that says that there is none; 0 is the anterior horn."""


class Form(StrEnum):
    """What becomes of an answer without a grade."""

    PRIMARY = "primary"
    """It is wrong."""
    SCORED = "scored"
    """It is left out."""


class Over(StrEnum):
    """Which components a figure is over."""

    ALL = "all"
    """All of them, most of them grade 0."""
    POSITIVE = "positive"
    """Those with a finding: grade 1 or more (tear location: a location)."""


class Metric(StrEnum):
    """Every figure; which ones a component has is said by its scale type."""

    EXACT = "exact"
    """Share of the right grade."""
    MACRO_RECALL = "macro_recall"
    """Mean over the true grades of the share of each that was found."""
    WITHIN_ONE = "within_one"
    """Share at most one grade away."""
    SEVERE_ERROR = "severe_error"
    """Share two grades away or more."""
    MAE = "mae"
    """Mean distance in grades."""
    QWK = "quadratic_weighted_kappa"
    """Cohen's kappa with quadratic weights."""
    MACRO_F1 = "macro_f1"
    """Mean over the true grades of F1."""
    COLLAPSED_EXACT = "collapsed_exact"
    """Exact, of the collapsed morphology."""
    COLLAPSED_MACRO_RECALL = "collapsed_macro_recall"
    """Macro recall of it."""
    COLLAPSED_MACRO_F1 = "collapsed_macro_f1"
    """Macro F1 of it."""
    SENSITIVITY = "sensitivity"
    """Share of the present ones that were found."""
    SPECIFICITY = "specificity"
    """Share of the absent ones that were called absent."""
    BALANCED_ACCURACY = "balanced_accuracy"
    """Mean of the two."""


class Sample(NamedTuple):
    """Tables of one component, those of its resamples behind its own."""

    tables: Floats
    """(n, grades, grades + 1): true grade, answered grade; the last column is without a grade."""
    grades: Sequence[int]
    """The legal grades, ascending."""

    def rows(self, kept: Sequence[int]) -> "Sample":
        """Returns the sample of some true grades; the others' counts become 0."""
        mask = np.array([grade in kept for grade in self.grades], float)
        return Sample(self.tables * mask[:, np.newaxis], self.grades)

    def answered(self) -> Floats:
        """Returns (n, grades, grades) without the last column."""
        return self.tables[:, :, :-1]

    def totals(self, form: Form) -> Floats:
        """Returns (n, grades): how many of each true grade count."""
        return (self.tables if form is Form.PRIMARY else self.answered()).sum(axis=2)

    def filled(self, form: Form) -> Floats:
        """Returns (n, grades, grades): in the primary form no grade is the farthest one."""
        answered = self.answered()
        if form is Form.SCORED:
            return answered
        distance = distances(self.grades)
        farthest = np.zeros_like(distance)
        farthest[np.arange(len(self.grades)), distance.argmax(axis=1)] = 1
        return answered + self.tables[:, :, -1:] * farthest

    def collapsed(self, groups: Sequence[Sequence[int]]) -> "Sample":
        """Returns the sample with grades put together; groups are numbered from 0."""
        member = np.array([[grade in group for group in groups] for grade in self.grades], float)
        size = len(self.grades)
        columns = np.zeros((size + 1, len(groups) + 1))
        columns[:size, :-1], columns[size, -1] = member, 1
        return Sample(member.T @ self.tables @ columns, range(len(groups)))


MetricFunction = Callable[[Sample, Form], Floats]


def distances(grades: Sequence[int]) -> Floats:
    """Returns (grades, grades): how far apart any two grades are."""
    values = np.array(grades, float)
    return np.abs(np.subtract.outer(values, values))


def ratio(part: Floats, whole: Floats) -> Floats:
    """Returns part / whole, NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _right(sample: Sample) -> Floats:
    return np.diagonal(sample.answered(), axis1=1, axis2=2)


def _exact(sample: Sample, form: Form) -> Floats:
    return ratio(_right(sample).sum(axis=1), sample.totals(form).sum(axis=1))


def _macro(values: Floats, totals: Floats) -> Floats:
    """Mean over the grades that the sample itself (the first table) has."""
    occurs = totals[0] > 0
    if not occurs.any():
        return np.full(len(values), np.nan)
    return values[:, occurs].mean(axis=1)


def _macro_recall(sample: Sample, form: Form) -> Floats:
    totals = sample.totals(form)
    return _macro(ratio(_right(sample), totals), totals)


def _macro_f1(sample: Sample, form: Form) -> Floats:
    totals, called = sample.totals(form), sample.answered().sum(axis=1)
    f1 = 2 * _right(sample) / np.where(totals > 0, totals + called, np.nan)
    return _macro(f1, totals)


def _near(sample: Sample, form: Form, is_near: npt.NDArray[np.bool_]) -> Floats:
    near = (sample.answered() * is_near).sum(axis=(1, 2))
    return ratio(near, sample.totals(form).sum(axis=1))


def _within_one(sample: Sample, form: Form) -> Floats:
    return _near(sample, form, distances(sample.grades) <= 1)


def _severe(sample: Sample, form: Form) -> Floats:
    return 1 - _near(sample, form, distances(sample.grades) < SEVERE)


def _mae(sample: Sample, form: Form) -> Floats:
    filled = sample.filled(form)
    return ratio((filled * distances(sample.grades)).sum(axis=(1, 2)), filled.sum(axis=(1, 2)))


def _qwk(sample: Sample, form: Form) -> Floats:
    return kappas(sample.filled(form), Weighting.QUADRATIC, sample.grades)


def _recall_of(sample: Sample, form: Form, row: int) -> Floats:
    return ratio(_right(sample)[:, row], sample.totals(form)[:, row])


def _sensitivity(sample: Sample, form: Form) -> Floats:
    return _recall_of(sample, form, 1)


def _specificity(sample: Sample, form: Form) -> Floats:
    return _recall_of(sample, form, 0)


def _balanced(sample: Sample, form: Form) -> Floats:
    return (_sensitivity(sample, form) + _specificity(sample, form)) / 2


def _of_collapsed(function: MetricFunction) -> MetricFunction:
    return lambda sample, form: function(sample.collapsed(MORPHOLOGY_GROUPS), form)


_FUNCTIONS: dict[Metric, MetricFunction] = {
    Metric.EXACT: _exact,
    Metric.MACRO_RECALL: _macro_recall,
    Metric.WITHIN_ONE: _within_one,
    Metric.SEVERE_ERROR: _severe,
    Metric.MAE: _mae,
    Metric.QWK: _qwk,
    Metric.MACRO_F1: _macro_f1,
    Metric.COLLAPSED_EXACT: _of_collapsed(_exact),
    Metric.COLLAPSED_MACRO_RECALL: _of_collapsed(_macro_recall),
    Metric.COLLAPSED_MACRO_F1: _of_collapsed(_macro_f1),
    Metric.SENSITIVITY: _sensitivity,
    Metric.SPECIFICITY: _specificity,
    Metric.BALANCED_ACCURACY: _balanced,
}
_GRADED = (Metric.EXACT, Metric.MACRO_RECALL)
_STEPS = (*_GRADED, Metric.WITHIN_ONE, Metric.SEVERE_ERROR, Metric.MAE, Metric.QWK)
_BY_SCALE: dict[ScaleType, tuple[Metric, ...]] = {
    ScaleType.ORDINAL: _STEPS,
    ScaleType.COUNT: _STEPS,
    ScaleType.NOMINAL: (*_GRADED, Metric.MACRO_F1),
    ScaleType.BINARY: (
        *_GRADED,
        Metric.SENSITIVITY,
        Metric.SPECIFICITY,
        Metric.BALANCED_ACCURACY,
    ),
}
_COLLAPSED = (
    Metric.COLLAPSED_EXACT,
    Metric.COLLAPSED_MACRO_RECALL,
    Metric.COLLAPSED_MACRO_F1,
)


def metrics_of(scale: ComponentScale, over: Over) -> tuple[Metric, ...]:
    """Returns the figures of a component; of yes/no ones the positives' is the sensitivity."""
    if over is Over.POSITIVE and scale.scale_type is ScaleType.BINARY:
        return ()
    collapsed = _COLLAPSED if scale.feature is Feature.MORPHOLOGY else ()
    return (*_BY_SCALE[scale.scale_type], *collapsed)


def positive_grades(scale: ComponentScale) -> tuple[int, ...]:
    """Returns the grades that say that something is there."""
    none = NO_TEAR if scale.component is Component.TEAR_LOCATION else 0
    return tuple(grade for grade in scale.grades if grade != none)


def values_of(sample: Sample, metric: Metric, form: Form) -> Floats:
    """Returns (n,) of one figure, NaN where it is not defined.

    The first table says which true grades occur.

    Example:
        >>> counts = np.array([[[8.0, 1, 1], [1, 2, 1]]])
        >>> float(values_of(Sample(counts, (0, 1)), Metric.SENSITIVITY, Form.PRIMARY)[0])
        0.5
    """
    return _FUNCTIONS[metric](sample, form)


class Figures:
    """All figures of one component of all patients, and of its resamples.

    Args:
        sample: the component's own table first, its resamples behind.
        scale: its scale.
        n_patients: patients with such a component.
        n_with_finding: patients of them with a finding, whose figures the positives' are; None
            when all have one.
    """

    def __init__(
        self,
        sample: Sample,
        scale: ComponentScale,
        n_patients: int,
        n_with_finding: int | None = None,
    ) -> None:
        positives = positive_grades(scale)
        self._n_patients = n_patients
        self._n_with_finding = n_patients if n_with_finding is None else n_with_finding
        self._samples = {Over.ALL: sample, Over.POSITIVE: sample.rows(positives)}
        self._n = {
            (over, form): round(float(one.totals(form)[0].sum()))
            for over, one in self._samples.items()
            for form in Form
        }

    def statistic(self, metric: Metric, over: Over, form: Form) -> Statistic:
        """Returns one figure with its interval, or why there is none."""
        n_positive = self._n[Over.POSITIVE, form]
        needed = {"patients": self._n_patients}
        if metric is not Metric.SPECIFICITY:
            needed["positives"] = n_positive
        if over is Over.POSITIVE or metric in (Metric.SENSITIVITY, Metric.BALANCED_ACCURACY):
            # Twenty findings of both knees and all visits of three patients are three clusters.
            needed["patients with a finding"] = self._n_with_finding
        if metric in (Metric.SPECIFICITY, Metric.BALANCED_ACCURACY):
            needed["negatives"] = self._n[Over.ALL, form] - n_positive
        values = values_of(self._samples[over], metric, form)
        return statistic(values, _undefined(metric, self._n[over, form]), too_few(**needed))


def _undefined(metric: Metric, n_counted: int) -> str:
    """Why a figure is not defined."""
    if n_counted == 0:
        return "nothing to count"
    return {
        Metric.SENSITIVITY: "no positives",
        Metric.SPECIFICITY: "no negatives",
        Metric.BALANCED_ACCURACY: "no positives, or no negatives",
        Metric.QWK: "truth and answers are all the same grade",
    }.get(metric, "nothing to count")
