"""A small release in the documented layout (FACTS 1.3-1.5), made from phantoms, defects included.

Nothing here is taken from the importer: formats and box order are written out on their own, so that
an error there does not cancel out.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from knee.anatomy import Side
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from tools.phantom.build import make_phantom
from tools.phantom.grid import make_grid

Array = npt.NDArray[Any]
Values = tuple[int, int, int, int, int, int]

VOLUMES = (
    ("9000001", "00M", "RIGHT", "train"),
    ("9000001", "12M", "LEFT", "train"),
    ("9000002", "00M", "RIGHT", "val"),
    ("9000003", "24M", "LEFT", "test"),
    ("9000004", "48M", "RIGHT", "train"),
)
"""Patient, time, side, split; the last one is in the split file and in no JSON."""
WITHOUT_ITEMS = "9000004/V06/right/dess"
VISITS = {"00M": "V00", "12M": "V01", "24M": "V03", "48M": "V06"}
BICL = {"V00": "00", "V01": "01", "V03": "03", "V06": "06"}
_GRADE_KEY = (45, 51, 52)
_BARE = (44, 45)
_NO_WRAPPER = (33, 35, 37, *range(54, 70))
_NOUNS = {
    Feature.BML: "BML",
    Feature.CARTILAGE: "cartilage lesion",
    Feature.OSTEOPHYTE: "osteophyte",
    Feature.EXTRUSION: "extrusion",
    Feature.MORPHOLOGY: "morphology",
}
_KEYS = {
    42: "Hoffa-Synovitis",
    43: "effusion-synovitis",
    54: "medial_meniscal_cyst",
    55: "lateral_meniscal_cyst",
    56: "medial_meniscal_hypertrophy",
    57: "lateral_meniscal_hypertrophy",
    58: "medial_meniscal_root_tear",
    59: "lateral_meniscal_root_tear",
    60: "ACL",
    61: "PCL",
    62: "Patellar_Tendon",
}
_FIELDS = {
    (Feature.BML, Component.SIZE): "Size of BML (including cyst)",
    (Feature.BML, Component.NUMBER): "Number of BML within subregion",
    (Feature.BML, Component.PERCENT_BML): "% of lesion that is BML (excluding cyst)",
    (Feature.CARTILAGE, Component.SIZE): "Size of lesion",
    (Feature.CARTILAGE, Component.FULL_THICKNESS): "Depth of lesion",
    (Feature.ACL, Component.COMPLETE_TEAR): "Complete Tear",
    (Feature.ACL, Component.BML_CYST): "Associated with BML/cyst at site of insertion or origin",
    (Feature.ACL, Component.REPAIR): "ACL Repair",
    (Feature.PCL, Component.COMPLETE_TEAR): "Complete Tear",
    (Feature.PCL, Component.BML_CYST): "Associated with BML/cyst at site of insertion or origin",
    (Feature.PATELLAR_TENDON, Component.SIGNAL_ABNORMALITY): "Signal Abnormality",
}
CARTILAGE_CODES = (
    *("PM", "PL", "FMA", "FMC", "FMP", "FLA", "FLC", "FLP"),
    *("TMA", "TMC", "TMP", "TLA", "TLC", "TLP"),
)


def half_open(box: Values) -> Values:
    """Released as axis 0 = slice, then the two others, 0-based with the end outside."""
    return box


def last_inside_y_up(shape: tuple[int, int, int]) -> Callable[[Values], Values]:
    """Ends inside; y counts from the far end of axis 2; x and y are axes 2 and 1."""

    def released(box: Values) -> Values:
        i0, i1, j0, j1, k0, k1 = box
        return (i0, i1 - 1, shape[2] - k1, shape[2] - 1 - k0, j0, j1 - 1)

    return released


@dataclass
class Release:
    """A written release, with what is true of it."""

    root: Path
    shape: tuple[int, int, int] = (0, 0, 0)
    boxes: dict[tuple[str, int], Values] = field(default_factory=dict[tuple[str, int], Values])
    grades: dict[tuple[str, int, Component], int] = field(
        default_factory=dict[tuple[str, int, Component], int]
    )
    labels: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    @property
    def data(self) -> Path:
        return self.root / "data"

    def items(self, split: str) -> list[dict[str, Any]]:
        """The entries of one item file, to be changed and written again."""
        path = self.data / "generate_data" / f"{split}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    def write_items(self, split: str, items: list[dict[str, Any]]) -> None:
        path = self.data / "generate_data" / f"{split}.json"
        path.write_text(json.dumps(items), encoding="utf-8")


def answer_key(question_id: int) -> str:
    """The key of a question's answer, spelled as released."""
    if question_id in _KEYS:
        return _KEYS[question_id]
    question = QUESTIONS[question_id]
    if question.feature is Feature.PERIARTICULAR:
        return f"{question.site}_presence"
    return f"{question.site.replace('_', ' ')} {_NOUNS[question.feature]}"


