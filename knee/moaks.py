"""MOAKS: features, components, grades, scale types, and where a number meets a grade.

Source: Hunter DJ et al., "Evolution of semi-quantitative whole joint assessment of knee OA:
MOAKS", Osteoarthritis Cartilage 2011;19(8):990-1002 (PMC4058435). Interval edges are decided once,
here: a share of exactly 33 %, 66 %, 10 % or 75 % belongs to the middle grade ("33-66 %",
"10-75 %"); extrusion is [0, 2) [2, 3) [3, 5) [5, inf) mm.
"""

import math
from enum import StrEnum
from functools import lru_cache

from pydantic import BaseModel, ConfigDict


class Feature(StrEnum):
    """What a question is about."""

    BML = "bml"
    CARTILAGE = "cartilage"
    OSTEOPHYTE = "osteophyte"
    HOFFA_SYNOVITIS = "hoffa_synovitis"
    EFFUSION_SYNOVITIS = "effusion_synovitis"
    EXTRUSION = "extrusion"
    MORPHOLOGY = "morphology"
    MENISCAL_CYST = "meniscal_cyst"
    HYPERTROPHY = "hypertrophy"
    ROOT_TEAR = "root_tear"
    ACL = "acl"
    PCL = "pcl"
    PATELLAR_TENDON = "patellar_tendon"
    PERIARTICULAR = "periarticular"


class Component(StrEnum):
    """The unit of grading: a question has one to three of them."""

    SIZE = "size"
    NUMBER = "number"
    PERCENT_BML = "percent_bml"
    FULL_THICKNESS = "full_thickness"
    GRADE = "grade"
    MORPHOLOGY = "morphology"
    PRESENCE = "presence"
    TEAR_LOCATION = "tear_location"
    COMPLETE_TEAR = "complete_tear"
    BML_CYST = "bml_cyst"
    REPAIR = "repair"
    SIGNAL_ABNORMALITY = "signal_abnormality"


class ScaleType(StrEnum):
    """How grades of a component may be compared (RULES 2)."""

    ORDINAL = "ordinal"
    COUNT = "count"
    BINARY = "binary"
    NOMINAL = "nominal"


class RuleBasis(StrEnum):
    """Where the numbers of a rule-based grade come from (RULES 10)."""

    MOAKS = "moaks"
    CALIBRATED = "calibrated"
    NONE = "none"


class Interval(BaseModel):
    """The values that belong to one grade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grade: int
    """The grade that values inside get."""
    low: float
    """Lower edge, in the rule's unit."""
    high: float | None
    """Upper edge; None is unbounded."""
    low_closed: bool = True
    """Whether the lower edge itself belongs to the grade."""
    high_closed: bool = False
    """Whether the upper edge itself belongs to the grade."""

    def holds(self, value: float) -> bool:
        """Returns whether `value` lies inside."""
        above = value >= self.low if self.low_closed else value > self.low
        if self.high is None:
            return above
        return above and (value <= self.high if self.high_closed else value < self.high)


class GradeRule(BaseModel):
    """How one measurement becomes a grade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measurement: str
    """Name of the measurement that the rule reads."""
    unit: str
    """Unit of the edges: `%`, `mm`, `mL` or `count`."""
    basis: RuleBasis
    """`moaks` for edges printed in MOAKS, `calibrated` for fitted ones."""
    source: str
    """Where the edges come from, for people."""
    intervals: tuple[Interval, ...]
    """Disjoint, ascending, covering [0, inf)."""

    def grade(self, value: float) -> int:
        """Returns the grade of a measured value (>= 0).

        Raises:
            ValueError: the value is negative or not finite.
        """
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{self.measurement} must be finite and >= 0, got {value!r}")
        return next(interval.grade for interval in self.intervals if interval.holds(value))

    def margin(self, value: float) -> float:
        """Returns the distance from `value` to the nearest edge between two grades (> 0 edges)."""
        edges = {i.low for i in self.intervals} | {
            i.high for i in self.intervals if i.high is not None
        }
        return min(abs(value - edge) for edge in edges if edge > 0)

    @property
    def edges(self) -> tuple[float, ...]:
        """The positive edges, ascending: the scale thresholds a text may name."""
        return tuple(sorted({i.low for i in self.intervals if i.low > 0}))


class ComponentScale(BaseModel):
    """The grades of one component and what they mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: Feature
    """The feature that the component belongs to."""
    component: Component
    """The component."""
    scale_type: ScaleType
    """How its grades may be compared."""
    wording: dict[int, str]
    """Legal grade to its meaning, in MOAKS' terms."""
    rule: GradeRule | None = None
    """The rule with MOAKS' own numbers; None where MOAKS gives none."""

    @property
    def grades(self) -> tuple[int, ...]:
        """The legal grades, ascending."""
        return tuple(sorted(self.wording))


