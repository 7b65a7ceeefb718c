"""Clean drafts pass, spoiled ones do not: the small form of the mutation suite."""

import re

import pytest

from knee.records import CheckSeverity
from tests.draft_cases import CASES, Case, failing_codes, report_of
from tests.draft_mutations import MUTATORS

_BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize("name", _BY_NAME)
def test_clean_draft_passes_without_a_failing_issue(name: str):
    report = report_of(_BY_NAME[name], _BY_NAME[name].answer)
    assert [i for i in report.issues if i.severity is CheckSeverity.FAIL] == []
    assert report.passed


def test_cases_cover_the_features_that_masks_and_images_give_evidence_for():
    features = {case.question.feature.value for case in CASES}
    assert len(CASES) >= 12
    assert features >= {"bml", "cartilage", "osteophyte", "extrusion", "effusion_synovitis"}
    assert features >= {"morphology", "acl", "root_tear"}


@pytest.mark.parametrize("kind", MUTATORS)
def test_every_mutant_of_a_kind_is_caught(kind: str):
    caught = 0
    for case in CASES:
        for answer in MUTATORS[kind](case):
            assert failing_codes(report_of(case, answer)), (case.name, answer)
            caught += 1
    assert caught >= 12, "a kind without mutants proves nothing"


def _expected(kind: str) -> set[str]:
    return {
        "wrong_side": {"wrong_side"},
        "wrong_compartment": {"wrong_compartment", "wrong_margin", "other_region"},
        "neighbour_part": {"other_region", "region_not_named", "wrong_margin"},
        "off_scale": {"off_scale"},
        "illegal_combination": {"illegal_combination"},
        "shifted_box": {"box_mismatch", "box_text_mismatch", "number_unexplained"},
        "slice_outside": {"slice_outside_box"},
        "missing_step": {"missing_step", "missing_key"},
        "reordered_steps": {"step_order"},
        "empty_step": {"empty_step", "step_too_short"},
        "unknown_finding": {"unknown_finding"},
        "evidence_not_cited": {"evidence_not_cited"},
        "copied_prompt": {"prompt_copied"},
        "leaked_label": {"label_leak"},
        "control_characters": {"control_character"},
        "repetition": {"repetition"},
        "contradiction": {"denies_finding", "asserts_finding", "size_word_mismatch"},
    }.get(kind, set())


@pytest.mark.parametrize("kind", [kind for kind in MUTATORS if _expected(kind)])
def test_mutants_are_caught_for_their_own_reason(kind: str):
    for case in CASES:
        for answer in MUTATORS[kind](case):
            codes = failing_codes(report_of(case, answer))
            assert codes & (_expected(kind) | {"wrong_type"}), (case.name, kind, codes, answer)


def _issues(case: Case) -> list[str]:
    return [
        issue.message
        for mutate in MUTATORS.values()
        for answer in mutate(case)
        for issue in report_of(case, answer).issues
        if issue.check == "grade_follows"
    ]


def test_message_on_a_grade_that_does_not_follow_names_no_grade():
    messages = [message for case in CASES for message in _issues(case)]
    assert messages
    for message in messages:
        assert not re.search(r"grade\w*\W+\d", message)
        assert "against the cut-offs again" in message
