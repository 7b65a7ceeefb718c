"""From a template and an item's context to the messages that are sent."""

from collections.abc import Sequence
from typing import Any, Literal

from knee.keys import canonical_json, content_hash
from knee.records import CheckIssue, Record
from prompts.context import PromptContext
from prompts.environment import render_block
from prompts.neutral import neutralise, without_role_tokens
from prompts.registry import PromptTemplate

_MESSAGE_LIMIT = 300
"""Characters of one fed-back message; check messages are shorter unless they quote too much."""


class ChatMessage(Record):
    """One message of a chat request."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said."""


def render_draft(template: PromptTemplate, context: PromptContext) -> tuple[ChatMessage, ...]:
    """Returns the messages of a first draft: `system` if the prompt has one, then `user`.

    Raises:
        InputError: the template shows something that the context does not hold.
    """
    values = _values(template, context)
    user = ChatMessage(role="user", content=render_block(template.compiled, "user", values))
    if not template.has_system:
        return (user,)
    system = render_block(template.compiled, "system", values)
    return (ChatMessage(role="system", content=system), user)


def render_revision(
    template: PromptTemplate,
    context: PromptContext,
    previous_text: str,
    issues: Sequence[CheckIssue],
) -> tuple[ChatMessage, ...]:
    """Returns the draft's messages, the earlier answer, and the `revise` block.

    Args:
        template: the prompt.
        context: the item's context, as for the draft.
        previous_text: the model's earlier answer; chat-template tokens in it are taken out.
        issues: what the checks found; only code and message are shown.
    """
    codes = list(dict.fromkeys(issue.code for issue in issues))
    shown = [
        {"check": i.check, "code": i.code, "message": neutralise(i.message, _MESSAGE_LIMIT)}
        for i in issues
    ]
    values = _values(template, context) | {"codes": codes, "issues": shown}
    return (
        *render_draft(template, context),
        ChatMessage(role="assistant", content=without_role_tokens(previous_text)),
        ChatMessage(role="user", content=render_block(template.compiled, "revise", values)),
    )


def hash_messages(messages: Sequence[ChatMessage]) -> str:
    """Returns `sha256:` over role and content of rendered messages."""
    return content_hash(canonical_json([[m.role, m.content] for m in messages]))


def _values(template: PromptTemplate, context: PromptContext) -> dict[str, Any]:
    # Shallow on purpose: templates read the nested records by attribute.
    values = {name: getattr(context, name) for name in PromptContext.model_fields}
    names = template.shown.get(context.feature)
    if names is not None:
        made = {measurement.name: measurement for measurement in context.measurements}
        values["measurements"] = tuple(made[name] for name in names if name in made)
    return values
