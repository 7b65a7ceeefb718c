"""`convert` through the command line: what is written, what is refused, and what is left behind."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from run_pipeline import main
from tests.dicom_series import ORIGIN, STEP, voxels, write_series
from tests.real_data import real_folder
from tests.small_knee import AFFINE, write_nifti
from tools.volumes import load_volume


def convert(*arguments: str | Path) -> int:
    return main(["convert", *(str(argument) for argument in arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Runs a command that must be refused; returns what it said."""
    assert convert(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "hint:" in said.err
    return said.err


@pytest.mark.parametrize("name", ["out.nii.gz", "out.nii"])
def test_the_file_holds_the_same_volume(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    folder, out = write_series(tmp_path / "s"), tmp_path / name
    assert convert(folder, out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    source, written = load_volume(folder), load_volume(out)
    assert np.array_equal(written.array, source.array)
    assert written.array.dtype == np.int16
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-5)
    assert said["shape"] == [5, 7, 6]
    assert said["source_sha256"] == source.sha256
    assert said["out_sha256"] == written.sha256
    assert said["orientation"] == "PIR"
    assert said["named_side"] is None
    assert "how many images" in said["notes"][0]
    assert said["range"] == [0, int(voxels().max())]
    # As another program reads it.
    image = nib.Nifti1Image.from_filename(out)
    assert np.array_equal(np.asanyarray(image.dataobj), source.array)
    np.testing.assert_allclose(image.get_sform(), source.affine, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), source.affine, atol=1e-4)


def test_no_patient_goes_into_the_file_or_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, out = write_series(tmp_path / "s"), tmp_path / "out.nii.gz"
    assert b"SECRET-4711" in (folder / "001").read_bytes()
    assert convert(folder, out, "--json") == 0
    said = capsys.readouterr()
    content = gzip.decompress(out.read_bytes())
    for secret in ("SECRET-4711", "Doe", "Jane", "1950"):
        assert secret.encode() not in content
        assert secret not in said.out + said.err


def test_the_same_series_gives_the_same_bytes(tmp_path: Path):
    folder = write_series(tmp_path / "s")
    assert convert(folder, tmp_path / "a.nii.gz") == convert(folder, tmp_path / "b.nii.gz") == 0
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_an_existing_file_is_replaced_only_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, out = write_series(tmp_path / "s"), tmp_path / "out.nii.gz"
    out.write_text("precious")
    assert "--force" in refused(capsys, folder, out)
    assert out.read_text() == "precious"
    assert convert(folder, out, "--force") == 0
    assert load_volume(out).shape == (5, 7, 6)


def test_a_refused_series_leaves_nothing_and_an_old_file_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, out = write_series(tmp_path / "s"), tmp_path / "o" / "out.nii.gz"
    out.parent.mkdir()
    (folder / "003").unlink()
    assert "missing" in refused(capsys, folder, out)
    assert list(out.parent.iterdir()) == []
    out.write_text("precious")
    assert "missing" in refused(capsys, folder, out, "--force")
    assert [path.read_text() for path in out.parent.iterdir()] == ["precious"]


def test_a_disk_that_takes_no_more_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    folder, out = write_series(tmp_path / "s"), tmp_path / "o" / "out.nii.gz"
    out.parent.mkdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib.Nifti1Image, "to_stream", full)
    assert "No space left" in refused(capsys, folder, out)
    assert list(out.parent.iterdir()) == []


def test_targets_that_cannot_be_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_series(tmp_path / "s")
    assert "no name of a NIfTI" in refused(capsys, folder, tmp_path / "out.img")
    assert "no folder" in refused(capsys, folder, tmp_path / "none" / "out.nii.gz")
    (tmp_path / "dir.nii").mkdir()
    assert "is a folder" in refused(capsys, folder, tmp_path / "dir.nii")
    assert "there is no file" in refused(capsys, tmp_path / "none", tmp_path / "out.nii.gz")


def test_one_series_of_several_is_chosen_by_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, out = write_series(tmp_path / "s"), tmp_path / "out.nii.gz"
    write_series(folder, voxels(4), names="b{}", SeriesInstanceUID="2.25.9", SeriesNumber=12)
    assert "series 12" in refused(capsys, folder, out)
    assert convert(folder, out, "--series", "12") == 0
    assert load_volume(out).shape == (5, 7, 4)


def test_files_are_converted_too(tmp_path: Path):
    array = np.arange(60, dtype=np.int64).reshape(3, 4, 5)
    source = tmp_path / "a.nii"
    nib.Nifti1Image(array, AFFINE, dtype=np.int64).to_filename(source)
    assert convert(source, tmp_path / "b.nii.gz") == 0
    assert np.array_equal(load_volume(tmp_path / "b.nii.gz").array, array)
    wide = write_nifti(tmp_path / "c.nii", array.astype(np.float64) / 7)
    assert convert(wide, tmp_path / "d.nii.gz") == 0
    assert load_volume(tmp_path / "d.nii.gz").array.dtype == np.float32


@pytest.mark.realdata
def test_the_real_series_survives_conversion(tmp_path: Path):
    folder, out = real_folder("mese-dicom"), tmp_path / "out.nii.gz"
    assert convert(folder, out) == 0
    source, written = load_volume(folder), load_volume(out)
    assert np.array_equal(source.array, written.array)
    corners = np.array([[i, j, k, 1] for i in (0, 255) for j in (0, 255) for k in (0, 23)])
    apart = np.abs(corners @ (source.affine - written.affine).T).max()
    assert apart < 1e-3


def test_a_series_that_leans_a_little_is_written_so_that_it_can_be_read(tmp_path: Path):
    lean = 0.019
    changes = {
        k: {"ImagePositionPatient": [ORIGIN[0] - k * STEP, ORIGIN[1] + lean * STEP * k, ORIGIN[2]]}
        for k in range(60)
    }
    pixels = np.zeros((60, 7, 5), np.int16)
    folder = write_series(tmp_path / "s", pixels, changes=changes)
    assert convert(folder, tmp_path / "a.nii.gz") == 0
    written = load_volume(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(written.affine, load_volume(folder).affine, atol=1e-5)
