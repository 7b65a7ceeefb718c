"""`serve measure`: what the running server makes of this pipeline's own prompts.

Real prompts are sent with the schema and sampling of the settings, as a run sends them, and their
answers are thrown away. One answer an item: revisions and a judge come on top. So that no round
profits from the last, every round's prompts begin with a word of its own; within a round the
protocol is shared, as in a run.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from agents.graph import prepare_task
from agents.llm_client import ChatClient, Completion
from agents.preflight import preflight
from agents.server_metrics import ServerCounters, read_counters
from agents.slice_source import SlicesUnavailable
from agents.state import ItemTask
from knee.errors import InputError, ModelOutputError, ModelUnavailable
from knee.keys import JsonValue
from knee.records import Item
from knee.run_config import RunConfig
from prompts.render import ChatMessage
from stages.console import emit_json, say, show_table
from stages.run_images import open_slice_source
from stages.serve_checking import items_for
from stages.serve_prompts import item_context
from stages.settings import load_settings
from store.items import Selection
from store.reader import StoreReader

DEFAULT_CONCURRENCY = (1, 8, 32)
"""Measured beside `batch.concurrency` unless asked otherwise."""
_LEAST_ITEMS = 8
_WAVES = 3
"""Items for each place in flight: with fewer, filling and emptying is most of what is measured."""
_COLUMNS = (
    "in flight",
    "items",
    "items/s",
    "answer tokens/s",
    "prompt tokens/s",
    "latency s, median",
    "latency s, 95 %",
    "first token s",
    "prefix cache %",
    "cut off",
    "refused",
)


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """What the command line says."""

    config: Path
    """Settings file."""
    store: Path | None = None
    """Whose items are sent; None takes those of a phantom knee."""
    cohort_root: Path | None = None
    """Where the images lie now."""
    items: int | None = None
    """Items at each concurrency; None takes three for each place in flight, and 8 at least."""
    concurrency: tuple[int, ...] = ()
    """Items in flight; empty takes 1, 8, 32 and the settings' own."""
    for_items: int = 10_000
    """Items whose hours are told."""
    as_json: bool = False
    """Figures as JSON on stdout."""


class Round(NamedTuple):
    """What was seen at one concurrency."""

    concurrency: int
    """Items in flight."""
    seconds: float
    """From the first request to the last answer."""
    answers: tuple[Completion, ...]
    """What came back."""
    n_refused: int
    """Requests that the server refused."""
    before: ServerCounters
    """The server's counters before."""
    after: ServerCounters
    """And after."""

    @property
    def items_per_s(self) -> float:
        """Answers a second."""
        return len(self.answers) / self.seconds

    @property
    def hit_rate(self) -> float | None:
        """Share of prompt tokens that were computed already; None when it is not counted."""
        before, after = self.before.prefix_cache, self.after.prefix_cache
        counts = None if before is None or after is None else after.since(before)
        return None if counts is None else counts.hit_rate

    @property
    def first_token_s(self) -> float | None:
        """Mean seconds to the first token; None when it is not counted."""
        before, after = self.before.first_token, self.after.first_token
        return None if before is None or after is None else after.mean_since(before)

    def as_json(self) -> dict[str, JsonValue]:
        """Returns the figures."""
        latencies = [answer.usage.latency_s for answer in self.answers]
        prompt = sum(answer.usage.prompt_tokens for answer in self.answers)
        made = sum(answer.usage.completion_tokens for answer in self.answers)
        n = len(self.answers)
        return {
            "in_flight": self.concurrency,
            "items": n,
            "seconds": round(self.seconds, 2),
            "items_per_s": round(self.items_per_s, 3),
            "answer_tokens_per_s": round(made / self.seconds, 1),
            "prompt_tokens_per_s": round(prompt / self.seconds, 1),
            "answer_tokens_per_item": round(made / n, 1) if n else None,
            "prompt_tokens_per_item": round(prompt / n, 1) if n else None,
            "latency_s_median": round(statistics.median(latencies), 2) if n else None,
            "latency_s_95": round(_percentile_95(latencies), 2) if n else None,
            "first_token_s": _rounded(self.first_token_s),
            "prefix_cache_hit_rate": _rounded(self.hit_rate),
            "cut_off": sum(answer.finish_reason == "length" for answer in self.answers),
            "refused": self.n_refused,
        }


def measure(options: MeasureOptions) -> int:
    """Measures the drafter's server and prints what was seen.

    Raises:
        InputError: no server answers, or there is nothing to send.
        StoreError: no store, or a foreign one.
    """
    config = load_settings(options.config)
    asked = options.concurrency or (*DEFAULT_CONCURRENCY, config.batch.concurrency)
    wanted = sorted(set(asked))
    most = max(_n_items(options, c) for c in wanted)
    tasks = _tasks(config, options, most)
    rounds = asyncio.run(_measure(config, options, wanted, tasks))
    if options.as_json:
        emit_json(_as_json(rounds, config, options))
    else:
        _show(rounds, options)
    return 0


def _n_items(options: MeasureOptions, concurrency: int) -> int:
    return options.items or max(_LEAST_ITEMS, _WAVES * concurrency)


