"""Grades in text and object, cut-offs, contradictions, form, severity."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.checks.grade_mentions import find_grade_mentions
from agents.checks.grades import following_grades
from agents.checks.run import CHECK_VERSIONS, NEVER_WARN, check_answer
from agents.checks.terms import Polarity, clauses, polarity
from knee.answers import StepName
from knee.findings import Measurement, MeasurementName, Unit
from knee.moaks import SCALES, Component, Feature, GradeRule, RuleBasis
from knee.records import CheckSeverity
from tests.draft_cases import CASES, Case, failing_codes, report_of

_BY_NAME = {case.name: case for case in CASES}
_SIZE = SCALES[Feature.CARTILAGE, Component.SIZE].rule
_EXTRUSION = SCALES[Feature.EXTRUSION, Component.GRADE].rule
_COUNT = SCALES[Feature.BML, Component.NUMBER].rule


def _codes(name: str, step: StepName, text: str) -> set[str]:
    case = _BY_NAME[name]
    answer = case.answer
    answer[step.value]["text"] = text
    return failing_codes(report_of(case, answer))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size grade 2 and full-thickness grade 1", [("size", (2,)), ("full_thickness", (1,))]),
        (
            "grade 2 for size, grade 0 for full thickness",
            [("size", (2,)), ("full_thickness", (0,))],
        ),
        (
            "a grade of 2 for size and 0 for full thickness",
            [("size", (2,)), ("full_thickness", (0,))],
        ),
        ("size is grade ii", [("size", (2,))]),
        ("size: 2, full-thickness loss = 1", [("size", (2,)), ("full_thickness", (1,))]),
        ("grades 2 and 1", [(None, (2, 1))]),
        ("grade two", [(None, (2,))]),
        ("size of the loss is graded 3", [("size", (3,))]),
        ("full-thickness loss 23.0 %", []),
        ("grade of -1", [(None, (-1,))]),
    ],
)
def test_grades_are_found_with_their_component(
    text: str, expected: list[tuple[str | None, tuple[int, ...]]]
):
    found = find_grade_mentions(text, (Component.SIZE, Component.FULL_THICKNESS))
    named = [(None if m.component is None else m.component.value, m.values) for m in found]
    assert named == expected


@pytest.mark.parametrize(
    "text", ["grade 3 begins at 5 mm", "below grade 2", "the limit of grade 2", "grade 2 would fit"]
)
def test_a_grade_named_to_explain_the_scale_is_told_apart(text: str):
    (mention,) = find_grade_mentions(text, (Component.GRADE,))
    assert mention.of_scale


def test_conclude_must_name_each_ordinal_grade():
    text = "The medial central femur shows cartilage loss of size grade 2."
    assert _codes("cartilage_partial", StepName.CONCLUDE, text) == {"grade_not_stated"}


def test_conclude_must_not_grade_what_was_not_asked():
    text = "Loss of grade 1 at the lateral femoral trochlea, full-thickness grade 1."
    assert "grade_not_asked" in _codes("cartilage_trochlea_one_component", StepName.CONCLUDE, text)


def test_a_grade_on_the_wrong_side_of_its_own_cut_off_fails_where_borderline_is_tolerated():
    case = replace(_BY_NAME["extrusion_medial"], measured={MeasurementName.EXTRUSION: (3.1, 0.3)})
    answer = case.answer
    answer["measure"]["text"] = "The extrusion is 3.1 mm."
    answer["apply_scale"]["text"] = "3.1 mm is at least 3 and less than 5 mm: grade 1."
    answer["conclude"]["text"] = "Medial meniscus, medial extrusion grade 1."
    answer["grades"] = {"grade": 1}
    assert failing_codes(report_of(case, answer)) == {"scale_misquoted"}
    answer["apply_scale"]["text"] = "3.1 mm is borderline to the 3 mm limit, taken as grade 1."
    assert failing_codes(report_of(case, answer)) == set()


def _measured(name: MeasurementName, value: float, sd: float | None, unit: Unit) -> Measurement:
    return Measurement(
        name=name, value=value, unit=unit, sd=sd, method="test", definition_id="test@1"
    )


@pytest.mark.parametrize(
    ("rule", "name", "unit", "value", "sd", "grades"),
    [
        (_SIZE, MeasurementName.SURFACE_LOSS_SHARE, Unit.PERCENT, 23.4, 1.0, {2}),
        (_SIZE, MeasurementName.SURFACE_LOSS_SHARE, Unit.PERCENT, 10.6, 1.0, {1, 2}),
        (_SIZE, MeasurementName.SURFACE_LOSS_SHARE, Unit.PERCENT, 10.0, None, {2}),
        (_SIZE, MeasurementName.SURFACE_LOSS_SHARE, Unit.PERCENT, 9.97, None, {1, 2}),
        (_SIZE, MeasurementName.SURFACE_LOSS_SHARE, Unit.PERCENT, 0.0, 2.0, {0}),
        (_SIZE, MeasurementName.SURFACE_LOSS_SHARE, Unit.PERCENT, 0.3, 2.0, {1}),
        (_EXTRUSION, MeasurementName.EXTRUSION, Unit.MM, 2.5, 9.0, {0, 1, 2}),
        (_COUNT, MeasurementName.BML_COUNT, Unit.COUNT, 2, 1.0, {2}),
    ],
)
def test_grades_follow_within_one_standard_deviation_of_a_cut_off(
    rule: GradeRule | None,
    name: MeasurementName,
    unit: Unit,
    value: float,
    sd: float | None,
    grades: set[int],
):
    assert rule is not None
    assert following_grades(rule, _measured(name, value, sd, unit), borderline=False) == grades


def test_a_calibrated_cut_off_only_warns():
    case = _BY_NAME["osteophyte_medium"]
    answer = case.answer
    answer["apply_scale"]["text"] = "A protrusion of 3.4 mm of this osteophyte counts as small."
    answer["conclude"]["text"] = "A small osteophyte at the medial tibia, grade 1."
    answer["grades"]["grade"] = 1
    report = report_of(case, answer)
    assert report.passed
    assert [(i.code, i.severity) for i in report.issues] == [
        ("grade_does_not_follow", CheckSeverity.WARN)
    ]


def test_moaks_cut_offs_over_a_calibrated_measurement_only_warn():
    case = _BY_NAME["cartilage_partial"]
    answer = case.answer
    answer["apply_scale"]["text"] = "The surface loss is held against the cut-offs."
    answer["conclude"]["text"] = (
        "The medial central femur shows cartilage loss of size grade 3 and full-thickness grade 0."
    )
    answer["grades"]["size"] = 3
    fitted = replace(case, bases={Component.SIZE: RuleBasis.CALIBRATED})
    for one, severity in ((case, CheckSeverity.FAIL), (fitted, CheckSeverity.WARN)):
        found = [i for i in report_of(one, answer).issues if i.check == "grade_follows"]
        assert [i.severity for i in found] == [severity]


@pytest.mark.parametrize(
    ("clause", "noun", "expected"),
    [
        ("no cartilage loss is seen", "cartilage loss", Polarity.DENIED),
        ("without any visible cartilage loss", "cartilage loss", Polarity.DENIED),
        ("cartilage loss is not present", "cartilage loss", Polarity.DENIED),
        ("cartilage loss is absent", "cartilage loss", Polarity.DENIED),
        ("a focal cartilage loss", "cartilage loss", Polarity.AFFIRMED),
        ("cartilage loss is clearly seen", "cartilage loss", Polarity.AFFIRMED),
        ("no other cartilage loss is seen", "cartilage loss", Polarity.NEUTRAL),
        ("no full-thickness cartilage loss", "cartilage loss", Polarity.NEUTRAL),
        ("whether cartilage loss is present", "cartilage loss", Polarity.NEUTRAL),
        ("the cartilage loss grade", "cartilage loss", Polarity.NEUTRAL),
    ],
)
def test_polarity_of_a_noun(clause: str, noun: str, expected: Polarity):
    match = re.search(noun, clause)
    assert match is not None
    assert polarity(clause, match) is expected


def test_words_of_contrast_split_clauses():
    assert len(clauses("no defect is seen, but the cartilage is thin. a second one")) == 3


def test_a_denial_of_what_was_measured_fails_though_that_component_is_not_asked():
    case = _BY_NAME["cartilage_trochlea_one_component"]
    only_depth = replace(
        case,
        grades={"full_thickness": 1},
        cites=("full_thickness_share",),
        texts=(
            case.texts[0],
            "No cartilage loss is seen on this surface.",
            "full_thickness_share is 1.2 %.",
            "1.2 % is less than 10 %: full_thickness grade 1.",
            "Lateral femoral trochlea, full_thickness grade 1.",
        ),
    )
    assert failing_codes(report_of(only_depth, only_depth.answer)) == {"denies_finding"}


def test_size_words_are_the_grade_where_moaks_grades_in_words():
    text = "A large osteophyte at the medial tibia, grade 2."
    assert _codes("osteophyte_medium", StepName.CONCLUDE, text) == {"size_word_mismatch"}


def test_a_cut_off_answer_has_a_code_of_its_own():
    case = CASES[0]
    report = check_answer(json.dumps(case.answer), "length", case.context, frozenset())
    assert report.draft is None
    assert not report.passed
    assert failing_codes(report) == {"length"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not_json"),
        ("[1]", "not_json"),
        ('{"locate": NaN}', "not_json"),
        ("[" * 100_000, "not_json"),
        ('{"grades": {}, "grades": {}}', "duplicate_key"),
        ("{}", "missing_step"),
    ],
)
def test_an_answer_of_another_form_is_refused(text: str, code: str):
    assert code in failing_codes(report_of(CASES[0], text))


def test_new_lines_pass_and_raw_control_characters_do_not():
    case = CASES[0]
    answer = case.answer
    answer["observe"]["text"] += "\nThe view is good."
    assert report_of(case, answer).passed
    raw = json.dumps(case.answer).replace("thinned", "thin\x01ned")
    assert failing_codes(report_of(case, raw)) == {"control_character"}


def test_settings_soften_a_check_but_never_the_fixed_ones():
    case = CASES[0]
    answer = case.answer
    answer["observe"]["text"] = "The cartilage of the left knee is thin."
    text = json.dumps(answer)
    softened = check_answer(text, "stop", case.context, frozenset({"laterality"}))
    assert softened.passed
    assert [(i.code, i.severity) for i in softened.issues] == [("wrong_side", CheckSeverity.WARN)]
    answer["grades"]["size"] = 7
    fixed = check_answer(json.dumps(answer), "stop", case.context, frozenset(NEVER_WARN))
    assert not fixed.passed
    assert failing_codes(fixed) == {"off_scale"}


def test_every_issue_carries_the_version_of_its_check():
    answer = CASES[0].answer
    answer["observe"]["text"] = "left knee."
    for issue in report_of(CASES[0], answer).issues:
        assert issue.version == CHECK_VERSIONS[issue.check]


def test_checks_read_nothing_but_the_answer_and_its_context():
    case: Case = CASES[0]
    first, second = report_of(case, case.answer), report_of(case, case.answer)
    assert first == second


_PROSE = """grade size 2 23.4 % mm ± -1 to and no cartilage loss medial lateral femur slice 70
of 10-75
(sd 1.2) full_thickness_share between , . ; [60, 100] 0 is less than right left ² ½ ٣"""
_WORDS = st.sampled_from([*_PROSE.split(), "\n"])


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.one_of(
            st.text(min_size=1, max_size=80),
            st.lists(_WORDS, min_size=1, max_size=25).map(" ".join),
            st.just("9" * 590),
        ),
        min_size=5,
        max_size=5,
    ),
    cites=st.lists(st.text(min_size=1, max_size=12), max_size=4),
)
def test_no_text_of_a_model_makes_the_checks_raise(texts: list[str], cites: list[str]):
    answer = CASES[0].answer
    for step, text in zip(StepName, texts, strict=True):
        answer[step.value]["text"] = text
    answer["measure"]["cites"] = cites
    assert not report_of(CASES[0], answer).passed


@given(text=st.text(max_size=300))
def test_no_answer_makes_the_checks_raise(text: str):
    assert not report_of(CASES[0], text).passed