def final_answer(question_id: int, grades: dict[Component, Any]) -> str:
    """The final answer in the question's own format, defects included."""
    question = QUESTIONS[question_id]
    key = answer_key(question_id)
    values = {_FIELDS.get((question.feature, c), c.value): grades[c] for c in question.components}
    inner: Any = next(iter(values.values())) if question_id in _BARE else values
    if question_id in (58, 59):
        # The released format lost its beginning: "...reasoning and end_slice, …], "key": {…}}".
        return f"{json.dumps(key)}: {json.dumps(inner)}}}"
    if question_id in _NO_WRAPPER:
        return json.dumps({key: inner})
    wrapper = "MOAKS_grade" if question_id in _GRADE_KEY else "MOAKS_scores"
    return json.dumps({wrapper: {key: inner}})


def question_text(question_id: int) -> str:
    """A question that ends in its answer format, as the released ones do."""
    placeholder = dict.fromkeys(QUESTIONS[question_id].components, "(grade)")
    shown = final_answer(question_id, placeholder).replace('"(grade)"', "(grade from 0-3)")
    return f"In this DESS MRI, can you grade question {question_id}? The output format: {shown}"


@cache
def masks_of(side: Side) -> tuple[dict[int, Array], Array]:
    """Question id to mask, and the affine: parts of a phantom's structures."""
    phantom = make_phantom(5, side, make_grid((2.8, 1.6, 1.6), (40, 88, 80)), 0.3)
    labels = np.asarray(phantom.label_map)
    structures = {
        "patella": (6,),
        "femur": (1, 17),
        "tibia": (3, 18),
        "medial": (9,),
        "lateral": (10,),
        "hoffa": (15,),
        "joint": (16,),
        "acl": (11,),
        "pcl": (12,),
        "patellar": (13,),
    }
    masks: dict[int, Array] = {}
    for number in range(1, 63):
        site = QUESTIONS[number].site
        name = next(word for word in structures if site.startswith(word))
        whole = np.isin(labels, structures[name])
        masks[number] = _part(whole, number)
    return masks, np.asarray(phantom.affine)


def write_release(
    root: Path, released_box: Callable[[tuple[int, int, int]], Callable[[Values], Values]]
) -> Release:
    """Writes a release below `root`.

    Args:
        root: a new folder.
        released_box: for a shape, turns a half-open box of the stored array into released numbers.
    """
    release = Release(root)
    rng = Random(20)
    for folder in ("question_files", "split_files", "labels", "generate_data", "OAI"):
        (release.data / folder).mkdir(parents=True)
    _write_questions(release)
    rows = [_split_row(*volume) for volume in VOLUMES]
    for split in ("train", "val", "test"):
        own = [row for row, volume in zip(rows, VOLUMES, strict=True) if volume[3] == split]
        _write_csv(release.data / "split_files" / f"{split}_split.csv", own)
    items: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    texts: dict[str, dict[str, str]] = {}
    for (patient, time, side, split), row in zip(VOLUMES, rows, strict=True):
        volume_id = f"{patient}/{VISITS[time]}/{side.lower()}/dess"
        boxes = _write_masks(release, row["label_filepath"], Side(side.lower()))
        if volume_id == WITHOUT_ITEMS:
            continue
        for number in range(1, 63):
            grades = _draw(number, rng)
            release.boxes[volume_id, number] = boxes[number]
            for component, grade in grades.items():
                release.grades[volume_id, number, component] = grade
            shown = list(released_box(release.shape)(boxes[number]))
            shades = "/".join(str(grade) for grade in grades.values())
            text = f"Template of question {number} for grade {shades}."
            texts.setdefault(str(number), {})[shades] = text
            final = final_answer(number, grades)
            items[split].append(
                {
                    "image": row["image_filepath"],
                    "prompt": question_text(number),
                    "answer": f"{text}\nBounding box: {shown}\nFinal diagnosis: {final}",
                    "final_diagnosis": final,
                }
            )
    for split, entries in items.items():
        release.write_items(split, entries)
    mapping = release.data / "question_files" / "cot_question_mapping.json"
    mapping.write_text(json.dumps(texts), encoding="utf-8")
    _write_labels(release)
    return release


