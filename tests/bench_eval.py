"""Time and memory of `bench score` on as many predictions as the released data set has items.

    python -m tests.bench_eval [--volumes 7970] [--slices 32] [--write]

494,140 items (7,970 volumes of 2,666 patients, 62 questions), one prediction each, with a box, a
text and the list of slices that were sent. Everything is drawn by chance: only time, memory and a
few figures that chance must give are looked at. Bars: 60 s and 2 GB on 2 cores.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.bench_files import CONTENT_FILES, bench_id_of, read_bench
from knee.keys import JsonValue, canonical_json, content_hash
from knee.questions import N_WITH_REGION, QUESTIONS
from tests.benchmark_page import write_section
from tests.demo_run import CHECKOUT
from tests.synthetic_bench import SHAPE, make_bench, make_run

N_VOLUMES, N_PATIENTS = 7_970, 2_666
SECONDS, GIGABYTES = 60.0, 2.0
_TEXT = "The region shows an area of altered signal; its extent is judged on the slices shown. "


class Measured(NamedTuple):
    """What one scoring took."""

    wall_s: float
    cpu_s: float
    max_gb: float


def main() -> int:
    """Makes bench and predictions in a folder that goes away, scores them, and tells the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=N_VOLUMES)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_items, n_bytes = _make(folder, options.volumes, options.slices)
        measured = _score(folder)
        scores = json.loads((folder / "predictions" / "scores.json").read_bytes())
    text = _page(measured, scores, n_items, n_bytes, options.slices)
    print(text)  # noqa: T201 - a benchmark's own page
    if options.write:
        write_section("bench-eval", "Scoring ReasonKnee-Bench", text)
    # One process does the work: its seconds of CPU are the wall seconds of idle cores.
    return 0 if measured.cpu_s <= SECONDS and measured.max_gb <= GIGABYTES else 1


