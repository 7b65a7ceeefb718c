"""The scores of a model as tables for people; every share has its counts beside it."""

from collections.abc import Sequence

from eval.grade_baselines import GradeBaseline
from eval.localization import BoxBaseline, BoxMetric
from eval.score_records import (
    BenchScores,
    BoxFigure,
    BoxRow,
    Figure,
    GradeFigure,
    GradeRow,
    Headline,
    PairedScore,
)
from eval.severity import Form, Metric, Over
from stages.console import say, show_table

_BASELINES = (
    GradeBaseline.MAJORITY,
    GradeBaseline.REGION_MAJORITY,
    GradeBaseline.MEASUREMENT_RULE,
    GradeBaseline.RANDOM,
)


def shown(value: float | None, digits: int = 3) -> str:
    """Returns a number for people; what is not defined is a dash, never 0."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(figure: Figure, digits: int = 3) -> str:
    """Returns a figure with its interval where it has one."""
    if figure.low is None or figure.high is None:
        return shown(figure.value, digits)
    return f"{shown(figure.value, digits)} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def show_scores(scores: BenchScores) -> None:
    """Draws the tables of a model on stderr."""
    for note in scores.notes:
        say(note)
    counts = scores.items
    run = f"{scores.run.model}, {scores.run.setting.value}, control {scores.run.control.value}"
    show_table(
        f"{scores.bench.name}: {run}: items",
        ["items", "answered", "unparsed", "failed", "of them never asked", "patients"],
        [
            [
                counts.n_total,
                counts.n_scored,
                counts.n_unparsed,
                counts.n_failed,
                counts.n_missing,
                counts.n_patients,
            ]
        ],
    )
    _show_headlines(scores)
    _show_grading(scores)
    if scores.ambiguous:
        _show_ambiguous(scores)
    if scores.localisation:
        _show_boxes(scores.localisation)
    if scores.reasoning.n_checked:
        _show_reasoning(scores)
    if scores.comparison is not None:
        _show_comparison(scores)


def _show_headlines(scores: BenchScores) -> None:
    scored = {
        _key(one): one.figure.value for one in scores.headlines if one.figure.form is Form.SCORED
    }
    show_table(
        "means over all (feature, component): an answer without a grade is wrong; frequent: grades "
        "that at least 10 patients have",
        [
            *("part", "grades", "figure", "model", *_BASELINES, "scored only"),
            *("scored/total", "with finding", "figures"),
        ],
        [
            [
                one.stratum.value,
                "frequent" if one.frequent else "all",
                _name(one.figure),
                with_interval(one.figure),
                *(shown(one.figure.baselines.get(name)) for name in _BASELINES),
                shown(scored[_key(one)]),
                f"{one.counts.n_scored}/{one.counts.n_total}",
                f"{one.n_positive_scored}/{one.n_positive}",
                one.n_cells,
            ]
            for one in scores.headlines
            if one.figure.form is Form.PRIMARY
        ],
    )


def _key(one: Headline) -> tuple[str, bool, Metric, Over]:
    return one.stratum.value, one.frequent, one.figure.metric, one.figure.over


def _name(figure: GradeFigure) -> str:
    more = " (finding)" if figure.over is Over.POSITIVE else ""
    return figure.metric.value.replace("quadratic_weighted_kappa", "QWK") + more


def _show_grading(scores: BenchScores) -> None:
    rows = [row for row in scores.grading if row.stratum.dimension == "all"]
    show_table(
        "grading, all reads, primary form: answers without a grade are wrong",
        ["component", "scored/total", "with finding", "macro recall", "majority", "exact", "QWK"],
        [
            [
                f"{row.feature.value} {row.component.value}",
                f"{row.counts.n_scored}/{row.counts.n_total}",
                f"{row.n_positive_scored}/{row.n_positive}",
                _of(row, Metric.MACRO_RECALL),
                shown(_baseline(row, Metric.MACRO_RECALL)),
                _of(row, Metric.EXACT),
                _of(row, Metric.QWK),
            ]
            for row in rows
        ],
    )


def _figure(row: GradeRow, metric: Metric) -> GradeFigure | None:
    for figure in row.figures:
        if (figure.metric, figure.over, figure.form) == (metric, Over.ALL, Form.PRIMARY):
            return figure
    return None


def _of(row: GradeRow, metric: Metric) -> str:
    figure = _figure(row, metric)
    return "–" if figure is None else with_interval(figure, 2)


def _baseline(row: GradeRow, metric: Metric) -> float | None:
    figure = _figure(row, metric)
    return None if figure is None else figure.baselines.get(GradeBaseline.REGION_MAJORITY)


def _show_ambiguous(scores: BenchScores) -> None:
    show_table(
        "ambiguous part: reads gave different grades, credit for either",
        ["component", "scored/total", "accepted", "majority", "random"],
        [
            [
                f"{row.feature.value} {row.component.value}",
                f"{row.counts.n_scored}/{row.counts.n_total}",
                with_interval(row.accepted, 2),
                shown(row.baselines.get(GradeBaseline.MAJORITY)),
                shown(row.baselines.get(GradeBaseline.RANDOM)),
            ]
            for row in scores.ambiguous
        ],
    )


def _show_boxes(rows: Sequence[BoxRow]) -> None:
    chosen = [row for row in rows if row.stratum.dimension == "all"]
    show_table(
        "localisation by box source, primary form: without a box overlaps with nothing; the gain "
        "over the mean training box is the result",
        [
            *("boxes", "feature", "scored/total", "gain over mean box", "IoU", "mean box"),
            *("whole", "central", "best of slices", "centre, mm"),
        ],
        [
            [
                row.box_source.value,
                "all" if row.feature is None else row.feature.value,
                f"{row.counts.n_scored}/{row.counts.n_total}",
                with_interval(box_figure(row, BoxMetric.GAIN)),
                with_interval(box_figure(row, BoxMetric.IOU)),
                *(
                    shown(box_figure(row, BoxMetric.IOU).baselines.get(name))
                    for name in BoxBaseline
                ),
                shown(box_figure(row, BoxMetric.CENTRE_MM, Form.SCORED).value, 1),
            ]
            for row in chosen
        ],
    )


def box_figure(row: BoxRow, metric: BoxMetric, form: Form = Form.PRIMARY) -> BoxFigure:
    """Returns one figure of a row."""
    return next(one for one in row.figures if (one.metric, one.form) == (metric, form))


def _show_reasoning(scores: BenchScores) -> None:
    found = scores.reasoning
    show_table(
        f"texts before the grades: {found.n_sound} of {found.n_checked} checked without an issue",
        ["issue", "texts"],
        [[code, n] for code, n in found.codes.items()],
    )


def _show_comparison(scores: BenchScores) -> None:
    assert scores.comparison is not None
    other = scores.comparison.other
    show_table(
        f"A = {scores.run.model}, B = {other.model} ({other.setting.value}): patients paired, p by "
        "swapping, Holm over features",
        ["what", "feature", "A", "B", "B - A", "p", "p (Holm)", "differ/patients"],
        [
            *(_paired("macro recall", one) for one in scores.comparison.grading),
            *(_paired("IoU", one) for one in scores.comparison.localisation),
        ],
    )


def _paired(what: str, one: PairedScore) -> list[object]:
    return [
        what if one.box_source is None else f"{what}, {one.box_source.value}",
        "all" if one.feature is None else one.feature.value,
        shown(one.a.value),
        shown(one.b.value),
        with_interval(one.difference),
        shown(one.p, 4),
        shown(one.p_holm, 4),
        f"{one.n_differing}/{one.n_patients}",
    ]
