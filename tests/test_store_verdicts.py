"""Judgements and later verdicts: put once, read back, and what the views make of them."""

from pathlib import Path

import pytest

from knee.calls import PromptRef, Usage
from knee.errors import StoreError
from knee.judgement import JudgeCall, Judgement, JudgeTask, RubricMark
from knee.keys import content_hash
from knee.moaks import Component
from knee.records import ItemOutcome, ItemState
from knee.verdict import Recheck, Verdict
from store.connection import open_store
from store.export import ExportRequest, open_export
from store.journal import Journal
from store.loading import load_outcomes
from store.outcome_rows import outcome_hash
from store.queries import acceptance, code_counts, run_cost, state_table
from store.verdicts import (
    newest_judgements,
    newest_recheck,
    put_verdicts,
    rechecked_keys,
    stale_quintuples,
    start_recheck,
    state_changes,
)
from store.writer import StoreWriter
from tests.export_cases import bare_question
from tests.store_records import clinician_grades, findings, outcome, run, volume

VOLUME = "9001/V00/right/dess"
RUBRIC = PromptRef(prompt_id="judge-rubric", version=1, sha256=content_hash("rubric"))
REANSWER = PromptRef(prompt_id="judge-reanswer", version=1, sha256=content_hash("reanswer"))


def judgement(*codes: str) -> Judgement:
    return Judgement(
        attempt_no=2,
        model="judge-7b",
        prompts=(REANSWER, RUBRIC),
        versions={"judge": 1, "masking": 1},
        calls=tuple(
            JudgeCall(
                call_no=number,
                task=task,
                prompt=prompt,
                prompt_text_sha256=content_hash(task.value),
                model="judge-7b-served",
                sampling={"temperature": 0.0, "max_tokens": 768},
                usage=Usage(prompt_tokens=500, completion_tokens=60, latency_s=0.5),
                finish_reason="stop",
                text="{}",
            )
            for number, (task, prompt) in enumerate(
                ((JudgeTask.REANSWER, REANSWER), (JudgeTask.RUBRIC, RUBRIC)), start=1
            )
        ),
        grades={Component.SIZE: 1},
        marks=(RubricMark(item="faithful", essential=True, holds=not codes, reason="as measured"),),
        codes=codes,
    )


def judged(question_id: int, *codes: str) -> ItemOutcome:
    state = ItemState.REJECTED if codes else ItemState.ACCEPTED
    plain = outcome("r1", VOLUME, question_id)
    update = {"state": state, "codes": codes, "judgement": judgement(*codes)}
    return plain.model_copy(update=update)


def recheck(number: int, judge: str | None = None) -> Recheck:
    return Recheck(
        recheck_id=f"c{number}",
        run_id="r1",
        fingerprint=content_hash(f"{number}"),
        checks={"schema": 1},
        warn_only=("region",),
        judge_model=judge,
        prompts=(RUBRIC,),
        provenance={"settings": "test"},
    )


