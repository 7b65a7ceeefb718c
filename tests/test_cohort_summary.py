from pathlib import Path

import pytest

from knee.errors import InputError
from tests.test_cohort import write
from tools.cohort import load_cohort
from tools.cohort_summary import NOT_KNOWN, GroupCount, SegmenterOverlap, summarise
from tools.segmenters import load_training_patients, trained_on


def cohort_of(root: Path):
    rows = [
        {"patient": "1", "segmenter": "net 1.0", "split": "train"},
        {"patient": "1", "segmenter": "net 1.0", "split": "train", "visit": "V01"},
        {"patient": "1", "segmenter": "net 1.0", "split": "train", "side": "left"},
        {"patient": "2", "segmenter": "net 1.0", "split": "test", "licence": ""},
        {"patient": "3", "segmenter": "other", "split": "test", "mask_source": ""},
        {"patient": "4", "split": "val", "synthetic": "true"},
    ]
    for n, row in enumerate(rows):
        row |= {"image": "", "label_map": f"{n}.nii"}
        (root / f"{n}.nii").touch()
    return load_cohort(write(root, *rows))


def test_counts_are_of_volumes_and_patients(tmp_path: Path):
    counts = summarise(cohort_of(tmp_path), {})
    assert (counts.volumes, counts.patients, counts.knees, counts.knee_visits) == (6, 4, 5, 6)
    assert counts.without_image == 6
    groups = {(g.grouping, g.value): g for g in counts.groups}
    assert groups["split", "test"] == GroupCount("split", "test", 2, 2)
    assert groups["split", "train"] == GroupCount("split", "train", 3, 1)
    assert groups["licence", NOT_KNOWN] == GroupCount("licence", NOT_KNOWN, 1, 1)
    assert groups["visit", "V01"].volumes == 1
    assert groups["synthetic", "true"].volumes == 1
    assert groups["restricted", "true"].volumes == 5


def test_training_patients_that_are_not_known_are_not_none(tmp_path: Path):
    counts = summarise(cohort_of(tmp_path), {})
    assert {s.trained_on for s in counts.segmenters} == {None}


def test_the_overlap_with_training_patients_is_counted(tmp_path: Path):
    cohort = cohort_of(tmp_path)
    (tmp_path / "train.txt").write_text("2\n\n7\n")
    (tmp_path / "segmenters.toml").write_text(
        '[[segmenter]]\nname = "net 1.0"\ntraining_patients = ["1"]\n'
        'training_patients_file = "train.txt"\n'
        '[[segmenter]]\nname = "other"\ntraining_patients = []\n'
    )
    training = load_training_patients(tmp_path)
    assert training["net 1.0"] == {"1", "2", "7"}
    overlaps = {s.segmenter: s for s in summarise(cohort, training).segmenters}
    assert overlaps["net 1.0"] == SegmenterOverlap("net 1.0", 4, 4, 1, 1)
    assert overlaps["other"] == SegmenterOverlap("other", 1, 0, 1, 0)
    assert overlaps[NOT_KNOWN].trained_on is None
    assert trained_on(cohort.volumes[4], training) is False
    assert trained_on(cohort.volumes[5], training) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("segmenter = 3", "does not list segmenters"),
        ("[[segmenter", "is not TOML"),
        ('[[segmenter]]\nname="a"\n[[segmenter]]\nname="a"', "twice"),
        ('[[segmenter]]\nname="a"\ntraining_patients_file="../x"', "outside"),
        ('[[segmenter]]\nname="a"\ntraining_patients_file="none.txt"', "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "segmenters.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        load_training_patients(tmp_path)
