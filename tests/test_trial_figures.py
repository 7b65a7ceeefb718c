"""Figures of two trials, against counts by hand."""

import pytest

from knee.keys import ItemKey
from knee.moaks import Component, Feature
from knee.records import ItemState
from stages.compare_page import mark_changes
from stages.trial_figures import (
    ACCEPTANCE,
    ACCEPTANCE_MACRO,
    AGREEMENT,
    ALL,
    POSITIVES,
    code_rates,
    compare_groups,
    cost_rows,
    pair_items,
)
from store.trial_comparison import ComparedComponent, TrialItem

_ACCEPTED, _DISAGREES = ItemState.ACCEPTED, ItemState.DISAGREES
_REJECTED, _FAILED = ItemState.REJECTED, ItemState.FAILED


def item(
    patient: str,
    grade: int,
    first: int | None,
    state: ItemState,
    *,
    feature: Feature = Feature.OSTEOPHYTE,
    question_id: int = 30,
    codes: tuple[str, ...] = (),
    nominal: bool = False,
    findings_id: str = "f",
) -> TrialItem:
    component = Component.MORPHOLOGY if nominal else Component.GRADE
    return TrialItem(
        key=ItemKey(f"{patient}/V00/right/dess", question_id),
        patient=patient,
        feature=feature,
        findings_id=findings_id,
        synthetic=False,
        state=state,
        components=(ComparedComponent(component, grade, nominal),),
        first_grades={} if first is None else {component: first},
        codes=codes,
        attempts=1 if first is not None else 2,
        prompt_tokens=100,
        completion_tokens=50,
        seconds=0.5,
    )


def keyed(*items: TrialItem) -> dict[ItemKey, TrialItem]:
    return {entry.key: entry for entry in items}


def test_agreement_is_of_the_first_draft_and_macro_over_the_clinicians_grades():
    # Grade 0: 3 of 4 in A, 4 of 4 in B. Grade 2: 0 of 1 in A (unreadable), 1 of 1 in B.
    grades = [("a", 0), ("b", 0), ("c", 0), ("d", 0), ("e", 2)]
    a = keyed(
        *(item(p, g, 0, _ACCEPTED) for p, g in grades[:3]),
        item("d", 0, 1, _DISAGREES),
        item("e", 2, None, _REJECTED),
    )
    b = keyed(*(item(p, g, g, _ACCEPTED) for p, g in grades))
    pairs, _ = pair_items(a, b)
    everything, osteophyte = compare_groups(pairs)
    assert (everything.group, osteophyte.group) == (ALL, "osteophyte")
    for group in (everything, osteophyte):
        agreement = group.figures[AGREEMENT.key]
        assert agreement.a.value == pytest.approx((3 / 4 + 0) / 2)
        assert agreement.b.value == 1.0
        assert agreement.a.no_interval == "5 patients, fewer than 10"
        assert group.figures[POSITIVES.key].a.value == 0
        assert group.figures[POSITIVES.key].n == 1
        assert group.figures[ACCEPTANCE.key].a.value == pytest.approx(3 / 5)
        assert group.figures[ACCEPTANCE_MACRO.key].a.value == pytest.approx((3 / 4 + 0) / 2)
    assert everything.holm_p[AGREEMENT.key] is None
    assert osteophyte.holm_p[AGREEMENT.key] == osteophyte.figures[AGREEMENT.key].test.p == 0.5


def test_a_revision_that_mends_the_grade_does_not_count_as_agreement():
    mended = item("a", 2, 1, _ACCEPTED)
    pairs, _ = pair_items(keyed(mended), keyed(mended))
    assert compare_groups(pairs)[0].figures[AGREEMENT.key].a.value == 0
    assert compare_groups(pairs)[0].figures[ACCEPTANCE.key].a.value == 1


def test_grades_of_nominal_scales_are_not_pooled_with_others():
    def both(first: int) -> dict[ItemKey, TrialItem]:
        named = item("a", 3, first, _DISAGREES, feature=Feature.MORPHOLOGY, nominal=True)
        return keyed(named, item("b", 3, 3, _ACCEPTED))

    pairs, _ = pair_items(both(2), both(3))
    groups = {group.group: group for group in compare_groups(pairs)}
    assert groups[ALL].figures[AGREEMENT.key].n == 1
    assert groups["morphology"].figures[AGREEMENT.key].difference.value == 1
    assert groups["morphology"].figures[POSITIVES.key].a.reason == "nothing was compared"
    assert groups["morphology"].holm_p[POSITIVES.key] is None


def test_holm_counts_the_features_and_not_the_row_of_all():
    def run(first: int) -> dict[ItemKey, TrialItem]:
        return keyed(
            *(item(f"p{n}", 1, first, _ACCEPTED) for n in range(6)),
            *(item(f"p{n}", 1, 1, _ACCEPTED, feature=Feature.BML, question_id=1) for n in range(6)),
        )

    pairs, _ = pair_items(run(0), run(1))
    groups = {group.group: group for group in compare_groups(pairs)}
    assert groups["osteophyte"].figures[AGREEMENT.key].test.p == pytest.approx(2 / 2**6)
    assert groups["osteophyte"].holm_p[AGREEMENT.key] == pytest.approx(2 * 2 / 2**6)
    assert groups["bml"].holm_p[AGREEMENT.key] == 1.0


def test_only_common_and_unchanged_items_are_compared_and_the_others_counted():
    same = item("a", 0, 0, _ACCEPTED)
    a = keyed(
        same,
        item("b", 0, 0, _ACCEPTED),
        item("c", 0, 0, _ACCEPTED),
        item("d", 0, 0, _ACCEPTED),
        item("e", 0, 0, _ACCEPTED),
    )
    b = keyed(
        same,
        item("b", 1, 0, _DISAGREES),
        item("c", 0, 0, _ACCEPTED, findings_id="other"),
        item("d", 0, None, _FAILED),
        item("x", 0, 0, _ACCEPTED),
        item("y", 0, 0, _ACCEPTED),
    )
    pairs, left_out = pair_items(a, b)
    assert [pair.a for pair in pairs] == [same]
    assert left_out == (1, 2, 2, 1)


def test_faults_are_counted_of_100_items_largest_change_first():
    a = keyed(*(item(p, 0, 0, _ACCEPTED, codes=("x", "z")) for p in "abcd"))
    b = keyed(
        item("a", 0, 0, _ACCEPTED, codes=("y", "z")),
        *(item(p, 0, 0, _ACCEPTED, codes=("z",)) for p in "bcd"),
    )
    pairs, _ = pair_items(a, b)
    assert code_rates(pairs) == [("x", 100, 0), ("y", 0, 25), ("z", 100, 100)]
    assert cost_rows(pairs)[0] == ("attempts", 1, 1)
    assert cost_rows(pairs)[1] == ("prompt tokens", 100, 100)


def test_changed_words_are_marked_and_nothing_is_lost():
    text, other = "The loss is 12 %,  grade 2.", "The loss is 12 %, grade 1 here."
    parts = list(mark_changes(text, other))
    assert "".join(part.text for part in parts) == text
    assert [part.text.strip() for part in parts if part.is_changed] == ["", "2."]
    assert list(mark_changes("", "x")) == []
    assert all(part.is_changed for part in mark_changes("new", ""))
