"""What ReasonKnee-Bench takes from a store: reads and boxes, never a model's text (RULES 22).

Nothing here looks at runs, attempts, outcomes or quintuples: without them the answers are the same.
"""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import duckdb

from knee.bench_volume import BenchVolume
from knee.findings import BoxSource
from knee.geometry import Affine, Box3D, Frame
from knee.grades import GradeStatus
from knee.moaks import Component, RuleBasis
from store.items import box_of, rows_of

_OF_PATIENTS = "v.patient IN (SELECT unnest($patients))"
_CURRENT = "v.status = 'ready' AND {0}.volume_id = v.volume_id AND {0}.findings_id = v.findings_id"
"""Joins the current findings of a volume that could be described; a failed one has none."""


class ReadComponent(NamedTuple):
    """One component that clinicians read, in one volume, with its region's box."""

    volume_id: str
    """The volume."""
    question_id: int
    """1-69."""
    component: Component
    """The component."""
    status: GradeStatus
    """`read`, or `conflict` where reads gave different grades."""
    grade: int | None
    """The grade; None for a conflict."""
    given: tuple[int, ...]
    """The grades that single reads gave, each once, ascending; empty where they were not kept."""
    readprj: tuple[str, ...]
    """Reading projects, each once, ascending."""
    policy: str
    """How the reads became one."""
    box: Box3D | None
    """In the stored voxel frame; None when it cannot be had."""
    box_source: BoxSource | None
    """Where the box comes from."""
    box_reason: str | None
    """Why there is none, or what it falls back to."""
    definition_id: str | None
    """Definition of the region; None without a region."""
    volume_failed: bool
    """True when the volume could not be described."""
    rule_grade: int | None
    """The grade that the measurement rule gives."""
    rule_basis: RuleBasis
    """Where the rule's numbers come from."""


class TrainBox(NamedTuple):
    """The box of one region in a training volume."""

    volume_id: str
    """The volume."""
    question_id: int
    """1-62."""
    side: str
    """`right` or `left`."""
    box: Box3D
    """In the stored voxel frame."""
    shape: tuple[int, int, int]
    """Array shape as stored."""
    affine: Affine
    """Stored voxel indices to RAS mm."""


class TrainGrade(NamedTuple):
    """How often one grade was read in training patients."""

    question_id: int
    """1-69."""
    component: Component
    """The component."""
    grade: int
    """The grade."""
    n: int
    """Knee-visits in which it was read."""


def volumes_of(con: duckdb.DuckDBPyConnection, patients: Collection[str]) -> list[BenchVolume]:
    """Returns all volumes of some patients, failed ones too, ascending by id."""
    result = con.execute(
        "SELECT v.volume_id, v.patient, v.visit, v.side, v.sequence, s.shape, s.affine, v.image, "
        "CASE WHEN v.image IS NOT NULL THEN s.image_sha256 END AS image_sha256, v.mask_source, "
        "v.segmenter, v.segmenter_trained_on, v.licence, v.image_licence, v.restricted, "
        f"v.synthetic FROM volumes v LEFT JOIN findings_sets s ON {_CURRENT.format('s')} "
        f"WHERE {_OF_PATIENTS} ORDER BY v.volume_id",
        {"patients": sorted(patients)},
    )
    return [BenchVolume(**_with_geometry(row)) for row in rows_of(result)]


