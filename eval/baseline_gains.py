"""The model less each baseline, paired over patients: difference, interval and test (RULES 18, 23).

A figure beside a baseline's says little where both come of the same few patients. Here both are
resampled together, by the very resamples of all other figures, and the test swaps model and
baseline of whole patients. Each row is over what the baseline answers: where there is no training
read or no measurement a model would gain over nothing.

    grading       macro recall in the primary form, as in the headlines: the mean over (feature,
                  component) of the mean over its true grades; over all grades and over findings
    localisation  mean IoU in the primary form, by box source

The guess by chance enters with its expected hits; the test then takes differences to be as likely
the one way as the other, which holds nearly where patients are many.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from eval.agreement import MIN_FOR_INTERVAL
from eval.bench_table import CELLS, NONE, SOURCES, BenchTable, Booleans, Floats, Integers
from eval.bootstrap import Resampling, statistic, too_few
from eval.box_scores import Located
from eval.grade_baselines import N_GRADES, GradeBaseline
from eval.grade_scores import Graded
from eval.localization import BoxBaseline, BoxMetric
from eval.paired import holm, swap_tests
from eval.score_records import BaselineGain, Figure
from eval.severity import Metric, Over, positive_grades, ratio
from knee.findings import BoxSource
from knee.moaks import SCALES, Feature
from knee.questions import QUESTIONS

WITHOUT_LOOKING = (BoxBaseline.MEAN_BOX, BoxBaseline.WHOLE_VOLUME, BoxBaseline.CENTRAL_BOX)
"""Baselines of boxes; the best box that the slices allow is a ceiling, and none of them."""
_SAME = 1e-12
_WIDTH = int(N_GRADES.max())
_FEATURES = tuple(Feature)


class _Pair(NamedTuple):
    """Model and baseline over the same items, and what each patient adds to their difference."""

    gain: BaselineGain
    """Without its test."""
    parts: Floats
    """(patients,) of the difference."""
    n_patients: int
    """Patients with items."""


def baseline_gains(graded: Graded, located: Located | None) -> tuple[BaselineGain, ...]:
    """Returns the model less every baseline, for all features together and for each.

    Args:
        graded: grades of model and baselines.
        located: boxes of them; None where none were asked for.
    """
    pairs = [pair for name in GradeBaseline for pair in _grade_pairs(graded, name)]
    if located is not None:
        pairs += _box_pairs(graded.table, located, graded.resampling)
    return tuple(_tested(pairs))


def _tested(pairs: Sequence[_Pair]) -> Iterator[BaselineGain]:
    """Rows with their p, adjusted over the features of the same comparison."""
    tests = swap_tests([pair.parts for pair in pairs], [pair.n_patients for pair in pairs])
    family: dict[tuple[str, ...], dict[str, float | None]] = {}
    for pair, test in zip(pairs, tests, strict=True):
        if pair.gain.feature is not None:
            family.setdefault(_family(pair.gain), {})[pair.gain.feature.value] = test.p
    adjusted = {key: holm(p_values) for key, p_values in family.items()}
    for pair, test in zip(pairs, tests, strict=True):
        feature = pair.gain.feature
        p_holm = None if feature is None else adjusted[_family(pair.gain)][feature.value]
        update = {"p": test.p, "p_holm": p_holm, "n_differing": test.n_differing}
        yield pair.gain.model_copy(update=update)


def _family(gain: BaselineGain) -> tuple[str, ...]:
    return gain.baseline.value, gain.over.value, str(gain.box_source), str(gain.frequent)


class _Recalls(NamedTuple):
    """Hits by patient and (cell, grade), of the components that a baseline answers."""

    totals: Floats
    """(patients, columns)."""
    hits: Floats
    """(2, patients, columns): of the model, of the baseline."""
    scored: Floats
    """(patients, columns): components to which the model gave a grade."""
    drawn: Floats
    """(3, 1 + resamples, columns) sums: hits of the model, of the baseline, totals."""
    cell: Integers
    """(columns,) number of the (feature, component)."""
    is_positive: Booleans
    """(columns,) whether the grade is a finding."""


def _grade_pairs(graded: Graded, baseline: GradeBaseline) -> Iterator[_Pair]:
    recalls = _recalls(graded, baseline)
    if recalls is None:
        return
    features = np.array([_FEATURES.index(CELLS[cell][0]) for cell in recalls.cell])
    is_frequent = (recalls.totals > 0).sum(axis=0) >= MIN_FOR_INTERVAL
    for over in Over:
        kept = recalls.is_positive if over is Over.POSITIVE else np.ones(len(features), bool)
        for columns, frequent in ((kept, False), (kept & is_frequent, True)):
            if columns.any():
                yield _recall_pair(recalls, columns, baseline, over, None, frequent=frequent)
        for number in np.unique(features[kept]):
            columns = kept & (features == number)
            feature = _FEATURES[number]
            yield _recall_pair(recalls, columns, baseline, over, feature, frequent=False)


def _recalls(graded: Graded, baseline: GradeBaseline) -> _Recalls | None:
    """Counts of the read components that a baseline answers; None where it answers none."""
    components = graded.table.components
    rows = np.flatnonzero(components.grade != NONE)
    if baseline is not GradeBaseline.RANDOM:
        rows = rows[graded.baselines[baseline][rows] != NONE]
    if not len(rows):
        return None
    truth, cell = components.grade[rows], components.cell[rows].astype(np.int64)
    keys, column = np.unique(cell * _WIDTH + truth, return_inverse=True)
    if baseline is GradeBaseline.RANDOM:
        hit = 1 / N_GRADES[cell]
    else:
        hit = (graded.baselines[baseline][rows] == truth).astype(float)
    answered = graded.answers.grade[rows]
    shape = len(graded.table.patients), len(keys)
    flat = graded.table.component_patient[rows] * shape[1] + column

    def summed(values: Floats | Booleans | None) -> Floats:
        counts = np.bincount(flat, values, minlength=shape[0] * shape[1])
        return counts.reshape(shape).astype(float)

    totals, own, other = summed(None), summed(answered == truth), summed(hit)
    sums = graded.resampling.sums(np.stack([own, other, totals], axis=1))
    positive = [int(key % _WIDTH) in positive_grades(SCALES[CELLS[key // _WIDTH]]) for key in keys]
    return _Recalls(
        totals=totals,
        hits=np.stack([own, other]),
        scored=summed(answered != NONE),
        drawn=sums.transpose(1, 0, 2),
        cell=keys // _WIDTH,
        is_positive=np.array(positive, bool),
    )


def _recall_pair(
    recalls: _Recalls,
    columns: Booleans,
    baseline: GradeBaseline,
    over: Over,
    feature: Feature | None,
    *,
    frequent: bool,
) -> _Pair:
    """Macro recall over some (cell, grade), every cell counting the same."""
    cells, place, n_grades = np.unique(
        recalls.cell[columns], return_inverse=True, return_counts=True
    )
    weights = 1 / (n_grades[place] * len(cells))
    own, other, totals = recalls.drawn[:, :, columns]
    values = [ratio(hits, totals) @ weights for hits in (own, other)]
    whole = recalls.totals[:, columns]
    gained = (recalls.hits[0] - recalls.hits[1])[:, columns]
    n_patients = int((whole.sum(axis=1) > 0).sum())
    positive = recalls.totals[:, columns & recalls.is_positive].sum()
    gain = _gain(
        values,
        too_few(patients=n_patients),
        baseline=baseline,
        metric=Metric.MACRO_RECALL,
        over=over,
        feature=feature,
        frequent=frequent,
        n=round(whole.sum()),
        n_scored=round(recalls.scored[:, columns].sum()),
        n_positive=round(positive),
        n_patients=n_patients,
    )
    return _Pair(gain, gained / whole.sum(axis=0) @ weights, n_patients)


def _box_pairs(table: BenchTable, located: Located, drawn: Resampling) -> Iterator[_Pair]:
    questions = table.items.question[located.rows]
    features = np.array([_FEATURES.index(QUESTIONS[int(q)].feature) for q in questions], np.int64)
    for source in np.unique(located.source):
        for baseline in WITHOUT_LOOKING:
            there = ~np.isnan(located.baselines[baseline][BoxMetric.IOU])
            there &= located.source == source
            if not there.any():
                continue
            for number in (None, *np.unique(features[there])):
                rows = np.flatnonzero(there if number is None else there & (features == number))
                feature = None if number is None else _FEATURES[number]
                yield _box_pair(located, rows, baseline, SOURCES[source], feature, drawn)


def _box_pair(
    located: Located,
    rows: Integers,
    baseline: BoxBaseline,
    source: BoxSource,
    feature: Feature | None,
    drawn: Resampling,
) -> _Pair:
    iou = located.values[BoxMetric.IOU][rows]
    other = located.baselines[baseline][BoxMetric.IOU][rows]
    patients, n_all = located.patient[rows], drawn.weights.shape[1]
    columns = [
        np.bincount(patients, values, minlength=n_all).astype(float)
        for values in (np.nan_to_num(iou), other, None)
    ]
    sums = drawn.sums(np.stack(columns, axis=1))
    n_patients = int((columns[2] > 0).sum())
    gain = _gain(
        [ratio(sums[:, place], sums[:, 2]) for place in (0, 1)],
        too_few(patients=n_patients),
        baseline=baseline,
        metric=BoxMetric.IOU,
        over=Over.ALL,
        feature=feature,
        box_source=source,
        n=len(rows),
        n_scored=int((~np.isnan(iou)).sum()),
        n_patients=n_patients,
    )
    return _Pair(gain, (columns[0] - columns[1]) / len(rows), n_patients)


def _gain(values: Sequence[Floats], no_interval: str | None, **what: object) -> BaselineGain:
    """A row without its test, from (1 + resamples,) values of the model and of the baseline."""
    own, other = values
    model, of_baseline, difference = (_shown(one, no_interval) for one in (own, other, own - other))
    fields = {"model": model, "of_baseline": of_baseline, "difference": difference, **what}
    return BaselineGain.model_validate({**fields, "n_differing": 0, "p": None, "p_holm": None})


def _shown(values: Floats, no_interval: str | None) -> Figure:
    """A figure with its interval; none where all resamples are the same, as in `eval.paired`."""
    found = statistic(values, "nothing to count", no_interval)
    if found.low is not None and found.high is not None and found.high - found.low <= _SAME:
        return Figure(value=found.value, no_interval="the same in every resample")
    return Figure.of(found)
