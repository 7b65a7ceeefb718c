"""What the demo model learns to grade by: the rule of the prompt, or one that it learns by heart.

Some components have weak evidence and neither MOAKS' numbers nor fitted ones, so no prompt shows a
cut-off for them. A phantom is made with its own; the model learns those as habits, and its texts
name no cut-off. They mean nothing on a real knee.
"""

from knee.calibration import Calibration, rule_for
from knee.findings import MeasurementName
from knee.moaks import Component, Feature, GradeRule, Interval, RuleBasis, edges_rule

_SOURCE = "phantom: the extents that its truth is made with; shown in no prompt"


def _habit(measurement: MeasurementName, unit: str, *edges: float) -> GradeRule:
    return edges_rule(measurement.value, unit, edges, RuleBasis.NONE, _SOURCE)


HABITS: dict[tuple[Feature, Component], GradeRule] = {
    (Feature.HOFFA_SYNOVITIS, Component.GRADE): _habit(
        MeasurementName.HOFFA_SIGNAL_SHARE, "%", 5.0, 20.0, 45.0
    ),
    (Feature.ACL, Component.COMPLETE_TEAR): _habit(MeasurementName.STRUCTURE_GAP, "mm", 5.0),
    (Feature.PCL, Component.COMPLETE_TEAR): _habit(MeasurementName.STRUCTURE_GAP, "mm", 5.0),
    # Only a part that is not there at all has evidence; every other grade is left to pictures.
    (Feature.MORPHOLOGY, Component.MORPHOLOGY): GradeRule(
        measurement=MeasurementName.MENISCUS_PART_VOLUME.value,
        unit="mL",
        basis=RuleBasis.NONE,
        source=_SOURCE,
        intervals=(Interval(grade=8, low=0, high=0, high_closed=True),),
    ),
}
"""Rules that no prompt shows."""


def learnt_rule(
    feature: Feature, component: Component, calibration: Calibration | None
) -> GradeRule | None:
    """Returns the rule that a component's grade follows from, None where the model knows none."""
    return rule_for(feature, component, calibration) or HABITS.get((feature, component))


def is_shown(rule: GradeRule) -> bool:
    """Returns whether a prompt shows the rule's cut-offs."""
    return rule.basis is not RuleBasis.NONE
