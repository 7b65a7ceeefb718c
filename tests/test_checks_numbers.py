"""Numbers, units and where each may stand."""

import pytest

from agents.checks.context import fold
from agents.checks.numerals import FOREIGN, find_lists, find_numerals, spell_digits
from knee.answers import StepName
from tests.draft_cases import CASES, failing_codes, report_of

_PARTIAL = next(case for case in CASES if case.name == "cartilage_partial")
_BML = next(case for case in CASES if case.name == "bml_two")
_OSTEOPHYTE = next(case for case in CASES if case.name == "osteophyte_medium")


def _codes(step: StepName, text: str, case: object = _PARTIAL) -> set[str]:
    assert case in CASES
    chosen = next(c for c in CASES if c == case)
    answer = chosen.answer
    answer[step.value]["text"] = text
    return failing_codes(report_of(chosen, answer))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("23.4 % (sd 1.2)", [(23.4, "%"), (1.2, None)]),
        ("1,843 mm³ ± 60 mm³", [(1843.0, "mm³"), (60.0, "mm³")]),
        ("10\u201375 %", [(10.0, "%"), (75.0, "%")]),
        ("10 to less than 75 percent", [(10.0, "%"), (75.0, "%")]),
        ("ten percent", [(10.0, "%")]),
        ("-2.3 mm", [(-2.3, "mm")]),
        ("3.4mm and 2.5 cm", [(3.4, "mm"), (2.5, FOREIGN)]),
        ("3D DESS, T2, 2nd look", []),
        ("6.20 mL", [(6.2, "mL")]),
        ("4 cubic millimetres", [(4.0, "mm³")]),
        ("12 widgets", [(12.0, None)]),
        ("5x", [(5.0, FOREIGN)]),
        ("\uff13 mm", [(3.0, "mm")]),
    ],
)
def test_numbers_are_found_with_their_units(text: str, expected: list[tuple[float, str | None]]):
    found = find_numerals(spell_digits(fold(text)))
    assert [(n.value, n.unit) for n in found] == expected


@pytest.mark.parametrize("text", ["[60, 100, 20, 90, 10, 41]", "60 100 20 90 10 41", "(60, 100)"])
def test_runs_of_whole_numbers_are_lists_and_not_numbers(text: str):
    assert len(find_lists(text)) == 1
    assert find_numerals(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "surface_loss_share is 23.4 % (sd 1.2), full_thickness_share 0.0 %.",
        "Any loss 23.4 % ± 1.2 %, full-thickness loss 0 %.",
        "Any loss 23.4 ± 1.2 %, full-thickness loss 0.0 %, above the 10 % cut-off and under 75 %.",
        "23.40 percent of the surface is lost, 0.0 percent to the bone.",
    ],
)
def test_measurements_as_shown_pass_in_measure(text: str):
    assert _codes(StepName.MEASURE, text) == set()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Loss is 24.4 %, full-thickness 0.0 %.", "number_not_in_findings"),
        ("Loss is 23.4 mm, full-thickness 0.0 %.", "unit_mismatch"),
        ("Loss is 23.4 cm, full-thickness 0.0 %.", "unit_mismatch"),
        ("Loss is 23.4, full-thickness 0.0 %.", "number_without_unit"),
        ("Loss is 23.4 % (sd 2.2), full-thickness 0.0 %.", "sd_not_in_findings"),
        ("full_thickness_share 23.4 %, surface_loss_share 0.0 %.", "number_of_other_measurement"),
        ("Loss is 23.4 %, full-thickness 0.0 %, in 17 places.", "number_unexplained"),
        ("Loss is 10 %, full-thickness 0.0 %.", "number_not_in_findings"),
        ("Loss is about 20 %, full-thickness 0.0 %.", "number_not_in_findings"),
        ("Loss is 23.4 %, the remaining 76.6 % is covered, full 0.0 %.", "number_not_in_findings"),
    ],
)
def test_numbers_without_a_source_fail_in_measure(text: str, code: str):
    assert code in _codes(StepName.MEASURE, text)


def test_cut_offs_pass_in_apply_scale_and_only_there_unless_compared_with():
    assert _codes(StepName.APPLY_SCALE, "Between 10 and 75 %, so size grade 2.") == set()
    assert "number_not_in_findings" in _codes(StepName.APPLY_SCALE, "Between 10 and 70 %.")
    assert "number_not_in_findings" in _codes(StepName.OBSERVE, "The cartilage loss is 75 %.")
    assert _codes(StepName.OBSERVE, "The cartilage loss is below 75 %.") == set()


def test_rounding_passes_unless_it_crosses_a_cut_off():
    # 3.36 mm is shown as 3.4 mm; "3 mm" would sit on the cut-off between two grades.
    shown = "The osteophyte_protrusion is 3.4 mm."
    assert _codes(StepName.MEASURE, shown, _OSTEOPHYTE) == set()
    rounded = "The protrusion of the osteophyte, 3 mm when rounded, is 3.4 mm."
    assert _codes(StepName.MEASURE, rounded, _OSTEOPHYTE) == set()
    assert _codes(StepName.MEASURE, "An osteophyte of 3.36 mm.", _OSTEOPHYTE)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("Two bone marrow lesions are seen.", True),
        ("2 lesions are seen, BML by their look.", True),
        ("Three bone marrow lesions are seen.", False),
        ("A single bone marrow lesion is seen.", False),
        ("One of the two BMLs is cystic.", True),
    ],
)
def test_counts_in_words_are_the_count_measured(text: str, passes: bool):
    assert ("count_mismatch" in _codes(StepName.OBSERVE, text, _BML)) is not passes


def test_slice_numbers_lie_inside_the_box():
    inside = "Sagittal slices 60 to 99 of 160 show cartilage loss."
    assert _codes(StepName.OBSERVE, inside) == set()
    half_open = "Sagittal slices 60 to 100 show cartilage loss."
    assert _codes(StepName.OBSERVE, half_open) == set()
    for text in ("Sagittal slice 100 shows it.", "Sagittal slice 70 of 90 shows it."):
        assert "slice_outside_box" in _codes(StepName.OBSERVE, text)


@pytest.mark.parametrize("word", ["box 60 100 20 90 10 41", "i 60-100, j 20-90, k 10-41"])
def test_box_numbers_pass_in_locate(word: str):
    text = f"Right knee, medial central femur, {word}."
    assert _codes(StepName.LOCATE, text) == set()


def test_a_box_with_one_number_changed_fails_in_locate():
    text = "Right knee, medial central femur, box 60 100 20 91 10 41."
    assert "box_text_mismatch" in _codes(StepName.LOCATE, text)


@pytest.mark.parametrize(
    "text",
    [
        "About half of the surface is bare.",
        "Two thirds of the surface is worn away.",
        "A quarter of the plateau lacks cartilage.",
        "A dozen fissures are seen.",
        "The cartilage is halved.",
        "Cartilage is thinned by half.",
    ],
)
def test_shares_in_words_have_no_source(text: str):
    assert "fraction_in_words" in _codes(StepName.OBSERVE, text)


@pytest.mark.parametrize(
    "text",
    [
        "Cartilage loss lies in the anterior third of the medial central femur.",
        "The third slice shows cartilage loss.",
        "The other half-plane is not shown; cartilage loss is seen.",
    ],
)
def test_words_for_places_are_no_shares(text: str):
    assert "fraction_in_words" not in _codes(StepName.OBSERVE, text)
