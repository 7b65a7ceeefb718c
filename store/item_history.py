"""Everything that happened to one item in one run: outcome, verdicts, judgements, quotas."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import duckdb

from knee.judgement import Judgement
from knee.keys import ItemKey
from knee.records import CheckIssue, ItemOutcome, ItemState
from store.items import rows_of
from store.judgement_rows import judgement_of
from store.loading import load_outcomes


class VerdictEntry(NamedTuple):
    """One verdict on an item."""

    verdict_no: int
    """1 is the run's own."""
    recheck_id: str | None
    """The recheck that gave it; None for the run's own."""
    attempt_no: int
    """The attempt that it is of; 0 when the model never answered."""
    state: ItemState
    """How the item ended by it."""
    codes: tuple[str, ...]
    """Reasons."""
    gates: tuple[str, ...]
    """Gates that were passed."""
    issues: tuple[CheckIssue, ...]
    """What a recheck's checks found; those of the run's own are with its attempts."""
    recorded_at: datetime
    """When it was committed, UTC."""
    judgement: Judgement | None
    """What a judge said for it; None without one, and where an earlier word was kept."""


class ItemHistory(NamedTuple):
    """What happened to an item in a run."""

    starting_state: ItemState | None
    """As the run was bound to it; None where the run does not hold the volume."""
    state: ItemState | None
    """Its state by the newest verdict; None as above."""
    outcome: ItemOutcome | None
    """The run's own outcome with all attempts; None where it is not finished."""
    verdicts: tuple[VerdictEntry, ...]
    """Ascending by number."""
    stale_reasons: tuple[str, ...] | None
    """Why its quintuple does not hold any more; empty when it does, None when there is none."""
    outside_quotas: bool
    """True when the run's items were last chosen by quota and it is not one of them."""


def load_history(con: duckdb.DuckDBPyConnection, run_id: str, key: ItemKey) -> ItemHistory:
    """Returns what happened to an item in a run of this store."""
    item = [run_id, key.volume_id, key.question_id]
    where = "WHERE run_id = ? AND volume_id = ? AND question_id = ?"
    bound = con.execute(
        f"SELECT i.starting_state, s.state FROM (SELECT * FROM run_items {where}) i "
        "JOIN v_item_states s USING (run_id, volume_id, question_id)",
        item,
    ).fetchall()
    stale = con.execute(f"SELECT stale_reasons FROM v_quintuples {where}", item).fetchall()
    choices = con.execute(
        "SELECT choice_no, bool_or(volume_id = ? AND question_id = ?) FROM run_quota_items "
        "WHERE run_id = ? GROUP BY choice_no ORDER BY choice_no DESC LIMIT 1",
        [key.volume_id, key.question_id, run_id],
    ).fetchall()
    return ItemHistory(
        starting_state=ItemState(bound[0][0]) if bound else None,
        state=ItemState(bound[0][1]) if bound else None,
        outcome=next(iter(load_outcomes(con, run_id, [key])), None),
        verdicts=_verdicts(con, where, item),
        stale_reasons=tuple(stale[0][0]) if stale else None,
        outside_quotas=bool(choices) and not choices[0][1],
    )


def _verdicts(
    con: duckdb.DuckDBPyConnection, where: str, item: Sequence[object]
) -> tuple[VerdictEntry, ...]:
    issues: dict[int, list[Mapping[str, Any]]] = dict(
        con.execute(f"SELECT verdict_no, issues FROM verdicts {where}", item).fetchall()
    )
    calls: dict[int, list[dict[str, Any]]] = {}
    for row in rows_of(con.execute(f"SELECT * FROM judge_calls {where} ORDER BY call_no", item)):
        calls.setdefault(row["verdict_no"], []).append(row)
    judged = {
        row["verdict_no"]: judgement_of(row, calls.get(row["verdict_no"], ()))
        for row in rows_of(con.execute(f"SELECT * FROM judgements {where}", item))
    }
    rows = list(rows_of(con.execute(f"SELECT * FROM v_verdicts {where} ORDER BY verdict_no", item)))
    return tuple(
        VerdictEntry(
            verdict_no=row["verdict_no"],
            recheck_id=row["recheck_id"],
            attempt_no=row["attempt_no"],
            state=ItemState(row["state"]),
            codes=tuple(row["codes"]),
            gates=tuple(row["gates"]),
            issues=tuple(CheckIssue(**issue) for issue in issues.get(row["verdict_no"], ())),
            recorded_at=row["recorded_at"],
            judgement=judged.get(row["verdict_no"]),
        )
        for row in rows
    )
