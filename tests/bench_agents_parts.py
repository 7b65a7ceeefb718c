"""Where an item's CPU time goes: each stage alone, on one thread, without server or store."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random

from langgraph.graph import END, START, StateGraph

from agents.batch import collector_calmed
from agents.checks.run import check_answer
from agents.context import GraphContext
from agents.graph import ItemGraph, prepare_task, run_item
from agents.llm_client import Completion, JsonSchema
from agents.state import ItemGraphState, ItemGraphUpdate
from agents.tracing import tracing_switched
from knee.calibration import load_calibration
from knee.records import Item, ItemState, Usage
from knee.run_config import Sampling
from prompts.render import ChatMessage
from store.connection import open_store
from store.items import Selection, load_items
from tests.bench_cohort import CALIBRATION, BenchCohort, drafting_context
from tests.stub_server import prompt_key

_REPEATS = 3


class _Answering:
    """Answers each prompt from a table, at once."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    async def complete(
        self, messages: Sequence[ChatMessage], schema: JsonSchema | None, sampling: Sampling
    ) -> Completion:
        await asyncio.sleep(0)
        usage = Usage(prompt_tokens=1, completion_tokens=1, latency_s=0.1)
        return Completion(self.answers[messages[-1].content], "stop", usage, "stub")

    async def find_trouble(self) -> str | None:
        return None


def cpu_by_stage(cohort: BenchCohort, n_items: int = 1500) -> dict[str, float]:
    """Returns the CPU ms an item of each stage, the least of three repeats."""
    context = drafting_context(load_calibration(CALIBRATION))
    known: dict[str, str] = json.loads(cohort.answers.read_text(encoding="utf-8"))

    def load() -> list[Item]:
        with open_store(cohort.store, read_only=True) as con:
            return list(load_items(con, Selection(limit=n_items)))

    items = load()
    tasks = [prepare_task(item, context) for item in items]
    texts = [known[prompt_key([m.model_dump() for m in task.messages])] for task in tasks]
    model = _Answering(
        {task.messages[-1].content: text for task, text in zip(tasks, texts, strict=True)}
    )
    context = replace(context, model=model)

    def check() -> None:
        for task, text in zip(tasks, texts, strict=True):
            check_answer(text, "stop", task.checks, frozenset())

    def run() -> None:
        asyncio.run(_pooled([lambda item=item: run_item(item, context) for item in items]))

    order = Random(1).sample(range(len(items)), len(items))
    graph = _empty_graph()
    state: ItemGraphState = {
        "task": tasks[0],
        "attempts": (),
        "components": (),
        "judgement": None,
        "verdict": ItemState.PENDING,
    }

    async def pass_through() -> object:
        with tracing_switched(on=False):
            return await graph.ainvoke(state, {"recursion_limit": 5})

    calls = [pass_through for _ in order]
    with collector_calmed():
        stages = {
            "items from the store": _least(load, len(items)),
            "prompt": _least(lambda: [prepare_task(items[n], context) for n in order], len(items)),
            "checks": _least(check, len(items)),
            "LangGraph, three empty nodes": _least(lambda: asyncio.run(_pooled(calls)), len(items)),
        }
        whole = _least(run, len(items))
    named = stages["prompt"] + stages["checks"] + stages["LangGraph, three empty nodes"]
    return {**stages, "records, comparison and the rest of the graph": max(0.0, whole - named)}


def _empty_graph() -> ItemGraph:
    """Returns a graph with the channels of an item's, of three nodes that do next to nothing."""

    async def nothing(state: ItemGraphState) -> ItemGraphUpdate:
        return {"verdict": state["verdict"]}

    builder = StateGraph(ItemGraphState, context_schema=GraphContext)
    for name in ("draft", "check", "compare"):
        builder.add_node(name, nothing)
    builder.add_edge(START, "draft")
    builder.add_edge("draft", "check")
    builder.add_edge("check", "compare")
    builder.add_edge("compare", END)
    return builder.compile()


def _least(work: Callable[[], object], n_items: int) -> float:
    """Returns the least CPU ms an item of some repeats: other work on the machine only adds."""
    times: list[float] = []
    for _ in range(_REPEATS):
        start = time.thread_time()
        work()
        times.append(1e3 * (time.thread_time() - start) / n_items)
    return min(times)


async def _pooled(calls: Sequence[Callable[[], Awaitable[object]]]) -> None:
    left = iter(calls)

    async def work() -> None:
        for call in left:
            await call()

    await asyncio.gather(*(work() for _ in range(64)))
