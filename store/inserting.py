"""Rows into an open transaction, and each outcome exactly once."""

from collections.abc import Sequence
from typing import Any

import duckdb

from knee.errors import StoreError
from knee.keys import ItemKey
from knee.records import ItemOutcome, VolumeRecord, retried_code
from knee.splits import HeldOutUse, refuse_test_patients
from store.arrow_rows import Table
from store.journal import item_key
from store.outcome_rows import outcome_hash


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: Table, on_conflict: str = "") -> None:
    """Inserts an Arrow table by column name."""
    con.register("given_rows", rows)
    con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM given_rows {on_conflict}")
    con.unregister("given_rows")


def exists(con: duckdb.DuckDBPyConnection, where: str, parameters: list[Any]) -> bool:
    """Returns whether `<table> WHERE <condition>` has a row."""
    return con.execute(f"SELECT 1 FROM {where}", parameters).fetchone() is not None


def unique_outcomes(run_id: str, outcomes: Sequence[ItemOutcome]) -> dict[ItemKey, ItemOutcome]:
    """Returns outcomes by key, repeats left out.

    Raises:
        StoreError: one is of another run, two differ under one key, or two attempts of one have
            the same number.
    """
    unique: dict[ItemKey, ItemOutcome] = {}
    for outcome in outcomes:
        if outcome.run_id != run_id:
            raise StoreError(f"an outcome of run {outcome.run_id!r} was given to run {run_id!r}")
        numbers = [attempt.attempt_no for attempt in outcome.attempts]
        if len(set(numbers)) < len(numbers):
            raise StoreError(
                f"question {outcome.question_id} of {outcome.volume_id!r} has attempts with one "
                f"number: {numbers!r}"
            )
        first = unique.setdefault(item_key(outcome), outcome)
        if first is not outcome and outcome_hash(first) != outcome_hash(outcome):
            raise _conflict(outcome)
    return unique


def insert_new_outcomes(
    con: duckdb.DuckDBPyConnection, unique: dict[ItemKey, ItemOutcome], rows: Table
) -> list[ItemOutcome]:
    """Inserts into `outcomes` what is not there, and returns it.

    An item that failed gives way to the outcome of a later try, which carries it along.

    Args:
        con: in a transaction.
        unique: the outcomes.
        rows: their rows (`store.outcome_rows.outcome_table`).

    Raises:
        StoreError: a key is there with another outcome.
    """
    _remove_failed_tries(con, [outcome for outcome in unique.values() if outcome.n_retries])
    con.register("given_rows", rows)
    inserted = con.execute(
        "INSERT INTO outcomes BY NAME SELECT * FROM given_rows ON CONFLICT DO NOTHING "
        "RETURNING volume_id, question_id"
    ).fetchall()
    new = {ItemKey(*key) for key in inserted}
    if len(new) < len(unique):
        differing = con.execute(
            "SELECT g.volume_id, g.question_id FROM given_rows g "
            "JOIN outcomes o USING (run_id, volume_id, question_id) "
            "WHERE o.content_sha256 <> g.content_sha256 ORDER BY ALL"
        ).fetchone()
        if differing is not None:
            raise _conflict(unique[ItemKey(*differing)])
    con.unregister("given_rows")
    return [outcome for key, outcome in unique.items() if key in new]


def _remove_failed_tries(con: duckdb.DuckDBPyConnection, later: Sequence[ItemOutcome]) -> None:
    """Removes the failed outcome that each of these follows, and only that."""
    for outcome in later:
        key = [outcome.run_id, outcome.volume_id, outcome.question_id]
        before = con.execute(
            "SELECT codes FROM outcomes WHERE run_id = ? AND volume_id = ? AND question_id = ? "
            "AND state = 'failed'",
            key,
        ).fetchone()
        follows = retried_code(outcome.n_retries - 1)
        if before is None or (outcome.n_retries > 1) != (follows in before[0]):
            continue
        if retried_code(outcome.n_retries) in before[0]:
            continue  # it is this outcome, from the journal
        for table in ("outcome_components", "shown_images", "attempts", "outcomes"):
            con.execute(
                f"DELETE FROM {table} WHERE run_id = ? AND volume_id = ? AND question_id = ?", key
            )


def settled_split(con: duckdb.DuckDBPyConnection, volume: VolumeRecord) -> str | None:
    """Returns the recorded split of a volume's patient, else the volume's own.

    Raises:
        StoreError: the volume says otherwise.
    """
    for (split,) in con.execute(
        "SELECT split FROM patient_splits WHERE patient = ?", [volume.patient]
    ).fetchall():
        if volume.split not in (None, split):
            raise StoreError(
                f"volume {volume.volume_id!r} has split {volume.split!r}, its patient {split!r}",
                "a split never changes",
            )
        return str(split)
    return volume.split


def refuse_test_volumes(con: duckdb.DuckDBPyConnection, volume_ids: Sequence[str]) -> None:
    """Lets no volume of a test patient into a trial.

    Raises:
        HeldOutPatientError: names the test patients among the volumes.
    """
    rows = con.execute(
        "SELECT DISTINCT patient, split FROM volumes WHERE volume_id IN (SELECT unnest(?)) "
        "ORDER BY split = 'test' NULLS FIRST",
        [list(volume_ids)],
    ).fetchall()
    # The last one counts: a patient with one volume in the test split is a test patient.
    splits = {str(patient): split for patient, split in rows}
    refuse_test_patients(HeldOutUse.TRIAL, splits, splits)


def _conflict(outcome: ItemOutcome) -> StoreError:
    return StoreError(
        f"run {outcome.run_id!r} has another outcome of question {outcome.question_id} of "
        f"{outcome.volume_id!r}",
        "an item is finished once; start another run to draft it again",
    )