def _part(whole: Array, number: int) -> Array:
    """A part of a structure that differs from question to question, lopsided in every axis."""
    there = np.argwhere(whole)
    low, high = there.min(axis=0), there.max(axis=0) + 1
    span = high - low
    start = low + (span * np.array([number % 3, number % 2, number % 5]) // 8)
    stop = high - (span * np.array([number % 2, number % 4, number % 3]) // 8)
    part = np.zeros_like(whole)
    window = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    part[window] = whole[window]
    return part if part.any() else whole


def _box_of(mask: Array) -> Values:
    there = np.argwhere(mask)
    (a, b, c), (d, e, f) = there.min(axis=0), there.max(axis=0) + 1
    return (int(a), int(d), int(b), int(e), int(c), int(f))


def _write_masks(release: Release, label_map: str, side: Side) -> dict[int, Values]:
    masks, affine = masks_of(side)
    release.shape = masks[1].shape  # pyright: ignore[reportAttributeAccessIssue]
    folder = release.data / "OAI" / label_map
    folder.mkdir(parents=True)
    for number, mask in masks.items():
        image = nib.Nifti1Image(mask.astype(np.uint8), affine)  # pyright: ignore[reportPrivateImportUsage]
        nib.save(image, folder / f"region_{number}.nii.gz")  # pyright: ignore[reportPrivateImportUsage]
    return {number: _box_of(mask) for number, mask in masks.items()}


def _write_questions(release: Release) -> None:
    folder = release.data / "question_files"
    texts = {str(number): question_text(number) for number in range(1, 63)}
    (folder / "questions.json").write_text(json.dumps(texts), encoding="utf-8")
    regions = {str(number): [f"region_{number}"] for number in range(1, 63)}
    (folder / "question_subregion_mapping.json").write_text(json.dumps(regions), encoding="utf-8")


def _split_row(patient: str, time: str, side: str, _split: str) -> dict[str, str]:
    number = f"1{time[:2]}9{patient[-4:]}"
    series = f"{time}/0.E.1/{patient}/20050825/{number}"
    return {
        "patient_id": patient,
        "time": time,
        "study_folder": f"{patient}/20050825",
        "series_folder": number,
        "knee_side": side,
        "image_filepath": f"data/OAI/images/{series}/image.nii.gz",
        "label_filepath": f"segmentation/{patient}_{time}_{side}",
    }


def _draw(number: int, rng: Random) -> dict[Component, int]:
    """Legal grades of one item."""
    question = QUESTIONS[number]
    grades = {c: rng.choice(question.scale(c).grades) for c in question.components}
    if question.feature is Feature.BML and grades[Component.SIZE] == 0:
        return dict.fromkeys(grades, 0)
    if question.feature is Feature.BML:
        grades[Component.NUMBER] = max(1, grades[Component.NUMBER])
    if Component.FULL_THICKNESS in grades:
        grades[Component.FULL_THICKNESS] = min(grades.values())
    if grades.get(Component.MORPHOLOGY) == 7:
        grades[Component.MORPHOLOGY] = 6
    return grades


def _write_labels(release: Release) -> None:
    """One table a visit; cartilage in two columns; cells as the released grades say."""
    by_visit: dict[str, list[dict[str, str]]] = {}
    for patient, time, side, _ in VOLUMES:
        visit = VISITS[time]
        volume_id = f"{patient}/{visit}/{side.lower()}/dess"
        row = {"ID": patient, "SIDE": "1" if side == "RIGHT" else "2", "READPRJ": "65"}
        for number, code in enumerate(CARTILAGE_CODES, start=16):
            size = release.grades.get((volume_id, number, Component.SIZE))
            depth = release.grades.get((volume_id, number, Component.FULL_THICKNESS))
            row[f"{visit}MCM{code}"] = "" if size is None else str(size)
            row[f"{visit}MCM{code}.1"] = "" if depth is None else str(depth)
        release.labels[volume_id] = row
        by_visit.setdefault(visit, []).append(row)
    for visit, rows in by_visit.items():
        name = f"taxonomymatch_kMRI_SQ_MOAKS_BICL{BICL[visit]}.csv"
        _write_csv(release.data / "labels" / name, rows)


def _write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, tuple(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
