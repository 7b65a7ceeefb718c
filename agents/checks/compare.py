"""The last deterministic gate: the draft's grades beside the clinician's; never fed back."""

from collections.abc import Sequence

from knee.answers import Draft
from knee.records import ComponentComparison, ComponentStatus, Item


def compare_with_clinician(item: Item, draft: Draft) -> tuple[ComponentComparison, ...]:
    """Returns every component of the item's question with both grades, in MOAKS' order.

    A component that is not asked has no draft grade; a clinician's grade is there only when read.
    """
    rows: list[ComponentComparison] = []
    for component in item.question.components:
        status = item.status_of(component)
        clinician = item.clinician_grade(component)
        asked = status is ComponentStatus.GRADED
        rows.append(
            ComponentComparison(
                component=component,
                status=status,
                draft_grade=draft.grades.get(component) if asked else None,
                clinician_grade=None if clinician is None else clinician.grade,
                clinician_status=None if clinician is None else clinician.status,
                evidence=item.finding.evidence_for(component).level,
            )
        )
    return tuple(rows)


def agrees(comparisons: Sequence[ComponentComparison]) -> bool:
    """Returns whether every asked component has the clinician's grade; False when none is asked."""
    asked = [row for row in comparisons if row.status is ComponentStatus.GRADED]
    return bool(asked) and all(row.draft_grade == row.clinician_grade for row in asked)
