import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee.answers import Draft, Step, StepName
from knee.moaks import Component
from store.answer_text import TextForm, text_form, write_answer
from store.arrow_rows import sampling_columns, sampling_of
from tests.store_records import answer, draft


@pytest.mark.parametrize(
    ("separators", "ascii_only", "form"),
    [
        ((",", ":"), False, TextForm.COMPACT),
        ((", ", ": "), False, TextForm.SPACED),
        ((",", ":"), True, TextForm.COMPACT_ASCII),
        ((", ", ": "), True, TextForm.SPACED_ASCII),
    ],
)
def test_an_answer_in_a_known_style_comes_back_byte_for_byte(
    separators: tuple[str, str], ascii_only: bool, form: TextForm
):
    value = draft(1, 2)
    text = json.dumps(json.loads(answer(value)), separators=separators, ensure_ascii=ascii_only)
    assert text_form(text, value, 1) is form
    assert write_answer(value, 1, form) == text


@pytest.mark.parametrize("change", ["\n", " ", "```"])
def test_any_other_answer_is_kept_verbatim(change: str):
    value = draft(1, 2)
    assert text_form(answer(value) + change, value, 1) is TextForm.VERBATIM
    assert text_form("no JSON", None, 1) is TextForm.VERBATIM


@given(st.lists(st.text(), min_size=5, max_size=5), st.integers(0, 3), st.booleans())
def test_the_form_never_lies(texts: list[str], grade: int, cites: bool):
    value = Draft(
        steps=tuple(
            Step(name=name, text=text, cites=("bml_count",) if cites else ())
            for name, text in zip(StepName, texts, strict=True)
        ),
        grades={Component.SIZE: grade},
    )
    text = answer(value)
    form = text_form(text, value, 1)
    assert form is TextForm.VERBATIM or write_answer(value, 1, form) == text


def test_sampling_values_keep_their_type():
    sampling: dict[str, float | int | str] = {
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 512,
        "seed": 1.5,
        "stop": "5",
        "top_k": 5,
    }
    columns = sampling_columns(sampling)
    assert columns["top_p"] == 0.5
    assert "temperature" not in columns
    row = dict.fromkeys(("temperature", "top_p", "max_tokens", "seed")) | columns
    back = sampling_of(row)
    assert back == sampling
    assert {name: type(value) for name, value in back.items()} == {
        name: type(value) for name, value in sampling.items()
    }
