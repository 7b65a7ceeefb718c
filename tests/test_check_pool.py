"""Checks in processes of their own: the same reports, whatever becomes of a process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from agents.check_pool import check_pool, n_check_workers
from agents.check_worker import CheckRequest, CheckSetup
from agents.checks.context import CheckContext
from agents.checks.run import CheckReport, check_answer
from agents.context import GraphContext
from agents.graph import run_item
from agents.scripted_model import ScriptedChatModel
from knee.records import CheckSeverity, ItemState
from knee.run_config import BatchSettings, Sampling
from prompts.registry import load_prompt
from tests.demo_run import CHECKOUT
from tests.mutation_bases import demo_calibration, grammar_bases, hand_bases
from tests.sample_items import sample_answer, sample_item

SETUP = CheckSetup(calibration=demo_calibration(), warn_only=("length",))


def cases() -> list[tuple[str, str, CheckContext]]:
    """Returns sound drafts, drafts held against another item, and what is no draft."""
    bases = [*islice(grammar_bases(24, 3), 24), *hand_bases()]
    bases = [
        replace(base, context=replace(base.context, calibration=SETUP.calibration))
        for base in bases
    ]
    texts = [json.dumps(base.answer, ensure_ascii=False) for base in bases]
    made = [(text, "stop", base.context) for text, base in zip(texts, bases, strict=True)]
    made += [(text, "stop", base.context) for text, base in zip(texts[1:], bases, strict=False)]
    context = bases[0].context
    odd = ("", "no JSON", '{"locate": "\\ud800"}', "\u2028\n\u00b5 \U0001f9b5", "{" * 5000)
    return [*made, *((text, "stop", context) for text in odd), (texts[0], "length", context)]


async def test_reports_are_those_of_this_process_in_any_order_of_asking():
    given = cases()
    async with check_pool(2, SETUP) as pool:
        assert pool is not None
        await pool.wait_until_ready()
        assert len(pool.pids) == 2
        found = await asyncio.gather(*(pool.check(*case) for case in given))
    warn_only = frozenset(SETUP.warn_only)
    expected = [check_answer(*case, warn_only) for case in given]
    assert found == expected
    assert [r.model_dump_json() for r in found] == [r.model_dump_json() for r in expected]
    severities = {issue.severity for report in expected for issue in report.issues}
    assert severities == set(CheckSeverity), "settings and failures both take part"


async def test_a_killed_worker_loses_no_answer_and_a_dropped_one_shifts_none():
    given = cases()
    expected = [check_answer(*case, frozenset(SETUP.warn_only)) for case in given]
    async with check_pool(1, SETUP) as pool:
        assert pool is not None
        await pool.wait_until_ready()
        (pid,) = pool.pids
        assert os.getsid(pid) != os.getsid(0), "a Ctrl-C in the terminal does not reach it"
        tasks = [asyncio.create_task(pool.check(*case)) for case in given]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[4].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[1], asyncio.CancelledError)
        left = [n for n in range(len(given)) if n not in (1, 4)]
        assert [found[n] for n in left] == [expected[n] for n in left]
        tasks = [asyncio.create_task(pool.check(*case)) for case in given]
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.gather(*tasks) == expected
        assert pool.pids == ()
        assert await pool.check(*given[0]) == expected[0]


async def test_graph_hands_answers_to_the_workers_and_accepts_what_they_pass():
    asked: list[str] = []
    async with check_pool(1, CheckSetup(calibration=None, warn_only=())) as pool:
        assert pool is not None
        await pool.wait_until_ready()
        check = pool.check

        async def noting(text: str, finish_reason: str, context: CheckContext) -> CheckReport:
            asked.append(text)
            return await check(text, finish_reason, context)

        pool.check = noting
        context = GraphContext(
            run_id="run-1",
            model=ScriptedChatModel(lambda _: sample_answer()),
            template=load_prompt("demo-draft", 1),
            sampling=Sampling(),
            max_revisions=0,
            checkers=pool,
        )
        outcome = await run_item(sample_item(), context)
    assert asked == [sample_answer()]
    assert outcome.state is ItemState.ACCEPTED


def test_a_worker_ends_with_the_process_that_started_it():
    program = (
        "import asyncio\n"
        "from agents.check_pool import check_pool\n"
        "from agents.check_worker import CheckSetup\n"
        "async def main():\n"
        "    async with check_pool(1, CheckSetup(calibration=None, warn_only=())) as pool:\n"
        "        print(*pool.pids, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "the worker outlives a killed parent"
        time.sleep(0.05)


async def test_a_worker_runs_this_checkout_wherever_the_batch_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for package in ("agents", "knee", "json"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('another checkout')")
    monkeypatch.chdir(tmp_path)
    (case, *_) = cases()
    async with check_pool(1, SETUP) as pool:
        assert pool is not None
        await pool.wait_until_ready()
        assert await pool.check(*case) == check_answer(*case, frozenset(SETUP.warn_only))
        assert len(pool.pids) == 1, "the worker died of what lies in the working directory"


async def test_answers_are_checked_here_until_a_worker_is_ready():
    (case, *_) = cases()
    async with check_pool(1, SETUP) as pool:
        assert pool is not None
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)  # it will not be ready for as long as it is stopped
        try:
            async with asyncio.timeout(5):
                found = await pool.check(*case)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert found == check_answer(*case, frozenset(SETUP.warn_only))


async def test_no_worker_is_no_pool():
    async with check_pool(0, SETUP) as pool:
        assert pool is None


@pytest.mark.parametrize(
    ("concurrency", "check_workers", "cores", "expected"),
    [(64, None, 2, 1), (64, None, 1, 0), (16, None, 64, 0), (64, 0, 64, 0), (1, 3, 1, 3)],
)
def test_workers_are_as_set_or_where_a_core_is_left(
    concurrency: int,
    check_workers: int | None,
    cores: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    settings = BatchSettings(concurrency=concurrency, check_workers=check_workers)
    assert n_check_workers(settings) == expected


def test_a_request_holds_every_field_of_what_an_answer_is_held_against():
    (_, _, context), *_ = cases()
    request = CheckRequest.model_validate_json(
        CheckRequest.of("a", "stop", context).model_dump_json()
    )
    assert request.context(context.calibration) == context
