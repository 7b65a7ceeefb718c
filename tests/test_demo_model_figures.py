"""The figures of the demo model's card: shares, macro, intervals, what a guesser gets through."""

from pathlib import Path

import duckdb
import pytest

from knee.moaks import Component, Feature
from tests.bench_demo_model import majority_lines
from tests.demo_model_figures import (
    Bar,
    Graded,
    graded_components,
    macro,
    rare_classes,
    share,
    volume_share,
)
from tests.export_cases import NEW, make_store


def accepted(row: Graded) -> bool:
    return row.accepted


def component(
    patient: str = "p0",
    clinician: int = 1,
    draft: int | None = 1,
    attempt: int | None = 1,
    follows: bool = True,
    feature: Feature = Feature.BML,
) -> Graded:
    return Graded(patient, feature, Component.SIZE, clinician, draft, attempt, follows)


def cohort(n_patients: int, shares: dict[int, float]) -> list[Graded]:
    """Ten components of each grade a knee, of which so large a share is accepted."""
    return [
        component(f"p{n}", grade, grade, 1 if k < 10 * hit else None)
        for n in range(n_patients)
        for grade, hit in shares.items()
        for k in range(10)
    ]


def test_every_grade_counts_alike_in_the_macro_figure_however_many_components_it_has():
    rows = [*cohort(20, {0: 1.0}), *cohort(20, {1: 0.5})[:40]]
    found = macro(rows, accepted)
    assert found.counts == "0: 200/200, 1: 20/40"
    assert found.value.value == pytest.approx(0.75)
    assert share(rows, accepted).value.value == pytest.approx(220 / 240)


def test_the_interval_is_over_knees_not_over_components():
    # Half of the knees are right throughout, the others wrong throughout: 400 components, yet no
    # more certain than 20 coins.
    split = [component(f"p{n}", 1, 1, 1 if n < 10 else None) for n in range(20) for _ in range(20)]
    found = share(split, accepted).value
    assert found.low is not None
    assert found.high is not None
    sd = (0.5 * 0.5 / 20) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * sd, rel=0.2)
    over = macro(split, accepted).value
    assert over.low == pytest.approx(found.low, abs=0.06)
    # With the same share in every knee there is nothing to resample.
    even = share(cohort(20, {1: 0.5}), accepted).value
    assert (even.low, even.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_too_few_components_have_no_interval_and_say_so():
    found = share(cohort(1, {1: 0.5})[:6], accepted)
    assert found.counts == "5/6"
    assert found.value.low is None
    assert found.text == "0.833"


def test_bars_compare_the_figure_itself():
    half = share(cohort(20, {1: 0.5}), accepted)
    assert Bar("x", half, 0.5).holds
    assert not Bar("x", half, 0.51).holds
    assert Bar("x", half, 0.5, at_least=False).holds
    assert Bar("x", half, 0.49, at_least=False).line().endswith("| ≤ 0.49 | **missed** |")
    assert not Bar("x", share([], accepted), 0.5).holds


def test_a_majority_that_is_the_clinicians_grade_is_told_from_a_lie_that_passed():
    rows = [
        component(clinician=0, draft=0),  # grade 0 is not counted here
        component(clinician=1, draft=1),
        component(clinician=2, draft=1, attempt=None),
        component(clinician=3, draft=0, attempt=None),
        component(clinician=2, draft=2, follows=False),
    ]
    counts = [line.split(" | ")[1] for line in majority_lines(rows)]
    assert counts == ["2/4", "1/4", "0/2", "2/4"]


def test_rare_classes_stand_apart():
    rows = [
        component(clinician=8, feature=Feature.MORPHOLOGY),
        component(clinician=1, feature=Feature.ACL),
        component(clinician=0, feature=Feature.ACL),
        component(clinician=1, feature=Feature.BML),
    ]
    found = {name: len(chosen) for name, chosen in rare_classes(rows).items()}
    assert [*found.values()] == [1, 1, 0]


def test_a_scores_file_gives_shares_over_volumes():
    found = volume_share({f"v{n}": [n % 2, 1] for n in range(40)})
    assert found.counts == "20/40"
    assert found.value.value == pytest.approx(0.5)
    assert found.value.low is not None


def test_rows_of_a_run_are_its_graded_components(tmp_path: Path):
    store = make_store(tmp_path / "knees.duckdb")
    with duckdb.connect(str(store), read_only=True) as con:
        drafted = con.execute(
            "SELECT draft_grade FROM outcome_components WHERE run_id = ? AND status = 'graded'",
            [NEW],
        ).fetchall()
    rows = graded_components(store, NEW)
    assert sorted(str(row.draft) for row in rows) == sorted(str(draft) for (draft,) in drafted)
    # Six of seven items are accepted, all of them at the second attempt.
    assert {row.attempt for row in rows} == {2, None}
    assert macro(rows, lambda row: row.attempt == 1).value.value == 0
    # The rule of every finding in this store gives 1.
    assert all(row.follows == (row.draft == 1) for row in rows)
    assert any(row.follows for row in rows)
