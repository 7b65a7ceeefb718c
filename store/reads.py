"""Clinicians' grades as a whole: distributions, several reads, and beside the measured grades.

Phantoms and patients are never pooled (RULES 26): every question is about one kind of knee-visit.
"""

from collections.abc import Iterator
from typing import NamedTuple

import duckdb

from knee.geometry import Box3D, Frame
from knee.grades import ClinicianGrade, GradeStatus
from knee.moaks import Component, Feature
from store.items import box_of, rows_of

_OF_KIND = (
    "SEMI JOIN (SELECT patient, visit, side FROM volumes WHERE synthetic = $synthetic) k "
    "USING (patient, visit, side)"
)
"""Only knee-visits of phantoms, or only of patients."""


class ReadGroup(NamedTuple):
    """What reads are counted by."""

    feature: Feature
    """What is graded."""
    component: Component
    """The component."""
    label: str
    """The site, or the reading project; empty for all together."""


class StatusCounts(NamedTuple):
    """Components of one group by what is known of them."""

    group: ReadGroup
    """The group."""
    grades: dict[int, int]
    """Grade to how many were read so; grades that nobody gave are left out."""
    statuses: dict[GradeStatus, int]
    """Status to how many; `read` is the sum of the grades."""

    @property
    def n(self) -> int:
        """All components of the group."""
        return sum(self.statuses.values())

    @property
    def n_read(self) -> int:
        """Those with a grade."""
        return self.statuses.get(GradeStatus.READ, 0)


class PatientCounts(NamedTuple):
    """Of one group and patient, for intervals over patients."""

    group: ReadGroup
    """The group, without a label."""
    patient: str
    """The patient."""
    n_read: int
    """Components with a grade."""
    n_positive: int
    """... of grade 1 or more."""


class KneeVisitCounts(NamedTuple):
    """How much there is."""

    patients: int
    """Patients with a grade record."""
    knee_visits: int
    """Knees at a visit."""
    components: int
    """Components of all of them."""
    multiple: int
    """Components that more than one read graded."""
    ambiguous: int
    """... with different grades."""


class MeasuredGrade(NamedTuple):
    """A clinician's grade beside the rule's, in one volume."""

    volume_id: str
    """The volume."""
    question_id: int
    """1-69."""
    feature: Feature
    """What is graded."""
    site: str
    """Where."""
    component: Component
    """The component."""
    clinician: int
    """The clinician's grade."""
    rule: int
    """The grade that the rule gives for the measurement."""
    basis: str
    """`moaks` or `calibrated`: where the rule's numbers come from."""
    level: str
    """`measured` or `weak` evidence."""
    borderline: bool
    """Whether a threshold lies within one SD of the measurement."""
    measurement: str | None
    """What was measured."""
    value: float | None
    """In `unit`."""
    unit: str | None
    """The unit."""
    sd: float | None
    """Standard deviation in `unit`, where it is known."""
    readprj: tuple[str, ...]
    """Reading projects."""
    box: Box3D | None
    """The region, in the volume's voxels."""


def synthetic_kinds(con: duckdb.DuckDBPyConnection) -> dict[bool, int]:
    """Returns how many knee-visits with grades are phantoms' (True) and patients' (False)."""
    rows = con.execute(
        "SELECT v.synthetic, count(DISTINCT (v.patient, v.visit, v.side)) FROM volumes v "
        "JOIN clinician_grades g USING (patient, visit, side) WHERE g.is_current GROUP BY ALL"
    ).fetchall()
    return {bool(synthetic): int(n) for synthetic, n in rows}


