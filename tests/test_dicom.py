"""DICOM folders against pydicom's own tags and pixels, and every way in which they can be wrong."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread  # noqa: TID253 - these tests are about it
from pydicom.uid import (  # noqa: TID253
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from knee.anatomy import Side
from knee.errors import InputError
from tests.dicom_series import (
    COLUMN,
    ORIGIN,
    ROW,
    SPACING,
    STEP,
    slice_dataset,
    voxels,
    write_series,
    write_without_preamble,
)
from tests.real_data import real_folder
from tools.dicom import read_dicom_series
from tools.volumes import load_volume

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def refused(folder: Path, words: str, **options: int) -> str:
    """Reads a folder that must be refused; returns the message, which names the folder."""
    with pytest.raises(InputError, match=words) as caught:
        load_volume(folder, **options)
    assert str(folder) in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_voxels_lie_where_the_tags_say(tmp_path: Path):
    volume = load_volume(write_series(tmp_path / "s"))
    assert volume.shape == (5, 7, 6)
    assert volume.array.dtype == np.int16
    assert volume.orientation == "PIR"
    assert volume.spacing == pytest.approx((SPACING[1], SPACING[0], STEP))
    # By hand, from one file: the world position of column 3, row 2 of the slice '004'.
    dataset = dcmread(tmp_path / "s" / "004")
    lps = (
        np.array(dataset.ImagePositionPatient)
        + 3 * SPACING[1] * np.array(ROW)
        + 2 * SPACING[0] * np.array(COLUMN)
    )
    k = 3
    assert volume.array[3, 2, k] == dataset.pixel_array[2, 3] == voxels()[3, 2, 3]
    world = volume.affine[:3, :3] @ (3, 2, k) + volume.affine[:3, 3]
    np.testing.assert_allclose(world, lps * LPS_TO_RAS, atol=1e-9)


def test_order_comes_from_positions_and_not_from_names_or_instance_numbers(tmp_path: Path):
    plain = load_volume(write_series(tmp_path / "plain"))
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for index, name in enumerate(["IM9", "a.dcm", "007", "x.IMA", "1.2.3.4", "B"]):
        dataset = slice_dataset(voxels()[index], index, InstanceNumber=99 - index)
        dataset.save_as(shuffled / name, enforce_file_format=True)
    volume = load_volume(shuffled)
    assert np.array_equal(volume.array, plain.array)
    np.testing.assert_array_equal(volume.affine, plain.affine)


def test_the_hash_is_of_the_slices_and_not_of_their_names(tmp_path: Path):
    first = write_series(tmp_path / "a")
    same = write_series(tmp_path / "b", names="IM{:05}.dcm")
    changed = voxels()
    changed[3, 1, 1] += 1
    other = write_series(tmp_path / "c", changed)
    hashes = [load_volume(folder).sha256 for folder in (first, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_distance_is_that_of_the_positions(tmp_path: Path):
    volume = load_volume(
        write_series(tmp_path / "s", SliceThickness=0.7, SpacingBetweenSlices=12.0)
    )
    assert volume.spacing[2] == pytest.approx(STEP)


@settings(max_examples=25, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    reverse=st.booleans(),
)
def test_oblique_series_lie_where_the_tags_say(
    tmp_path_factory: pytest.TempPathFactory, angles: tuple[float, float, float], reverse: bool
):
    turn = rotation(angles)
    row, column = turn @ np.array(ROW), turn @ np.array(COLUMN)
    normal = np.cross(row, column) * (-1 if reverse else 1)
    changes = {
        k: {
            "ImageOrientationPatient": [f"{x:.9f}" for x in (*row, *column)],
            "ImagePositionPatient": [f"{x:.9f}" for x in np.array(ORIGIN) + k * STEP * normal],
        }
        for k in range(4)
    }
    folder = write_series(tmp_path_factory.mktemp("oblique"), voxels(4), changes=changes)
    volume = load_volume(folder)
    for k in range(4):
        i, j = 4, 5
        lps = np.array(ORIGIN) + k * STEP * normal + i * SPACING[1] * row + j * SPACING[0] * column
        stored = 3 - k if reverse else k
        assert volume.array[i, j, stored] == voxels(4)[k, j, i]
        world = volume.affine[:3, :3] @ (i, j, stored) + volume.affine[:3, 3]
        np.testing.assert_allclose(world, lps * LPS_TO_RAS, atol=1e-5)


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """A rotation from three Euler angles."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        i, j = [a for a in range(3) if a != axis]
        one = np.eye(3)
        one[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        result = one @ result
    return result


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, 0, "int16"), (2, -10, "int16"), (1, 40000, "uint16"), (400, -3, "int32")],
)
def test_whole_rescaling_keeps_integers(tmp_path: Path, slope: int, intercept: int, dtype: str):
    folder = write_series(tmp_path / "s", RescaleSlope=slope, RescaleIntercept=intercept)
    array = load_volume(folder).array
    assert array.dtype == dtype
    expected = voxels().astype(np.int64) * slope + intercept
    assert np.array_equal(array, expected.transpose(2, 1, 0))


