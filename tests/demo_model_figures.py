"""Figures of the demo model's card: shares of components, each with an interval over knees.

A phantom has one knee, so patients and knees are the same clusters. An interval is the 2.5th and
97.5th percentile over resamples of the knees; under ten items or knees there is none (RULES 24).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from eval.agreement import Floats, Statistic, resample_weights, share_with_interval, with_interval
from knee.moaks import Component, Feature

MACERATED = 8
"""MOAKS' code of a meniscal part that is gone: the only code beside grades 0 to 3 with evidence."""


@dataclass(frozen=True)
class Graded:
    """One drafted component that a clinician graded, in one run."""

    patient: str
    feature: Feature
    component: Component
    clinician: int
    """The clinician's grade."""
    draft: int | None
    """The draft's; None where a check refused the draft before it was read."""
    attempt: int | None
    """The attempt that was accepted; None where none was."""
    follows: bool
    """Whether the draft's grade is what the rule gives to the measured value, or its neighbour
    where the value is borderline; False where no rule gives one."""

    @property
    def accepted(self) -> bool:
        """Whether the item was accepted."""
        return self.attempt is not None


_ROWS = """
SELECT v.patient, s.feature, c.component, c.clinician_grade, c.draft_grade, q.attempt_no,
    coalesce(
        abs(e.rule_grade - c.draft_grade) <= CASE WHEN e.borderline THEN 1 ELSE 0 END, false
    )
FROM outcome_components c
JOIN outcomes o USING (run_id, volume_id, question_id)
JOIN volumes v USING (volume_id)
JOIN questions s USING (question_id)
LEFT JOIN quintuples q USING (run_id, volume_id, question_id)
LEFT JOIN evidence e ON e.volume_id = o.volume_id AND e.findings_id = o.findings_id
    AND e.question_id = o.question_id AND e.component = c.component
WHERE c.run_id = ? AND c.status = 'graded' AND c.clinician_grade IS NOT NULL
ORDER BY ALL
"""


def graded_components(store: Path, run_id: str) -> list[Graded]:
    """Returns every component of a run that was drafted and has a clinician's grade."""
    with duckdb.connect(str(store), read_only=True) as con:
        rows = con.execute(_ROWS, [run_id]).fetchall()
    return [
        Graded(patient, Feature(feature), Component(component), *rest)
        for patient, feature, component, *rest in rows
    ]


@dataclass(frozen=True)
class Figure:
    """A share with what it is made of."""

    counts: str
    """`hits/all`, or one for each grade."""
    value: Statistic
    """The share, or the mean of shares, with its interval."""

    @property
    def text(self) -> str:
        """The value, three decimals, with its interval where it may have one."""
        found = self.value
        if found.value is None:
            return "none"
        if found.low is None or found.high is None:
            return f"{found.value:.3f}"
        return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def share(rows: Sequence[Graded], hit: Callable[[Graded], bool]) -> Figure:
    """Returns the share of components that are a hit."""
    patients = sorted({row.patient for row in rows})
    counts = _counts(rows, patients, hit)
    hits, everything = counts[:, 0], counts[:, 1]
    return Figure(f"{hits.sum():.0f}/{everything.sum():.0f}", share_with_interval(hits, everything))


def macro(rows: Sequence[Graded], hit: Callable[[Graded], bool]) -> Figure:
    """Returns the mean over clinician grades of the share of hits; every grade counts alike."""
    patients = sorted({row.patient for row in rows})
    grades = sorted({row.clinician for row in rows})
    weights = np.vstack([np.ones(len(patients)), resample_weights(len(patients), 0)])
    shares: list[Floats] = []
    texts: list[str] = []
    for grade in grades:
        counts = _counts([row for row in rows if row.clinician == grade], patients, hit)
        drawn = weights @ counts
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(np.where(drawn[:, 1] > 0, drawn[:, 0] / drawn[:, 1], np.nan))
        texts.append(f"{grade}: {counts[:, 0].sum():.0f}/{counts[:, 1].sum():.0f}")
    # A resample without any component of a grade is undefined, not a mean over fewer grades.
    means = np.mean(shares, axis=0)
    return Figure(", ".join(texts), with_interval(float(means[0]), means[1:]))


def _counts(
    rows: Sequence[Graded], patients: Collection[str], hit: Callable[[Graded], bool]
) -> Floats:
    place = {patient: n for n, patient in enumerate(patients)}
    counts = np.zeros((len(place), 2))
    for row in rows:
        counts[place[row.patient]] += (hit(row), 1)
    return counts


def volume_share(by_volume: dict[str, list[int]]) -> Figure:
    """Returns the share of [hits, all] that a scores file holds for each volume."""
    counts = np.array(list(by_volume.values()), float).reshape(-1, 2)
    return Figure(
        f"{counts[:, 0].sum():.0f}/{counts[:, 1].sum():.0f}",
        share_with_interval(counts[:, 0], counts[:, 1]),
    )


@dataclass(frozen=True)
class Bar:
    """One figure with what it should be."""

    name: str
    figure: Figure
    bar: float
    at_least: bool = True

    @property
    def holds(self) -> bool:
        """Whether the figure itself meets the bar; its interval is printed beside it."""
        value = self.figure.value.value
        if value is None:
            return False
        return value >= self.bar if self.at_least else value <= self.bar

    def line(self) -> str:
        """Returns a row of the table."""
        sign = "≥" if self.at_least else "≤"
        verdict = "holds" if self.holds else "**missed**"
        figure = self.figure
        return (
            f"| {self.name} | {figure.counts} | {figure.text} | {sign} {self.bar:.2f} | {verdict} |"
        )


def rare_classes(rows: Sequence[Graded]) -> dict[str, list[Graded]]:
    """Returns the grades of few components apart: macerated parts, complete tears."""
    ligaments = {"anterior": Feature.ACL, "posterior": Feature.PCL}
    return {
        "macerated part of a meniscus (8)": [r for r in rows if r.clinician == MACERATED],
        **{
            f"complete tear of the {name} cruciate ligament (1)": [
                r for r in rows if r.feature is feature and r.clinician == 1
            ]
            for name, feature in ligaments.items()
        },
    }
