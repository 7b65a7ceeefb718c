"""`make bench-agents`: how fast a whole `generate` is beside a bare loop over the same client.

    throughput   20 ms latency, 64 in flight, one call an item; alternating rounds, medians
    slow         0.5-1.5 s latency, 256 in flight, 10,240 items
    memory       100,000 items, 64 in flight: growth after the first 10,000, last tenth and first
    vllm         the demo model on the CPU: client CPU an item, requests that run on the server

The stub server is a process of its own. `python -m tests.bench_agents [PART…] [--write]`.
"""

import argparse
import asyncio
import gc
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import openai

from agents.batch import collector_calmed
from agents.graph import prepare_task
from agents.llm_client import ChatClient, JsonSchema
from agents.progress import BatchProgress
from agents.vllm_server import running_server
from knee.calibration import load_calibration
from knee.records import ItemState
from knee.run_config import RunConfig, load_run_config
from prompts.render import ChatMessage
from stages import generate as stage
from stages.serve import serve_settings
from store.connection import open_store
from store.items import Selection, load_items
from tests import bench_agents_page
from tests.bench_agents_parts import cpu_by_stage
from tests.bench_cohort import CALIBRATION, BenchCohort, drafting_context, make_cohort, write_config
from tests.demo_run import config_on_free_port
from tests.prepared_store import stub_process

PARTS = ("throughput", "slow", "memory", "vllm")
SAMPLE_S = 0.1
Call: TypeAlias = tuple[Sequence[ChatMessage], JsonSchema]
"""Messages, and the schema of the answer."""
Calls: TypeAlias = list[Call]


@dataclass(frozen=True)
class BareLoop:
    """What a loop over the client alone took."""

    items_per_s: float
    cpu_ms: float
    """CPU of this process, an item."""


@dataclass(frozen=True)
class Sample:
    """One look at a running batch."""

    seconds: float
    done: int
    rss_mb: float
    running: float | None
    cpu_s: float
    """CPU of this process so far, without the thread that looks."""


@dataclass
class WholeRun:
    """What one `generate` took."""

    n_items: int = 0
    n_accepted: int = 0
    whole_s: float = 0.0
    """From call to return: probe, batch, commit, report."""
    batch_s: float = 0.0
    """From the first item taken to the last one kept."""
    cpu_ms: float = 0.0
    """CPU of this process during the whole of it, an item; all threads."""
    loop_ms: float = 0.0
    """Of which in the thread of the event loop."""
    checks_ms: float = 0.0
    """CPU of the processes that run the checks, an item."""
    samples: list[Sample] = field(default_factory=list[Sample])

    @property
    def items_per_s(self) -> float:
        return self.n_items / self.whole_s

    @property
    def batch_cpu_ms(self) -> float:
        """CPU of the batch alone, an item."""
        last = next(s for s in self.samples if s.done == self.n_items)
        return 1e3 * (last.cpu_s - self.samples[0].cpu_s) / self.n_items

    @property
    def batch_per_s(self) -> float:
        return self.n_items / self.batch_s


def bare_loop(config: RunConfig, store: Path, limit: int | None = None) -> BareLoop:
    """Sends the first prompt of each item through the client, and does nothing else."""
    sampling, concurrency = config.drafter.sampling, config.batch.concurrency

    async def run(calls: Calls) -> tuple[float, float]:
        async with ChatClient(config.drafter, concurrency=concurrency) as client:
            return await timed(calls, lambda call: client.complete(*call, sampling), concurrency)

    return looped(run, first_calls(store, limit))


def openai_loop(config: RunConfig, store: Path) -> BareLoop:
    """The same through `chat.completions.create` of openai's own client on its aiohttp transport.

    Our client sends through openai's client too, but reads of an answer only what it needs.
    """
    endpoint, concurrency = config.drafter, config.batch.concurrency
    sampling: dict[str, Any] = endpoint.sampling.as_sent()

    async def run(calls: Calls) -> tuple[float, float]:
        transport = openai.DefaultAioHttpClient()
        async with openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key="none", max_retries=0, http_client=transport
        ) as client:

            async def send(call: Call) -> object:
                messages: Any = [message.as_sent() for message in call[0]]
                form: Any = {"name": "answer", "schema": dict(call[1]), "strict": True}
                return await client.chat.completions.create(
                    model=endpoint.model,
                    messages=messages,
                    response_format={"type": "json_schema", "json_schema": form},
                    **sampling,
                )

            return await timed(calls, send, concurrency)

    return looped(run, first_calls(store, None))


