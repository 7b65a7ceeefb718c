"""`generate --dry-run`: right numbers, nobody called, and not a byte changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from knee.keys import ItemKey
from knee.records import ItemState
from knee.run_config import ServeSettings, load_run_config
from stages.controls import NO_COUNTERPART, count_work
from stages.dry_run import dry_run
from stages.run_plan import GenerateOptions, make_plan
from stages.token_ratio import ASSUMED_RATIO, token_ratio
from store.journal import Journal, journal_folder
from store.reader import StoreReader
from store.writer import StoreWriter
from tests.hand_made_store import file_hashes, make_store, write_settings
from tests.store_records import outcome

READS = {
    "9001": {1: 3, 2: 2, 16: 0, 30: 1},
    "9002": {1: 0, 2: None, 16: 1, 30: 2},
    "9003": {1: 0, 2: 1, 16: 0, 30: 0},
}
NO_EVIDENCE = frozenset({("9002", 16), ("9003", 30)})


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a run that was killed: one item committed, two more in its journal alone."""
    folder = tmp_path_factory.mktemp("dry")
    path = make_store(folder / "knees.duckdb", READS, without_evidence=NO_EVIDENCE)
    config = write_settings(folder, max_revisions=1)
    options = GenerateOptions(path, config)
    with StoreWriter(path) as writer:
        plan = make_plan(options, load_run_config(config), writer)
        run_id, _ = writer.start_or_resume_run(plan.run)
        writer.bind_volumes(run_id)
        made = {ItemKey(i.volume_id, i.question_id): i for i in writer.items(plan.selection)}
        done = [
            outcome(run_id, f"{patient}/V00/right/dess", question, state=state).model_copy(
                update={
                    "findings_id": made[ItemKey(f"{patient}/V00/right/dess", question)].findings_id
                }
            )
            for patient, question, state in (
                ("9001", 1, ItemState.ACCEPTED),
                ("9001", 2, ItemState.REJECTED),
                ("9002", 1, ItemState.ACCEPTED),
            )
        ]
        writer.put_outcomes(run_id, done[:1])
        with Journal(path, run_id) as journal:
            journal.append_many(done[1:])
    return path


def told(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    **more: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Returns what a dry run prints with --json."""
    options = GenerateOptions(store, store.parent / "made.toml", as_json=True, **more)
    assert dry_run(options) == 0
    return json.loads(capsys.readouterr().out)


def test_a_dry_run_changes_no_byte_and_needs_no_lock(
    killed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    folder = tmp_path / "copy"
    shutil.copytree(killed.parent, folder)
    store = folder / killed.name
    before = file_hashes(folder)
    assert any(name.startswith("knees.duckdb.journal/") for name in before)
    dry_run(GenerateOptions(store, folder / "made.toml"))
    assert file_hashes(folder) == before
    out, err = capsys.readouterr()
    assert out.count("\n--- ") == 3 * 2, "three prompts of a system and a user message"
    assert "2 finished item(s) lie in the journal" in err
    assert err.rstrip().endswith("nobody was called and nothing was written")
    with StoreWriter(store) as writer:
        assert writer.recovered == 2, "the leftover journal was there for the real start"
        assert not list(journal_folder(store).glob("*.jsonl"))
        # Another command holds the writer's lock by now.
        assert told(store, capsys)["journalled"] == 0


def test_states_and_coverage_count_what_the_journal_holds(
    killed: Path, capsys: pytest.CaptureFixture[str]
):
    answer = told(killed, capsys)
    states = {state: n for state, n in answer["states"].items() if n and state != "no_region"}
    assert states == {
        "unlabelled": 1,
        "no_evidence": 2,
        "accepted": 2,
        "rejected": 1,
        "pending": 6,
    }
    coverage = {row.pop("feature"): row for row in answer["coverage"]}
    bml = {"questions": 45, "read": 5, "evidence": 5, "drafted": 3, "to_draft": 2}
    assert coverage["bml"] == bml
    assert coverage["cartilage"]["read"] == 3
    assert coverage["cartilage"]["evidence"] == 2
    assert coverage["osteophyte"]["to_draft"] == 2
    assert answer["to_draft"] == 6


def test_tokens_follow_from_the_prompts_and_the_settings(
    killed: Path, capsys: pytest.CaptureFixture[str]
):
    answer = told(killed, capsys)
    estimate, n = answer["estimate"], answer["to_draft"]
    assert "assumed" in estimate["method"]
    assert answer["rendered"] == n
    first = estimate["drafts_that_pass_at_once"]
    assert (first["calls"], first["completion_tokens"]) == (n, 256 * n)
    shown = [prompt["characters"] for prompt in answer["prompts"]]
    assert min(shown) / ASSUMED_RATIO <= first["prompt_tokens"] / n <= max(shown) / ASSUMED_RATIO
    revised = estimate["drafts_revised_to_the_end"]
    assert revised["calls"] == 2 * n
    assert revised["prompt_tokens"] == 2 * first["prompt_tokens"] + 256 * n
    assert estimate["at_most"] == revised
    assert told(killed, capsys, limit=3, questions="1")["to_draft"] == 1


def test_three_prompts_of_different_features_and_the_longest_first(
    killed: Path, capsys: pytest.CaptureFixture[str]
):
    prompts = told(killed, capsys)["prompts"]
    assert len({prompt["feature"] for prompt in prompts}) == len(prompts) == 3
    assert [prompt["longest"] for prompt in prompts] == [True, False, False]
    assert prompts[0]["characters"] == max(prompt["characters"] for prompt in prompts)
    lengths = [sum(len(m["content"]) for m in p["messages"]) for p in prompts]
    assert lengths == [prompt["characters"] for prompt in prompts]


def test_what_a_control_cannot_draft_is_counted_apart_and_not_in_the_total(
    killed: Path, capsys: pytest.CaptureFixture[str]
):
    answer = told(killed, capsys, control="shuffled-findings")
    # Without evidence in 9002 and 9003: 9001's question 16 is shown 9002, 9002's 30 is shown 9003.
    assert answer["left_out"] == {NO_COUNTERPART: 2}
    assert answer["to_draft"] == 9 - 2
    config = write_settings(killed.parent, max_revisions=1)
    options = GenerateOptions(killed, config, control="shuffled-findings")
    plan = make_plan(options, load_run_config(config), StoreReader(killed))
    total, left_out = count_work(plan, StoreReader(killed), plan.run.run_id)
    assert (total, dict(left_out)) == (7, {NO_COUNTERPART: 2})


def test_the_models_own_tokenizer_is_used_where_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("stages.token_ratio.CHECKOUT", tmp_path)
    (tmp_path / "weights").mkdir()
    serve = ServeSettings(model_path="weights", port=1, max_model_len=999, python="python")
    assert "not on this machine" in token_ratio(serve, ["some text"]).method
    (tmp_path / "weights" / "tokenizer.json").write_text("{}")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncat > /dev/null\necho 4\n")
    python.chmod(0o755)
    ratio = token_ratio(serve, ["twelve chars", "four"])
    assert (ratio.characters, ratio.tokens(40)) == (4.0, 10)
    assert "measured with the model's own tokenizer (weights) on 2" in ratio.method
    python.write_text("#!/bin/sh\necho no module >&2\nexit 1\n")
    failed = token_ratio(serve, ["twelve chars"])
    assert failed.characters == ASSUMED_RATIO
    assert "could not read" in failed.method