def test_broken_rescaling_gives_float32(tmp_path: Path):
    folder = write_series(tmp_path / "s", RescaleSlope=0.125, RescaleIntercept=0.5)
    array = load_volume(folder).array
    assert array.dtype == np.float32
    assert np.array_equal(array, voxels().transpose(2, 1, 0) * np.float32(0.125) + np.float32(0.5))


def test_rescaling_that_differs_by_slice_is_applied_to_each(tmp_path: Path):
    changes = {k: {"RescaleSlope": k + 1.0, "RescaleIntercept": 0.5 * k} for k in range(6)}
    array = load_volume(write_series(tmp_path / "s", changes=changes)).array
    assert array.dtype == np.float32
    for k in range(6):
        np.testing.assert_allclose(array[..., k], voxels()[k].T * (k + 1.0) + 0.5 * k)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32"])
def test_stored_types_are_kept(tmp_path: Path, dtype: str):
    pixels = (voxels() % 200).astype(dtype)
    array = load_volume(write_series(tmp_path / "s", pixels)).array
    assert array.dtype == dtype
    assert np.array_equal(array, pixels.transpose(2, 1, 0))


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_preamble_are_read(tmp_path: Path, implicit: bool):
    folder = tmp_path / "old"
    folder.mkdir()
    for index, plane in enumerate(voxels()):
        write_without_preamble(
            slice_dataset(plane, index), folder / f"{index:03}", implicit=implicit
        )
    assert np.array_equal(load_volume(folder).array, voxels().transpose(2, 1, 0))


@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian])
def test_losslessly_packed_slices_are_read(tmp_path: Path, syntax: UID):
    folder = tmp_path / "s"
    folder.mkdir()
    for index, plane in enumerate(voxels()):
        dataset = slice_dataset(plane, index)
        if syntax == RLELossless:
            dataset.compress(RLELossless)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(folder / f"{index:03}", enforce_file_format=True)
    assert np.array_equal(load_volume(folder).array, voxels().transpose(2, 1, 0))


def test_other_files_beside_the_slices_are_passed_over(tmp_path: Path):
    folder = write_series(tmp_path / "s")
    plain = load_volume(folder)
    (folder / ".DS_Store").write_bytes(b"\0\1")
    (folder / "readme.txt").write_text("about")
    (folder / "series.json").write_text("{}")
    (folder / "Thumbs.db").write_bytes(b"\0\1")
    (folder / "sub").mkdir()
    directory = slice_dataset(voxels()[0], 0)
    directory.SOPClassUID = "1.2.840.10008.1.3.10"
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    again = load_volume(folder)
    assert again.sha256 == plain.sha256
    assert np.array_equal(again.array, plain.array)


