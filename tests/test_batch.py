"""The batch runner against the stub server: exactly once, whatever happens to the server."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.batch import BatchResult, WorkItem, items_under_way, run_batch
from agents.context import GraphContext
from agents.graph import prepare_task
from agents.llm_client import ChatClient, ChatModel
from agents.progress import BatchProgress
from agents.scripted_model import ScriptedChatModel
from agents.server_guard import ServerGone, ServerGuard
from agents.worker_pool import StopReason
from knee.errors import InputError, ModelUnavailable, StoreError
from knee.records import Item, ItemOutcome, ItemState
from knee.run_config import BatchSettings, ModelEndpoint, Sampling
from prompts.registry import load_prompt
from tests.sample_items import sample_answer, sample_item
from tests.stub_server import Faults, StubServer, answers_by_prompt, prompt_key

ROOT = Path(__file__).parent.parent


def endpoint_for(base_url: str, timeout_s: float = 5.0) -> ModelEndpoint:
    return ModelEndpoint(
        base_url=base_url,
        model="stub",
        prompt_id="demo-draft",
        prompt_version=1,
        timeout_s=timeout_s,
        licence="Apache-2.0",
    )


def context_for(model: ChatModel, max_revisions: int = 2) -> GraphContext:
    return GraphContext(
        run_id="run-1",
        model=model,
        template=load_prompt("demo-draft", 1),
        sampling=Sampling(max_tokens=512),
        max_revisions=max_revisions,
    )


def cohort(n_items: int) -> list[Item]:
    """Returns items that differ in what is measured, so that answers cannot be mixed up."""
    return [sample_item(n, extrusion_mm=3.1 + (n % 17) / 10) for n in range(n_items)]


def valid_answers(items: list[Item]) -> dict[str, str]:
    """Returns an answer that every check accepts, for each item's prompt."""
    context = context_for(ScriptedChatModel(lambda _: ""))
    answers: dict[str, str] = {}
    for item in items:
        messages = [m.model_dump() for m in prepare_task(item, context).messages]
        value = item.finding.measurements[0].value
        answers[prompt_key(messages)] = sample_answer(2, value)
    return answers


def work_of(items: list[Item]) -> list[WorkItem]:
    return [WorkItem(item) for item in items]


def client_for(stub: StubServer | str, *, timeout_s: float = 5.0, tries: int = 5) -> ChatClient:
    url = stub if isinstance(stub, str) else stub.base_url
    return ChatClient(endpoint_for(url, timeout_s), max_tries=tries, max_backoff_s=0.05)


async def run_all(
    model: ChatModel,
    items: list[Item],
    *,
    concurrency: int = 16,
    server_wait_s: float = 30.0,
    on_outcome: Callable[[ItemOutcome], None] | None = None,
) -> tuple[list[ItemOutcome], BatchResult]:
    outcomes: list[ItemOutcome] = []

    def keep(outcome: ItemOutcome) -> None:
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)

    settings = BatchSettings(concurrency=concurrency, server_wait_s=server_wait_s)
    result = await run_batch(work_of(items), context_for(model), settings, keep, poll_s=0.05)
    return outcomes, result


async def test_three_hundred_items_end_exactly_once():
    items = cohort(300)
    stub = StubServer(answer=answers_by_prompt(valid_answers(items)), latency_s=0.01)
    async with stub, client_for(stub) as client:
        outcomes, result = await run_all(client, items, concurrency=32)
    assert Counter(o.volume_id for o in outcomes) == Counter(i.volume_id for i in items)
    assert result.counts == {ItemState.ACCEPTED: 300}
    assert stub.n_requests["ok"] == 300
    assert stub.most_in_flight == 32
    assert (result.stopped, result.exit_code, result.n_outages) == (None, 0, 0)
    by_volume = {item.volume_id: item for item in items}
    for outcome in outcomes:
        shown = by_volume[outcome.volume_id].finding.measurements[0].shown
        assert f"{shown} mm" in outcome.attempts[0].text


async def test_work_is_read_as_workers_become_free_never_ahead():
    items, taken = cohort(60), 0
    most_ahead = 0

    def work() -> Iterator[WorkItem]:
        nonlocal taken
        for item in items:
            taken += 1
            yield WorkItem(item)

    done = 0

    def keep(_: ItemOutcome) -> None:
        nonlocal done, most_ahead
        most_ahead = max(most_ahead, taken - done)
        done += 1

    model = ScriptedChatModel(lambda _: sample_answer())
    await run_batch(work(), context_for(model), BatchSettings(concurrency=8), keep)
    assert done == 60
    assert most_ahead <= items_under_way(8)


