"""Two models on the same items: paired over patients, with Holm over the features (RULES 18)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from eval.agreement import Statistic
from eval.answer_table import AnswerTable
from eval.bench_table import CELLS, NONE, SOURCES, BenchTable, Floats, Integers
from eval.bootstrap import resampling, statistic, too_few
from eval.box_scores import Located
from eval.localization import BoxMetric
from eval.paired import PairedCounts, PairedFigure, compare_paired, holm, swap_test
from eval.score_records import Figure, PairedScore
from eval.severity import ratio
from knee.findings import BoxSource
from knee.moaks import Feature
from knee.questions import QUESTIONS

_ALL = "all"
_WIDTH = 9
"""Grades of the widest scale, meniscal morphology."""


class _Named(NamedTuple):
    name: str
    feature: Feature | None
    figure: PairedFigure


def compare_grades(
    table: BenchTable, first: AnswerTable, second: AnswerTable, *, seed: int = 0
) -> tuple[PairedScore, ...]:
    """Returns macro recall (primary form) of all features together and of each, B against A.

    A feature's figure is the mean over its components and true grades of the share that was found;
    an answer without a grade finds nothing. Ambiguous components take no part.
    """
    components = table.components
    read = np.flatnonzero(components.grade != NONE)
    keys = components.cell[read].astype(np.int64) * _WIDTH + components.grade[read]
    patients = table.component_patient[read]
    shape = len(table.patients), len(CELLS) * _WIDTH
    totals = _counted(patients, keys, shape)
    hits = [
        _counted(patients, keys, shape, answers.grade[read] == components.grade[read])
        for answers in (first, second)
    ]
    of_feature = np.repeat(np.array([list(Feature).index(f) for f, _ in CELLS]), _WIDTH)

    def named() -> Iterator[_Named]:
        for number in (None, *np.unique(of_feature)):
            kept = np.ones(shape[1], bool) if number is None else of_feature == number
            if totals[:, kept].any():
                counts = PairedCounts(hits[0], hits[1], totals).keep_cells(kept.tolist())
                feature = None if number is None else list(Feature)[number]
                name = _ALL if feature is None else feature.value
                yield _Named(name, feature, compare_paired(counts, seed=seed))

    return _adjusted(list(named()), None)


def _counted(
    patients: Integers, keys: Integers, shape: tuple[int, int], weights: Floats | None = None
) -> Floats:
    flat = patients * shape[1] + keys
    return np.bincount(flat, weights, minlength=shape[0] * shape[1]).reshape(shape).astype(float)


def compare_boxes(
    table: BenchTable, first: Located, second: Located, *, seed: int = 0
) -> tuple[PairedScore, ...]:
    """Returns mean IoU (primary form) by box source, of all features together and of each."""
    questions = table.items.question[first.rows]
    features = np.array([list(Feature).index(QUESTIONS[int(q)].feature) for q in questions])
    ious = [np.nan_to_num(one.values[BoxMetric.IOU]) for one in (first, second)]
    scores: list[PairedScore] = []
    for source in np.unique(first.source):
        found: list[_Named] = []
        of_source = first.source == source
        for number in (None, *np.unique(features[of_source])):
            rows = np.flatnonzero(of_source if number is None else of_source & (features == number))
            feature = None if number is None else list(Feature)[number]
            figure = _paired_mean(first.patient[rows], ious[0][rows], ious[1][rows], seed)
            found.append(_Named(_ALL if feature is None else feature.value, feature, figure))
        scores += _adjusted(found, SOURCES[source])
    return tuple(scores)


def _paired_mean(patients: Integers, a: Floats, b: Floats, seed: int) -> PairedFigure:
    """Means of two runs over the same items, paired by patient."""
    _, place = np.unique(patients, return_inverse=True)
    n = np.bincount(place).astype(float)
    sums = np.stack([np.bincount(place, a), np.bincount(place, b), n], axis=1).astype(float)
    drawn = resampling(len(n), seed=seed).sums(sums)
    mean_a, mean_b = ratio(drawn[:, 0], drawn[:, 2]), ratio(drawn[:, 1], drawn[:, 2])
    few = too_few(patients=len(n))

    def of(values: Floats) -> Statistic:
        return statistic(values, "nothing to count", few)

    test = swap_test((sums[:, 1] - sums[:, 0]) / n.sum(), seed=seed)
    return PairedFigure(of(mean_a), of(mean_b), of(mean_b - mean_a), test, len(a))


def _adjusted(found: list[_Named], source: BoxSource | None) -> tuple[PairedScore, ...]:
    adjusted = holm({one.name: one.figure.test.p for one in found if one.feature is not None})
    return tuple(
        PairedScore(
            feature=one.feature,
            box_source=source,
            a=Figure.of(one.figure.a),
            b=Figure.of(one.figure.b),
            difference=Figure.of(one.figure.difference),
            n=one.figure.n,
            n_patients=one.figure.test.n_patients,
            n_differing=one.figure.test.n_differing,
            p=one.figure.test.p,
            p_holm=adjusted.get(one.name),
        )
        for one in found
    )
