"""Records back from their rows, as they were put."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb

from knee.errors import InputError
from knee.findings import VolumeFindings
from knee.geometry import Affine, Box3D, Frame
from knee.judgement import Judgement
from knee.keys import ItemKey
from knee.moaks import Feature
from knee.records import (
    Attempt,
    ComponentComparison,
    ItemOutcome,
    ItemState,
    PromptRef,
    Run,
    VolumeRecord,
)
from store.arrow_rows import sampling_of
from store.items import box_of, load_finding_set, rows_of, sagittal_axis
from store.judgement_rows import judgement_of
from store.outcome_rows import attempt_of
from store.shown_image_rows import shown_images_of

_ITEM_ORDER = "ORDER BY volume_id, question_id"
_BATCH = 500


@dataclass(frozen=True, slots=True)
class OutcomeExample:
    """A drafted item with what is needed to draw it."""

    volume: VolumeRecord
    """Where the image and the label map lie."""
    feature: Feature
    """What is graded."""
    box: Box3D | None
    """In the volume's voxel frame; None in shuffled controls."""
    shape: tuple[int, int, int]
    """Array shape as stored."""
    affine: Affine
    """Voxel to RAS mm."""
    slice_axis: int
    """Stored array axis that runs left-right."""
    outcome: ItemOutcome
    """All attempts, and every component beside the clinician's grade."""

    @property
    def last(self) -> Attempt:
        """The last attempt: of an accepted item, the quintuple's own."""
        return self.outcome.attempts[-1]


def load_volume(con: duckdb.DuckDBPyConnection, volume_id: str) -> VolumeRecord:
    """Returns a volume.

    Raises:
        InputError: there is none with this id.
    """
    result = con.execute(
        "SELECT * EXCLUDE (findings_id, added_at, updated_at) FROM volumes WHERE volume_id = ?",
        [volume_id],
    )
    for row in rows_of(result):
        return VolumeRecord(**row)
    raise InputError(f"no volume {volume_id!r} in the store", "`sql` lists them: FROM volumes")


def load_findings(
    con: duckdb.DuckDBPyConnection, volume_id: str, findings_id: str
) -> VolumeFindings:
    """Returns the findings of a volume as they were computed once.

    Raises:
        InputError: the store does not have them.
    """
    result = con.execute(
        "SELECT * EXCLUDE (content_sha256, created_at) FROM findings_sets "
        "WHERE volume_id = ? AND findings_id = ?",
        [volume_id, findings_id],
    )
    for row in rows_of(result):
        return VolumeFindings(**row, findings=load_finding_set(con, volume_id, findings_id))
    raise InputError(f"no findings {findings_id!r} of volume {volume_id!r} in the store")


def load_run(con: duckdb.DuckDBPyConnection, run_id: str) -> Run:
    """Returns what identifies and describes a run.

    Raises:
        InputError: there is none with this id.
    """
    for row in rows_of(con.execute("SELECT * FROM runs WHERE run_id = ?", [run_id])):
        plain = {name: row[name] for name in Run.model_fields if name in row}
        plain["prompts"] = tuple(PromptRef(**prompt) for prompt in row["prompts"])
        plain["sampling"] = sampling_of(row)
        return Run(**plain)
    raise InputError(f"no run {run_id!r} in the store", "`status` lists them")


def load_outcomes(
    con: duckdb.DuckDBPyConnection, run_id: str, keys: Sequence[ItemKey] | None = None
) -> Iterator[ItemOutcome]:
    """Yields finished items of a run with all attempts, ascending by key.

    Args:
        con: an open store.
        run_id: the run.
        keys: only these items; all when None.
    """
    if keys is None:
        rows = con.execute(
            f"SELECT volume_id, question_id FROM outcomes WHERE run_id = ? {_ITEM_ORDER}", [run_id]
        ).fetchall()
        keys = [ItemKey(*row) for row in rows]
    ordered = sorted(keys)
    for start in range(0, len(ordered), _BATCH):
        yield from _load_batch(con, run_id, ordered[start : start + _BATCH])