def first_calls(store: Path, limit: int | None) -> Calls:
    """Returns the first prompt of each item, and the schema of its answer."""
    context = drafting_context(load_calibration(CALIBRATION))
    with open_store(store, read_only=True) as con:
        tasks = [prepare_task(item, context) for item in load_items(con, Selection(limit=limit))]
    return [(task.messages, task.schema) for task in tasks]


def looped(
    run: Callable[[Calls], Coroutine[Any, Any, tuple[float, float]]], calls: Calls
) -> BareLoop:
    """Returns what a loop over calls took."""
    gc.collect()
    with collector_calmed():
        wall, cpu = asyncio.run(run(calls))
    return BareLoop(len(calls) / wall, 1e3 * cpu / len(calls))


async def timed(
    calls: Calls,
    send: Callable[[Call], Awaitable[object]],
    concurrency: int,
) -> tuple[float, float]:
    """Sends calls from so many workers; returns wall and CPU seconds."""
    left = iter(calls)

    async def work() -> None:
        for call in left:
            await send(call)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return time.perf_counter() - wall, time.process_time() - cpu


def whole_run(
    config: Path, cohort: BenchCohort, *, limit: int | None = None, metrics: str | None = None
) -> WholeRun:
    """Runs `generate` on a copy of the cohort's store, in this process, and watches it."""
    store = cohort.store.with_name("run.duckdb")
    for left in store.parent.glob("run.duckdb*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    shutil.copy(cohort.store, store)
    run, seen = WholeRun(), list[BatchProgress]()

    def keep(total: int | None = None) -> BatchProgress:
        seen.append(BatchProgress(total=total))
        return seen[-1]

    options = stage.GenerateOptions(store=store, config=config, limit=limit, quiet=True)
    gc.collect()
    wall, cpu, thread = time.perf_counter(), time.process_time(), time.thread_time()
    beside = ended_children_s()
    with patch.object(stage, "BatchProgress", keep), watched(seen, run, metrics):
        code = stage.generate(options)
    run.whole_s = time.perf_counter() - wall
    progress = seen[-1]
    run.n_items, run.n_accepted = progress.n_done, progress.counts[ItemState.ACCEPTED]
    run.cpu_ms = 1e3 * (time.process_time() - cpu) / run.n_items
    run.checks_ms = 1e3 * (ended_children_s() - beside) / run.n_items
    run.loop_ms = 1e3 * (time.thread_time() - thread) / run.n_items
    run.batch_s = next(s.seconds for s in run.samples if s.done == progress.n_done)
    assert code == 0, f"generate ended with {code}"
    return run


@contextmanager
def watched(seen: list[BatchProgress], run: WholeRun, metrics: str | None) -> Generator[None]:
    """Samples items done, memory and the server's running requests from a thread beside."""
    over = threading.Event()

    def look() -> None:
        started: float | None = None
        while True:
            ended = over.wait(SAMPLE_S if metrics is None else 0.25)
            if seen:
                started = seen[-1].started if started is None else started
                running = None if metrics is None or ended else running_requests(metrics)
                now = time.monotonic() - started
                cpu = time.process_time() - time.thread_time()
                run.samples.append(Sample(now, seen[-1].n_done, rss_mb(), running, cpu))
            if ended:
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ended_children_s() -> float:
    """Returns the CPU seconds of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rss_mb() -> float:
    """Returns this process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def running_requests(url: str) -> float | None:
    """Returns how many requests run on a vLLM server now; None when it does not say."""
    return metric(url, "vllm:num_requests_running")


def served_requests(url: str) -> float:
    """Returns how many requests a vLLM server has answered so far."""
    found = metric(url, "vllm:request_success_total")
    assert found is not None, f"no count of requests at {url}"
    return found


def metric(url: str, name: str) -> float | None:
    """Returns a metric of a server, its labels added up; None when it does not say."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found) if found else None


@contextmanager
def stub_for(
    cohort: BenchCohort, concurrency: int, latency_s: float, spread_s: float = 0.0
) -> Generator[Path]:
    """Runs the stub for a cohort; yields the settings file."""
    with stub_process(cohort.answers, latency_s, spread_s) as port:
        yield write_config(cohort.store.parent, port, concurrency)


def throughput(folder: Path, rounds: int, n_items: int) -> list[str]:
    """Alternates bare loops and whole runs at 20 ms and 64 in flight."""
    cohort = make_cohort(folder, n_items)
    bares: list[BareLoop] = []
    plain: list[BareLoop] = []
    wholes: list[WholeRun] = []
    with stub_for(cohort, 64, 0.02) as config:
        for _ in range(rounds):
            bares.append(bare_loop(load_run_config(config), cohort.store))
            plain.append(openai_loop(load_run_config(config), cohort.store))
            wholes.append(whole_run(config, cohort))
            tell(f"bare {bares[-1].items_per_s:.0f}/s, whole {wholes[-1].items_per_s:.0f}/s")
    return bench_agents_page.throughput_lines(bares, plain, wholes, cpu_by_stage(cohort))


def slow(folder: Path, n_items: int) -> list[str]:
    """Keeps a slow server full: 0.5-1.5 s, 256 in flight."""
    cohort = make_cohort(folder, n_items)
    with stub_for(cohort, 256, 0.5, 1.0) as config:
        bare = bare_loop(load_run_config(config), cohort.store, n_items)
        tell(f"bare {bare.items_per_s:.0f}/s")
        whole = whole_run(config, cohort, limit=n_items)
    return bench_agents_page.slow_lines(bare, whole)


def memory(folder: Path, n_items: int) -> list[str]:
    """Runs many items through one process."""
    cohort = make_cohort(folder, n_items)
    with stub_for(cohort, 64, 0.0) as config:
        return bench_agents_page.memory_lines(whole_run(config, cohort))


def vllm(folder: Path, n_items: int) -> list[str]:
    """Drafts with the demo model on the CPU, and asks the server how many requests run.

    Once without the judge, one request an item as in the other parts, and once with judge and
    decoy on a fifth of the items.
    """
    cohort = make_cohort(folder, n_items)
    path = config_on_free_port(folder)
    config = load_run_config(path)
    text = path.read_text(encoding="utf-8")
    before, judge = text.split("# The same model, on the same server, as judge.")
    alone = path.with_name("drafts-alone.toml")
    alone.write_text(before + judge[judge.index("[batch]") :], encoding="utf-8")
    metrics = config.drafter.base_url.removesuffix("/v1") + "/metrics"
    runs: list[tuple[str, WholeRun, float]] = []
    with running_server(serve_settings(config, path), config.drafter, folder / "vllm.log"):
        for name, settings, n in (
            ("drafts alone", alone, n_items),
            ("with judge and decoy", path, n_items // 5),
        ):
            asked = served_requests(metrics)
            run = whole_run(settings, cohort, limit=n, metrics=metrics)
            runs.append((name, run, (served_requests(metrics) - asked) / run.n_items))
    return bench_agents_page.vllm_lines(runs, config.batch.concurrency)


def tell(text: str) -> None:
    """Says how far the benchmark is, on stderr."""
    sys.stderr.write(f"bench-agents: {text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts asked for; returns 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="Benchmark of the agents' side of `generate`")
    parser.add_argument("parts", nargs="*", metavar="PART", help="all unless given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=5000, help="items of `throughput`")
    parser.add_argument("--slow-items", type=int, default=10_240)
    parser.add_argument("--memory-items", type=int, default=100_000)
    parser.add_argument("--vllm-items", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md anew")
    options = parser.parse_args(arguments)
    ways: dict[str, Callable[[Path], list[str]]] = {
        "throughput": lambda folder: throughput(folder, options.rounds, options.items),
        "slow": lambda folder: slow(folder, options.slow_items),
        "memory": lambda folder: memory(folder, options.memory_items),
        "vllm": lambda folder: vllm(folder, options.vllm_items),
    }
    lines: dict[str, list[str]] = {}
    for name in options.parts or PARTS:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            part = ways[name](Path(folder))
        tell("\n".join(part))
        lines[name] = [*part, f"Load of the machine before this part: {load:.1f}."]
    if options.write:
        bench_agents_page.write(lines, PARTS)
    missed = (bench_agents_page.MISSED in line for part in lines.values() for line in part)
    return 1 if any(missed) else 0


if __name__ == "__main__":
    sys.exit(main())
