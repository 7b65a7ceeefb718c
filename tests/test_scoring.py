"""The bench itself, by scripted models whose scores are known beforehand."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from eval.balanced_part import GradedKey, draw_balanced
from eval.bench_files import Bench
from eval.bench_records import BenchItem, BenchVolume, Prediction, Setting
from eval.bench_table import bench_table
from eval.box_scores import locate
from eval.grade_baselines import GradeBaseline, baseline_grades
from eval.grade_scores import strata
from eval.localization import BoxBaseline, BoxMetric
from eval.mean_boxes import grid_of, mean_box_in
from eval.model_comparison import compare_boxes, compare_grades
from eval.score_records import BenchScores, BoxRow, GradeFigure, GradeRow
from eval.scoring import read_answers, score_bench
from eval.severity import Form, Metric, Over
from knee.findings import BoxSource
from knee.moaks import Component, ScaleType
from knee.questions import QUESTIONS
from tests.synthetic_bench import answered, failed, make_bench, perfect, write_predictions

TEXTS = {44: "The left knee shows it.", 58: "The ground truth is known."}
"""By question; the knees are right ones."""
ERRORS = (Metric.MAE, Metric.SEVERE_ERROR)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """40 patients, 8 questions of every scale type; boxes of all three sources."""
    return make_bench(tmp_path_factory.mktemp("bench") / "bench", n_patients=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predictions")


def mean_box_model(bench: Bench):
    means = {(mean.question_id, mean.side): mean for mean in bench.baselines.mean_boxes}

    def answer(volume: BenchVolume, item: BenchItem) -> Prediction:
        assert volume.shape is not None
        assert volume.affine is not None
        grid = grid_of(volume.shape, volume.affine)
        box = mean_box_in(means[item.question_id, volume.side], grid)
        return answered(item, lambda one: one.rule_grade, box, slices=(0, 8, 16, 24, 32))

    return answer


def random_model(seed: int):
    rng = Random(seed)

    def answer(_: BenchVolume, item: BenchItem) -> Prediction:
        def guess(one: object) -> int:
            return rng.choice(item.question.scale(getattr(one, "component")).grades)  # noqa: B009

        return answered(item, guess, reasoning=TEXTS.get(item.question_id))

    return answer


def figures(row: GradeRow) -> dict[tuple[Metric, Over, Form], GradeFigure]:
    return {(one.metric, one.over, one.form): one for one in row.figures}


def assert_equals_baseline(scores: BenchScores, baseline: GradeBaseline) -> None:
    for row in scores.grading:
        for one in row.figures:
            assert one.value == one.baselines[baseline], (row.stratum, one)
    for row in scores.ambiguous:
        assert row.accepted.value == pytest.approx(row.baselines[baseline], abs=1e-12)
    for headline in scores.headlines:
        assert headline.figure.value == headline.figure.baselines[baseline]


def box_value(row: BoxRow, metric: BoxMetric, form: Form = Form.PRIMARY) -> float | None:
    return next(o.value for o in row.figures if (o.metric, o.form) == (metric, form))


@pytest.fixture(scope="module")
def perfect_scores(bench: Bench, folder: Path) -> BenchScores:
    return score_bench(bench, write_predictions(folder / "perfect", bench, perfect))


def test_a_perfect_model_is_perfect_everywhere(perfect_scores: BenchScores):
    seen = 0
    for row in perfect_scores.grading:
        assert row.counts.n_scored == row.counts.n_total
        assert row.n_positive_scored == row.n_positive
        for one in row.figures:
            if one.value is not None:
                seen += 1
                assert one.value == (0 if one.metric in ERRORS else 1), (row.stratum, one)
                assert one.low in (None, one.value)
                assert one.high in (None, one.value)
            else:
                assert one.reason
    assert seen > 500
    for row in perfect_scores.ambiguous:
        assert row.accepted.value == row.accepted_scored.value == 1
    for row in perfect_scores.localisation:
        for metric in (BoxMetric.IOU, BoxMetric.HIT_50, BoxMetric.SLICE_OVERLAP):
            assert box_value(row, metric) == 1
        assert box_value(row, BoxMetric.CENTRE_MM, Form.SCORED) == 0
        iou = next(o for o in row.figures if o.metric is BoxMetric.IOU)
        assert iou.baselines[BoxBaseline.BEST_OF_SLICES] == 1
        assert row.iou_histogram[-1] == row.counts.n_total == sum(row.iou_histogram)
    for headline in perfect_scores.headlines:
        assert headline.figure.value == 1


@pytest.mark.parametrize("baseline", [GradeBaseline.MAJORITY, GradeBaseline.REGION_MAJORITY])
def test_a_model_that_answers_a_baseline_is_exactly_that_baseline(
    bench: Bench, folder: Path, baseline: GradeBaseline
):
    table = bench_table(bench)
    grades = baseline_grades(table, bench.baselines)[baseline]

    def answer(_: BenchVolume, item: BenchItem) -> Prediction:
        first = int(table.items.first[table.row_of[item.item_id]])
        own = {c.component: int(grades[first + n]) for n, c in enumerate(item.components)}
        return answered(item, lambda one: None if own[one.component] < 0 else own[one.component])

    predictions = write_predictions(folder / baseline, bench, answer, setting=Setting.GUIDED)
    scores = score_bench(bench, predictions)
    assert_equals_baseline(scores, baseline)
    assert scores.localisation == ()


def test_the_majority_is_of_training_reads_and_the_lowest_of_equals(bench: Bench):
    table = bench_table(bench)
    found = baseline_grades(table, bench.baselines)
    train = {(one.question_id, one.component): one.counts for one in bench.baselines.grades}
    sizes: dict[int, int] = {}
    for question in (16, 19):
        for grade, n in train[question, Component.SIZE].items():
            sizes[grade] = sizes.get(grade, 0) + n
    row = table.row_of["p0000/V00/right/dess#16"]
    first = table.items.first[row]
    best = max(sizes.values())
    assert found[GradeBaseline.MAJORITY][first] == min(g for g in sizes if sizes[g] == best)
    own = train[16, Component.SIZE]
    best = max(own.values())
    assert found[GradeBaseline.REGION_MAJORITY][first] == min(g for g in own if own[g] == best)


def test_the_mean_box_gains_exactly_nothing_and_rule_grades_are_the_rule(
    bench: Bench, folder: Path
):
    predictions = write_predictions(folder / "mean_box", bench, mean_box_model(bench))
    scores = score_bench(bench, predictions)
    assert_equals_baseline(scores, GradeBaseline.MEASUREMENT_RULE)
    assert {row.box_source for row in scores.localisation} == set(BoxSource)
    for row in scores.localisation:
        for form in Form:
            gain = next(o for o in row.figures if (o.metric, o.form) == (BoxMetric.GAIN, form))
            assert gain.value == 0
            assert (gain.low, gain.high) == (0, 0)
            assert gain.baselines[BoxBaseline.MEAN_BOX] == 0
            assert gain.baselines[BoxBaseline.WHOLE_VOLUME] is not None
        for one in row.figures:
            assert one.value == pytest.approx(one.baselines[BoxBaseline.MEAN_BOX], abs=1e-12)


def test_a_random_model_is_at_chance(bench: Bench, folder: Path):
    predictions = write_predictions(
        folder / "random", bench, random_model(3), setting=Setting.ZERO_SHOT
    )
    scores = score_bench(bench, predictions)
    rows = [row for row in scores.grading if row.stratum.dimension == "all"]
    kappas = 0
    for row in rows:
        found = figures(row)
        n_grades = len(row.confusion)
        recall = Metric.MACRO_RECALL, Over.ALL, Form.PRIMARY
        assert found[recall].baselines[GradeBaseline.RANDOM] == pytest.approx(1 / n_grades)
        low, high = found[recall].low, found[recall].high
        if low is not None and high is not None:
            assert low <= 1 / n_grades <= high
        if row.scale_type in (ScaleType.ORDINAL, ScaleType.COUNT):
            kappa = found[Metric.QWK, Over.ALL, Form.PRIMARY]
            assert kappa.baselines[GradeBaseline.RANDOM] == pytest.approx(0, abs=1e-12)
            if kappa.low is not None and kappa.high is not None:
                assert kappa.low <= 0 <= kappa.high
                kappas += 1
    assert kappas >= 5
    headline = next(h for h in scores.headlines if h.frequent and h.stratum.value == "all")
    chance = headline.figure.baselines[GradeBaseline.RANDOM]
    assert headline.figure.low is not None
    assert chance is not None
    assert headline.figure.low <= chance <= (headline.figure.high or 0)
    # The texts before the grades are checked as well, and their issues counted.
    assert (scores.reasoning.n_checked, scores.reasoning.n_sound) == (80, 0)
    assert scores.reasoning.codes == {"label_leak": 40, "wrong_side": 40}


def test_random_is_the_expectation_of_a_uniform_guess(perfect_scores: BenchScores):
    row = next(r for r in perfect_scores.grading if r.feature == "bml" and r.component == "size")
    truth = np.repeat(np.arange(4), [sum(line) for line in row.confusion])
    rng = np.random.default_rng(5)
    guesses = rng.integers(0, 4, (40_000, len(truth)))
    drawn = np.abs(guesses - truth).mean()
    mae = figures(row)[Metric.MAE, Over.ALL, Form.PRIMARY].baselines[GradeBaseline.RANDOM]
    assert mae == pytest.approx(drawn, abs=0.01)
    within = (np.abs(guesses - truth) <= 1).mean()
    one = figures(row)[Metric.WITHIN_ONE, Over.ALL, Form.PRIMARY].baselines[GradeBaseline.RANDOM]
    assert one == pytest.approx(within, abs=0.01)


def test_what_cannot_be_read_or_fails_or_is_missing_is_wrong_and_counted(
    bench: Bench, folder: Path
):
    def answer(volume: BenchVolume, item: BenchItem) -> Prediction:
        number = int(volume.patient[1:])
        if number % 4 == 0:
            return failed(item)
        if number % 4 == 1:
            return answered(item, lambda _: None)
        if item.question_id == 58:
            return answered(item, lambda _: 9)
        return perfect(volume, item)

    predictions = write_predictions(folder / "broken", bench, answer)
    lines = (predictions / "predictions.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"p0003/' not in line]
    (predictions / "predictions.jsonl").write_text("".join(kept) + kept[0][:40])
    scores = score_bench(bench, predictions)
    assert (scores.items.n_total, scores.items.n_failed, scores.items.n_missing) == (320, 88, 8)
    assert any("cut off" in note for note in scores.notes)
    assert any("never answered" in note for note in scores.notes)
    row = next(row for row in scores.grading if row.stratum.dimension == "all")
    counts = row.counts
    assert counts.n_total == counts.n_scored + counts.n_unparsed + counts.n_failed
    found = figures(row)
    share = counts.n_scored / counts.n_total
    assert found[Metric.EXACT, Over.ALL, Form.PRIMARY].value == pytest.approx(share)
    assert found[Metric.EXACT, Over.ALL, Form.SCORED].value == 1
    assert sum(map(sum, row.confusion)) == counts.n_total
    off = next(row for row in scores.grading if row.feature == "root_tear")
    assert off.counts.n_off_scale > 0
    assert off.counts.n_off_scale <= off.counts.n_unparsed
    assert off.counts.n_scored == 0
    assert figures(off)[Metric.EXACT, Over.ALL, Form.PRIMARY].value == 0
    assert figures(off)[Metric.EXACT, Over.ALL, Form.SCORED].reason == "nothing to count"
    for box in scores.localisation:
        assert box_value(box, BoxMetric.IOU) == pytest.approx(
            box.counts.n_scored / box.counts.n_total
        )
        assert box_value(box, BoxMetric.IOU, Form.SCORED) == (1 if box.counts.n_scored else None)


def test_strata_hold_every_read_component_and_no_ambiguous_one(bench: Bench):
    table = bench_table(bench)
    items = list(bench.items())
    by_dimension: dict[str, int] = {}
    for stratum, mask in strata(table):
        by_dimension[stratum.dimension] = by_dimension.get(stratum.dimension, 0) + int(mask.sum())
        assert not (mask & (table.components.grade < 0)).any()
    read = [c for item in items for c in item.components if c.grade is not None]
    for dimension in ("all", "visit", "segmenter_trained_on", "box_source"):
        assert by_dimension[dimension] == len(read)
    assert by_dimension["readprj"] == sum(len(c.readprj) for c in read) > len(read)
    assert by_dimension["part"] == sum("balanced" in c.parts for c in read)


def test_two_models_are_compared_in_pairs_with_holm(bench: Bench, folder: Path):
    weak = write_predictions(
        folder / "weak", bench, lambda v, i: failed(i) if i.question_id == 16 else perfect(v, i)
    )
    strong = write_predictions(folder / "strong", bench, perfect)
    table = bench_table(bench)
    first, second = (read_answers(bench, table, one).answers for one in (weak, strong))
    found = {one.feature: one for one in compare_grades(table, first, second)}
    whole = found[None]
    assert whole.difference.value is not None
    assert whole.difference.value > 0
    assert whole.p is not None
    assert whole.p < 0.01
    assert whole.p_holm is None
    for feature, one in found.items():
        if feature is not None:
            assert one.b.value == 1
            assert one.p == (one.p if feature == "cartilage" else 1)
            assert one.p_holm is not None
            assert one.p is not None
            assert one.p_holm >= one.p
    assert found[QUESTIONS[16].feature].p_holm == pytest.approx(
        min(1, (found[QUESTIONS[16].feature].p or 0) * (len(found) - 1))
    )
    located = (locate(table, one, bench.baselines) for one in (first, second))
    boxes = [one for one in compare_boxes(table, *located) if one.feature == "cartilage"]
    assert len(boxes) == 1
    assert boxes[0].b.value == 1
    assert boxes[0].a.value == pytest.approx(0.5)
    assert boxes[0].difference.value == pytest.approx(0.5)


def test_the_balanced_part_is_even_stable_and_spread_over_patients():
    rng = Random(1)
    keys = [
        GradedKey(f"p{patient}", f"p{patient}/V00/right/dess", question, Component.SIZE, grade)
        for patient in range(30)
        for question in (16, 17, 18)
        for grade in [rng.choice([0, 0, 0, 0, 0, 1, 2])]
    ]
    drawn = draw_balanced(keys, seed=4)
    counts = {g: sum(key.grade == g for key in drawn) for g in (0, 1, 2, 3)}
    rarest = min(sum(key.grade == g for key in keys) for g in (1, 2))
    assert counts == {0: rarest, 1: rarest, 2: rarest, 3: 0}
    assert len({key.patient for key in drawn if key.grade == 0}) == rarest
    shuffled = rng.sample(keys, len(keys))
    assert draw_balanced(shuffled, seed=4) == drawn
    assert draw_balanced(keys, seed=5) != drawn
