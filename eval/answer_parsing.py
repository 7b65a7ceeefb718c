"""From what a model wrote to grades and a box, or to the reason why there is none.

Never a default: a grade comes out only where the text holds it. The order of what is tried:

    1. JSON objects with `grades`, as the prompts ask for, wherever they stand (prose, code fences)
    2. the release's 69 formats, whole or not (`tools.release_answers`)
    3. prose: "size: 2", "size grade 2"; for a question of one component "grade 2", and one word of
       its scale ("moderate") where the final part is that word alone

A text that says two things of a component says none: `ambiguous`. Behind "Final diagnosis:" stands
the answer, and what stands before is not looked at. A model that reasons first inside `<think>` has
answered behind it, whether the opening mark is in its answer or in its prompt.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from eval.bench_records import Coordinates, PredictedGrade
from eval.coordinates import AnswerBox, IndexBox, PictureBox
from eval.grade_words import prose_grade
from knee.keys import JsonValue
from knee.moaks import Component
from knee.questions import Question
from tools.release_answers import ReleasedAnswer, Unmapped, read_answer

TRUNCATED = "truncated"
"""Code of an answer that ended at its token limit without a grade."""
_THINK = re.compile(r"\A.*</think>|<think>.*", re.DOTALL | re.IGNORECASE)
"""What stands before the last end of thinking, which a chat template may have begun in the prompt,
and thinking that never ended."""
_MARK = re.compile(r"final (?:diagnosis|answer)\W{0,4}:", re.IGNORECASE)
_WHOLE = re.compile(r"\s*(?:grade\s*:?\s*)?(\d{1,4})(?:\.0+)?\s*", re.IGNORECASE)
_MAX_SHOWN = 60
_LARGEST = 1e9
_MAX_CHARACTERS = 20_000
"""Of a longer text the end is read: the answer stands there, and braces that never close take time
by the square of the length."""
_REPEATED = "several values under one key"
"""Stands for the value of such a key; it is no grade, no object and no box."""
_MAX_FAILURES = 200
"""Braces that open nothing, after which no more are tried."""


class ParsedAnswer(NamedTuple):
    """What could be read of one answer."""

    grades: tuple[PredictedGrade, ...]
    """Every component asked, in its order."""
    reasoning: str | None
    """What stands before the grades; None without."""
    box: AnswerBox | None
    """In the model's own numbers; None when none was asked for or could be read."""
    box_reason: str | None
    """Why a box that was asked for could not be read, `code: detail`."""

    @property
    def has_grade(self) -> bool:
        """Whether a grade of any component could be read."""
        return any(entry.grade is not None for entry in self.grades)


class _Found(NamedTuple):
    grade: int | None
    reason: str


def parse_answer(
    text: str,
    question: Question,
    asked: tuple[Component, ...],
    *,
    finish_reason: str | None = None,
    coordinates: Coordinates | None = None,
) -> ParsedAnswer:
    """Returns the grades, the reasoning and the box in an answer.

    Args:
        text: as the model wrote it.
        question: what was asked.
        asked: components asked, in MOAKS' order.
        finish_reason: as the server gave it; `length` names why nothing could be read.
        coordinates: in which numbers a box was asked for; None where none was.
    """
    text = _without_surrogates(text[-_MAX_CHARACTERS:])
    answer = _THINK.sub(" ", text)
    marks = list(_MARK.finditer(answer))
    final = answer[marks[-1].end() :] if marks else answer
    objects = list(_answers(final))
    released = read_answer(final, question.question_id)
    found = {c: _read(c, final, objects, question, released) for c in asked}
    if finish_reason == "length" and all(entry.grade is None for entry in found.values()):
        cut = f"{TRUNCATED}: the answer ended at its token limit"
        found = {component: _Found(None, cut) for component in asked}
    box, box_reason = None, None
    if coordinates is not None:
        everywhere = list(_answers(answer)) if marks else objects
        box, box_reason = _read_box(everywhere, coordinates)
    return ParsedAnswer(
        grades=tuple(_predicted(component, entry) for component, entry in found.items()),
        reasoning=_reasoning(answer, marks[-1].start() if marks else None, objects),
        box=box,
        box_reason=box_reason,
    )


def _predicted(component: Component, found: _Found) -> PredictedGrade:
    if found.grade is not None:
        return PredictedGrade(component=component, grade=found.grade)
    return PredictedGrade(component=component, grade=None, reason=found.reason)


