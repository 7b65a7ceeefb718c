"""Items chosen by quota: kept with the run, so that resuming it draws no others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from knee.keys import ItemKey
from store.arrow_rows import TEXT, Row, arrow, utc_now
from store.inserting import insert
from store.items import rows_of
from store.writer import StoreWriter

_QUOTAS = pa.schema(
    {
        "run_id": TEXT,
        "choice_no": pa.int16(),
        "quota_no": pa.int16(),
        "quota": TEXT,
        "questions": TEXT,
        "visit": TEXT,
        "wanted": pa.int32(),
        "available": pa.int32(),
        "chosen": pa.int32(),
        "chosen_at": pa.timestamp("us"),
    }
)
_ITEMS = pa.schema(
    {
        "run_id": TEXT,
        "choice_no": pa.int16(),
        "volume_id": TEXT,
        "question_id": pa.int16(),
        "quota_nos": pa.list_(pa.int16()),
    }
)


class QuotaCount(NamedTuple):
    """One quota and how far the store's items fill it."""

    quota: str
    """As asked for."""
    wanted: int
    """Items asked for."""
    available: int
    """Items that could be drafted and match."""
    chosen: int
    """Of those, items that were chosen or drafted already."""


class QuotaRequest(NamedTuple):
    """What was asked for: the same request of the same run gets the same items."""

    quotas: tuple[str, ...]
    """In the order given."""
    questions: str | None
    """Ids that they are restricted to; None for all."""
    visit: str | None
    """Visit that they are restricted to; None for all."""


class QuotaChoice(NamedTuple):
    """Items chosen for a request."""

    request: QuotaRequest
    """What was asked for."""
    counts: tuple[QuotaCount, ...]
    """A row a quota, in its order."""
    items: Mapping[ItemKey, tuple[int, ...]]
    """Chosen item to the numbers (from 1) of the quotas that it counts for."""
    choice_no: int | None = None
    """Its number in the store; None while it is not kept."""


class QuotaProgress(NamedTuple):
    """What became of one quota, from `v_quotas`."""

    choice_no: int
    """1, 2, …"""
    quota: str
    """As asked for."""
    questions: str | None
    """Ids that it was restricted to."""
    visit: str | None
    """Visit that it was restricted to."""
    wanted: int
    """Items asked for."""
    available: int
    """Items that could be drafted and match."""
    chosen: int
    """Items that were chosen."""
    n_patients: int
    """Patients of the chosen items."""
    n_drafted: int
    """Drafted by now."""
    n_accepted: int
    """Accepted by now."""


def load_choice(
    con: duckdb.DuckDBPyConnection, run_id: str, request: QuotaRequest | None
) -> QuotaChoice | None:
    """Returns the items that a run chose for a request; for its last one when it is None."""
    rows = con.execute(
        "SELECT choice_no, questions, visit, list(quota ORDER BY quota_no), "
        "list([wanted, available, chosen] ORDER BY quota_no) FROM run_quotas WHERE run_id = ? "
        "GROUP BY choice_no, questions, visit ORDER BY choice_no DESC",
        [run_id],
    ).fetchall()
    for choice_no, questions, visit, quotas, counts in rows:
        known = QuotaRequest(tuple(quotas), questions, visit)
        if request is None or known == request:
            items = con.execute(
                "SELECT volume_id, question_id, quota_nos FROM run_quota_items "
                "WHERE run_id = ? AND choice_no = ? ORDER BY ALL",
                [run_id, choice_no],
            ).fetchall()
            return QuotaChoice(
                known,
                tuple(QuotaCount(q, *c) for q, c in zip(quotas, counts, strict=True)),
                {ItemKey(volume, question): tuple(nos) for volume, question, nos in items},
                choice_no,
            )
    return None


def put_choice(writer: StoreWriter, run_id: str, choice: QuotaChoice) -> int:
    """Puts the items chosen for a request; returns the choice's number in the run.

    One that the store gave (`load_choice`) is there already and stays as it is.
    """
    if choice.choice_no is not None:
        return choice.choice_no
    with writer.transaction() as con:
        ((last,),) = con.execute(
            "SELECT coalesce(max(choice_no), 0) FROM run_quotas WHERE run_id = ?", [run_id]
        ).fetchall()
        number = int(last) + 1
        request, now = choice.request, utc_now()
        key: Row = {"run_id": run_id, "choice_no": number}
        quotas: list[Row] = [
            key
            | count._asdict()
            | {
                "quota_no": quota_no,
                "questions": request.questions,
                "visit": request.visit,
                "chosen_at": now,
            }
            for quota_no, count in enumerate(choice.counts, start=1)
        ]
        items: list[Row] = [
            key | item._asdict() | {"quota_nos": list(nos)}
            for item, nos in sorted(choice.items.items())
        ]
        insert(con, "run_quotas", arrow(quotas, _QUOTAS))
        insert(con, "run_quota_items", arrow(items, _ITEMS))
    return number


def quota_progress(con: duckdb.DuckDBPyConnection, run_id: str) -> Sequence[QuotaProgress]:
    """Returns what became of a run's quotas, choice by choice; empty for a run without any."""
    result = con.execute(
        "SELECT * EXCLUDE (run_id, quota_no) FROM v_quotas WHERE run_id = ? "
        "ORDER BY choice_no, quota_no",
        [run_id],
    )
    return [QuotaProgress(**row) for row in rows_of(result)]
