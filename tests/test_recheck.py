"""`generate` with a judge, the negative controls, and `recheck`, end to end over a stub server."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from knee.errors import InputError
from knee.records import Control, ItemState
from prompts.render import ChatMessage
from stages.control_table import load_control_report
from stages.generate import GenerateOptions, generate
from stages.recheck import recheck
from stages.summary import load_summary
from store.connection import open_store
from store.controls import majority_grades
from tests.demo_run import CHECKOUT
from tests.prepared_store import prepare_phantoms, write_answers, write_config
from tests.scripted_judge import ITEMS, honest_answer, marks
from tests.stub_server import Faults, StubServer, prompt_key

pytestmark = pytest.mark.slow
QUESTIONS = "1-6,16-20,36-41,43-47"  # a rule grades them, so the stub has sound answers


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store of four phantoms (one test patient) and sound answers to its items."""
    folder = tmp_path_factory.mktemp("judged")
    store = prepare_phantoms(folder, n_knees=4)
    write_answers(store, folder / "answers.json")
    return store, json.loads((folder / "answers.json").read_text(encoding="utf-8"))


@pytest.fixture
async def stub(prepared: tuple[Path, dict[str, str]]) -> AsyncIterator[StubServer]:
    """Serves `stub` (drafts, and judges honestly) and `strict` (finds no draft in order)."""
    answers = prepared[1]

    def answer(body: dict[str, Any]) -> str | None:
        messages = [ChatMessage(**m) for m in body["messages"]]
        text = messages[-1].content
        if "</draft>" in text and body["model"] == "strict":
            return marks({item: item != "ordered" for item in ITEMS})
        if "</draft>" in text or "</steps>" in text:
            return honest_answer(messages)
        return answers.get(prompt_key(body["messages"]))

    async with StubServer(answer=answer, models=("stub", "strict")) as server:
        yield server


class Setting:
    """A fresh copy of the store, and settings with and without a judge."""

    def __init__(self, store: Path, folder: Path, server: StubServer) -> None:
        self.store = folder / "knees.duckdb"
        shutil.copy(store, self.store)
        self.plain = write_config(folder, server.port, concurrency=16)
        text = self.plain.read_text(encoding="utf-8")
        self.judged, self.strict = folder / "judged.toml", folder / "strict.toml"
        judge = f'\n[judge]\nbase_url = "{server.base_url}"\nmodel = "NAME"\nlicence = "none"\n'
        self.judged.write_text(text + judge.replace("NAME", "stub"), encoding="utf-8")
        self.strict.write_text(text + judge.replace("NAME", "strict"), encoding="utf-8")

    async def generate(self, config: Path, control: Control | None = None) -> int:
        options = GenerateOptions(
            store=self.store,
            config=config,
            questions=QUESTIONS,
            control=None if control is None else control.value,
            quiet=True,
        )
        return await asyncio.to_thread(generate, options)

    async def recheck(self, config: Path | None, *, dry_run: bool = False) -> int:
        def call() -> int:
            return recheck(self.store, self.run("none"), config, dry_run=dry_run, as_json=True)

        return await asyncio.to_thread(call)

    def run(self, control: str) -> str:
        ((run_id,),) = self.sql(f"SELECT max(run_id) FROM runs WHERE control = '{control}'")
        return str(run_id)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.store), read_only=True) as con:
            return con.execute(query).fetchall()

    def states(self) -> dict[str, int]:
        return dict(self.sql("SELECT state, count(*) FROM v_outcomes GROUP BY ALL"))


@pytest.fixture
def setting(prepared: tuple[Path, dict[str, str]], tmp_path: Path, stub: StubServer) -> Setting:
    return Setting(prepared[0], tmp_path, stub)


async def test_a_judge_is_part_of_the_run_and_of_what_is_accepted(setting: Setting):
    assert await setting.generate(setting.plain) == 0
    unjudged = setting.states()["accepted"]
    assert await setting.generate(setting.judged) == 0
    runs = setting.sql("SELECT judge_model, len(prompts) FROM runs ORDER BY run_id")
    assert sorted(runs, key=str) == [("stub", 3), (None, 1)]
    gates = setting.sql(
        "SELECT list_filter(gates, lambda g: g LIKE 'judge:%'), count(*) FROM v_quintuples "
        "GROUP BY ALL ORDER BY ALL"
    )
    assert {gate for (gate,), _ in gates} == {
        "judge:none",
        "judge:stub@judge-reanswer/1+judge-rubric/2",
    }
    judged = {gate: n for (gate,), n in gates}["judge:stub@judge-reanswer/1+judge-rubric/2"]
    assert 0 < judged <= unjudged
    assert await setting.generate(setting.strict) == 0
    refused = setting.sql(
        "SELECT count(*) FROM outcomes WHERE list_contains(codes, 'judge_rubric.ordered')"
    )
    assert refused == [(judged,)]


