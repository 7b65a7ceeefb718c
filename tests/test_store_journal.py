from pathlib import Path

import pytest

from knee.errors import InputError, StoreError
from store.journal import SEAL_ITEMS, Journal, item_key, journal_folder, journalled_runs
from tests.store_records import outcome

VOLUME = "9001/V00/right/dess"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "knees.duckdb"


def test_replay_brings_back_what_was_appended(store: Path):
    outcomes = [outcome("r1", VOLUME, question) for question in (1, 2, 3)]
    with Journal(store, "r1") as journal:
        journal.append(outcomes[0])
        journal.append_many(outcomes[1:])
    assert list(Journal(store, "r1").replay()) == outcomes
    assert journalled_runs(store) == ["r1"]


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_torn_last_line_is_left_out_and_overwritten(store: Path, kept: int):
    first, second, third = (outcome("r1", VOLUME, question) for question in (1, 2, 3))
    with Journal(store, "r1") as journal:
        journal.append(first)
        end = journal.path.stat().st_size
        journal.append(second)
    data = journal.path.read_bytes()
    torn = data[end:][:kept]
    journal.path.write_bytes(data[:end] + torn)
    assert list(Journal(store, "r1").replay()) == [first]
    with Journal(store, "r1") as journal:
        journal.append(third)
        assert list(journal.replay()) == [first, third]


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(store: Path):
    with Journal(store, "r1") as journal:
        journal.append_many([outcome("r1", VOLUME, question) for question in (1, 2)])
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b'{"run_id": 3}\n' + lines[1])
    with pytest.raises(StoreError, match="line 2 is not an outcome"):
        list(Journal(store, "r1").replay())
    with pytest.raises(StoreError, match="line 2 is not an outcome"):
        Journal(store, "r1").append(outcome("r1", VOLUME, 3))


def test_only_committed_items_are_dropped(store: Path):
    first, second = (outcome("r1", VOLUME, question) for question in (1, 2))
    with Journal(store, "r1") as journal:
        journal.append_many([first, second])
        journal.drop([item_key(first)])
        assert list(journal.replay()) == [first, second]
        journal.drop([item_key(second)])
        assert list(journal_folder(store).iterdir()) == []
        journal.append(first)
        assert list(journal.replay()) == [first]


def test_an_item_left_by_an_earlier_process_outlives_the_drop_of_a_new_one(store: Path):
    old, new = (outcome("r1", VOLUME, question) for question in (1, 2))
    with Journal(store, "r1") as journal:
        journal.append(old)
    with Journal(store, "r1") as journal:
        journal.append(new)
        journal.drop([item_key(new)])
    assert old in list(Journal(store, "r1").replay())


def test_a_long_journal_is_sealed_so_that_its_head_can_go(store: Path):
    assert SEAL_ITEMS < 600
    outcomes = [
        outcome("r1", f"{patient}/V00/right/dess", question)
        for patient in range(14)
        for question in range(1, 51)
    ]
    with Journal(store, "r1") as journal:
        for start in range(0, len(outcomes), 100):
            journal.append_many(outcomes[start : start + 100])
        assert len(list(journal_folder(store).iterdir())) == 2
        assert list(Journal(store, "r1").replay()) == outcomes
        journal.drop(item_key(one) for one in outcomes[:600])
        assert list(Journal(store, "r1").replay()) == outcomes[600:]
    assert journalled_runs(store) == ["r1"]


def test_an_outcome_of_another_run_and_an_illegal_run_id_are_refused(store: Path):
    with pytest.raises(StoreError, match="another run"):
        Journal(store, "r1").append(outcome("r2", VOLUME, 1))
    with pytest.raises(InputError, match="not legal"):
        Journal(store, "../r1")
