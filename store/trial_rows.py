"""What a trial of a prompt may be drawn from: items of training and validation patients."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import duckdb

from knee.keys import ItemKey
from knee.moaks import Feature
from knee.splits import Split
from store.items import evidence_levels
from store.patient_splits import load_patient_splits, load_released_splits

_CANDIDATES = """
SELECT volume_id, question_id, patient, feature, grade FROM (
    SELECT v.volume_id, q.question_id, v.patient, q.feature,
        max(g.grade) FILTER (k.component <> 'tear_location') AS grade
    FROM volumes v
    JOIN regions b USING (volume_id, findings_id)
    JOIN questions q USING (question_id)
    JOIN components k USING (question_id)
    JOIN evidence e ON e.volume_id = v.volume_id AND e.findings_id = v.findings_id
        AND e.question_id = b.question_id AND e.component = k.component
    JOIN clinician_grades g ON g.patient = v.patient AND g.visit = v.visit AND g.side = v.side
        AND g.question_id = b.question_id AND g.component = k.component AND g.is_current
    WHERE v.status = 'ready' AND v.synthetic = $synthetic AND b.box IS NOT NULL
        AND g.status = 'read' AND e.level IN (SELECT unnest($levels))
        AND v.patient IN (SELECT unnest($patients))
        AND ($visit IS NULL OR v.visit = $visit)
        AND b.question_id IN (SELECT unnest($questions))
    GROUP BY v.volume_id, q.question_id, v.patient, q.feature
)
QUALIFY row_number() OVER (
    PARTITION BY feature, grade
    ORDER BY sha256($seed || '|' || volume_id || '|' || question_id), volume_id, question_id
) <= $most
ORDER BY sha256($seed || '|' || volume_id || '|' || question_id), volume_id, question_id
"""


class TrialCandidate(NamedTuple):
    """One item that a trial may draft."""

    key: ItemKey
    """The item."""
    patient: str
    """Whose knee."""
    feature: Feature
    """What is graded."""
    grade: int | None
    """Highest clinician grade of its asked components; None when only a tear's place is asked."""


class TrialPatients(NamedTuple):
    """Patients of a store by whether a trial may see them."""

    allowed: tuple[str, ...]
    """Of train and val."""
    n_test: int
    """Test patients."""
    n_unassigned: int
    """Patients without a split, who may become test patients."""
    splits: dict[str, str]
    """Patient to split."""


def trial_patients(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> TrialPatients:
    """Returns the patients of a store's volumes, by split.

    A patient is a test patient when any record says so: the store's, a volume's, the release's.
    """
    rows = con.execute(
        "SELECT patient, bool_or(coalesce(split = 'test', false)) FROM volumes "
        "WHERE synthetic = ? GROUP BY patient ORDER BY patient",
        [synthetic],
    ).fetchall()
    recorded = {p: record.split.value for p, record in load_patient_splits(con).items()}
    released = {p: split.value for p, split in load_released_splits(con).items()}
    splits: dict[str, str] = {}
    for patient, has_test_volume in rows:
        said = {recorded.get(patient), released.get(patient)}
        if has_test_volume or Split.TEST.value in said:
            splits[patient] = Split.TEST.value
        elif recorded.get(patient) is not None:
            splits[patient] = recorded[patient]
    return TrialPatients(
        allowed=tuple(p for p, split in splits.items() if split != Split.TEST.value),
        n_test=sum(split == Split.TEST.value for split in splits.values()),
        n_unassigned=len(rows) - len(splits),
        splits=splits,
    )


def has_volumes(con: duckdb.DuckDBPyConnection, *, synthetic: bool) -> bool:
    """Returns whether the store has ready volumes of patients, or of phantoms."""
    row = con.execute(
        "SELECT count(*) FROM volumes WHERE status = 'ready' AND synthetic = ?", [synthetic]
    ).fetchone()
    return row is not None and int(row[0]) > 0


def trial_volumes(
    con: duckdb.DuckDBPyConnection, volume_ids: Sequence[str], *, like: Collection[str]
) -> list[str]:
    """Returns those volumes that a trial may show: of train and val patients, in the same order.

    Args:
        con: an open store.
        volume_ids: volumes to choose from.
        like: volumes of the trial's items: patients' knees or phantoms, whichever these are.
    """
    kept = set(like)
    for synthetic in (False, True):
        found = con.execute(
            "SELECT volume_id, patient FROM volumes WHERE synthetic = ? ORDER BY volume_id",
            [synthetic],
        ).fetchall()
        if any(volume in like for volume, _ in found):
            allowed = set(trial_patients(con, synthetic=synthetic).allowed)
            kept |= {str(volume) for volume, patient in found if patient in allowed}
    return [volume for volume in volume_ids if volume in kept]


def trial_candidates(
    con: duckdb.DuckDBPyConnection,
    patients: Sequence[str],
    *,
    synthetic: bool,
    questions: Collection[int],
    visit: str | None,
    seed: int,
    most: int,
    sees_images: bool = False,
) -> list[TrialCandidate]:
    """Returns items with a box of which something is asked, in an order that the seed decides.

    Args:
        con: an open store.
        patients: whose items.
        synthetic: phantoms, or patients; never both.
        questions: of these questions.
        visit: of this visit; None for all.
        seed: of the order; the same seed and items give the same order.
        most: items of each feature and grade at most.
        sees_images: whether the drafter is shown slices, which is evidence for more items.
    """
    rows = con.execute(
        _CANDIDATES,
        {
            "patients": list(patients),
            "synthetic": synthetic,
            "questions": sorted(questions),
            "visit": visit,
            "seed": str(seed),
            "most": most,
            "levels": evidence_levels(sees_images=sees_images),
        },
    ).fetchall()
    return [
        TrialCandidate(ItemKey(volume, question), patient, Feature(feature), grade)
        for volume, question, patient, feature, grade in rows
    ]
