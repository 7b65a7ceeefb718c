"""Splits of patients in the store: recorded once, never changed (RULES 19)."""

from collections.abc import Iterable

import duckdb
import pyarrow as pa

from knee.errors import InputError
from knee.splits import PatientSplit, Split, SplitSource
from store.arrow_rows import TEXT, arrow, utc_now
from store.inserting import insert
from store.writer import StoreWriter

_PATIENT_SPLITS = pa.schema(
    {
        "patient": TEXT,
        "split": TEXT,
        "source": TEXT,
        "seed": pa.int64(),
        "stratum": TEXT,
        "assigned_at": pa.timestamp("us"),
    }
)
_MAX_NAMED = 20
_SPLITS = (
    "SELECT patient, split, source, seed, stratum FROM patient_splits "
    "UNION ALL SELECT patient, any_value(split), 'manifest', NULL, NULL FROM volumes "
    "WHERE split IS NOT NULL AND patient NOT IN (SELECT patient FROM patient_splits) GROUP BY ALL"
)
_LESIONS = """
SELECT patient, max(n) FROM (
    SELECT g.patient, g.visit, g.side, count(*) FILTER (g.grade >= $grade) AS n
    FROM clinician_grades g JOIN questions q USING (question_id)
    WHERE q.feature = 'cartilage' AND g.component = 'size' AND g.status = 'read' AND g.is_current
    GROUP BY ALL
) GROUP BY ALL
"""
_LEAKS = """
SELECT patient, list_sort(list(DISTINCT split)), count(*)
FROM (
    SELECT patient, coalesce(split, 'none') AS split FROM volumes
    UNION ALL SELECT patient, split FROM patient_splits
        WHERE patient IN (SELECT patient FROM volumes)
    UNION ALL SELECT patient, split FROM released_volumes
) GROUP BY ALL HAVING count(DISTINCT split) > 1 ORDER BY patient
"""


def load_patient_splits(con: duckdb.DuckDBPyConnection) -> dict[str, PatientSplit]:
    """Returns the recorded splits, and those that volumes carry without a record."""
    return {
        str(patient): PatientSplit(
            patient=patient,
            split=Split(split),
            source=SplitSource(source),
            seed=seed,
            stratum=stratum,
        )
        for patient, split, source, seed, stratum in con.execute(_SPLITS).fetchall()
    }


def load_released_splits(con: duckdb.DuckDBPyConnection) -> dict[str, Split]:
    """Returns the splits of the released data set, empty when it was not imported."""
    rows = con.execute("SELECT DISTINCT patient, split FROM released_volumes").fetchall()
    return {str(patient): Split(split) for patient, split in rows}


def volume_patients(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Returns the patients of all volumes, ascending."""
    rows = con.execute("SELECT DISTINCT patient FROM volumes ORDER BY patient").fetchall()
    return [str(row[0]) for row in rows]


def cartilage_lesions(con: duckdb.DuckDBPyConnection, size_grade: int) -> dict[str, int]:
    """Returns, by patient, the most subregions with cartilage size `size_grade` or more at once.

    Patients of whom no cartilage size was read are not in it.
    """
    return {str(p): int(n) for p, n in con.execute(_LESIONS, {"grade": size_grade}).fetchall()}


def split_leaks(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Returns patients in several splits, over all knees, visits, sequences and the release."""
    return [
        f"patient {patient!r} is in splits {splits!r} ({n} entries)"
        for patient, splits, n in con.execute(_LEAKS).fetchall()
    ]


def record_splits(writer: StoreWriter, splits: Iterable[PatientSplit]) -> int:
    """Records splits and gives them to all volumes of the patients; returns how many are new.

    Raises:
        InputError: a patient has another split already; nothing is written then.
    """
    given = {record.patient: record for record in splits}
    with writer.transaction() as con:
        known = load_patient_splits(con)
        moved = [
            f"{patient!r} from {known[patient].split.value!r} to {record.split.value!r}"
            for patient, record in sorted(given.items())
            if patient in known and known[patient].split is not record.split
        ]
        if moved:
            more = f" and {len(moved) - _MAX_NAMED} more" if len(moved) > _MAX_NAMED else ""
            raise InputError(
                f"{len(moved)} patient(s) would change their split: "
                f"{'; '.join(moved[:_MAX_NAMED])}{more}",
                "a split never changes: what was fitted has seen the patient already",
            )
        recorded = {
            str(row[0]) for row in con.execute("SELECT patient FROM patient_splits").fetchall()
        }
        rows = [
            {**record.model_dump(mode="json"), "assigned_at": utc_now()}
            for patient, record in given.items()
            if patient not in recorded
        ]
        if rows:
            insert(con, "patient_splits", arrow(rows, _PATIENT_SPLITS))
        con.execute(
            "UPDATE volumes SET split = p.split FROM patient_splits p "
            "WHERE volumes.patient = p.patient AND volumes.split IS NULL"
        )
    return len(rows)
