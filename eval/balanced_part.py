"""The grade-balanced part of a bench: as many of each grade as the rarest one has.

Drawn by hashes of seed and patient, never by the order of rows. One component of each patient comes
before the second of any: as many patients as possible, because patients are the unit (RULES 18).
"""

from collections.abc import Iterable
from typing import NamedTuple

from knee.keys import content_hash
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS


class GradedKey(NamedTuple):
    """One component with its grade."""

    patient: str
    """The patient."""
    volume_id: str
    """The volume."""
    question_id: int
    """1-69."""
    component: Component
    """The component."""
    grade: int
    """The grade read."""

    @property
    def cell(self) -> tuple[Feature, Component]:
        """(feature, component): what is balanced."""
        return QUESTIONS[self.question_id].feature, self.component


def draw_balanced(keys: Iterable[GradedKey], seed: int) -> frozenset[GradedKey]:
    """Returns the balanced part: of each grade of a (feature, component) equally many.

    Grades that nobody gave take no part; a component with a single grade is taken whole.

    Args:
        keys: components with one grade, in any order.
        seed: of the draw.
    """
    cells: dict[tuple[Feature, Component], dict[int, list[GradedKey]]] = {}
    for key in keys:
        cells.setdefault(key.cell, {}).setdefault(key.grade, []).append(key)
    drawn: list[GradedKey] = []
    for by_grade in cells.values():
        rarest = min(map(len, by_grade.values()))
        for same in by_grade.values():
            drawn += _in_turn(same, seed)[:rarest]
    return frozenset(drawn)


def _in_turn(keys: list[GradedKey], seed: int) -> list[GradedKey]:
    """Orders keys so that every patient's first comes before any patient's second."""
    by_patient: dict[str, list[tuple[str, GradedKey]]] = {}
    for key in keys:
        one = content_hash(f"{seed}|{key.volume_id}|{key.question_id}|{key.component.value}")
        by_patient.setdefault(key.patient, []).append((one, key))
    ranked: list[tuple[int, str, GradedKey]] = []
    for patient, own in by_patient.items():
        place = content_hash(f"{seed}|{patient}")
        for turn, (_, key) in enumerate(sorted(own)):
            ranked.append((turn, place, key))
    return [key for *_, key in sorted(ranked)]
