"""Items that failed are tried again when a run is resumed: bounded, and nothing of it is lost."""

import json
import sys
from pathlib import Path

import duckdb
import pytest

from knee.errors import StoreError
from knee.keys import ItemKey
from knee.records import ItemOutcome, ItemState
from stages.generate import GenerateOptions, generate
from stages.retrying import EarlierTries, load_earlier_tries
from store.items import Selection
from store.loading import load_outcomes
from store.queries import count_left
from store.writer import StoreWriter
from tests.bench_cohort import make_cohort, write_config
from tests.prepared_store import stub_process
from tests.store_child import fill
from tests.store_records import outcome

VOLUME = "9001/V00/right/dess"
KEY = ItemKey(VOLUME, 5)


def failed(error: str, *, attempts: int = 0, codes: tuple[str, ...] = ("model_unavailable",)):
    drafted = outcome("r1", VOLUME, 5, state=ItemState.REJECTED)
    return drafted.model_copy(
        update={
            "state": ItemState.FAILED,
            "codes": codes,
            "error": error,
            "attempts": drafted.attempts[:attempts],
            "gates": (),
        }
    )


@pytest.fixture
def writer(tmp_path: Path):
    store = tmp_path / "knees.duckdb"
    fill(store)
    with StoreWriter(store) as opened:
        yield opened


def stored(writer: StoreWriter) -> ItemOutcome:
    with writer.reading() as con:
        (found,) = load_outcomes(con, "r1", [KEY])
    return found


def left(writer: StoreWriter) -> int:
    with writer.reading() as con:
        return count_left(con, "r1", Selection(question_ids=(5,), volume_ids=(VOLUME,)))


def test_a_failed_item_is_left_to_do_and_a_later_outcome_carries_it_along(writer: StoreWriter):
    first = failed("HTTP 500: away\nhint: wait", attempts=1)
    writer.put_outcomes("r1", [first])
    assert KEY not in writer.finished_keys("r1")
    earlier = load_earlier_tries(writer, "r1")
    assert len(earlier) == 1
    accepted = earlier.amend(outcome("r1", VOLUME, 5))
    assert writer.put_outcomes("r1", [accepted]) == 1
    assert KEY in writer.finished_keys("r1")
    found = stored(writer)
    assert (found.state, found.n_retries) == (ItemState.ACCEPTED, 1)
    assert "retried.1" in found.codes
    assert found.error == "try 1 failed: HTTP 500: away hint: wait"
    assert found.attempts[0] == first.attempts[0]
    assert [a.attempt_no for a in found.attempts] == list(range(1, len(found.attempts) + 1))
    assert len(load_earlier_tries(writer, "r1")) == 0


def test_the_journal_may_bring_a_later_outcome_back_but_no_third_one(writer: StoreWriter):
    writer.put_outcomes("r1", [failed("away")])
    later = load_earlier_tries(writer, "r1").amend(outcome("r1", VOLUME, 5))
    assert writer.put_outcomes("r1", [later]) == 1
    assert writer.put_outcomes("r1", [later]) == 0
    with pytest.raises(StoreError, match="another outcome"):
        writer.put_outcomes("r1", [later.model_copy(update={"error": "something else"})])
    assert stored(writer).state is ItemState.ACCEPTED


def test_an_earlier_outcome_from_the_journal_does_not_come_back(writer: StoreWriter):
    first = failed("away")
    writer.put_outcomes("r1", [first])
    later = load_earlier_tries(writer, "r1").amend(failed("still away"))
    writer.put_outcomes("r1", [later])
    with pytest.raises(StoreError, match="another outcome"):
        writer.put_outcomes("r1", [first])


def test_three_tries_are_all_and_each_message_is_kept(writer: StoreWriter):
    for number in range(3):
        assert left(writer) == 1, f"before try {number + 1}"
        again = load_earlier_tries(writer, "r1").amend(failed(f"away {number}", attempts=1))
        assert writer.put_outcomes("r1", [again]) == 1
    assert left(writer) == 0
    assert KEY in writer.finished_keys("r1")
    assert len(load_earlier_tries(writer, "r1")) == 0
    found = stored(writer)
    assert found.error == "try 1 failed: away 0\ntry 2 failed: away 1\naway 2"
    assert found.codes == ("model_unavailable", "retried.2")
    assert len(found.attempts) == 3


def test_an_item_without_a_box_is_not_tried_again(writer: StoreWriter):
    writer.put_outcomes("r1", [failed("no box", codes=("no_box",))])
    assert left(writer) == 0
    assert len(load_earlier_tries(writer, "r1")) == 0


def test_what_never_failed_stays_as_it_is():
    done = outcome("r1", VOLUME, 5)
    assert EarlierTries({}).amend(done) is done


def test_a_resumed_run_drafts_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["run_pipeline.py", "generate"])
    cohort = make_cohort(tmp_path, 1)
    poisoned = tmp_path / "poison.json"
    keys = list(json.loads(cohort.answers.read_text(encoding="utf-8")))
    poisoned.write_text(json.dumps(keys[3:5]), encoding="utf-8")

    def run(*more: str) -> int:
        with stub_process(cohort.answers, 0.0, more=more) as port:
            config = write_config(tmp_path, port, 16)
            return generate(GenerateOptions(store=cohort.store, config=config, quiet=True))

    assert run("--poison", str(poisoned)) == 1
    assert states(cohort.store) == {"accepted": cohort.n_items - 2, "failed": 2}
    assert run() == 0
    assert states(cohort.store) == {"accepted": cohort.n_items}
    with duckdb.connect(str(cohort.store), read_only=True) as con:
        rows = con.execute(
            "SELECT error, n_attempts FROM outcomes WHERE list_contains(codes, 'retried.1')"
        ).fetchall()
        runs = con.execute("SELECT count(*) FROM runs").fetchone()
    assert runs == (1,)
    assert [n for _, n in rows] == [1, 1]
    assert all(str(error).startswith("try 1 failed: ") and "HTTP 500" in error for error, _ in rows)


def states(store: Path) -> dict[str, int]:
    with duckdb.connect(str(store), read_only=True) as con:
        return dict(con.execute("SELECT state, count(*) FROM outcomes GROUP BY ALL").fetchall())
