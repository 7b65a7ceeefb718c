"""`recheck`: present checks, or another judge, on a run's stored attempts; nothing is generated.

The attempt that an item ended on is parsed, checked and compared again; what passes is judged when
the settings name a judge, else what an earlier judge said of it still counts. Each pass is a
numbered verdict beside the earlier ones (`v_verdicts`); the views follow the newest. The same
command again does what is left and then nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from agents.checks.run import CHECK_VERSIONS
from agents.llm_client import ChatClient
from agents.preflight import preflight
from agents.server_guard import ServerGone, ServerGuard
from agents.worker_pool import WorkerPool, signals_stop
from knee.errors import ModelOutputError, ModelUnavailable
from knee.keys import JsonValue
from knee.records import ItemState
from knee.run_config import BatchSettings
from knee.verdict import Recheck, Verdict
from stages.console import emit_json, say, show_table
from stages.judge_plan import SEES_NO_SLICES
from stages.recheck_plan import RecheckPlan, make_recheck_plan
from stages.rechecking import Stored, recheck_item, stored_items
from stages.transfer_guard import refuse_transfer
from store.connection import open_store
from store.verdicts import (
    StateChange,
    newest_recheck,
    put_verdicts,
    rechecked_keys,
    stale_quintuples,
    start_recheck,
    state_changes,
    verdict_counts,
)
from store.writer import StoreWriter

_COMMIT_ITEMS = 64
"""Verdicts in one transaction; after a kill as many are given again at most."""


@dataclass
class _Tally:
    """What a recheck has done so far."""

    changes: Counter[tuple[ItemState, ItemState, str | None]] = field(
        default_factory=Counter[tuple[ItemState, ItemState, str | None]]
    )
    counts: Counter[ItemState] = field(default_factory=Counter[ItemState])
    skipped: Counter[str] = field(default_factory=Counter[str])
    other_prompts: Counter[str] = field(default_factory=Counter[str])
    n_unjudged: int = 0
    stopped: str | None = None

    def add(self, stored: Stored, verdict: Verdict) -> None:
        """Counts one verdict."""
        self.counts[verdict.state] += 1
        if stored.prompt_changed is not None:
            self.other_prompts[stored.prompt_changed] += 1
        if verdict.state is not stored.state:
            for code in verdict.codes or stored.codes or (None,):
                self.changes[stored.state, verdict.state, code] += 1


def recheck(store: Path, run_id: str, config: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Gives every finished item of a run a new verdict.

    Args:
        store: the DuckDB file.
        run_id: the run.
        config: settings with the judge, the calibration and the warnings to use; None checks
            without a new judge.
        dry_run: show what would change, and keep nothing.
        as_json: print the changes on stdout.

    Returns:
        0; 1 when the judge did not answer for some items; 3 when its server went away or Ctrl-C
        was pressed.

    Raises:
        InputError: run, settings or server are not as asked.
        StoreError: no store, a foreign one, or another command is writing it.
    """
    with StoreWriter(store) as writer:
        with writer.reading() as con:
            plan = make_recheck_plan(con, run_id, config)
            if plan.config is not None and plan.judge is not None:
                refuse_transfer(plan.config, [plan.judge.endpoint], con)
            last = newest_recheck(con, run_id)
            if last is not None and last.fingerprint == plan.recheck.fingerprint:
                plan = plan.resumed(last)
        tally = asyncio.run(_run(plan, writer, dry_run=dry_run))
    changes = _changes(store, plan.recheck, tally, dry_run=dry_run)
    if as_json:
        emit_json(_as_json(store, plan.recheck, tally, changes, dry_run=dry_run))
    else:
        _show(store, plan.recheck, tally, changes, dry_run=dry_run)
    if tally.stopped is not None:
        say(f"{tally.stopped}\nthe same command goes on where this one stopped")
        return 3
    return 1 if tally.n_unjudged else 0


async def _run(plan: RecheckPlan, writer: StoreWriter, *, dry_run: bool) -> _Tally:
    tally = _Tally()
    async with AsyncExitStack() as stack:
        guard: ServerGuard | None = None
        if plan.judge is not None and plan.config is not None:
            client = await stack.enter_async_context(
                ChatClient(
                    plan.judge.endpoint,
                    concurrency=plan.config.batch.concurrency,
                    allow_remote=plan.config.allow_remote,
                )
            )
            await preflight(
                client, plan.judge.endpoint.sampling, serve_hint="start the judge's server"
            )
            if plan.run.images is not None:
                say(SEES_NO_SLICES)
            guard = ServerGuard(client, wait_s=plan.config.batch.server_wait_s)
            stack.push_async_callback(guard.close)
        if not dry_run:
            start_recheck(writer, plan.recheck)
        with writer.reading() as con:
            done = rechecked_keys(con, plan.recheck.recheck_id)
        rechecker = _Rechecker(plan, writer, guard, tally, dry_run=dry_run)
        left = (s for s in stored_items(writer, plan, tally.skipped) if s.key not in done)
        await rechecker.run(left)
    return tally


