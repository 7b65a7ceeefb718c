"""Items as the graph receives them, streamed volume by volume."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import duckdb

from knee.errors import StoreError
from knee.findings import (
    IMAGE_EVIDENCE,
    TEXT_EVIDENCE,
    ComponentEvidence,
    Finding,
    Measurement,
)
from knee.geometry import Box3D, Frame
from knee.grades import ClinicianGrade
from knee.keys import ItemKey
from knee.records import Item, ItemState, retried_code


class Selection(NamedTuple):
    """Which items; nothing here identifies a run."""

    volume_ids: tuple[str, ...] | None = None
    """These volumes; all when None."""
    question_ids: tuple[int, ...] | None = None
    """These questions; all when None."""
    visit: str | None = None
    """This visit; all when None."""
    limit: int | None = None
    """At most so many items, in the order of volume id and question id."""
    pending_only: bool = True
    """Only items of which something is asked; else every question that has a region."""
    chosen: frozenset[ItemKey] | None = None
    """Only these items, chosen by quota; all when None."""
    sees_images: bool = False
    """Whether the drafter is shown slices, which makes more items pending; for a selection of a
    run's items it is the run that says so."""

    def holds(self, volume_id: str, question_id: int) -> bool:
        """Returns whether an item of a selected volume is one of the questions and choices."""
        if self.question_ids is not None and question_id not in self.question_ids:
            return False
        return self.chosen is None or ItemKey(volume_id, question_id) in self.chosen


