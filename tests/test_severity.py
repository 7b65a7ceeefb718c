"""Figures of grading: hand-worked cases, and a second implementation over the single answers."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy import stats

from eval.agreement import Statistic
from eval.bootstrap import Resampling, resampling, statistic, too_few
from eval.severity import (
    MORPHOLOGY_GROUPS,
    Figures,
    Form,
    Metric,
    Over,
    Sample,
    metrics_of,
    positive_grades,
    values_of,
)
from knee.moaks import SCALES, Component, Feature, ScaleType

Pairs = list[tuple[int, int | None]]
"""(true grade, answered grade or None)."""
Reference = Callable[[Pairs, Sequence[int]], float]


def table(pairs: Pairs, grades: Sequence[int]) -> Sample:
    counts = np.zeros((1, len(grades), len(grades) + 1))
    for true, said in pairs:
        counts[0, true, len(grades) if said is None else said] += 1
    return Sample(counts, grades)


def farthest(true: int, grades: Sequence[int]) -> int:
    return max(grades, key=lambda grade: (abs(grade - true), -grade))


def filled(pairs: Pairs, grades: Sequence[int]) -> list[tuple[int, int]]:
    return [(t, farthest(t, grades) if s is None else s) for t, s in pairs]


# The reference works on lists of answers, one at a time, as the definitions are written.
def exact(pairs: Pairs, grades: Sequence[int]) -> float:
    return sum(t == s for t, s in pairs) / len(pairs)


def macro_recall(pairs: Pairs, grades: Sequence[int]) -> float:
    recalls = [exact([p for p in pairs if p[0] == g], grades) for g in {t for t, _ in pairs}]
    return sum(recalls) / len(recalls)


def within_one(pairs: Pairs, grades: Sequence[int]) -> float:
    return sum(s is not None and abs(t - s) <= 1 for t, s in pairs) / len(pairs)


def severe(pairs: Pairs, grades: Sequence[int]) -> float:
    return sum(s is None or abs(t - s) >= 2 for t, s in pairs) / len(pairs)


def mae(pairs: Pairs, grades: Sequence[int]) -> float:
    return sum(abs(t - s) for t, s in filled(pairs, grades)) / len(pairs)


def qwk(pairs: Pairs, grades: Sequence[int]) -> float:
    """One less the squared error over that of all pairings of the two margins."""
    answers = filled(pairs, grades)
    observed = sum((t - s) ** 2 for t, s in answers) / len(answers)
    chance = sum((t - s) ** 2 for t, _ in answers for _, s in answers) / len(answers) ** 2
    return 1 - observed / chance


def macro_f1(pairs: Pairs, grades: Sequence[int]) -> float:
    values: list[float] = []
    for grade in sorted({t for t, _ in pairs}):
        hits = sum(t == s == grade for t, s in pairs)
        precision = hits / max(1, sum(s == grade for _, s in pairs))
        recall = hits / sum(t == grade for t, _ in pairs)
        values.append(0.0 if hits == 0 else stats.hmean([precision, recall]))
    return sum(values) / len(values)


def collapsed(reference: Reference) -> Reference:
    def of_groups(pairs: Pairs, _: Sequence[int]) -> float:
        group = {g: n for n, members in enumerate(MORPHOLOGY_GROUPS) for g in members}
        put = [(group[t], None if s is None else group[s]) for t, s in pairs]
        return reference(put, range(len(MORPHOLOGY_GROUPS)))

    return of_groups


def recall_of(grade: int) -> Reference:
    return lambda pairs, grades: exact([p for p in pairs if p[0] == grade], grades)


REFERENCES: dict[Metric, Reference] = {
    Metric.EXACT: exact,
    Metric.MACRO_RECALL: macro_recall,
    Metric.WITHIN_ONE: within_one,
    Metric.SEVERE_ERROR: severe,
    Metric.MAE: mae,
    Metric.QWK: qwk,
    Metric.MACRO_F1: macro_f1,
    Metric.COLLAPSED_EXACT: collapsed(exact),
    Metric.COLLAPSED_MACRO_RECALL: collapsed(macro_recall),
    Metric.COLLAPSED_MACRO_F1: collapsed(macro_f1),
    Metric.SENSITIVITY: recall_of(1),
    Metric.SPECIFICITY: recall_of(0),
    Metric.BALANCED_ACCURACY: lambda p, g: (recall_of(1)(p, g) + recall_of(0)(p, g)) / 2,
}


def random_pairs(grades: Sequence[int], rng: np.random.Generator, n: int = 90) -> Pairs:
    said = [None if rng.random() < 0.15 else int(rng.choice(grades)) for _ in range(n)]
    return list(zip(rng.choice(grades, n).tolist(), said, strict=True))


CASES = [
    (Feature.BML, Component.SIZE),
    (Feature.BML, Component.NUMBER),
    (Feature.MORPHOLOGY, Component.MORPHOLOGY),
    (Feature.MENISCAL_CYST, Component.TEAR_LOCATION),
    (Feature.ACL, Component.REPAIR),
]


@pytest.mark.parametrize("cell", CASES, ids=lambda cell: "-".join(cell))
@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("over", Over)
def test_every_figure_is_the_one_worked_out_answer_by_answer(
    cell: tuple[Feature, Component], form: Form, over: Over
):
    scale, rng = SCALES[cell], np.random.default_rng(4)
    for _ in range(4):
        pairs = random_pairs(scale.grades, rng)
        sample = table(pairs, scale.grades)
        if over is Over.POSITIVE:
            sample = sample.rows(positive_grades(scale))
            pairs = [pair for pair in pairs if pair[0] in positive_grades(scale)]
        if form is Form.SCORED:
            pairs = [pair for pair in pairs if pair[1] is not None]
        for metric in metrics_of(scale, over):
            (value,) = values_of(sample, metric, form)
            assert value == pytest.approx(REFERENCES[metric](pairs, scale.grades), abs=1e-9)


def test_scikit_learn_agrees():
    metrics: Any = import_module("sklearn.metrics")  # it has no types
    rng = np.random.default_rng(5)
    for cell in CASES:
        scale = SCALES[cell]
        pairs = random_pairs(scale.grades, rng, 200)
        scored = np.array([pair for pair in pairs if pair[1] is not None])
        true, said = scored[:, 0], scored[:, 1]
        sample = table(pairs, scale.grades)
        theirs = {
            Metric.EXACT: metrics.accuracy_score(true, said),
            Metric.MACRO_RECALL: metrics.balanced_accuracy_score(true, said),
            Metric.MACRO_F1: metrics.f1_score(
                true, said, labels=sorted(set(true)), average="macro", zero_division=0
            ),
            Metric.MAE: metrics.mean_absolute_error(true, said),
            Metric.QWK: metrics.cohen_kappa_score(
                true, said, labels=list(scale.grades), weights="quadratic"
            ),
        }
        if scale.scale_type is ScaleType.BINARY:
            theirs[Metric.SENSITIVITY] = metrics.recall_score(true, said)
            theirs[Metric.SPECIFICITY] = metrics.recall_score(true, said, pos_label=0)
        for metric, value in theirs.items():
            assert values_of(sample, metric, Form.SCORED)[0] == pytest.approx(value, abs=1e-9)


def test_a_hand_worked_table():
    # Grade 0: 6 right, 1 called 1, 1 without a grade. Grade 2: 1 right, 1 called 0, 2 without.
    pairs: Pairs = [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, None)]
    pairs += [(2, 2), (2, 0), (2, None), (2, None)]
    sample = table(pairs, (0, 1, 2, 3))

    def of(metric: Metric, form: Form) -> float:
        return float(values_of(sample, metric, form)[0])

    assert of(Metric.EXACT, Form.PRIMARY) == pytest.approx(7 / 12)
    assert of(Metric.EXACT, Form.SCORED) == pytest.approx(7 / 9)
    assert of(Metric.MACRO_RECALL, Form.PRIMARY) == pytest.approx((6 / 8 + 1 / 4) / 2)
    assert of(Metric.MACRO_RECALL, Form.SCORED) == pytest.approx((6 / 7 + 1 / 2) / 2)
    assert of(Metric.WITHIN_ONE, Form.PRIMARY) == pytest.approx(8 / 12)
    assert of(Metric.SEVERE_ERROR, Form.PRIMARY) == pytest.approx(4 / 12)
    assert of(Metric.SEVERE_ERROR, Form.SCORED) == pytest.approx(1 / 9)
    # Without a grade: 3 grades off for 0 and 2 off for 2, the farthest that the scale has.
    assert of(Metric.MAE, Form.PRIMARY) == pytest.approx((1 + 3 + 2 + 2 + 2) / 12)
    assert of(Metric.MAE, Form.SCORED) == pytest.approx(3 / 9)


def test_not_answering_never_helps_in_the_primary_form():
    rng = np.random.default_rng(6)
    lower_is_better = {Metric.MAE, Metric.SEVERE_ERROR}
    for cell in CASES:
        scale = SCALES[cell]
        pairs: Pairs = [(t, t) for t in rng.choice(scale.grades, 60).tolist()]
        for number in rng.choice(60, 20, replace=False).tolist():
            true = pairs[number][0]
            before = table(pairs, scale.grades)
            pairs[number] = (true, None)
            after = table(pairs, scale.grades)
            for metric in metrics_of(scale, Over.ALL):
                gained = (
                    values_of(after, metric, Form.PRIMARY)[0]
                    - values_of(before, metric, Form.PRIMARY)[0]
                )
                assert (-gained if metric in lower_is_better else gained) <= 1e-12, metric


def test_nominal_grades_have_no_distances_and_yes_no_ones_no_kappa():
    for (feature, component), scale in SCALES.items():
        found = set(metrics_of(scale, Over.ALL))
        steps = {Metric.WITHIN_ONE, Metric.MAE, Metric.QWK, Metric.SEVERE_ERROR}
        ordered = scale.scale_type in (ScaleType.ORDINAL, ScaleType.COUNT)
        assert bool(found & steps) is ordered, (feature, component)
        assert (Metric.SENSITIVITY in found) is (scale.scale_type is ScaleType.BINARY)
        assert (Metric.COLLAPSED_EXACT in found) is (feature is Feature.MORPHOLOGY)


def test_a_tear_location_is_a_finding_where_there_is_a_tear():
    scale = SCALES[Feature.MENISCAL_CYST, Component.TEAR_LOCATION]
    assert positive_grades(scale) == (0, 1, 2)
    assert positive_grades(SCALES[Feature.BML, Component.SIZE]) == (1, 2, 3)


def figure(counts: np.ndarray, metric: Metric, cell: tuple[Feature, Component]) -> Statistic:
    """One figure of (patients, grades, grades + 1) counts."""
    scale = SCALES[cell]
    sample = Sample(resampling(len(counts)).sums(counts.astype(float)), scale.grades)
    return Figures(sample, scale, len(counts)).statistic(metric, Over.ALL, Form.PRIMARY)


def test_undefined_is_none_with_its_reason_and_never_a_number():
    acl = (Feature.ACL, Component.REPAIR)
    nobody_has_it = np.zeros((20, 2, 3))
    nobody_has_it[:, 0, 0] = 1
    found = figure(nobody_has_it, Metric.SENSITIVITY, acl)
    assert found == Statistic(None, "no positives", no_interval="no positives")
    same = figure(np.pad(nobody_has_it, ((0, 0), (0, 2), (0, 2))), Metric.QWK, CASES[0])
    assert same.value is None
    assert same.reason == "truth and answers are all the same grade"
    empty = figure(np.zeros((20, 2, 3)), Metric.EXACT, acl)
    assert (empty.value, empty.reason) == (None, "nothing to count")


@pytest.mark.parametrize(("n_patients", "n_positive"), [(9, 9), (20, 9), (20, 10)])
def test_there_is_no_interval_under_ten_patients_or_positives(n_patients: int, n_positive: int):
    counts = np.zeros((n_patients, 2, 3))
    counts[:, 0, 0] = 3
    counts[:n_positive, 1, 1] = 1
    for metric in (Metric.EXACT, Metric.SENSITIVITY):
        found = figure(counts, metric, (Feature.ACL, Component.REPAIR))
        assert found.value == 1
        if min(n_patients, n_positive) < 10:
            assert found.low is None
            assert found.no_interval is not None
            assert "9" in found.no_interval
        else:
            assert (found.low, found.high) == (1, 1)


def test_specificity_needs_negatives_and_not_positives():
    counts = np.zeros((20, 2, 3))
    counts[:, 0, 0] = 1
    counts[:2, 1, 1] = 1
    acl = (Feature.ACL, Component.REPAIR)
    assert figure(counts, Metric.SPECIFICITY, acl).low == 1
    assert figure(counts, Metric.SENSITIVITY, acl).no_interval == "2 positives, fewer than 10"
    turned = counts[:, ::-1]
    assert figure(turned, Metric.BALANCED_ACCURACY, acl).no_interval == (
        "2 negatives, fewer than 10"
    )


def test_the_interval_is_the_bootstrap_over_patients_done_by_hand():
    rng = np.random.default_rng(7)
    counts = np.zeros((30, 4, 5))
    for patient in range(30):
        for true, said in zip(rng.integers(0, 4, 8), rng.integers(0, 5, 8), strict=True):
            counts[patient, true, said] += 1
    found = figure(counts, Metric.EXACT, CASES[0])
    weights = resampling(30).weights
    assert weights.shape == (1001, 30)
    assert (weights.sum(axis=1) == 30).all()
    right = np.array([np.trace(one[:, :4]) for one in counts])
    shares = [float((line * right).sum()) / 240 for line in weights[1:]]
    assert found.low == pytest.approx(np.quantile(shares, 0.025))
    assert found.high == pytest.approx(np.quantile(shares, 0.975))
    # Patients, not answers, are resampled: copies of answers within patients narrow nothing.
    twice = figure(counts * 2, Metric.EXACT, CASES[0])
    assert (twice.low, twice.high) == (found.low, found.high)


def test_a_share_that_most_resamples_lack_has_no_interval():
    values = np.array([0.5, *[np.nan] * 600, *[0.5] * 400])
    found = statistic(values, "never", too_few(patients=20))
    assert found.value == 0.5
    assert found.no_interval == "undefined in 60 % of the resamples"


def test_the_first_row_of_the_resamples_is_the_sample_itself():
    counts = np.arange(24.0).reshape(6, 2, 2)
    drawn = resampling(6, seed=3, n_resamples=5)
    assert isinstance(drawn, Resampling)
    np.testing.assert_array_equal(drawn.sums(counts)[0], counts.sum(axis=0))


def test_many_findings_of_few_patients_have_no_interval():
    """Twenty findings of both knees and all visits of nine patients are nine clusters."""
    scale = SCALES[Feature.ROOT_TEAR, Component.PRESENCE]
    counts = np.array([[[30.0, 5, 0], [8, 12, 0]]])
    more = np.arange(4.0)[:, np.newaxis, np.newaxis]
    drawn = np.concatenate([counts, counts + more]).astype(np.float64)
    few = Figures(Sample(drawn, scale.grades), scale, 40, 9)
    enough = Figures(Sample(drawn, scale.grades), scale, 40, 10)
    for metric in (Metric.SENSITIVITY, Metric.BALANCED_ACCURACY):
        told = few.statistic(metric, Over.ALL, Form.PRIMARY)
        assert told.no_interval == "9 patients with a finding, fewer than 10"
        assert enough.statistic(metric, Over.ALL, Form.PRIMARY).low is not None
    assert few.statistic(Metric.SPECIFICITY, Over.ALL, Form.PRIMARY).low is not None
