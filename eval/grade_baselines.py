"""What grades without looking at the image reach: from training reads, measurements, or by chance.

A baseline is scored like a model. Where it has no grade (no training read, no measurement) it has
not answered: in the primary form that is wrong.
"""

from collections import Counter
from enum import StrEnum

import numpy as np

from eval.bench_records import BenchBaselines
from eval.bench_table import CELL_NUMBER, CELLS, NONE, BenchTable, Floats, Small
from knee.moaks import SCALES
from knee.questions import QUESTIONS


class GradeBaseline(StrEnum):
    """Baselines of grading."""

    MAJORITY = "majority"
    """The most frequent training grade of the (feature, component); the lowest of equals."""
    REGION_MAJORITY = "region_majority"
    """The same, of the question's own component."""
    MEASUREMENT_RULE = "measurement_rule"
    """What the rule gives to the measurement of the label map."""
    RANDOM = "random"
    """Every legal grade equally often: of expected counts, not drawn."""


def baseline_grades(table: BenchTable, baselines: BenchBaselines) -> dict[GradeBaseline, Small]:
    """Returns (components,) grades of each baseline that gives one; `NONE` without one."""
    components = table.components
    by_cell: dict[int, Counter[int]] = {}
    by_question: dict[tuple[int, int], int] = {}
    for one in baselines.grades:
        cell = CELL_NUMBER[QUESTIONS[one.question_id].feature, one.component]
        by_cell.setdefault(cell, Counter()).update(one.counts)
        by_question[one.question_id, cell] = majority_of(one.counts)
    of_cell = np.full(len(CELLS), NONE, np.int16)
    for cell, counts in by_cell.items():
        of_cell[cell] = majority_of(counts)
    of_question = np.full((len(QUESTIONS) + 1, len(CELLS)), NONE, np.int16)
    for (question, cell), grade in by_question.items():
        of_question[question, cell] = grade
    questions = table.items.question[components.item]
    return {
        GradeBaseline.MAJORITY: of_cell[components.cell],
        GradeBaseline.REGION_MAJORITY: of_question[questions, components.cell],
        GradeBaseline.MEASUREMENT_RULE: components.rule,
    }


def majority_of(counts: dict[int, int]) -> int:
    """Returns the most frequent grade, the lowest of equals; `NONE` when nothing was counted.

    Example:
        >>> majority_of({2: 5, 1: 5, 0: 3})
        1
    """
    if not any(counts.values()):
        return NONE
    return min(counts, key=lambda grade: (-counts[grade], grade))


def random_table(truth: Floats) -> Floats:
    """Returns (grades, grades + 1) expected counts of a guess that is uniform over legal grades.

    Shares, recalls and distances of expected counts are the expected ones exactly; kappa is 0; F1
    is that of the expected counts.

    Args:
        truth: (grades,) how often each grade is true.
    """
    n_grades = len(truth)
    table = np.zeros((n_grades, n_grades + 1))
    table[:, :-1] = truth[:, np.newaxis] / n_grades
    return table


N_GRADES = np.array([len(SCALES[cell].grades) for cell in CELLS])
"""Legal grades of each cell; every scale counts from 0."""
