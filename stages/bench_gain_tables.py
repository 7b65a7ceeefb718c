"""A model against its baselines, and against a second model, as rows for people."""

from collections.abc import Iterator, Sequence

from eval.grade_baselines import GradeBaseline
from eval.localization import BoxBaseline
from eval.score_records import BaselineGain, BenchScores, PairedScore
from eval.severity import Over
from stages.bench_report_tables import ReportTable, run_name
from stages.bench_tables import shown, with_interval
from stages.console import show_table

GAIN_COLUMNS = (
    "figure",
    "feature",
    "baseline",
    "answered / total",
    "with finding",
    "model",
    "baseline's",
    "difference (95 %)",
    "p",
    "p (Holm)",
    "differ / patients",
)
_GAIN_NOTE = (
    "The model less the baseline over what the baseline answers; an answer without a grade or a "
    "box is wrong. Both are resampled together over patients; p by swapping the two in whole "
    "patients, adjusted by Holm over the features. By feature: against the region's "
    "majority and the mean box; all others are in scores.json."
)
_BY_FEATURE = {
    (GradeBaseline.REGION_MAJORITY, Over.ALL),
    (BoxBaseline.MEAN_BOX, Over.ALL),
}
"""Rows of a single feature that the report shows."""


def gain_row(gain: BaselineGain) -> tuple[str, ...]:
    """Returns one difference for people."""
    return (
        _figure_name(gain),
        "all" if gain.feature is None else gain.feature.value,
        gain.baseline.value.replace("_", " "),
        f"{gain.n_scored} / {gain.n}",
        "–" if gain.n_positive is None else str(gain.n_positive),
        shown(gain.model.value),
        shown(gain.of_baseline.value),
        with_interval(gain.difference),
        shown(gain.p, 4),
        shown(gain.p_holm, 4),
        f"{gain.n_differing} / {gain.n_patients}",
    )


def _figure_name(gain: BaselineGain) -> str:
    if gain.box_source is not None:
        return f"IoU, boxes from {gain.box_source.value}"
    over = " of findings" if gain.over is Over.POSITIVE else ""
    return f"macro recall{over}" + (", frequent grades" if gain.frequent else "")


def show_gains(scores: BenchScores) -> None:
    """Draws the differences over all features on stderr; those of each feature are in the file."""
    rows = [gain_row(gain) for gain in scores.gains if gain.feature is None]
    if rows:
        kept = [
            place for place, name in enumerate(GAIN_COLUMNS) if name not in ("feature", "p (Holm)")
        ]
        show_table(
            "against the baselines, over what each answers: patients paired, p by swapping",
            [GAIN_COLUMNS[place] for place in kept],
            [[row[place] for place in kept] for row in rows],
        )


def gain_tables(runs: Sequence[BenchScores]) -> Iterator[ReportTable]:
    """Yields a table a run: differences over all features, then each feature's telling ones."""
    for scores in runs:
        whole = [gain for gain in scores.gains if gain.feature is None]
        single = [
            gain
            for gain in scores.gains
            if gain.feature is not None and (gain.baseline, gain.over) in _BY_FEATURE
        ]
        yield ReportTable(
            run_name(scores),
            _GAIN_NOTE,
            GAIN_COLUMNS,
            tuple(gain_row(gain) for gain in (*whole, *single)),
        )


def comparison_tables(runs: Sequence[BenchScores]) -> Iterator[ReportTable]:
    """Yields a table for each run that was scored beside a second model."""
    for scores in runs:
        if scores.comparison is None:
            continue
        other = scores.comparison.other
        yield ReportTable(
            f"{run_name(scores)} (A) and {other.model} · {other.setting.value} (B)",
            "Macro recall (mean over the components and grades of a feature) and IoU, primary "
            "form, patients paired; p by swapping the models of whole patients, Holm over the "
            "features.",
            (
                "figure",
                "feature",
                "A",
                "B",
                "B - A (95 %)",
                "n",
                "p",
                "p (Holm)",
                "differ / patients",
            ),
            (
                *(_paired_row("macro recall", one) for one in scores.comparison.grading),
                *(_paired_row("IoU", one) for one in scores.comparison.localisation),
            ),
        )


def _paired_row(what: str, one: PairedScore) -> tuple[str, ...]:
    return (
        what if one.box_source is None else f"{what}, boxes from {one.box_source.value}",
        "all" if one.feature is None else one.feature.value,
        shown(one.a.value),
        shown(one.b.value),
        with_interval(one.difference),
        str(one.n),
        shown(one.p, 4),
        shown(one.p_holm, 4),
        f"{one.n_differing} / {one.n_patients}",
    )
