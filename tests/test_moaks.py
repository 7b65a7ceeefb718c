"""Scales, rules and legal combinations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee.calibration import CalibratedRule, Calibration, rule_for
from knee.findings import MeasurementName, Unit
from knee.moaks import SCALES, Component, Feature, RuleBasis, ScaleType, illegal_combinations
from knee.questions import QUESTIONS


@pytest.mark.parametrize(
    ("feature", "component", "value", "grade"),
    [
        (Feature.BML, Component.SIZE, 0.0, 0),
        (Feature.BML, Component.SIZE, 0.01, 1),
        (Feature.BML, Component.SIZE, 32.99, 1),
        (Feature.BML, Component.SIZE, 33.0, 2),
        (Feature.BML, Component.SIZE, 66.0, 2),
        (Feature.BML, Component.SIZE, 66.01, 3),
        (Feature.BML, Component.NUMBER, 0, 0),
        (Feature.BML, Component.NUMBER, 2, 2),
        (Feature.BML, Component.NUMBER, 7, 3),
        (Feature.CARTILAGE, Component.SIZE, 9.9, 1),
        (Feature.CARTILAGE, Component.SIZE, 10, 2),
        (Feature.CARTILAGE, Component.FULL_THICKNESS, 75, 2),
        (Feature.CARTILAGE, Component.FULL_THICKNESS, 75.1, 3),
        (Feature.EXTRUSION, Component.GRADE, 1.99, 0),
        (Feature.EXTRUSION, Component.GRADE, 2, 1),
        (Feature.EXTRUSION, Component.GRADE, 3, 2),
        (Feature.EXTRUSION, Component.GRADE, 4.95, 2),
        (Feature.EXTRUSION, Component.GRADE, 5, 3),
    ],
)
def test_moaks_numbers_meet_their_grades_at_the_edges(
    feature: Feature, component: Component, value: float, grade: int
):
    rule = SCALES[feature, component].rule
    assert rule is not None
    assert rule.basis is RuleBasis.MOAKS
    assert rule.grade(value) == grade


@given(st.floats(0, 1e6), st.sampled_from([s for s in SCALES.values() if s.rule is not None]))
def test_every_value_belongs_to_exactly_one_grade(value: float, scale: object):
    from knee.moaks import ComponentScale

    assert isinstance(scale, ComponentScale)
    assert scale.rule is not None
    assert sum(interval.holds(value) for interval in scale.rule.intervals) == 1


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_rule_refuses_what_is_no_measurement(value: float):
    rule = SCALES[Feature.EXTRUSION, Component.GRADE].rule
    assert rule is not None
    with pytest.raises(ValueError, match="finite"):
        rule.grade(value)


def test_margin_is_the_distance_to_the_nearest_edge():
    rule = SCALES[Feature.EXTRUSION, Component.GRADE].rule
    assert rule is not None
    assert rule.margin(2.4) == pytest.approx(0.4)
    assert rule.margin(9) == pytest.approx(4)


def test_the_catalogue_has_118_components_111_of_them_with_a_region():
    counts = {q.question_id: len(q.components) for q in QUESTIONS.values()}
    assert sum(counts.values()) == 118
    assert sum(n for i, n in counts.items() if i <= 62) == 111


def test_nominal_scales_are_not_ordinal():
    assert SCALES[Feature.MORPHOLOGY, Component.MORPHOLOGY].scale_type is ScaleType.NOMINAL
    assert SCALES[Feature.MENISCAL_CYST, Component.TEAR_LOCATION].scale_type is ScaleType.NOMINAL


@pytest.mark.parametrize(
    ("feature", "grades", "legal"),
    [
        (Feature.BML, {Component.SIZE: 0, Component.NUMBER: 0, Component.PERCENT_BML: 0}, True),
        (Feature.BML, {Component.SIZE: 0, Component.NUMBER: 1}, False),
        (Feature.BML, {Component.SIZE: 2, Component.NUMBER: 0}, False),
        (Feature.BML, {Component.SIZE: 0, Component.PERCENT_BML: 1}, False),
        (Feature.BML, {Component.SIZE: 2, Component.NUMBER: 1, Component.PERCENT_BML: 0}, True),
        (Feature.CARTILAGE, {Component.SIZE: 1, Component.FULL_THICKNESS: 2}, False),
        (Feature.CARTILAGE, {Component.SIZE: 2, Component.FULL_THICKNESS: 2}, True),
        (Feature.CARTILAGE, {Component.FULL_THICKNESS: 3}, True),
        (Feature.MORPHOLOGY, {Component.MORPHOLOGY: 7}, False),
    ],
)
def test_legal_combinations(feature: Feature, grades: dict[Component, int], legal: bool):
    assert (not illegal_combinations(feature, grades)) is legal


def test_number_0_allows_no_share_of_a_lesion_when_size_is_not_asked():
    grades = {Component.NUMBER: 0, Component.PERCENT_BML: 2}
    assert illegal_combinations(Feature.BML, grades)
    assert not illegal_combinations(Feature.BML, grades | {Component.PERCENT_BML: 0})
    assert not illegal_combinations(Feature.BML, grades | {Component.NUMBER: 1})


def test_progressive_maceration_is_legal_at_follow_up():
    grades = {Component.MORPHOLOGY: 7}
    assert not illegal_combinations(Feature.MORPHOLOGY, grades, is_follow_up=True)


def test_a_calibrated_rule_serves_only_where_moaks_gives_no_number():
    calibration = Calibration(
        name="test",
        rules=(
            CalibratedRule(
                feature=Feature.OSTEOPHYTE,
                component=Component.GRADE,
                measurement=MeasurementName.OSTEOPHYTE_PROTRUSION,
                unit=Unit.MM,
                edges=(1, 3, 5),
                source="test",
            ),
        ),
    )
    rule = rule_for(Feature.OSTEOPHYTE, Component.GRADE, calibration)
    assert rule is not None
    assert rule.basis is RuleBasis.CALIBRATED
    assert [rule.grade(v) for v in (0.5, 1, 4.9, 5)] == [0, 1, 2, 3]
    assert rule_for(Feature.OSTEOPHYTE, Component.GRADE, None) is None
    extrusion = rule_for(Feature.EXTRUSION, Component.GRADE, calibration)
    assert extrusion is not None
    assert extrusion.basis is RuleBasis.MOAKS
