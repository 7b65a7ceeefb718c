"""Whether the prompts of a run fit into a server's context, before the server is started."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from agents.state import ItemTask
from knee.errors import InputError
from knee.records import Item
from knee.run_config import DescribedServer, RunConfig
from prompts.judging import render_judge
from prompts.registry import PromptKind, load_prompt_for
from prompts.render import ChatMessage
from stages.run_plan import load_configured_calibration, plan_judge
from stages.token_estimate import STAND_IN_STEPS
from stages.token_ratio import ASSUMED_RATIO, token_ratio

_TEMPLATE_TOKENS = 8
"""Tokens that a chat template adds to a message, about: role names and marks."""


class RenderedItem(NamedTuple):
    """An item's prompt, with the context that made it."""

    item: Item
    """The item."""
    task: ItemTask
    """Its prompt, schema and messages."""


def item_context(config: RunConfig, path: Path) -> GraphContext:
    """Returns the context in which items of a settings file are rendered; no model is in it.

    Raises:
        InputError: prompt or calibration cannot be read.
    """
    drafter = config.drafter
    return GraphContext(
        run_id="none",
        model=ScriptedChatModel(lambda _: ""),
        template=load_prompt_for(PromptKind.DRAFT, drafter.prompt_id, drafter.prompt_version),
        sampling=drafter.sampling,
        max_revisions=0,
        wording=config.wording,
        calibration=load_configured_calibration(config, path),
    )


def render_items(config: RunConfig, path: Path, items: Iterable[Item]) -> Iterator[RenderedItem]:
    """Yields prompts without slices; items without a box are never sent and left out."""
    context = item_context(config, path)
    for item in items:
        if item.finding.box is not None:
            yield RenderedItem(item, prepare_task(item, context))


def check_prompts_fit(
    server: DescribedServer, config: RunConfig, path: Path, items: Iterable[Item]
) -> str:
    """Returns how much of a server's context the longest prompt and its answer take.

    Args:
        server: the drafter's or the judge's.
        config: the settings.
        path: where they lie; a calibration is looked for beside them.
        items: whose prompts are rendered.

    Raises:
        InputError: they do not fit, by the model's own tokenizer; with an assumed number of
            characters a token nothing is refused.
    """
    longest = max(
        (_messages(server, config, rendered) for rendered in render_items(config, path, items)),
        key=_length,
        default=(),
    )
    if not longest:
        return "no prompt to hold against the context"
    texts = [message.content for message in longest]
    ratio = token_ratio(server.settings, texts)
    tokens = ratio.tokens(_length(longest)) + _TEMPLATE_TOKENS * len(longest)
    answer, context = server.endpoint.sampling.max_tokens, server.settings.max_model_len
    measured = ratio.characters != ASSUMED_RATIO
    told = (
        f"the longest prompt of the {server.role} has {'' if measured else 'about '}{tokens} "
        f"tokens, an answer up to {answer}"
    )
    if measured and tokens + answer > context:
        raise InputError(
            f"{told}, and {server.part}.max_model_len {context!r} holds them not",
            f"raise it to {tokens + answer} or more, or lower {server.role}.sampling.max_tokens",
        )
    more = ""
    if tokens + answer > context:
        more = "; that may not fit (characters a token are assumed: no tokenizer here)"
    elif server.role == "drafter" and _revised(config, tokens, answer) > context:
        more = "; a revision with an answer of full length would not fit"
    images = " beside its slices" if config.drafter.images and server.role == "drafter" else ""
    return f"{told}, of {context}{images}{more}"


def _revised(config: RunConfig, tokens: int, answer: int) -> int:
    """Returns the tokens of a revision: prompt, the answer that it mends, the new answer."""
    return tokens + answer * (2 if config.batch.max_revisions else 1)


def _messages(
    server: DescribedServer, config: RunConfig, rendered: RenderedItem
) -> tuple[ChatMessage, ...]:
    sees_images = config.drafter.images is not None
    judge = plan_judge(config, sees_images=sees_images) if server.role == "judge" else None
    if judge is None:
        return rendered.task.messages
    prompts = (
        render_judge(template, rendered.task.prompt, STAND_IN_STEPS)
        for template in (judge.reanswer, judge.rubric)
    )
    return max(prompts, key=_length)


def _length(messages: tuple[ChatMessage, ...]) -> int:
    return sum(len(message.content) for message in messages)
