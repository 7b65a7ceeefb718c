"""Tables, confusion matrices and histograms of scored runs, as plain rows for Markdown and HTML."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eval.agreement import Weighting
from eval.bench_records import BenchControl, ReaderKappa
from eval.grade_baselines import GradeBaseline
from eval.localization import BoxBaseline, BoxMetric
from eval.score_records import BenchScores, BoxRow, GradeRow
from eval.severity import Form, Metric, Over
from knee.findings import BoxSource
from knee.moaks import SCALES, Component, Feature, ScaleType
from stages.bench_tables import shown, with_interval

_OWN_METRIC = {
    ScaleType.ORDINAL: Metric.QWK,
    ScaleType.COUNT: Metric.QWK,
    ScaleType.NOMINAL: Metric.MACRO_F1,
    ScaleType.BINARY: Metric.BALANCED_ACCURACY,
}
"""The figure of each scale type beside macro recall (RULES 2)."""
_METRIC_NAMES = {
    Metric.QWK: "QWK",
    Metric.MACRO_F1: "macro-F1",
    Metric.BALANCED_ACCURACY: "balanced accuracy",
}


class ReportTable(NamedTuple):
    """One table."""

    title: str
    """Heading."""
    note: str
    """What its figures are."""
    columns: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """Cells as they are shown."""


class Confusion(NamedTuple):
    """One confusion matrix."""

    title: str
    """Component, with its counts."""
    grades: tuple[int, ...]
    """Of rows and of all columns but the last."""
    rows: tuple[tuple[int, ...], ...]
    """True grade by answered grade, the last column without a grade."""
    largest: int
    """Largest cell, for the shading."""


class Histogram(NamedTuple):
    """IoU of one run and box source."""

    title: str
    """Run and box source."""
    counts: tuple[int, ...]
    """Items by IoU in equal bins from 0 to 1."""
    largest: int
    """Largest bin."""


def run_name(scores: BenchScores) -> str:
    """Returns what a run is called in the report: model, setting, control."""
    run = scores.run
    control = "" if run.control is BenchControl.NONE else f" – {run.control.value}"
    return f"{run.model} · {run.setting.value}{control}"


def model_table(runs: Sequence[BenchScores]) -> ReportTable:
    """Returns one row a run: its counts and its headline."""
    return ReportTable(
        "Models",
        "Macro recall is the mean over all (feature, component) and their true grades; an answer "
        "without a grade is wrong. 95 % intervals over patients. Majority: the region's most "
        "frequent training grade; rule: what the measurement rule gives.",
        (
            "run",
            "licence",
            "answered / asked",
            "unparsed",
            "failed",
            "graded / components",
            "of them with finding",
            "macro recall",
            "macro recall of findings",
            "majority",
            "rule",
            "random",
            "scored only",
        ),
        tuple(_model_row(scores) for scores in runs),
    )


def _model_row(scores: BenchScores) -> tuple[str, ...]:
    counts = scores.items
    found = {
        (h.figure.metric, h.figure.over, h.figure.form): h.figure
        for h in scores.headlines
        if h.stratum.dimension == "all" and not h.frequent
    }
    whole = next((h for h in scores.headlines if h.stratum.dimension == "all"), None)
    primary = found.get((Metric.MACRO_RECALL, Over.ALL, Form.PRIMARY))
    positive = found.get((Metric.MACRO_RECALL, Over.POSITIVE, Form.PRIMARY))
    scored = found.get((Metric.MACRO_RECALL, Over.ALL, Form.SCORED))
    baselines = {} if primary is None else primary.baselines
    return (
        run_name(scores),
        scores.run.licence,
        f"{counts.n_scored} / {scores.run.n_items}",
        str(counts.n_unparsed),
        str(counts.n_failed - counts.n_missing),
        "–" if whole is None else f"{whole.counts.n_scored} / {whole.counts.n_total}",
        "–" if whole is None else f"{whole.n_positive_scored} / {whole.n_positive}",
        "–" if primary is None else with_interval(primary),
        "–" if positive is None else with_interval(positive),
        *(
            shown(baselines.get(name))
            for name in (
                GradeBaseline.REGION_MAJORITY,
                GradeBaseline.MEASUREMENT_RULE,
                GradeBaseline.RANDOM,
            )
        ),
        shown(None if scored is None else scored.value),
    )


def feature_tables(runs: Sequence[BenchScores]) -> Iterator[ReportTable]:
    """Yields a table a run: each component with its figures, its baselines and readers' kappas."""
    for scores in runs:
        yield ReportTable(
            run_name(scores),
            "Primary form. The second figure is quadratic-weighted kappa of ordinal scales and "
            "counts, macro-F1 of nominal ones, balanced accuracy of binary ones. Readers: between-"
            "reader kappa of this bench's store, quadratic-weighted where the figure is, and as "
            "MOAKS published it, of the part named.",
            (
                "component",
                "graded / total",
                "with finding",
                "macro recall",
                "majority",
                "figure",
                "value",
                "majority's",
                "readers",
                "published",
            ),
            tuple(
                _feature_row(
                    row,
                    [
                        k
                        for k in scores.readers
                        if (k.feature, k.component) == (row.feature, row.component)
                    ],
                )
                for row in whole_rows(scores)
            ),
        )


