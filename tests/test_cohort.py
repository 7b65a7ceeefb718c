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


def test_columns_with_defaults_may_be_left_out(tmp_path: Path):
    header = ("patient", "visit", "side", "label_map", "scheme")
    (volume,) = load_cohort(write(tmp_path, {}, header=header)).volumes
    assert volume.key.sequence == "dess"
    assert volume.image is None
    assert volume.synthetic is False
    assert volume.restricted is True
    assert volume.licence is None
    assert volume.split is None


def test_the_images_licence_is_that_of_the_masks_unless_it_has_its_own(tmp_path: Path):
    volumes = load_cohort(
        write(
            tmp_path,
            {"image_source": "OAI"},
            {"image_licence": "OAI terms", "sequence": "iw"},
        )
    ).volumes
    assert [v.image_licence for v in volumes] == ["MIT", "OAI terms"]
    assert [v.image_source for v in volumes] == ["OAI", None]


def test_patients_are_restricted_unless_the_manifest_says_otherwise(tmp_path: Path):
    rows = ({}, {"restricted": "false", "sequence": "b"}, {"synthetic": "true", "sequence": "c"})
    volumes = load_cohort(write(tmp_path, *rows)).volumes
    assert [v.restricted for v in volumes] == [True, False, False]


def test_a_restricted_phantom_and_a_flag_that_is_neither_are_refused(tmp_path: Path):
    message = problems(
        write(tmp_path, {"synthetic": "true", "restricted": "true"}, {"restricted": "perhaps"})
    )
    assert "line 2: restricted is true of a synthetic volume" in message
    assert "line 3: restricted 'perhaps'" in message


def test_a_link_that_leads_out_of_the_root_is_refused(tmp_path: Path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "labels.nii.gz").touch()
    (root / "linked").symlink_to(outside)
    message = problems(write(root, {"label_map": "linked/labels.nii.gz"}))
    assert (
        "line 2: label_map 'linked/labels.nii.gz' leads outside of the cohort's root by a link"
        in (message)
    )


def test_a_link_within_the_root_and_a_root_that_is_a_link_are_fine(tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    write(root, {"label_map": "linked/labels.nii.gz"})
    (root / "linked").symlink_to(root / "9000001")
    (tmp_path / "elsewhere").symlink_to(root)
    assert len(load_cohort(tmp_path / "elsewhere").volumes) == 1


def test_a_link_to_anothers_label_map_is_found(tmp_path: Path):
    write(tmp_path, {}, {"side": "left", "image": "", "label_map": "copy.nii.gz"})
    (tmp_path / "copy.nii.gz").symlink_to(tmp_path / "9000001/labels.nii.gz")
    assert "label map 'copy.nii.gz' belongs to '9000001/V00/right/dess'" in problems(tmp_path)


def test_a_loop_of_links_and_a_path_with_a_null_byte_are_no_crash(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    message = problems(
        write(tmp_path, {"label_map": "loop/a.nii"}, {"label_map": "a\0.nii", "visit": "V01"})
    )
    assert "line 2: label_map 'loop/a.nii'" in message
    assert "line 3: label_map 'a\\x00.nii'" in message


def test_one_image_for_two_visits_is_refused(tmp_path: Path):
    message = problems(write(tmp_path, {}, {"visit": "V01", "label_map": "b.nii"}))
    assert "line 3: image '9000001/image.nii.gz' belongs to '9000001/V00/right/dess'" in message


def test_the_image_is_not_its_own_label_map(tmp_path: Path):
    message = problems(write(tmp_path, {"label_map": "9000001/./image.nii.gz"}))
    assert "image and label_map are the same file" in message


def test_a_folder_of_masks_is_a_label_map(tmp_path: Path):
    (tmp_path / "masks").mkdir()
    cohort = load_cohort(write(tmp_path, {"label_map": "masks", "scheme": "masks"}))
    assert cohort.volumes[0].is_mask_folder
    assert cohort.scheme_reference(cohort.volumes[0]) == "masks"


def test_a_volume_without_a_split_beside_one_with_a_split_is_a_leak(tmp_path: Path):
    message = problems(write(tmp_path, {"split": "test"}, {"sequence": "iw"}))
    assert "patient '9000001' is in split '', but in 'test' on line 2" in message