def _read(
    component: Component,
    final: str,
    objects: list[Mapping[str, Any]],
    question: Question,
    released: ReleasedAnswer,
) -> _Found:
    if any(o.get("grades") == _REPEATED for o in objects):
        return _Found(None, f"{Unmapped.AMBIGUOUS.value}: `grades` stands there twice")
    own = [o["grades"] for o in objects if isinstance(o.get("grades"), dict)]
    stated = [table[component.value] for table in own if component.value in table]
    if stated:
        return _agreed([_as_grade(value, question, component) for value in stated])
    if component in released.grades:
        return _Found(released.grades[component], "")
    reason = released.unmapped[component]
    if reason.partition(":")[0] not in (Unmapped.NO_KEY, Unmapped.NO_FIELD):
        return _Found(None, reason)
    if own:
        return _Found(None, f"{Unmapped.NO_FIELD.value}: `grades` has no {component.value!r}")
    prose = prose_grade(final, question, component)
    return _Found(prose.grade, prose.reason or reason)


def _agreed(found: list[_Found]) -> _Found:
    values = {entry.grade for entry in found}
    if len(values) == 1:
        return found[0]
    grades = sorted(value for value in values if value is not None)
    return _Found(None, f"{Unmapped.AMBIGUOUS.value}: several answers, grades {grades!r}")


def _as_grade(value: JsonValue, question: Question, component: Component) -> _Found:
    """One JSON value as a grade; a truth value, a list and a fraction are none."""
    if isinstance(value, dict) and set(value) <= {"grade", "value"} and len(value) == 1:
        value = next(iter(value.values()))
    if value is None:
        return _Found(None, f"{Unmapped.MISSING.value}: null")
    if value == _REPEATED:
        return _Found(None, f"{Unmapped.AMBIGUOUS.value}: {_REPEATED}")
    match = None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        match = _WHOLE.fullmatch(str(value))
    if match is None:
        return _Found(None, f"{Unmapped.NOT_A_GRADE.value}: {_shown(value)}")
    grade = int(match[1])
    if grade not in question.scale(component).wording:
        return _Found(None, f"{Unmapped.OFF_SCALE.value}: {_shown(value)}")
    return _Found(grade, "")


def _answers(text: str) -> Iterator[Mapping[str, Any]]:
    """Yields the outermost JSON objects of a text that can be read whole."""
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_unless_repeated)
    position, failures = text.find("{"), 0
    while position >= 0 and failures < _MAX_FAILURES:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end, failures = position + 1, failures + 1
        else:
            yield value
        position = text.find("{", end)


def _unless_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose key stands there twice with two values says nothing by that key.

    `json` would take the last value without a word.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _REPEATED if key in found and found[key] != value else value
    return found


def _read_box(
    objects: list[Mapping[str, Any]], coordinates: Coordinates
) -> tuple[AnswerBox | None, str | None]:
    stated = [entry["box"] for entry in objects if "box" in entry]
    if not stated:
        return None, "no_box: the answer has no `box`"
    boxes: list[AnswerBox] = []
    for value in stated:
        box = _as_box(value, coordinates)
        if box is None:
            return None, f"box_format: {_shown(value)}"
        if box not in boxes:
            boxes.append(box)
    if len(boxes) > 1:
        return None, f"several_boxes: {len(boxes)} that differ"
    return boxes[0], None


def _as_box(value: JsonValue, coordinates: Coordinates) -> AnswerBox | None:
    if coordinates is Coordinates.VOXELS:
        six = _numbers(value, 6)
        return None if six is None else IndexBox(indices=(*six[:3], *six[3:]))  # pyright: ignore[reportArgumentType]
    if not isinstance(value, dict):
        return None
    first, last = _picture(value.get("first")), _picture(value.get("last"))
    four = _numbers(value.get("rectangle"), 4)
    if first is None or last is None or four is None:
        return None
    return PictureBox(first=first, last=last, rectangle=(four[0], four[1], four[2], four[3]))


def _picture(value: JsonValue) -> int | None:
    number = _number(value)
    return None if number is None or not number.is_integer() else int(number)


def _numbers(value: JsonValue, n: int) -> list[float] | None:
    if not isinstance(value, list) or len(value) != n:
        return None
    numbers = [_number(entry) for entry in value]
    return [entry for entry in numbers if entry is not None] if None not in numbers else None


def _number(value: JsonValue) -> float | None:
    """A finite number of a size that coordinates can have; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LARGEST else None


def _reasoning(answer: str, mark: int | None, objects: list[Mapping[str, Any]]) -> str | None:
    """The text before the grades: `reasoning` of the object, else what stands before it."""
    for entry in objects:
        stated = entry.get("reasoning")
        if isinstance(stated, str) and stated.strip():
            return stated.strip()
    before = answer[:mark] if mark is not None else answer.partition("{")[0]
    before = re.sub(r"```(?:json)?\s*$", "", before.strip()).strip()
    return before or None


def _without_surrogates(text: str) -> str:
    # A file in UTF-8 cannot hold them.
    return text.encode("utf-8", "replace").decode("utf-8")


def _shown(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
