"""From a quoted draft to the messages that a judge is sent.

What a judge may be shown is declared here, a set of variables for each of its two tasks: the blind
re-answer has no measurements and no box, so that a template which shows them is refused when it is
loaded.
"""

import tomllib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from knee.calls import Record
from knee.errors import InputError
from knee.judgement import RubricItem
from prompts.context import DATA, PromptContext
from prompts.environment import render_block
from prompts.neutral import without_role_tokens
from prompts.registry import PromptTemplate
from prompts.render import ChatMessage, shown_measurements

RUBRIC_FILE = DATA / "rubric.toml"
"""The rubric's items."""
_QUOTED_LIMIT = 600
"""Characters of a judge's own unreadable answer that are shown to it again."""


class QuotedStep(Record):
    """One step of a draft, made harmless (`agents.masking`)."""

    name: str
    """Which step."""
    text: str
    """One line, without delimiters."""


@lru_cache(maxsize=1)
def rubric_items() -> tuple[RubricItem, ...]:
    """Returns the items of the rubric, in the order of the file.

    Raises:
        InputError: the file is not TOML, an item is not declared whole, or none is essential.
    """
    try:
        data = tomllib.loads(RUBRIC_FILE.read_text(encoding="utf-8"))
        items = tuple(RubricItem(key=key, **fields) for key, fields in data.items())
    except (tomllib.TOMLDecodeError, ValidationError, TypeError) as error:
        raise InputError(f"rubric {RUBRIC_FILE.name!r}: {error}", "mend the file") from error
    if not any(item.essential for item in items):
        raise InputError(f"rubric {RUBRIC_FILE.name!r} has no essential item", "name one at least")
    return items


def render_judge(
    template: PromptTemplate, context: PromptContext, steps: Sequence[QuotedStep]
) -> tuple[ChatMessage, ...]:
    """Returns the messages of one of the judge's tasks.

    Raises:
        InputError: the template shows something that it may not.
    """
    values = _values(template, context, steps)
    user = ChatMessage(role="user", content=render_block(template.compiled, "user", values))
    if not template.has_system:
        return (user,)
    system = render_block(template.compiled, "system", values)
    return (ChatMessage(role="system", content=system), user)


def render_repair(
    template: PromptTemplate,
    context: PromptContext,
    steps: Sequence[QuotedStep],
    previous_text: str,
    codes: Sequence[str],
) -> tuple[ChatMessage, ...]:
    """Returns the task's messages, the judge's unreadable answer, and what is wrong with it."""
    values = _values(template, context, steps) | {"codes": list(codes)}
    earlier = without_role_tokens(previous_text)[:_QUOTED_LIMIT]
    return (
        *render_judge(template, context, steps),
        ChatMessage(role="assistant", content=earlier or "(nothing)"),
        ChatMessage(role="user", content=render_block(template.compiled, "revise", values)),
    )


def _values(
    template: PromptTemplate, context: PromptContext, steps: Sequence[QuotedStep]
) -> dict[str, Any]:
    every: dict[str, Any] = {name: getattr(context, name) for name in PromptContext.model_fields}
    every |= {"steps": list(steps), "rubric": rubric_items()}
    every["measurements"] = shown_measurements(template, context)
    return {name: value for name, value in every.items() if name in template.kind.variables}
