"""How good the rule-based grades are on phantoms: `make bench-tools`.

    .venv/bin/python -m tests.bench_tools [--knees 48] [--first-seed 9000] [--grid both|dess|coarse]
        [--draw continuous|clear] [--boxes 12] [--write]

Phantoms of held-out seeds are drawn (`tests.bench_phantoms`), described, and their rule-based
grades compared with the truth, component by component (`tests.bench_cases`). `moaks` and
`calibrated` bases are apart: the phantom's truth is made with the cut-offs that `calibrated` ones
imitate, so those figures are self-consistency (RULES 10). With `--write` the tables go into
docs/benchmarks.md, accuracy against margin into docs/images as CSV and picture. Phantoms and
results are kept under .cache/bench_tools by the hash of the code that made them.
Exit status 1 when a bar is missed.
"""

import argparse
import csv
import datetime
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from knee.calibration import Calibration, format_calibration, load_calibration
from knee.findings import MeasurementName
from knee.keys import canonical_json, content_hash
from knee.moaks import SCALES, Component, Feature, RuleBasis
from tests import bench_regions
from tests.bench_cases import Case, Unmeasured, compare, describe_knee
from tests.bench_phantoms import (
    CACHE,
    TRAINING_SEEDS,
    BenchKnee,
    Draw,
    draw_knee,
    plan,
    source_hash,
)
from tests.bench_scores import (
    accuracy_table,
    borderline_table,
    error_table,
    far,
    grouped,
    macro,
    margin_rows,
    missed_bars,
    of_basis,
)
from tests.benchmark_page import PAGE, write_section
from tests.phantom_maps import as_label_map
from tools.calibration_fit import CalibrationCase, fit_rule
from tools.knee_parts import KneeParts, measure_parts
from tools.lesions import WEDGE_DEPTH_MM, cut_wedges, measure_lesions

CALIBRATION = Path("configs/calibration-phantom.toml")
CURVE = Path("docs/images/bench-tools-margin")
CALIBRATED = {
    Feature.OSTEOPHYTE: MeasurementName.OSTEOPHYTE_PROTRUSION,
    Feature.EFFUSION_SYNOVITIS: MeasurementName.EFFUSION_VOLUME,
}
"""What the phantom's calibration has rules for."""
CALIBRATION_NAME = "phantom@2"
CALIBRATION_COMMENT = """Cut-offs of the phantom for what MOAKS gives no number for (RULES 10).

Fitted by `python -m tests.bench_tools --calibrate --first-seed 1000`: the phantom's truth has
cut-offs of its own (1, 3, 5 mm; 3, 7, 13 mL), so agreement is self-consistency, never accuracy.
For real knees they mean nothing; fit yours on train patients."""
DEPTHS = (0.75, 1.25)
"""Shares of the wedge's depth at which BML size is graded again (RULES 13)."""
Shift = tuple[int, int, int]
"""Of one knee: subregions with a lesion, and how many change their grade at either depth."""
Result = tuple[list[Case], list[Unmeasured], Shift]


def score_knee(knee: BenchKnee, calibration: Calibration) -> Result:
    """Returns the cases of one phantom, from the cache when no code has changed."""
    code = source_hash(
        "tools", "tools/phantom", "knee", *map(str, Path("tests").glob("bench_*.py"))
    )
    key = content_hash(canonical_json([code, calibration.model_dump(mode="json")]))
    path = CACHE / "results" / key.removeprefix("sha256:")[:12] / f"{knee.name}.pickle"
    if path.is_file():
        kept: Result = pickle.loads(path.read_bytes())
        return kept
    drawn = draw_knee(knee)
    cases, missing = compare(drawn, describe_knee(drawn, calibration))
    shift = (0, 0, 0)
    if knee.grid == "coarse":
        parts = measure_parts(as_label_map(drawn.labels, drawn.affine, knee.side))
        shift = _depth_shift(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps((cases, missing, shift)))
    return cases, missing, shift


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints or writes its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--knees", type=int, default=48)
    parser.add_argument("--first-seed", type=int, default=9000)
    parser.add_argument("--grid", choices=("both", "dess", "coarse"), default="both")
    parser.add_argument("--draw", type=Draw, choices=list(Draw), default=Draw.CONTINUOUS)
    parser.add_argument("--boxes", type=int, default=0, help="knees whose boxes are scored, too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--calibrate", action="store_true", help=f"fit {CALIBRATION} on these phantoms, and stop"
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE} and {CURVE}.*")
    options = parser.parse_args(arguments)
    knees = plan(options.knees, options.first_seed, options.grid, options.draw)
    cases, missing, shifts = _score_all(knees, options.workers)
    if options.calibrate:
        calibrate(knees, cases)
        return 0
    text = "\n\n".join((_setting(knees, cases), *_sections(cases, missing, shifts)))
    if options.boxes:
        seeds = range(options.first_seed, options.first_seed + options.boxes)
        table = bench_regions.region_table(bench_regions.score_knees(seeds))
        text += f"\n\n### Boxes against analytic regions, {options.boxes} knees\n\n{table}"
    sys.stdout.write(text + "\n")
    if options.write:
        write_section("bench-tools", "Rule-based grades on phantoms (`make bench-tools`)", text)
        write_curve(cases)
    missed = missed_bars(cases)
    for line in missed:
        sys.stderr.write(f"bar missed: {line}\n")
    return 1 if missed else 0