def _tasks(config: RunConfig, options: MeasureOptions, most: int) -> list[ItemTask]:
    """Returns rendered prompts, with slices where the settings show any."""
    images = config.drafter.images
    if images is not None and options.store is None:
        raise InputError(
            f"settings {config.name!r} show slices, and there are none without a store",
            "name one with --store: `phantom` and `prepare` make one in a minute",
        )
    items = [i for i in items_for(config, options.store, most) if i.finding.box is not None]
    if not items:
        raise InputError("no item to send: nothing of the store is pending", "take another --store")
    if images is None or options.store is None:
        context = item_context(config, options.config)
        return [prepare_task(item, context) for item in items]
    return _tasks_with_slices(config, options, items, options.store)


def _tasks_with_slices(
    config: RunConfig, options: MeasureOptions, items: Sequence[Item], store: Path
) -> list[ItemTask]:
    assert config.drafter.images is not None, "asked for settings that show slices alone"
    context = item_context(config, options.config)
    reader = StoreReader(store)
    source = open_slice_source(config.drafter.images, reader, Selection(), options.cohort_root)
    with closing(source):
        try:
            return [
                prepare_task(
                    item, context, images=source.draw_now(item) if item.sees_images else None
                )
                for item in items
            ]
        except SlicesUnavailable as error:
            raise InputError(
                f"the slices of {items[0].volume_id!r} cannot be drawn: {error}",
                "--cohort-root names the folder in which the images lie now",
            ) from error


async def _measure(
    config: RunConfig, options: MeasureOptions, wanted: Sequence[int], tasks: Sequence[ItemTask]
) -> list[Round]:
    async with ChatClient(
        config.drafter, concurrency=max(wanted), allow_remote=config.allow_remote
    ) as client:
        longest = max(tasks, key=lambda task: sum(len(m.content) for m in task.messages))
        report = await preflight(client, config.drafter.sampling, longest.messages)
        say(report.line())
        rounds: list[Round] = []
        for number, concurrency in enumerate(wanted):
            n = _n_items(options, concurrency)
            say(f"{n} items, {concurrency} in flight")
            rounds.append(await _round(client, config, concurrency, number, n, tasks))
        return rounds


async def _round(
    client: ChatClient,
    config: RunConfig,
    concurrency: int,
    number: int,
    n: int,
    tasks: Sequence[ItemTask],
) -> Round:
    places = asyncio.Semaphore(concurrency)
    endpoint = config.drafter

    async def ask(index: int, task: ItemTask) -> Completion | None:
        # What is sent a second time in a round begins anew too: else all of it would be cached.
        messages = _marked(task, f"({number}.{index // len(tasks)})")
        async with places:
            try:
                return await client.complete(messages, task.schema, endpoint.sampling)
            except ModelOutputError:
                return None

    before = await asyncio.to_thread(read_counters, endpoint.base_url, endpoint.model)
    started = time.perf_counter()
    try:
        answers = await asyncio.gather(
            *(ask(index, task) for index, task in enumerate(islice(cycle(tasks), n)))
        )
    except ModelUnavailable as error:
        raise InputError(
            f"the server went away while it was measured: {error.message}",
            "read its log; `serve status` says whether it was started anew",
        ) from error
    seconds = time.perf_counter() - started
    after = await asyncio.to_thread(read_counters, endpoint.base_url, endpoint.model)
    answered = tuple(answer for answer in answers if answer is not None)
    return Round(concurrency, seconds, answered, n - len(answered), before, after)


def _marked(task: ItemTask, mark: str) -> tuple[ChatMessage, ...]:
    """Returns an item's messages, the first of which begins with a mark."""
    first, *others = task.messages
    return (first.model_copy(update={"content": f"{mark} {first.content}"}), *others)


def _percentile_95(values: Sequence[float]) -> float:
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _hours(rounds: Sequence[Round], n: int) -> float | None:
    best = max((r.items_per_s for r in rounds), default=0.0)
    return n / best / 3600 if best else None


def _as_json(
    rounds: Sequence[Round], config: RunConfig, options: MeasureOptions
) -> dict[str, JsonValue]:
    hours = _hours(rounds, options.for_items)
    return {
        "model": config.drafter.model,
        "prompt": f"{config.drafter.prompt_id} v{config.drafter.prompt_version}",
        "prompts_of": "a phantom knee" if options.store is None else str(options.store),
        "rounds": [r.as_json() for r in rounds],
        "for_items": options.for_items,
        "hours_one_answer_each": None if hours is None else round(hours, 2),
    }


def _show(rounds: Sequence[Round], options: MeasureOptions) -> None:
    rows: list[list[object]] = []
    for seen in rounds:
        f = seen.as_json()
        rate = seen.hit_rate
        rows.append(
            [
                *(f["in_flight"], f["items"], seen.items_per_s, f["answer_tokens_per_s"]),
                *(f["prompt_tokens_per_s"], f["latency_s_median"], f["latency_s_95"]),
                *(seen.first_token_s, None if rate is None else 100 * rate),
                *(f["cut_off"], f["refused"]),
            ]
        )
    show_table("one answer an item, answers thrown away", _COLUMNS, rows, to_stdout=True)
    hours = _hours(rounds, options.for_items)
    if hours is None:
        say("no request was answered: the server refuses these prompts")
        return
    say(
        f"{options.for_items:,} items with one answer each: {hours:.1f} hours at the best of these;"
        " revisions and a judge come on top (`status` shows the attempts an item of your runs)"
    )
