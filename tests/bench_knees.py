"""A small bench made by hand: knees of noise in several storage orders, with boxes and grades."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.bench_files import write_bench
from eval.bench_records import (
    FORMAT_VERSION,
    BenchBaselines,
    BenchComponent,
    BenchItem,
    BenchManifest,
    BenchPart,
    BenchVolume,
)
from knee.findings import BoxSource
from knee.geometry import voxel_box
from knee.questions import QUESTIONS
from tests.small_knee import stored_as, write_nifti
from tools.volumes import canonical_box_to_stored, load_volume

SHAPE = (24, 48, 40)
AFFINE = np.diag([0.7, 0.365, 0.365, 1.0])
BOX = voxel_box(6, 12, 10, 22, 14, 20)
"""In canonical indices."""
QUESTION_IDS = (4, 19, 40, 42, 43, 45, 49, 54, 58)
"""Features with one, two and three components; sagittal, axial and coronal ones."""


def bench_volume(folder: Path, patient: str, *, codes: str = "RAS", seed: int = 0) -> BenchVolume:
    """Writes a knee's image and returns its volume."""
    array = np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)
    path = write_nifti(folder / f"{patient}.nii.gz", *stored_as(array, AFFINE, codes))
    read = load_volume(path)
    return BenchVolume(
        volume_id=f"{patient}/V00/right/dess",
        patient=patient,
        visit="V00",
        side="right",
        sequence="dess",
        shape=read.shape,
        affine=read.affine_rows,
        image=path.name,
        image_sha256=read.sha256,
        mask_source="phantom",
        segmenter=None,
        segmenter_trained_on=None,
        licence="CC0-1.0",
        restricted=False,
        image_licence=None,
        synthetic=True,
    )


def bench_items(
    volume: BenchVolume, folder: Path, question_ids: Sequence[int] = QUESTION_IDS
) -> list[BenchItem]:
    """Returns a volume's items; grades run through the scales."""
    assert volume.image is not None
    box = canonical_box_to_stored(BOX, load_volume(folder / volume.image))
    items: list[BenchItem] = []
    for number in question_ids:
        question = QUESTIONS[number]
        components: list[BenchComponent] = []
        for component in question.components:
            grades = question.scale(component).grades
            grade = grades[(number + int(volume.patient[1:])) % len(grades)]
            components.append(
                BenchComponent(
                    component=component,
                    grade=grade,
                    accepted=(grade,),
                    readprj=("65",),
                    parts=(BenchPart.BALANCED,) if number % 2 else (),
                )
            )
        items.append(
            BenchItem(
                volume_id=volume.volume_id,
                question_id=number,
                box=box if question.has_region else None,
                box_source=BoxSource.MASK if question.has_region else None,
                box_reason=None if question.has_region else "no region",
                components=tuple(components),
            )
        )
    return items


def write_small_bench(
    folder: Path,
    *,
    codes: Sequence[str] = ("RAS", "PIR", "LPS"),
    question_ids: Sequence[int] = QUESTION_IDS,
) -> Path:
    """Writes `folder/cohort` with images and `folder/bench`; returns the bench."""
    cohort, bench = folder / "cohort", folder / "bench"
    cohort.mkdir(parents=True)
    bench.mkdir()
    volumes = [
        bench_volume(cohort, f"B{number:03}", codes=code, seed=number)
        for number, code in enumerate(codes)
    ]
    items = [item for volume in volumes for item in bench_items(volume, cohort, question_ids)]
    manifest = BenchManifest(
        format_version=FORMAT_VERSION,
        bench_id="",
        name="small",
        files={},
        n_volumes=len(volumes),
        n_patients=len(volumes),
        n_items=len(items),
        n_components={"all": sum(len(item.components) for item in items)},
        seed=0,
        policies=(),
        definitions=(),
        synthetic=True,
        statements=(),
    )
    baselines = BenchBaselines(n_volumes=0, n_patients=0, mean_boxes=(), grades=())
    write_bench(bench, manifest, volumes, items, baselines)
    return bench
