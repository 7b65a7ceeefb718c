from pathlib import Path

import pytest

from knee.anatomy import Side
from knee.errors import InputError
from knee.splits import Split
from tools.cohort import load_cohort
from tools.cohort_volume import COLUMNS

ROW = {
    "patient": "9000001",
    "visit": "V00",
    "side": "right",
    "sequence": "",
    "image": "9000001/image.nii.gz",
    "label_map": "9000001/labels.nii.gz",
    "scheme": "pymskt",
    "mask_source": "manual",
    "segmenter": "",
    "licence": "MIT",
    "synthetic": "false",
    "split": "",
}


def write(root: Path, *changes: dict[str, str], header: tuple[str, ...] = COLUMNS) -> Path:
    """Writes a manifest of ROW with changes, and the file that ROW names."""
    lines = [",".join(header)]
    lines += [",".join({**ROW, **change}.get(c, "") for c in header) for change in changes]
    (root / "cohort.csv").write_text("\n".join(lines) + "\n")
    (root / "9000001").mkdir(exist_ok=True)
    (root / "9000001" / "labels.nii.gz").touch()
    return root


def problems(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_cohort(root)
    assert "cohort.csv" in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_a_row_becomes_a_volume(tmp_path: Path):
    cohort = load_cohort(write(tmp_path, {"split": "test"}))
    (volume,) = cohort.volumes
    assert volume.volume_id == "9000001/V00/right/dess"
    assert volume.key.side is Side.RIGHT
    assert volume.split is Split.TEST
    assert volume.segmenter is None
    assert volume.licence == "MIT"
    assert volume.synthetic is False
    assert volume.line == 2
    assert cohort.label_map_path(volume) == tmp_path / "9000001/labels.nii.gz"
    assert cohort.image_path(volume) == tmp_path / "9000001/image.nii.gz"
    assert cohort.scheme_reference(volume) == "pymskt"


def test_the_columns_may_come_in_any_order(tmp_path: Path):
    assert len(load_cohort(write(tmp_path, {}, header=COLUMNS[::-1])).volumes) == 1


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path):
    path = write(tmp_path, {}) / "cohort.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n,,,,,,,,,,,\n")
    assert len(load_cohort(tmp_path).volumes) == 1


def test_the_image_may_be_left_out(tmp_path: Path):
    cohort = load_cohort(write(tmp_path, {"image": ""}))
    assert cohort.volumes[0].image is None
    assert cohort.image_path(cohort.volumes[0]) is None


def test_a_missing_file_is_no_fault_of_the_manifest(tmp_path: Path):
    cohort = load_cohort(
        write(tmp_path, {}, {"visit": "V01", "image": "", "label_map": "gone.nii.gz"})
    )
    assert len(cohort.volumes) == 2


def test_a_cohort_without_any_file_is_refused(tmp_path: Path):
    write(tmp_path, {"label_map": "a.nii"}, {"visit": "V01", "image": "", "label_map": "b.nii"})
    message = problems(tmp_path)
    assert "none of the 2 label maps" in message
    assert "'a.nii'" in message


def test_all_problems_are_listed_at_once(tmp_path: Path):
    write(
        tmp_path,
        {"side": "middle"},
        {"visit": "baseline"},
        {"patient": ""},
        {"label_map": "../../etc/passwd"},
        {"image": "/etc/passwd"},
        {"scheme": "nonsense"},
        {"synthetic": "maybe"},
        {"split": "exam"},
        {"label_map": ""},
        {"sequence": "T2 MAP"},
    )
    message = problems(tmp_path)
    assert "10 problems" in message
    for number, words in enumerate(
        (
            "side 'middle'",
            "visit 'baseline'",
            "patient ''",
            "label_map '../../etc/passwd' may lead outside",
            "image '/etc/passwd' may lead outside",
            "scheme 'nonsense'",
            "synthetic 'maybe'",
            "split 'exam'",
            "label_map is empty",
            "'T2 MAP'",
        ),
        start=2,
    ):
        assert any(f"line {number}:" in line and words in line for line in message.splitlines()), (
            words
        )


def test_one_row_may_have_several_problems(tmp_path: Path):
    message = problems(write(tmp_path, {"side": "x", "split": "y", "synthetic": ""}))
    assert "3 problems" in message


def test_the_first_20_problems_are_shown_and_the_rest_counted(tmp_path: Path):
    message = problems(write(tmp_path, *[{"side": "x"}] * 33))
    assert "33 problems" in message
    assert message.count("line ") == 20
    assert "13 more" in message


def test_duplicate_volumes_are_refused(tmp_path: Path):
    message = problems(write(tmp_path, {}, {"sequence": "dess"}))
    assert "line 3: volume '9000001/V00/right/dess' is there already, line 2" in message


def test_one_label_map_for_two_knees_is_refused(tmp_path: Path):
    message = problems(write(tmp_path, {}, {"side": "left"}))
    assert "label map '9000001/labels.nii.gz' belongs to '9000001/V00/right/dess'" in message


def test_one_label_map_for_two_sequences_of_a_knee_is_fine(tmp_path: Path):
    assert len(load_cohort(write(tmp_path, {}, {"sequence": "iw"})).volumes) == 2


def test_a_patient_in_two_splits_is_refused(tmp_path: Path):
    write(tmp_path, {"split": "train"}, {"split": "test", "side": "left", "label_map": "left.nii"})
    assert "patient '9000001' is in split 'test', but in 'train'" in problems(tmp_path)


def test_missing_and_unknown_columns_are_both_named(tmp_path: Path):
    write(tmp_path, {}, header=(*COLUMNS[1:], "kl_grade"))
    message = problems(tmp_path)
    assert "missing columns ['patient']" in message
    assert "unknown columns ['kl_grade']" in message


def test_a_row_of_the_wrong_length_is_named(tmp_path: Path):
    path = write(tmp_path, {}) / "cohort.csv"
    path.write_text(path.read_text() + "a,b\n")
    assert "line 3: 2 cells, the header has 15" in problems(tmp_path)


def test_no_manifest_and_an_empty_one_are_refused(tmp_path: Path):
    assert "there is no cohort.csv" in problems(tmp_path)
    assert "it lists no volume" in problems(write(tmp_path))
    (tmp_path / "cohort.csv").write_text("")
    assert "missing columns" in problems(tmp_path)


def test_a_manifest_that_is_not_text_is_refused(tmp_path: Path):
    (tmp_path / "cohort.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "is not UTF-8" in problems(tmp_path)


def test_unbalanced_quotes_are_refused(tmp_path: Path):
    path = write(tmp_path, {}) / "cohort.csv"
    path.write_text(path.read_text() + '"9000002,V00\n')
    assert "is not CSV" in problems(tmp_path)


def test_a_scheme_file_lies_in_the_root(tmp_path: Path):
    (tmp_path / "mine.toml").write_text("")
    cohort = load_cohort(write(tmp_path, {"scheme": "mine.toml"}))
    assert cohort.scheme_reference(cohort.volumes[0]) == str(tmp_path / "mine.toml")
    assert "does not exist" in problems(write(tmp_path, {"scheme": "none.toml"}))
    assert "outside" in problems(write(tmp_path, {"scheme": "../mine.toml"}))


def test_a_path_never_goes_up(tmp_path: Path):
    message = problems(write(tmp_path, {"label_map": "9000001/../9000001/labels.nii.gz"}))
    assert "may lead outside" in message


def test_a_backslash_is_refused(tmp_path: Path):
    assert "has a backslash" in problems(write(tmp_path, {"image": "9000001\\image.nii"}))
