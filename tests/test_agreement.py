import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.agreement import (
    Weighting,
    kappa_with_interval,
    majority_baseline,
    pair_tables,
    share_with_interval,
    weighted_kappa,
)

GRADES = (0, 1, 2, 3)


def test_the_audits_majority_baseline_comes_from_its_counts():
    # FACTS 1.3: sizes of the released validation split.
    found = majority_baseline({0: 8476, 1: 651, 2: 2381, 3: 210})
    assert found.n == 11718
    assert found.majority == 0
    assert round(found.accuracy, 4) == 0.7233
    assert found.mae is not None
    assert round(found.mae, 3) == 0.516
    assert found.macro_recall == 0.25


def test_nominal_grades_have_no_distance_and_grades_that_never_occur_no_recall():
    found = majority_baseline({0: 1, 4: 3, 8: 0}, distances=False)
    assert (found.majority, found.accuracy, found.mae, found.macro_recall) == (4, 0.75, None, 0.5)


@pytest.mark.parametrize("counts", [{}, {0: 0}, {0: 3, 1: -1}])
def test_nothing_has_no_majority(counts: dict[int, int]):
    with pytest.raises(ValueError, match="no majority"):
        majority_baseline(counts)


@pytest.mark.parametrize(
    ("table", "weighting", "kappa"),
    [
        # Cohen 1960's form of example; and Cohen 1968: k = 1 - sum(w o) / sum(w e), by hand.
        ([[20, 5], [10, 15]], Weighting.NONE, 0.4),
        ([[20, 5], [10, 15]], Weighting.QUADRATIC, 0.4),
        ([[10, 0, 0], [0, 10, 0], [0, 0, 10]], Weighting.LINEAR, 1.0),
        ([[0, 0, 10], [0, 0, 0], [10, 0, 0]], Weighting.QUADRATIC, -1.0),
        # Observed 4/10 apart by one; expected linear (0.3*0.3 + 2*0.3*0.4 + ...) by the next test.
        ([[5, 5], [5, 5]], Weighting.LINEAR, 0.0),
    ],
)
def test_kappas_of_known_tables(table: list[list[float]], weighting: Weighting, kappa: float):
    grades = tuple(range(len(table)))
    assert weighted_kappa(np.array(table, float), weighting, grades).value == pytest.approx(kappa)


PAIRS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(GRADES), st.sampled_from(GRADES)), min_size=1, max_size=5),
    min_size=1,
    max_size=8,
)


@given(PAIRS, st.sampled_from(list(Weighting)))
def test_kappa_is_one_minus_observed_over_expected_disagreement(
    pairs: dict[str, list[tuple[int, int]]], weighting: Weighting
):
    # By enumeration of the pooled readings, not by a table.
    power = {Weighting.NONE: 0, Weighting.LINEAR: 1, Weighting.QUADRATIC: 2}[weighting]
    flat = [pair for found in pairs.values() for pair in found]
    pool = [grade for pair in flat for grade in pair]

    def cost(a: int, b: int) -> float:
        return abs(a - b) ** power if a != b else 0

    observed = sum(cost(a, b) for a, b in flat) / len(flat)
    expected = sum(cost(a, b) for a, b in itertools.product(pool, pool)) / len(pool) ** 2
    table = pair_tables(pairs, GRADES).sum(axis=0)
    found = weighted_kappa(table, weighting, GRADES)
    if expected == 0:
        assert (found.value, found.reason) == (None, "all reads gave the same grade")
    else:
        assert found.value == pytest.approx(1 - observed / expected)


@given(PAIRS)
def test_the_order_of_the_reads_says_nothing(pairs: dict[str, list[tuple[int, int]]]):
    turned = {patient: [(b, a) for a, b in found] for patient, found in pairs.items()}
    assert (pair_tables(pairs, GRADES) == pair_tables(turned, GRADES)).all()


def test_without_pairs_there_is_no_kappa():
    found = kappa_with_interval(pair_tables({}, GRADES), Weighting.LINEAR, GRADES)
    assert found == (None, "no pairs", None, None, "no pairs")


def test_under_ten_pairs_or_patients_there_is_no_interval():
    few = {str(n): [(0, 0), (1, 2)] for n in range(4)}
    found = kappa_with_interval(pair_tables(few, GRADES), Weighting.LINEAR, GRADES)
    assert found.value is not None
    assert (found.low, found.no_interval) == (None, "8 pairs, fewer than 10")
    one = {"a": [(0, 0), (1, 2)] * 20}
    found = kappa_with_interval(pair_tables(one, GRADES), Weighting.LINEAR, GRADES)
    assert found.no_interval == "1 patients, fewer than 10"


def test_an_interval_that_is_mostly_undefined_is_none():
    # One patient alone holds all variation: a third of the resamples leave it out.
    pairs = {str(n): [(0, 0)] for n in range(30)} | {"x": [(1, 1)]}
    found = kappa_with_interval(pair_tables(pairs, GRADES), Weighting.NONE, GRADES)
    assert found.value == 1
    assert found.low is None
    assert "of the resamples" in str(found.no_interval)


def _simulated(rng: np.random.Generator, n_patients: int) -> dict[str, list[tuple[int, int]]]:
    """Two reads with an error each around a patient's own level: pairs of a patient are alike."""
    pairs: dict[str, list[tuple[int, int]]] = {}
    for number in range(n_patients):
        level = rng.normal(1.2, 0.8)
        true = np.clip(level + rng.normal(0, 0.6, 6), 0, 3)
        reads = np.clip(np.rint(true[:, None] + rng.normal(0, 0.5, (6, 2))), 0, 3).astype(int)
        pairs[str(number)] = [(int(a), int(b)) for a, b in reads]
    return pairs


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    everyone = pair_tables(_simulated(rng, 20000), GRADES).sum(axis=0)
    truth = weighted_kappa(everyone, Weighting.QUADRATIC, GRADES).value
    assert truth is not None
    covered = 0
    for seed in range(200):
        tables = pair_tables(_simulated(rng, 60), GRADES)
        found = kappa_with_interval(tables, Weighting.QUADRATIC, GRADES, seed=seed)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    # 95 % of 200 is 190; three binomial SD below it is 181, and the percentile method runs short.
    assert 176 <= covered <= 200


def test_shares_are_over_patients():
    found = share_with_interval([5] * 10 + [0] * 10, [10] * 20)
    assert found.value == 0.25
    assert found.low is not None
    assert found.high is not None
    # Binomial, as if 200 items were independent, it would be 0.19 to 0.31.
    assert found.low < 0.19
    assert found.high > 0.31
    assert share_with_interval([], []).reason == "nothing was counted"
    assert share_with_interval([1] * 5, [10] * 5).no_interval == (
        "5 of the rarer kind, fewer than 10"
    )
