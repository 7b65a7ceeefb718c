"""Later verdicts on a run's items: put beside what is there, numbered, never overwritten."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from knee.calls import PromptRef
from knee.errors import StoreError
from knee.judgement import Judgement
from knee.keys import ItemKey
from knee.records import ItemState
from knee.verdict import Recheck, Verdict
from store.arrow_rows import TEXT, Row, arrow, utc_now
from store.inserting import exists, insert
from store.items import rows_of
from store.judgement_rows import PROMPTS, judgement_of, judgement_tables
from store.outcome_rows import ISSUE, QUINTUPLES
from store.writer import StoreWriter

FIRST_VERDICT = 1
"""Number of the run's own verdict, which is its outcome."""
_RECHECKS = pa.schema(
    {
        "recheck_id": TEXT,
        "run_id": TEXT,
        "fingerprint": TEXT,
        "checks": pa.map_(TEXT, pa.int32()),
        "warn_only": pa.list_(TEXT),
        "judge_model": TEXT,
        "prompts": PROMPTS,
        "provenance": pa.map_(TEXT, TEXT),
        "started_at": pa.timestamp("us"),
    }
)
_VERDICTS = pa.schema(
    {
        "run_id": TEXT,
        "volume_id": TEXT,
        "question_id": pa.int16(),
        "verdict_no": pa.int16(),
        "recheck_id": TEXT,
        "attempt_no": pa.int16(),
        "state": TEXT,
        "codes": pa.list_(TEXT),
        "gates": pa.list_(TEXT),
        "complete": pa.bool_(),
        "issues": pa.list_(ISSUE),
        "error": TEXT,
        "recorded_at": pa.timestamp("us"),
    }
)


class StateChange(NamedTuple):
    """How many items a recheck moved from one state to another, by reason."""

    before: ItemState
    """The verdict before this recheck."""
    after: ItemState
    """This recheck's."""
    code: str | None
    """The new verdict's reason, or the old one's where the new one has none; None without any."""
    items: int
    """Items; one with several reasons counts under each."""


def newest_recheck(con: duckdb.DuckDBPyConnection, run_id: str) -> Recheck | None:
    """Returns the last recheck of a run, None when there was none."""
    result = con.execute(
        "SELECT * EXCLUDE (started_at) FROM rechecks WHERE run_id = ? "
        "ORDER BY started_at DESC, recheck_id DESC LIMIT 1",
        [run_id],
    )
    for row in list(rows_of(result)):
        row["checks"], row["provenance"] = dict(row["checks"]), dict(row["provenance"])
        row["prompts"] = tuple(PromptRef(**prompt) for prompt in row["prompts"])
        return Recheck(**row)
    return None


def rechecked_keys(con: duckdb.DuckDBPyConnection, recheck_id: str) -> set[ItemKey]:
    """Returns the items that have this recheck's verdict."""
    rows = con.execute(
        "SELECT volume_id, question_id FROM verdicts WHERE recheck_id = ?", [recheck_id]
    ).fetchall()
    return {ItemKey(str(volume), int(question)) for volume, question in rows}


def newest_judgements(
    con: duckdb.DuckDBPyConnection, run_id: str, volume_id: str
) -> dict[int, Judgement]:
    """Returns the last judgement of each question of a volume that was judged in a run."""
    where = "run_id = ? AND volume_id = ?"
    calls: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in rows_of(
        con.execute(
            f"SELECT * FROM judge_calls WHERE {where} ORDER BY call_no", [run_id, volume_id]
        )
    ):
        calls.setdefault((row["question_id"], row["verdict_no"]), []).append(row)
    found: dict[int, Judgement] = {}
    for row in rows_of(
        con.execute(
            f"SELECT * FROM judgements WHERE {where} ORDER BY verdict_no", [run_id, volume_id]
        )
    ):
        key = (row["question_id"], row["verdict_no"])
        found[row["question_id"]] = judgement_of(row, calls.get(key, ()))
    return found


def start_recheck(writer: StoreWriter, recheck: Recheck) -> None:
    """Puts a recheck; one that is there already stays.

    Raises:
        StoreError: the run is not in the store.
    """
    with writer.transaction() as con:
        if not exists(con, "runs WHERE run_id = ?", [recheck.run_id]):
            raise StoreError(f"no run {recheck.run_id!r} in the store")
        if not exists(con, "rechecks WHERE recheck_id = ?", [recheck.recheck_id]):
            row: Row = {
                **recheck.model_dump(),
                "checks": list(recheck.checks.items()),
                "provenance": list(recheck.provenance.items()),
                "started_at": utc_now(),
            }
            insert(con, "rechecks", arrow([row], _RECHECKS))