def outcome_examples(
    con: duckdb.DuckDBPyConnection,
    run_id: str,
    n: int,
    *,
    per_feature: int = 2,
    state: ItemState = ItemState.ACCEPTED,
) -> list[OutcomeExample]:
    """Returns up to `n` items of a run that ended in one state, whose last answer was parsed.

    They are spread over features, findings before normal ones. The choice is the same each time;
    it is for looking at, never a sample to count on.
    """
    rows = con.execute(
        """
        WITH graded AS (
            SELECT z.volume_id, z.question_id, q.feature,
                coalesce(max(c.clinician_grade) FILTER (
                    c.status = 'graded' AND c.component <> 'tear_location'), 0) AS highest
            FROM v_outcomes z
            JOIN questions q USING (question_id)
            JOIN attempts a ON a.run_id = z.run_id AND a.volume_id = z.volume_id
                AND a.question_id = z.question_id AND a.attempt_no = z.n_attempts AND a.parsed
            LEFT JOIN outcome_components c ON c.run_id = z.run_id
                AND c.volume_id = z.volume_id AND c.question_id = z.question_id
            WHERE z.run_id = $run AND z.state = $state
            GROUP BY ALL
        ), ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY feature ORDER BY highest DESC, volume_id, question_id) AS place
            FROM graded
        )
        SELECT volume_id, question_id FROM ranked WHERE place <= $per_feature
        ORDER BY place, min(question_id) OVER (PARTITION BY feature) LIMIT $n
        """,
        {"run": run_id, "state": state.value, "per_feature": per_feature, "n": n},
    ).fetchall()
    wanted = [ItemKey(*row) for row in rows]
    outcomes = {
        ItemKey(outcome.volume_id, outcome.question_id): outcome
        for outcome in load_outcomes(con, run_id, wanted)
    }
    return [_example(con, outcomes[key]) for key in wanted]


def _load_batch(
    con: duckdb.DuckDBPyConnection, run_id: str, keys: Sequence[ItemKey]
) -> Iterator[ItemOutcome]:
    parameters = {
        "run": run_id,
        "volumes": [key.volume_id for key in keys],
        "questions": [key.question_id for key in keys],
    }
    # Spelled out, so that only these volumes' rows are read.
    where = (
        "WHERE run_id = $run AND (volume_id, question_id) IN "
        "(SELECT unnest($volumes), unnest($questions)::SMALLINT)"
    )
    attempts = _by_item(
        con, f"SELECT * FROM attempts {where} {_ITEM_ORDER}, attempt_no", parameters
    )
    components = _by_item(
        con, f"SELECT * FROM outcome_components {where} {_ITEM_ORDER}, position", parameters
    )
    judgements = _load_judgements(con, where, parameters)
    images = _by_item(con, f"SELECT * FROM shown_images {where} {_ITEM_ORDER}", parameters)
    for row in rows_of(con.execute(f"SELECT * FROM outcomes {where} {_ITEM_ORDER}", parameters)):
        key = ItemKey(row["volume_id"], row["question_id"])
        yield ItemOutcome(
            run_id=run_id,
            volume_id=key.volume_id,
            question_id=key.question_id,
            findings_id=row["findings_id"],
            state=row["state"],
            codes=row["codes"],
            attempts=tuple(attempt_of(attempt) for attempt in attempts.get(key, ())),
            components=tuple(_comparison(entry) for entry in components.get(key, ())),
            gates=row["gates"],
            error=row["error"],
            judgement=judgements.get(key),
            images=next((shown_images_of(shown) for shown in images.get(key, ())), None),
        )


def _load_judgements(
    con: duckdb.DuckDBPyConnection, where: str, parameters: dict[str, Any]
) -> dict[ItemKey, Judgement]:
    """Returns the judgements that belong to the run's own verdicts."""
    own = f"{where} AND verdict_no = 1 {_ITEM_ORDER}"
    calls = _by_item(con, f"SELECT * FROM judge_calls {own}, call_no", parameters)
    judged = _by_item(con, f"SELECT * FROM judgements {own}", parameters)
    return {key: judgement_of(rows[0], calls.get(key, ())) for key, rows in judged.items()}


def _by_item(
    con: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any]
) -> dict[ItemKey, list[dict[str, Any]]]:
    rows = rows_of(con.execute(query, parameters))
    grouped = groupby(rows, key=lambda row: ItemKey(row["volume_id"], row["question_id"]))
    return {key: list(group) for key, group in grouped}


def _comparison(row: dict[str, Any]) -> ComponentComparison:
    return ComponentComparison(**{name: row[name] for name in ComponentComparison.model_fields})


def _example(con: duckdb.DuckDBPyConnection, outcome: ItemOutcome) -> OutcomeExample:
    row = con.execute(
        "SELECT s.shape, s.affine, s.orientation, q.feature, b.box FROM run_items i "
        "JOIN findings_sets s ON s.volume_id = i.volume_id AND s.findings_id = i.findings_id "
        "JOIN questions q USING (question_id) "
        "LEFT JOIN regions b ON b.volume_id = i.volume_id AND b.findings_id = $used "
        "AND b.question_id = i.question_id "
        "WHERE i.run_id = $run AND i.volume_id = $volume AND i.question_id = $question",
        {
            "run": outcome.run_id,
            "volume": outcome.volume_id,
            "question": outcome.question_id,
            "used": outcome.findings_id,
        },
    ).fetchone()
    if row is None:
        raise InputError(f"run {outcome.run_id!r} is not bound to {outcome.volume_id!r}")
    shape, affine, orientation, feature, box = row
    return OutcomeExample(
        volume=load_volume(con, outcome.volume_id),
        feature=Feature(feature),
        box=box_of(box, Frame.VOXEL_IJK),
        shape=tuple(shape),
        affine=affine,
        slice_axis=sagittal_axis(orientation),
        outcome=outcome,
    )
