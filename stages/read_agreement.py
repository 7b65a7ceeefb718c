"""How far several reads of one component agree, by feature: shares and kappas.

Each pair of reads of one component with a grade each is one pair, and both orders count alike
(`eval.agreement`). `part` is a bone where a feature is graded on several, because the published
figures are by bone.
"""

from collections.abc import Iterable
from typing import NamedTuple

from eval.agreement import (
    Statistic,
    Weighting,
    kappa_with_interval,
    pair_tables,
    share_with_interval,
)
from knee.grades import ClinicianGrade
from knee.moaks import SCALES, Component, Feature, ScaleType
from knee.questions import QUESTIONS

ALL_PARTS = "all"
_BY_BONE = (Feature.BML, Feature.CARTILAGE, Feature.OSTEOPHYTE)
PUBLISHED: dict[tuple[Feature, Component, str], float] = {
    (Feature.CARTILAGE, Component.SIZE, "tibia"): 0.36,
    (Feature.OSTEOPHYTE, Component.GRADE, "tibia"): 0.49,
}
"""Between-reader kappas of MOAKS' own paper (Hunter et al. 2011, abstract); it calls the others
above 0.6 and does not name them there."""

Group = tuple[Feature, Component, str]
"""(feature, component, part)."""


class FeatureAgreement(NamedTuple):
    """How far reads of one component of a feature agree."""

    feature: Feature
    """What is graded."""
    component: Component
    """The component."""
    part: str
    """`all`, or a bone."""
    scale: ScaleType
    """How its grades may be compared."""
    n_components: int
    """Components with two or more grades."""
    n_conflicts: int
    """... of which the grades differ."""
    n_pairs: int
    """Pairs of reads."""
    n_patients: int
    """Patients with a pair."""
    conflicts: Statistic
    """Share of the components whose grades differ."""
    kappas: dict[Weighting, Statistic]
    """Kappa by weighting; one that means nothing for the scale is NA."""
    published: float | None
    """A published between-reader kappa; None where none is known."""


class _Collected:
    """Pairs and counts of one group, by patient."""

    def __init__(self) -> None:
        self.pairs: dict[str, list[tuple[int, int]]] = {}
        self.n_components: dict[str, int] = {}
        self.n_conflicts: dict[str, int] = {}

    def add(self, grade: ClinicianGrade, given: list[int]) -> None:
        patient = grade.patient
        self.n_components[patient] = self.n_components.get(patient, 0) + 1
        self.n_conflicts[patient] = self.n_conflicts.get(patient, 0) + int(grade.is_ambiguous)
        self.pairs.setdefault(patient, []).extend(
            (one, other) for number, one in enumerate(given) for other in given[:number]
        )


def part_of(question_id: int) -> str | None:
    """Returns the bone of a question whose feature is graded on several, else None."""
    question = QUESTIONS[question_id]
    return question.site.partition("_")[0] if question.feature in _BY_BONE else None


def agreement_by_feature(grades: Iterable[ClinicianGrade]) -> list[FeatureAgreement]:
    """Returns the agreement of every component of every feature with at least one pair of reads.

    Args:
        grades: components, with what each of their reads says; the order does not matter.
    """
    collected: dict[Group, _Collected] = {}
    for grade in grades:
        given = [value for value in grade.read_grades if value is not None]
        if len(given) < 2:
            continue
        feature = QUESTIONS[grade.question_id].feature
        for part in (ALL_PARTS, part_of(grade.question_id)):
            if part is not None:
                group = collected.setdefault((feature, grade.component, part), _Collected())
                group.add(grade, given)
    order = {key: number for number, key in enumerate(SCALES)}
    return [
        _agreement(group, collected[group])
        for group in sorted(collected, key=lambda g: (order[g[0], g[1]], g[2] != ALL_PARTS, g[2]))
    ]


def _agreement(group: Group, found: _Collected) -> FeatureAgreement:
    feature, component, part = group
    scale = SCALES[feature, component]
    tables = pair_tables(found.pairs, scale.grades)
    kappas = {
        weighting: _not_for(scale.scale_type, weighting)
        or kappa_with_interval(tables, weighting, scale.grades)
        for weighting in Weighting
    }
    return FeatureAgreement(
        feature=feature,
        component=component,
        part=part,
        scale=scale.scale_type,
        n_components=sum(found.n_components.values()),
        n_conflicts=sum(found.n_conflicts.values()),
        n_pairs=sum(map(len, found.pairs.values())),
        n_patients=len(found.pairs),
        conflicts=share_with_interval(
            list(found.n_conflicts.values()), list(found.n_components.values())
        ),
        kappas=kappas,
        published=PUBLISHED.get(group),
    )


def _not_for(scale: ScaleType, weighting: Weighting) -> Statistic | None:
    if weighting is Weighting.NONE or scale in (ScaleType.ORDINAL, ScaleType.COUNT):
        return None
    reason = f"{scale.value} scale: " + (
        "grades have no distance" if scale is ScaleType.NOMINAL else "weights change nothing"
    )
    return Statistic(None, reason, no_interval=reason)
