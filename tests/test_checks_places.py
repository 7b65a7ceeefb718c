"""Side, compartment, region and feature words."""

import pytest

from knee.answers import StepName
from tests.draft_cases import CASES, failing_codes, report_of

_BY_NAME = {case.name: case for case in CASES}


def _codes(name: str, step: StepName, text: str) -> set[str]:
    case = _BY_NAME[name]
    answer = case.answer
    answer[step.value]["text"] = text
    return failing_codes(report_of(case, answer))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "cartilage_partial",
            "Little cartilage is left; the loss meets the bone at a right angle.",
        ),
        ("cartilage_partial", "The cartilage loss measures most in the mediolateral direction."),
        ("cartilage_partial", "Cartilage loss runs from medial to lateral across the surface."),
        ("cartilage_partial", "The medial femoral cartilage opposite the tibial plateau is lost."),
        ("cartilage_partial", "The cartilage loss lies anterior to the posterior third."),
        ("extrusion_medial", "The medial meniscus extrudes medially beyond the tibial edge."),
        ("extrusion_borderline", "The lateral margin of the lateral meniscus shows extrusion."),
        ("osteophyte_medium", "An osteophyte of the medial tibial plateau points downwards."),
        ("effusion_small", "Effusion is seen over the lateral and medial femoral condyles."),
        ("acl_intact", "The ligament runs from the lateral femoral condyle to the tibia."),
    ],
)
def test_words_that_fit_the_region_pass(name: str, text: str):
    if name == "cartilage_partial" and "posterior third" in text:
        # The posterior third is another subregion, whatever stands before it.
        assert _codes(name, StepName.OBSERVE, text) == {"other_region"}
    else:
        assert _codes(name, StepName.OBSERVE, text) == set()


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("cartilage_partial", "Cartilage loss in the left knee.", "wrong_side"),
        ("cartilage_severe", "Cartilage loss on the right.", "wrong_side"),
        ("cartilage_partial", "Cartilage loss of the lateral condyle.", "wrong_compartment"),
        ("cartilage_partial", "Cartilage loss in the posterior femur.", "other_region"),
        ("cartilage_partial", "Cartilage loss of the central tibia.", "other_region"),
        ("cartilage_partial", "Cartilage loss of the patellar facet.", "other_region"),
        ("bml_cyst_only", "One bone marrow lesion of the medial tibia.", "other_region"),
        ("osteophyte_none", "No osteophyte at the inferior patella.", "other_region"),
        ("osteophyte_none", "No osteophyte at the lateral patella.", "other_region"),
        ("extrusion_medial", "Extrusion at the anterior margin of the meniscus.", "wrong_margin"),
        ("extrusion_anterior_none", "Extrusion of the medial meniscus.", "wrong_compartment"),
        ("extrusion_anterior_none", "The lateral margin of the meniscus.", "wrong_margin"),
        ("morphology_tear", "The anterior horn is torn.", "other_region"),
        ("morphology_tear", "The body of the medial meniscus is torn.", "other_region"),
        ("cartilage_partial", "An osteophyte stands out.", "other_feature"),
        ("cartilage_partial", "A bone marrow lesion lies below.", "other_feature"),
        ("osteophyte_medium", "The joint holds an effusion.", "other_feature"),
    ],
)
def test_words_of_another_place_or_feature_fail(name: str, text: str, code: str):
    assert code in _codes(name, StepName.OBSERVE, text)


@pytest.mark.parametrize("name", _BY_NAME)
def test_locate_without_the_region_fails(name: str):
    assert "region_not_named" in _codes(name, StepName.LOCATE, "It is inside this box here.")


def test_a_draft_that_never_names_its_feature_fails():
    case = _BY_NAME["osteophyte_medium"]
    answer = case.answer
    answer["observe"]["text"] = "Something stands out from the contour."
    answer["measure"]["text"] = "It protrudes by 3.4 mm."
    answer["conclude"]["text"] = "The medial tibia is grade 2."
    assert "feature_not_named" in failing_codes(report_of(case, answer))


def test_osteophytes_may_be_named_beside_extrusion():
    text = "The meniscus lies beyond the tibial edge, an osteophyte left out: extrusion."
    assert _codes("extrusion_medial", StepName.OBSERVE, text) == set()
