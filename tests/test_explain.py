"""`explain`: every kind of item, on the terminal and on its page."""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.errors import InputError
from knee.judgement import JudgeCall, Judgement, JudgeTask, RubricMark
from knee.keys import ItemKey
from knee.records import Attempt, Item, ItemOutcome, ItemState, PromptRef, Usage
from knee.run_config import Sampling
from knee.verdict import Recheck, Verdict
from prompts.registry import load_prompt
from prompts.render import hash_messages, render_revision
from stages.explain import ExplainOptions, explain
from stages.retrying import EarlierTries
from store.items import Selection
from store.verdicts import put_verdicts, start_recheck
from store.writer import StoreWriter
from tests.hand_made_store import file_hashes, make_store
from tests.store_records import outcome, run, volume

EVIL = '<script>alert("x")</script> \x1b[31m & "quoted"'
KEY = "9001/V00/right/dess"
READS = {"9001": {1: 1, 2: 1, 3: 1, 4: 1, 16: 1, 17: None, 30: 1}}
TEMPLATE = load_prompt("draft", 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One knee: questions 1-4 ended in the four ways, 16 is pending, 17 unread, 30 no evidence."""
    path = tmp_path_factory.mktemp("explain") / "knees.duckdb"
    make_store(path, READS, without_evidence=frozenset({("9001", 30)}))
    judge = PromptRef(prompt_id="judge-rubric", version=1, sha256="sha256:00")
    with StoreWriter(path) as writer:
        started = run("r1").model_copy(update={"prompts": (TEMPLATE.ref, judge)})
        writer.start_or_resume_run(started)
        writer.bind_volumes("r1")
        items = {item.question_id: item for item in writer.items(Selection())}
        outcomes = [
            _finished(items[1], ItemState.ACCEPTED),
            _finished(items[2], ItemState.REJECTED),
            _finished(items[3], ItemState.DISAGREES, changed=True),
            _finished(items[4], ItemState.FAILED),
        ]
        writer.put_outcomes("r1", outcomes)
        _recheck(writer, outcomes[0])
    return path


def _finished(item: Item, state: ItemState, *, changed: bool = False) -> ItemOutcome:
    """Returns an outcome whose prompts hash as they are rendered; `changed`: as they were not."""
    made = outcome("r1", KEY, item.question_id, state=state, clinician=2 if changed else 1)
    context = GraphContext("r1", ScriptedChatModel(lambda _: ""), TEMPLATE, Sampling(), 1)
    task = prepare_task(item, context)
    first, second = made.attempts
    revision = render_revision(TEMPLATE, task.prompt, first.text, first.issues)
    hashes = [hash_messages(task.messages), hash_messages(revision)]
    attempts: list[Attempt] = [
        attempt.model_copy(
            update={
                "prompt": TEMPLATE.ref,
                "prompt_text_sha256": "sha256:other" if changed else text_hash,
            }
        )
        for attempt, text_hash in zip((first, second), hashes, strict=True)
    ]
    if state is ItemState.REJECTED:
        attempts[1] = attempts[1].model_copy(update={"text": EVIL, "draft": None})
    if state is ItemState.FAILED:
        attempts = []
    return made.model_copy(
        update={
            "attempts": tuple(attempts),
            "findings_id": item.findings_id,
            "codes": ("model_unavailable",) if state is ItemState.FAILED else made.codes,
            "error": f"HTTP 500 {EVIL}" if state is ItemState.FAILED else None,
        }
    )


def _recheck(writer: StoreWriter, accepted: ItemOutcome) -> None:
    recheck = Recheck(
        recheck_id="x1",
        run_id="r1",
        fingerprint="sha256:f",
        checks={"schema": 9},
        warn_only=(),
        judge_model="judge-7b",
    )
    ref = PromptRef(prompt_id="judge-rubric", version=1, sha256="sha256:00")
    call = JudgeCall(
        call_no=1,
        task=JudgeTask.RUBRIC,
        prompt=ref,
        prompt_text_sha256="sha256:call",
        model="judge-7b",
        sampling={"temperature": 0.0},
        usage=Usage(prompt_tokens=5, completion_tokens=6, latency_s=0.1),
        finish_reason="stop",
        text=f"marks {EVIL}",
    )
    judgement = Judgement(
        attempt_no=2,
        model="judge-7b",
        prompts=(ref,),
        versions={"judge": 1},
        calls=(call,),
        grades={c.component: 1 for c in accepted.components},
        marks=(RubricMark(item="ordered", essential=True, holds=False, reason=EVIL),),
        codes=("judge_rubric.ordered",),
    )
    verdict = Verdict(
        run_id="r1",
        volume_id=KEY,
        question_id=accepted.question_id,
        recheck_id="x1",
        attempt_no=2,
        state=ItemState.REJECTED,
        codes=judgement.codes,
        gates=(),
        complete=True,
        issues=accepted.attempts[0].issues,
        components_scored=("size",),
        judgement=judgement,
    )
    start_recheck(writer, recheck)
    put_verdicts(writer, recheck, [verdict], new_judgements=True)


def words(store: Path, question: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert explain(ExplainOptions((f"{KEY}#{question}",), store)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (1, ["state rejected", "judge_rubric.ordered", "not holding: ordered", "recheck x1"]),
        (2, ["state rejected", "attempt 2: failed", "not parsed: <script>", r"\x1b[31m"]),
        (3, ["state disagrees", "nothing is fed back", "draft 1, clinician 2 (read), DIFFERS"]),
        (4, ["state failed", "Infrastructure", "HTTP 500"]),
        (16, ["state pending", "the run has not come to it", "draft –, clinician 1 (read)"]),
        (17, ["state unlabelled", "in no table", "bml_volume_share 12.3 % (sd 0.7)"]),
        (30, ["state no_evidence", "no evidence that a text can cite", "a lesion label"]),
        (65, ["state no_region", "no region in this label map", "no finding for this question"]),
    ],
)
def test_every_kind_of_item_is_explained(
    store: Path, capsys: pytest.CaptureFixture[str], question: int, said: list[str]
):
    text = words(store, question, capsys)
    assert text.startswith(f"{KEY}#{question}")
    for expected in said:
        assert expected in text
    assert "\x1b" not in text, "model text does not speak to the terminal"


@pytest.mark.parametrize("question", [1, 2, 3, 4, 16, 17, 30, 65])
def test_the_page_is_whole_escaped_and_stands_alone(store: Path, tmp_path: Path, question: int):
    before = file_hashes(store.parent)
    out = tmp_path / "item.html"
    assert explain(ExplainOptions((KEY, f"Q{question}"), store, out=out)) == 0
    page = out.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "src=" not in page.replace('src="data:image/png;base64,', "")
    assert "href=" not in page
    assert page.rstrip().endswith("</html>")
    assert f"{KEY}#{question}" in page
    assert "sha256:" in page
    assert file_hashes(store.parent) == before
    assert [p.name for p in tmp_path.iterdir()] == ["item.html"]


def test_the_prompt_is_rendered_again_and_its_hash_compared(store: Path, tmp_path: Path):
    pages = {}
    for question in (1, 3, 16):
        out = tmp_path / f"{question}.html"
        explain(ExplainOptions((f"{KEY}#{question}",), store, out=out))
        pages[question] = out.read_text(encoding="utf-8")
    assert pages[1].count("its hash is the stored one") == 2, "the revision's as well"
    assert "9.9 mm is not among the findings" in pages[1]
    assert "its hash differs" not in pages[1]
    assert pages[3].count("this is not what was sent, its hash differs") == 2
    assert "The prompt that would be sent" in pages[16]
    assert "bone marrow lesion" in pages[1]


def test_a_first_draft_behind_a_failed_try_is_what_was_sent(tmp_path: Path):
    path = make_store(tmp_path / "knees.duckdb", READS)
    with StoreWriter(path) as writer:
        writer.start_or_resume_run(run("r1").model_copy(update={"prompts": (TEMPLATE.ref,)}))
        writer.bind_volumes("r1")
        item = next(i for i in writer.items(Selection()) if i.question_id == 1)
        made = _finished(item, ItemState.ACCEPTED)
        tried = made.model_copy(update={"state": ItemState.FAILED, "error": "HTTP 500"})
        earlier = EarlierTries({ItemKey(KEY, 1): tried.model_copy(update={"gates": ()})})
        writer.put_outcomes("r1", [earlier.amend(made)])
    out = tmp_path / "item.html"
    explain(ExplainOptions((f"{KEY}#1",), path, out=out))
    page = out.read_text(encoding="utf-8")
    assert page.count("its hash is the stored one") == 4
    assert "its hash differs" not in page


def test_json_holds_what_the_page_shows(store: Path, capsys: pytest.CaptureFixture[str]):
    explain(ExplainOptions((f"{KEY}#1",), store, as_json=True))
    view: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [verdict["state"] for verdict in view["verdicts"]] == ["accepted", "rejected"]
    assert view["verdicts"][1]["judgement"]["marks"][0]["holds"] is False
    assert [attempt["passed"] for attempt in view["attempts"]] == [False, True]
    assert view["attempts"][0]["issues"][0]["code"] == "number_not_in_findings"
    assert dict(view["provenance"])["prompt draft v1"] == TEMPLATE.sha256
    assert "stale and is not exported: a recheck says otherwise" in " ".join(view["warnings"])


def test_a_store_without_a_run_and_an_item_outside_the_quotas(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bare = make_store(tmp_path / "bare.duckdb", {"9001": {1: 1}})
    assert "the store has no run" in words(bare, 1, capsys)
    with StoreWriter(bare) as writer:
        writer.start_or_resume_run(run("r1").model_copy(update={"prompts": (TEMPLATE.ref,)}))
        writer.bind_volumes("r1")
        with writer.transaction() as con:
            con.execute("INSERT INTO run_quota_items VALUES ('r1', 1, 'other', 1, [1])")
        broken = volume("9005").model_copy(update={"status": "failed", "reason": "no labels"})
        writer.put_volume(broken)
    assert "outside the quotas" in words(bare, 1, capsys)
    assert explain(ExplainOptions(("9005#1",), bare)) == 0
    assert "the volume could not be described (no labels)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (("9001/V00/right/dess",), "names no item"),
        (("9001#0",), "'0' is no question: 1 to 69"),
        (("9001#70",), "'70' is no question"),
        (("9001", "x"), "'x' is no question"),
        (("#3",), "names no volume"),
        (("9009#3",), "is no volume here"),
    ],
)
def test_what_names_no_item_is_told(store: Path, item: tuple[str, ...], said: str):
    with pytest.raises(InputError, match=said):
        explain(ExplainOptions(item, store))


def test_wrong_runs_and_pages_are_told(store: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no run 'r9'"):
        explain(ExplainOptions((f"{KEY}#1",), store, run="r9"))
    for out, said in (
        (store, "is no HTML file"),
        (tmp_path / "none" / "x.html", "no such folder"),
    ):
        with pytest.raises(InputError, match=said):
            explain(ExplainOptions((f"{KEY}#1",), store, out=out))


def test_a_key_is_read_from_both_ends(store: Path, capsys: pytest.CaptureFixture[str]):
    for item in (("9001#1",), ("9001/V00", "q1"), (str(ItemKey(KEY, 1).volume_id), "1")):
        explain(ExplainOptions(item, store))
        assert capsys.readouterr().out.startswith(f"{KEY}#1  Q1 ")
