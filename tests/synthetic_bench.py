"""Benches and predictions drawn by chance, without a store, a knee or a model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from eval.bench_files import Bench, read_bench, write_bench
from eval.bench_records import (
    FORMAT_VERSION,
    AnswerStatus,
    BenchBaselines,
    BenchComponent,
    BenchControl,
    BenchItem,
    BenchManifest,
    BenchPart,
    BenchVolume,
    Coordinates,
    PredictedGrade,
    Prediction,
    PredictionRun,
    SentSlice,
    Setting,
    TrainGrades,
)
from eval.mean_boxes import SidedBox, grid_of, mean_boxes
from knee.calls import PromptRef
from knee.findings import BoxSource
from knee.geometry import Box3D, voxel_box
from knee.keys import content_hash
from knee.moaks import RuleBasis
from knee.questions import QUESTIONS, Question

SHAPE = (96, 90, 40)
AFFINE = ((0.0, 0.0, 0.7, -10.0), (-0.4, 0.02, 0.0, 5.5), (0.01, -0.4, 0.0, 3.25), (0, 0, 0, 1.0))
"""Stored as PIR, a little oblique: sagittal slices along the last axis."""
Answer = Callable[[BenchVolume, BenchItem], Prediction]
"""A scripted model."""


def make_bench(
    folder: Path,
    *,
    n_patients: int = 12,
    question_ids: Sequence[int] = (1, 16, 19, 30, 44, 48, 54, 58),
    visits: Sequence[str] = ("V00",),
    seed: int = 0,
    synthetic: bool = True,
) -> Bench:
    """Writes and returns a bench: two reading projects, every box source, a few ambiguous reads."""
    rng = np.random.default_rng(seed)
    volumes = [
        _volume(f"p{number:04}", visit, number, synthetic=synthetic)
        for number in range(n_patients)
        for visit in visits
    ]
    folder.mkdir(parents=True)

    def items() -> Iterator[BenchItem]:
        for volume in volumes:
            for question_id in question_ids:
                yield _item(volume.volume_id, QUESTIONS[question_id], rng)

    manifest = BenchManifest(
        format_version=FORMAT_VERSION,
        bench_id="",
        name="made",
        files={},
        n_volumes=len(volumes),
        n_patients=n_patients,
        n_items=len(volumes) * len(question_ids),
        n_components={},
        seed=0,
        policies=("agree_or_conflict",),
        definitions=(),
        synthetic=synthetic,
        statements=("Made by chance.",),
    )
    write_bench(folder, manifest, volumes, items(), _baselines(question_ids, seed))
    return read_bench(folder)


def _volume(patient: str, visit: str, number: int, *, synthetic: bool) -> BenchVolume:
    return BenchVolume(
        volume_id=f"{patient}/{visit}/right/dess",
        patient=patient,
        visit=visit,
        side="right",
        sequence="dess",
        shape=SHAPE,
        affine=AFFINE,
        image="image.nii.gz",
        image_sha256=content_hash(patient),
        mask_source="made",
        segmenter="nobody",
        segmenter_trained_on=(True, False, None)[number % 3],
        licence="CC0-1.0",
        image_licence=None,
        restricted=False,
        synthetic=synthetic,
    )


def _item(volume_id: str, question: Question, rng: np.random.Generator) -> BenchItem:
    source = list(BoxSource)[question.question_id % 3] if question.has_region else None
    return BenchItem(
        volume_id=volume_id,
        question_id=question.question_id,
        box=_box(rng) if question.has_region else None,
        box_source=source,
        box_reason=None if question.has_region else "no region",
        components=tuple(_components(question, rng)),
    )


def _box(rng: np.random.Generator) -> Box3D:
    lower, size = rng.integers((20, 20, 8), (40, 40, 16)), rng.integers(6, (31, 31, 16))
    i0, j0, k0 = (int(value) for value in lower)
    i1, j1, k1 = (int(value) for value in lower + size)
    return voxel_box(i0, i1, j0, j1, k0, k1)


def _components(question: Question, rng: np.random.Generator) -> Iterator[BenchComponent]:
    for component in question.components:
        grades = question.scale(component).grades
        grade = int(rng.choice(grades, p=_skewed(len(grades))))
        draw = rng.random(3)
        other = int(rng.choice([one for one in grades if one != grade]))
        accepted = tuple(sorted((grade, other))) if draw[0] < 0.1 else (grade,)
        part = BenchPart.BALANCED if draw[1] < 0.5 else None
        part = BenchPart.AMBIGUOUS if len(accepted) > 1 else part
        yield BenchComponent(
            component=component,
            grade=grade if len(accepted) == 1 else None,
            accepted=accepted,
            readprj=("15",) if draw[2] < 0.6 else ("15", "22"),
            parts=() if part is None else (part,),
            rule_grade=min(grade + int(draw[2] > 0.8), grades[-1]) if draw[1] < 0.8 else None,
            rule_basis=RuleBasis.MOAKS,
        )


def _skewed(n: int) -> list[float]:
    """Grade 0 as often as on real knees, nearly."""
    return [0.6] + [0.4 / (n - 1)] * (n - 1)


def _baselines(question_ids: Sequence[int], seed: int) -> BenchBaselines:
    rng = np.random.default_rng(seed + 1)
    grid = grid_of(SHAPE, AFFINE)
    regions = [q for q in question_ids if QUESTIONS[q].has_region]
    boxes = [SidedBox(q, "right", _box(rng), grid) for q in regions for _ in range(5)]
    grades = [
        TrainGrades(
            question_id=question_id,
            component=component,
            counts={
                g: int(rng.integers(1, 40)) for g in QUESTIONS[question_id].scale(component).grades
            },
        )
        for question_id in question_ids
        for component in QUESTIONS[question_id].components
    ]
    return BenchBaselines(
        n_volumes=5, n_patients=5, mean_boxes=mean_boxes(boxes), grades=tuple(grades)
    )


def make_run(
    bench: Bench, setting: Setting = Setting.LOCALISE, model: str = "made"
) -> PredictionRun:
    """Returns the identity of a scripted run."""
    return PredictionRun(
        format_version=FORMAT_VERSION,
        bench_id=bench.manifest.bench_id,
        model=model,
        licence="none",
        setting=setting,
        control=BenchControl.NONE,
        prompt=PromptRef(prompt_id="bench", version=1, sha256=content_hash("x")),
        coordinates=Coordinates.VOXELS,
        images="{}",
        sampling={},
        schema_constrained=True,
        n_items=bench.manifest.n_items,
    )


def write_predictions(
    folder: Path, bench: Bench, answer: Answer, *, setting: Setting = Setting.LOCALISE
) -> Path:
    """Writes what a scripted model answers to every item; returns the folder."""
    folder.mkdir(parents=True)
    run = make_run(bench, setting, folder.name)
    (folder / "run.json").write_text(run.model_dump_json(), encoding="utf-8")
    with (folder / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for item in bench.items():
            prediction = answer(bench.volumes[item.volume_id], item)
            file.write(prediction.model_dump_json() + "\n")
    return folder


def answered(
    item: BenchItem,
    grade_of: Callable[[BenchComponent], int | None],
    box: Box3D | None = None,
    *,
    reasoning: str | None = None,
    slices: Sequence[int] = (),
) -> Prediction:
    """Returns an answer with these grades; None is a grade that could not be read."""
    grades: list[PredictedGrade] = []
    for one in item.components:
        grade = grade_of(one)
        reason = "no_grade: made so" if grade is None else None
        grades.append(PredictedGrade(component=one.component, grade=grade, reason=reason))
    return Prediction(
        item_id=item.item_id,
        status=AnswerStatus.ANSWERED,
        grades=tuple(grades),
        box=box,
        reasoning=reasoning,
        slices=tuple(
            SentSlice(plane="sagittal", index=index, sha256=content_hash(str(index)))
            for index in slices
        ),
    )


def failed(item: BenchItem) -> Prediction:
    """Returns an item to which no answer came."""
    return Prediction(item_id=item.item_id, status=AnswerStatus.FAILED, error="timeout")


def perfect(volume: BenchVolume, item: BenchItem) -> Prediction:
    """A model that is always right."""
    return answered(item, lambda one: one.accepted[0], item.box, slices=range(SHAPE[2]))
