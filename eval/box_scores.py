"""Localisation by box source: counts, figures, intervals, baselines and the ceiling of the slices.

Items whose region has a box in the bench; sources are never pooled (RULES 24).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from eval.answer_table import AnswerTable, Why, has_box
from eval.bench_records import BenchBaselines
from eval.bench_table import NONE, SOURCES, BenchTable, Booleans, Floats, Integers, Small
from eval.bootstrap import Resampling, statistic, too_few
from eval.grade_scores import ALL, counts_of, resampled, stratum_word
from eval.localization import (
    HIT_AT,
    BoxBaseline,
    BoxMetric,
    centre_distances,
    histogram,
    ious,
    slice_overlaps,
)
from eval.mean_boxes import GridColumns, central_boxes, place_shares, whole_boxes
from eval.score_records import BoxFigure, BoxRow, Stratum
from eval.severity import Form, ratio
from knee.moaks import Feature
from knee.questions import QUESTIONS

_FEATURES = tuple(Feature)
_FORMS: tuple[tuple[BoxMetric, Form], ...] = tuple(
    (metric, form)
    for metric in BoxMetric
    for form in Form
    if metric is not BoxMetric.CENTRE_MM or form is Form.SCORED
)
"""A distance to a box that is not there would be made up."""


class Located(NamedTuple):
    """Items with a reference box, and what the answers and baselines reach in each."""

    rows: Integers
    """Rows of the items in the bench's table."""
    source: Small
    """Number of the box source."""
    patient: Integers
    """Place of the patient."""
    why: Small
    """A `Why`: whether there is an answer with a box, or why not."""
    values: dict[BoxMetric, Floats]
    """Of the answers; NaN without one."""
    baselines: dict[BoxBaseline, dict[BoxMetric, Floats]]
    """Of the baselines; NaN without one."""


def locate(table: BenchTable, answers: AnswerTable, baselines: BenchBaselines) -> Located:
    """Returns what every answer and baseline reaches in each item that has a reference box."""
    rows = np.flatnonzero(has_box(table.items.box))
    volume = table.items.volume[rows]
    reference = table.items.box[rows]
    grids = _grids(table, volume)
    axes, shapes = grids.axes[:, 0], grids.shapes
    affines = _affines(table)[volume]

    def measured(boxes: Integers) -> dict[BoxMetric, Floats]:
        return _measures(reference, boxes, axes, affines)

    by_baseline = {
        BoxBaseline.MEAN_BOX: measured(_mean_boxes(table, rows, grids, baselines)),
        BoxBaseline.WHOLE_VOLUME: measured(whole_boxes(shapes)),
        BoxBaseline.CENTRAL_BOX: measured(central_boxes(shapes)),
        BoxBaseline.BEST_OF_SLICES: _of_iou(answers.ceiling[rows]),
    }
    values = measured(answers.box[rows])
    mean_box = by_baseline[BoxBaseline.MEAN_BOX][BoxMetric.IOU]
    for one in (values, *by_baseline.values()):
        one[BoxMetric.GAIN] = one[BoxMetric.IOU] - mean_box
    return Located(
        rows=rows,
        source=table.items.source[rows],
        patient=table.volume_patient[volume],
        why=_why(answers, rows),
        values=values,
        baselines=by_baseline,
    )


def _why(answers: AnswerTable, rows: Integers) -> Small:
    """An item with an answer but no box is unparsed, as far as the box goes."""
    status = answers.status[rows]
    nothing = np.isin(status, (Why.FAILED, Why.MISSING))
    without = np.where(nothing, status, Why.UNPARSED)
    return np.where(has_box(answers.box[rows]), Why.GRADED, without).astype(np.int16)


def _grids(table: BenchTable, volume: Integers) -> GridColumns:
    """The grid of each item's volume: a box has a volume that was described."""
    places, row = np.unique(volume, return_inverse=True)
    described = [grid for grid in (table.grids[place] for place in places) if grid is not None]
    assert len(described) == len(places), "a box has a volume that was described"
    return GridColumns.of(described).rows(row)


