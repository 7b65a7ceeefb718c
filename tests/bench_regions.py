"""How well boxes meet the phantom's analytic regions: IoU by feature and source.

    .venv/bin/python -m tests.bench_regions [--knees 40] [--first-seed 9000] [--grid coarse|dess]

Every phantom is described twice: from its whole label map, and from one without ligaments, tendons,
fat pad, fluid and menisci, so that boxes that are otherwise taken from a mask must be derived from
the bones. Subregions then follow the rules for maps without menisci (60 % rule, equal thirds), and
so does the truth that they are held against; a meniscus that the map does not show counts as in
place. The truth comes from `tools.phantom.regions`, which
knows shapes and no voxel. Seeds from 9000 are held out; 1000 to 1999 are for tuning.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from knee.anatomy import Side, Structure
from knee.findings import BoxSource
from knee.geometry import intersection_over_union
from knee.moaks import Feature
from knee.questions import QUESTIONS
from tests.benchmark_page import PAGE, write_section
from tools.boxes import region_box
from tools.knee_parts import measure_parts
from tools.phantom import regions as truth
from tools.phantom.bone_rules import without_menisci
from tools.phantom.build import build_knee
from tools.phantom.grid import DEMO_GRID, DESS_GRID, Grid
from tools.phantom.model import KneeModel
from tools.phantom.pathology import draw_pathology
from tools.phantom.raster import rasterise
from tools.phantom.sick_knee import SickKnee
from tools.phantom.tissues import label_lookup
from tools.region_boxes import NoBox, place_box
from tools.segmentation import LabelMap, Scheme, label_map_from_volume, load_scheme
from tools.volumes import make_volume, stored_box_to_canonical

Variant = Literal["whole map", "bones and cartilage"]
"""What the label map holds."""
VARIANTS: tuple[Variant, Variant] = ("whole map", "bones and cartilage")
BAR = 0.80
"""The least mean IoU asked for, `partition` and `derived` boxes apart."""
_REMOVED = frozenset(
    {
        Structure.MEDIAL_MENISCUS,
        Structure.LATERAL_MENISCUS,
        Structure.ACL,
        Structure.PCL,
        Structure.PATELLAR_TENDON,
        Structure.QUADRICEPS_TENDON,
        Structure.HOFFA_FAT_PAD,
        Structure.JOINT_FLUID,
    }
)
_GRIDS = {"coarse": DEMO_GRID, "dess": DESS_GRID}


@dataclass(frozen=True)
class BoxScore:
    """One box against its analytic region.

    Attributes:
        seed: of the phantom.
        variant: what the label map held.
        question_id: 1-62.
        source: where the box came from; None when there was none.
        iou: in the stored voxel frame; 0 without a box.
        truncated: (box, truth) said to be cut off by the field of view.
    """

    seed: int
    variant: Variant
    question_id: int
    source: BoxSource | None
    iou: float
    truncated: tuple[bool, bool]

    @property
    def feature(self) -> Feature:
        """The question's feature."""
        return QUESTIONS[self.question_id].feature


def score_knee(seed: int, side: Side, grid: Grid = DEMO_GRID) -> list[BoxScore]:
    """Returns the scores of all boxes of one phantom with balanced grades, both variants."""
    knee = build_knee(seed, side, draw_pathology(seed, "balanced"))
    labels = label_lookup()[rasterise(knee, grid)]
    scheme = load_scheme("phantom")
    scores: list[BoxScore] = []
    for variant in VARIANTS:
        shown, named = labels, scheme
        if variant == "bones and cartilage":
            gone = [n for n, s in scheme.labels.items() if s in _REMOVED]
            shown = np.where(np.isin(labels, gone), 0, labels).astype(np.uint8)
            kept = {n: s for n, s in scheme.labels.items() if s not in _REMOVED}
            named = Scheme.model_validate({**scheme.model_dump(), "labels": kept})
        volume = make_volume(shown, grid.affine, Path("phantom.nii.gz"), f"sha256:{seed}")
        label_map = label_map_from_volume(volume, named, side)
        model = knee.model if variant == "whole map" else without_menisci(knee.model)
        scores += _score_map(label_map, variant, seed, knee, model, grid)
    return scores


def _score_map(
    label_map: LabelMap,
    variant: Variant,
    seed: int,
    knee: SickKnee,
    model: KneeModel,
    grid: Grid,
) -> list[BoxScore]:
    parts = measure_parts(label_map)
    scores: list[BoxScore] = []
    for question in QUESTIONS.values():
        if not question.has_region:
            continue
        extrusion = knee.meniscus_state.extrusion if variant == "whole map" else None
        expected = truth.region_box(model, grid, truth.find_region(model, question, extrusion))
        if expected is None:
            continue
        wanted = stored_box_to_canonical(expected[0], label_map.volume)
        found = region_box(parts, question)
        placed = None if isinstance(found, NoBox) else place_box(parts, found)
        number = question.question_id
        if placed is None or isinstance(found, NoBox):
            scores.append(BoxScore(seed, variant, number, None, 0.0, (False, expected[1])))
            continue
        iou = intersection_over_union(placed[0], wanted)
        cut = (placed[1], expected[1])
        scores.append(BoxScore(seed, variant, number, found.source, iou, cut))
    return scores


