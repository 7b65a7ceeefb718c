"""The graph of one item: draft → check ↺ revise → compare → judge → accepted | rejected.

    draft ──▶ check ──passed──▶ compare ──agrees──▶ judge ──▶ accepted | rejected
                │  ▲               └── another grade ──▶ disagrees
       failed, may be revised
                ▼  │
               revise           failed, no revision left ──▶ rejected

A run without a judge accepts at `compare`.

`draw_mermaid` draws the same from the compiled graph. There is no checkpointer: an item is short,
and what is durable is the store's business.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Literal, Protocol, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command
from pydantic import BaseModel

from agents.checks.run import CheckContext
from agents.context import GraphContext
from agents.llm_client import JsonSchema
from agents.nodes import ItemInterrupted, check, compare, draft, judge, revise
from agents.outcomes import (
    boxless_outcome,
    finished_outcome,
    interrupted_outcome,
    unseen_outcome,
)
from agents.slice_source import SlicesUnavailable
from agents.state import ItemGraphState, ItemGraphUpdate, ItemImages, ItemTask
from agents.tracing import tracing_switched
from knee.answers import answer_schema
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Grounding, Item, ItemOutcome, ItemState
from prompts.context import prompt_context
from prompts.render import ChatMessage, render_draft

ItemGraph = CompiledStateGraph[ItemGraphState, GraphContext, ItemGraphState, ItemGraphState]
"""The compiled graph."""


class _Node(Protocol):
    """What a node does; LangGraph hands the arguments over by name."""

    def __call__(
        self, state: ItemGraphState, *, runtime: Runtime[GraphContext]
    ) -> Awaitable[ItemGraphUpdate]: ...


class _Routed(Protocol):
    """A node that names its successor."""

    def __call__(
        self, state: ItemGraphState, *, runtime: Runtime[GraphContext]
    ) -> Awaitable[Command[str]]: ...


BASELINE_VISIT = "V00"
"""Every other visit is a follow-up (morphology 7 is legal there)."""
_FIXED_STEPS = 5
"""draft, check, compare, judge, and one to spare; each revision adds two."""


def route_after_check(state: ItemGraphState) -> Literal["compare", "revise", "rejected"]:
    """Returns where a checked draft goes."""
    if state["attempts"][-1].passed:
        return "compare"
    return "rejected" if state["verdict"] is ItemState.REJECTED else "revise"


def route_after_compare(state: ItemGraphState) -> Literal["judge", "accepted", "disagrees"]:
    """Returns where a compared draft goes: to the judge, or without one to its end."""
    if state["verdict"] is ItemState.PENDING:
        return "judge"
    return "accepted" if state["verdict"] is ItemState.ACCEPTED else "disagrees"


def route_after_judge(state: ItemGraphState) -> Literal["accepted", "rejected"]:
    """Returns how a judged draft ends."""
    return "accepted" if state["verdict"] is ItemState.ACCEPTED else "rejected"


WAYS: dict[str, tuple[Callable[[ItemGraphState], str], dict[str, str]]] = {
    "check": (route_after_check, {"compare": "compare", "revise": "revise", "rejected": END}),
    "compare": (route_after_compare, {"judge": "judge", "accepted": END, "disagrees": END}),
    "judge": (route_after_judge, {"accepted": END, "rejected": END}),
}
"""Nodes behind which the way parts: who chooses, and where each way leads."""


def build_graph() -> ItemGraph:
    """Returns the compiled graph of one item."""
    builder = StateGraph(ItemGraphState, context_schema=GraphContext)
    nodes: dict[str, _Node] = {"draft": draft, "check": check, "revise": revise}
    nodes |= {"compare": compare, "judge": judge}
    for name, node in nodes.items():
        if name in WAYS:
            route, ways = WAYS[name]
            targets = tuple(dict.fromkeys(ways.values()))
            builder.add_node(name, _parting(node, route, ways), destinations=targets)
        else:
            builder.add_node(name, node)
    builder.add_edge(START, "draft")
    builder.add_edge("draft", "check")
    builder.add_edge("revise", "check")
    return builder.compile(name="item")


def _parting(node: _Node, route: Callable[[ItemGraphState], str], ways: dict[str, str]) -> _Routed:
    """Returns a node that names its successor itself.

    A conditional edge has LangGraph read the state anew for the router: 0.13 ms each (measured).
    """

    async def run(state: ItemGraphState, *, runtime: Runtime[GraphContext]) -> Command[str]:
        update = await node(state, runtime=runtime)
        # The merged state, without the cost of a copy for each channel.
        way = route(cast("ItemGraphState", {**state, **update}))
        return Command(update=update, goto=ways[way])

    return run


@lru_cache(maxsize=1)
def item_graph() -> ItemGraph:
    """Returns the compiled graph, compiled once."""
    return build_graph()


def draw_mermaid() -> str:
    """Returns the Mermaid text of the compiled graph, each way to end drawn as a node of its own.

    LangGraph draws one end node and one edge to it from a node, so that `accepted` and `disagrees`
    would fall together.
    """
    compiled = item_graph()
    drawn = compiled.get_graph()
    drawn.edges = [edge for edge in drawn.edges if edge.target != END]
    drawn.nodes.pop(END)
    for source, (_, ways) in WAYS.items():
        for way, target in ways.items():
            if target == END:
                end = drawn.nodes.get(way) or drawn.add_node(_EndState, way)
                drawn.add_edge(drawn.nodes[source], end, conditional=True)
    return drawn.draw_mermaid()


class _EndState(BaseModel):
    """How an item can end; only drawn."""


@lru_cache(maxsize=512)
def _schema(question_id: int, asked: tuple[Component, ...]) -> JsonSchema:
    return answer_schema(QUESTIONS[question_id], asked)


def prepare_task(
    item: Item,
    context: GraphContext,
    shown: Item | None = None,
    held_against: Item | None = None,
    images: ItemImages | None = None,
) -> ItemTask:
    """Returns what an item's drafts are made from: prompt, schema, and what the checks read.

    Args:
        item: the item; its clinician grades decide which components are asked, and are compared at
            the end, and enter nothing else but the prompt of a run that is marked `label_given`.
        context: the run.
        shown: the item whose finding, side and grid the drafter sees; `item` unless given.
        held_against: the item whose finding the checks read; the shown one unless given.
        images: the slices that the drafter sees, None without any.

    Raises:
        InputError: the template cannot be rendered.
    """
    seen = item if shown is None else shown
    question, asked = item.question, item.asked
    prompt = prompt_context(
        question,
        seen.finding,
        asked,
        side=seen.side,
        sequence=seen.sequence,
        shape=seen.shape,
        slice_axis=seen.slice_axis,
        wording=context.wording,
        calibration=context.calibration,
        images=None if images is None else images.shown,
        given=_given_grades(item) if context.grounding is Grounding.LABEL_GIVEN else None,
    )
    messages = render_draft(context.template, prompt, () if images is None else images.parts)
    held = seen if held_against is None else held_against
    return ItemTask(
        item=item,
        shown=seen,
        asked=asked,
        schema=_schema(question.question_id, asked),
        prompt=prompt,
        messages=messages,
        checks=_check_context(item, held, context, messages, images),
        images=images,
    )


def _check_context(
    item: Item,
    held: Item,
    context: GraphContext,
    messages: tuple[ChatMessage, ...],
    images: ItemImages | None,
) -> CheckContext:
    """Returns what the checks read: the question, and the finding that it is held against."""
    return CheckContext(
        question=item.question,
        finding=held.finding,
        asked=item.asked,
        side=held.side,
        is_follow_up=held.visit != BASELINE_VISIT,
        shape=held.shape,
        slice_axis=held.slice_axis,
        calibration=context.calibration,
        prompt_text="\n".join(message.content for message in messages),
        sequence=held.sequence,
        images=None if images is None else images.shown,
        images_withheld=item.sees_images and images is None,
    )


def _given_grades(item: Item) -> dict[Component, int]:
    """Returns the clinician's grades of the asked components; only `label_given` runs tell them."""
    read = {grade.component: grade.grade for grade in item.clinician}
    return {c: grade for c in item.asked if (grade := read[c]) is not None}