def whole_rows(scores: BenchScores) -> list[GradeRow]:
    """Returns the grading of the whole bench, a row a component."""
    return [row for row in scores.grading if row.stratum.dimension == "all"]


def _feature_row(row: GradeRow, readers: Sequence[ReaderKappa]) -> tuple[str, ...]:
    found = {
        figure.metric: figure
        for figure in row.figures
        if figure.form is Form.PRIMARY and figure.over is Over.ALL
    }
    own = _OWN_METRIC[row.scale_type]
    recall, second = found.get(Metric.MACRO_RECALL), found.get(own)
    majority = GradeBaseline.REGION_MAJORITY
    return (
        f"{row.feature.value} {row.component.value}",
        f"{row.counts.n_scored} / {row.counts.n_total}",
        f"{row.n_positive_scored} / {row.n_positive}",
        "–" if recall is None else with_interval(recall),
        shown(None if recall is None else recall.baselines.get(majority)),
        _METRIC_NAMES[own],
        "–" if second is None else with_interval(second),
        shown(None if second is None else second.baselines.get(majority)),
        _kappa(readers, Weighting.QUADRATIC if own is Metric.QWK else Weighting.NONE),
        _published(readers),
    )


def _kappa(readers: Sequence[ReaderKappa], weighting: Weighting) -> str:
    """The store's own kappa over all parts, weighted as the figure beside it."""
    for one in readers:
        if (one.part, one.weighting) == ("all", weighting.value) and one.kappa is not None:
            return f"{one.kappa:.2f} ({one.n_pairs} pairs)"
    return "–"


def _published(readers: Sequence[ReaderKappa]) -> str:
    """Published kappas, each with its part: MOAKS' paper names those of the tibia alone."""
    found = {k.part: k.published for k in readers if k.published is not None}
    return "; ".join(f"{part} {value:.2f}" for part, value in sorted(found.items())) or "–"


def box_table(runs: Sequence[BenchScores]) -> ReportTable | None:
    """Returns localisation by run and box source; None where no run was asked for boxes."""
    rows: list[tuple[str, ...]] = []
    for scores in runs:
        for row in _whole_boxes(scores):
            found = {f.metric: f for f in row.figures if f.form is Form.PRIMARY}
            # A distance is of answers with a box alone.
            centre = [f.value for f in row.figures if f.metric is BoxMetric.CENTRE_MM]
            iou, gain = found[BoxMetric.IOU], found.get(BoxMetric.GAIN)
            rows.append(
                (
                    run_name(scores),
                    row.box_source.value,
                    f"{row.counts.n_scored} / {row.counts.n_total}",
                    "–" if gain is None else with_interval(gain),
                    with_interval(iou),
                    *(shown(iou.baselines.get(name)) for name in BoxBaseline),
                    *(
                        shown(found[name].value if name in found else None)
                        for name in (BoxMetric.HIT_10, BoxMetric.HIT_25, BoxMetric.HIT_50)
                    ),
                    shown(centre[0] if centre else None, 1),
                )
            )
    if not rows:
        return None
    return ReportTable(
        "Localisation",
        "3D IoU in the stored voxel frame; an answer without a box overlaps with nothing. The "
        "headline is the gain over the mean training box. Box sources are never pooled. Best of "
        "slices is no baseline but what the pictures sent allow.",
        (
            "run",
            "box source",
            "with box / total",
            "gain over mean box",
            "IoU",
            *(f"IoU of {name.value.replace('_', ' ')}" for name in BoxBaseline),
            "hit ≥ 0.1",
            "≥ 0.25",
            "≥ 0.5",
            "centre, mm",
        ),
        tuple(rows),
    )


def _whole_boxes(scores: BenchScores) -> list[BoxRow]:
    return [
        row
        for row in scores.localisation
        if row.stratum.dimension == "all" and row.feature is None and row.question_id is None
    ]


def histograms(runs: Sequence[BenchScores]) -> list[Histogram]:
    """Returns IoU histograms by run and box source."""
    return [
        Histogram(
            f"{run_name(scores)} · {_source(row.box_source)} (boxes to "
            f"{row.counts.n_scored} of {row.counts.n_total} items)",
            row.iou_histogram,
            max(*row.iou_histogram, 1),
        )
        for scores in runs
        for row in _whole_boxes(scores)
    ]


def _source(source: BoxSource) -> str:
    return f"boxes from {source.value}"


def confusions(scores: BenchScores) -> list[Confusion]:
    """Returns the confusion matrix of each component of the whole bench."""
    found: list[Confusion] = []
    for row in whole_rows(scores):
        key: tuple[Feature, Component] = (row.feature, row.component)
        found.append(
            Confusion(
                f"{row.feature.value} {row.component.value}: graded {row.counts.n_scored} of "
                f"{row.counts.n_total}, with finding {row.n_positive_scored} of {row.n_positive}",
                SCALES[key].grades,
                row.confusion,
                max(*(n for line in row.confusion for n in line), 1),
            )
        )
    return found


def as_markdown(table: ReportTable) -> str:
    """Returns a table in Markdown, its heading and note before it."""
    lines = [f"## {table.title}", "", table.note, ""]
    lines += [_line(table.columns), "|" + "---|" * len(table.columns)]
    lines += [_line([cell.replace("|", "/") for cell in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
