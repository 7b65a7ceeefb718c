"""When no honest text can hold both the measured grade and the clinician's (RULES 6).

Two grades are discordant when they differ by more than the measurement's uncertainty: next to a
threshold (`borderline`) one step is tolerated on scales whose grades have an order. It says nothing
of who is right.
"""

from knee.moaks import SCALES, Component, Feature, ScaleType
from knee.records import Item


def is_ordered(feature: Feature, component: Component) -> bool:
    """Returns whether distances between the grades of a component mean anything."""
    return SCALES[feature, component].scale_type is not ScaleType.NOMINAL


def grades_differ(
    feature: Feature, component: Component, *, rule: int, clinician: int, borderline: bool
) -> bool:
    """Returns whether two grades differ by more than the measurement's uncertainty.

    Args:
        feature: what is graded.
        component: the component.
        rule: the grade that follows from the measurement.
        clinician: the clinician's.
        borderline: whether the measurement lies within its uncertainty of a threshold.
    """
    if not is_ordered(feature, component):
        return rule != clinician
    return abs(rule - clinician) > int(borderline)


def discordant_components(item: Item) -> tuple[Component, ...]:
    """Returns the asked components of an item whose two grades are discordant.

    A component without a rule's grade has nothing to be discordant with.
    """
    grades = {grade.component: grade.grade for grade in item.clinician}
    found: list[Component] = []
    for component in item.asked:
        evidence, clinician = item.finding.evidence_for(component), grades[component]
        if evidence.rule_grade is None or clinician is None:
            continue
        if grades_differ(
            item.question.feature,
            component,
            rule=evidence.rule_grade,
            clinician=clinician,
            borderline=evidence.borderline,
        ):
            found.append(component)
    return tuple(found)