@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_change_no_outcome(seed: int):
    items = cohort(120)
    faults = Faults(http_500=0.10, hang=0.05, truncated=0.05, not_json=0.05, seed=seed)
    stub = StubServer(answer=answers_by_prompt(valid_answers(items)), faults=faults)
    async with stub, client_for(stub, timeout_s=0.4) as client:
        outcomes, result = await run_all(client, items, concurrency=24)
    assert result.counts == {ItemState.ACCEPTED: 120}
    assert {o.volume_id for o in outcomes} == {i.volume_id for i in items}
    assert all(len(o.attempts) == 1 for o in outcomes)
    assert min(stub.n_requests[kind] for kind in faults.kinds()) >= 1


class StubProcess:
    """The stub as a process of its own, to be killed and started again on the same port."""

    def __init__(self, port: int, answers: Path) -> None:
        self._command = [sys.executable, "-m", "tests.stub_server", "--port", str(port)]
        self._command += ["--answers", str(answers), "--latency", "0.05"]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def wait_until_up(self) -> None:
        deadline = time.monotonic() + 20
        async with client_for(self.base_url, tries=1) as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(ModelUnavailable):
                    await client.served_models()
                    return
                await asyncio.sleep(0.05)
        raise AssertionError("the stub did not start")


@pytest.fixture
def stub_process(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> Iterator[Callable[[list[Item]], StubProcess]]:
    started: list[StubProcess] = []

    def start(items: list[Item]) -> StubProcess:
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(valid_answers(items)), encoding="utf-8")
        process = StubProcess(unused_tcp_port_factory(), path)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


async def test_server_killed_twice_and_restarted_costs_no_item(
    stub_process: Callable[[list[Item]], StubProcess],
):
    items = cohort(150)
    process = stub_process(items)
    await process.wait_until_up()
    n_done = 0
    restarts: list[asyncio.Task[None]] = []

    async def restart() -> None:
        await asyncio.sleep(0.4)
        process.start()

    def kill_at_some_point(_: ItemOutcome) -> None:
        nonlocal n_done
        n_done += 1
        if n_done in (30, 90):
            process.kill()
            restarts.append(asyncio.create_task(restart()))

    async with client_for(process.base_url, tries=2) as client:
        outcomes, result = await run_all(client, items, on_outcome=kill_at_some_point)
    assert len(restarts) == 2
    assert result.counts == {ItemState.ACCEPTED: 150}
    assert Counter(o.volume_id for o in outcomes) == Counter(i.volume_id for i in items)
    assert result.n_outages >= 2
    assert (result.exit_code, result.n_dropped) == (0, 0)


async def test_server_that_stays_away_stops_the_batch_and_fails_no_item():
    items = cohort(100)
    stub = StubServer(answer=answers_by_prompt(valid_answers(items)), latency_s=0.02)
    n_done = 0
    stops: list[asyncio.Task[None]] = []

    def stop_the_server(_: ItemOutcome) -> None:
        nonlocal n_done
        n_done += 1
        if n_done == 20:
            stops.append(asyncio.create_task(stub.stop()))

    async with stub, client_for(stub, tries=2) as client:
        outcomes, result = await run_all(
            client, items, concurrency=8, server_wait_s=0.3, on_outcome=stop_the_server
        )
    assert result.stopped is StopReason.SERVER_GONE
    assert result.exit_code == 3
    assert "stayed away for 0.3 s" in (result.message or "")
    assert set(result.counts) == {ItemState.ACCEPTED}
    assert 20 <= len(outcomes) < 100
    assert result.n_dropped == items_under_way(8)


async def test_ctrl_c_keeps_what_is_being_kept_and_drops_what_is_in_flight():
    items = cohort(200)
    stub = StubServer(answer=answers_by_prompt(valid_answers(items)), latency_s=0.02)
    begun: list[str] = []
    kept: list[str] = []

    async def keep_slowly(outcome: ItemOutcome) -> None:
        begun.append(outcome.volume_id)
        if len(begun) == 30:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.05)
        kept.append(outcome.volume_id)

    before = signal.getsignal(signal.SIGINT)
    async with stub, client_for(stub) as client:
        result = await run_batch(
            work_of(items), context_for(client), BatchSettings(concurrency=16), keep_slowly
        )
    assert (result.stopped, result.exit_code) == (StopReason.INTERRUPTED, 3)
    assert "SIGINT" in (result.message or "")
    assert begun == kept
    assert 30 <= len(kept) < 100
    assert result.counts.total() == len(kept)
    assert signal.getsignal(signal.SIGINT) is before


