"""Samples of trials: stratified, spread over patients, the same under a seed, no test patients."""

from collections import Counter
from pathlib import Path

import pytest

from knee.errors import HeldOutPatientError, InputError
from knee.keys import ItemKey
from knee.moaks import Feature
from knee.splits import PatientSplit, Split, SplitSource
from stages.trial_sample import (
    SampleRequest,
    TrialSample,
    choose_stratified,
    draw_sample,
    sample_of,
)
from store.connection import open_store
from store.patient_splits import record_splits
from store.trial_rows import TrialCandidate
from store.writer import StoreWriter
from tests import store_records as records


def candidate(n: int, feature: Feature, grade: int | None, patient: str = "") -> TrialCandidate:
    return TrialCandidate(ItemKey(f"p{n}/V00/right/dess", 1), patient or f"p{n}", feature, grade)


def test_features_and_grades_come_in_equal_numbers_though_most_grades_are_0():
    many = [candidate(n, Feature.BML, 0) for n in range(50)]
    many += [candidate(100 + n, Feature.BML, 3) for n in range(4)]
    many += [candidate(200 + n, Feature.CARTILAGE, n % 2) for n in range(50)]
    chosen = choose_stratified(many, 16)
    assert Counter((c.feature, c.grade) for c in chosen) == {
        (Feature.BML, 0): 4,
        (Feature.BML, 3): 4,
        (Feature.CARTILAGE, 0): 4,
        (Feature.CARTILAGE, 1): 4,
    }


def test_what_is_rare_is_used_up_and_the_rest_filled_from_what_there_is():
    few = [candidate(n, Feature.BML, 0) for n in range(10)] + [candidate(20, Feature.PCL, 1)]
    chosen = choose_stratified(few, 6)
    assert Counter(c.feature for c in chosen) == {Feature.BML: 5, Feature.PCL: 1}
    assert len(choose_stratified(few, 100)) == 11
    assert choose_stratified([], 5) == []


def test_patients_are_spread():
    crowd = [candidate(n, Feature.BML, 0, "a") for n in range(20)]
    crowd += [candidate(50 + n, Feature.BML, 0, name) for n, name in enumerate("bcdef")]
    assert {c.patient for c in choose_stratified(crowd, 6)} == set("abcdef")


def test_the_hash_of_a_sample_is_that_of_its_items_in_any_order():
    one, two = candidate(1, Feature.BML, 0), candidate(2, Feature.BML, 1)
    request = SampleRequest(2)
    assert TrialSample((one, two), request).sha256 == TrialSample((two, one), None).sha256
    assert TrialSample((one,), request).sha256 != TrialSample((two,), request).sha256


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients, two items each: three of train, one val, one test, one without a split."""
    path = tmp_path_factory.mktemp("sample") / "s.duckdb"
    splits = {"a": "train", "b": "train", "c": "train", "d": "val", "e": "test"}
    with StoreWriter(path, create=True) as writer:
        writer.put_catalogue()
        for number, patient in enumerate("abcdef"):
            volume = records.volume(patient, synthetic=False)
            writer.put_volume(volume)
            writer.put_findings(records.findings(volume.volume_id))
            writer.put_clinician_grades(records.clinician_grades(volume, grade=number % 2))
        phantom = records.volume("ph")
        writer.put_volume(phantom)
        writer.put_findings(records.findings(phantom.volume_id))
        writer.put_clinician_grades(records.clinician_grades(phantom))
        record_splits(
            writer,
            [
                PatientSplit(patient=p, split=Split(s), source=SplitSource.HASHED)
                for p, s in {**splits, "ph": "train"}.items()
            ],
        )
    return path


def test_no_test_patient_none_without_a_split_and_no_phantom_beside_patients(
    store: Path, capsys: pytest.CaptureFixture[str]
):
    with open_store(store, read_only=True) as con:
        sample = draw_sample(con, SampleRequest(100))
    assert {item.patient for item in sample.items} == set("abcd")
    assert {item.key.question_id for item in sample.items} == {1, 16}
    assert "1 patient(s) without a split are left out" in capsys.readouterr().err


def test_the_same_seed_draws_the_same_and_another_one_others(store: Path):
    with open_store(store, read_only=True) as con:
        drawn = [draw_sample(con, SampleRequest(4, seed)).sha256 for seed in (0, 0, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_questions_and_visit_narrow_and_nothing_left_is_told(store: Path):
    with open_store(store, read_only=True) as con:
        only = draw_sample(con, SampleRequest(100, question_ids=(16,)))
        assert {item.key.question_id for item in only.items} == {16}
        with pytest.raises(InputError, match="visit 'V99'"):
            draw_sample(con, SampleRequest(5, visit="V99"))
        with pytest.raises(InputError, match="no item of a train or val patient"):
            draw_sample(con, SampleRequest(5, question_ids=(30,)))


def test_items_of_an_earlier_trial_are_refused_when_one_is_of_a_test_patient_now(store: Path):
    with open_store(store, read_only=True) as con:
        drawn = draw_sample(con, SampleRequest(6))
        again = sample_of(con, sorted(drawn.keys))
        assert again.sha256 == drawn.sha256
        held_out = ItemKey("e/V00/right/dess", 1)
        with pytest.raises(HeldOutPatientError, match=r"trial with 1 test patient\(s\): 'e'"):
            sample_of(con, [*sorted(drawn.keys), held_out])
        with pytest.raises(InputError, match=r"1 item\(s\) of that trial cannot be drafted now"):
            sample_of(con, [ItemKey("a/V00/right/dess", 30)])


def test_a_store_without_splits_names_the_command_that_gives_them(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        writer.put_catalogue()
        writer.put_volume(records.volume("a"))
        with writer.reading() as con, pytest.raises(InputError, match="splits assign") as caught:
            draw_sample(con, SampleRequest(5))
    assert "1 without a split" in str(caught.value)


def test_one_test_volume_makes_a_test_patient(tmp_path: Path):
    with StoreWriter(tmp_path / "s.duckdb", create=True) as writer:
        writer.put_catalogue()
        for visit, split in (("V00", "train"), ("V01", "test")):
            volume = records.volume("a", visit=visit).model_copy(update={"split": split})
            writer.put_volume(volume)
            writer.put_findings(records.findings(volume.volume_id))
            writer.put_clinician_grades(records.clinician_grades(volume))
        with writer.reading() as con, pytest.raises(InputError, match=r"1 test patient\(s\)"):
            draw_sample(con, SampleRequest(5))