@pytest.mark.parametrize("content", [b"", b"\0" * 90, b"<html>not found</html>" * 20])
def test_a_slice_that_is_no_dicom_is_named(tmp_path: Path, content: bytes):
    folder = write_series(tmp_path / "s")
    # The last one: a gap would not show it.
    (folder / "006").write_bytes(content)
    assert "'006'" in refused(folder, "not DICOM")


@pytest.mark.parametrize("kept", [140, 300, 700, -20])
def test_a_slice_that_is_cut_off_is_named(tmp_path: Path, kept: int):
    folder = write_series(tmp_path / "s")
    path = folder / "006"
    path.write_bytes(path.read_bytes()[:kept])
    assert "006" in refused(folder, "006")


def test_missing_slices_are_counted_and_placed(tmp_path: Path):
    folder = write_series(tmp_path / "s", voxels(9))
    for name in ("003", "006", "007"):
        (folder / name).unlink()
    message = refused(folder, r"3 slice\(s\) are missing")
    assert "1 between '002'" in message
    assert "2 between '005'" in message
    assert "'008'" in message


def test_uneven_distances_are_named(tmp_path: Path):
    changes = {5: {"ImagePositionPatient": [ORIGIN[0] - 5.4 * STEP, *ORIGIN[1:]]}}
    assert "'006'" in refused(write_series(tmp_path / "s", changes=changes), "unevenly apart")


def test_rounded_positions_are_even(tmp_path: Path):
    changes = {
        k: {"ImagePositionPatient": [round(ORIGIN[0] - k * 0.7001, 2), *ORIGIN[1:]]}
        for k in range(6)
    }
    volume = load_volume(write_series(tmp_path / "s", changes=changes))
    assert volume.spacing[2] == pytest.approx(0.7, abs=1e-2)


def test_copies_of_a_slice_are_named(tmp_path: Path):
    folder = write_series(tmp_path / "s")
    shutil.copy(folder / "003", folder / "copy")
    message = refused(folder, "several slices are at one place")
    assert "'003', 'copy'" in message
    assert "7 files are at 6 places" in message


def test_echoes_of_one_series_are_told_apart(tmp_path: Path):
    folder = write_series(tmp_path / "s", EchoTime=10.0)
    write_series(folder, names="echo2-{:03}", EchoTime=20.0)
    message = refused(folder, "echo times 10.0, 20.0 ms")
    assert "12 files are at 6 places" in message


def test_a_second_series_is_named_and_can_be_chosen(tmp_path: Path):
    folder = write_series(tmp_path / "s")
    write_series(folder, voxels(4), names="b{:03}", SeriesInstanceUID="2.25.2002", SeriesNumber=12)
    message = refused(folder, "holds 2 series")
    assert "series 7 (MR, 5 x 7, 6 files, the first '001')" in message
    assert "series 12 (MR, 5 x 7, 4 files, the first 'b001')" in message
    assert load_volume(folder, series_number=12).shape == (5, 7, 4)
    assert "series 7" in refused(folder, "holds no series 3", series_number=3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Modality": "CT"}, "modality is 'CT'"),
        ({"Modality": None}, "modality is ''"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localiser"),
        ({"NumberOfFrames": 6}, "multi-frame"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient is"),
        ({"ImageOrientationPatient": None}, "ImageOrientationPatient is"),
        ({"PixelSpacing": None}, "PixelSpacing is"),
        ({"PixelSpacing": [0.0, 0.5]}, "voxel size"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 1, 0]}, "directions"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "directions"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "3 sample"),
        ({"Rows": 0}, "impossible size"),
        ({"Rows": 60000}, "impossible size"),
        ({"Rows": 3000}, "cannot be read"),
        ({"RescaleSlope": 0}, "RescaleSlope 0"),
        ({"PixelData": None}, "no pixel data"),
    ],
)
def test_what_is_no_plain_slice_is_refused(tmp_path: Path, fields: dict[str, Any], words: str):
    message = refused(write_series(tmp_path / "s", **fields), words)
    assert "'001'" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"PixelSpacing": [0.5, 0.3]}, "2 values of pixel spacing"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, "2 values of orientation"),
        ({"Rows": 6, "PixelData": b"\0" * 60}, "2 values of size"),
        ({"PixelRepresentation": 0}, "2 values of pixel type"),
        ({"PixelData": None}, "no pixel data"),
        ({"Modality": "SR"}, "modality is 'SR'"),
    ],
)
def test_a_slice_unlike_the_others_is_named(tmp_path: Path, fields: dict[str, Any], words: str):
    message = refused(write_series(tmp_path / "s", changes={2: fields}), words)
    assert "'003'" in message


