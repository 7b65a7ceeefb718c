"""`make bench-store`: the store at the published size, every figure beside its bar.

    python -m tests.bench_store [PART]... [--volumes 7970] [--keep DIR] [--write]

7,970 volumes x 62 questions are 494,140 quintuples with 790,000 attempts of 3 KB (made up, see
`tests.bench_store_rows`), and an earlier run over a tenth of the volumes of which nothing was
accepted. Parts: fill, live, size, queries, export, verify, release-json; the later ones need a
store that `--keep` has kept. The exit status is 1 when a bar is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench_store_parts import PARTS, Bench, Figure
from tests.benchmark_page import write_section

STORE_NAME: Final = "bench.duckdb"
QUIET_LOAD: Final = 1.5
"""Load of the machine above which figures are marked."""


def run_part(name: str, bench: Bench) -> list[Figure]:
    """Runs a part in a process of its own."""
    command = [sys.executable, "-m", "tests.bench_store_parts", name, str(bench.store)]
    command += [str(bench.n_volumes), str(bench.live_items)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [Figure(**figure) for figure in json.loads(done.stdout.splitlines()[-1])]


def line_of(figure: Figure) -> str:
    """Returns a figure as a line of the table."""
    bar = "–"
    if figure.bar is not None:
        bar = f"{'>=' if figure.at_least else '<='} {figure.bar:,.10g} {figure.unit}"
    verdict = {None: "", True: "pass", False: "**miss**"}[figure.passed]
    digits = 0 if abs(figure.value) >= 100 else 2
    value = f"{figure.value:,.{digits}f} {figure.unit}"
    return f"| {figure.name} | {value} | {bar} | {verdict} | {figure.note} |"


def page_of(bench: Bench, figures: Sequence[Figure], load: float) -> str:
    """Returns the section of the page."""
    missed = [figure.name for figure in figures if figure.passed is False]
    loaded = (
        f"**On a loaded machine** (load {load:.1f} at the start). " if load > QUIET_LOAD else ""
    )
    return "\n".join(
        [
            f"{loaded}{bench.n_volumes:,} volumes x 62 questions, {os.cpu_count()} cores. Times "
            "are wall time, the least of three for queries, the file opened anew each time; rows "
            "are made with the clock stopped. Bars missed: " + (", ".join(missed) or "none") + ".",
            "",
            "| what | measured | bar | | |",
            "|---|--:|--:|---|---|",
            *map(line_of, figures),
        ]
    )


def main() -> int:
    """Runs the parts asked for; returns 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--volumes", type=int, default=7970)
    parser.add_argument("--live-items", type=int, default=40_000, help="through the live path")
    parser.add_argument("--keep", type=Path, help="folder where the store is kept for later parts")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    chosen = parser.parse_args()
    parts = chosen.parts or list(PARTS)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        home = Path(folder) if chosen.keep is None else chosen.keep
        home.mkdir(parents=True, exist_ok=True)
        bench = Bench(home / STORE_NAME, chosen.volumes, chosen.live_items)
        figures: list[Figure] = []
        for part in parts:
            found = run_part(part, bench)
            sys.stderr.write("\n".join([f"{part}:", *map(line_of, found)]) + "\n")
            figures += found
    page = page_of(bench, figures, load)
    sys.stdout.write(page + "\n")
    if chosen.write:
        write_section("bench-store", "The store at the published size (`make bench-store`)", page)
    return 1 if any(figure.passed is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