def select_volumes(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """Returns the ids of ready volumes with findings, ascending; of chosen items', theirs alone."""
    rows = con.execute(
        "SELECT volume_id FROM volumes WHERE status = 'ready' AND findings_id IS NOT NULL "
        "AND ($visit IS NULL OR visit = $visit) "
        "AND ($volumes IS NULL OR volume_id IN (SELECT unnest($volumes))) ORDER BY volume_id",
        {
            "visit": selection.visit,
            "volumes": None if selection.volume_ids is None else list(selection.volume_ids),
        },
    ).fetchall()
    volumes = [str(row[0]) for row in rows]
    if selection.chosen is None:
        return volumes
    of_chosen = {key.volume_id for key in selection.chosen}
    return [volume for volume in volumes if volume in of_chosen]


def load_items(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, run_id: str | None = None
) -> Iterator[Item]:
    """Yields items, ascending by volume id and question id; memory holds one volume.

    The connection is in use until the last item: while a writer works, take its `items()`.

    Args:
        con: an open store.
        selection: which items.
        run_id: takes the findings that this run is bound to; else each volume's current ones.
    """
    n_yielded = 0
    sees_images = selection.sees_images if run_id is None else run_sees_images(con, run_id)
    for volume_id in select_volumes(con, selection):
        for item in _items_of(con, volume_id, run_id, sees_images=sees_images):
            if not selection.holds(item.volume_id, item.question_id):
                continue
            if selection.pending_only and item.starting_state is not ItemState.PENDING:
                continue
            if selection.limit is not None and n_yielded >= selection.limit:
                return
            n_yielded += 1
            yield item


MAX_TRIES: Final = 3
"""Starts of a run in which an item may fail before it stays failed."""
TRIED_AGAIN: Final = f"""(
    o.state = 'failed' AND NOT list_has_any(o.codes, ['no_box', '{retried_code(MAX_TRIES - 1)}'])
    AND NOT EXISTS (
        SELECT 1 FROM verdicts w WHERE w.run_id = o.run_id
            AND w.volume_id = o.volume_id AND w.question_id = o.question_id
    )
)"""
"""Condition on a row `o` of `outcomes`: a start of its run tries the item again."""


def run_sees_images(con: duckdb.DuckDBPyConnection, run_id: str) -> bool:
    """Returns whether a run shows its drafter slices; false for one that is not there."""
    row = con.execute("SELECT images FROM runs WHERE run_id = ?", [run_id]).fetchone()
    return row is not None and row[0] is not None


def evidence_levels(*, sees_images: bool) -> list[str]:
    """Returns the levels of evidence that a drafter can reason from, for a query."""
    levels = IMAGE_EVIDENCE if sees_images else TEXT_EVIDENCE
    return sorted(level.value for level in levels)


def finished_keys(
    con: duckdb.DuckDBPyConnection, run_id: str, volume_ids: Sequence[str] | None = None
) -> set[ItemKey]:
    """Returns the items of a run that are done, of all volumes or of some.

    An item that failed is not, until it failed `MAX_TRIES` times.
    """
    rows = con.execute(
        f"SELECT volume_id, question_id FROM outcomes o WHERE run_id = $run AND NOT {TRIED_AGAIN} "
        "AND ($volumes IS NULL OR volume_id IN (SELECT unnest($volumes)))",
        {"run": run_id, "volumes": None if volume_ids is None else list(volume_ids)},
    ).fetchall()
    return {ItemKey(str(volume), int(question)) for volume, question in rows}


def settled_volumes(
    con: duckdb.DuckDBPyConnection, run_id: str, selection: Selection
) -> dict[str, int]:
    """Returns volumes of which a run has nothing left to draft, with how many items they have.

    Counted are the items that were pending when the run was bound. A volume whose grades were
    loaded since the run's last start is never among them: more of its items may be pending now.
    """
    rows = con.execute(
        f"""
        WITH bound AS (
            SELECT i.volume_id, i.question_id FROM run_items i
            WHERE i.run_id = $run AND i.starting_state = 'pending'
                AND ($questions IS NULL OR i.question_id IN (SELECT unnest($questions)))
                AND ($chosen IS NULL OR i.volume_id || '#' || i.question_id::VARCHAR
                    IN (SELECT unnest($chosen)))
        ), done AS (
            SELECT o.volume_id, o.question_id FROM outcomes o
            WHERE o.run_id = $run AND NOT {TRIED_AGAIN}
        )
        SELECT volume_id, n FROM (
            SELECT b.volume_id, count(*) AS n, count(d.volume_id) AS n_done
            FROM bound b LEFT JOIN done d USING (volume_id, question_id) GROUP BY b.volume_id
        ) WHERE n = n_done AND volume_id NOT IN (
            SELECT v.volume_id FROM volumes v JOIN clinician_grades g USING (patient, visit, side)
            WHERE g.loaded_at >= (
                SELECT coalesce(resumed_at, started_at) FROM runs WHERE run_id = $run)
        )
        """,
        {
            "run": run_id,
            "questions": None if selection.question_ids is None else list(selection.question_ids),
            "chosen": chosen_names(selection),
        },
    ).fetchall()
    return {str(volume): int(n) for volume, n in rows}


def chosen_names(selection: Selection) -> list[str] | None:
    """Returns the chosen items as `<volume id>#<question id>`, for a query; None for all."""
    if selection.chosen is None:
        return None
    return [f"{volume}#{question}" for volume, question in selection.chosen]


def failed_keys(con: duckdb.DuckDBPyConnection, run_id: str) -> set[ItemKey]:
    """Returns the items of a run that failed and that a start of it tries again."""
    rows = con.execute(
        f"SELECT volume_id, question_id FROM outcomes o WHERE run_id = ? AND {TRIED_AGAIN}",
        [run_id],
    ).fetchall()
    return {ItemKey(str(volume), int(question)) for volume, question in rows}


def load_finding_set(
    con: duckdb.DuckDBPyConnection, volume_id: str, findings_id: str
) -> tuple[Finding, ...]:
    """Returns the findings of one set, ascending by question id."""
    key = [volume_id, findings_id]
    where = "WHERE volume_id = ? AND findings_id = ?"
    measured: dict[int, list[Measurement]] = {}
    for question, name, value, unit, sd, method, definition in con.execute(
        "SELECT question_id, name, value, unit, sd, method, definition_id "
        f"FROM measurements {where} ORDER BY question_id, position",
        key,
    ).fetchall():
        measured.setdefault(question, []).append(
            Measurement(
                name=name, value=value, unit=unit, sd=sd, method=method, definition_id=definition
            )
        )
    evidence: dict[int, list[ComponentEvidence]] = {}
    for row in rows_of(
        con.execute(
            "SELECT question_id, component, level, reason, measurement, rule_grade, rule_basis, "
            f"margin, borderline FROM evidence {where} ORDER BY question_id, position",
            key,
        )
    ):
        question = row.pop("question_id")
        evidence.setdefault(question, []).append(ComponentEvidence(**row))
    regions = rows_of(con.execute(f"SELECT * FROM regions {where} ORDER BY question_id", key))
    return tuple(
        _finding(row, measured.get(row["question_id"], []), evidence.get(row["question_id"], []))
        for row in regions
    )


def rows_of(result: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    """Yields the rows of an executed query by column name, a thousand fetched at a time."""
    names = [str(column[0]) for column in result.description or ()]
    while rows := result.fetchmany(1000):
        for row in rows:
            yield dict(zip(names, row, strict=True))


def _items_of(
    con: duckdb.DuckDBPyConnection, volume_id: str, run_id: str | None, *, sees_images: bool
) -> Iterator[Item]:
    row = con.execute(
        "SELECT v.patient, v.visit, v.side, v.sequence, v.synthetic, s.findings_id, s.shape, "
        "s.orientation FROM volumes v JOIN findings_sets s ON s.volume_id = v.volume_id "
        "AND s.findings_id = coalesce((SELECT any_value(findings_id) FROM run_items "
        "WHERE run_id = $run AND volume_id = $volume), v.findings_id) "
        "WHERE v.volume_id = $volume",
        {"run": run_id, "volume": volume_id},
    ).fetchone()
    if row is None:
        raise StoreError(f"the findings of volume {volume_id!r} are not in the store")
    patient, visit, side, sequence, synthetic, findings_id, shape, orientation = row
    grades = load_grades(con, patient, visit, side)
    for finding in load_finding_set(con, volume_id, findings_id):
        yield Item(
            volume_id=volume_id,
            question_id=finding.question_id,
            findings_id=findings_id,
            side=side,
            visit=visit,
            sequence=sequence,
            slice_axis=sagittal_axis(orientation),
            shape=tuple(shape),
            finding=finding,
            clinician=tuple(grades.get(finding.question_id, ())),
            synthetic=synthetic,
            sees_images=sees_images,
        )


def sagittal_axis(orientation: str) -> int:
    """Returns the stored array axis (0-2) that runs left-right, from codes such as `PIR`.

    Example:
        >>> sagittal_axis("PIR"), sagittal_axis("LPS")
        (2, 0)
    """
    return next(axis for axis, code in enumerate(orientation) if code in "LR")


def load_grades(
    con: duckdb.DuckDBPyConnection, patient: str, visit: str, side: str
) -> dict[int, list[ClinicianGrade]]:
    """Returns the current grades of a knee-visit by question, components in MOAKS' order."""
    grades: dict[int, list[ClinicianGrade]] = {}
    for row in rows_of(
        con.execute(
            "SELECT g.* EXCLUDE (revision, is_current, loaded_at) FROM clinician_grades g "
            "JOIN components k USING (question_id, component) WHERE g.patient = ? "
            "AND g.visit = ? AND g.side = ? AND g.is_current ORDER BY question_id, k.position",
            [patient, visit, side],
        )
    ):
        grades.setdefault(row["question_id"], []).append(ClinicianGrade(**row))
    return grades


def _finding(
    row: dict[str, Any], measurements: list[Measurement], evidence: list[ComponentEvidence]
) -> Finding:
    return Finding(
        question_id=row["question_id"],
        region=row["region"],
        box=box_of(row["box"], Frame.VOXEL_IJK),
        box_world=box_of(row["box_world"], Frame.WORLD_RAS_MM),
        box_source=row["box_source"],
        box_reason=row["box_reason"],
        truncated=row["truncated"],
        definition_id=row["definition_id"],
        measurements=tuple(measurements),
        evidence=tuple(evidence),
    )


def box_of(value: dict[str, float] | None, frame: Frame) -> Box3D | None:
    """Returns the box of a `box` or `box_world` column, None when it is NULL."""
    if value is None:
        return None
    a0, a1, b0, b1, c0, c1 = value.values()
    return Box3D(frame=frame, lower=(a0, b0, c0), upper=(a1, b1, c1))