def read_components_of(
    con: duckdb.DuckDBPyConnection, patients: Collection[str]
) -> Iterator[ReadComponent]:
    """Yields what was read of some patients, or read with different grades.

    Ascending by volume and question, components in MOAKS' order. A conflict whose reads do not
    differ in grade (one gave a grade, another a prosthesis) is not among them, nor is one whose
    single reads were not kept.
    """
    result = con.execute(
        "SELECT v.volume_id, c.question_id, c.component, c.status, c.grade, "
        "list_sort(list_distinct(c.read_grades)) AS given, "
        "list_sort(list_distinct(c.readprj)) AS readprj, c.policy, b.box, b.box_source, "
        "b.box_reason, b.definition_id, v.status <> 'ready' AS volume_failed, e.rule_grade, "
        "coalesce(e.rule_basis, 'none') AS rule_basis "
        "FROM volumes v "
        "JOIN clinician_grades c USING (patient, visit, side) "
        "JOIN components k ON k.question_id = c.question_id AND k.component = c.component "
        f"LEFT JOIN regions b ON {_CURRENT.format('b')} AND b.question_id = c.question_id "
        f"LEFT JOIN evidence e ON {_CURRENT.format('e')} AND e.question_id = c.question_id "
        "AND e.component = c.component "
        f"WHERE {_OF_PATIENTS} AND c.is_current AND (c.status = 'read' "
        "OR (c.status = 'conflict' AND len(list_distinct(c.read_grades)) > 1)) "
        "ORDER BY v.volume_id, c.question_id, k.position",
        {"patients": sorted(patients)},
    )
    for row in rows_of(result):
        yield _read_component(row)


def train_boxes(con: duckdb.DuckDBPyConnection, patients: Collection[str]) -> Iterator[TrainBox]:
    """Yields every box of some patients' volumes, ascending by volume and question."""
    result = con.execute(
        "SELECT v.volume_id, b.question_id, v.side, b.box, s.shape, s.affine FROM volumes v "
        f"JOIN findings_sets s ON {_CURRENT.format('s')} "
        f"JOIN regions b ON {_CURRENT.format('b')} "
        f"WHERE {_OF_PATIENTS} AND b.box IS NOT NULL ORDER BY v.volume_id, b.question_id",
        {"patients": sorted(patients)},
    )
    for row in rows_of(result):
        box: Any = box_of(row["box"], Frame.VOXEL_IJK)
        yield TrainBox(**_with_geometry({**row, "box": box}))


def train_grades(con: duckdb.DuckDBPyConnection, patients: Collection[str]) -> list[TrainGrade]:
    """Returns how often each grade was read in knee-visits of which there is a volume."""
    rows = con.execute(
        f"SELECT c.question_id, c.component, c.grade, count(*) {_TRAIN_READS} "
        "GROUP BY ALL ORDER BY c.question_id, c.component, c.grade",
        {"patients": sorted(patients)},
    ).fetchall()
    return [TrainGrade(question, Component(c), grade, n) for question, c, grade, n in rows]


def n_graded_patients(con: duckdb.DuckDBPyConnection, patients: Collection[str]) -> int:
    """Returns how many patients the grades of `train_grades` are of."""
    row = con.execute(
        f"SELECT count(DISTINCT c.patient) {_TRAIN_READS}", {"patients": sorted(patients)}
    ).fetchone()
    return 0 if row is None else int(row[0])


_TRAIN_READS = (
    "FROM clinician_grades c SEMI JOIN (SELECT patient, visit, side FROM volumes v "
    f"WHERE {_OF_PATIENTS}) k USING (patient, visit, side) "
    "WHERE c.is_current AND c.status = 'read'"
)


def _with_geometry(row: dict[str, Any]) -> dict[str, Any]:
    """A row with shape and affine as tuples; None where there are none."""
    shape, affine = row["shape"], row["affine"]
    rows = None if affine is None else tuple(tuple(float(x) for x in line) for line in affine)
    return {**row, "shape": None if shape is None else tuple(shape), "affine": rows}


def _read_component(row: dict[str, Any]) -> ReadComponent:
    source = row["box_source"]
    changed: dict[str, Any] = {
        "component": Component(row["component"]),
        "status": GradeStatus(row["status"]),
        "given": tuple(row["given"]),
        "readprj": tuple(row["readprj"]),
        "box": box_of(row["box"], Frame.VOXEL_IJK),
        "box_source": None if source is None else BoxSource(source),
        "rule_basis": RuleBasis(row["rule_basis"]),
    }
    return ReadComponent(**{**row, **changed})