def _make(folder: Path, n_volumes: int, n_slices: int) -> tuple[int, int]:
    """Writes a bench and predictions line by line; returns items and bytes of the predictions."""
    questions = tuple(range(1, N_WITH_REGION + 1))
    small = make_bench(folder / "small", n_patients=1, question_ids=questions)
    templates = [json.loads(item.model_dump_json()) for item in small.items()]
    n_patients = max(1, n_volumes * N_PATIENTS // N_VOLUMES)
    bench = folder / "bench"
    bench.mkdir()
    volume = json.loads(next(iter(small.volumes.values())).model_dump_json())
    ids = sorted(f"p{n % n_patients:05}/V{n // n_patients:02}/right/dess" for n in range(n_volumes))
    with (bench / "volumes.jsonl").open("w") as file:
        for one in ids:
            patient, visit, *_ = one.split("/")
            named = {**volume, "volume_id": one, "patient": patient, "visit": visit}
            file.write(canonical_json(named) + "\n")
    n_items = 0
    predictions = folder / "predictions"
    predictions.mkdir()
    shown = np.linspace(4, SHAPE[2] - 4, n_slices).round().astype(int).tolist()
    slices = [{"plane": "sagittal", "index": i, "sha256": content_hash(str(i))} for i in shown]
    with (
        (bench / "items.jsonl").open("w") as items,
        (predictions / "predictions.jsonl").open("w") as answers,
    ):
        for item, answer in _lines(ids, templates, slices):
            items.write(canonical_json(item) + "\n")
            answers.write(json.dumps(answer) + "\n")
            n_items += 1
    _finish(bench, small.folder, n_items)
    run = make_run(read_bench(bench))
    (predictions / "run.json").write_text(run.model_dump_json(), encoding="utf-8")
    return n_items, (predictions / "predictions.jsonl").stat().st_size


def _lines(
    ids: list[str], templates: list[dict[str, Any]], slices: JsonValue
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yields every item and its answer; some answers fail, some have no grade or no box."""
    rng = np.random.default_rng(0)
    for volume_id in ids:
        for template in templates:
            question = QUESTIONS[template["question_id"]]
            draws = rng.random((len(template["components"]) + 1, 3))
            components: list[dict[str, Any]] = []
            grades: list[dict[str, Any]] = []
            for draw, component in zip(draws, template["components"], strict=False):
                n = len(question.scale(component["component"]).grades)
                grade = max(0, int((draw[0] * 2.5 - 1.5) * n))
                parts = ["balanced"] if draw[2] < 0.1 else []
                components.append(
                    {**component, "grade": grade, "accepted": [grade], "parts": parts}
                )
                answer = int(draw[1] * n) if draw[2] < 0.97 else None
                reason = "no_grade: made so" if answer is None else None
                grades.append(
                    {"component": component["component"], "grade": answer, "reason": reason}
                )
            item = {**template, "volume_id": volume_id, "components": components}
            yield item, _answer(item, grades, slices, draws[-1])


def _answer(
    item: dict[str, Any],
    grades: list[dict[str, Any]],
    slices: JsonValue,
    draw: Any,  # noqa: ANN401
) -> dict[str, Any]:
    item_id = f"{item['volume_id']}#{item['question_id']}"
    if draw[0] < 0.02:
        return {"item_id": item_id, "status": "failed", "error": "timeout", "slices": slices}
    lower, upper = item["box"]["lower"], item["box"]["upper"]
    shift = int(draw[1] * 5)
    box = {
        "frame": "voxel_ijk",
        "lower": [value + shift for value in lower],
        "upper": [value + shift for value in upper],
    }
    return {
        "item_id": item_id,
        "status": "answered",
        "grades": grades,
        "box": box if draw[2] < 0.95 else None,
        "box_reason": None if draw[2] < 0.95 else "no_box: made so",
        "reasoning": _TEXT,
        "text": _TEXT + json.dumps(grades),
        "finish_reason": "stop",
        "image_volume_id": item["volume_id"],
        "slices": slices,
        "usage": {"prompt_tokens": 4000, "completion_tokens": 60, "latency_s": 0.8},
    }


def _finish(bench: Path, small: Path, n_items: int) -> None:
    """Writes what is left of the bench: baselines, readers, and a manifest that fits."""
    for name in ("baselines.json", "readers.json"):
        (bench / name).write_bytes((small / name).read_bytes())
    files = {name: content_hash((bench / name).read_bytes()) for name in CONTENT_FILES}
    manifest = json.loads((small / "manifest.json").read_bytes())
    manifest = {**manifest, "files": files, "bench_id": bench_id_of(files), "n_items": n_items}
    (bench / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _score(folder: Path) -> Measured:
    command = [sys.executable, "run_pipeline.py", "bench", "score"]
    command += [str(folder / "bench"), str(folder / "predictions")]
    start = time.monotonic()
    subprocess.run(command, cwd=CHECKOUT, check=True, stderr=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(
        time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9
    )


def _page(
    measured: Measured, scores: dict[str, Any], n_items: int, n_bytes: int, n_slices: int
) -> str:
    kappas = [
        figure
        for row in scores["grading"]
        if row["stratum"]["dimension"] == "all"
        for figure in row["figures"]
        if figure["metric"] == "quadratic_weighted_kappa"
        and figure["form"] == "scored"
        and figure["over"] == "all"
    ]
    around = sum(figure["low"] <= 0 <= figure["high"] for figure in kappas)
    n_intervals = sum(
        figure["low"] is not None
        for part in ("grading", "localisation")
        for row in scores[part]
        for figure in row["figures"]
    )
    rows = f"{len(scores['grading'])} rows of grading and {len(scores['localisation'])} of boxes"
    n_patients = scores["items"]["n_patients"]
    return f"""`make bench-eval` (`tests/bench_eval.py`): {n_items:,} predictions of
{n_patients:,} patients, setting `localise`, each with a text, a box and {n_slices}
slices that were sent ({n_bytes / 1e9:.2f} GB of lines); {rows}, with
{n_intervals:,} intervals from {scores["n_resamples"]:,} resamples of patients. Bars:
{SECONDS:.0f} s and {GIGABYTES:.0f} GB on 2 cores.

| | measured |
|---|--:|
| CPU seconds of the process, all threads | {measured.cpu_s:.1f} |
| wall seconds | {measured.wall_s:.1f} |
| most memory | {measured.max_gb:.2f} GB |

Answers are drawn by chance: {around} of {len(kappas)} kappas have 0 in their interval (95 % are
expected to). {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f} (on a loaded machine
wall seconds say little), Python {platform.python_version()}, numpy {np.__version__}."""


if __name__ == "__main__":
    sys.exit(main())
