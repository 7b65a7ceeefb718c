"""The part of docs/benchmarks.md that `bench_agents` writes."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Protocol

from tests.benchmark_page import write_parts

HELD, MISSED = "held", "**missed**"
_HEAD = """Stub server in a process of its own; drawn findings, no two prompts alike; a sound answer
kept for each prompt. Bare loop: the same client sends the same prompts and does nothing else.
Whole: `generate` from call to return (probe, graph, checks, journal, store, report).
Two shared cores on
which other work ran: trust the ratios and CPU times more than items/s.

Peers on the same kind of machine, one call an item, 20 ms, 64 in flight, without graph, checks or
store (items/s · CPU ms an item): bare `openai` with aiohttp 722 · 1.3; Curator 404 · 2.6; SDG Hub
311 · 3.2; Data Designer 214 · 4.5; distilabel 142 · 6.6; Inspect 46 · 21. Slow server (0.5–1.5 s,
256 in flight, of 256 calls/s possible): Curator 198, SDG Hub 191, Data Designer 106, distilabel 99,
Inspect 40.
"""


class Bare(Protocol):
    """What the page reads of a bare loop."""

    @property
    def items_per_s(self) -> float: ...
    @property
    def cpu_ms(self) -> float: ...


class SampleLike(Protocol):
    """What it reads of one look at a batch."""

    @property
    def seconds(self) -> float: ...
    @property
    def done(self) -> int: ...
    @property
    def rss_mb(self) -> float: ...
    @property
    def running(self) -> float | None: ...


class Whole(Bare, Protocol):
    """What it reads of a whole run."""

    @property
    def n_items(self) -> int: ...
    @property
    def n_accepted(self) -> int: ...
    @property
    def batch_per_s(self) -> float: ...
    @property
    def batch_cpu_ms(self) -> float: ...
    @property
    def loop_ms(self) -> float: ...
    @property
    def checks_ms(self) -> float: ...
    @property
    def samples(self) -> Sequence[SampleLike]: ...


def bar(name: str, value: float, bound: float, *, at_least: bool = True, unit: str = "") -> str:
    """Returns a line that names a bar, the figure, and whether it holds."""
    holds = value >= bound if at_least else value <= bound
    sign = "≥" if at_least else "≤"
    verdict = HELD if holds else MISSED
    return f"- {name}: {value:.3g}{unit} (bar {sign} {bound:g}{unit}): {verdict}"


def throughput_lines(
    bares: Sequence[Bare],
    plain: Sequence[Bare],
    wholes: Sequence[Whole],
    stages: Mapping[str, float],
) -> list[str]:
    """Returns the lines of the throughput part.

    Args:
        bares: bare loops over our client.
        plain: loops over `chat.completions.create`, one after each.
        wholes: whole runs, one after each.
        stages: CPU ms an item of each stage alone.
    """
    whole_ms = median(w.cpu_ms + w.checks_ms for w in wholes)
    bare_ms = median(b.cpu_ms for b in bares)
    rest = whole_ms - bare_ms - sum(stages.values())
    parts = {
        "client": bare_ms,
        **stages,
        "check process, journal, commits, probe, report, waiting": rest,
    }
    pairs = list(zip(bares, wholes, strict=True))
    rounds = enumerate(zip(bares, plain, wholes, strict=True), start=1)
    rows = [
        f"| {n} | {b.items_per_s:.0f} | {o.items_per_s:.0f} | {w.batch_per_s:.0f} "
        f"| {w.items_per_s:.0f} | {b.cpu_ms:.2f} | {w.loop_ms:.2f} | {w.cpu_ms:.2f} "
        f"| {w.checks_ms:.2f} | {w.n_accepted}/{w.n_items} |"
        for n, (b, o, w) in rounds
    ]
    return [
        "### 20 ms, 64 in flight, one call an item",
        "",
        "| round | bare items/s | openai's `create` items/s | batch items/s | whole items/s "
        "| bare CPU ms | loop thread CPU ms | all threads CPU ms "
        "| check process CPU ms | accepted |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
        "",
        bar(
            "whole / bare, median of rounds",
            median(w.items_per_s / b.items_per_s for b, w in pairs),
            0.4,
        ),
        "- whole / a loop over `chat.completions.create` of openai's own client (what the peers' "
        "figures stand beside): "
        f"{median(w.items_per_s / o.items_per_s for o, w in zip(plain, wholes, strict=True)):.3g}",
        f"- batch alone / bare: {median(w.batch_per_s / b.items_per_s for b, w in pairs):.3g}; "
        "bare CPU / whole CPU, check process included: "
        f"{median(b.cpu_ms / (w.cpu_ms + w.checks_ms) for b, w in pairs):.3g}",
        "",
        f"Where the {whole_ms:.2f} ms of CPU an item go (each stage alone, least of three repeats, "
        "on the machine as loaded as it was): "
        + " · ".join(f"{name} {ms:.2f}" for name, ms in parts.items())
        + ".",
    ]


def slow_lines(bare: Bare, whole: Whole) -> list[str]:
    """Returns the lines of the slow server."""
    return [
        f"### Slow server: 0.5–1.5 s, 256 in flight, {whole.n_items} items",
        "",
        f"- bare {bare.items_per_s:.1f} items/s ({bare.cpu_ms:.2f} ms CPU), batch "
        f"{whole.batch_per_s:.1f}, whole {whole.items_per_s:.1f} ({whole.cpu_ms:.2f} ms CPU, "
        f"{whole.checks_ms:.2f} more in the check process)",
        bar("batch / bare", whole.batch_per_s / bare.items_per_s, 0.95),
    ]


def memory_lines(run: Whole) -> list[str]:
    """Returns the lines of the memory part."""
    n, tenth = run.n_items, run.n_items // 10
    warm = min(10_000, n // 2)
    batch = [s for s in run.samples if s.done < n]
    base = max(s.rss_mb for s in batch if s.done <= warm)
    growth = max(s.rss_mb for s in batch) - base
    first = _seconds_at(batch, tenth)
    last = batch[-1].seconds - _seconds_at(batch, n - tenth)
    return [
        f"### {n} items in one process",
        "",
        f"- {run.batch_per_s:.0f} items/s; memory {base:.0f} MB within the first {warm} items",
        bar("growth after that", growth, 50, at_least=False, unit=" MB"),
        bar("time of the last tenth / of the first", last / first, 1.1, at_least=False),
    ]


def vllm_lines(runs: Sequence[tuple[str, Whole, float]], concurrency: int) -> list[str]:
    """Returns the lines of the real server.

    Args:
        runs: what was run, how it went, and requests an item.
        concurrency: requests with the server at once.
    """
    lines = [f"### vLLM on the CPU, the demo model, {concurrency} in flight", ""]
    for name, run, n_requests in runs:
        # Without the tail: when fewer items are left than fit, nobody can keep the server full.
        full = [
            s.running
            for s in run.samples
            if s.running is not None and 0 < s.done <= run.n_items - concurrency
        ]
        cpu_ms = run.batch_cpu_ms + run.checks_ms
        lines += [
            f"**{name}**: {run.n_items} items, {run.n_accepted} accepted, {run.batch_per_s:.2f} "
            f"items/s, {n_requests:.2f} requests an item; {len(full)} looks at "
            "`vllm:num_requests_running`, from the first item done until fewer were left than fit",
            "",
            f"- client CPU a request: {cpu_ms / n_requests:.3g} ms; of the item's {cpu_ms:.3g} ms "
            f"{run.checks_ms:.3g} ms are the check process with its start",
            bar("client CPU an item in the batch", cpu_ms, 5, at_least=False, unit=" ms"),
            bar("mean running / in flight", sum(full) / len(full) / concurrency, 0.95),
            "",
        ]
    return lines[:-1]


def _seconds_at(samples: Sequence[SampleLike], done: int) -> float:
    return next(sample.seconds for sample in samples if sample.done >= done)


def write(parts: Mapping[str, Sequence[str]], order: Sequence[str]) -> None:
    """Puts the lines of each part into docs/benchmarks.md; the other parts stay."""
    heading = "Agents beside a bare loop (`make bench-agents`)"
    texts = {part: "\n".join(lines) for part, lines in parts.items()}
    write_parts("bench-agents", heading, _HEAD, texts, order)
