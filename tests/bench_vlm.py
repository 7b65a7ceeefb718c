"""`make bench-eval-real`: a phantom bench put to a tiny model by the real vLLM, all settings.

    python -m tests.bench_vlm --out DIR [--knees 14] [--limit 210]

Phantoms, prepare, `bench build`, one server, `bench run` in every setting and both controls,
`bench score` and `bench report`. The model has learned nothing: what is looked at is that the way
is whole, that its kappa's interval holds 0, and that its macro recall is chance's. Finished runs
are kept, so that a second call goes on.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.vllm_server import running_server
from eval.bench_config import load_bench_config
from tests.demo_run import CHECKOUT, free_port

CONFIG = CHECKOUT / "configs" / "bench" / "tiny.toml"
RUNS = (
    ("zero_shot", None),
    ("guided", None),
    ("region_crop", None),
    ("given_box", None),
    ("localise", None),
    ("zero_shot", "no_image"),
    ("zero_shot", "other_patient_image"),
)
N_TRAIN = 3
"""Knees of the train split, for the baselines; all others are test knees."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended."""

    name: str
    code: int
    seconds: float
    statuses: dict[str, int]


def command(*arguments: str) -> str:
    """Runs one command of the pipeline; returns its stdout."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "run_pipeline.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def make_bench(out: Path, n_knees: int) -> Path:
    """Makes cohort, store and bench, each unless it is there; returns the bench."""
    cohort, store, bench = out / "cohort", out / "knees.duckdb", out / "bench"
    if not cohort.exists():
        command("phantom", str(cohort), "--knees", str(n_knees), "--seed", "5")
    if not store.exists():
        set_splits(cohort / "cohort.csv")
        command("prepare", str(cohort), "--store", str(store))
    if not bench.exists():
        command("bench", "build", str(bench), "--store", str(store), "--name", "phantoms")
    return bench


def set_splits(path: Path) -> None:
    """Puts the first knees into the train split and the others into the test split."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["split"] = "train" if number < N_TRAIN else "test"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def make_config(out: Path) -> Path:
    """Makes the model and a settings file on a free port; returns the file."""
    model, config = out / "model", out / "tiny.toml"
    if not (model / "config.json").exists():
        subprocess.run(
            [
                *(str(CHECKOUT / ".venv-vllm/bin/python"), "-m", "tests.tiny_vision_model"),
                *("--out", str(model.resolve())),
            ],
            cwd=CHECKOUT,
            check=True,
        )
    text = CONFIG.read_text(encoding="utf-8").replace("8767", str(free_port()))
    config.write_text(text.replace(".cache/tiny-vision", str(model.resolve())), encoding="utf-8")
    return config


def run_all(out: Path, bench: Path, config: Path, limit: int) -> Iterator[Outcome]:
    """Puts the bench to the model in every setting; yields how each run ended."""
    for setting, control in RUNS:
        name = setting if control is None else f"{setting}-{control}"
        more = [] if control is None else ["--control", control]
        start = time.monotonic()
        told = command(
            *("bench", "run", str(bench), "--config", str(config), "--setting", setting, *more),
            *("--cohort-root", str(out / "cohort"), "--out", str(out / "predictions" / name)),
            *("--limit", str(limit), "--json"),
        )
        figures: dict[str, Any] = json.loads(told)
        seconds = time.monotonic() - start
        code = 1 if figures["statuses"]["failed"] else 0
        yield Outcome(name, code, seconds, figures["statuses"])


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--knees", type=int, default=14)
    parser.add_argument("--limit", type=int, default=210)
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    bench = make_bench(out, options.knees)
    path = make_config(out)
    config = load_bench_config(path)
    assert config.serve is not None
    with running_server(config.serve, config.model, out / "vllm.log") as server:
        print(f"server ready after {server.ready_s:.0f} s", flush=True)  # noqa: T201
        for outcome in run_all(out, bench, path, options.limit):
            print(  # noqa: T201
                f"{outcome.name}: {outcome.statuses}, {outcome.seconds:.0f} s", flush=True
            )
    folders = [str(out / "predictions" / (s if c is None else f"{s}-{c}")) for s, c in RUNS]
    for folder in folders:
        command("bench", "score", str(bench), folder)
    report = ("--out", str(out / "report"), "--cohort-root", str(out / "cohort"))
    command("bench", "report", str(bench), *folders, *report)
    print(out / "report" / "index.html")  # noqa: T201


if __name__ == "__main__":
    main()
