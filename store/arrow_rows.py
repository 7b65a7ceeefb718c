"""Records of a cohort as Arrow tables, one for each table of the store, and the Arrow types.

Arrow because DuckDB takes a batch of it ten times faster than rows one by one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pyarrow as pa

from knee.findings import Finding, VolumeFindings
from knee.geometry import Box3D
from knee.grades import ClinicianGrade
from knee.keys import content_hash
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Run, VolumeRecord

Table: TypeAlias = Any
"""A pyarrow.Table; pyarrow ships no types."""
Schema: TypeAlias = Any
"""A pyarrow.Schema."""
Row = dict[str, Any]
"""One row, column to value; columns that are left out are NULL."""

TEXT = pa.string()
BOX = pa.struct([(name, pa.int32()) for name in ("i0", "i1", "j0", "j1", "k0", "k1")])
BOX_WORLD = pa.struct([(name, pa.float64()) for name in ("x0", "x1", "y0", "y1", "z0", "z1")])
GRADES = pa.struct([(component.value, pa.int16()) for component in Component])
TEXT_MAP = pa.map_(TEXT, TEXT)
SAMPLING: dict[str, Any] = {
    "temperature": pa.float64(),
    "top_p": pa.float64(),
    "max_tokens": pa.int64(),
    "seed": pa.int64(),
    "sampling_other": TEXT_MAP,
}
_FLOATS = ("temperature", "top_p")
_INTEGERS = ("max_tokens", "seed")

VOLUMES = pa.schema(
    {
        **dict.fromkeys(VolumeRecord.model_fields, TEXT),
        **{name: pa.bool_() for name in ("synthetic", "restricted", "segmenter_trained_on")},
        "added_at": pa.timestamp("us"),
        "updated_at": pa.timestamp("us"),
    }
)
FINDINGS_SETS = pa.schema(
    {
        "volume_id": TEXT,
        "findings_id": TEXT,
        "scheme": TEXT,
        "tools_version": TEXT,
        "side_check": TEXT,
        "shape": pa.list_(pa.int32(), 3),
        "affine": pa.list_(pa.list_(pa.float64(), 4), 4),
        "orientation": TEXT,
        "image_sha256": TEXT,
        "label_map_sha256": TEXT,
        "content_sha256": TEXT,
        "created_at": pa.timestamp("us"),
    }
)
_FINDING_KEY: dict[str, Any] = {
    "volume_id": TEXT,
    "findings_id": TEXT,
    "question_id": pa.int16(),
}
REGIONS = pa.schema(
    {
        **_FINDING_KEY,
        "region": TEXT,
        "box": BOX,
        "box_world": BOX_WORLD,
        "box_source": TEXT,
        "box_reason": TEXT,
        "truncated": pa.bool_(),
        "definition_id": TEXT,
    }
)
MEASUREMENTS = pa.schema(
    {
        **_FINDING_KEY,
        "position": pa.int16(),
        "name": TEXT,
        "value": pa.float64(),
        "unit": TEXT,
        "sd": pa.float64(),
        "method": TEXT,
        "definition_id": TEXT,
    }
)
EVIDENCE = pa.schema(
    {
        **_FINDING_KEY,
        "position": pa.int16(),
        "component": TEXT,
        "level": TEXT,
        "reason": TEXT,
        "measurement": TEXT,
        "rule_grade": pa.int16(),
        "rule_basis": TEXT,
        "margin": pa.float64(),
        "borderline": pa.bool_(),
    }
)
CLINICIAN_GRADES = pa.schema(
    {
        "patient": TEXT,
        "visit": TEXT,
        "side": TEXT,
        "question_id": pa.int16(),
        "component": TEXT,
        "status": TEXT,
        "grade": pa.int16(),
        "raw": pa.list_(TEXT),
        "variable": TEXT,
        "file": TEXT,
        "lines": pa.list_(pa.int32()),
        "readprj": pa.list_(TEXT),
        "version": pa.list_(TEXT),
        "policy": TEXT,
        "read_files": pa.list_(TEXT),
        "read_status": pa.list_(TEXT),
        "read_grades": pa.list_(pa.int16()),
        "taken": pa.list_(pa.bool_()),
    }
)
RUNS = pa.schema(
    {
        "run_id": TEXT,
        "fingerprint": TEXT,
        "kind": TEXT,
        "control": TEXT,
        "grounding": TEXT,
        "wording": TEXT,
        "prompts": pa.list_(
            pa.struct([("prompt_id", TEXT), ("version", pa.int32()), ("sha256", TEXT)])
        ),
        "drafter_model": TEXT,
        "judge_model": TEXT,
        "checks": pa.map_(TEXT, pa.int32()),
        **SAMPLING,
        "images": TEXT,
        "provenance": TEXT_MAP,
        "state": TEXT,
        "n_starts": pa.int32(),
        "started_at": pa.timestamp("us"),
    }
)


def arrow(rows: Sequence[Row], schema: Schema) -> Table:
    """Returns rows as an Arrow table of the schema."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def from_rows(rows: Sequence[Row]) -> Table:
    """Returns rows as an Arrow table whose types follow from the values."""
    return pa.Table.from_pylist(list(rows))


