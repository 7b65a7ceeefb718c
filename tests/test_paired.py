"""Two runs on the same items: hand-worked cases, and scipy where it has the same."""

import numpy as np
import pytest
from scipy import stats

from eval.agreement import Floats
from eval.paired import (
    MAX_EXACT,
    PairedCounts,
    compare_paired,
    holm,
    patient_differences,
    swap_test,
)


def counts(a: list[list[int]], b: list[list[int]], totals: list[list[int]]) -> PairedCounts:
    return PairedCounts(*(np.array(table, float) for table in (a, b, totals)))


def test_a_figure_is_the_mean_over_the_grades_that_occur():
    # Grade 0: 9 of 10 and 8 of 10; grade 2: 0 of 2 and 1 of 2; grade 3 does not occur.
    pair = counts([[5, 0, 0], [4, 0, 0]], [[5, 1, 0], [3, 0, 0]], [[5, 1, 0], [5, 1, 0]])
    figure = compare_paired(pair)
    assert figure.a.value == pytest.approx((0.9 + 0.0) / 2)
    assert figure.b.value == pytest.approx((0.8 + 0.5) / 2)
    assert figure.difference.value == pytest.approx(0.2)
    assert figure.n == 12


def test_the_difference_is_the_sum_of_one_number_a_patient():
    rng = np.random.default_rng(3)
    totals = rng.integers(0, 5, (12, 4))
    a, b = rng.binomial(totals, 0.5), rng.binomial(totals, 0.7)
    pair = PairedCounts(a.astype(float), b.astype(float), totals.astype(float))
    figure = compare_paired(pair)
    assert figure.difference.value == pytest.approx(patient_differences(pair).sum())


def test_under_ten_patients_there_is_no_interval_and_the_reason_is_told():
    nine = counts([[1]] * 9, [[0]] * 9, [[1]] * 9)
    figure = compare_paired(nine)
    for statistic in (figure.a, figure.b, figure.difference):
        assert statistic.low is None
        assert statistic.high is None
        assert statistic.no_interval == "9 patients, fewer than 10"
    assert figure.test.p == pytest.approx(2 / 2**9)
    ten = compare_paired(counts([[1]] * 9 + [[0]], [[0]] * 10, [[1]] * 10))
    assert ten.difference.value == pytest.approx(-0.9)
    assert ten.difference.low is not None
    assert ten.difference.low < -0.9


def test_a_grade_of_two_patients_alone_gives_no_interval():
    """In one of nine resamples nobody has it: the mean would be over other grades there."""
    rare = counts([[1, 0]] * 11 + [[0, 1]] * 2, [[0, 0]] * 13, [[1, 0]] * 11 + [[1, 1]] * 2)
    figure = compare_paired(rare)
    assert figure.a.value == pytest.approx((11 / 13 + 1) / 2)
    assert figure.difference.low is None
    assert figure.difference.no_interval == "a grade of too few patients"


def test_what_is_the_same_in_every_patient_has_no_interval():
    """[100, 100] % would say more than twelve patients can."""
    figure = compare_paired(counts([[1]] * 12, [[1]] * 12, [[1]] * 12))
    assert figure.a == (1.0, None, None, None, "the same in every patient")
    assert figure.difference.value == 0
    assert figure.difference.no_interval == "no patient differs"


def test_patients_without_items_are_no_patients_of_the_figure():
    pair = counts([[1]] * 9 + [[0]] * 5, [[1]] * 9 + [[0]] * 5, [[1]] * 9 + [[0]] * 5)
    assert compare_paired(pair).a.no_interval == "9 patients, fewer than 10"
    assert compare_paired(pair).test.n_patients == 9


def test_nothing_compared_is_undefined_with_its_reason():
    figure = compare_paired(counts([[0]], [[0]], [[0]]))
    assert (figure.a.value, figure.a.reason) == (None, "nothing was compared")
    assert figure.test.p is None


def test_many_items_of_one_patient_are_one_patient():
    """100 items better in B, all of one patient: nothing is shown; of 10 patients, something is."""
    one = compare_paired(counts([[0]] + [[5]] * 11, [[100]] + [[5]] * 11, [[100]] + [[5]] * 11))
    assert one.test.p == 1.0
    assert one.test.n_differing == 1
    many = compare_paired(counts([[0]] * 10, [[10]] * 10, [[10]] * 10))
    assert many.test.p == pytest.approx(2 / 2**10)