def test_sideways_shifted_slices_are_refused(tmp_path: Path):
    changes = {
        k: {"ImagePositionPatient": [ORIGIN[0] - k * STEP, ORIGIN[1] + 0.3 * k, ORIGIN[2]]}
        for k in range(6)
    }
    refused(write_series(tmp_path / "s", changes=changes), "shifted sideways")


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({}, None),
        ({"Laterality": "R"}, Side.RIGHT),
        ({"ImageLaterality": "L"}, Side.LEFT),
        ({"Laterality": "R", "ImageLaterality": "R"}, Side.RIGHT),
        ({"Laterality": "", "ImageLaterality": "U"}, None),
        ({"ImageLaterality": "B", "Laterality": "L"}, Side.LEFT),
    ],
)
def test_the_side_is_the_one_that_the_header_names(
    tmp_path: Path, fields: dict[str, Any], side: Side | None
):
    volume = load_volume(write_series(tmp_path / "s", **fields))
    assert volume.named_side is side
    assert volume.to_canonical().named_side is side


def test_headers_that_name_both_sides_are_refused(tmp_path: Path):
    folder = write_series(tmp_path / "a", Laterality="R", changes={3: {"ImageLaterality": "L"}})
    message = refused(folder, "contradict each other")
    assert "'004'" in message
    refused(write_series(tmp_path / "b", Laterality="R", changes={3: {"Laterality": "L"}}), "'004'")


def test_an_unreadable_transfer_syntax_is_named(tmp_path: Path):
    folder = write_series(tmp_path / "s")
    dataset = dcmread(folder / "002")
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset["PixelData"].is_undefined_length = True
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0\1\2\3\4"
    dataset.save_as(folder / "002", enforce_file_format=True)
    message = refused(folder, "transfer syntax is 'JPEG Lossless")
    assert "'002'" in message


def test_a_transfer_syntax_that_nobody_knows_is_named(tmp_path: Path):
    folder = write_series(tmp_path / "s")
    dataset = slice_dataset(voxels()[1], 1)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.3.4.5")
    # Its data set is packed in a way that is not known: nothing is read, no modality either.
    dataset.save_as(folder / "002", implicit_vr=False, little_endian=True)
    data = (folder / "002").read_bytes()
    (folder / "002").write_bytes(data[: data.index(b"1.2.3.4.5") + 10] + b"\x99" * 700)
    message = refused(folder, "transfer syntax '1.2.3.4.5' is not known")
    assert "'002'" in message
    assert "modality" not in message


