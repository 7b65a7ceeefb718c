"""A knee's meniscus that only the image shows, its image in a file, and drafts on it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agents.slice_source import ImageFile, SliceSource
from knee.findings import BoxSource, ComponentEvidence, EvidenceLevel, Finding
from knee.geometry import voxel_box
from knee.grades import ClinicianGrade, GradeStatus
from knee.keys import JsonValue
from knee.moaks import Component
from knee.questions import question_by_region
from knee.records import Item
from knee.run_config import ImageSettings
from store.writer import StoreWriter
from tests.small_knee import stored_as, write_nifti
from tests.store_records import findings, volume
from tools.volumes import load_volume

QUESTION = question_by_region("morphology:medial_meniscus_posterior")
"""Read in sagittal and coronal slices."""
SHAPE = (24, 48, 40)
BOX = (6, 12, 10, 22, 14, 20)
AFFINE = np.diag([0.7, 0.365, 0.365, 1.0])


@dataclass
class ImageKnee:
    """One knee with its image file."""

    item: Item
    path: Path
    source: SliceSource
    files: dict[str, ImageFile] = field(default_factory=dict[str, ImageFile])


def write_image(path: Path, *, seed: int = 0, codes: str = "RAS") -> Path:
    """Writes a made-up image and returns its path."""
    array = np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)
    return write_nifti(path, *stored_as(array, AFFINE, codes))


def image_item(number: int = 1, *, grade: int = 0, sees_images: bool = True) -> Item:
    """Returns patient `number`'s item; the clinician read `grade`."""
    patient = f"I{number:04}"
    return Item(
        volume_id=f"{patient}/V00/right/dess",
        question_id=QUESTION.question_id,
        findings_id=f"findings-{number}",
        side="right",
        visit="V00",
        sequence="dess",
        slice_axis=0,
        shape=SHAPE,
        finding=Finding(
            question_id=QUESTION.question_id,
            region=QUESTION.region,
            box=voxel_box(*BOX),
            box_source=BoxSource.PARTITION,
            definition_id="region.morphology@2",
            evidence=(
                ComponentEvidence(
                    component=Component.MORPHOLOGY,
                    level=EvidenceLevel.IMAGE,
                    reason="tears are signal inside the meniscus",
                ),
            ),
        ),
        clinician=(
            ClinicianGrade(
                patient=patient,
                visit="V00",
                side="right",
                question_id=QUESTION.question_id,
                component=Component.MORPHOLOGY,
                status=GradeStatus.READ,
                grade=grade,
                raw=(f"{grade}: SECRETGRADE",),
                variable="V00MMTMP",
                file="clinician_reads.txt",
                lines=(3,),
                readprj=("SECRETPRJ",),
                version=("1",),
            ),
        ),
        synthetic=True,
        sees_images=sees_images,
    )


def image_knee(folder: Path, settings: ImageSettings | None = None, number: int = 1) -> ImageKnee:
    """Returns a knee whose image lies in a folder."""
    path = write_image(folder / f"image-{number}.nii.gz", seed=number)
    item = image_item(number)
    files = {item.volume_id: ImageFile(path, {item.findings_id: load_volume(path).sha256})}
    return ImageKnee(item, path, SliceSource(files, settings or ImageSettings(n_slices=2)), files)


def image_answer(changed: Mapping[str, JsonValue] | None = None, *, grade: int = 0) -> str:
    """Returns a sound answer that names shown slices; `changed` replaces entire steps.

    With two slices a plane, 7 and 10 are the sagittal ones and 13 and 19 the coronal ones.
    """
    region = QUESTION.region_name
    answer: dict[str, JsonValue] = {
        "locate": {
            "text": f"The box holds the {region} of the right knee, read in the sagittal plane.",
            "box": list(BOX),
        },
        "observe": {
            "text": "On sagittal slices 7 and 10 the meniscus is dark and its outline is whole."
        },
        "measure": {
            "text": "Nothing was measured; it is judged on coronal slice 13.",
            "cites": [],
        },
        "apply_scale": {"text": "Held against the scale this is a normal meniscus."},
        "conclude": {"text": f"The {region} of the right knee has morphology grade {grade}."},
        "grades": {"morphology": grade},
    }
    return json.dumps({**answer, **(changed or {})})


def image_store(folder: Path, n_knees: int = 2) -> Path:
    """Writes a store of some knees with their images in `folder/cohort`; returns its path."""
    cohort, store = folder / "cohort", folder / "knees.duckdb"
    cohort.mkdir()
    with StoreWriter(store, create=True) as writer:
        writer.put_catalogue()
        for number in range(1, n_knees + 1):
            item = image_item(number)
            path = write_image(cohort / f"{number}.nii.gz", seed=number)
            patient = item.volume_id.split("/")[0]
            record = volume(patient).model_copy(
                update={"image": path.name, "cohort_root": str(cohort)}
            )
            found = findings(item.volume_id).model_copy(
                update={
                    "findings_id": item.findings_id,
                    "shape": SHAPE,
                    "orientation": "RAS",
                    "image_sha256": load_volume(path).sha256,
                    "findings": (item.finding,),
                }
            )
            writer.put_volume(record)
            writer.put_findings(found)
            writer.put_clinician_grades(item.clinician)
    return store
