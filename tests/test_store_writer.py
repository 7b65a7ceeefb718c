import fcntl
import os
import random
import shutil
from pathlib import Path

import pytest

from knee.errors import StoreError
from knee.findings import VolumeFindings
from knee.grades import GradeStatus
from knee.keys import ItemKey, content_hash
from knee.records import ItemOutcome, ItemState, PromptRef, RunKind
from store.arrow_rows import Table
from store.connection import open_store
from store.items import Selection
from store.journal import Journal, journalled_runs
from store.loading import load_findings, load_outcomes, load_run, load_volume
from store.outcome_rows import outcome_child_tables
from store.queries import selection_states
from store.reading_mark import log_of, mark_of, open_mark
from store.writer import StoreWriter
from tests.store_child import fill
from tests.store_records import (
    PROMPT,
    clinician_grades,
    findings,
    long_text,
    outcome,
    run,
    volume,
)

VOLUME = "9001/V00/right/dess"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "knees.duckdb"
    fill(path)
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path))


def count(store: Path, table: str) -> int:
    with open_store(store, read_only=True) as con:
        return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def test_every_record_comes_back_as_it_was_put(store: Path):
    rejected = outcome("r1", VOLUME, 6, state=ItemState.REJECTED)
    unanswered = ItemOutcome(
        run_id="r1",
        volume_id=VOLUME,
        question_id=7,
        findings_id=rejected.findings_id,
        state=ItemState.FAILED,
        codes=("server_gone",),
        error="connection refused",
    )
    garbage = rejected.attempts[0].model_copy(
        update={"text": "I think\x00 ü \U0001f9b5 {", "draft": None, "finish_reason": "length"}
    )
    unparsed = rejected.model_copy(update={"question_id": 8, "attempts": (garbage,)})
    given = [outcome("r1", VOLUME, 5), rejected, unanswered, unparsed]
    with StoreWriter(store) as writer:
        assert writer.put_outcomes("r1", given) == 4
    measured = findings(VOLUME, tuple(range(5, 26)))
    with open_store(store, read_only=True) as con:
        assert [one.model_dump_json() for one in load_outcomes(con, "r1")] == [
            one.model_dump_json() for one in given
        ]
        assert load_run(con, "r1").model_dump_json() == run().model_dump_json()
        assert load_volume(con, VOLUME) == volume()
        assert load_findings(con, VOLUME, measured.findings_id) == measured
        texts = con.execute("SELECT text IS NULL, text_form FROM attempts ORDER BY ALL").fetchall()
    assert texts == [(False, "verbatim")] + [(True, "spaced_ascii")] * 4


def test_an_outcome_counts_once_however_often_it_is_put(store: Path):
    one, two = outcome("r1", VOLUME, 5), outcome("r1", VOLUME, 6)
    with StoreWriter(store) as writer:
        assert writer.put_outcomes("r1", [one, one]) == 1
        assert writer.put_outcomes("r1", [one, two]) == 1
        assert writer.put_outcomes("r1", [two]) == 0
        assert writer.finished_keys("r1") == {ItemKey(VOLUME, 5), ItemKey(VOLUME, 6)}
    assert [count(store, t) for t in ("outcomes", "attempts", "quintuples")] == [2, 4, 2]


def test_another_outcome_of_a_finished_item_is_refused_with_its_whole_batch(store: Path):
    one = outcome("r1", VOLUME, 5)
    other = outcome("r1", VOLUME, 5, state=ItemState.DISAGREES, grade=2)
    with StoreWriter(store) as writer:
        writer.put_outcomes("r1", [one])
        with pytest.raises(StoreError, match="another outcome of question 5 of '9001"):
            writer.put_outcomes("r1", [outcome("r1", VOLUME, 6), other])
        with pytest.raises(StoreError, match="another outcome"):
            writer.put_outcomes("r1", [outcome("r1", VOLUME, 7), other, other, one])
        assert writer.finished_keys("r1") == {ItemKey(VOLUME, 5)}
    assert count(store, "attempts") == 2


