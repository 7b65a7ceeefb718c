"""The numbers of a label quality report, gathered once from the store.

Discordant grades (`knee.discordance`, RULES 6) are a list to review; it says nothing of who is
right.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import duckdb

from eval.agreement import MajorityBaseline, Statistic, majority_baseline, share_with_interval
from knee.discordance import grades_differ, is_ordered
from knee.grades import ClinicianGrade
from knee.moaks import Component, Feature, illegal_combinations
from knee.questions import QUESTIONS
from stages.read_agreement import FeatureAgreement, agreement_by_feature
from store.reads import (
    KneeVisitCounts,
    MeasuredGrade,
    PatientCounts,
    ReadGroup,
    StatusCounts,
    grades_with_several_reads,
    knee_visit_counts,
    measured_grades,
    patient_counts,
    project_counts,
    read_components,
    status_counts,
)

_BASELINE = "V00"


class IllegalCombination(NamedTuple):
    """Grades of one question that cannot all be right (RULES 3)."""

    patient: str
    """The patient."""
    visit: str
    """`V00`…"""
    side: str
    """`right` or `left`."""
    question_id: int
    """1-69."""
    problem: str
    """In words."""


class Discordance(NamedTuple):
    """Measured against clinicians' grades of one component, one kind of rule and evidence."""

    feature: Feature
    """What is graded."""
    component: Component
    """The component."""
    basis: str
    """`moaks` or `calibrated`."""
    level: str
    """`measured` or `weak`."""
    n: int
    """Grades that have a rule's grade beside them."""
    n_equal: int
    """... the same one."""
    n_higher: int
    """... discordant, the measured grade above the clinician's."""
    n_lower: int
    """... discordant, below."""

    @property
    def n_discordant(self) -> int:
        """All discordant ones."""
        return self.n_higher + self.n_lower


class LabelQuality(NamedTuple):
    """Everything that the report shows."""

    synthetic: bool
    """Whether all of it is phantoms'."""
    counts: KneeVisitCounts
    """How much there is."""
    by_feature: list[StatusCounts]
    """By feature and component."""
    by_site: list[StatusCounts]
    """By site as well."""
    by_project: list[StatusCounts]
    """Single reads, by reading project."""
    positive: dict[ReadGroup, Statistic]
    """Share of grades of 1 or more, by feature and component."""
    majority: dict[ReadGroup, MajorityBaseline]
    """What always answering the most frequent grade reaches; without read grades there is none."""
    agreement: list[FeatureAgreement]
    """Of several reads."""
    differing: list[ClinicianGrade]
    """Components whose reads differ."""
    illegal: list[IllegalCombination]
    """Combinations that cannot be."""
    discordance: list[Discordance]
    """Counts of measured against clinicians' grades."""
    discordant: list[MeasuredGrade]
    """The list to review: strongest evidence and largest distance first."""


def gather_quality(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> LabelQuality:
    """Returns the numbers of the patients' grades, or of the phantoms'."""
    several = list(grades_with_several_reads(con, synthetic=synthetic))
    by_feature = status_counts(con, synthetic=synthetic, by_site=False)
    discordance, discordant = _compare(measured_grades(con, synthetic=synthetic))
    return LabelQuality(
        synthetic=synthetic,
        counts=knee_visit_counts(con, synthetic=synthetic),
        by_feature=by_feature,
        by_site=status_counts(con, synthetic=synthetic, by_site=True),
        by_project=project_counts(con, synthetic=synthetic),
        positive=_positive(patient_counts(con, synthetic=synthetic)),
        majority={
            counts.group: majority_baseline(
                counts.grades, distances=is_ordered(counts.group.feature, counts.group.component)
            )
            for counts in by_feature
            if counts.n_read
        },
        agreement=agreement_by_feature(several),
        differing=[grade for grade in several if grade.reads_differ],
        illegal=list(_illegal(con, synthetic)),
        discordance=discordance,
        discordant=discordant,
    )


def is_discordant(found: MeasuredGrade) -> bool:
    """Returns whether two grades differ by more than the measurement's uncertainty."""
    return grades_differ(
        found.feature,
        found.component,
        rule=found.rule,
        clinician=found.clinician,
        borderline=found.borderline,
    )


def _positive(counts: Iterable[PatientCounts]) -> dict[ReadGroup, Statistic]:
    groups: dict[ReadGroup, list[PatientCounts]] = {}
    for row in counts:
        groups.setdefault(row.group, []).append(row)
    return {
        group: share_with_interval([r.n_positive for r in rows], [r.n_read for r in rows])
        for group, rows in groups.items()
    }


def _illegal(con: duckdb.DuckDBPyConnection, synthetic: bool) -> Iterator[IllegalCombination]:
    for patient, visit, side, question_id, grades in read_components(con, synthetic=synthetic):
        feature = QUESTIONS[question_id].feature
        for problem in illegal_combinations(feature, grades, is_follow_up=visit != _BASELINE):
            yield IllegalCombination(patient, visit, side, question_id, problem)


def _compare(
    found: Iterable[MeasuredGrade],
) -> tuple[list[Discordance], list[MeasuredGrade]]:
    counts: dict[tuple[Feature, Component, str, str], list[int]] = {}
    discordant: list[MeasuredGrade] = []
    for row in found:
        entry = counts.setdefault((row.feature, row.component, row.basis, row.level), [0] * 4)
        entry[0] += 1
        entry[1] += row.rule == row.clinician
        if is_discordant(row):
            entry[2 if row.rule > row.clinician else 3] += 1
            discordant.append(row)
    discordant.sort(
        key=lambda row: (
            row.level != "measured",
            row.basis != "moaks",
            -abs(row.rule - row.clinician),
            row.volume_id,
            row.question_id,
        )
    )
    return [Discordance(*group, *entry) for group, entry in counts.items()], discordant
