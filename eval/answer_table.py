"""Predictions as columns beside the bench's: a grade for each component, a box for each item."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from eval.bench_records import AnswerStatus, Prediction, SentSlice
from eval.bench_table import CELLS, NONE, BenchTable, Booleans, Floats, Integers, Small
from eval.localization import ShownAlong, best_iou_of_shown, shown_along
from eval.mean_boxes import Grid
from eval.prediction_lines import PredictionLines
from eval.reasoning import ReasoningCounts
from knee.errors import BenchError
from knee.moaks import SCALES, Component

_KEPT = 256
"""Lists of slices that are kept sorted."""


class Why(IntEnum):
    """Why a component has no grade; 0 when it has one."""

    GRADED = 0
    UNPARSED = 1
    """An answer came, and no grade of this component could be read of it."""
    OFF_SCALE = 2
    """A grade that the scale does not have."""
    FAILED = 3
    """No answer came."""
    MISSING = 4
    """The item was never answered; counts as failed."""


class AnswerTable(NamedTuple):
    """What a model answered, row for row beside the bench's columns."""

    grade: Small
    """(components,) the grade; `NONE` without one."""
    why: Small
    """(components,) a `Why`."""
    status: Small
    """(items,) a `Why` of the item as a whole."""
    box: Integers
    """(items, 6) the box in stored voxels; all `NONE` without one."""
    ceiling: Floats
    """(items,) best IoU that the slices sent allow; NaN where none were sent, or without boxes."""
    torn: bool
    """Whether the last line was cut off and passed over."""
    reasoning: ReasoningCounts
    """What the deterministic checks found."""


class _Filled:
    """Columns that are filled while predictions are read."""

    def __init__(self, table: BenchTable, *, localises: bool, in_pictures: bool) -> None:
        n_items, n_components = len(table.items.volume), len(table.components.item)
        self.table = table
        self.seen = np.zeros(n_items, bool)
        self.grade: Small = np.full(n_components, NONE, np.int16)
        self.why: Small = np.full(n_components, Why.MISSING, np.int16)
        self.status: Small = np.full(n_items, Why.MISSING, np.int16)
        self.box: Integers = np.full((n_items, 6), NONE, np.int64)
        self.ceiling: Floats = np.full(n_items, np.nan)
        self.localises = localises
        self.in_pictures = in_pictures
        self._sorted: dict[tuple[int, int], tuple[tuple[SentSlice, ...], list[ShownAlong]]] = {}
        self.n_grades = np.array([len(SCALES[cell].grades) for cell in CELLS])

    def add(self, row: int, prediction: Prediction) -> None:
        """Takes one prediction over."""
        self.seen[row] = True
        failed = prediction.status is AnswerStatus.FAILED
        unparsed = prediction.status is AnswerStatus.UNPARSED
        self.status[row] = Why.FAILED if failed else Why.UNPARSED if unparsed else Why.GRADED
        self._add_grades(row, prediction, Why.FAILED if failed else Why.UNPARSED)
        if self.localises:
            self._add_box(row, prediction)

    def _add_box(self, row: int, prediction: Prediction) -> None:
        if prediction.box is not None:
            self.box[row] = prediction.box.indices
        grid = self.table.grids[self.table.items.volume[row]]
        box = self.table.items.box[row]
        if prediction.slices and grid is not None and box[0] != NONE:
            # Who gives indices of the array can give any box.
            shown = self._shown(grid, prediction.slices) if self.in_pictures else None
            self.ceiling[row] = 1.0 if shown is None else best_iou_of_shown(box.tolist(), shown)

    def _shown(self, grid: Grid, slices: tuple[SentSlice, ...]) -> list[ShownAlong]:
        """Lists of slices are shared by the lines of a volume and plane, as `SliceLists` reads."""
        key = id(grid), id(slices)
        if key not in self._sorted:
            if len(self._sorted) > _KEPT:
                self._sorted.clear()
            # The list itself is kept, so that no other one can take its id.
            self._sorted[key] = slices, shown_along(grid, slices)
        return self._sorted[key][1]

    def _add_grades(self, row: int, prediction: Prediction, without: Why) -> None:
        components = self.table.components
        first, end = self.table.items.first[row], self.table.items.first[row + 1]
        place: dict[Component, int] = {
            CELLS[components.cell[n]][1]: int(n) for n in range(first, end)
        }
        self.why[first:end] = without
        given = [answered.component for answered in prediction.grades]
        if len(set(given)) != len(given) or not place.keys() >= set(given):
            raise BenchError(
                f"item {prediction.item_id!r}: grades of {[c.value for c in given]!r}, asked are "
                f"{[c.value for c in place]!r}",
                "a prediction has each asked component once",
            )
        for answered in prediction.grades:
            if answered.grade is None:
                continue
            n = place[answered.component]
            on_scale = 0 <= answered.grade < self.n_grades[components.cell[n]]
            self.why[n] = Why.GRADED if on_scale else Why.OFF_SCALE
            self.grade[n] = answered.grade if on_scale else NONE


def answer_table(
    table: BenchTable, lines: PredictionLines, *, localises: bool, in_pictures: bool = True
) -> AnswerTable:
    """Returns a model's predictions as columns; items that it has not answered are `MISSING`.

    Args:
        table: the bench.
        lines: the predictions.
        localises: whether the setting asks for boxes; else boxes are passed over.
        in_pictures: whether boxes are given in pictures rather than in indices of the array.

    Raises:
        BenchError: an item that the bench has not, one that is there twice, grades of other
            components than asked, or a line that cannot be read.
    """
    filled = _Filled(table, localises=localises, in_pictures=in_pictures)
    reasoning = ReasoningCounts.of_bench(table)
    for line, prediction in lines:
        row = table.row_of.get(prediction.item_id)
        if row is None:
            raise BenchError(
                f"line {line}: the bench has no item {prediction.item_id!r}",
                "predictions are of the items of this bench alone",
            )
        if filled.seen[row]:
            raise BenchError(
                f"line {line}: item {prediction.item_id!r} is answered twice",
                "one answer an item; an answer that was improved is another run",
            )
        filled.add(row, prediction)
        reasoning.add(row, prediction)
    return AnswerTable(
        grade=filled.grade,
        why=filled.why,
        status=filled.status,
        box=filled.box,
        ceiling=filled.ceiling,
        torn=lines.torn,
        reasoning=reasoning,
    )


def has_box(boxes: Integers) -> Booleans:
    """Returns (n,): which of (n, 6) boxes are there."""
    return boxes[:, 0] != NONE
