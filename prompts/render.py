"""From a template and an item's context to the messages that are sent."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from knee.keys import JsonValue, canonical_json, content_hash
from knee.records import CheckIssue, Record
from prompts.context import PromptContext
from prompts.environment import render_block
from prompts.examples import ShownMeasurement
from prompts.neutral import neutralise, without_role_tokens
from prompts.registry import PromptTemplate

_MESSAGE_LIMIT = 300
"""Characters of one fed-back message; check messages are shorter unless they quote too much."""


class MessageImage(Record):
    """An image of a message, with the line of text that stands before it."""

    label: str
    """What it is, e.g. `sagittal slice 63`."""
    png: bytes = Field(repr=False)
    """The PNG."""
    sha256: str
    """`sha256:<hex>` of the PNG."""

    @property
    def data_url(self) -> str:
        """The PNG as a `data:` URL."""
        return f"data:image/png;base64,{b64encode(self.png).decode('ascii')}"


class ChatMessage(Record):
    """One message of a chat request."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said."""
    images: tuple[MessageImage, ...] = ()
    """What is shown behind it, in this order."""

    def as_sent(self) -> dict[str, object]:
        """Returns the message in the OpenAI form: a string, with images a list of parts."""
        if not self.images:
            return {"role": self.role, "content": self.content}
        parts: list[dict[str, object]] = [{"type": "text", "text": self.content}]
        for image in self.images:
            parts.append({"type": "text", "text": image.label})
            parts.append({"type": "image_url", "image_url": {"url": image.data_url}})
        return {"role": self.role, "content": parts}


def render_draft(
    template: PromptTemplate, context: PromptContext, images: tuple[MessageImage, ...] = ()
) -> tuple[ChatMessage, ...]:
    """Returns the messages of a first draft: `system` if the prompt has one, then `user`.

    Args:
        template: the prompt.
        context: the item's context.
        images: what is shown behind the user's text; the text stays the same without.

    Raises:
        InputError: the template shows something that the context does not hold.
    """
    return first_messages(template, _values(template, context), images)


def first_messages(
    template: PromptTemplate, values: dict[str, Any], images: tuple[MessageImage, ...]
) -> tuple[ChatMessage, ...]:
    """Returns what is sent first: `system` if the prompt has one, then `user` with its images.

    Args:
        template: the prompt.
        values: what its blocks may show, by name.
        images: what is shown behind the user's text.

    Raises:
        InputError: the template shows something that `values` does not hold.
    """
    text = render_block(template.compiled, "user", values)
    user = ChatMessage(role="user", content=text, images=images)
    if not template.has_system:
        return (user,)
    system = render_block(template.compiled, "system", values)
    return (ChatMessage(role="system", content=system), user)


def render_revision(
    template: PromptTemplate,
    context: PromptContext,
    previous_text: str,
    issues: Sequence[CheckIssue],
    images: tuple[MessageImage, ...] = (),
) -> tuple[ChatMessage, ...]:
    """Returns the draft's messages, the earlier answer, and the `revise` block.

    Args:
        template: the prompt.
        context: the item's context, as for the draft.
        previous_text: the model's earlier answer; chat-template tokens in it are taken out.
        issues: what the checks found; only code and message are shown.
        images: as for the draft; they are sent again, where they were.
    """
    codes = list(dict.fromkeys(issue.code for issue in issues))
    shown = [
        {"check": i.check, "code": i.code, "message": neutralise(i.message, _MESSAGE_LIMIT)}
        for i in issues
    ]
    values = _values(template, context) | {"codes": codes, "issues": shown}
    return (
        *render_draft(template, context, images),
        ChatMessage(role="assistant", content=without_role_tokens(previous_text)),
        ChatMessage(role="user", content=render_block(template.compiled, "revise", values)),
    )


def hash_messages(messages: Sequence[ChatMessage]) -> str:
    """Returns `sha256:` over role and content of rendered messages, and over their images."""
    return content_hash(canonical_json([_hashed(message) for message in messages]))


def _hashed(message: ChatMessage) -> list[JsonValue]:
    plain: list[JsonValue] = [message.role, message.content]
    # Without images as it was before there were any: stored hashes stay true.
    return [*plain, [[i.label, i.sha256] for i in message.images]] if message.images else plain


def _values(template: PromptTemplate, context: PromptContext) -> dict[str, Any]:
    # Shallow on purpose: templates read the nested records by attribute.
    values = {name: getattr(context, name) for name in PromptContext.model_fields}
    values["measurements"] = shown_measurements(template, context)
    return values


def shown_measurements(
    template: PromptTemplate, context: PromptContext
) -> tuple[ShownMeasurement, ...]:
    """Returns the measurements that a prompt shows of an item, in the prompt's order."""
    names = template.shown.get(context.feature)
    if names is None:
        return context.measurements
    made = {measurement.name: measurement for measurement in context.measurements}
    return tuple(made[name] for name in names if name in made)
