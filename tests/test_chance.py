"""Chance acceptance by hand-made counts."""

import pytest

from knee.moaks import Component, Feature
from stages.chance import accepted_share, chance_agreement, chance_rows, expected_by_chance
from store.queries import Acceptance, ComponentGrades, GradeAcceptance

BML, SIZE = Feature.BML, Component.SIZE


def test_chance_is_the_product_of_the_two_distributions():
    # clinician 0: 6, 1: 4; drafts 0: 5, 1: 5.
    pairs = [(0, 0, 4), (0, 1, 2), (1, 0, 1), (1, 1, 3)]
    assert chance_agreement(pairs) == pytest.approx(0.6 * 0.5 + 0.4 * 0.5)
    assert chance_agreement([]) is None


def test_who_always_says_zero_has_the_share_of_zeros_as_chance():
    assert chance_agreement([(0, 0, 72), (1, 0, 8), (2, 0, 20)]) == pytest.approx(0.72)


def test_rows_hold_observed_and_chance_and_unread_drafts_agree_with_nothing():
    by_grade = [
        GradeAcceptance(BML, SIZE, 0, Acceptance("grade 0", 3, 1, 0, 2)),
        GradeAcceptance(BML, SIZE, 1, Acceptance("grade 1", 0, 0, 2, 0)),
    ]
    grades = [ComponentGrades(BML, SIZE, 0, 0, 4), ComponentGrades(BML, SIZE, 1, 0, 2)]
    (row,) = chance_rows(by_grade, grades)
    assert (row.accepted, row.drafted, row.agreeing, row.compared) == (3, 8, 4, 6)
    assert row.chance == pytest.approx(4 / 6)
    assert expected_by_chance([row]) == pytest.approx(4 / 8)
    assert accepted_share([row]).share == pytest.approx(3 / 8)
    assert expected_by_chance([]) is None