_MOAKS_SOURCE = "MOAKS, Hunter et al. 2011 (PMC4058435)"


def _share_rule(measurement: str, low: float, high: float) -> GradeRule:
    return GradeRule(
        measurement=measurement,
        unit="%",
        basis=RuleBasis.MOAKS,
        source=_MOAKS_SOURCE,
        intervals=(
            Interval(grade=0, low=0, high=0, high_closed=True),
            Interval(grade=1, low=0, high=low, low_closed=False),
            Interval(grade=2, low=low, high=high, high_closed=True),
            Interval(grade=3, low=high, high=None, low_closed=False),
        ),
    )


def edges_rule(
    measurement: str, unit: str, edges: tuple[float, ...], basis: RuleBasis, source: str
) -> GradeRule:
    """Returns the rule whose grade g holds [edges[g-1], edges[g]); grade 0 starts at 0."""
    bounds = (0.0, *edges)
    return GradeRule(
        measurement=measurement,
        unit=unit,
        basis=basis,
        source=source,
        intervals=tuple(
            Interval(grade=g, low=low, high=bounds[g + 1] if g + 1 < len(bounds) else None)
            for g, low in enumerate(bounds)
        ),
    )


_BINARY = {0: "absent", 1: "present"}
_BML_SHARE = {
    0: "none",
    1: "less than 33 % of the subregion",
    2: "33 to 66 % of the subregion",
    3: "more than 66 % of the subregion",
}
_SURFACE_SHARE = {
    0: "none",
    1: "less than 10 % of the subregion's cartilage surface",
    2: "10 to 75 % of the subregion's cartilage surface",
    3: "more than 75 % of the subregion's cartilage surface",
}


def _scale(
    feature: Feature,
    component: Component,
    scale_type: ScaleType,
    wording: dict[int, str],
    rule: GradeRule | None = None,
) -> ComponentScale:
    return ComponentScale(
        feature=feature, component=component, scale_type=scale_type, wording=wording, rule=rule
    )


