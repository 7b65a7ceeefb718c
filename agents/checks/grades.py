"""Grades beside the scale and beside the measurement that carries them."""

from agents.checks.context import Material, issue
from knee.findings import Measurement, Unit
from knee.moaks import GradeRule, RuleBasis, illegal_combinations
from knee.records import CheckIssue, CheckSeverity

_NUDGE = 1e-6
"""Relative step to either side of an edge, to find the two grades that meet there."""


def check_combinations(material: Material) -> list[CheckIssue]:
    """Returns an issue for each combination of grades that MOAKS does not allow."""
    context = material.context
    problems = illegal_combinations(
        context.question.feature, material.draft.grades, is_follow_up=context.is_follow_up
    )
    return [issue("combinations", "illegal_combination", problem) for problem in problems]


def check_grade_follows(material: Material) -> list[CheckIssue]:
    """Returns an issue for each grade that its measurement does not give.

    Fails where MOAKS prints the cut-offs and what is held against them is measured as MOAKS has
    it; warns where either was fitted (RULES 10: cartilage size has MOAKS' 10 and 75 %, but what
    counts as thinned is calibrated); says nothing where there are none. Within one standard
    deviation of a cut-off either neighbouring grade follows. The message never names the grade
    that would follow.
    """
    context = material.context
    found: list[CheckIssue] = []
    for component, rule in context.rules.items():
        measurement = context.measured.get(rule.measurement)
        if measurement is None or rule.basis is RuleBasis.NONE:
            continue
        evidence = context.finding.evidence_for(component)
        allowed = following_grades(rule, measurement, evidence.borderline)
        if material.draft.grades[component] in allowed:
            continue
        fitted = RuleBasis.CALIBRATED in (rule.basis, evidence.rule_basis)
        severity = CheckSeverity.WARN if fitted else CheckSeverity.FAIL
        message = (
            f"{component.value}: hold {rule.measurement} ({measurement.shown} {rule.unit}) "
            f"against the cut-offs again"
        )
        found.append(issue("grade_follows", "grade_does_not_follow", message, severity))
    return found


def following_grades(rule: GradeRule, measurement: Measurement, borderline: bool) -> set[int]:
    """Returns the grades that a measurement allows under a rule.

    The value counts as measured and as shown (rounding must not fail who reads carefully), and
    where a cut-off above 0 lies within one standard deviation the grade beyond it as well.

    Args:
        rule: cut-offs.
        measurement: the value that carries the grade.
        borderline: whether the finding calls it borderline already.
    """
    value = measurement.value
    grades = {rule.grade(value), rule.grade(float(measurement.shown))}
    reach = measurement.sd or 0.0
    if borderline:
        reach = max(reach, rule.margin(value))
    # A count has no uncertainty, and a value on a cut-off is decided by the rule's written edges.
    edges = rule.edges if reach > 0 and rule.unit != Unit.COUNT.value else ()
    for edge in edges:
        if abs(value - edge) <= reach:
            grades |= {rule.grade(edge * factor) for factor in (1 - _NUDGE, 1, 1 + _NUDGE)}
    # Only the grade itself and its neighbours: a wide SD does not open the whole scale.
    own = rule.grade(value)
    return {grade for grade in grades if abs(grade - own) <= 1}
