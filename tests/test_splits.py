"""Splits: pure rules first, then the files, then the property tests of the issue."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knee.errors import HeldOutPatientError, InputError
from knee.grades import ClinicianGrade, GradeStatus
from knee.moaks import Component
from knee.splits import HeldOutUse, PatientSplit, Split, SplitSource, refuse_test_patients
from tests.test_cohort import write
from tools.cohort import load_cohort, read_manifest
from tools.split_files import known_splits, read_record, read_split_list, write_splits
from tools.splits import Shares, assign_splits, severity_stratum, split_hash, stratum_of

STRATA = (None, "0", "1-2", "3-5", "6+")
PATIENTS = st.dictionaries(
    st.text("0123456789ABC", min_size=1, max_size=7), st.sampled_from(STRATA), max_size=60
)


def assign(
    patients: Mapping[str, str | None],
    known: Mapping[str, PatientSplit] | None = None,
    released: Mapping[str, Split] | None = None,
    seed: int = 0,
) -> dict[str, PatientSplit]:
    return assign_splits(
        patients, known=known or {}, released=released or {}, shares=Shares(), seed=seed
    )


def many(n: int, stratum: str | None = None) -> dict[str, str | None]:
    return {f"9{n:06d}": stratum for n in range(n)}


@given(first=PATIENTS, later=PATIENTS, seed=st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_adding_patients_never_moves_an_old_one(
    first: dict[str, str | None], later: dict[str, str | None], seed: int
):
    before = assign(first, seed=seed)
    # A patient's severity may have changed with a later visit: the split stays all the same.
    after = assign(first | later, known=before, seed=seed)
    assert all(after[patient] == split for patient, split in before.items())
    assert set(after) == set(first) | set(later)


@given(patients=PATIENTS, removed=st.sets(st.integers(0, 59)), seed=st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_the_hash_needs_no_record(patients: dict[str, str | None], removed: set[int], seed: int):
    everyone = dict.fromkeys(patients)
    some = {p: None for n, p in enumerate(everyone) if n not in removed}
    whole = assign(everyone, seed=seed)
    assert all(whole[p].split is split.split for p, split in assign(some, seed=seed).items())


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from(("V00", "V01", "V03"))),
        min_size=1,
        max_size=20,
        unique=True,
    ),
    released=st.dictionaries(st.sampled_from("ABCDEFGH"), st.sampled_from(Split), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_splits_never_share_a_patient(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    released: dict[str, Split],
):
    root = tmp_path_factory.mktemp("cohort")
    knees = [(p, v, side) for p, v in rows for side in ("right", "left")]
    for n in range(len(knees)):
        (root / f"{n}.nii").touch()
    write(
        root,
        *(
            {"patient": p, "visit": v, "side": s, "image": "", "label_map": f"{n}.nii"}
            for n, (p, v, s) in enumerate(knees)
        ),
    )
    manifest = read_manifest(root)
    splits = assign(dict.fromkeys(p for p, _ in rows), released=released)
    write_splits(manifest, splits)
    # `load_cohort` refuses a patient in two splits, over knees, visits and sequences.
    by_patient: dict[str, set[Split | None]] = {}
    for volume in load_cohort(root).volumes:
        by_patient.setdefault(volume.key.patient, set()).add(volume.split)
    assert all(len(found) == 1 and None not in found for found in by_patient.values())
    assert all(by_patient[p] == {released[p]} for p in by_patient.keys() & released.keys())


def test_the_shares_come_out():
    splits = [record.split for record in assign(many(5000)).values()]
    shares = [splits.count(split) / 5000 for split in Split]
    # Four standard errors of a share of 0.2 in 5,000 draws are 0.023.
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.023)


def test_another_seed_draws_anew_and_the_same_one_does_not():
    assert assign(many(100), seed=1) == assign(many(100), seed=1)
    assert assign(many(100), seed=1) != assign(many(100), seed=2)
    assert 0 <= split_hash("9000001", 3) < 1


def test_each_stratum_has_its_shares_to_within_one_patient():
    patients: dict[str, str | None] = {}
    for stratum, n in (("0", 100), ("1-2", 37), ("3-5", 10), ("6+", 3)):
        patients |= {f"{stratum}/{k}": stratum for k in range(n)}
    records = assign(patients).values()
    for stratum, n in (("0", 100), ("1-2", 37), ("3-5", 10), ("6+", 3)):
        own = [r.split for r in records if r.stratum == stratum]
        for split, share in ((Split.TRAIN, 0.7), (Split.VAL, 0.1), (Split.TEST, 0.2)):
            assert abs(own.count(split) - share * n) <= 1, (stratum, split)


def test_who_is_in_a_stratum_is_drawn_by_the_seed():
    test_patients = [
        {p for p, r in assign(many(50, "0"), seed=seed).items() if r.split is Split.TEST}
        for seed in (1, 2)
    ]
    assert test_patients[0] != test_patients[1]
    assert len(test_patients[0]) == len(test_patients[1]) == 10


def test_released_patients_keep_their_split():
    released = {f"9{n:06d}": Split.TEST for n in range(0, 100, 2)}
    splits = assign(many(100, "0"), released=released)
    assert all(splits[p].split is Split.TEST for p in released)
    assert {splits[p].source for p in released} == {SplitSource.RELEASED}
    # The others are a lottery of their own: released test patients do not push them into train.
    own = [r.split for p, r in splits.items() if p not in released]
    assert own.count(Split.TEST) == 10


def test_a_recorded_split_that_is_not_the_released_one_is_refused():
    known = {
        p: PatientSplit(patient=p, split=Split.TRAIN, source=SplitSource.HASHED, seed=0)
        for p in "AB"
    }
    with pytest.raises(InputError, match="2 problems") as caught:
        assign({"A": None}, known, {"A": Split.TEST, "B": Split.VAL})
    assert "patient 'A' is recorded as 'train' (hashed), released as 'test'" in caught.value.message


def test_shares_must_sum_to_one():
    with pytest.raises(ValueError, match="sum to 1"):
        Shares(train=0.7, val=0.2, test=0.2)
    with pytest.raises(ValueError, match="sum to 1"):
        Shares(train=1.2, val=-0.2, test=0.0)


def grade(question: int, value: int | None, visit: str = "V00", side: str = "right"):
    return ClinicianGrade(
        patient="1",
        visit=visit,
        side=side,
        question_id=question,
        component=Component.SIZE,
        status=GradeStatus.MISSING if value is None else GradeStatus.READ,
        grade=value,
        raw=("",),
        variable="X",
        file="f",
        lines=(2,),
        readprj=("",),
        version=("",),
    )


def test_severity_is_of_the_worst_knee_visit_and_missing_is_not_mild():
    assert severity_stratum([]) is None
    assert severity_stratum([grade(16, None), grade(17, None)]) is None
    assert severity_stratum([grade(16, 1), grade(17, None)]) == "0"
    two_knees = [grade(16, 2), grade(17, 3), grade(16, 2, side="left")]
    assert severity_stratum(two_knees) == "1-2"
    later = [grade(q, 2, "V03") for q in range(16, 22)]
    assert severity_stratum([*two_knees, *later]) == "6+"
    # Question 1 is about BML: its size is not a cartilage lesion's.
    assert severity_stratum([grade(1, 3)]) is None


def test_strata_have_stated_edges():
    assert [stratum_of(n) for n in (0, 1, 2, 3, 5, 6, 14)] == [
        *("0", "1-2", "1-2", "3-5", "3-5", "6+", "6+")
    ]


def test_the_guard_names_test_patients_and_lets_others_through():
    splits = {"a": "train", "b": "test", "c": None, "d": "val"}
    refuse_test_patients(HeldOutUse.CALIBRATION, ["a", "d", "c", "unknown"], splits)
    with pytest.raises(HeldOutPatientError, match=r"trial with 1 test patient\(s\): 'b'") as caught:
        refuse_test_patients(HeldOutUse.TRIAL, ["a", "b", "b"], splits)
    assert caught.value.patients == ("b",)
    assert isinstance(caught.value, InputError)
    assert caught.value.exit_code == 2


def test_the_guard_can_insist_on_a_split():
    with pytest.raises(HeldOutPatientError, match=r"2 patient\(s\) without a split"):
        refuse_test_patients(
            HeldOutUse.FEW_SHOT, ["a", "c", "x"], {"a": "train", "c": None}, assigned_only=True
        )


def test_many_test_patients_are_counted():
    patients = [f"{n}" for n in range(10)]
    with pytest.raises(HeldOutPatientError, match="and 5 more"):
        refuse_test_patients(HeldOutUse.THRESHOLD, patients, dict.fromkeys(patients, "test"))


def two_patients(root: Path, *, split: str = "") -> Path:
    for n in range(3):
        (root / f"{n}.nii").touch()
    return write(
        root,
        {"patient": "A", "image": "", "label_map": "0.nii", "split": split},
        {"patient": "A", "image": "", "label_map": "1.nii", "visit": "V01"},
        {"patient": "B", "image": "", "label_map": "2.nii"},
    )


def test_assigned_splits_are_written_and_recorded(tmp_path: Path):
    manifest = read_manifest(two_patients(tmp_path))
    splits = assign({"A": "0", "B": None}, seed=4)
    write_splits(manifest, splits)
    assert read_record(tmp_path) == splits
    cohort = load_cohort(tmp_path)
    assert [v.split for v in cohort.volumes] == [splits["A"].split] * 2 + [splits["B"].split]
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_the_split_column_is_added_where_it_is_missing(tmp_path: Path):
    (tmp_path / "0.nii").touch()
    header = ("patient", "visit", "side", "label_map", "scheme")
    manifest = read_manifest(write(tmp_path, {"label_map": "0.nii"}, header=header))
    write_splits(manifest, assign({"9000001": None}))
    assert (tmp_path / "cohort.csv").read_text().startswith(",".join((*header, "split")) + "\n")
    assert load_cohort(tmp_path).volumes[0].split is not None


def test_a_new_visit_of_an_old_patient_takes_the_patients_split(tmp_path: Path):
    manifest = read_manifest(two_patients(tmp_path, split="test"))
    known = known_splits(manifest, read_record(tmp_path))
    assert known["A"].source is SplitSource.MANIFEST
    splits = assign({"A": None, "B": None}, known)
    write_splits(manifest, splits)
    assert [v.split for v in load_cohort(tmp_path).volumes][:2] == [Split.TEST, Split.TEST]


def test_a_manifest_that_contradicts_the_record_is_refused(tmp_path: Path):
    manifest = read_manifest(two_patients(tmp_path, split="test"))
    record = {"A": PatientSplit(patient="A", split=Split.TRAIN, source=SplitSource.HASHED, seed=0)}
    with pytest.raises(InputError, match="'A' is in split 'test', but 'train' recorded"):
        known_splits(manifest, record)


def test_patients_who_left_stay_recorded(tmp_path: Path):
    manifest = read_manifest(two_patients(tmp_path))
    gone = PatientSplit(patient="Z", split=Split.VAL, source=SplitSource.HASHED, seed=0)
    write_splits(manifest, {"Z": gone, **assign({"A": None, "B": None})})
    assert read_record(tmp_path)["Z"] == gone


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,split\nA,train\n", "no column 'source'"),
        ("patient,split,source,seed,stratum\nA,exam,hashed,0,\n", "split 'exam' is not legal"),
        ("patient,split,source,seed,stratum\nA,val,hashed,x,\n", "seed 'x' is not legal"),
        (
            "patient,split,source,seed,stratum\nA,val,hashed,0,\nA,val,hashed,0,\n",
            "'A' is there already",
        ),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_record(tmp_path)


def test_a_list_of_released_splits_is_read(tmp_path: Path):
    path = tmp_path / "released.csv"
    path.write_text("patient_id,knee,split\nA,r,train\nA,l,train\nB,r,test\n")
    assert read_split_list(path) == {"A": Split.TRAIN, "B": Split.TEST}
    path.write_text("patient,split\nA,train\nA,test\nB,exam\n,val\n")
    with pytest.raises(InputError, match="3 problems"):
        read_split_list(path)
    path.write_text("patient,split\n")
    with pytest.raises(InputError, match="lists no patient"):
        read_split_list(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_split_list(tmp_path / "none.csv")
