"""The state of one item in the graph: as little as the next node needs."""

from dataclasses import dataclass
from typing import TypedDict

from agents.checks.run import CheckContext
from agents.llm_client import JsonSchema
from knee.judgement import Judgement
from knee.moaks import Component
from knee.records import Attempt, ComponentComparison, Item, ItemState
from knee.shown_images import ShownImages
from prompts.context import PromptContext
from prompts.render import ChatMessage, MessageImage


@dataclass(frozen=True, slots=True)
class ItemImages:
    """The slices of an item, as they are sent and as they are kept."""

    shown: ShownImages
    """What goes to the prompt, to the checks and to the store."""
    parts: tuple[MessageImage, ...]
    """What is sent; empty where a stored draft is only checked again."""


@dataclass(frozen=True, slots=True)
class ItemTask:
    """What is worked out once for an item, before its first draft."""

    item: Item
    """The item; its clinician grades are read by `compare` alone."""
    shown: Item
    """The item whose finding the drafter sees: `item`, but in a shuffled control another knee's."""
    asked: tuple[Component, ...]
    """The components asked."""
    schema: JsonSchema
    """Schema of the answer, for the asked components."""
    prompt: PromptContext
    """What the templates read."""
    messages: tuple[ChatMessage, ...]
    """The rendered first prompt."""
    checks: CheckContext
    """What the checks read."""
    images: ItemImages | None = None
    """The slices shown; None in a run without images."""


class ItemGraphState(TypedDict):
    """Channels of the graph; every one is replaced, none is merged."""

    task: ItemTask
    """Set at the start, never changed."""
    attempts: tuple[Attempt, ...]
    """Every answer so far; the last one lacks its issues until `check` has run."""
    components: tuple[ComponentComparison, ...]
    """Set by `compare`, empty before."""
    judgement: Judgement | None
    """Set by `judge`, None before and without one."""
    verdict: ItemState
    """`pending` until it is settled how the item ends."""


class ItemGraphUpdate(TypedDict, total=False):
    """The channels that a node replaces."""

    attempts: tuple[Attempt, ...]
    components: tuple[ComponentComparison, ...]
    judgement: Judgement | None
    verdict: ItemState