def test_outcomes_of_other_runs_and_unbound_volumes_are_refused(store: Path):
    stranger = volume("9100")
    with StoreWriter(store) as writer:
        writer.put_volume(stranger)
        with pytest.raises(StoreError, match="not bound to the volume '9100"):
            writer.put_outcomes("r1", [outcome("r1", stranger.volume_id, 5)])
        with pytest.raises(StoreError, match="run 'r2' was given to run 'r1'"):
            writer.put_outcomes("r1", [outcome("r2", VOLUME, 5)])
        writer.put_findings(findings(stranger.volume_id))
        writer.bind_volumes("r1", [stranger.volume_id])
        assert writer.put_outcomes("r1", [outcome("r1", stranger.volume_id, 5)]) == 1


def test_synthetic_follows_the_volume_into_the_quintuple(tmp_path: Path):
    store = tmp_path / "knees.duckdb"
    with StoreWriter(store, create=True) as writer:
        writer.put_catalogue()
        for record in (volume("9001"), volume("9002", synthetic=False)):
            writer.put_volume(record)
            writer.put_findings(findings(record.volume_id))
        writer.start_or_resume_run(run())
        writer.bind_volumes("r1")
        writer.put_outcomes(
            "r1", [outcome("r1", f"{patient}/V00/right/dess", 1) for patient in (9001, 9002)]
        )
    with open_store(store, read_only=True) as con:
        for table in ("quintuples", "v_quintuples"):
            rows = con.execute(f"SELECT volume_id[:4], synthetic FROM {table} ORDER BY ALL")
            assert rows.fetchall() == [("9001", True), ("9002", False)]


def test_findings_are_append_only_and_the_last_put_are_current(store: Path):
    with StoreWriter(store) as writer:
        first = findings(VOLUME, tuple(range(5, 26)))
        second = findings(VOLUME, (5, 6), tools="2")
        assert writer.put_findings(first) is False
        assert writer.put_findings(second) is True
        assert [i.findings_id for i in writer.items(Selection(volume_ids=(VOLUME,)))] == [
            second.findings_id
        ] * 2
        bound = list(writer.items(Selection(volume_ids=(VOLUME,)), run_id="r1"))
        assert {item.findings_id for item in bound} == {first.findings_id}
        assert writer.put_findings(first) is False
        assert {i.findings_id for i in writer.items(Selection(volume_ids=(VOLUME,)))} == {
            first.findings_id
        }


def test_the_same_findings_id_with_other_findings_is_refused(store: Path):
    first = findings(VOLUME, tuple(range(5, 26)))
    changed: VolumeFindings = first.model_copy(update={"findings": first.findings[:2]})
    with StoreWriter(store) as writer:
        with pytest.raises(StoreError, match="with other content"):
            writer.put_findings(changed)
        with pytest.raises(StoreError, match="unknown volume"):
            writer.put_findings(findings("9999/V00/right/dess"))
    assert count(store, "findings_sets") == 2


def test_a_table_that_changed_makes_a_revision_and_keeps_the_old_one(store: Path):
    record = volume()
    before = clinician_grades(record, (5,))
    after = [
        before[0].model_copy(update={"status": GradeStatus.CONFLICT, "grade": None}),
        *before[1:],
    ]
    with StoreWriter(store) as writer:
        assert writer.put_clinician_grades(before) == 0
        assert writer.put_clinician_grades(after) == 1
        assert writer.put_clinician_grades(after) == 0
        item = next(iter(writer.items(Selection((VOLUME,), (5,)))))
        assert item.clinician == tuple(after)
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT revision, status, grade, is_current FROM clinician_grades WHERE "
            "patient = '9001' AND question_id = 5 AND component = 'size' ORDER BY revision"
        ).fetchall()
    assert rows == [(1, "read", 1, False), (2, "conflict", None, True)]


