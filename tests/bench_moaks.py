"""How long MOAKS tables take to read: `python -m tests.bench_moaks [--knee-visits N] [--repeat N]`.

Each figure is CPU time (`process_time`, least of the repeats) in a process of its own that does
only that, and that process's peak memory. `rows` reads the tables; `cells` also tells every cell of
every known column (what the bar is about); `records` makes the ClinicianGrade of every component of
every knee-visit. pandas reads the same files, every cell as a string (of a SAS file, as it comes).
Prints a Markdown table; `--verify` also holds every read against what was written, `--records`
measures the records as well (half a minute for each form).
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.moaks_generator import generate
from tests.test_moaks_round_trip import assert_comes_back, written
from tools.moaks_table import MoaksTable, read_moaks_tables

FORMS = ("ascii", "csv", "sas")
BAR_TIMES, BAR_MB = 3.0, 500.0


def read_rows(paths: Sequence[Path]) -> MoaksTable:
    """Reads the tables' rows."""
    return read_moaks_tables(paths)


def read_cells(paths: Sequence[Path]) -> int:
    """Reads the tables and tells every cell."""
    return sum(len(column.cells) for column in read_moaks_tables(paths).decoded_columns())


def read_records(paths: Sequence[Path]) -> int:
    """Reads the tables and makes every record, knee-visit by knee-visit."""
    table = read_moaks_tables(paths)
    return sum(len(table.grades_for(*knee_visit)) for knee_visit in table.knee_visits())


def read_pandas(paths: Sequence[Path]) -> int:
    """Reads the same files with pandas, as strings."""
    import pandas as pd

    n = 0
    for path in paths:
        if path.suffix == ".sas7bdat":
            n += pd.DataFrame(pd.read_sas(path, encoding="infer")).size
        else:
            text = path.suffix == ".txt"
            frame = pd.read_csv(
                path,
                sep="|" if text else ",",
                dtype=str,
                encoding="latin-1" if text else "utf-8",
                keep_default_na=False,
            )
            n += frame.size
    return n


JOBS: dict[str, Callable[[Sequence[Path]], object]] = {
    "pandas": read_pandas,
    "rows": read_rows,
    "cells": read_cells,
    "records": read_records,
}


def measure(job: str, paths: Sequence[Path], repeat: int) -> None:
    """Runs a job in this process and prints its seconds and MB as JSON."""
    seconds: list[float] = []
    for _ in range(repeat):
        gc.collect()
        started = time.process_time()
        JOBS[job](paths)
        seconds.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": min(seconds), "mb": peak}))


def run_child(job: str, paths: Sequence[Path], repeat: int) -> dict[str, float]:
    """Runs a job in a process of its own."""
    command = [sys.executable, "-m", "tests.bench_moaks", "--job", job, "--repeat", str(repeat)]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> int:
    """Generates the tables, measures, and prints the Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--knee-visits", type=int, default=10000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--records", action="store_true")
    parser.add_argument("--job", choices=tuple(JOBS))
    parser.add_argument("paths", type=Path, nargs="*")
    options = parser.parse_args()
    if options.job:
        measure(options.job, options.paths, options.repeat)
        return 0
    files = generate(options.knee_visits, seed=1)
    lines = [
        "| form | files, MB | pandas s | rows s | cells s | cells ÷ pandas | cells MB "
        "| records s | records MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            paths = [file.write(Path(folder), form) for file in files]
            jobs = [job for job in JOBS if job != "records" or options.records]
            got = {job: run_child(job, paths, options.repeat) for job in jobs}
            size = sum(path.stat().st_size for path in paths) / 1e6
            times = got["cells"]["seconds"] / got["pandas"]["seconds"]
            missed |= form != "sas" and (times > BAR_TIMES or got["cells"]["mb"] > BAR_MB)
            records = got.get("records")
            told = "– | –" if records is None else f"{records['seconds']:.1f} | {records['mb']:.0f}"
            lines.append(
                f"| {form} | {size:.0f} | {got['pandas']['seconds']:.2f} | "
                f"{got['rows']['seconds']:.2f} | {got['cells']['seconds']:.2f} | {times:.2f} | "
                f"{got['cells']['mb']:.0f} | {told} |"
            )
            if options.verify:
                table = written(Path(folder), files, form)
                n = assert_comes_back(table, files, form)
                sys.stderr.write(f"{form}: {n} component reads come back exactly\n")
    n_reads = sum(len(file.keys) for file in files)
    sys.stdout.write(
        f"{options.knee_visits} knee-visits, {n_reads} reads, 118 components in 104 columns\n\n"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