def _numbered(n_slices: int, first: int, step: int = 1, **fields: int | None) -> dict[str, Any]:
    changes = {k: {"InstanceNumber": first + step * k} for k in range(n_slices)}
    return {"pixels": voxels(n_slices), "changes": changes, **fields}


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        (_numbered(6, 1, ImagesInAcquisition=8), 2),
        (_numbered(6, 3, ImagesInAcquisition=8), 2),
        (_numbered(6, 2, ImagesInAcquisition=8), 2),
        (_numbered(6, 12, 8, ImagesInAcquisition=64), 2),
    ],
)
def test_slices_that_are_missing_at_the_ends_are_counted(
    tmp_path: Path, fields: dict[str, Any], missing: int
):
    message = refused(write_series(tmp_path / "s", **fields), "missing from the ends")
    assert f"{missing} slice(s)" in message
    assert f"{fields['ImagesInAcquisition']} images" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (_numbered(6, 1, ImagesInAcquisition=6), None),
        (_numbered(6, 4, 8, ImagesInAcquisition=48), None),
        (_numbered(6, 1001, ImagesInAcquisition=6), None),
        # Another echo's slices may follow.
        (_numbered(6, 1, ImagesInAcquisition=12), "12 images in the acquisition"),
        (_numbered(6, 1001, ImagesInAcquisition=8), "8 images in the acquisition"),
        (_numbered(6, 5), "begin at 5"),
        (_numbered(6, 1), "do not say how many"),
        (_numbered(6, 1, InstanceNumber=None), "do not say how many"),
    ],
)
def test_what_may_be_missing_at_the_ends_is_noted(
    tmp_path: Path, fields: dict[str, Any], words: str | None
):
    notes = load_volume(write_series(tmp_path / "s", **fields)).notes
    assert len(notes) == (0 if words is None else 1)
    assert words is None or words in notes[0]


def test_one_slice_is_no_volume(tmp_path: Path):
    refused(write_series(tmp_path / "s", voxels(1)), "one slice only")


def test_folders_without_slices_are_refused(tmp_path: Path):
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    assert "1 subfolders" in refused(tmp_path / "empty", "no DICOM image")


def test_one_file_of_a_series_is_no_volume(tmp_path: Path):
    path = write_series(tmp_path / "s") / "001"
    refused(path, "one DICOM file")


@settings(max_examples=100, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(128, 1000), st.integers(0, 255)), max_size=6))
def test_damaged_slices_give_a_volume_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
):
    folder = write_series(tmp_path_factory.mktemp("fuzz"), voxels(2))
    path = folder / "002"
    data = bytearray(path.read_bytes())
    for position, value in changes:
        data[position % len(data)] = value
    path.write_bytes(bytes(data))
    try:
        series = read_dicom_series(folder)
    except InputError as error:
        hint = error.hint
    else:
        hint = "none needed"
        assert series.array.shape[2] == 2
        assert np.isfinite(series.affine).all()
    assert hint


@pytest.mark.realdata
def test_the_real_series_has_the_geometry_of_its_tags():
    folder = real_folder("mese-dicom")
    volume = load_volume(folder)
    assert volume.shape == (256, 256, 24)
    # One of eight echoes: images 4, 12, ..., 188 of 192.
    assert volume.notes == ()
    assert volume.array.dtype == np.int16
    assert volume.spacing == pytest.approx((0.625, 0.625, 4.0), abs=1e-4)
    files = sorted(folder.glob("*.dcm"))
    assert len(files) == 24
    inverse = np.linalg.inv(volume.affine)
    found: set[int] = set()
    for path in files:
        dataset = dcmread(path)
        row, column = np.reshape(np.array(dataset.ImageOrientationPatient, float), (2, 3))
        between_rows, between_columns = (float(x) for x in dataset.PixelSpacing)
        for i, j in ((0, 0), (255, 0), (0, 255), (100, 37)):
            lps = np.array(dataset.ImagePositionPatient, float)
            lps = lps + i * between_columns * row + j * between_rows * column
            index = inverse @ (*(lps * LPS_TO_RAS), 1.0)
            assert np.abs(index[:2] - (i, j)).max() < 0.02
            k = round(float(index[2]))
            assert abs(index[2] - k) < 0.01
            assert volume.array[i, j, k] == dataset.pixel_array[j, i]
        assert np.array_equal(volume.array[:, :, k], dataset.pixel_array.T)
        found.add(k)
    assert found == set(range(24))


@pytest.mark.realdata
def test_the_real_series_with_a_slice_taken_away_is_refused(tmp_path: Path):
    folder = tmp_path / "gap"
    shutil.copytree(real_folder("mese-dicom"), folder)
    (folder / "E3655S8I084.MR.dcm").unlink()
    message = refused(folder, r"1 slice\(s\) are missing")
    assert "E3655S8I076" in message
    assert "E3655S8I092" in message