def verdict(question_id: int, number: int, state: ItemState, *codes: str) -> Verdict:
    return Verdict(
        run_id="r1",
        volume_id=VOLUME,
        question_id=question_id,
        recheck_id=f"c{number}",
        attempt_no=2,
        state=state,
        codes=codes,
        gates=("schema@1",),
        complete=True,
        issues=(),
        components_scored=("size",),
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Questions 1 (accepted, judged), 16 (accepted), 2 (rejected by a check)."""
    path = tmp_path / "knees.duckdb"
    with StoreWriter(path, create=True) as writer:
        writer.put_catalogue()
        writer.put_volume(volume())
        writer.put_findings(findings(VOLUME))
        writer.put_clinician_grades(clinician_grades(volume(), (1, 2, 16)))
        writer.start_or_resume_run(run())
        writer.bind_volumes("r1")
        rejected = outcome("r1", VOLUME, 2, state=ItemState.REJECTED)
        writer.put_outcomes("r1", [judged(1), outcome("r1", VOLUME, 16), rejected])
    return path


def put(store: Path, number: int, *verdicts: Verdict) -> int:
    with StoreWriter(store) as writer:
        start_recheck(writer, recheck(number))
        return put_verdicts(writer, recheck(number), verdicts, new_judgements=False)


def statuses(store: Path) -> dict[int, tuple[str, list[str]]]:
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT question_id, status, stale_reasons FROM v_quintuples ORDER BY ALL"
        ).fetchall()
    return {question: (status, reasons) for question, status, reasons in rows}


def test_judgements_come_back_as_they_were_put(store: Path):
    with open_store(store, read_only=True) as con:
        found = {o.question_id: o for o in load_outcomes(con, "r1")}
        assert found[1] == judged(1)
        assert found[16].judgement is None
        assert newest_judgements(con, "r1", VOLUME) == {1: judgement()}
        cost = run_cost(con, "r1")
        assert (cost.judge_calls, cost.judge_tokens) == (2, 1120)
        row = con.execute(
            "SELECT passed, calls, tokens, is_newest, judge_grades['size'] FROM v_judgements"
        ).fetchall()
    assert row == [(True, 2, 1120, True, 1)]


def test_judgements_survive_the_journal(store: Path):
    with Journal(store, "r1") as journal:
        journal.append(judged(1, "judge_rubric.faithful"))
        assert next(journal.replay()) == judged(1, "judge_rubric.faithful")


def test_the_hash_of_an_unjudged_outcome_is_that_of_before_there_was_a_judge():
    plain = outcome("r1", VOLUME, 1)
    assert outcome_hash(plain) == content_hash(
        plain.model_dump_json(exclude={"judgement", "images"})
    )
    assert outcome_hash(plain) != outcome_hash(judged(1))


def test_an_item_cannot_be_accepted_against_its_judge():
    bad = judged(1).model_dump() | {"judgement": judgement("judge_rubric.faithful").model_dump()}
    with pytest.raises(ValueError, match="against the judge"):
        ItemOutcome.model_validate(bad)


def test_a_later_verdict_makes_a_quintuple_stale_and_overwrites_nothing(store: Path):
    assert statuses(store) == {1: ("valid", []), 16: ("valid", [])}
    assert put(store, 1, verdict(1, 1, ItemState.REJECTED, "judge_rubric.faithful")) == 1
    assert statuses(store) == {1: ("stale", ["verdict"]), 16: ("valid", [])}
    with open_store(store, read_only=True) as con:
        first = con.execute("SELECT state FROM outcomes WHERE question_id = 1").fetchone()
        assert first == ("accepted",)
        assert state_table(con, "r1")[ItemState.ACCEPTED] == 1
        assert acceptance(con, "r1")[0].rejected == 2
        assert "judge_rubric.faithful" in {c.code for c in code_counts(con, "r1")}
        assert list(stale_quintuples(con, "r1")) == [("verdict", 1)]
        numbers = con.execute(
            "SELECT verdict_no, state, is_newest FROM v_verdicts WHERE question_id = 1 ORDER BY ALL"
        ).fetchall()
    assert numbers == [(1, "accepted", False), (2, "rejected", True)]
    put(store, 2, verdict(1, 2, ItemState.ACCEPTED))
    assert statuses(store)[1] == ("valid", [])
    with open_store(store, read_only=True) as con:
        assert [(c.before, c.after, c.items) for c in state_changes(con, "c2")] == [
            (ItemState.REJECTED, ItemState.ACCEPTED, 1)
        ]


def test_what_is_accepted_only_now_becomes_a_quintuple(store: Path):
    put(store, 1, verdict(2, 1, ItemState.ACCEPTED))
    assert statuses(store)[2] == ("valid", [])
    with open_store(store, read_only=True) as con:
        row = con.execute("SELECT attempt_no FROM quintuples WHERE question_id = 2").fetchone()
    assert row == (2,)


def test_a_recheck_gives_each_item_one_verdict_however_often_it_is_put(store: Path):
    given = (verdict(1, 1, ItemState.ACCEPTED), verdict(2, 1, ItemState.REJECTED, "off_scale"))
    assert put(store, 1, *given) == 2
    assert put(store, 1, *given) == 0
    with open_store(store, read_only=True) as con:
        assert len(rechecked_keys(con, "c1")) == 2
        assert newest_recheck(con, "r1") == recheck(1)


def test_only_finished_items_can_have_later_verdicts(store: Path):
    with pytest.raises(StoreError, match="was not finished"):
        put(store, 1, verdict(30, 1, ItemState.ACCEPTED))


def test_stale_rows_are_not_exported(store: Path):
    put(store, 1, verdict(1, 1, ItemState.REJECTED, "leak"))
    for request in (ExportRequest(synthetic=True), ExportRequest(("r1",), synthetic=True)):
        with open_export(store, request, bare_question) as rows:
            assert rows.total == 1


def test_a_changed_table_or_new_findings_make_quintuples_stale(store: Path):
    with StoreWriter(store) as writer:
        writer.put_clinician_grades(clinician_grades(volume(), (16,), grade=2))
    assert statuses(store) == {1: ("valid", []), 16: ("stale", ["clinician_grade"])}
    with StoreWriter(store) as writer:
        writer.put_findings(findings(VOLUME, tools="2"))
    assert statuses(store) == {
        1: ("stale", ["findings"]),
        16: ("stale", ["findings", "clinician_grade"]),
    }