def _affines(table: BenchTable) -> Floats:
    """(volumes, 4, 4); NaN where a volume could not be described."""
    nowhere = np.full((4, 4), np.nan)
    return np.array(
        [nowhere if v.affine is None else np.array(v.affine, float) for v in table.volumes]
    ).reshape(-1, 4, 4)


def _mean_boxes(
    table: BenchTable, rows: Integers, grids: GridColumns, baselines: BenchBaselines
) -> Integers:
    """(items, 6) mean training boxes in the items' volumes; all `NONE` without one."""
    place = {(mean.question_id, mean.side): n for n, mean in enumerate(baselines.mean_boxes)}
    sides = np.array([volume.side for volume in table.volumes])[table.items.volume[rows]]
    questions = table.items.question[rows]
    wanted = np.full(len(rows), NONE, np.int64)
    for (question, side), number in place.items():
        wanted[(questions == question) & (sides == side)] = number
    boxes = np.full((len(rows), 6), NONE, np.int64)
    there = np.flatnonzero(wanted != NONE)
    if len(there):
        lower = np.array([mean.lower for mean in baselines.mean_boxes])[wanted[there]]
        upper = np.array([mean.upper for mean in baselines.mean_boxes])[wanted[there]]
        boxes[there] = place_shares(lower, upper, grids.rows(there))
    return boxes


def _measures(
    reference: Integers, boxes: Integers, axes: Integers, affines: Floats
) -> dict[BoxMetric, Floats]:
    there = has_box(boxes)
    first, second = reference[there], boxes[there]

    def spread(values: Floats) -> Floats:
        full = np.full(len(reference), np.nan)
        full[there] = values
        return full

    return {
        **_of_iou(spread(ious(first, second))),
        BoxMetric.SLICE_OVERLAP: spread(slice_overlaps(first, second, axes[there])),
        BoxMetric.CENTRE_MM: spread(centre_distances(first, second, affines[there])),
    }


def _of_iou(iou: Floats) -> dict[BoxMetric, Floats]:
    """IoU and its hit rates; what else there is is NaN."""
    values = {metric: np.full(len(iou), np.nan) for metric in BoxMetric}
    values[BoxMetric.IOU] = iou
    for metric, threshold in zip(_HITS, HIT_AT, strict=True):
        values[metric] = np.where(np.isnan(iou), np.nan, iou >= threshold)
    return values


_HITS = (BoxMetric.HIT_10, BoxMetric.HIT_25, BoxMetric.HIT_50)


def box_rows(table: BenchTable, located: Located, resampling: Resampling) -> Iterator[BoxRow]:
    """Yields rows by box source: all items, features, questions, visits, training overlap."""
    questions = table.items.question[located.rows]
    features = np.array([_FEATURES.index(QUESTIONS[int(q)].feature) for q in questions], np.int64)
    volumes = table.items.volume[located.rows]
    for number in np.unique(located.source):
        one = _OfSource(located, int(number), resampling)
        yield one.row(ALL, np.ones(len(questions), bool))
        for place in np.unique(features[one.mask]):
            yield one.row(ALL, features == place, feature=_FEATURES[place])
        for name in ("visit", "segmenter_trained_on"):
            values = np.array([stratum_word(getattr(v, name)) for v in table.volumes])[volumes]
            for value in np.unique(values[one.mask]):
                yield one.row(Stratum(dimension=name, value=str(value)), values == value)
        for place in np.unique(questions[one.mask]):
            question = QUESTIONS[int(place)]
            stratum = Stratum(dimension="question", value=question.region)
            row = one.row(stratum, questions == place, feature=question.feature)
            yield row.model_copy(update={"question_id": question.question_id})