def calibrate(knees: Sequence[BenchKnee], cases: Sequence[Case], path: Path = CALIBRATION) -> None:
    """Fits the phantom's calibrated rules and writes them.

    Raises:
        InputError: a phantom is none of the training seeds', or a grade has too few cases.
    """
    seeds = f"seeds {knees[0].seed}-{knees[-1].seed}"
    split = {knee.name: "train" if knee.seed in TRAINING_SEEDS else "test" for knee in knees}
    rules = [
        fit_rule(
            feature,
            Component.GRADE,
            measurement,
            [
                CalibrationCase(case.knee, split[case.knee], case.value, case.true_grade)
                for case in cases
                if case.feature is feature
            ],
            f"training phantoms, {seeds}",
            datetime.datetime.now(datetime.UTC).date().isoformat(),
        )
        for feature, measurement in CALIBRATED.items()
    ]
    calibration = Calibration(name=CALIBRATION_NAME, rules=tuple(rules))
    path.write_text(format_calibration(calibration, CALIBRATION_COMMENT), encoding="utf-8")


def _score_all(
    knees: Sequence[BenchKnee], workers: int
) -> tuple[list[Case], list[Unmeasured], list[Shift]]:
    calibration = load_calibration(CALIBRATION)
    cases: list[Case] = []
    missing: list[Unmeasured] = []
    shifts: list[Shift] = []
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(score_knee, knees, [calibration] * len(knees))
        for number, (found, lacking, shift) in enumerate(results, start=1):
            cases += found
            missing += lacking
            shifts.append(shift)
            sys.stderr.write(f"\rknee {number}/{len(knees)}")
    sys.stderr.write("\n")
    return cases, missing, shifts


def _depth_shift(parts: KneeParts) -> Shift:
    """How many lesions' size grades change when the wedge is a quarter less or more deep."""
    rule = SCALES[Feature.BML, Component.SIZE].rule
    assert rule is not None
    changed = [0, 0]
    sick = {s: n for s, n in parts.lesions.items() if n.lesion_mm3 > 0}
    for place, share in enumerate(DEPTHS):
        for plate in parts.plates.values():
            wedges = cut_wedges(parts.knee, plate, parts.partition, WEDGE_DEPTH_MM * share)
            for subregion, numbers in measure_lesions(parts.knee, wedges).items():
                before = sick.get(subregion)
                if before is not None:
                    same = rule.grade(numbers.volume_share) == rule.grade(before.volume_share)
                    changed[place] += not same
    return len(sick), changed[0], changed[1]


def _setting(knees: Sequence[BenchKnee], cases: Sequence[Case]) -> str:
    grids = {grid: sum(k.grid == grid for k in knees) for grid in ("dess", "coarse")}
    shown = ", ".join(f"{n} on the {grid} grid" for grid, n in grids.items() if n)
    sick = len({c.knee for c in cases if not c.whole})
    return (
        f"{len(knees)} phantoms of seeds {knees[0].seed}–{knees[-1].seed} ({shown}; sides "
        f"alternate; {sick} with macerated menisci), grades balanced, extents drawn "
        f"`{knees[0].draw.value}`. {len(cases)} components with a rule-based grade. Macro means "
        "over true grades; intervals by bootstrap over knees. How a margin in voxels is counted: "
        "`tests/bench_cases.py`."
    )


