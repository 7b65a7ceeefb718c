"""The comparison with the clinician: per asked component, terminal."""

from agents.checks.run import agrees, compare_with_clinician
from knee.answers import Draft
from knee.moaks import Component
from knee.records import ComponentStatus, Item
from tests.sample_items import sample_item


def _draft(grade: int) -> Draft:
    return Draft(steps=(), grades={Component.GRADE: grade})


def test_equal_grades_agree(item: Item):
    rows = compare_with_clinician(item, _draft(2))
    assert [(r.draft_grade, r.clinician_grade, r.status) for r in rows] == [
        (2, 2, ComponentStatus.GRADED)
    ]
    assert agrees(rows)


def test_another_grade_disagrees(item: Item):
    assert not agrees(compare_with_clinician(item, _draft(1)))


def test_an_unread_component_is_not_compared():
    rows = compare_with_clinician(sample_item(grade=None), _draft(2))
    assert rows[0].status is ComponentStatus.UNLABELLED
    assert rows[0].draft_grade is None
    assert rows[0].clinician_grade is None
    assert not agrees(rows), "nothing asked is no agreement"
