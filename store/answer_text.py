"""The raw answer, stored once.

A constrained answer is a JSON object of exactly the steps and grades that are columns already
(`knee.answers`). Where writing them out again gives the answer byte for byte, only the JSON style
is stored; every other answer is kept verbatim. Either way the raw text comes back unchanged.
"""

import json
from enum import StrEnum
from typing import Any

from knee.answers import Draft
from knee.moaks import Component
from knee.questions import QUESTIONS


class TextForm(StrEnum):
    """How a raw answer is kept."""

    VERBATIM = "verbatim"
    COMPACT = "compact"
    SPACED = "spaced"
    COMPACT_ASCII = "compact_ascii"
    SPACED_ASCII = "spaced_ascii"


_STYLES: dict[TextForm, tuple[tuple[str, str], bool]] = {
    TextForm.COMPACT: ((",", ":"), False),
    TextForm.SPACED: ((", ", ": "), False),
    TextForm.COMPACT_ASCII: ((",", ":"), True),
    TextForm.SPACED_ASCII: ((", ", ": "), True),
}


def text_form(text: str, draft: Draft | None, question_id: int) -> TextForm:
    """Returns the form in which `text` can be kept; `verbatim` when its steps do not give it."""
    if draft is None:
        return TextForm.VERBATIM
    # The only style that can give this text: judged by its first separator and its characters.
    spaced = text.startswith('{"locate": ')
    if text.isascii():
        form = TextForm.SPACED_ASCII if spaced else TextForm.COMPACT_ASCII
    else:
        form = TextForm.SPACED if spaced else TextForm.COMPACT
    return form if write_answer(draft, question_id, form) == text else TextForm.VERBATIM


def write_answer(draft: Draft, question_id: int, form: TextForm) -> str:
    """Returns the JSON of a draft, grades in MOAKS' order, in one of the styles."""
    wire: dict[str, Any] = {}
    for step in draft.steps:
        entry: dict[str, Any] = {"text": step.text}
        if step.box is not None:
            entry["box"] = list(step.box)
        if step.cites or step.name.value == "measure":
            entry["cites"] = list(step.cites)
        wire[step.name.value] = entry
    order: tuple[Component, ...] = QUESTIONS[question_id].components
    wire["grades"] = {c.value: draft.grades[c] for c in order if c in draft.grades}
    separators, ascii_only = _STYLES[form]
    return json.dumps(wire, separators=separators, ensure_ascii=ascii_only)
