"""What people say of single texts, and that it holds."""

import json
from pathlib import Path

import pytest

from run_pipeline import main
from store.connection import open_store
from store.export import ExportRequest, open_export
from store.writer import StoreWriter
from tests.export_cases import NEW, OLD, ROWS, bare_question, make_store, told, volume_id
from tests.store_records import run

ITEM = "9104001/V00/right/dess#1"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "knees.duckdb")


def status(store: Path, run_id: str = NEW, patient: str = "9104001") -> tuple[str, str | None]:
    with open_store(store, read_only=True) as con:
        (row,) = con.execute(
            "SELECT status, checked_by FROM v_quintuples WHERE run_id = ? AND volume_id = ? "
            "AND question_id = 1",
            [run_id, volume_id(patient)],
        ).fetchall()
    return row


def exported(store: Path) -> list[tuple[str, int, str]]:
    with open_export(store, ExportRequest(where="NOT synthetic"), bare_question) as rows:
        return sorted(
            (row["patient"], row["question_id"], row["run_id"])
            for _, table in rows.tables()
            for row in table.to_pylist()
        )


def say(store: Path, verdict: str, *more: str, run_id: str = NEW, item: str = ITEM) -> int:
    return main(["review", verdict, item, "--store", str(store), "--run", run_id, *more])


def test_a_rejected_text_is_not_exported_and_the_newest_word_holds(store: Path):
    assert exported(store) == ROWS
    assert say(store, "reject", "--by", "AB", "--reason", "wrong_place") == 0
    assert status(store) == ("rejected", None)
    # The older run wrote the same text about the same item: that falls with it.
    assert exported(store) == ROWS[1:]
    assert status(store, patient="9104002") == ("valid", None)
    assert say(store, "note", "--by", "CD", "--note", "seen again") == 0
    assert status(store) == ("rejected", None)
    assert say(store, "accept", "--by", "CD") == 0
    assert status(store) == ("valid", "CD")
    assert exported(store) == ROWS


def test_the_card_counts_what_people_rejected_as_lost_and_names_nobody(store: Path, tmp_path: Path):
    assert say(store, "reject", "--by", "Dr Zimmer", "--reason", "wrong_place") == 0
    other = "9104002/V00/right/dess#1"
    assert say(store, "accept", "--by", "Dr Zimmer", item=other) == 0
    out = tmp_path / "out"
    command = ["export", "--store", str(store), "--out", str(out), "--where", "NOT synthetic"]
    assert main([*command, "--format", "sft-chat"]) == 0
    card = (out / "README.md").read_text()
    # Both runs wrote the text that was rejected.
    assert "and 2 that a person rejected." in card
    assert "1 of 5 texts were read and accepted by a person" in card
    # BML size at grade 1: all four knees' items were drafted; one text is neither kept nor out.
    assert "| bml | size | 1 | 7 | 7 | 7 | 7 | 4 | 3 | 3 |" in card
    files = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in files if "Zimmer" in path.read_text()]


def test_a_review_is_of_a_text_whatever_run_writes_it(store: Path):
    assert say(store, "reject", "--by", "AB", "--reason", "other", "--note", "no") == 0
    assert status(store, OLD) == ("rejected", None)
    with StoreWriter(store) as writer:
        for name, grade in (("again", 1), ("another", 2)):
            writer.start_or_resume_run(run(name, seed=40 + grade))
            writer.bind_volumes(name)
            writer.put_outcomes(name, [told(name, "9104001", 1, grade)])
    assert status(store, "again") == ("rejected", None)
    assert status(store, "another")[0] != "rejected"


def test_a_later_verdict_leaves_the_review_as_it_is(store: Path):
    assert say(store, "reject", "--by", "AB", "--reason", "wrong_place") == 0
    with StoreWriter(store) as writer, writer.transaction() as con:
        con.execute(
            "INSERT INTO verdicts SELECT run_id, volume_id, question_id, 2, 'again', n_attempts, "
            "'accepted', [], ['compare@2'], complete, [], NULL, recorded_at FROM outcomes "
            "WHERE run_id = ? AND state = 'accepted'",
            [NEW],
        )
    assert status(store) == ("rejected", None)
    assert exported(store) == ROWS[1:]
    assert say(store, "accept", "--by", "CD") == 0
    assert status(store) == ("valid", "CD")


def test_the_list_and_the_item_show_what_was_said(store: Path, capsys: pytest.CaptureFixture[str]):
    assert say(store, "reject", "--by", "AB", "--reason", "not_visible", "--note", "dark") == 0
    capsys.readouterr()
    base = ["review", "list", "--store", str(store), "--run", NEW, "--json"]
    assert main(base) == 0
    waiting = json.loads(capsys.readouterr().out)
    assert len(waiting) == 5
    assert ITEM not in {f"{e['volume_id']}#{e['question_id']}" for e in waiting}
    assert main([*base, "--show", "done"]) == 0
    (done,) = json.loads(capsys.readouterr().out)
    assert (done["verdict"], done["reviewer"], done["n_reviews"]) == ("reject", "AB", 1)
    assert main([*base, "--page", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["review", "show", ITEM, "--store", str(store), "--run", NEW]) == 0
    assert "review 1: reject by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reject", ITEM, "--by", "AB"], "a rejection needs its reason"),
        (["accept", ITEM, "--by", " "], "nobody is named"),
        (["note", ITEM, "--by", "AB"], "the note is empty"),
        (["reject", ITEM, "--by", "AB", "--reason", "other"], "needs words"),
        (["accept", "9104001/V00/right#2", "--by", "AB"], "was not drafted"),
        (["accept", "nobody#2", "--by", "AB"], "nobody"),
    ],
)
def test_a_review_that_cannot_be_is_one_message(
    store: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["review", *words, "--store", str(store), "--run", NEW]) == 2
    assert message in capsys.readouterr().err
    with open_store(store, read_only=True) as con:
        assert con.execute("SELECT count(*) FROM reviews").fetchall() == [(0,)]
