"""Grading by stratum, feature and component: counts, figures, intervals, baselines."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from eval.agreement import MIN_FOR_INTERVAL
from eval.answer_table import AnswerTable, Why
from eval.bench_table import CELLS, NONE, SOURCES, BenchTable, Booleans, Floats, Integers, Small
from eval.bootstrap import Resampling, statistic, too_few
from eval.grade_baselines import GradeBaseline, random_table
from eval.score_records import (
    AmbiguousRow,
    Counts,
    Figure,
    GradeFigure,
    GradeRow,
    Headline,
    Stratum,
)
from eval.severity import (
    Figures,
    Form,
    Metric,
    Over,
    Sample,
    metrics_of,
    positive_grades,
    values_of,
)
from knee.moaks import SCALES, ComponentScale
from knee.questions import QUESTIONS

ALL = Stratum(dimension="all", value="all")
BALANCED = Stratum(dimension="part", value="balanced")
HEADLINES: tuple[tuple[Metric, Over], ...] = (
    (Metric.MACRO_RECALL, Over.ALL),
    (Metric.MACRO_RECALL, Over.POSITIVE),
    (Metric.EXACT, Over.ALL),
    (Metric.EXACT, Over.POSITIVE),
    (Metric.QWK, Over.ALL),
)
"""Figures of the model table."""


class Graded(NamedTuple):
    """A model's grades beside the bench, and what the figures need."""

    table: BenchTable
    """The bench."""
    answers: AnswerTable
    """The model's answers."""
    baselines: dict[GradeBaseline, Small]
    """Grades of the baselines."""
    resampling: Resampling
    """Over the bench's patients."""


def strata(table: BenchTable) -> Iterator[tuple[Stratum, Booleans]]:
    """Yields every stratum but the single questions, with its components; ambiguous ones apart."""
    components = table.components
    read = components.grade != NONE
    yield ALL, read
    yield BALANCED, read & components.balanced
    volume = table.items.volume[components.item]
    for name in ("visit", "segmenter_trained_on"):
        values = np.array([stratum_word(getattr(one, name)) for one in table.volumes])[volume]
        for value in sorted(set(values.tolist())):
            yield Stratum(dimension=name, value=value), read & (values == value)
    source = table.items.source[components.item]
    for number in sorted(set(source[read].tolist())):
        name = "none" if number == NONE else SOURCES[number].value
        yield Stratum(dimension="box_source", value=name), read & (source == number)
    for project in sorted({name for projects in table.projects for name in projects}):
        holding = [n for n, projects in enumerate(table.projects) if project in projects]
        mask = read & np.isin(components.projects, holding)
        yield Stratum(dimension="readprj", value=project), mask


def stratum_word(value: str | bool | None) -> str:
    """Returns a value of a volume as strata name it."""
    if value is None:
        return "not_known"
    return value if isinstance(value, str) else "yes" if value else "no"


def grade_rows(graded: Graded) -> Iterator[GradeRow]:
    """Yields a row for each stratum and component, then for each question's components."""
    components = graded.table.components
    for stratum, mask in strata(graded.table):
        for cell, rows in _by_key(components.cell, np.flatnonzero(mask)):
            yield _row(graded, stratum, cell, rows)
    read = np.flatnonzero(components.grade != NONE)
    questions = graded.table.items.question[components.item]
    keys = questions.astype(np.int64) * len(CELLS) + components.cell
    for key, rows in _by_key(keys, read):
        question, cell = divmod(key, len(CELLS))
        name = Stratum(dimension="question", value=QUESTIONS[question].region)
        yield _row(graded, name, cell, rows, question_id=question)