class _Rechecker:
    """What a worker does with an item, and what becomes of its verdict: committed in groups."""

    def __init__(
        self,
        plan: RecheckPlan,
        writer: StoreWriter,
        guard: ServerGuard | None,
        tally: _Tally,
        *,
        dry_run: bool,
    ) -> None:
        self._plan = plan
        self._writer = writer
        self._judge = None if guard is None or plan.judge is None else plan.judge.context(guard)
        self._tally = tally
        self._dry_run = dry_run
        self._waiting: list[Verdict] = []

    async def run(self, items: Iterator[Stored]) -> None:
        """Works the iterator off; what is finished is kept, whatever ends the work."""
        batch = self._plan.config.batch if self._plan.config else BatchSettings()
        pool = WorkerPool(items, self._verdict, self._keep)
        try:
            with signals_stop(pool):
                await pool.run(1 if self._judge is None else batch.concurrency)
        finally:
            self._commit()
        self._tally.stopped = pool.message

    async def _verdict(self, stored: Stored) -> tuple[Stored, Verdict | str | None]:
        """Returns the new verdict, why there is none, or None when the judge did not answer."""
        try:
            return stored, await recheck_item(stored, self._plan, self._judge)
        except ServerGone:
            raise
        except (ModelUnavailable, ModelOutputError):
            # Infrastructure: the earlier verdict stands, and the next call asks again.
            return stored, None

    async def _keep(self, found: tuple[Stored, Verdict | str | None]) -> None:
        stored, verdict = found
        if verdict is None:
            self._tally.n_unjudged += 1
        elif isinstance(verdict, str):
            self._tally.skipped[verdict] += 1
        else:
            self._tally.add(stored, verdict)
            self._waiting.append(verdict)
            if len(self._waiting) >= _COMMIT_ITEMS:
                self._commit()
        # Checks alone never wait for anything: a Ctrl-C would not be heard before the last item.
        await asyncio.sleep(0)

    def _commit(self) -> None:
        taken, self._waiting = self._waiting, []
        if taken and not self._dry_run:
            put_verdicts(
                self._writer, self._plan.recheck, taken, new_judgements=self._judge is not None
            )


def _changes(store: Path, recheck: Recheck, tally: _Tally, *, dry_run: bool) -> list[StateChange]:
    if dry_run:
        return [StateChange(*key, n) for key, n in tally.changes.most_common()]
    with open_store(store, read_only=True) as con:
        return state_changes(con, recheck.recheck_id)


def _show(
    store: Path, recheck: Recheck, tally: _Tally, changes: list[StateChange], *, dry_run: bool
) -> None:
    title = "would change" if dry_run else "changed"
    rows = [[c.before.value, c.after.value, c.code, c.items] for c in changes]
    show_table(
        f"recheck of run {recheck.run_id}: what {title}, by reason",
        ["before", "now", "reason", "items"],
        rows or [["–", "–", "nothing", 0]],
        to_stdout=True,
    )
    checked = ", ".join(f"{n} {state.value}" for state, n in sorted(tally.counts.items()))
    say(f"{tally.counts.total()} item(s) checked now: {checked or 'nothing was left'}")
    for reason, n in sorted(tally.skipped.items()):
        say(f"{n} item(s) keep their verdict: {reason}")
    for reason, n in sorted(tally.other_prompts.items()):
        say(f"{n} item(s) were checked against another prompt than was sent: {reason}")
    if tally.n_unjudged:
        say(f"{tally.n_unjudged} item(s) keep their verdict: the judge did not answer for them")
    if dry_run:
        say("dry run: nothing was kept")
        return
    with open_store(store, read_only=True) as con:
        for reason, n in stale_quintuples(con, recheck.run_id):
            say(f"{n} quintuple(s) of the run are stale: {reason}")
    versions = ", ".join(f"{name}@{n}" for name, n in CHECK_VERSIONS.items())
    say(f"recheck {recheck.recheck_id}; judge {recheck.judge_model or 'as before'}; {versions}")


def _as_json(
    store: Path, recheck: Recheck, tally: _Tally, changes: list[StateChange], *, dry_run: bool
) -> dict[str, JsonValue]:
    with open_store(store, read_only=True) as con:
        verdicts = verdict_counts(con, recheck.recheck_id)
        stale = dict(stale_quintuples(con, recheck.run_id))
    return {
        "recheck_id": recheck.recheck_id,
        "run_id": recheck.run_id,
        "dry_run": dry_run,
        "judge_model": recheck.judge_model,
        "checked_now": {state.value: n for state, n in tally.counts.items()},
        "verdicts": {state.value: n for state, n in verdicts.items()},
        "changes": [
            {"before": c.before.value, "now": c.after.value, "code": c.code, "items": c.items}
            for c in changes
        ],
        "kept": dict(tally.skipped),
        "other_prompts": dict(tally.other_prompts),
        "unjudged": tally.n_unjudged,
        "stale_quintuples": dict(stale),
    }
