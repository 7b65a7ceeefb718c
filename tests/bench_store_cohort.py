"""A made-up cohort for `make bench-store`, put into a store in large Arrow tables.

A few knees' findings are drawn and shared by all volumes: what a run writes is what is measured.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import pyarrow as pa

from knee.findings import (
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
    SideCheck,
    Unit,
    VolumeFindings,
)
from knee.geometry import Frame, change_frame, voxel_box
from knee.keys import content_hash
from knee.moaks import RuleBasis
from knee.questions import QUESTIONS
from knee.records import Control, Grounding, Run, RunKind, VolumeRecord, Wording
from store.arrow_rows import (
    CLINICIAN_GRADES,
    FINDINGS_SETS,
    VOLUMES,
    Row,
    Table,
    arrow,
    finding_tables,
    findings_set_row,
    volume_row,
)
from store.inserting import insert
from store.writer import StoreWriter
from tests.bench_store_rows import (
    DRAFTED,
    PROMPTS,
    SEED,
    clinician_of,
    findings_id,
)

RUN: Final = "bench"
"""The run whose items are all accepted."""
EARLIER: Final = "earlier"
"""An earlier run over a tenth of the volumes, of which nothing was accepted."""
_N_KNEES = 64
_SHAPE = (384, 384, 160)
_AFFINE = ((0.0, 0.0, 0.5, -56.0), (-0.5, 0.0, 0.0, 70.0), (0.0, -0.5, 0.0, 70.0), (0, 0, 0, 1.0))
_CHUNK = 200
_NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - the store keeps UTC without a zone


def volume_ids(n_volumes: int) -> list[str]:
    """Returns ids, ascending: four volumes a patient, two visits of two knees."""
    return [
        f"9{number // 4:06d}/V0{number // 2 % 2}/{('left', 'right')[number % 2]}/dess"
        for number in range(n_volumes)
    ]


def run_record(run_id: str) -> Run:
    """Returns the description of a run."""
    return Run(
        run_id=run_id,
        fingerprint=content_hash(run_id),
        kind=RunKind.PRODUCTION,
        control=Control.NONE,
        grounding=Grounding.BLIND,
        wording=Wording.GUIDED,
        prompts=tuple(ref for ref, _ in PROMPTS),
        drafter_model="bench-model",
        judge_model=None,
        checks={"schema": 1, "numbers": 2},
        sampling={"temperature": 0.7, "max_tokens": 640, "seed": 7},
        provenance={"commit": "none", "model_licence": "Apache-2.0"},
    )


def make_cohort(store: Path, volumes: Sequence[str], *, n_earlier: int) -> None:
    """Makes a store with these volumes, described and read, and two runs bound to them.

    Args:
        store: made here.
        volumes: ids of all volumes, ascending.
        n_earlier: how many of them the earlier run has.
    """
    with StoreWriter(store, create=True) as writer:
        writer.put_catalogue()
        writer.put_prompts(PROMPTS)
        for first in range(0, len(volumes), _CHUNK):
            with writer.transaction() as con:
                for table, rows in _tables(volumes[first : first + _CHUNK], first).items():
                    insert(con, table, rows)
        writer.start_or_resume_run(run_record(EARLIER))
        writer.bind_volumes(EARLIER, volumes[:n_earlier])
        writer.finish_run(EARLIER)
        writer.start_or_resume_run(run_record(RUN))
        writer.bind_volumes(RUN)


def _tables(volumes: Sequence[str], first: int) -> dict[str, Table]:
    sets: list[Row] = []
    parts: dict[str, list[Table]] = {}
    for number, volume_id in enumerate(volumes, first):
        knee = _knee(number % _N_KNEES)
        names = {"volume_id": volume_id, "findings_id": findings_id(volume_id)}
        sets.append(findings_set_row(knee.model_copy(update=names)) | {"created_at": _NOW})
        for table, rows in _knee_tables(number % _N_KNEES).items():
            parts.setdefault(table, []).append(_named(rows, names))
    records = [volume_row(_volume(v)) | {"findings_id": findings_id(v)} for v in volumes]
    return {
        "volumes": arrow(records, VOLUMES.append(pa.field("findings_id", pa.string()))),
        "findings_sets": arrow(sets, FINDINGS_SETS),
        **{table: pa.concat_tables(rows) for table, rows in parts.items()},
        "clinician_grades": _clinician_grades(volumes),
    }


def _named(rows: Table, names: dict[str, str]) -> Table:
    for name, value in names.items():
        column = pa.array([value] * rows.num_rows, pa.string())
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _volume(volume_id: str) -> VolumeRecord:
    patient, visit, side, sequence = volume_id.split("/")
    return VolumeRecord(
        volume_id=volume_id,
        patient=patient,
        visit=visit,
        side=side,
        sequence=sequence,
        image=f"{patient}/{visit}/{side}/image.nii.gz",
        label_map=f"{patient}/{visit}/{side}/labels.nii.gz",
        cohort_root="none",
        scheme="phantom",
        mask_source="drawn",
        segmenter="none",
        licence="CC0-1.0",
        synthetic=True,
        split=Random(patient).choices(("train", "val", "test"), weights=(70, 15, 15))[0],
        status="ready",
    )


@cache
def _knee_tables(number: int) -> dict[str, Table]:
    return finding_tables(_knee(number))


@cache
def _knee(number: int) -> VolumeFindings:
    rng = Random(f"{SEED} knee {number}")
    return VolumeFindings(
        volume_id="none",
        findings_id="none",
        scheme="phantom",
        tools_version="drawn",
        side_check=SideCheck.CONFIRMED,
        shape=_SHAPE,
        affine=_AFFINE,
        orientation="PIR",
        image_sha256=content_hash(f"image {number}"),
        label_map_sha256=content_hash(f"labels {number}"),
        findings=tuple(_finding(question, rng) for question in DRAFTED),
    )


def _finding(question_id: int, rng: Random) -> Finding:
    question = QUESTIONS[question_id]
    i, j, k = rng.randrange(300), rng.randrange(300), rng.randrange(100)
    box = voxel_box(
        *(i, i + rng.randrange(9, 80)), *(j, j + rng.randrange(9, 80)), k, k + rng.randrange(4, 50)
    )
    measurements = (
        (MeasurementName.BML_VOLUME_SHARE, Unit.PERCENT, rng.random() * 60),
        (MeasurementName.BML_COUNT, Unit.COUNT, float(rng.randrange(4))),
        (MeasurementName.BML_VOLUME, Unit.MM3, rng.random() * 900),
    )
    return Finding(
        question_id=question_id,
        region=question.region,
        box=box,
        box_world=change_frame(box, Frame.WORLD_RAS_MM, _AFFINE),
        box_source=BoxSource.PARTITION,
        definition_id="subregion@1",
        measurements=tuple(
            Measurement(
                name=name,
                value=value,
                unit=unit,
                sd=rng.random(),
                method="drawn",
                definition_id=f"{name.value}@1",
            )
            for name, unit, value in measurements
        ),
        evidence=tuple(
            ComponentEvidence(
                component=component,
                level=EvidenceLevel.MEASURED,
                reason="drawn",
                measurement=MeasurementName.BML_VOLUME_SHARE,
                rule_grade=0,
                rule_basis=RuleBasis.MOAKS,
                margin=rng.random() * 20,
            )
            for component in question.components
        ),
    )


def _clinician_grades(volumes: Sequence[str]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for volume_id in volumes:
        patient, visit, side, _ = volume_id.split("/")
        for question_id, grades in clinician_of(volume_id).items():
            for component, grade in zip(QUESTIONS[question_id].components, grades, strict=True):
                rows.append((patient, visit, side, question_id, component.value, grade))
    columns = dict(
        zip(
            ("patient", "visit", "side", "question_id", "component", "grade"),
            zip(*rows, strict=True),
            strict=True,
        )
    )
    grades = columns["grade"]
    columns |= {
        "status": tuple("missing" if grade is None else "read" for grade in grades),
        "raw": tuple(["" if grade is None else str(grade)] for grade in grades),
    }
    same: dict[str, Any] = {
        "variable": "drawn",
        "file": "drawn.txt",
        "lines": [2],
        "readprj": ["15"],
        "version": ["0.1"],
        "policy": "agree_or_conflict",
        "read_files": [],
        "read_status": [],
        "read_grades": [],
        "taken": [],
    }
    table = pa.table(
        {
            name: pa.array(columns.get(name) or [same[name]] * len(rows), field.type)
            for name, field in ((f.name, f) for f in CLINICIAN_GRADES)
        },
        schema=CLINICIAN_GRADES,
    )
    extra = {
        "revision": pa.array([1] * len(rows), pa.int16()),
        "is_current": pa.array([True] * len(rows), pa.bool_()),
        "loaded_at": pa.array([_NOW] * len(rows), pa.timestamp("us")),
    }
    for name, column in extra.items():
        table = table.append_column(name, column)
    return table