def _sections(
    cases: Sequence[Case], missing: Sequence[Unmeasured], shifts: Sequence[Shift]
) -> list[str]:
    moaks = of_basis(cases, RuleBasis.MOAKS)
    own = of_basis(cases, RuleBasis.CALIBRATED)
    sections = [
        f"### Rule-based grade = true grade, `rule_basis = moaks`\n\n{accuracy_table(moaks)}",
        f"### `calibrated`: self-consistency, not accuracy\n\n{accuracy_table(own)}",
        f"### `moaks`, ≥ 1 voxel from a threshold, by setting\n\n{_strata(moaks)}",
        f"### Errors and stated uncertainty\n\n{error_table(cases)}",
        f"### `borderline`\n\n{borderline_table(cases)}",
        f"### Depth of the BML wedge\n\n{_depth_text(shifts)}",
    ]
    counts = {f"{f.value} {c.value}": 0 for f, c in {(m.feature, m.component) for m in missing}}
    for lacking in missing:
        counts[f"{lacking.feature.value} {lacking.component.value}"] += 1
    if counts:
        listed = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
        sections.append(f"Not measurable though the truth is known: {listed}.")
    return sections


def _strata(cases: Sequence[Case]) -> str:
    head = "| knees | " + " | ".join(f"{f.value} {c.value}" for f, c in grouped(cases)) + " |"
    rows = [head, "|---|" + "--:|" * len(grouped(cases))]
    strata = {
        "dess grid": [c for c in cases if c.grid == "dess"],
        "coarse grid": [c for c in cases if c.grid == "coarse"],
        "menisci whole": [c for c in cases if c.whole],
        "menisci macerated": [c for c in cases if not c.whole],
    }
    for name, group in strata.items():
        by_key = grouped(far(group))
        values = [macro(by_key.get(key, [])) for key in grouped(cases)]
        shown = " | ".join("NA" if v is None else f"{v:.3f}" for v in values)
        rows.append(f"| {name} | {shown} |")
    return "\n".join(rows)


def _depth_text(shifts: Sequence[Shift]) -> str:
    total, less, more = np.asarray(shifts, np.int64).sum(axis=0)
    if total == 0:
        return "NA: no knee on the coarse grid."
    return (
        f"{WEDGE_DEPTH_MM:.0f} mm, the phantom's and the measuring code's. Of {total} subregions "
        f"with a lesion (coarse grid), the size grade changes in {100 * less / total:.0f} % at "
        f"{DEPTHS[0]:.0%} of that depth and in {100 * more / total:.0f} % at {DEPTHS[1]:.0%} "
        f"({MeasurementName.BML_VOLUME_SHARE.value}; the phantom draws no lesion deeper)."
    )


def write_curve(cases: Sequence[Case], stem: Path = CURVE) -> None:
    """Writes accuracy against margin as `<stem>.csv` and `<stem>.png`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = margin_rows(cases)
    stem.parent.mkdir(parents=True, exist_ok=True)
    with stem.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True)
    for axis, basis in zip(axes, (RuleBasis.MOAKS, RuleBasis.CALIBRATED), strict=True):
        for feature, component in grouped(of_basis(cases, basis)):
            mine = [r for r in rows if (r["feature"], r["component"]) == (feature, component)]
            if not mine:
                continue  # Counts have no margin.
            place = [(float(r["voxels_from"]) + min(float(r["voxels_to"]), 7)) / 2 for r in mine]
            right = [float(r["right"]) for r in mine]
            axis.plot(place, right, marker="o", label=f"{feature.value} {component.value}")
        axis.axvline(1.0, color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(f"rule_basis = {basis.value}")
        axis.set_xlabel("true extent's distance from the nearest threshold, voxels")
        axis.legend(fontsize=8)
    axes[0].set_ylabel("grade right, share of cases")
    axes[0].set_ylim(0, 1.02)
    figure.tight_layout()
    figure.savefig(stem.with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    sys.exit(main())