async def test_item_that_the_server_never_answers_is_failed_and_the_others_go_on():
    items = cohort(20)
    stub = StubServer(
        answer=answers_by_prompt(valid_answers(items)),
        poisoned=frozenset(valid_answers(items[:1])),
    )
    async with stub, client_for(stub, tries=2) as client:
        outcomes, result = await run_all(client, items, concurrency=4)
    failed = [o for o in outcomes if o.state is ItemState.FAILED]
    # Items 0 and 17 measure the same and so have the same prompt.
    assert {o.volume_id for o in failed} == {items[0].volume_id, items[17].volume_id}
    assert {o.codes for o in failed} == {("model_unavailable",)}
    assert result.counts[ItemState.ACCEPTED] == 18
    assert result.exit_code == 1


async def test_batch_leaves_the_garbage_collector_as_it_was():
    before = gc.get_threshold()
    during: list[tuple[int, int, int]] = []
    model = ScriptedChatModel(lambda _: sample_answer())
    await run_all(model, cohort(1), on_outcome=lambda _: during.append(gc.get_threshold()))
    assert during[0] != before
    assert gc.get_threshold() == before


async def test_error_of_the_keeper_ends_the_batch():
    model = ScriptedChatModel(lambda _: sample_answer())

    def full(_: ItemOutcome) -> None:
        raise StoreError("no space left on device", exit_code=3)

    with pytest.raises(StoreError, match="no space left"):
        await run_all(model, cohort(40), on_outcome=full)


async def test_wrong_model_in_the_middle_ends_the_batch():
    model = ScriptedChatModel(lambda _: InputError("model 'x' is not served"))
    with pytest.raises(InputError, match="not served"):
        await run_all(model, cohort(10))


class FlakyModel(ScriptedChatModel):
    """Answers once after each outage, and says when it is away."""

    def __init__(self, troubles: list[str | None], failures: int) -> None:
        super().__init__(lambda _: self._next())
        self.troubles = troubles
        self.failures = failures

    def _next(self) -> str | ModelUnavailable:
        self.failures -= 1
        return ModelUnavailable("HTTP 500") if self.failures >= 0 else "ok"

    async def find_trouble(self) -> str | None:
        return self.troubles.pop(0) if self.troubles else None


async def test_guard_waits_polls_and_makes_the_call_again():
    told: list[str | None] = []
    model = FlakyModel(["refused", "refused", None], failures=1)
    guard = ServerGuard(model, wait_s=5, poll_s=0.01, on_outage=told.append)
    completion = await guard.complete((), None, Sampling())
    assert completion.text == "ok"
    assert told == ["refused", None]
    assert guard.n_outages == 1


async def test_guard_gives_a_call_three_rounds_while_the_server_answers_others():
    guard = ServerGuard(FlakyModel([], failures=99), wait_s=5, poll_s=0.01)
    with pytest.raises(ModelUnavailable, match="HTTP 500") as caught:
        await guard.complete((), None, Sampling())
    assert not isinstance(caught.value, ServerGone)


async def test_guard_ends_a_run_whose_request_kills_the_server_each_time():
    troubles: list[str | None] = ["refused", None] * 50
    guard = ServerGuard(FlakyModel(troubles, failures=99), wait_s=5, poll_s=0.001)
    with pytest.raises(ServerGone, match="went away 6 times"):
        await guard.complete((), None, Sampling())


async def test_progress_counts_states_and_tokens(item: Item):
    stub = StubServer(answer=answers_by_prompt(valid_answers([item])))
    progress = BatchProgress(total=3)
    async with stub, client_for(stub) as client:
        await run_batch(
            [WorkItem(item)],
            context_for(client),
            BatchSettings(concurrency=1),
            lambda _: None,
            progress=progress,
        )
    assert progress.n_done == 1
    assert progress.completion_tokens > 20
    assert progress.prompt_tokens > 20
    line = progress.line()
    assert line.startswith("1/3 items · 1 accepted · 2 pending")
    assert "tokens/s" in line
    assert "left" in line