async def test_recheck_with_another_judge_changes_the_views_and_keeps_history(setting: Setting):
    await setting.generate(setting.plain)
    before = setting.states()
    attempts = setting.sql("SELECT count(*) FROM attempts")
    assert await setting.recheck(setting.strict, dry_run=True) == 0
    assert setting.states() == before
    assert setting.sql("SELECT count(*) FROM rechecks") == [(0,)]
    assert await setting.recheck(setting.strict) == 0
    after = setting.states()
    assert after.get("accepted", 0) == 0
    assert after["disagrees"] == before["disagrees"]
    assert setting.sql("SELECT DISTINCT status FROM v_quintuples") == [("stale",)]
    n_calls = setting.sql("SELECT count(*) FROM judge_calls")
    assert await setting.recheck(setting.strict) == 0
    assert setting.sql("SELECT count(*) FROM judge_calls") == n_calls, "idempotent"
    assert await setting.recheck(setting.judged) == 0
    assert setting.states()["accepted"] > 0.9 * before["accepted"]
    assert dict(setting.sql("SELECT state, count(*) FROM outcomes GROUP BY ALL")) == before
    assert setting.sql("SELECT max(verdict_no) FROM v_verdicts") == [(3,)]
    assert setting.sql("SELECT count(*) FROM attempts") == attempts, "nothing was generated"
    # Without a judge, what the last one said still counts.
    states = setting.states()
    assert await setting.recheck(setting.plain) == 0
    assert setting.states() == states


async def test_recheck_goes_on_where_it_was_stopped(setting: Setting, stub: StubServer):
    await setting.generate(setting.plain)
    text = setting.judged.read_text(encoding="utf-8").replace(
        "server_wait_s = 5", "server_wait_s = 0"
    )
    setting.judged.write_text(text, encoding="utf-8")
    honest = stub.answer
    left = [60]

    def fails_later(body: dict[str, Any]) -> str | None:
        left[0] -= 1
        if left[0] == 0:
            stub.faults = Faults(http_500=1.0)
        return honest(body)

    stub.answer = fails_later
    code = await setting.recheck(setting.judged)
    assert code in (1, 3)
    (done,) = setting.sql("SELECT count(*) FROM verdicts")[0]
    assert setting.states().get("failed", 0) == 0, "infrastructure gives no verdict"
    stub.faults = Faults()
    assert await setting.recheck(setting.judged) == 0
    (total,) = setting.sql("SELECT count(*) FROM outcomes")[0]
    assert setting.sql("SELECT count(*), count(DISTINCT recheck_id) FROM verdicts") == [(total, 1)]
    assert done < total


