"""From the raw answer to a draft: JSON, keys, types, scale, steps in order, control characters."""

import json
import unicodedata
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agents.checks.context import CheckContext, issue, quote
from knee.answers import Draft, Step, StepName, answer_model
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import CheckIssue

_STEPS = tuple(name.value for name in StepName)
_MAX_ISSUES = 6
"""A wholly wrong object need not be told everything at once."""


class _DuplicateKeyError(ValueError):
    pass


def parse_answer(
    text: str, finish_reason: str, context: CheckContext
) -> tuple[Draft | None, list[CheckIssue]]:
    """Returns the draft of an answer and what is wrong with its form.

    The draft is None when the answer cannot be used: not JSON, cut off, wrong keys or types, a
    grade off the scale, control characters. Steps in a wrong order still make a draft.

    Args:
        text: the answer as received.
        finish_reason: as the server gave it; `length` is a reason of its own.
        context: what was asked.
    """
    if finish_reason == "length":
        return None, [issue("length", "length", "the answer was cut off: write shorter steps")]
    try:
        data: Any = json.loads(
            text, strict=False, object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except _DuplicateKeyError as error:
        return None, [issue("schema", "duplicate_key", f"the key {error} is there twice")]
    except (ValueError, RecursionError):
        return None, [issue("schema", "not_json", "the answer is not one JSON object")]
    if not isinstance(data, dict):
        return None, [issue("schema", "not_json", "the answer is not one JSON object")]
    found = _control_characters(data)
    if found:
        return None, [issue("schema", "control_character", f"control characters in {found}")]
    not_whole = _not_whole(data.get("grades"))
    if not_whole:
        return None, not_whole
    try:
        _model(context.question.question_id, context.asked).model_validate(data)
    except ValidationError as error:
        return None, _schema_issues(error.errors(include_url=False))
    draft = _draft(data)
    return draft, _order_issues(draft)


@lru_cache(maxsize=512)
def _model(question_id: int, asked: tuple[Component, ...]) -> type[BaseModel]:
    # Building a pydantic model costs milliseconds; there are few (question, asked) pairs.
    return answer_model(QUESTIONS[question_id], asked)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKeyError(quote(next(n for n in names if names.count(n) > 1)))
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _control_characters(data: dict[str, Any]) -> str | None:
    """Returns where a character of a C category stands, None without; new lines are let through."""
    for key, value in data.items():
        texts = list(value.values()) if isinstance(value, dict) else [value]
        cites = [entry for text in texts if isinstance(text, list) for entry in text]
        for text in (key, *texts, *cites):
            if isinstance(text, str) and not text.isprintable() and _has_control(text):
                return quote(key, 20)
    return None


def _has_control(text: str) -> bool:
    return any(c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") for c in text)


def _not_whole(grades: object) -> list[CheckIssue]:
    """Refuses `true` and `1.0` for 1: pydantic's literals compare by equality."""
    pairs: list[tuple[object, object]] = list(grades.items()) if isinstance(grades, dict) else []
    return [
        issue("scale", "off_scale", f"{quote(f'grades.{name}')} is off the scale: a whole number")
        for name, value in pairs
        if isinstance(value, bool | float)
    ]


def _schema_issues(errors: list[ErrorDetails]) -> list[CheckIssue]:
    return [_schema_issue(error) for error in errors[:_MAX_ISSUES]]


def _schema_issue(error: ErrorDetails) -> CheckIssue:
    where = ".".join(str(part) for part in error["loc"])
    name = quote(where, 40)
    kind = error["type"]
    if kind == "missing":
        if where in _STEPS:
            return issue("steps", "missing_step", f"the step {name} is missing")
        return issue("schema", "missing_key", f"the key {name} is missing")
    if kind == "extra_forbidden":
        return issue("schema", "extra_key", f"the key {name} does not belong in the answer")
    if kind == "literal_error" and where.startswith("grades."):
        legal = error.get("ctx", {}).get("expected", "")
        message = f"{name} is off the scale; it is a whole number: {legal}"
        return issue("scale", "off_scale", message)
    if kind == "string_too_short":
        return issue("steps", "empty_step", f"{name} is empty")
    if kind in ("string_too_long", "too_long"):
        return issue("schema", "too_long", f"{name} is too long")
    return issue("schema", "wrong_type", f"{name}: {error['msg']}")


def _draft(data: dict[str, Any]) -> Draft:
    steps = tuple(
        Step(
            name=StepName(key),
            text=value["text"],
            box=tuple(value["box"]) if "box" in value else None,
            cites=tuple(value.get("cites", ())),
        )
        for key, value in data.items()
        if key in _STEPS
    )
    return Draft(steps=steps, grades={Component(k): v for k, v in data["grades"].items()})


def _order_issues(draft: Draft) -> list[CheckIssue]:
    if tuple(step.name.value for step in draft.steps) == _STEPS:
        return []
    return [
        issue("steps", "step_order", f"the steps must stand in this order: {', '.join(_STEPS)}")
    ]
