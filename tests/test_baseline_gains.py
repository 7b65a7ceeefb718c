"""The model less each baseline: a second count over single items, and what must come out."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from eval.baseline_gains import WITHOUT_LOOKING
from eval.bench_files import Bench
from eval.bench_records import BenchItem, BenchVolume, Prediction
from eval.bootstrap import N_RESAMPLES, resampling
from eval.grade_baselines import GradeBaseline
from eval.localization import BoxBaseline, BoxMetric
from eval.paired import swap_test, swap_tests
from eval.score_records import BaselineGain, BenchScores
from eval.scoring import score_bench
from eval.severity import Form, Metric, Over
from knee.moaks import Feature
from tests.synthetic_bench import SHAPE, answered, failed, make_bench, write_predictions


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("gains") / "bench"
    return make_bench(
        folder, n_patients=24, question_ids=(16, 19, 30, 48, 58), visits=("V00", "V01")
    )


def guessing(volume: BenchVolume, item: BenchItem) -> Prediction:
    """Right by chance, some without a grade, some without an answer."""
    rng = np.random.default_rng([int(volume.patient[1:]), int(volume.visit[1:]), item.question_id])
    if rng.random() < 0.1:
        return failed(item)
    grades = {
        one.component: None if rng.random() < 0.1 else int(rng.choice([*one.accepted, 0, 1]))
        for one in item.components
    }
    return answered(
        item, lambda one: grades[one.component], item.box if rng.random() < 0.3 else None
    )


@pytest.fixture(scope="module")
def predictions(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_predictions(tmp_path_factory.mktemp("gains") / "guessing", bench, guessing)


@pytest.fixture(scope="module")
def scores(bench: Bench, predictions: Path) -> BenchScores:
    return score_bench(bench, predictions)


def chosen(scores: BenchScores, **wanted: object) -> BaselineGain:
    (one,) = [g for g in scores.gains if all(getattr(g, k) == v for k, v in wanted.items())]
    return one


Single = tuple[str, int, bool, float]
"""Component, true grade, whether it was found, and the chance that a guess finds it."""


def single_items(bench: Bench, feature: Feature) -> dict[int, list[Single]]:
    """Read components by number of the patient."""
    found: dict[int, list[Single]] = defaultdict(list)
    for item in bench.items():
        volume = bench.volumes[item.volume_id]
        if item.question.feature is not feature:
            continue
        said = {entry.component: entry.grade for entry in guessing(volume, item).grades}
        for one in item.components:
            if one.grade is not None:
                chance = 1 / len(item.question.scale(one.component).grades)
                is_hit = said.get(one.component) == one.grade
                found[int(volume.patient[1:])].append(
                    (one.component.value, one.grade, is_hit, chance)
                )
    return found


def by_hand(items: dict[int, list[Single]], draws: list[int]) -> tuple[float, float]:
    """Macro recall of the model and of a guess over the patients drawn."""
    hits: dict[str, dict[int, list[tuple[bool, float]]]] = defaultdict(lambda: defaultdict(list))
    for place in draws:
        for component, grade, is_hit, chance in items[place]:
            hits[component][grade].append((is_hit, chance))
    recalls = [
        np.mean([np.mean(pairs, axis=0) for pairs in by_grade.values()], axis=0)
        for by_grade in hits.values()
    ]
    model, guess = np.mean(recalls, axis=0)
    return float(model), float(guess)


def test_a_gain_and_its_interval_are_those_of_a_count_over_single_items(
    bench: Bench, scores: BenchScores
):
    feature = Feature.ROOT_TEAR  # yes/no: no resample lacks a grade
    row = chosen(scores, baseline=GradeBaseline.RANDOM, feature=feature, over=Over.ALL)
    items = single_items(bench, feature)
    model, guess = by_hand(items, list(range(24)))
    assert row.model.value == pytest.approx(model, abs=1e-12)
    assert row.of_baseline.value == pytest.approx(guess, abs=1e-12) == 0.5
    assert row.difference.value == pytest.approx(model - guess, abs=1e-12)
    differences: list[float] = []
    for weights in resampling(24).weights[1:]:
        drawn = [place for place, n in enumerate(weights) for _ in range(int(n))]
        differences.append(float(np.subtract(*by_hand(items, drawn))))
    low, high = np.quantile(differences, [0.025, 0.975])
    assert len(differences) == N_RESAMPLES
    assert row.difference.low == pytest.approx(low, abs=1e-12)
    assert row.difference.high == pytest.approx(high, abs=1e-12)


def test_over_all_features_the_figures_are_the_headline(scores: BenchScores):
    for over in Over:
        for frequent in (False, True):
            (headline,) = [
                h.figure
                for h in scores.headlines
                if (h.stratum.dimension, h.frequent) == ("all", frequent)
                and h.figure.metric is Metric.MACRO_RECALL
                and (h.figure.over, h.figure.form) == (over, Form.PRIMARY)
            ]
            # The rule has not measured all of them: its row is over fewer components.
            for name in set(GradeBaseline) - {GradeBaseline.MEASUREMENT_RULE}:
                row = chosen(scores, baseline=name, feature=None, over=over, frequent=frequent)
                assert row.model.value == pytest.approx(headline.value, abs=1e-12)
                assert row.model.low == pytest.approx(headline.low, abs=1e-12)
                assert row.of_baseline.value == pytest.approx(headline.baselines[name], abs=1e-12)


def test_the_rule_is_compared_where_it_measured(bench: Bench, scores: BenchScores):
    row = chosen(
        scores,
        baseline=GradeBaseline.MEASUREMENT_RULE,
        feature=None,
        over=Over.ALL,
        frequent=False,
    )
    read = [c for item in bench.items() for c in item.components if c.grade is not None]
    assert row.n == sum(c.rule_grade is not None for c in read) < len(read)
    assert row.n_positive is not None
    assert row.n_scored < row.n
    everything = chosen(
        scores, baseline=GradeBaseline.RANDOM, feature=None, over=Over.ALL, frequent=False
    )
    assert everything.n == len(read)


def test_the_gain_over_the_mean_box_is_the_headline_of_localisation(scores: BenchScores):
    rows = [g for g in scores.gains if g.baseline is BoxBaseline.MEAN_BOX and g.feature is None]
    assert rows
    for row in rows:
        (whole,) = [
            b
            for b in scores.localisation
            if b.box_source is row.box_source and (b.stratum.dimension, b.feature) == ("all", None)
        ]
        (gain,) = [f for f in whole.figures if (f.metric, f.form) == (BoxMetric.GAIN, Form.PRIMARY)]
        assert row.difference.value == pytest.approx(gain.value, abs=1e-12)
        assert row.difference.low == pytest.approx(gain.low, abs=1e-12)
        assert row.difference.high == pytest.approx(gain.high, abs=1e-12)
    assert {g.baseline for g in scores.gains if g.box_source is not None} == set(WITHOUT_LOOKING)


def test_the_ceiling_is_of_the_items_that_had_slices(bench: Bench, tmp_path: Path):
    """An answer that never came says nothing of what the slices allow."""

    def half(volume: BenchVolume, item: BenchItem) -> Prediction:
        if int(volume.patient[1:]) % 2:
            return failed(item)
        return answered(item, lambda one: one.accepted[0], item.box, slices=range(SHAPE[2]))

    found = score_bench(bench, write_predictions(tmp_path / "half", bench, half))
    for row in found.localisation:
        (iou,) = [f for f in row.figures if (f.metric, f.form) == (BoxMetric.IOU, Form.PRIMARY)]
        assert iou.value == pytest.approx(row.counts.n_scored / row.counts.n_total)
        assert iou.baselines[BoxBaseline.BEST_OF_SLICES] in (None, 1.0)


def test_p_is_adjusted_over_the_features_of_one_comparison(scores: BenchScores):
    rows = [
        g
        for g in scores.gains
        if g.baseline is GradeBaseline.RANDOM and g.feature is not None and g.over is Over.ALL
    ]
    assert len(rows) == 4
    for row in rows:
        assert row.p is not None
        assert row.p_holm is not None
        assert row.p <= row.p_holm <= min(1.0, row.p * len(rows))
    smallest = min(rows, key=lambda row: row.p or 0)
    assert smallest.p_holm == pytest.approx(min(1.0, (smallest.p or 0) * len(rows)))


def test_a_model_that_is_the_baseline_gains_nothing_and_few_patients_have_no_interval(
    tmp_path: Path,
):
    bench = make_bench(tmp_path / "bench", n_patients=9, question_ids=(58,))
    counts = bench.baselines.grades[0].counts
    majority = min(counts, key=lambda grade: (-counts[grade], grade))
    out = write_predictions(
        tmp_path / "majority", bench, lambda _, item: answered(item, lambda _: majority)
    )
    found = score_bench(bench, out)
    row = chosen(
        found, baseline=GradeBaseline.MAJORITY, feature=None, over=Over.ALL, frequent=False
    )
    assert (row.difference.value, row.p, row.n_differing) == (0.0, 1.0, 0)
    assert row.n_patients <= 9, "the others were read with different grades"
    assert row.difference.no_interval == f"{row.n_patients} patients, fewer than 10"


def test_what_no_resample_changes_has_no_interval(bench: Bench, tmp_path: Path):
    """[-0.5, -0.5] would say more than these patients can."""
    out = write_predictions(tmp_path / "silent", bench, lambda _, item: failed(item))
    row = chosen(
        score_bench(bench, out),
        baseline=GradeBaseline.RANDOM,
        feature=Feature.ROOT_TEAR,
        over=Over.ALL,
    )
    assert (row.model.value, row.difference.value, row.n_scored) == (0.0, -0.5, 0)
    assert row.difference.no_interval == "the same in every resample"


def test_tests_drawn_together_are_those_drawn_alone():
    rng = np.random.default_rng(2)
    many, few = rng.normal(0.25, 1, 40), np.zeros(40)
    few[:5] = rng.normal(0, 1, 5)
    together = swap_tests([many, few, np.zeros(40), np.zeros(40)], [40, 30, 12, 0])
    assert together[1]._replace(n_patients=40) == swap_test(few)
    assert together[2] == (1.0, 12, 0, True)
    assert together[3] == (None, 0, 0, True)
    alone = swap_test(many).p
    assert alone is not None
    assert together[0].p == pytest.approx(alone, abs=0.02)
    assert (together[0].is_exact, together[0].n_differing) == (False, 40)
