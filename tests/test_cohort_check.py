from pathlib import Path

import pytest

from knee.errors import InputError
from tests.test_cohort import write
from tools.cohort_check import check_cohort, look_alike_patients


def sound(root: Path, *changes: dict[str, str]) -> Path:
    """A cohort whose files are all there, each with bytes of its own."""
    rows = [
        {
            "patient": f"900000{n}",
            "image": f"{n}.nii.gz",
            "label_map": f"{n}-labels.nii.gz",
            **change,
        }
        for n, change in enumerate(changes, start=1)
    ]
    write(root, *rows)
    for n in range(1, len(changes) + 1):
        (root / f"{n}.nii.gz").write_text(f"image {n}")
        (root / f"{n}-labels.nii.gz").write_text(f"labels {n}")
    return root


def problems(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        check_cohort(root)
    return caught.value.message


def test_a_sound_cohort_passes(tmp_path: Path):
    assert len(check_cohort(sound(tmp_path, {}, {})).volumes) == 2


def test_missing_empty_and_wrong_files_are_all_listed(tmp_path: Path):
    root = sound(tmp_path, {}, {}, {}, {"scheme": "masks"}, {"scheme": "masks"})
    (root / "1.nii.gz").unlink()
    (root / "2-labels.nii.gz").write_text("")
    (root / "3-labels.nii.gz").unlink()
    (root / "3-labels.nii.gz").mkdir()
    (root / "4-labels.nii.gz").unlink()
    (root / "4-labels.nii.gz").mkdir()
    message = problems(root)
    assert "5 problems" in message
    assert "line 2: image '1.nii.gz' does not exist" in message
    assert "line 3: label_map '2-labels.nii.gz' is an empty file" in message
    assert "line 4: label_map '3-labels.nii.gz' is a folder" in message
    assert "line 5: label_map '4-labels.nii.gz' is an empty folder" in message
    assert "line 6: label_map '5-labels.nii.gz' is a file; the scheme 'masks'" in message


def test_an_image_may_be_a_folder_of_dicom(tmp_path: Path):
    root = sound(tmp_path, {})
    (root / "1.nii.gz").unlink()
    (root / "1.nii.gz").mkdir()
    (root / "1.nii.gz" / "001").write_text("slice")
    assert check_cohort(root).volumes


def test_a_copy_under_another_name_is_found(tmp_path: Path):
    root = sound(tmp_path, {"split": "train"}, {"split": "test"})
    (root / "2.nii.gz").write_text("image 1")
    assert (
        "line 3: image of '9000002/V00/right/dess' holds the same bytes as that of "
        "'9000001/V00/right/dess', line 2"
    ) in problems(root)


def test_files_that_differ_behind_the_first_mebibyte_are_no_copies(tmp_path: Path):
    root = sound(tmp_path, {}, {})
    (root / "1.nii.gz").write_bytes(b"0" * (1 << 20) + b"1")
    (root / "2.nii.gz").write_bytes(b"0" * (1 << 20) + b"2")
    assert check_cohort(root).volumes


def test_manifest_and_file_problems_come_in_one_listing(tmp_path: Path):
    root = sound(tmp_path, {}, {"side": "middle"})
    (root / "1.nii.gz").unlink()
    message = problems(root)
    assert "2 problems" in message
    assert "side 'middle'" in message
    assert "does not exist" in message


def test_patients_written_in_two_ways_are_told(tmp_path: Path):
    assert list(look_alike_patients(["P1", "P2", "P1"])) == []
    assert "'P1' and 'p1'" in next(look_alike_patients(["P1", "p1"]))
    assert "'9000001' and '09000001'" in next(look_alike_patients(["9000001", "09000001"]))
    root = sound(tmp_path, {"patient": "p1"}, {"patient": "P1"})
    assert "may be one person" in problems(root)


def test_a_wrong_list_of_segmenters_is_a_problem(tmp_path: Path):
    root = sound(tmp_path, {})
    (root / "segmenters.toml").write_text('[[segmenter]]\nname = "a"\npatients = ["1"]\n')
    assert "segmenters.toml" in problems(root)