def put_verdicts(
    writer: StoreWriter, recheck: Recheck, verdicts: Sequence[Verdict], *, new_judgements: bool
) -> int:
    """Puts a recheck's verdicts in one transaction, each exactly once; returns how many were new.

    An item that is accepted now and was not before becomes a quintuple; one that was accepted
    keeps its row, and `v_quintuples.status` says that it is stale.

    Args:
        writer: the store.
        recheck: a recheck of this store.
        verdicts: its verdicts; an item that has one of this recheck already is ignored.
        new_judgements: whether their judgements were made now; else they are on file already.

    Raises:
        StoreError: an item was never finished in its run.
    """
    with writer.transaction() as con:
        known = _load_known(con, recheck, verdicts)
        rows: list[Row] = []
        judged: list[tuple[Row, Judgement]] = []
        quintuples: list[Row] = []
        now = utc_now()
        for verdict in verdicts:
            there = known.get(ItemKey(verdict.volume_id, verdict.question_id))
            if there is None:
                raise _unfinished(verdict)
            if there.has_verdict:
                continue
            key = _key(verdict)
            number = there.newest_no + 1
            rows.append(key | _verdict_row(verdict, number) | {"recorded_at": now})
            if verdict.judgement is not None and new_judgements:
                judged.append((key | {"verdict_no": number}, verdict.judgement))
            if verdict.state is ItemState.ACCEPTED and not there.is_quintuple:
                quintuples.append(key | _quintuple_row(verdict, there) | {"recorded_at": now})
        if rows:
            insert(con, "verdicts", arrow(rows, _VERDICTS))
            for table, values in judgement_tables(judged).items():
                insert(con, table, values)
            if quintuples:
                insert(con, "quintuples", arrow(quintuples, QUINTUPLES))
    return len(rows)


def state_changes(con: duckdb.DuckDBPyConnection, recheck_id: str) -> list[StateChange]:
    """Returns how a recheck's verdicts differ from those before it, most frequent first."""
    rows = con.execute(
        """
        SELECT was, became, code, count(*) AS n FROM (
            SELECT before.state AS was, after.state AS became,
                unnest(CASE WHEN len(after.codes) > 0 THEN after.codes
                    WHEN len(before.codes) > 0 THEN before.codes ELSE [NULL] END) AS code
            FROM v_verdicts after
            JOIN v_verdicts before
                ON before.run_id = after.run_id AND before.volume_id = after.volume_id
                AND before.question_id = after.question_id
                AND before.verdict_no = after.verdict_no - 1
            WHERE after.recheck_id = ? AND before.state <> after.state
        ) GROUP BY ALL ORDER BY n DESC, was, became, code
        """,
        [recheck_id],
    ).fetchall()
    return [StateChange(ItemState(a), ItemState(b), code, int(n)) for a, b, code, n in rows]


def verdict_counts(con: duckdb.DuckDBPyConnection, recheck_id: str) -> dict[ItemState, int]:
    """Returns how many items have which of a recheck's verdicts."""
    rows = con.execute(
        "SELECT state, count(*) FROM verdicts WHERE recheck_id = ? GROUP BY ALL", [recheck_id]
    ).fetchall()
    return {ItemState(state): int(n) for state, n in rows}


def stale_quintuples(con: duckdb.DuckDBPyConnection, run_id: str) -> Iterator[tuple[str, int]]:
    """Yields each reason for which quintuples of a run are stale, with their number."""
    rows = con.execute(
        "SELECT reason, count(*) FROM (SELECT unnest(stale_reasons) AS reason FROM v_quintuples "
        "WHERE run_id = ?) GROUP BY ALL ORDER BY ALL",
        [run_id],
    ).fetchall()
    yield from ((str(reason), int(n)) for reason, n in rows)


class _Known(NamedTuple):
    findings_id: str
    synthetic: bool
    newest_no: int
    has_verdict: bool
    is_quintuple: bool


def _load_known(
    con: duckdb.DuckDBPyConnection, recheck: Recheck, verdicts: Sequence[Verdict]
) -> dict[ItemKey, _Known]:
    """Returns what is on file of each item, where its run has finished it."""
    rows = con.execute(
        """
        SELECT o.volume_id, o.question_id, o.findings_id, v.synthetic,
            coalesce(max(w.verdict_no), 1), coalesce(bool_or(w.recheck_id = $recheck), false),
            any_value(z.run_id) IS NOT NULL
        FROM outcomes o
        JOIN volumes v USING (volume_id)
        LEFT JOIN verdicts w USING (run_id, volume_id, question_id)
        LEFT JOIN quintuples z USING (run_id, volume_id, question_id)
        WHERE o.run_id = $run AND (o.volume_id, o.question_id) IN
            (SELECT unnest($volumes), unnest($questions)::SMALLINT)
        GROUP BY ALL
        """,
        {
            "recheck": recheck.recheck_id,
            "run": recheck.run_id,
            "volumes": [verdict.volume_id for verdict in verdicts],
            "questions": [verdict.question_id for verdict in verdicts],
        },
    ).fetchall()
    return {ItemKey(str(volume), int(question)): _Known(*rest) for volume, question, *rest in rows}


def _unfinished(verdict: Verdict) -> StoreError:
    return StoreError(
        f"question {verdict.question_id} of {verdict.volume_id!r} was not finished in run "
        f"{verdict.run_id!r}",
        "a later verdict is on what was drafted",
    )


def _key(verdict: Verdict) -> Row:
    return {
        "run_id": verdict.run_id,
        "volume_id": verdict.volume_id,
        "question_id": verdict.question_id,
    }


def _verdict_row(verdict: Verdict, number: int) -> Row:
    return {
        "verdict_no": number,
        "recheck_id": verdict.recheck_id,
        "attempt_no": verdict.attempt_no,
        "state": verdict.state.value,
        "codes": list(verdict.codes),
        "gates": list(verdict.gates),
        "complete": verdict.complete,
        "issues": [issue.model_dump(mode="json") for issue in verdict.issues],
        "error": verdict.error,
    }


def _quintuple_row(verdict: Verdict, known: _Known) -> Row:
    return {
        "attempt_no": verdict.attempt_no,
        "findings_id": known.findings_id,
        "components_scored": list(verdict.components_scored),
        "complete": verdict.complete,
        "synthetic": known.synthetic,
    }