def test_a_run_resumes_by_fingerprint_and_kind(store: Path):
    with StoreWriter(store) as writer:
        assert writer.start_or_resume_run(run("r2")) == ("r1", True)
        assert writer.start_or_resume_run(run("r3", kind=RunKind.CONTROL)) == ("r3", False)
        assert writer.start_or_resume_run(run("r4", seed=8)) == ("r4", False)
        with pytest.raises(StoreError, match="another run has the id 'r4'"):
            writer.start_or_resume_run(run("r4", seed=9))
        writer.finish_run("r1", "stopped")
        with pytest.raises(StoreError, match="not a state of a run"):
            writer.finish_run("r1", "done")
    with open_store(store, read_only=True) as con:
        rows = con.execute("SELECT run_id, state, n_starts FROM runs ORDER BY run_id").fetchall()
    assert rows == [("r1", "stopped", 2), ("r3", "running", 1), ("r4", "running", 1)]


def test_a_prompt_is_stored_once_and_must_have_its_hash(store: Path):
    with StoreWriter(store) as writer:
        for _ in range(2):
            writer.put_prompts([(PROMPT, "Look at {{ region }}.")])
        edited = PromptRef(prompt_id="draft", version=1, sha256=content_hash("Look."))
        writer.put_prompts([(edited, "Look.")])
        with pytest.raises(StoreError, match="its reference says"):
            writer.put_prompts([(PROMPT, "Look elsewhere.")])
    assert count(store, "prompts") == 2


def put_volume_and_findings_of_another(writer: StoreWriter) -> None:
    with writer.transaction():
        writer.put_volume(volume("9200"))
        writer.put_findings(findings("9999/V00/right/dess"))


def test_a_transaction_is_all_or_nothing(store: Path):
    with StoreWriter(store) as writer:
        with pytest.raises(StoreError, match="unknown volume"):
            put_volume_and_findings_of_another(writer)
        with writer.reading() as con:
            assert con.execute("SELECT count(*) FROM volumes").fetchall() == [(2,)]
    assert not store.with_name(store.name + ".lock").exists()


def test_what_the_journal_holds_is_committed_on_entering(store: Path):
    outcomes = [outcome("r1", VOLUME, question) for question in (5, 6, 7)]
    with StoreWriter(store) as writer:
        writer.put_outcomes("r1", outcomes[:1])
    with Journal(store, "r1") as journal:
        journal.append_many(outcomes)
    with StoreWriter(store) as writer:
        assert writer.recovered == 2
        assert len(writer.finished_keys("r1")) == 3
    assert journalled_runs(store) == []


def test_a_volume_prepared_again_keeps_its_findings_and_what_was_drafted(store: Path):
    moved = volume().model_copy(update={"cohort_root": "elsewhere", "split": "train"})
    with StoreWriter(store) as writer:
        writer.put_outcomes("r1", [outcome("r1", VOLUME, 5)])
        writer.put_volume(moved)
        assert len(list(writer.items(Selection((VOLUME,))))) == 21
        failed = moved.model_copy(update={"status": "failed", "reason": "no label map"})
        writer.put_volume(failed)
        assert list(writer.items(Selection((VOLUME,)))) == []
        with writer.reading() as con:
            assert load_volume(con, VOLUME) == failed
            assert con.execute("SELECT split FROM v_quintuples").fetchall() == [("train",)]


def test_items_that_a_new_table_reads_become_pending_in_a_bound_run(tmp_path: Path):
    store = tmp_path / "knees.duckdb"
    record = volume()
    with StoreWriter(store, create=True) as writer:
        writer.put_catalogue()
        writer.put_volume(record)
        writer.put_findings(findings(record.volume_id))
        writer.start_or_resume_run(run())
        assert writer.bind_volumes("r1") == 0
        writer.put_clinician_grades(clinician_grades(record))
        assert writer.bind_volumes("r1") == 2
        assert writer.bind_volumes("r1") == 2
        with pytest.raises(StoreError, match="no run 'r9'"):
            writer.bind_volumes("r9")
        with writer.reading() as con:
            states = selection_states(con, Selection())
    assert {state: n for state, n in states.items() if n} == {
        ItemState.NO_REGION: 65,
        ItemState.UNLABELLED: 1,
        ItemState.NO_EVIDENCE: 1,
        ItemState.PENDING: 2,
    }
    assert count(store, "run_items") == 69