def score_knees(seeds: Iterable[int], grid: Grid = DEMO_GRID) -> list[BoxScore]:
    """Returns the scores of many phantoms; even seeds are right knees, odd ones left."""
    scores: list[BoxScore] = []
    for seed in seeds:
        scores += score_knee(seed, Side.LEFT if seed % 2 else Side.RIGHT, grid)
    return scores


def mean_over_boxes(scores: Sequence[BoxScore]) -> dict[BoxSource, float]:
    """Returns the mean IoU of all boxes of a source: what the bar is about."""
    grouped: dict[BoxSource, list[float]] = defaultdict(list)
    for score in scores:
        if score.source is not None:
            grouped[score.source].append(score.iou)
    return {source: float(np.mean(values)) for source, values in grouped.items()}


def mean_by_source(scores: Sequence[BoxScore]) -> dict[BoxSource, float]:
    """Returns the mean over features of the mean IoU, source by source.

    Macro over features: 15 boxes of one feature do not outweigh the one of another.
    """
    grouped: dict[BoxSource, dict[Feature, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if score.source is not None:
            grouped[score.source][score.feature].append(score.iou)
    return {
        source: float(np.mean([np.mean(values) for values in features.values()]))
        for source, features in grouped.items()
    }


def region_table(scores: Sequence[BoxScore]) -> str:
    """Returns a Markdown table: mean, 5th percentile and number of boxes by feature and source."""
    rows: dict[tuple[Feature, BoxSource | None], list[BoxScore]] = defaultdict(list)
    for score in scores:
        rows[score.feature, score.source].append(score)
    lines = [
        "| feature | source | boxes | mean IoU | 5th percentile | lowest question |",
        "|---|---|--:|--:|--:|---|",
    ]
    for feature in Feature:
        for source in (*BoxSource, None):
            group = rows.get((feature, source))
            if group:
                lines.append(_row(feature, source, group))
    macro = mean_by_source(scores)
    for source, mean in mean_over_boxes(scores).items():
        lines.append(f"| all boxes | {source.value} | | {mean:.3f} | | |")
        lines.append(f"| macro over features | {source.value} | | {macro[source]:.3f} | | |")
    return "\n".join(lines)


def _row(feature: Feature, source: BoxSource | None, group: Sequence[BoxScore]) -> str:
    ious = [score.iou for score in group]
    by_question: dict[int, list[float]] = defaultdict(list)
    for score in group:
        by_question[score.question_id].append(score.iou)
    worst = min(by_question, key=lambda q: float(np.mean(by_question[q])))
    name = "no box" if source is None else source.value
    return (
        f"| {feature.value} | {name} | {len(group)} | {np.mean(ious):.3f} | "
        f"{np.percentile(ious, 5):.3f} | {QUESTIONS[worst].site} "
        f"{np.mean(by_question[worst]):.2f} |"
    )


def question_table(scores: Sequence[BoxScore]) -> str:
    """Returns a Markdown table with the mean IoU of every question, variant and source."""
    rows: dict[tuple[int, Variant, BoxSource | None], list[float]] = defaultdict(list)
    for score in scores:
        rows[score.question_id, score.variant, score.source].append(score.iou)
    lines = ["| question | region | map | source | n | mean IoU |", "|--:|---|---|---|--:|--:|"]
    for (number, variant, source), ious in sorted(rows.items(), key=lambda item: str(item[0])):
        name = "no box" if source is None else source.value
        lines.append(
            f"| {number} | {QUESTIONS[number].region} | {variant} | {name} | {len(ious)} | "
            f"{np.mean(ious):.3f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--knees", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=9000)
    parser.add_argument("--grid", choices=tuple(_GRIDS), default="coarse")
    parser.add_argument("--questions", action="store_true", help="one row a question, too")
    parser.add_argument("--write", action="store_true", help=f"write its section of {PAGE}")
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.knees)
    scores = score_knees(seeds, _GRIDS[options.grid])
    found = region_table(scores)
    sys.stdout.write(found + "\n")
    if options.write:
        which = f"{options.knees} phantoms of seeds {seeds[0]}-{seeds[-1]}, {options.grid} grid."
        write_section(
            f"bench-regions-{options.grid}",
            f"Boxes against analytic regions, {options.grid} grid (`make bench-tools`)",
            f"{which} How they are made and held: docs/regions.md.\n\n{found}",
        )
    if options.questions:
        sys.stdout.write("\n" + question_table(scores) + "\n")
    means = mean_over_boxes(scores)
    missed = [s for s in (BoxSource.PARTITION, BoxSource.DERIVED) if means.get(s, 0.0) < BAR]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