def _by_key(keys: Integers | Small, rows: Integers) -> Iterator[tuple[int, Integers]]:
    """Rows of each key that occurs, ascending by key."""
    if not len(rows):
        return
    own = keys[rows]
    order = np.argsort(own, kind="stable")
    sorted_keys = own[order]
    starts = np.flatnonzero(np.diff(sorted_keys, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        yield int(sorted_keys[start]), rows[order[start:end]]


def patient_tables(patients: Integers, truth: Small, answered: Small, n_grades: int) -> Floats:
    """Returns (up to the last patient, grades, grades + 1) counts."""
    columns = np.where(answered == NONE, n_grades, answered).astype(np.int64)
    flat = (patients * n_grades + truth) * (n_grades + 1) + columns
    size = (int(patients.max()) + 1) * n_grades * (n_grades + 1)
    return np.bincount(flat, minlength=size).reshape(-1, n_grades, n_grades + 1).astype(float)


def resampled(resampling: Resampling, patients: Integers, counts: Floats) -> Floats:
    """Returns (1 + resamples, …) sums of counts whose row n is of patient n; later ones have none.

    Patients without any count are left out of the product, not of the resampling.
    """
    present = np.unique(patients)
    weights = resampling.weights
    if 2 * len(present) > weights.shape[1]:  # a copy of most columns costs more than it saves
        return Resampling(weights[:, : len(counts)]).sums(counts)
    return Resampling(weights[:, present]).sums(counts[present])


def _row(
    graded: Graded, stratum: Stratum, cell: int, rows: Integers, *, question_id: int | None = None
) -> GradeRow:
    feature, component = CELLS[cell]
    scale = SCALES[feature, component]
    n_grades = len(scale.grades)
    truth, answered = graded.table.components.grade[rows], graded.answers.grade[rows]
    patients = graded.table.component_patient[rows]
    counts = patient_tables(patients, truth, answered, n_grades)
    own = Sample(resampled(graded.resampling, patients, counts), scale.grades)
    n_patients = len(np.unique(patients))
    positive = np.isin(truth, positive_grades(scale))
    figures = Figures(own, scale, n_patients, len(np.unique(patients[positive])))
    baselines = {
        name: {
            Over.ALL: Sample(table, scale.grades),
            Over.POSITIVE: Sample(table, scale.grades).rows(positive_grades(scale)),
        }
        for name, table in _baseline_tables(graded, rows, truth, n_grades).items()
    }
    return GradeRow(
        stratum=stratum,
        feature=feature,
        component=component,
        question_id=question_id,
        scale_type=scale.scale_type,
        counts=counts_of(graded.answers.why[rows], n_patients),
        n_positive=int(positive.sum()),
        n_positive_scored=int((positive & (answered != NONE)).sum()),
        confusion=tuple(tuple(int(n) for n in line) for line in own.tables[0]),
        figures=tuple(
            GradeFigure(
                metric=metric,
                over=over,
                form=form,
                **figures.statistic(metric, over, form)._asdict(),
                baselines={
                    name: _number(float(values_of(samples[over], metric, form)[0]))
                    for name, samples in baselines.items()
                },
            )
            for over in Over
            for metric in metrics_of(scale, over)
            for form in Form
        ),
    )


def counts_of(why: Small, n_patients: int) -> Counts:
    """Returns what became of components or items, from their `Why`."""
    n = np.bincount(why, minlength=len(Why))
    return Counts(
        n_total=len(why),
        n_scored=int(n[Why.GRADED]),
        n_unparsed=int(n[Why.UNPARSED] + n[Why.OFF_SCALE]),
        n_off_scale=int(n[Why.OFF_SCALE]),
        n_failed=int(n[Why.FAILED] + n[Why.MISSING]),
        n_missing=int(n[Why.MISSING]),
        n_patients=n_patients,
    )


def _baseline_tables(
    graded: Graded, rows: Integers, truth: Small, n_grades: int
) -> dict[GradeBaseline, Floats]:
    nobody = np.zeros(len(rows), np.int64)
    tables = {
        name: patient_tables(nobody, truth, grades[rows], n_grades)
        for name, grades in graded.baselines.items()
    }
    true_counts = np.bincount(truth, minlength=n_grades).astype(float)
    tables[GradeBaseline.RANDOM] = random_table(true_counts)[np.newaxis]
    return tables


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


class _Cell(NamedTuple):
    """What headlines need of one (feature, component)."""

    sample: Sample
    scale: ComponentScale
    baselines: dict[GradeBaseline, Sample]

    def rows(self, kept: Sequence[int]) -> "_Cell":
        baselines = {name: sample.rows(kept) for name, sample in self.baselines.items()}
        return _Cell(self.sample.rows(kept), self.scale, baselines)


def headlines(graded: Graded) -> Iterator[Headline]:
    """Yields means over all (feature, component), of all reads and of the balanced part.

    Every (feature, component) counts the same, however many regions it has. Macro recall comes a
    second time, over the grades that enough patients have: a rare grade is missing in many a
    resample, and then there is no interval.
    """
    for stratum, mask in strata(graded.table):
        if stratum not in (ALL, BALANCED):
            continue
        patients = np.unique(graded.table.component_patient[mask])
        cells: list[_Cell] = []
        frequent: list[_Cell] = []
        positive: list[Integers] = []
        for cell, rows in _by_key(graded.table.components.cell, np.flatnonzero(mask)):
            one, common = _cell(graded, cell, rows)
            cells.append(one)
            frequent.append(one.rows(common))
            truth = graded.table.components.grade[rows]
            positive.append(rows[np.isin(truth, positive_grades(one.scale))])
        found = np.concatenate([np.zeros(0, np.int64), *positive])
        n_found = len(np.unique(graded.table.component_patient[found]))
        for metric, over in HEADLINES:
            for form in Form:
                for chosen in (cells, frequent) if metric is Metric.MACRO_RECALL else (cells,):
                    n_patients = n_found if over is Over.POSITIVE else len(patients)
                    figure, n = _headline(chosen, metric, over, form, n_patients)
                    yield Headline(
                        stratum=stratum,
                        frequent=chosen is frequent,
                        n_cells=n,
                        counts=counts_of(graded.answers.why[mask], len(patients)),
                        n_positive=len(found),
                        n_positive_scored=int((graded.answers.grade[found] != NONE).sum()),
                        figure=figure,
                    )


def _cell(graded: Graded, cell: int, rows: Integers) -> tuple[_Cell, list[int]]:
    """A cell, and its grades that enough patients have for an interval."""
    scale = SCALES[CELLS[cell]]
    n_grades = len(scale.grades)
    truth, patients = graded.table.components.grade[rows], graded.table.component_patient[rows]
    counts = patient_tables(patients, truth, graded.answers.grade[rows], n_grades)
    n_with = (counts.sum(axis=2) > 0).sum(axis=0)
    tables = _baseline_tables(graded, rows, truth, n_grades)
    sample = Sample(resampled(graded.resampling, patients, counts), scale.grades)
    baselines = {name: Sample(table, scale.grades) for name, table in tables.items()}
    common = [grade for grade in scale.grades if n_with[grade] >= MIN_FOR_INTERVAL]
    return _Cell(sample, scale, baselines), common


def _headline(
    cells: Sequence[_Cell], metric: Metric, over: Over, form: Form, n_patients: int
) -> tuple[GradeFigure, int]:
    values: list[Floats] = []
    baselines: dict[GradeBaseline, list[float]] = {name: [] for name in GradeBaseline}
    for cell in cells:
        if metric not in metrics_of(cell.scale, Over.ALL):
            continue
        chosen = cell.rows(positive_grades(cell.scale)) if over is Over.POSITIVE else cell
        one = values_of(chosen.sample, metric, form)
        if np.isnan(one[0]):
            continue
        values.append(one)
        for name, sample in chosen.baselines.items():
            baselines[name].append(float(values_of(sample, metric, form)[0]))
    mean = np.mean(values, axis=0) if values else np.array([np.nan])
    # The sample's own mean is added up as the baselines' are: equal values have equal means.
    mean[0] = _mean_of([float(one[0]) for one in values])
    found = statistic(mean, "defined for no component", too_few(patients=n_patients))
    figure = GradeFigure(
        metric=metric,
        over=over,
        form=form,
        **found._asdict(),
        baselines={name: _number(_mean_of(given)) for name, given in baselines.items()},
    )
    return figure, len(values)


def _mean_of(values: Sequence[float]) -> float:
    """The mean where all are defined, else NaN: over fewer it would be another figure."""
    return math.fsum(values) / len(values) if values else math.nan


def ambiguous_rows(graded: Graded) -> Iterator[AmbiguousRow]:
    """Yields a row for each component that has ambiguous reads: credit for any grade given."""
    components = graded.table.components
    ambiguous = np.flatnonzero(components.grade == NONE)
    for cell, rows in _by_key(components.cell, ambiguous):
        feature, component = CELLS[cell]
        accepted = components.accepted[rows].astype(np.int64)
        hits, answered = _accepted(graded.answers.grade[rows], accepted)
        patients = graded.table.component_patient[rows]
        n_patients = len(np.unique(patients))
        n_legal = len(SCALES[feature, component].grades)
        bits = accepted[:, np.newaxis] >> np.arange(n_legal) & 1
        baselines: dict[GradeBaseline, float | None] = {
            name: float(_accepted(grades[rows], accepted)[0].mean())
            for name, grades in graded.baselines.items()
        }
        baselines[GradeBaseline.RANDOM] = float(bits.mean())
        columns = np.stack([hits, np.ones(len(rows)), answered], axis=1)
        counts = np.zeros((int(patients.max()) + 1, 3))
        np.add.at(counts, patients, columns)
        sums = resampled(graded.resampling, patients, counts)
        few = too_few(patients=n_patients)
        yield AmbiguousRow(
            feature=feature,
            component=component,
            counts=counts_of(graded.answers.why[rows], n_patients),
            accepted=_share(sums[:, 0], sums[:, 1], few),
            accepted_scored=_share(sums[:, 0], sums[:, 2], few),
            baselines=baselines,
        )


def _accepted(grades: Small, accepted: Integers) -> tuple[Floats, Floats]:
    """Whether each grade is among the accepted ones, and whether there is one."""
    answered = grades != NONE
    hits = answered & (accepted >> np.where(answered, grades, 0) & 1).astype(bool)
    return hits.astype(float), answered.astype(float)


def _share(part: Floats, whole: Floats, no_interval: str | None) -> Figure:
    values = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return Figure.of(statistic(values, "nothing to count", no_interval))