def test_a_test_without_any_difference_has_p_1():
    assert swap_test(np.zeros(5)) == (1.0, 5, 0, True)
    assert swap_test(np.zeros(0)) == (None, 0, 0, True)


def test_by_hand_three_patients():
    # Sums of ±1 ±2 ±4: of the eight, |sum| >= 5 (= -1 + 2 + 4) are ±7 and ±5: 4 of 8.
    assert swap_test(np.array([-1.0, 2.0, 4.0])).p == pytest.approx(0.5)


def test_one_item_a_patient_is_the_sign_test():
    """With a difference of one size the exact test is the binomial one."""
    for better, worse in ((7, 1), (5, 5), (9, 3), (0, 4)):
        d = np.array([0.25] * better + [-0.25] * worse + [0.0] * 6)
        expected = stats.binomtest(better, better + worse).pvalue
        assert swap_test(d).p == pytest.approx(expected)


def _summed(x: Floats, y: Floats, axis: int = -1) -> Floats:
    return np.sum(x - y, axis=axis)


def _scipy_p(differences: Floats, resamples: int) -> float:
    """scipy swaps within pairs and doubles the smaller tail; all ways when there are few."""
    result = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        _summed,
        permutation_type="samples",
        n_resamples=resamples,
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    return float(result.pvalue)


@pytest.mark.parametrize("seed", range(4))
def test_the_exact_test_is_that_of_scipy(seed: int):
    d = np.random.default_rng(seed).normal(0.3, 1, 11)
    assert swap_test(d).is_exact
    assert swap_test(d).p == pytest.approx(_scipy_p(d, 2**11))


def test_the_drawn_test_is_near_the_exact_one():
    d = np.random.default_rng(5).normal(0.4, 1, MAX_EXACT + 4)
    drawn = swap_test(d)
    assert not drawn.is_exact
    assert drawn.p is not None
    assert drawn.p == pytest.approx(_scipy_p(d, 20_000), abs=0.015)
    assert swap_test(d) == drawn, "the same seed gives the same p"


def test_p_values_of_no_difference_are_not_small_too_often():
    """Under no difference a level of 5 % is kept (binomial bound of 400 trials: 8 %)."""
    rng = np.random.default_rng(8)
    small = 0
    for _ in range(400):
        totals = np.full((12, 2), 3.0)
        a, b = (rng.binomial(3, 0.6, (12, 2)).astype(float) for _ in range(2))
        p = swap_test(patient_differences(PairedCounts(a, b, totals))).p
        assert p is not None
        small += p <= 0.05
    assert small / 400 <= 0.08


def test_the_interval_of_a_difference_covers_it_and_is_paired():
    """A and B move together between patients: the difference is known better than either."""
    rng = np.random.default_rng(2)
    level = rng.uniform(0, 1, 40)
    totals = np.full((40, 1), 20.0)
    a = rng.binomial(20, level)[:, np.newaxis].astype(float)
    b = np.minimum(a + 2, 20)
    figure = compare_paired(PairedCounts(a, b, totals))
    for statistic in (figure.a, figure.difference):
        assert statistic.low is not None
        assert statistic.high is not None
        assert statistic.value is not None
        assert statistic.low <= statistic.value <= statistic.high
    assert figure.a.high is not None
    assert figure.a.low is not None
    assert figure.difference.high is not None
    assert figure.difference.low is not None
    width = figure.difference.high - figure.difference.low
    assert width < (figure.a.high - figure.a.low) / 3


def test_holm_by_hand():
    adjusted = holm({"a": 0.01, "b": 0.02, "c": 0.03, "d": 0.5, "e": None})
    # 4 x 0.01, then 3 x 0.02, then max(0.06, 2 x 0.03), then 0.5; the untested one counts not.
    assert adjusted == {
        "a": pytest.approx(0.04),
        "b": pytest.approx(0.06),
        "c": pytest.approx(0.06),
        "d": pytest.approx(0.5),
        "e": None,
    }
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_cells_can_be_left_out():
    pair = counts([[1, 0]], [[1, 1]], [[1, 1]])
    assert compare_paired(pair.keep_cells([False, True])).difference.value == 1.0