_SCALES: tuple[ComponentScale, ...] = (
    _scale(
        Feature.BML,
        Component.SIZE,
        ScaleType.ORDINAL,
        _BML_SHARE,
        _share_rule("bml_volume_share", 33, 66),
    ),
    _scale(
        Feature.BML,
        Component.NUMBER,
        ScaleType.COUNT,
        {0: "none", 1: "one lesion", 2: "two lesions", 3: "three or more lesions"},
        edges_rule("bml_count", "count", (1, 2, 3), RuleBasis.MOAKS, _MOAKS_SOURCE),
    ),
    _scale(
        Feature.BML,
        Component.PERCENT_BML,
        ScaleType.ORDINAL,
        {
            0: "no lesion, or all of it cyst",
            1: "less than 33 % of the lesion is BML rather than cyst",
            2: "33 to 66 % of the lesion is BML rather than cyst",
            3: "more than 66 % of the lesion is BML rather than cyst",
        },
        _share_rule("bml_share_of_lesion", 33, 66),
    ),
    _scale(
        Feature.CARTILAGE,
        Component.SIZE,
        ScaleType.ORDINAL,
        {g: f"{text} with any loss" if g else "no loss" for g, text in _SURFACE_SHARE.items()},
        _share_rule("surface_loss_share", 10, 75),
    ),
    _scale(
        Feature.CARTILAGE,
        Component.FULL_THICKNESS,
        ScaleType.ORDINAL,
        {
            g: f"{text} with full-thickness loss" if g else "no full-thickness loss"
            for g, text in _SURFACE_SHARE.items()
        },
        _share_rule("full_thickness_share", 10, 75),
    ),
    _scale(
        Feature.OSTEOPHYTE,
        Component.GRADE,
        ScaleType.ORDINAL,
        {0: "none", 1: "small", 2: "medium", 3: "large"},
    ),
    _scale(
        Feature.HOFFA_SYNOVITIS,
        Component.GRADE,
        ScaleType.ORDINAL,
        {
            0: "normal",
            1: "mild hyperintensity",
            2: "moderate hyperintensity",
            3: "severe hyperintensity",
        },
    ),
    _scale(
        Feature.EFFUSION_SYNOVITIS,
        Component.GRADE,
        ScaleType.ORDINAL,
        {
            0: "physiologic amount",
            1: "small: fluid continuous in the retropatellar space",
            2: "medium: slight convexity of the suprapatellar bursa",
            3: "large: capsular distension",
        },
    ),
    _scale(
        Feature.EXTRUSION,
        Component.GRADE,
        ScaleType.ORDINAL,
        {
            0: "less than 2 mm",
            1: "at least 2 and less than 3 mm",
            2: "at least 3 and less than 5 mm",
            3: "5 mm or more",
        },
        edges_rule("extrusion", "mm", (2, 3, 5), RuleBasis.MOAKS, _MOAKS_SOURCE),
    ),
    _scale(
        Feature.MORPHOLOGY,
        Component.MORPHOLOGY,
        ScaleType.NOMINAL,
        {
            0: "normal",
            1: "signal abnormality that is not a tear",
            2: "radial tear",
            3: "horizontal tear",
            4: "vertical tear",
            5: "complex tear",
            6: "partial maceration",
            7: "progressive partial maceration (follow-up only)",
            8: "complete maceration",
        },
    ),
    _scale(Feature.MENISCAL_CYST, Component.PRESENCE, ScaleType.BINARY, _BINARY),
    _scale(
        Feature.MENISCAL_CYST,
        Component.TEAR_LOCATION,
        ScaleType.NOMINAL,
        {0: "anterior horn", 1: "body", 2: "posterior horn", 3: "no tear"},
    ),
    _scale(Feature.HYPERTROPHY, Component.PRESENCE, ScaleType.BINARY, _BINARY),
    _scale(Feature.ROOT_TEAR, Component.PRESENCE, ScaleType.BINARY, _BINARY),
    _scale(Feature.ACL, Component.COMPLETE_TEAR, ScaleType.BINARY, _BINARY),
    _scale(Feature.ACL, Component.BML_CYST, ScaleType.BINARY, _BINARY),
    _scale(Feature.ACL, Component.REPAIR, ScaleType.BINARY, _BINARY),
    _scale(Feature.PCL, Component.COMPLETE_TEAR, ScaleType.BINARY, _BINARY),
    _scale(Feature.PCL, Component.BML_CYST, ScaleType.BINARY, _BINARY),
    _scale(Feature.PATELLAR_TENDON, Component.SIGNAL_ABNORMALITY, ScaleType.BINARY, _BINARY),
    _scale(Feature.PERIARTICULAR, Component.PRESENCE, ScaleType.BINARY, _BINARY),
)

SCALES: dict[tuple[Feature, Component], ComponentScale] = {
    (scale.feature, scale.component): scale for scale in _SCALES
}
"""Every (feature, component) to its scale."""


@lru_cache(maxsize=len(Feature))
def components_of(feature: Feature) -> tuple[Component, ...]:
    """Returns the components of a feature in the order in which MOAKS lists them."""
    return tuple(scale.component for scale in _SCALES if scale.feature is feature)


def illegal_combinations(
    feature: Feature, grades: dict[Component, int], *, is_follow_up: bool = False
) -> list[str]:
    """Returns what is illegal in a set of grades of one item, in words; empty when all is legal.

    Only components that are present are looked at (RULES 3): size 0 <=> number 0; size 0 => % BML
    0; size > 0 with % BML 0 is legal (all cyst); full-thickness <= size; morphology 7 only at a
    follow-up visit.

    Args:
        feature: the feature graded.
        grades: component to grade; a component that is not asked is absent.
        is_follow_up: whether the visit is after baseline.
    """
    problems: list[str] = []
    size = grades.get(Component.SIZE)
    number = grades.get(Component.NUMBER)
    both_asked = size is not None and number is not None
    if feature is Feature.BML and both_asked and (size == 0) != (number == 0):
        problems.append(f"BML size {size} with number {number}: both are 0 or neither is")
    percent = grades.get(Component.PERCENT_BML, 0)
    # Number 0 says the same as size 0, also where size is not asked.
    if feature is Feature.BML and percent > 0 and 0 in (size, number):
        none = "size" if size == 0 else "number"
        problems.append(f"BML {none} 0 with % BML grade {percent}: there is no lesion")
    depth = grades.get(Component.FULL_THICKNESS)
    if size is not None and depth is not None and depth > size:
        problems.append(f"full-thickness grade {depth} is above size grade {size}")
    if grades.get(Component.MORPHOLOGY) == 7 and not is_follow_up:
        problems.append("morphology 7 (progressive maceration) is only legal at a follow-up visit")
    return problems