async def run_item(
    item: Item,
    context: GraphContext,
    shown: Item | None = None,
    held_against: Item | None = None,
) -> ItemOutcome:
    """Returns how an item ended: accepted, rejected, disagrees or failed.

    Args:
        item: a pending item.
        context: the run.
        shown: the item whose finding the drafter sees (controls); `item` unless given.
        held_against: the item whose finding the checks read; the shown one unless given.

    Raises:
        ServerGone: a server is away for good; the item is left as it was.
        InputError: the template, the key, the model name or the address is wrong.
    """
    seen = item if shown is None else shown
    if seen.finding.box is None:
        return boxless_outcome(context.run_id, item, seen)
    if context.images is None or not seen.sees_images:
        return await _run_task(prepare_task(item, context, shown, held_against), context)
    try:
        # The slices are held, and counted, until the item has ended.
        async with context.images.held(seen) as images:
            task = prepare_task(item, context, shown, held_against, images)
            return await _run_task(task, context)
    except SlicesUnavailable as trouble:
        return unseen_outcome(context.run_id, item, seen, trouble)


async def _run_task(task: ItemTask, context: GraphContext) -> ItemOutcome:
    start: ItemGraphState = {
        "task": task,
        "attempts": (),
        "components": (),
        "judgement": None,
        "verdict": ItemState.PENDING,
    }
    config: RunnableConfig = {"recursion_limit": _FIXED_STEPS + 2 * context.max_revisions}
    with tracing_switched(on=context.tracing):
        try:
            state = await item_graph().ainvoke(start, config, context=context)
        except ItemInterrupted as interruption:
            return interrupted_outcome(context.run_id, task, interruption)
    return finished_outcome(context.run_id, task, cast("ItemGraphState", state))
