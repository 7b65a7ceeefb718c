"""A small prepared store with phantoms, and a stub server that answers its items soundly."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from agents.context import GraphContext
from agents.demo_model.corpus import make_task
from agents.demo_model.grammar import to_json, write_answer
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.anatomy import Side
from knee.calibration import load_calibration, rule_for
from knee.run_config import Sampling
from prompts.registry import load_prompt
from store.connection import open_store
from store.items import Selection, load_items
from tests.demo_run import CHECKOUT, free_port, run_command
from tests.stub_server import prompt_key

CALIBRATION = CHECKOUT / "configs" / "calibration-demo.toml"


def prepare_phantoms(folder: Path, n_knees: int = 2, seed: int = 11) -> Path:
    """Makes a phantom cohort in `folder/cohort`, prepares it, and returns the store's path."""
    store = folder / "knees.duckdb"
    made = run_command(
        "phantom", str(folder / "cohort"), "--knees", str(n_knees), "--seed", str(seed)
    )
    assert made.code == 0, made.err
    done = run_command(
        "prepare", str(folder / "cohort"), "--store", str(store), "--calibration", str(CALIBRATION)
    )
    assert done.code == 0, done.err
    return store


def write_answers(store: Path, path: Path) -> int:
    """Writes a sound answer to each item that a rule can grade, by prompt; returns how many."""
    calibration = load_calibration(CALIBRATION)
    context = GraphContext(
        run_id="none",
        model=ScriptedChatModel(lambda _: ""),
        template=load_prompt("demo-draft", 1),
        sampling=Sampling(),
        max_revisions=0,
        calibration=calibration,
    )
    answers: dict[str, str] = {}
    rng = Random(1)
    with open_store(store, read_only=True) as con:
        for item in load_items(con, Selection()):
            rules = [rule_for(item.question.feature, c, calibration) for c in item.asked]
            if None in rules:
                continue
            task = make_task(item.finding, Side(item.side), item.asked, calibration)
            messages = prepare_task(item, context).messages
            key = prompt_key([message.model_dump() for message in messages])
            answers[key] = to_json(write_answer(task, rng))
    path.write_text(json.dumps(answers), encoding="utf-8")
    return len(answers)


def write_config(folder: Path, port: int, concurrency: int = 4) -> Path:
    """Writes a settings file for the stub; returns its path."""
    (folder / CALIBRATION.name).write_text(CALIBRATION.read_text(encoding="utf-8"))
    path = folder / "stub.toml"
    path.write_text(
        f"""name = "stub"
calibration = "{CALIBRATION.name}"
[drafter]
base_url = "http://127.0.0.1:{port}/v1"
model = "stub"
prompt_id = "demo-draft"
prompt_version = 1
licence = "none"
timeout_s = 20
[drafter.sampling]
max_tokens = 256
[batch]
concurrency = {concurrency}
max_revisions = 0
commit_items = 7
commit_seconds = 0.3
server_wait_s = 5
""",
        encoding="utf-8",
    )
    return path


@contextmanager
def stub_process(
    answers: Path,
    latency_s: float,
    spread_s: float = 0.0,
    *,
    more: Sequence[str] = (),
) -> Generator[int]:
    """Runs the stub server in a process of its own; yields its port.

    Args:
        answers: JSON, prompt key to answer.
        latency_s: seconds before each answer.
        spread_s: seconds added by chance.
        more: further options of `tests.stub_server`.
    """
    port = free_port()
    command = [sys.executable, "-m", "tests.stub_server", "--port", str(port)]
    command += ["--answers", str(answers), "--latency", str(latency_s), "--spread", str(spread_s)]
    process = subprocess.Popen([*command, *more], cwd=CHECKOUT)
    try:
        deadline = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None, "the stub server ended"
            assert time.monotonic() < deadline, "the stub server does not answer"
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
