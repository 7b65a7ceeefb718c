"""Speed and memory of describing a volume: `python -m tests.bench_describe [--out FILE] [--write]`.

Every figure comes from a fresh process with one thread. "described" is `describe_volume` alone,
median of 10 after one warm-up; CPU seconds do not see what else the machine does, wall seconds do.
Peak memory is the process's, reading the files included. Workers: `prepare`'s own pool over a
cohort in which one knee stands several times, the start of the pool included.
"""

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from knee.anatomy import Side
from tests.benchmark_page import PAGE, write_section
from tests.real_data import PYMSKT
from tools.phantom.build import make_phantom
from tools.phantom.cohort import MANIFEST_COLUMNS, compress_nifti
from tools.phantom.grid import DESS_GRID

ROUNDS = 10
N_COPIES = 8
"""Volumes of the cohort that the workers describe."""
SEED = 7
LIMIT_SECONDS, LIMIT_BYTES, LIMIT_GAIN = 3.0, 1.2e9, 1.6


def make_knee(folder: Path) -> None:
    """Writes one sick phantom on OAI's DESS grid: `image.nii.gz`, `labels.nii.gz`."""
    made = make_phantom(SEED, Side.RIGHT, DESS_GRID, 0.6)
    (folder / "image.nii.gz").write_bytes(compress_nifti(made.image, made.affine))
    (folder / "labels.nii.gz").write_bytes(compress_nifti(made.label_map, made.affine))


def write_cohort_of_copies(folder: Path, n_copies: int) -> None:
    """Writes a manifest in which the knee of the folder stands several times, as links."""
    with (folder / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list[str](MANIFEST_COLUMNS))
        writer.writeheader()
        for number in range(n_copies):
            for name in ("image", "labels"):
                (folder / f"{name}{number}.nii.gz").hardlink_to(folder / f"{name}.nii.gz")
            cells = {
                "patient": f"P{number}",
                "visit": "V00",
                "side": "right",
                "sequence": "dess",
                "image": f"image{number}.nii.gz",
                "label_map": f"labels{number}.nii.gz",
                "scheme": "phantom",
                "synthetic": "true",
            }
            writer.writerow(dict.fromkeys(MANIFEST_COLUMNS, "") | cells)


def peak_bytes() -> float:
    """Returns this program's peak resident memory, from Linux's /proc.

    Not `ru_maxrss`: that one survives `exec` and would report the parent's.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024.0 * int(line.split()[1])


def describe_rounds(image: str, label_map: str, scheme: str, rounds: int) -> dict[str, float]:
    """Runs in the fresh process: reads once, describes `rounds` times."""
    from tools.describe import describe_volume
    from tools.segmentation import load_label_map, load_scheme
    from tools.volumes import load_volume

    started = time.process_time()
    labels = load_label_map(Path(label_map), load_scheme(scheme), Side.RIGHT)
    volume = load_volume(Path(image)) if image else None
    read = time.process_time() - started
    cpu: list[float] = []
    wall: list[float] = []
    for _ in range(rounds + 1):
        at, on = time.process_time(), time.perf_counter()
        describe_volume(volume, labels, "P/V00/right/dess")
        cpu.append(time.process_time() - at)
        wall.append(time.perf_counter() - on)
    return {
        "read": read,
        "cpu": median(cpu[1:]),
        "cpu_least": min(cpu[1:]),
        "wall": median(wall[1:]),
        "peak": peak_bytes(),
    }


def describe_cohort(folder: str, workers: int) -> dict[str, float]:
    """Runs in a fresh process: `prepare`'s pool over the cohort; wall seconds."""
    from stages.describing import DescribeSettings, describe_all
    from tools.cohort import load_cohort

    cohort = load_cohort(Path(folder))
    started = time.perf_counter()
    n_done = sum(1 for _ in describe_all(cohort, DescribeSettings(), workers))
    return {"wall": time.perf_counter() - started, "volumes": float(n_done)}


def fresh(*arguments: str) -> dict[str, float]:
    """Returns what this module prints when it is run anew with hidden arguments."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench_describe", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        sys.exit(f"a measurement failed:\n{done.stderr}")
    return json.loads(done.stdout)


def _verdict(holds: bool) -> str:
    return "holds" if holds else "MISSED"


def table(cases: Sequence[tuple[str, dict[str, float]]], gain: dict[int, float]) -> str:
    """Returns the figures as Markdown."""
    lines = [
        "| volume | read, CPU s | described, CPU s (least) | described, wall s | peak memory, MB "
        f"| bar: ≤ {LIMIT_SECONDS:g} s, ≤ {LIMIT_BYTES / 1e9:g} GB |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for name, seen in cases:
        holds = seen["cpu"] <= LIMIT_SECONDS and seen["peak"] <= LIMIT_BYTES
        lines.append(
            f"| {name} | {seen['read']:.2f} | {seen['cpu']:.2f} ({seen['cpu_least']:.2f}) | "
            f"{seen['wall']:.2f} | {seen['peak'] / 1e6:.0f} | {_verdict(holds)} |"
        )
    ratio = gain[1] / gain[2]
    lines += [
        "",
        f"| workers, {N_COPIES} volumes | wall s | volumes a minute |",
        "|---|--:|--:|",
        *(f"| {n} | {wall:.1f} | {60 * N_COPIES / wall:.0f} |" for n, wall in gain.items()),
        "",
        f"Two workers are {ratio:.2f} x as fast as one (bar: {LIMIT_GAIN:g}; "
        f"{_verdict(ratio >= LIMIT_GAIN)}). {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end, Python {platform.python_version()}.",
    ]
    return "\n".join(lines) + "\n"


def run(real_data: Path) -> str:
    """Measures everything and returns the table."""
    folder = Path(tempfile.mkdtemp())
    try:
        make_knee(folder)
        write_cohort_of_copies(folder, N_COPIES)
        places = {"image": str(folder / "image.nii.gz"), "labels": str(folder / "labels.nii.gz")}
        cases = [
            (
                "phantom, 384 x 384 x 160, image, 20 labels",
                fresh("--one", places["image"], places["labels"], "phantom"),
            )
        ]
        if (real_data / PYMSKT).is_file():
            cases.append(
                (
                    "real knee (pymskt), 384 x 384 x 160, no image, 10 labels",
                    fresh("--one", "", str(real_data / PYMSKT), "pymskt"),
                )
            )
        gain = {n: fresh("--cohort", str(folder), str(n))["wall"] for n in (1, 2)}
    finally:
        shutil.rmtree(folder)
    return table(cases, gain)


def main() -> None:
    """Prints or writes the table; hidden arguments run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Markdown file to write instead of stdout")
    parser.add_argument("--write", action="store_true", help=f"write its section of {PAGE}")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--cohort", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        image, label_map, scheme = chosen.one
        sys.stdout.write(json.dumps(describe_rounds(image, label_map, scheme, ROUNDS)))
        return
    if chosen.cohort:
        folder, workers = chosen.cohort
        sys.stdout.write(json.dumps(describe_cohort(folder, int(workers))))
        return
    default = Path(__file__).parents[1].parent / "shared" / "data"
    text = run(Path(os.environ.get("KNEE_REAL_DATA", default)))
    if chosen.write:
        write_section("bench-describe", "Describing a volume (`make bench-tools`)", text)
    if chosen.out is None:
        sys.stdout.write(text)
    else:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
