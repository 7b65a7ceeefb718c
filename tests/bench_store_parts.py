"""The parts of `make bench-store`, each run in a process of its own, so that its memory is its own.

`python -m tests.bench_store_parts PART STORE N_VOLUMES LIVE_ITEMS` prints a JSON list of figures.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from knee.errors import StoreError
from knee.run_config import BatchSettings
from stages.export import ExportOptions, export
from stages.keeping import OutcomeKeeper
from stages.store_care import verify
from store.connection import COMMIT_MEMORY, READ_WAIT_S, open_store
from store.export import ExportRequest
from store.inserting import insert
from store.items import Selection
from store.journal import Journal
from store.named_queries import named_query
from store.queries import count_left
from store.sql import run_sql
from store.writer import StoreWriter
from store.writer_lock import WriterLock
from tests.bench_store_cohort import EARLIER, RUN, make_cohort, volume_ids
from tests.bench_store_rows import DRAFTED, DraftedItem, drafted_items, outcome_of, tables_of

BATCH: Final = 256
"""Items of a bulk commit."""
BULK_CHECKPOINT: Final = "64MB"
"""Log after which an import writes it into the file; each commit is safe in the log before."""
N_PENDING: Final = 30
"""Volumes beside the drafted ones, of which nothing is drafted."""
LIVE_CHUNK: Final = 4096
"""Items that are made at a time, with the clock stopped, and then given to the keeper."""
IN_FLIGHT: Final = 256
"""Items that wait to be kept at once."""
READER_PAUSE_S: Final = 1.0
SAVED_EVERY: Final = 20
QUERIES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "accepted by question": ("accepted_by_question", {}),
    "accepted by clinician grade": ("accepted_by_clinician_grade", {}),
    "top reject codes by prompt": ("reject_codes_by_prompt", {}),
    "confusion grade x clinician, one feature": ("confusion", {"feature": "bml"}),
    "one volume's rows": ("volume", {"volume": "{volume}"}),
    "one patient's rows": ("patient", {"patient": "{patient}"}),
    "items left in a run": ("items_left", {}),
    "agreement by model": ("agreement_by_model", {}),
    "tokens by run": ("tokens_by_run", {}),
    "review queue, page 50": ("review_queue", {"page": "50"}),
}
"""What is asked, by which named query."""
QUERY_BAR_S: Final = 0.3
LIKE: Final = (
    "SELECT count(*) FROM attempts WHERE list_bool_or(list_transform(steps, "
    "lambda s: s.\"text\" LIKE '%9.9 % te%'))"
)
"""The texts are in the steps; the column `text` has only what could not be written from them.
Reading them is what costs: with `len(...) < 0` in the place of LIKE the query takes as much CPU
time, with `list_filter` too, and with `steps::VARCHAR LIKE` 1.7 times as much."""


@dataclass(frozen=True)
class Figure:
    """One measured value beside its bar."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    """None where there is no bar."""
    at_least: bool = False
    """Whether the bar is a lower bound."""
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass(frozen=True)
class Bench:
    """What is measured on."""

    store: Path
    n_volumes: int
    """Volumes of which all 62 items are accepted in the end."""
    live_items: int
    """How many of these items go through the live path, about."""

    @property
    def volumes(self) -> list[str]:
        """All volumes, those that stay pending at the end."""
        return volume_ids(self.n_volumes + N_PENDING)

    @property
    def drafted(self) -> list[str]:
        """The volumes that are drafted."""
        return self.volumes[: self.n_volumes]

    @property
    def n_live(self) -> int:
        """Volumes that go through the live path."""
        return min(self.n_volumes, -(-self.live_items // len(DRAFTED)))

    @property
    def n_earlier(self) -> int:
        """Volumes of the earlier run."""
        return max(1, self.n_volumes // 10)


def peak_mb() -> float:
    """Returns the largest resident memory of this process so far, in MB (1e6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def fill(bench: Bench) -> list[Figure]:
    """Makes the store and puts all but the live items into it, a commit for each 256 items.

    The file stays open between the commits, as nobody reads meanwhile; the rows are made with the
    clock stopped.
    """
    make_cohort(bench.store, bench.volumes, n_earlier=bench.n_earlier)
    earlier = drafted_items(EARLIER, bench.drafted[: bench.n_earlier], accepted=False)
    bulk = drafted_items(RUN, bench.drafted[: bench.n_volumes - bench.n_live])
    n_rows = n_all = 0
    wall = cpu = 0.0
    with (
        WriterLock(bench.store),
        open_store(bench.store, read_only=False, memory=COMMIT_MEMORY) as con,
    ):
        con.execute(f"SET checkpoint_threshold = '{BULK_CHECKPOINT}'")
        for batch in _batches((earlier, bulk), BATCH):
            tables = tables_of(batch)
            begun = time.monotonic(), time.process_time()
            con.begin()
            for table, rows in tables.items():
                insert(con, table, rows)
            con.commit()
            wall += time.monotonic() - begun[0]
            cpu += time.process_time() - begun[1]
            n_rows += tables["attempts"].num_rows + tables["quintuples"].num_rows
            n_all += sum(rows.num_rows for rows in tables.values())
        begun = time.monotonic(), time.process_time()
        con.execute("CHECKPOINT")
        wall += time.monotonic() - begun[0]
        cpu += time.process_time() - begun[1]
    note = f"{n_rows} attempts and quintuples; with outcomes and components {n_all / wall:.0f} a s"
    return [
        Figure("bulk import", n_rows / wall, "rows/s", 10_000, True, note),
        Figure("bulk import, by CPU time", n_rows / cpu, "rows/CPU s"),
        Figure("peak memory of the bulk import", peak_mb(), "MB", 1000),
    ]


def live(bench: Bench) -> list[Figure]:
    """Puts the rest through journal and writer as `generate` does, two readers asking meanwhile."""
    items = drafted_items(RUN, bench.drafted[bench.n_volumes - bench.n_live :])
    wall = cpu = 0.0
    n_rows = 0
    with StoreWriter(bench.store) as writer, Journal(bench.store, RUN) as journal:
        with _readers(bench.store) as readers:
            for batch in _batches((items,), LIVE_CHUNK):
                outcomes = [outcome_of(item) for item in batch]
                n_rows += len(outcomes) + sum(len(item.attempts) for item in batch)
                begun = time.monotonic(), time.process_time()
                asyncio.run(_keep_all(writer, journal, outcomes))
                wall += time.monotonic() - begun[0]
                cpu += time.process_time() - begun[1]
        writer.finish_run(RUN)
    asked = [json.loads(line) for line in readers]
    note = (
        f"{n_rows} attempts and quintuples at the end of the filled store; the readers asked "
        f"{sum(one['n'] for one in asked)} times"
    )
    waited = max(one["wait"] for one in asked)
    refused = f"{sum(one['refused'] for one in asked)} time(s) the file was not to be had in time"
    return [
        Figure("live writer, two readers", n_rows / wall, "rows/s", 3000, True, note),
        Figure("longest wait of a reader beside it", waited, "s", READ_WAIT_S, note=refused),
        Figure("live writer, by CPU time", n_rows / cpu, "rows/CPU s"),
        Figure("peak memory of the live writer", peak_mb(), "MB", 1000),
    ]


async def _keep_all(writer: StoreWriter, journal: Journal, outcomes: Sequence[object]) -> None:
    """Keeps outcomes, so many at once as a batch has in flight, until all are committed."""
    waiting = iter(outcomes)
    async with OutcomeKeeper(writer, journal, RUN, BatchSettings()) as keeper:

        async def work() -> None:
            for outcome in waiting:
                await keeper.keep(outcome)  # pyright: ignore[reportArgumentType]

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


@contextmanager
def _readers(store: Path) -> Generator[list[str]]:
    """Runs two readers meanwhile; at the end the list has what each of them says of itself."""
    said: list[str] = []
    command = [sys.executable, "-m", "tests.bench_store_parts", "read", str(store), "0", "0"]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        yield said
    finally:
        said += [process.communicate("", timeout=120)[0].splitlines()[-1] for process in processes]


def read(bench: Bench) -> list[Figure]:
    """Asks as a person beside a batch does, until stdin ends; prints how long the file was away."""
    over = os.fork()
    if over == 0:
        sys.stdin.read()
        os._exit(0)
    query = named_query("items_left")
    waits: list[float] = [0.0]
    n_asked = n_refused = 0
    while os.waitpid(over, os.WNOHANG) == (0, 0):
        begun = time.monotonic()
        try:
            with open_store(bench.store, read_only=True) as con:
                waits.append(time.monotonic() - begun)
                con.execute(query.sql, query.bind({})).fetchall()
                n_asked += 1
        except StoreError:
            # On a loaded machine a reader may not get in between two commits: a miss, no end.
            waits.append(time.monotonic() - begun)
            n_refused += 1
        time.sleep(READER_PAUSE_S)
    told = {"n": n_asked, "refused": n_refused, "wait": max(waits)}
    sys.stdout.write(json.dumps(told) + "\n")
    return []


def size(bench: Bench) -> list[Figure]:
    """Writes every table as zstd Parquet and compares."""
    with (
        tempfile.TemporaryDirectory(dir=bench.store.parent) as folder,
        open_store(bench.store, read_only=True, memory="2GB") as con,
    ):
        counts = {
            str(name): int(con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])
            for (name,) in con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE NOT internal ORDER BY 1"
            ).fetchall()
        }
        parquet = 0
        for name, n in counts.items():
            if n:
                file = Path(folder) / f"{name}.parquet"
                # Smaller groups than DuckDB's own, which want gigabytes for texts.
                con.execute(
                    f"COPY {name} TO '{file}' "
                    "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"
                )
                parquet += file.stat().st_size
        characters = con.execute(
            'SELECT avg(list_sum(list_transform(steps, lambda s: len(s."text")))) FROM attempts'
        ).fetchall()[0][0]
    file_size = bench.store.stat().st_size
    note = (
        f"{file_size / 1e6:.0f} MB against {parquet / 1e6:.0f} MB; {counts['quintuples']} "
        f"quintuples, {counts['attempts']} attempts of {characters:.0f} characters, "
        f"{counts['outcomes']} outcomes"
    )
    return [
        Figure("file against zstd Parquet of all tables", file_size / parquet, "x", 1.6, note=note)
    ]