class _OfSource:
    """Rows of one box source."""

    def __init__(self, located: Located, source: int, resampling: Resampling) -> None:
        self.mask: Booleans = located.source == source
        self._located, self._resampling = located, resampling
        self._source = SOURCES[source]

    def row(self, stratum: Stratum, mask: Booleans, feature: Feature | None = None) -> BoxRow:
        """Returns the row of some of the source's items."""
        chosen = np.flatnonzero(self.mask & mask)
        located = self._located
        n_patients = len(np.unique(located.patient[chosen]))
        iou = located.values[BoxMetric.IOU][chosen]
        return BoxRow(
            box_source=self._source,
            stratum=stratum,
            feature=feature,
            counts=counts_of(located.why[chosen], n_patients),
            figures=self._figures(chosen, n_patients),
            iou_histogram=histogram(np.nan_to_num(iou)),
        )

    def _figures(self, chosen: Integers, n_patients: int) -> tuple[BoxFigure, ...]:
        """All figures at once: sums and numbers of items by patient, resampled together."""
        located = self._located
        patients = located.patient[chosen]
        columns = np.empty((len(chosen), 2 * len(_FORMS)))
        for place, (metric, form) in enumerate(_FORMS):
            value, counts = weighed(located.values, located.baselines, metric, form, chosen)
            columns[:, 2 * place], columns[:, 2 * place + 1] = value, counts
        by_patient = np.zeros((int(patients.max()) + 1, columns.shape[1]))
        np.add.at(by_patient, patients, columns)
        sums = resampled(self._resampling, patients, by_patient)
        few = too_few(patients=n_patients)
        return tuple(
            BoxFigure(
                metric=metric,
                form=form,
                n=round(sums[0, 2 * place + 1]),
                **statistic(
                    ratio(sums[:, 2 * place], sums[:, 2 * place + 1]), "nothing to count", few
                )._asdict(),
                baselines={
                    name: _baseline(
                        values, located.baselines, metric, form, _reached(located, name, chosen)
                    )
                    for name, values in located.baselines.items()
                },
            )
            for place, (metric, form) in enumerate(_FORMS)
        )


def _reached(located: Located, name: BoxBaseline, chosen: Integers) -> Integers:
    """The items that a baseline is over: of the ceiling of the slices, those that had slices."""
    if name is not BoxBaseline.BEST_OF_SLICES:
        return chosen
    return chosen[~np.isnan(located.baselines[name][BoxMetric.IOU][chosen])]


def weighed(
    values: dict[BoxMetric, Floats],
    baselines: dict[BoxBaseline, dict[BoxMetric, Floats]],
    metric: BoxMetric,
    form: Form,
    chosen: Integers,
) -> tuple[Floats, Floats]:
    """Returns (items,) what each item adds to a mean, and whether it counts in it."""
    value = values[metric][chosen]
    counts = np.ones(len(chosen), bool)
    if metric is BoxMetric.GAIN:
        # Without a box the answer overlaps with nothing, and loses what the mean box has.
        mean_box = baselines[BoxBaseline.MEAN_BOX][BoxMetric.IOU][chosen]
        value = np.where(np.isnan(value), -mean_box, value)
        counts = ~np.isnan(mean_box)
    if form is Form.SCORED:
        counts = counts & ~np.isnan(values[BoxMetric.IOU][chosen])
    return np.where(counts, np.nan_to_num(value), 0.0), counts.astype(float)


def _baseline(
    values: dict[BoxMetric, Floats],
    baselines: dict[BoxBaseline, dict[BoxMetric, Floats]],
    metric: BoxMetric,
    form: Form,
    chosen: Integers,
) -> float | None:
    """One figure of a baseline; None where it has none."""
    if np.isnan(values[metric][chosen]).all():
        return None
    value, counts = weighed(values, baselines, metric, form, chosen)
    return float(value.sum() / counts.sum()) if counts.any() else None
