"""What a drafter would get by chance, beside what one got (RULES 5, 7).

Two independent draws: with the clinician's grades distributed as p and the drafts' as q, a draft
meets the clinician's grade in the share sum(p_k * q_k). It is computed for each component from the
grades of the same items, so that a drafter who always says 0 has the share of zeros as its chance.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from knee.moaks import Component, Feature
from store.queries import Acceptance, ComponentGrades, GradeAcceptance


class ChanceRow(NamedTuple):
    """Observed and chance acceptance of one component of one feature."""

    feature: Feature
    """The feature."""
    component: Component
    """The component."""
    accepted: int
    """Components in accepted items."""
    drafted: int
    """Components that were drafted."""
    agreeing: int
    """Parsed drafts with the clinician's grade, whatever became of them."""
    compared: int
    """Parsed drafts with a grade to compare."""
    chance: float | None
    """Share that would agree by chance; None when nothing could be compared."""


def chance_agreement(pairs: Sequence[tuple[int, int, int]]) -> float | None:
    """Returns sum(p_k * q_k) of (clinician grade, draft grade, count); None without any.

    Example:
        >>> chance_agreement([(0, 0, 3), (1, 0, 1)])
        0.75
    """
    total = sum(n for _, _, n in pairs)
    if total == 0:
        return None
    clinician, drafted = Counter[int](), Counter[int]()
    for grade, given, n in pairs:
        clinician[grade] += n
        drafted[given] += n
    return sum(clinician[grade] * drafted[grade] for grade in clinician) / total**2


def chance_rows(
    by_grade: Sequence[GradeAcceptance], grades: Sequence[ComponentGrades]
) -> list[ChanceRow]:
    """Returns a row for each drafted component, in MOAKS' order."""
    accepted: dict[tuple[Feature, Component], list[int]] = {}
    for row in by_grade:
        entry = accepted.setdefault((row.feature, row.component), [0, 0])
        entry[0] += row.items.accepted
        entry[1] += row.items.drafted
    rows: list[ChanceRow] = []
    for (feature, component), (n_accepted, n_drafted) in accepted.items():
        pairs = [
            (g.clinician_grade, g.draft_grade, g.n)
            for g in grades
            if (g.feature, g.component) == (feature, component)
        ]
        rows.append(
            ChanceRow(
                feature,
                component,
                n_accepted,
                n_drafted,
                sum(n for grade, given, n in pairs if grade == given),
                sum(n for _, _, n in pairs),
                chance_agreement(pairs),
            )
        )
    return rows


def expected_by_chance(rows: Sequence[ChanceRow]) -> float | None:
    """Returns the share of all drafted components that would agree by chance; None without any.

    A draft that could not be read has no grade and agrees with nothing.
    """
    drafted = sum(row.drafted for row in rows)
    if drafted == 0:
        return None
    return sum(row.chance * row.compared for row in rows if row.chance is not None) / drafted


def accepted_share(rows: Sequence[ChanceRow]) -> Acceptance:
    """Returns accepted and other drafted components, all features pooled."""
    accepted, drafted = sum(r.accepted for r in rows), sum(r.drafted for r in rows)
    return Acceptance("components", accepted, drafted - accepted, 0, 0)
