"""Released answers to grades: a tolerant parser that never fills anything in.

The release's 69 answer formats are not one (`release_layout.toml`, `[answers]`): a wrapper
`MOAKS_scores`, `MOAKS_grade` or none; a value that is an object of fields, or bare; two formats
with unbalanced braces; prose around the JSON; `Final diagnosis:` before it. So the text is not
parsed as JSON: the quoted key of the question is looked for, and the quoted names of its components
behind it. What cannot be mapped has a reason and no grade; missing is never 0.
"""

import json
import math
import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from knee.keys import JsonValue
from knee.moaks import Component
from knee.questions import QUESTIONS, Question
from tools.quoted_entries import QuotedEntry, quoted_entries, quoted_names
from tools.release_layout import Answers, load_layout, plain

_GRADE = re.compile(r"(?:grade\s*:?\s*)?(\d{1,4})(?:\.0+)?", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\||\bfrom\b|^\(\s*\d+\s*-\s*\d+\s*\)$", re.IGNORECASE)
_BOX = re.compile(r"\[\s*(-?\d+(?:\.0+)?(?:\s*,\s*-?\d+(?:\.0+)?){5})\s*\]")
_LABEL = re.compile(r"""[{\s]*["']?[\w ]{1,40}["']?\s*:[\s,.]*""")
_MISSING = frozenset({"", "null", "none", "nan", "n/a", "na", ".", "missing", "unknown"})
_MAX_SHOWN = 60
"""Characters of an answer that a reason shows."""


class AnswerShape(StrEnum):
    """Which of the formats an answer has."""

    WRAPPED = "wrapped"
    """The key inside a wrapper."""
    UNWRAPPED = "unwrapped"
    """The key alone, with fields behind it."""
    BARE = "bare"
    """The key with a value instead of fields (in a wrapper or not)."""
    FIELDS_ALONE = "fields_alone"
    """Fields without the key."""
    VALUE_ALONE = "value_alone"
    """A grade without key and field."""
    NONE = "none"
    """Nothing of the kind."""


class Unmapped(StrEnum):
    """Why a component has no grade."""

    NO_ANSWER = "no_answer"
    NO_KEY = "no_key"
    OTHER_QUESTION = "other_question"
    NO_FIELD = "no_field"
    MISSING = "missing"
    PLACEHOLDER = "placeholder"
    NOT_A_GRADE = "not_a_grade"
    OFF_SCALE = "off_scale"
    AMBIGUOUS = "ambiguous"


class ReleasedAnswer(BaseModel):
    """What could be read of one answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: AnswerShape
    """The format that was found."""
    grades: dict[Component, int]
    """Component to grade; a component without one is not in it."""
    unmapped: dict[Component, str]
    """Every other component to its reason, `code: detail`."""
    notes: tuple[str, ...] = ()
    """What is odd although the grades could be read, `code: detail`."""
    reasoning: str | None = None
    """The text before the final answer, without the box; None when there is none."""
    final: str = ""
    """The part that the grades were read from."""
    box: tuple[int, int, int, int, int, int] | None = None
    """Six numbers as released; None when there are none, or several that differ."""


class _Graded(NamedTuple):
    grade: int | None
    reason: str | None


def read_answer(answer: JsonValue, question_id: int, final: JsonValue = None) -> ReleasedAnswer:
    """Returns the grades in a released answer.

    Args:
        answer: reasoning, perhaps with the final answer behind `Final diagnosis:`; any JSON value.
        question_id: 1-69, what was asked.
        final: the final answer alone (`final_diagnosis`), text or JSON; None takes it from
            `answer`.
    """
    names = load_layout().answers
    question = QUESTIONS[question_id]
    text = _as_text(answer)
    reasoning, found, behind = _split_at_mark(text, names.final_mark)
    given = _as_text(final).strip()
    source = _split_at_mark(given, names.final_mark)[2] if given else behind
    read = _read(source, question, names)
    notes = list(read.notes)
    if given and found and behind.strip():
        other = _read(behind, question, names).grades
        differing = sorted(c.value for c, g in other.items() if read.grades.get(c, g) != g)
        if differing:
            notes.append(f"final_differs: answer and final_diagnosis differ in {differing!r}")
    boxes = _boxes(f"{text}\n{given}")
    if len(boxes) > 1:
        notes.append(f"several_boxes: {boxes!r}")
    prose = reasoning if found else _before_answer(text, read.final) if not given else text
    return read.model_copy(
        update={
            "notes": tuple(notes),
            "reasoning": _without_boxes(prose) or None,
            "box": boxes[0] if len(boxes) == 1 else None,
        }
    )


def question_in(prompt: str) -> int | None:
    """Returns the question whose key a prompt shows in its answer format.

    None when it shows none, or several.
    """
    ids = _question_ids()
    found = {ids[name] for name in quoted_names(prompt) if name in ids}
    return found.pop() if len(found) == 1 else None


@lru_cache(maxsize=1)
def _question_ids() -> dict[str, int]:
    return {plain(key): number for number, key in load_layout().answers.keys.items()}


def _read(text: str, question: Question, names: Answers) -> ReleasedAnswer:
    """Reads the final part alone."""
    if not text.strip():
        return _nothing(question, text, Unmapped.NO_ANSWER, "the answer is empty")
    wanted = plain(names.keys[question.question_id])
    entries = list(quoted_entries(text))
    own = [entry for entry in entries if entry.name == wanted]
    if not own:
        return _without_key(text, question, entries, names)
    notes: list[str] = []
    if not all(entry.is_balanced for entry in own) or text.count("{") != text.count("}"):
        notes.append("unbalanced: braces do not match")
    bare = all(entry.body is None for entry in own)
    wrapped = {plain(wrapper) for wrapper in names.wrappers} & {e.name for e in entries}
    shape = AnswerShape.BARE if bare else AnswerShape.UNWRAPPED
    if wrapped and not bare:
        shape = AnswerShape.WRAPPED
    graded: dict[Component, set[_Graded]] = {}
    for entry in own:
        for component, value in _grades_of(entry, question, names, notes).items():
            graded.setdefault(component, set()).add(value)
    start = min(entry.start for entry in own)
    return _settle(question, graded, shape, notes, text, text[start:])


def _grades_of(
    entry: QuotedEntry, question: Question, names: Answers, notes: list[str]
) -> dict[Component, _Graded]:
    """Grades behind one occurrence of the key; a component that is not there is not in it."""
    if entry.body is None:
        if len(question.components) != 1:
            reason = f"{Unmapped.NO_FIELD.value}: bare value {_shown(entry.raw)}, no fields"
            return {component: _Graded(None, reason) for component in question.components}
        component = question.components[0]
        return {component: _grade(entry.raw, question, component)}
    return _fields(list(quoted_entries(entry.body)), question, names, notes)


def _fields(
    entries: list[QuotedEntry], question: Question, names: Answers, notes: list[str]
) -> dict[Component, _Graded]:
    known = {
        plain(alias): component
        for component, aliases in names.fields[question.feature].items()
        for alias in aliases
    }
    values: dict[Component, set[_Graded]] = {}
    for field in entries:
        component = known.get(field.name)
        if component is None:
            notes.append(f"unknown_field: {field.name!r}")
        else:
            graded = _grade(field.raw, question, component)
            values.setdefault(component, set()).add(graded)
    return {component: _one(found) for component, found in values.items()}


def _without_key(
    text: str, question: Question, entries: list[QuotedEntry], names: Answers
) -> ReleasedAnswer:
    """An answer in which the question's key does not stand."""
    ids = _question_ids()
    others = sorted({ids[entry.name] for entry in entries if entry.name in ids})
    if others:
        detail = f"the answer is to question(s) {others!r}"
        return _nothing(question, text, Unmapped.OTHER_QUESTION, detail)
    notes: list[str] = []
    fields = _fields(entries, question, names, notes)
    if fields:
        graded = {component: {value} for component, value in fields.items()}
        wrappers = {plain(wrapper) for wrapper in names.wrappers}
        notes = [note for note in notes if not any(repr(w) in note for w in wrappers)]
        return _settle(question, graded, AnswerShape.FIELDS_ALONE, notes, text, text)
    if not entries and len(question.components) == 1 and _GRADE.fullmatch(text.strip(" \n.{}")):
        component = question.components[0]
        value = _grade(text.strip(" \n.{}"), question, component)
        return _settle(question, {component: {value}}, AnswerShape.VALUE_ALONE, [], text, text)
    return _nothing(question, text, Unmapped.NO_KEY, _shown(text.strip()))


def _settle(
    question: Question,
    graded: dict[Component, set[_Graded]],
    shape: AnswerShape,
    notes: list[str],
    text: str,
    final: str,
) -> ReleasedAnswer:
    grades: dict[Component, int] = {}
    unmapped: dict[Component, str] = {}
    for component in question.components:
        value = _one(graded.get(component, set()))
        if value.grade is None:
            unmapped[component] = value.reason or Unmapped.NO_FIELD.value
        else:
            grades[component] = value.grade
    return ReleasedAnswer(
        shape=shape,
        grades=grades,
        unmapped=unmapped,
        notes=tuple(dict.fromkeys(notes)),
        final=final.strip() or text.strip(),
    )


def _nothing(question: Question, text: str, code: Unmapped, detail: str) -> ReleasedAnswer:
    reason = f"{code.value}: {detail}"
    return ReleasedAnswer(
        shape=AnswerShape.NONE,
        grades={},
        unmapped=dict.fromkeys(question.components, reason),
        final=text.strip(),
    )


def _one(values: set[_Graded]) -> _Graded:
    """The value that all occurrences agree on."""
    if not values:
        return _Graded(None, f"{Unmapped.NO_FIELD.value}: the component is not in the answer")
    if len(values) > 1:
        grades = sorted(v.grade for v in values if v.grade is not None)
        return _Graded(None, f"{Unmapped.AMBIGUOUS.value}: several values, grades {grades!r}")
    return next(iter(values))


def _grade(raw: str, question: Question, component: Component) -> _Graded:
    """One value as a grade of a component, or the reason why it is none."""
    value = raw.strip()
    if value.casefold() in _MISSING:
        return _Graded(None, f"{Unmapped.MISSING.value}: {_shown(value)}")
    if _PLACEHOLDER.search(value):
        return _Graded(None, f"{Unmapped.PLACEHOLDER.value}: {_shown(value)}")
    match = _GRADE.fullmatch(value)
    if match is None:
        return _Graded(None, f"{Unmapped.NOT_A_GRADE.value}: {_shown(value)}")
    grade = int(match[1])
    if grade not in question.scale(component).wording:
        return _Graded(None, f"{Unmapped.OFF_SCALE.value}: {_shown(value)}")
    return _Graded(grade, None)


def _split_at_mark(text: str, mark: str) -> tuple[str, bool, str]:
    """(before, whether the mark is there, behind its last occurrence; the text without one)."""
    position = text.casefold().rfind(mark.casefold())
    if position < 0:
        return "", False, text
    return text[:position], True, text[position + len(mark) :]


def _before_answer(text: str, final: str) -> str:
    """The prose before the final part that was found in the text."""
    position = text.find(final) if final else -1
    if position < 0:
        return text
    before = text[:position].rstrip()
    # The wrapper, and what opens it, belong to the answer.
    return re.sub(r"""(?:```(?:json)?\s*)?[{\s]*(?:["']\w+["']\s*:\s*[{\s]*)?$""", "", before)


def _boxes(text: str) -> list[tuple[int, int, int, int, int, int]]:
    """Different lists of six whole numbers, in the order of the text."""
    found: dict[tuple[int, int, int, int, int, int], None] = {}
    for match in _BOX.finditer(text):
        a, b, c, d, e, f = (int(float(part)) for part in match[1].split(","))
        found[a, b, c, d, e, f] = None
    return list(found)


def _without_boxes(text: str) -> str:
    """The text without its boxes, and without lines that were a box and its label alone.

    Boxes differ from patient to patient; what is left is the template, and is stored once.
    """
    lines: list[str] = []
    for line in text.splitlines():
        left, n_boxes = _BOX.subn("", line)
        is_label = n_boxes and (not left.strip(" .,;{}\"'") or _LABEL.fullmatch(left.strip()))
        if not is_label:
            lines.append(left.rstrip() if n_boxes else line)
    return "\n".join(lines).strip()


def _as_text(value: JsonValue) -> str:
    """A JSON value as text: texts as they are, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return "nan"
    return json.dumps(value, ensure_ascii=False)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")