def knee_visit_counts(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> KneeVisitCounts:
    """Returns how much there is of one kind."""
    row = con.execute(
        "SELECT count(DISTINCT patient), count(DISTINCT (patient, visit, side)), count(*), "
        "count(*) FILTER (len(list_filter(read_grades, lambda x: x IS NOT NULL)) > 1), "
        "count(*) FILTER (len(list_distinct(read_grades)) > 1) "
        f"FROM clinician_grades {_OF_KIND} WHERE is_current",
        {"synthetic": synthetic},
    ).fetchone()
    return KneeVisitCounts(*(int(n) for n in row or (0,) * 5))


def status_counts(
    con: duckdb.DuckDBPyConnection, *, synthetic: bool, by_site: bool
) -> list[StatusCounts]:
    """Returns the joined grades by feature and component, and by site if asked for."""
    label = "q.site" if by_site else "''"
    return _counted(
        con,
        f"SELECT q.feature, c.component, {label} AS label, c.status, c.grade, count(*) "
        f"FROM clinician_grades c {_OF_KIND} JOIN questions q USING (question_id) "
        "WHERE c.is_current GROUP BY ALL ORDER BY min(question_id), label",
        synthetic,
    )


def project_counts(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> list[StatusCounts]:
    """Returns single reads by feature, component and reading project.

    Reads of rows that were loaded before single reads were kept are left out.
    """
    return _counted(
        con,
        "SELECT r.feature, r.component, r.readprj AS label, r.status, r.grade, count(*) "
        f"FROM v_clinician_reads r {_OF_KIND} WHERE r.status IS NOT NULL "
        "GROUP BY ALL ORDER BY label, min(question_id)",
        synthetic,
    )


def patient_counts(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> list[PatientCounts]:
    """Returns how many grades, and how many of 1 or more, each patient has of each component."""
    rows = con.execute(
        "SELECT q.feature, c.component, c.patient, count(*), count(*) FILTER (c.grade >= 1) "
        f"FROM clinician_grades c {_OF_KIND} JOIN questions q USING (question_id) "
        "WHERE c.is_current AND c.status = 'read' GROUP BY ALL ORDER BY c.patient",
        {"synthetic": synthetic},
    ).fetchall()
    return [
        PatientCounts(ReadGroup(Feature(f), Component(c), ""), patient, n, positive)
        for f, c, patient, n, positive in rows
    ]


def grades_with_several_reads(
    con: duckdb.DuckDBPyConnection, *, synthetic: bool
) -> Iterator[ClinicianGrade]:
    """Yields the components that more than one row is about, by patient, visit and question."""
    result = con.execute(
        "SELECT c.* EXCLUDE (revision, is_current, loaded_at) "
        f"FROM clinician_grades c {_OF_KIND} WHERE is_current AND len(raw) > 1 "
        "ORDER BY patient, visit, side, question_id, component",
        {"synthetic": synthetic},
    )
    for row in rows_of(result):
        yield ClinicianGrade(**row)


def read_components(
    con: duckdb.DuckDBPyConnection, *, synthetic: bool
) -> Iterator[tuple[str, str, str, int, dict[Component, int]]]:
    """Yields (patient, visit, side, question id, component to grade) of what was read."""
    result = con.execute(
        "SELECT patient, visit, side, question_id, list(component) AS components, "
        f"list(grade) AS grades FROM clinician_grades {_OF_KIND} "
        "WHERE is_current AND status = 'read' GROUP BY ALL "
        "ORDER BY patient, visit, side, question_id",
        {"synthetic": synthetic},
    )
    for row in rows_of(result):
        grades = dict(zip(map(Component, row["components"]), row["grades"], strict=True))
        yield row["patient"], row["visit"], row["side"], row["question_id"], grades


def measured_grades(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> Iterator[MeasuredGrade]:
    """Yields every clinician's grade whose component has a rule grade in the current findings."""
    result = con.execute(
        "SELECT v.volume_id, c.question_id, q.feature, q.site, c.component, "
        "c.grade AS clinician, e.rule_grade AS rule, e.rule_basis AS basis, e.level, e.borderline, "
        "e.measurement, m.value, m.unit, m.sd, c.readprj, b.box "
        "FROM volumes v "
        "JOIN clinician_grades c USING (patient, visit, side) "
        "JOIN questions q ON q.question_id = c.question_id "
        "JOIN evidence e ON e.volume_id = v.volume_id AND e.findings_id = v.findings_id "
        "AND e.question_id = c.question_id AND e.component = c.component "
        "LEFT JOIN regions b ON b.volume_id = v.volume_id AND b.findings_id = v.findings_id "
        "AND b.question_id = c.question_id "
        "LEFT JOIN measurements m ON m.volume_id = v.volume_id "
        "AND m.findings_id = v.findings_id AND m.question_id = c.question_id "
        "AND m.name = e.measurement "
        "WHERE v.synthetic = $synthetic AND c.is_current AND c.status = 'read' "
        "AND e.rule_grade IS NOT NULL ORDER BY v.volume_id, c.question_id, c.component",
        {"synthetic": synthetic},
    )
    for row in rows_of(result):
        feature, component = Feature(row.pop("feature")), Component(row.pop("component"))
        box, readprj = box_of(row.pop("box"), Frame.VOXEL_IJK), tuple(row.pop("readprj"))
        yield MeasuredGrade(**row, feature=feature, component=component, box=box, readprj=readprj)


def _counted(con: duckdb.DuckDBPyConnection, query: str, synthetic: bool) -> list[StatusCounts]:
    found: dict[ReadGroup, StatusCounts] = {}
    for feature, component, label, status, grade, n in con.execute(
        query, {"synthetic": synthetic}
    ).fetchall():
        group = ReadGroup(Feature(feature), Component(component), label)
        counts = found.setdefault(group, StatusCounts(group, {}, {}))
        known = GradeStatus(status)
        counts.statuses[known] = counts.statuses.get(known, 0) + n
        if grade is not None:
            counts.grades[grade] = counts.grades.get(grade, 0) + n
    labels = {label: number for number, label in enumerate(dict.fromkeys(g.label for g in found))}
    order = {feature: number for number, feature in enumerate(Feature)}
    components = {component: number for number, component in enumerate(Component)}
    return [
        found[group]
        for group in sorted(
            found, key=lambda g: (order[g.feature], labels[g.label], components[g.component])
        )
    ]
