"""What several reads of one component say together (RULES 20).

Reads are put in ranks by the policy: one rank for all (`agree_or_conflict`), one for each project
(`project_priority`), or one for each number of grades that a read has (`most_complete`). The first
rank that says anything decides:

- its grades agree: that is the grade;
- they do not, or a prosthesis stands beside a grade: a conflict, which no order of rows can settle;
- only a prosthesis: a prosthesis.

Reads without a grade do not count against one with a grade. Where no rank says anything, the most
telling status stays: off-scale, change code, missing, not read in the project.
"""

from collections.abc import Sequence
from typing import NamedTuple

from knee.grades import GradeStatus
from tools.moaks_cells import CellGrade

_DECISIVE = (GradeStatus.READ, GradeStatus.CONFLICT, GradeStatus.PROSTHESIS)
_TELLING = (
    GradeStatus.PROSTHESIS,
    GradeStatus.OFF_SCALE,
    GradeStatus.CHANGE_CODE,
    GradeStatus.MISSING,
    GradeStatus.NOT_READ_IN_PROJECT,
)
"""Statuses without a grade, the most telling first."""


class JoinedReads(NamedTuple):
    """One component as its reads say together."""

    cell: CellGrade
    """The status, and the grade if it was read."""
    taken: tuple[bool, ...]
    """Which reads it was taken from; none unless it is a grade or a prosthesis."""


def join_reads(cells: Sequence[CellGrade], ranks: Sequence[int]) -> JoinedReads:
    """Returns what reads say together.

    Args:
        cells: what each read says of the component; at least one.
        ranks: the rank of each read, lowest first; reads of one rank are equals.
    """
    if len(cells) == 1:
        return JoinedReads(cells[0], (cells[0].status in _DECISIVE,))
    for rank in sorted(set(ranks)):
        equals = _agree([c for c, r in zip(cells, ranks, strict=True) if r == rank])
        if equals.status in _DECISIVE:
            taken = tuple(r == rank and equals == c for c, r in zip(cells, ranks, strict=True))
            return JoinedReads(equals, taken)
    return JoinedReads(_agree(cells), (False,) * len(cells))


def _agree(cells: Sequence[CellGrade]) -> CellGrade:
    grades = {cell.grade for cell in cells if cell.status is GradeStatus.READ}
    statuses = {cell.status for cell in cells}
    if len(grades) > 1 or (grades and GradeStatus.PROSTHESIS in statuses):
        return CellGrade(GradeStatus.CONFLICT)
    if grades:
        return CellGrade(GradeStatus.READ, next(iter(grades)))
    return CellGrade(next(status for status in _TELLING if status in statuses))
