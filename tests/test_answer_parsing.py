"""Answers to grades: every form that is read, and nothing that the text does not hold."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eval.answer_parsing import parse_answer
from eval.bench_records import Coordinates
from eval.coordinates import IndexBox, PictureBox
from knee.moaks import Component
from knee.questions import QUESTIONS, Question
from tests.release_fixture import final_answer

HOFFA, BML, CYST, ROOT, MORPHOLOGY = (QUESTIONS[n] for n in (42, 4, 54, 58, 49))


def read(text: str, question: Question = HOFFA, finish: str | None = "stop") -> list[int | None]:
    parsed = parse_answer(text, question, question.components, finish_reason=finish)
    assert [entry.component for entry in parsed.grades] == list(question.components)
    assert all((entry.grade is None) == (entry.reason is not None) for entry in parsed.grades)
    return [entry.grade for entry in parsed.grades]


def reason(text: str, question: Question = HOFFA, finish: str | None = "stop") -> str:
    (first, *_) = parse_answer(text, question, question.components, finish_reason=finish).grades
    assert first.reason is not None
    return first.reason.partition(":")[0]


@pytest.mark.parametrize(
    "text",
    [
        '{"reasoning": "x", "grades": {"grade": 2}}',
        '{"grades": {"grade": "2"}}',
        '{"grades": {"grade": 2.0}}',
        '{"grades": {"grade": "grade 2"}}',
        '{"grades": {"grade": {"grade": 2}}}',
        'Sure! Here it is:\n```json\n{"grades": {"grade": 2}}\n```\nHope this helps.',
        '<think>{"grades": {"grade": 3}} no, less</think>{"grades": {"grade": 2}}',
        'It may be grade 3.\nFinal diagnosis: {"MOAKS_scores": {"Hoffa-Synovitis": {"grade": 2}}}',
        '{"MOAKS_scores": {"Hoffa-Synovitis": {"grade": 2}',
        '"Hoffa-Synovitis": 2',
        "{'hoffa_synovitis': {'grade': '2'}}",
        '{"grade": 2}',
        "2",
        "Grade 2.",
        "The fat pad is bright. **Grade: 2**",
        "Final answer: moderate",
        "Final diagnosis: Moderate.",
        "the score is 2",
        '{"grades": {"grade": 2}} {"grades": {"grade": 2}}',
        '{"grades": {"grade": 3}} no, less</think>{"grades": {"grade": 2}}',
        "Less than 33 % of the fat pad over the tibia: grade 2",
        '{"MOAKS_grade": 2}',
        "**2**",
        "Final answer: \\boxed{2}",
    ],
)
def test_a_grade_is_read_in_every_form_that_says_one_thing(text: str):
    assert read(text) == [2]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_answer"),
        ("I cannot say.", "no_key"),
        ('{"grades": {"grade": null}}', "missing"),
        ('{"grades": {"grade": 4}}', "off_scale"),
        ('{"grades": {"grade": -1}}', "not_a_grade"),
        ('{"grades": {"grade": true}}', "not_a_grade"),
        ('{"grades": {"grade": 1.5}}', "not_a_grade"),
        ('{"grades": {"grade": [2]}}', "not_a_grade"),
        ('{"grades": {"size": 2}}', "no_field"),
        ('{"grades": {"grade": 1}} {"grades": {"grade": 2}}', "ambiguous"),
        ("grade 0 none, grade 1 mild, grade 2 moderate", "ambiguous"),
        ("Grade 2-3", "ambiguous"),
        ("Grade 2 or 3", "ambiguous"),
        ("Grade 1/2", "ambiguous"),
        ("grade 0 to 3", "ambiguous"),
        ("This is not grade 2.", "ambiguous"),
        ("If there were fluid, it would be grade 2", "ambiguous"),
        ("grade 7", "off_scale"),
        ("It may be grade 2.</think> I cannot say.", "no_key"),
        ('{"grades": {"grade": 2, "grade": 1}}', "ambiguous"),
        ('{"grades": {"grade": 2}, "grades": {"grade": 1}}', "ambiguous"),
        ("less than grade 2", "ambiguous"),
        ("at least grade 1", "ambiguous"),
        ("It exceeds grade 1", "ambiguous"),
        ("Compared with a grade 2 change it is milder", "ambiguous"),
        ("Grade: 0, 1, 2, 3", "ambiguous"),
        ("grade 33 %", "ambiguous"),
        ("moderate to severe", "no_key"),
        ("not moderate", "no_key"),
        ('{"grade": "<0|1|2|3>"}', "placeholder"),
        ('{"ACL": {"Complete Tear": 1}}', "other_question"),
    ],
)
def test_what_says_nothing_or_two_things_has_its_reason(text: str, code: str):
    assert reason(text) == code


def test_each_component_is_read_on_its_own():
    assert read('{"grades": {"size": 2, "number": null, "percent_bml": 3}}', BML) == [2, None, 3]
    assert read("Size: grade 2, number is 1, % BML = 3", BML) == [2, 1, 3]
    assert read("Size: 2\nNumber: 1\n% BML: 3", BML) == [2, 1, 3]
    assert read("size 0-3: 2", BML) == [None, None, None]
    assert read('{"presence": 1, "tear_location": 3}', CYST) == [1, 3]
    assert read("grade 2", BML) == [None, None, None]
    asked = (Component.NUMBER,)
    parsed = parse_answer('{"grades": {"size": 2, "number": 1}}', BML, asked)
    assert [(entry.component, entry.grade) for entry in parsed.grades] == [(Component.NUMBER, 1)]


def test_words_count_for_one_component_and_alone():
    assert read("Yes.", ROOT) == [1]
    assert read("Final answer: absent", ROOT) == [0]
    assert read("Yes, there is no tear", ROOT) == [None]
    assert read("present", CYST) == [None, None]
    assert read("moderate", MORPHOLOGY) == [None]


def test_an_answer_cut_off_at_its_limit_says_so_and_one_with_its_grades_counts():
    assert reason('{"reasoning": "the fat pad sh', finish="length") == "truncated"
    assert read('{"grades": {"grade": 1}} and more', finish="length") == [1]


def test_the_69_formats_of_the_release_are_read_with_the_grades_that_they_hold():
    for question in QUESTIONS.values():
        grades = {c: question.scale(c).grades[-1] for c in question.components}
        text = final_answer(question.question_id, grades)
        wanted = [grades[c] for c in question.components]
        assert read(text, question) == wanted, text
        wordy = f"Step 1: grade 0 would be normal.\nFinal diagnosis:\n```json\n{text}\n```"
        assert read(wordy, question) == wanted


def box_of(text: str, coordinates: Coordinates):
    parsed = parse_answer(text, HOFFA, HOFFA.components, coordinates=coordinates)
    return parsed.box, (parsed.box_reason or "").partition(":")[0]


def test_a_box_is_read_in_the_convention_that_was_asked_for():
    pictures = '{"box": {"first": 3, "last": 5.0, "rectangle": [1, 2.5, 30, 40]}}'
    box = PictureBox(first=3, last=5, rectangle=(1, 2.5, 30, 40))
    assert box_of(pictures, Coordinates.PIXELS_SENT) == (box, "")
    assert box_of(f"Final diagnosis: {pictures}", Coordinates.PER_MILLE) == (box, "")
    assert box_of(pictures, Coordinates.VOXELS) == (None, "box_format")
    six = '{"box": [1, 2, 3, 4, 5, 6]}'
    assert box_of(six, Coordinates.VOXELS) == (IndexBox(indices=(1, 2, 3, 4, 5, 6)), "")
    assert box_of(six, Coordinates.PIXELS_SENT) == (None, "box_format")
    assert box_of('{"grades": {"grade": 1}}', Coordinates.VOXELS) == (None, "no_box")
    assert box_of(six + '{"box": [1, 2, 3, 4, 5, 7]}', Coordinates.VOXELS) == (
        None,
        "several_boxes",
    )
    for wrong in ('{"box": [1, 2, 3, 4, 5]}', '{"box": [1, 2, 3, 4, 5, true]}', '{"box": null}'):
        assert box_of(wrong, Coordinates.VOXELS) == (None, "box_format")
    for first in ("true", "1.5", "NaN", "Infinity", "null", '"1"'):
        text = f'{{"box": {{"first": {first}, "last": 5, "rectangle": [1, 2, 30, 40]}}}}'
        assert box_of(text, Coordinates.PIXELS_SENT) == (None, "box_format")


def test_what_stands_before_the_grades_is_the_reasoning():
    parsed = parse_answer('{"reasoning": " seen ", "grades": {}}', HOFFA, HOFFA.components)
    assert parsed.reasoning == "seen"
    parsed = parse_answer('Bright.\n```json\n{"grades": {"grade": 1}}', HOFFA, HOFFA.components)
    assert parsed.reasoning == "Bright."
    parsed = parse_answer("Bright. Final diagnosis: 1", HOFFA, HOFFA.components)
    assert parsed.reasoning == "Bright."


_WORDS = frozenset(
    (
        *("absent", "present", "yes", "no", "none", "small", "medium", "large", "physiologic"),
        *("normal", "mild", "moderate", "severe"),
    )
)
_PIECES = st.sampled_from(
    [
        *('{"grades":', '{"grade":', '"size":', "}", "{", "[", "]", ",", '"', "grade", "size"),
        *("Final diagnosis:", "is", "not", "-", "or", "null", "true", "moderate", "yes", "```"),
        *("number", "presence", "<think>", "</think>", "0", "1", "2", "3", "7", "1.5", "\n", " "),
        *("MOAKS_scores", '"Hoffa-Synovitis":', "% BML", "depth", "Answer:", "\ud800", "é", "²"),
    ]
)


@settings(max_examples=120, deadline=None)
@given(
    st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=25).map("".join)),
    st.sampled_from([4, 16, 30, 42, 43, 45, 49, 54, 58, 60, 63]),
)
@example("{" * 1000, 4)
@example('{"a":' * 300, 4)
@example("grade " + "9" * 5000, 42)
@example("grade ²", 42)
def test_no_grade_comes_out_that_does_not_stand_in_the_text(text: str, question_id: int):
    question = QUESTIONS[question_id]
    digits = set(re.findall(r"\d+", text))
    words = {word.casefold() for word in re.findall(r"[A-Za-z]+", text)}
    for coordinates in (None, Coordinates.PIXELS_SENT, Coordinates.VOXELS):
        parsed = parse_answer(text, question, question.components, coordinates=coordinates)
        for entry in parsed.grades:
            if entry.grade is None:
                continue
            assert entry.grade in question.scale(entry.component).wording
            is_written = any(d.isdecimal() and int(d) == entry.grade for d in digits)
            assert is_written or words & _WORDS, (text, entry)
        if parsed.box is not None:
            assert "box" in text
        json.dumps(parsed.reasoning).encode()


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["N", "L"]), max_size=80))
def test_a_text_without_letters_and_digits_gives_nothing(text: str):
    assert read(text) == [None]