def test_long_texts_are_kept_whole(store: Path):
    one = outcome("r1", VOLUME, 5)
    text = long_text(random.Random(1), 2000)
    long = one.attempts[1].model_copy(update={"text": text, "draft": None, "issues": ()})
    with StoreWriter(store) as writer:
        rejected = one.model_copy(update={"state": ItemState.REJECTED, "attempts": (long,)})
        writer.put_outcomes("r1", [rejected])
    with open_store(store, read_only=True) as con:
        assert next(load_outcomes(con, "r1")).attempts[0].text == text


def log_bytes(store: Path) -> int:
    log = log_of(store)
    return log.stat().st_size if log.exists() else 0


def test_commits_lie_in_the_log_until_the_writer_ends(store: Path):
    size = store.stat().st_size
    with StoreWriter(store) as writer:
        for question_id in (5, 6, 7):
            writer.put_outcomes("r1", [outcome("r1", VOLUME, question_id)])
            assert count(store, "outcomes") == question_id - 4  # a reader reads it from there
        assert store.stat().st_size == size
        assert log_bytes(store) > 0
    assert log_bytes(store) == 0
    assert count(store, "quintuples") == 3


def test_a_log_grows_no_longer_than_its_bound(store: Path):
    with StoreWriter(store) as writer:
        for question_id in range(5, 13):
            # 4 MB of text that does not compress.
            words = random.Random(question_id).randbytes(2**21).hex()
            failed = ItemOutcome(
                run_id="r1",
                volume_id=VOLUME,
                question_id=question_id,
                findings_id=outcome("r1", VOLUME, question_id).findings_id,
                state=ItemState.FAILED,
                codes=("server_gone",),
                error=words,
            )
            writer.put_outcomes("r1", [failed])
            assert log_bytes(store) < 17 * 2**20
        assert store.stat().st_size > 2**24
    assert count(store, "outcomes") == 8


def test_a_log_that_cannot_be_put_away_is_no_failure(store: Path):
    with StoreWriter(store, wait_s=0.1) as writer:
        writer.put_outcomes("r1", [outcome("r1", VOLUME, 5)])
        reader = open_store(store, read_only=True)
    assert log_bytes(store) > 0
    assert reader.execute("SELECT count(*) FROM outcomes").fetchall() == [(1,)]
    reader.close()
    with StoreWriter(store):
        assert log_bytes(store) == 0  # the next writer does


def test_a_long_reader_keeps_the_log_as_it_is_when_the_writer_ends(store: Path):
    with StoreWriter(store) as writer:
        writer.put_outcomes("r1", [outcome("r1", VOLUME, 5)])
        mark = open_mark(mark_of(store), os.O_CREAT)  # as a reader does that steps aside
        fcntl.flock(mark, fcntl.LOCK_SH)
        size = store.stat().st_size
    assert log_bytes(store) > 0
    assert store.stat().st_size == size
    os.close(mark)
    with StoreWriter(store):
        assert log_bytes(store) == 0


def test_two_attempts_with_one_number_are_refused(store: Path):
    one = outcome("r1", VOLUME, 5)
    twice = one.model_copy(update={"attempts": (one.attempts[-1], one.attempts[-1])})
    refused = pytest.raises(StoreError, match="attempts with one number")
    with StoreWriter(store) as writer, refused:
        writer.put_outcomes("r1", [twice])
    assert count(store, "attempts") == 0


def test_rows_are_made_before_the_file_is_opened(store: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[bool] = []
    with StoreWriter(store) as writer:

        def children(*given: object) -> dict[str, Table]:
            # Readers are let in meanwhile.
            made.append(count(store, "outcomes") == 0)
            return outcome_child_tables(*given)  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr("store.writer.outcome_child_tables", children)
        writer.put_outcomes("r1", [outcome("r1", VOLUME, 5)])
    assert made == [True]