async def test_ctrl_c_keeps_the_verdicts_so_far_and_the_same_command_goes_on(setting: Setting):
    await setting.generate(setting.plain)
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import stages.recheck as stage\n"
        "real, calls = stage.recheck_item, []\n"
        "async def noting(*given):\n"
        "    calls.append(given)\n"
        "    if len(calls) == 20:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return await real(*given)\n"
        "stage.recheck_item = noting\n"
        "store, run, config = sys.argv[1:]\n"
        "ways = {'dry_run': False, 'as_json': False}\n"
        "sys.exit(stage.recheck(Path(store), run, Path(config), **ways))\n"
    )
    command = [sys.executable, "-c", program, str(setting.store), setting.run("none")]
    ended = await asyncio.to_thread(
        subprocess.run, [*command, str(setting.plain)], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert ended.returncode == 3, ended.stderr
    assert "stopped by SIGINT" in ended.stderr
    assert "Traceback" not in ended.stderr
    (done,) = setting.sql("SELECT count(*) FROM verdicts")[0]
    assert 19 <= done <= 40, "a few turns of the loop after the signal"
    assert await setting.recheck(setting.plain) == 0
    (total,) = setting.sql("SELECT count(*) FROM outcomes")[0]
    assert setting.sql("SELECT count(*), count(DISTINCT recheck_id) FROM verdicts") == [(total, 1)]


async def test_recheck_without_the_runs_calibration_says_what_to_name(setting: Setting):
    await setting.generate(setting.plain)
    with pytest.raises(InputError, match="phantom@1") as caught:
        await setting.recheck(None)
    assert "--config" in str(caught.value)


async def test_a_softened_check_lets_the_rejected_through_to_the_comparison(
    setting: Setting, stub: StubServer
):
    sound = stub.answer

    def shifts_boxes(body: dict[str, Any]) -> str | None:
        text = sound(body)
        if text is None or prompt_key(body["messages"])[-1] not in "01234567":
            return text
        draft = json.loads(text)
        draft["locate"]["box"][1] += 1
        return json.dumps(draft)

    stub.answer = shifts_boxes
    await setting.generate(setting.plain)
    before = setting.states()
    rejected = setting.sql("SELECT DISTINCT unnest(codes) FROM outcomes WHERE state = 'rejected'")
    assert rejected == [("box_mismatch",)]
    text = setting.plain.read_text(encoding="utf-8") + '\n[checks]\nwarn_only = ["box"]\n'
    setting.plain.write_text(text, encoding="utf-8")
    assert await setting.recheck(setting.plain) == 0
    after = setting.states()
    assert after.get("rejected", 0) == 0
    assert after["accepted"] > before["accepted"]
    fresh = setting.sql("SELECT count(*) FROM v_quintuples WHERE status = 'valid'")
    assert fresh == [(after["accepted"],)]


@pytest.mark.parametrize("control", [c for c in Control if c is not Control.NONE])
async def test_each_control_is_stored_as_one_and_stands_beside_the_real_run(
    setting: Setting, control: Control
):
    await setting.generate(setting.plain)
    assert await setting.generate(setting.plain, control) == 0
    run_id = setting.run(control.value)
    assert setting.sql(f"SELECT kind FROM runs WHERE run_id = '{run_id}'") == [("control",)]
    real = load_summary(setting.store, setting.run("none"))
    figures = load_summary(setting.store, run_id)
    report = load_control_report(setting.store, control, figures, real.run_id)
    accepted = figures.states[ItemState.ACCEPTED]
    assert accepted < 0.5 * real.states[ItemState.ACCEPTED]
    assert [e.met for e in report.expectations][:1] == [True]
    if control is Control.NO_FINDINGS:
        assert accepted == 0
    if control is Control.ALWAYS_MAJORITY:
        model, tokens = setting.sql(
            f"SELECT any_value(model), sum(prompt_tokens) FROM attempts WHERE run_id = '{run_id}'"
        )[0]
        assert re.match(r"always-majority@1:[0-9a-f]{12}$", model)
        assert tokens == 0
        texts = [expectation.text for expectation in report.expectations]
        assert any("always 0" in text for text in texts)
        assert report.expectations[1].met is not False


async def test_the_majority_is_of_training_patients_alone(setting: Setting):
    with open_store(setting.store, read_only=True) as con:
        splits = dict(con.execute("SELECT patient, split FROM volumes").fetchall())
        before = majority_grades(con)
    assert set(splits.values()) >= {"train", "test"}
    with duckdb.connect(str(setting.store)) as con:
        con.execute(
            "UPDATE clinician_grades SET grade = 3 WHERE patient IN "
            "(SELECT patient FROM volumes WHERE split = 'test') AND status = 'read'"
        )
    with open_store(setting.store, read_only=True) as con:
        assert majority_grades(con) == before
    with duckdb.connect(str(setting.store)) as con:
        con.execute("UPDATE volumes SET split = 'test'")
    with pytest.raises(InputError, match="training patients"):
        await setting.generate(setting.plain, Control.ALWAYS_MAJORITY)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('model = "strict"', 'model = "absent"', "'absent'"),
        ('model = "strict"', 'model = "strict"\nprompt_id = "draft"', "cannot be used here"),
        ('name = "stub"', 'name = "stub"\ngrounding = "label_given"', "label_given"),
    ],
)
async def test_a_wrong_judge_is_told_before_anything_is_written(
    setting: Setting, old: str, new: str, said: str
):
    text = setting.strict.read_text(encoding="utf-8")
    assert old in text
    setting.strict.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        await setting.generate(setting.strict)
    assert setting.sql("SELECT count(*) FROM runs") == [(0,)]
