"""Figures of `tests.bench_tools`: macro accuracies with intervals, uncertainty, and tables."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np

from knee.moaks import Component, Feature, RuleBasis
from tests.bench_cases import Case

FAR_VOXELS = 1.0
"""Cases at least so far from a threshold are what the bars are about."""
MARGIN_BINS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, np.inf)
"""Voxels from the nearest threshold, for accuracy against margin."""
N_RESAMPLES = 500
BARS = {"overall": 0.95, "feature": 0.90}
"""Macro accuracy asked for of `moaks` cases at least one voxel from a threshold."""

Key = tuple[Feature, Component]


def macro(cases: Iterable[Case]) -> float | None:
    """Returns the mean over true grades of the share of right grades; None without a case."""
    by_grade: dict[int, list[bool]] = defaultdict(list)
    for case in cases:
        by_grade[case.true_grade].append(case.is_right)
    if not by_grade:
        return None
    return float(np.mean([np.mean(right) for right in by_grade.values()]))


def macro_interval(cases: Sequence[Case], seed: int = 0) -> tuple[float, float] | None:
    """Returns the 95 % interval of `macro` by bootstrap over knees (RULES 18)."""
    by_knee: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_knee[case.knee].append(case)
    knees = sorted(by_knee)
    if len(knees) < 10:
        return None
    grades = sorted({case.true_grade for case in cases})
    counts = np.zeros((len(knees), len(grades), 2))
    for row, knee in enumerate(knees):
        for case in by_knee[knee]:
            counts[row, grades.index(case.true_grade)] += (case.is_right, 1)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(knees), (N_RESAMPLES, len(knees)))
    total = counts[drawn].sum(axis=1)
    with np.errstate(invalid="ignore"):
        means = np.nanmean(total[:, :, 0] / total[:, :, 1], axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def far(cases: Iterable[Case]) -> list[Case]:
    """Returns the cases at least one voxel from a threshold."""
    return [case for case in cases if case.margin_voxels >= FAR_VOXELS]


def of_basis(cases: Iterable[Case], basis: RuleBasis) -> list[Case]:
    """Returns the cases whose rule has that basis."""
    return [case for case in cases if case.basis is basis]


def grouped(cases: Iterable[Case]) -> dict[Key, list[Case]]:
    """Returns cases by feature and component, in the order of the features."""
    groups: dict[Key, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: list(Feature).index(case.feature)):
        groups[case.feature, case.component].append(case)
    return groups


def accuracy_table(cases: Sequence[Case]) -> str:
    """Returns Markdown: macro accuracy by feature and component, all cases and far ones."""
    rows: list[str] = []
    for (feature, component), group in grouped(cases).items():
        rows.append(_accuracy_row(f"{feature.value} | {component.value}", group))
    by_feature: dict[Feature, list[Case]] = defaultdict(list)
    for case in cases:
        by_feature[case.feature].append(case)
    for feature, group in by_feature.items():
        if len({case.component for case in group}) > 1:
            rows.append(_accuracy_row(f"**{feature.value}** | all", group))
    if len(by_feature) > 1:
        rows.append(_accuracy_row("**all** | all", cases))
    head = (
        "| feature | component | all: macro | ≥ 1 voxel: macro (95 %) | right / cases by true "
        "grade, ≥ 1 voxel |\n|---|---|--:|--:|---|\n"
    )
    return head + "\n".join(rows)


def _accuracy_row(name: str, cases: Sequence[Case]) -> str:
    kept = far(cases)
    by_grade: dict[int, list[bool]] = defaultdict(list)
    for case in kept:
        by_grade[case.true_grade].append(case.is_right)
    counts = " · ".join(f"{g}: {sum(v)}/{len(v)}" for g, v in sorted(by_grade.items()))
    interval = macro_interval(kept)
    shown = _number(macro(kept))
    if interval is not None:
        shown += f" ({interval[0]:.2f}–{interval[1]:.2f})"
    return f"| {name} | {_number(macro(cases))} | {shown} | {counts} |"


def _number(value: float | None, digits: int = 3) -> str:
    return "NA" if value is None else f"{value:.{digits}f}"


def error_table(cases: Sequence[Case]) -> str:
    """Returns Markdown: how far measured and true extents differ, and whether `sd` says so.

    The SD of errors is to be held against the root mean square of the stated ones: most extents are
    0, with a small SD, which the median shows.
    """
    head = (
        "| feature | component | unit | cases | median error | SD of error | stated sd, RMS | "
        "stated sd, median | \\|error\\| ≤ 2 sd |\n|---|---|---|--:|--:|--:|--:|--:|--:|\n"
    )
    rows: list[str] = []
    for (feature, component), group in grouped(cases).items():
        pairs = [(c.error, c.sd) for c in group if c.error is not None and c.sd is not None]
        if not pairs:
            continue
        error, sd = np.asarray(pairs).T
        unit = _UNITS.get(feature, "%")
        within = float((np.abs(error) <= 2 * sd).mean())
        rows.append(
            f"| {feature.value} | {component.value} | {unit} | {len(pairs)} | "
            f"{np.median(error):+.2f} | {error.std():.2f} | {np.sqrt(np.mean(sd**2)):.2f} | "
            f"{np.median(sd):.2f} | {within:.2f} |"
        )
    return head + "\n".join(rows)


_UNITS = {Feature.OSTEOPHYTE: "mm", Feature.EXTRUSION: "mm", Feature.EFFUSION_SYNOVITIS: "mL"}


def borderline_table(cases: Sequence[Case]) -> str:
    """Returns Markdown: how often `borderline` is said, and how good it is."""
    head = (
        "| feature | component | borderline | right when not | right when so | wrong grades that "
        "were borderline |\n|---|---|--:|--:|--:|--:|\n"
    )
    rows: list[str] = []
    for (feature, component), group in grouped(cases).items():
        said = [c for c in group if c.borderline]
        rest = [c for c in group if not c.borderline]
        wrong = [c for c in group if not c.is_right]
        rows.append(
            f"| {feature.value} | {component.value} | {_share(group, lambda c: c.borderline)} | "
            f"{_share(rest, lambda c: c.is_right)} | {_share(said, lambda c: c.is_right)} | "
            f"{_share(wrong, lambda c: c.borderline)} |"
        )
    return head + "\n".join(rows)


def _share(cases: Sequence[Case], holds: Callable[[Case], bool]) -> str:
    return f"{np.mean([holds(case) for case in cases]):.2f}" if cases else "NA"


def margin_rows(cases: Sequence[Case]) -> list[dict[str, str]]:
    """Returns rows for the CSV of accuracy against margin, by feature and component.

    Cases without a margin (counts, extents of nothing) are left out.
    """
    rows: list[dict[str, str]] = []
    for (feature, component), group in grouped(cases).items():
        for low, high in pairwise(MARGIN_BINS):
            here = [c for c in group if low <= c.margin_voxels < high and np.isfinite(c.margin)]
            if not here:
                continue
            tolerant = np.mean([c.is_right or c.borderline for c in here])
            rows.append(
                {
                    "feature": feature.value,
                    "component": component.value,
                    "basis": here[0].basis.value,
                    "voxels_from": f"{low:g}",
                    "voxels_to": f"{high:g}",
                    "cases": str(len(here)),
                    "right": f"{np.mean([c.is_right for c in here]):.4f}",
                    "right_or_borderline": f"{tolerant:.4f}",
                }
            )
    return rows


def missed_bars(cases: Sequence[Case]) -> list[str]:
    """Returns the bars that the far `moaks` cases miss, in words; empty when all are met."""
    kept = far(of_basis(cases, RuleBasis.MOAKS))
    missed: list[str] = []
    overall = macro(kept)
    if overall is None or overall < BARS["overall"]:
        missed.append(f"overall {_number(overall)} < {BARS['overall']:.2f}")
    for feature in sorted({case.feature for case in kept}):
        value = macro(case for case in kept if case.feature is feature)
        if value is None or value < BARS["feature"]:
            missed.append(f"{feature.value} {_number(value)} < {BARS['feature']:.2f}")
    return missed