def utc_now() -> datetime:
    """Returns the time as the store keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def volume_row(volume: VolumeRecord) -> Row:
    """Returns the row of a volume, without findings."""
    now = utc_now()
    return {**volume.model_dump(), "added_at": now, "updated_at": now}


def findings_set_row(findings: VolumeFindings) -> Row:
    """Returns the row of a findings set, with a hash over everything in it."""
    return {
        **findings.model_dump(exclude={"findings"}),
        "content_sha256": content_hash(findings.model_dump_json()),
        "created_at": utc_now(),
    }


def finding_tables(findings: VolumeFindings) -> dict[str, Table]:
    """Returns regions, measurements and evidence of a findings set, by table name."""
    regions: list[Row] = []
    measurements: list[Row] = []
    evidence: list[Row] = []
    for finding in findings.findings:
        key: Row = {
            "volume_id": findings.volume_id,
            "findings_id": findings.findings_id,
            "question_id": finding.question_id,
        }
        regions.append(key | _region(finding))
        measurements += _numbered(key, (m.model_dump() for m in finding.measurements))
        evidence += _numbered(key, (e.model_dump() for e in finding.evidence))
    return {
        "regions": arrow(regions, REGIONS),
        "measurements": arrow(measurements, MEASUREMENTS),
        "evidence": arrow(evidence, EVIDENCE),
    }


def clinician_table(grades: Iterable[ClinicianGrade]) -> Table:
    """Returns clinicians' grades as an Arrow table."""
    return arrow([grade.model_dump() for grade in grades], CLINICIAN_GRADES)


def run_row(run: Run) -> Row:
    """Returns the row of a run that starts now."""
    return {
        **run.model_dump(exclude={"sampling"}),
        **sampling_columns(run.sampling),
        "checks": list(run.checks.items()),
        "provenance": list(run.provenance.items()),
        "state": "running",
        "n_starts": 1,
        "started_at": utc_now(),
    }


def sampling_columns(sampling: Mapping[str, float | int | str]) -> Row:
    """Returns the columns of a run's or attempt's sampling values; the inverse of `sampling_of`."""
    row: Row = {}
    other: list[tuple[str, str]] = []
    for name, value in sampling.items():
        wanted = float if name in _FLOATS else int if name in _INTEGERS else None
        # A column changes 0 into 0.0; a value of another type than the column's goes beside it.
        if wanted is not None and type(value) is wanted:
            row[name] = value
        else:
            other.append((name, json.dumps(value)))
    return {**row, "sampling_other": other}


def sampling_of(row: Mapping[str, Any]) -> dict[str, float | int | str]:
    """Returns the sampling values of a row of runs or attempts."""
    values: dict[str, float | int | str] = {
        name: row[name] for name in (*_FLOATS, *_INTEGERS) if row[name] is not None
    }
    return values | {name: json.loads(text) for name, text in dict(row["sampling_other"]).items()}


def question_rows() -> list[Row]:
    """Returns the 69 questions."""
    return [
        {
            "question_id": question.question_id,
            "feature": question.feature.value,
            "site": question.site,
            "region": question.region,
            "region_name": question.region_name,
            "compartment": question.compartment.value,
            "has_region": question.has_region,
        }
        for question in QUESTIONS.values()
    ]


def component_rows() -> list[Row]:
    """Returns every component of the 69 questions with its scale."""
    rows: list[Row] = []
    for question in QUESTIONS.values():
        for position, component in enumerate(question.components):
            scale = question.scale(component)
            rows.append(
                {
                    "question_id": question.question_id,
                    "component": component.value,
                    "position": position,
                    "scale_type": scale.scale_type.value,
                    "grades": list(scale.grades),
                    "wording": [scale.wording[grade] for grade in scale.grades],
                    "rule_measurement": scale.rule.measurement if scale.rule else None,
                    "rule_unit": scale.rule.unit if scale.rule else None,
                    "rule_edges": list(scale.rule.edges) if scale.rule else None,
                }
            )
    return rows


def box_value(indices: Sequence[int] | None) -> Row | None:
    """Returns the STRUCT of a voxel box given as `i0, i1, j0, j1, k0, k1`."""
    if indices is None:
        return None
    return dict(zip(("i0", "i1", "j0", "j1", "k0", "k1"), indices, strict=True))


def _region(finding: Finding) -> Row:
    world = finding.box_world
    return {
        "region": finding.region,
        "box": box_value(finding.box.indices if finding.box is not None else None),
        "box_world": _world(world) if world is not None else None,
        "box_source": finding.box_source.value if finding.box_source is not None else None,
        "box_reason": finding.box_reason,
        "truncated": finding.truncated,
        "definition_id": finding.definition_id,
    }


def _world(box: Box3D) -> Row:
    (x0, y0, z0), (x1, y1, z1) = box.lower, box.upper
    return {"x0": x0, "x1": x1, "y0": y0, "y1": y1, "z0": z0, "z1": z1}


def _numbered(key: Row, rows: Iterable[Row]) -> list[Row]:
    return [{**key, "position": position, **row} for position, row in enumerate(rows)]
