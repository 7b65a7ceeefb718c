"""The answer's schema: exactly the asked components, steps in order, references resolved."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from knee.answers import MAX_STEP_CHARACTERS, StepName, answer_model, answer_schema
from knee.keys import JsonValue
from knee.moaks import Component
from knee.questions import QUESTIONS, question_by_region

_CARTILAGE = question_by_region("cartilage:femur_medial_central")
_ASKED = (Component.SIZE, Component.FULL_THICKNESS)


def _answer(**grades: JsonValue) -> dict[str, Any]:
    return {
        "locate": {"text": "here", "box": [0, 1, 2, 3, 4, 5]},
        "observe": {"text": "this"},
        "measure": {"text": "so much", "cites": ["surface_loss_share"]},
        "apply_scale": {"text": "thus"},
        "conclude": {"text": "done"},
        "grades": grades,
    }


@pytest.mark.parametrize("number", QUESTIONS)
def test_every_question_has_a_schema_without_references(number: int):
    question = QUESTIONS[number]
    schema = answer_schema(question, question.components)
    text = json.dumps(schema)
    assert "$ref" not in text
    assert "$defs" not in text
    assert list(schema["properties"]) == [*(name.value for name in StepName), "grades"]
    assert schema["required"] == list(schema["properties"])
    grades = schema["properties"]["grades"]
    assert list(grades["properties"]) == [c.value for c in question.components]
    for component in question.components:
        assert grades["properties"][component.value]["enum"] == list(
            question.scale(component).grades
        )


def test_every_text_of_a_schema_is_bounded():
    schema = answer_schema(_CARTILAGE, _ASKED)
    for name in StepName:
        text = schema["properties"][name.value]["properties"]["text"]
        assert text["maxLength"] == MAX_STEP_CHARACTERS
        assert text["minLength"] == 1


def test_only_the_asked_components_are_in_the_schema():
    schema = answer_schema(_CARTILAGE, (Component.FULL_THICKNESS,))
    assert list(schema["properties"]["grades"]["properties"]) == ["full_thickness"]
    model = answer_model(_CARTILAGE, (Component.FULL_THICKNESS,))
    model.model_validate(_answer(full_thickness=1))
    with pytest.raises(ValidationError):
        model.model_validate(_answer(size=1, full_thickness=1))


@pytest.mark.parametrize("grade", [4, -1, 1.5, "1", None])
def test_a_grade_off_the_scale_or_of_another_type_is_refused(grade: JsonValue):
    with pytest.raises(ValidationError):
        answer_model(_CARTILAGE, _ASKED).model_validate(_answer(size=grade, full_thickness=0))


@pytest.mark.parametrize("box", [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, -5]])
def test_a_box_is_six_indices(box: list[int]):
    answer = _answer(size=0, full_thickness=0)
    answer["locate"]["box"] = box
    with pytest.raises(ValidationError):
        answer_model(_CARTILAGE, _ASKED).model_validate(answer)
