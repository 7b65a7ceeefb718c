"""False comparisons, exchanged values, histories, sides by anatomy; what settings may soften."""

import json

import pytest

from agents.checks.run import CHECK_VERSIONS, NEVER_WARN, check_answer
from tests.draft_cases import CASES, failing_codes, report_of

_BY_NAME = {case.name: case for case in CASES}


def _codes(name: str, step: str, text: str) -> set[str]:
    case = _BY_NAME[name]
    answer = case.answer
    answer[step]["text"] = text
    return failing_codes(report_of(case, answer))


@pytest.mark.parametrize(
    ("name", "step", "text", "code"),
    [
        ("osteophyte_medium", "apply_scale", "3.4 mm is 5 mm or more.", "false_comparison"),
        ("osteophyte_medium", "apply_scale", "3.4 mm is less than 3 mm.", "false_comparison"),
        ("osteophyte_medium", "apply_scale", "5 mm lies in 3 to 5 mm.", "number_not_in_findings"),
        ("bml_two", "apply_scale", "3 means number grade 2.", "count_mismatch"),
        (
            "cartilage_severe",
            "measure",
            "Any loss takes 40.2 percent, full-thickness loss 81.0 percent.",
            "number_of_other_measurement",
        ),
        ("cartilage_partial", "observe", "There has been pain for years.", "invented_history"),
        ("cartilage_partial", "observe", "Thin cartilage by the fibula.", "wrong_compartment"),
        (
            "osteophyte_none",
            "observe",
            "The contour is raised by an osteophyte.",
            "asserts_finding",
        ),
        ("extrusion_medial", "observe", "Extrusion. A large osteophyte is seen.", "other_feature"),
        ("cartilage_partial", "observe", "The experts see thin cartilage.", "label_leak"),
        ("cartilage_partial", "observe", "The cartilage covers the whole bone.", "denies_finding"),
    ],
)
def test_what_is_false_or_not_known_fails(name: str, step: str, text: str, code: str):
    assert code in _codes(name, step, text)


@pytest.mark.parametrize(
    ("name", "step", "text"),
    [
        ("osteophyte_medium", "apply_scale", "3.4 mm is at least 3 mm and less than 5 mm."),
        ("osteophyte_medium", "apply_scale", "From 3 mm on it is grade 2, from 5 mm on grade 3."),
        ("cartilage_partial", "apply_scale", "10 % < 23.4 % < 75 %: size grade 2."),
        ("cartilage_partial", "apply_scale", "23.4 % is too little for grade 3."),
        ("cartilage_partial", "observe", "Bone has grown; the cartilage is thinned."),
        ("extrusion_anterior_none", "observe", "Extrusion is present but tiny."),
        ("bml_none", "observe", "0 lesions are labelled in the marrow."),
    ],
)
def test_what_is_true_passes(name: str, step: str, text: str):
    assert _codes(name, step, text) == set()


_SPOILED = {
    "laterality": ("observe", "The cartilage of the left knee is thin."),
    "region": ("observe", "Cartilage loss of the posterior femur."),
    "feature": ("observe", "Thin cartilage. An osteophyte is seen."),
    "numbers": ("observe", "The cartilage loss is 61.3 %."),
    "citations": ("observe", "The lesion_area of cartilage is small."),
    "leak": ("observe", "The ground truth shows thin cartilage."),
    "history": ("observe", "Cartilage loss after an injury."),
    "steps": ("observe", "Cartilage."),
    "consistency": ("observe", "No cartilage loss is seen."),
}


@pytest.mark.parametrize("check", _SPOILED)
def test_settings_turn_a_check_into_a_warning(check: str):
    case = _BY_NAME["cartilage_partial"]
    answer = case.answer
    step, text = _SPOILED[check]
    answer[step]["text"] = text
    raw = json.dumps(answer)
    assert {i.check for i in check_answer(raw, "stop", case.context, frozenset()).issues} == {check}
    assert check_answer(raw, "stop", case.context, frozenset({check})).passed


def test_schema_scale_and_compare_are_never_softened():
    assert {"schema", "scale", "compare"} == NEVER_WARN
    case = _BY_NAME["cartilage_partial"]
    everything = frozenset(CHECK_VERSIONS)
    off_scale = case.answer
    off_scale["grades"]["size"] = 7
    for raw in (json.dumps(off_scale), "[]", json.dumps(case.answer | {"note": 1})):
        assert not check_answer(raw, "stop", case.context, everything).passed