def queries(bench: Bench) -> list[Figure]:
    """Times the project's own queries, each as `sql --named` asks it."""
    volume = bench.drafted[bench.n_volumes // 2]
    words = {"volume": volume, "patient": volume.split("/")[0]}
    figures: list[Figure] = []
    for name, (query, given) in QUERIES.items():
        chosen = named_query(query)
        bound = chosen.bind({key: value.format(**words) for key, value in given.items()})

        def ask(sql: str = chosen.sql, bound: object = bound) -> object:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "rows.csv"
                return run_sql(bench.store, sql, bound, "csv", out)  # pyright: ignore[reportArgumentType]

        figures.append(_timed(name, ask, QUERY_BAR_S, f"`sql --named {query}`"))
    figures.append(_timed("LIKE over the texts of all attempts", lambda: _ask(bench, LIKE), 2.0))
    figures.append(_timed("resume plan: what is left", lambda: _plan(bench), 1.0))
    figures.append(Figure("peak memory of the queries", peak_mb(), "MB", 1000))
    return figures


def _ask(bench: Bench, query: str) -> list[tuple[object, ...]]:
    with open_store(bench.store, read_only=True) as con:
        return con.execute(query).fetchall()


def _plan(bench: Bench) -> object:
    """What a resumed `generate` asks before its first call: what is left, and the first items."""
    with StoreWriter(bench.store) as writer:
        with writer.reading() as con:
            left = count_left(con, RUN, Selection())
        first = list(islice(writer.items(Selection(), run_id=RUN), 1))
    assert (left > 0) == bool(first)
    return left


def _timed(name: str, ask: Callable[[], object], bar: float, note: str = "") -> Figure:
    """Returns the least wall time of three; the note has the CPU time of that one."""
    timings: list[tuple[float, float]] = []
    for _ in range(3):
        begun = time.monotonic(), time.process_time()
        ask()
        timings.append((time.monotonic() - begun[0], time.process_time() - begun[1]))
    wall, cpu = min(timings)
    note = "; ".join(part for part in (note, f"CPU {cpu:.2f} s") if part)
    return Figure(name, wall, "s", bar, note=note)


def export_parquet(bench: Bench) -> list[Figure]:
    """Exports all quintuples as Parquet with card and checksums."""
    with tempfile.TemporaryDirectory(dir=bench.store.parent) as folder:
        begun = time.monotonic(), time.process_time()
        out = Path(folder) / "out"
        export(ExportOptions(store=bench.store, out=out, request=ExportRequest(synthetic=True)))
        wall, cpu = time.monotonic() - begun[0], time.process_time() - begun[1]
        megabytes = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6
    note = f"{megabytes:.0f} MB; CPU {cpu:.1f} s"
    return [
        Figure("Parquet export", wall, "s", 60, note=note),
        Figure("peak memory of the export", peak_mb(), "MB", 1000),
    ]


def verify_store(bench: Bench) -> list[Figure]:
    """Verifies keys, parents and counts, then with the hash of every content as well."""
    figures: list[Figure] = []
    for name, contents in (("store verify --quick", False), ("store verify", True)):
        begun = time.monotonic(), _cpu_s()
        code = verify(bench.store, contents=contents, prompts=False, config=None, as_json=False)
        assert code == 0, "the filled store has problems"
        note = f"no re-rendering; CPU {_cpu_s() - begun[1]:.1f} s"
        figures.append(Figure(name, time.monotonic() - begun[0], "s", 60, note=note))
    figures.append(Figure("peak memory of verify", peak_mb(), "MB", 1000))
    return figures


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def release_json(bench: Bench) -> list[Figure]:
    """Saves as the release's code does: the whole JSON file again after every item.

    Every 20th save is made and timed and stands for 20: all of them write gigabytes.
    """
    figures: list[Figure] = []
    items = list(islice(drafted_items(RUN, bench.drafted), 4000))
    saved: dict[str, object] = {}
    spent = 0.0
    with tempfile.TemporaryDirectory(dir=bench.store.parent) as folder:
        file = Path(folder) / "reasoning.json"
        for number, item in enumerate(items, 1):
            saved[f"{item.volume_id} {item.question_id}"] = {
                "reasoning": " ".join(item.attempts[-1].texts),
                "box": item.attempts[-1].box,
                "answer": item.attempts[-1].grades,
            }
            if number % SAVED_EVERY == 0:
                begun = time.monotonic()
                # As released: into the file itself, without a sync.
                with file.open("w", encoding="utf-8") as out:
                    out.write(json.dumps(saved, indent=4))
                spent += SAVED_EVERY * (time.monotonic() - begun)
            if number in (1000, 2000, 4000):
                megabytes = file.stat().st_size / 1e6
                note = f"{number / spent:.0f} items/s so far; the file has {megabytes:.0f} MB"
                figures.append(Figure(f"one JSON file, {number} items", spent, "s", note=note))
    return figures


def _batches(streams: Sequence[Iterator[DraftedItem]], size: int) -> Iterator[list[DraftedItem]]:
    for stream in streams:
        while batch := list(islice(stream, size)):
            yield batch


PARTS: Final[dict[str, Callable[[Bench], list[Figure]]]] = {
    "fill": fill,
    "live": live,
    "size": size,
    "queries": queries,
    "export": export_parquet,
    "verify": verify_store,
    "release-json": release_json,
}
"""In the order of a whole bench; `fill` and `live` make the store that the others are asked of."""


def main() -> None:
    """Runs a part and prints its figures."""
    name, store, n_volumes, live_items = sys.argv[1:]
    part = read if name == "read" else PARTS[name]
    figures = part(Bench(Path(store), int(n_volumes), int(live_items)))
    if name != "read":
        sys.stdout.write(json.dumps([asdict(figure) for figure in figures]) + "\n")


if __name__ == "__main__":
    main()
