import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knee.anatomy import Side
from knee.errors import InputError
from tests.small_knee import AFFINE, block_labels, write_nifti
from tools.nifti import is_nifti, read_nifti
from tools.volumes import load_volume


def test_integers_stay_integers(tmp_path: Path):
    volume = load_volume(write_nifti(tmp_path / "a.nii", block_labels(Side.RIGHT)))
    assert volume.array.dtype == np.uint8
    assert np.array_equal(volume.array, block_labels(Side.RIGHT))
    np.testing.assert_allclose(volume.affine, AFFINE)


@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_both_versions_and_compressions_are_read(
    tmp_path: Path, image_class: type[nib.Nifti1Image], suffix: str
):
    path = tmp_path / f"a{suffix}"
    array = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    image_class(array, AFFINE).to_filename(path)
    assert np.array_equal(load_volume(path).array, array)


def test_the_suffix_does_not_matter(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii.gz", block_labels(Side.RIGHT))
    renamed = path.rename(tmp_path / "a.nrrd")
    assert load_volume(renamed).shape == (40, 40, 40)


def test_scaled_integers_become_float32(tmp_path: Path):
    image = nib.Nifti1Image(np.full((4, 4, 4), 100, dtype=np.int16), AFFINE)
    path = tmp_path / "scaled.nii"
    image.header.set_slope_inter(0.5, 3.0)
    image.to_filename(path)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0.5, 3.0], dtype="<f4").tobytes()
    raw[352:] = np.full(64, 100, dtype="<i2").tobytes()
    path.write_bytes(bytes(raw))
    volume = load_volume(path)
    assert volume.array.dtype == np.float32
    assert set(np.unique(volume.array)) == {53.0}


def test_truncated_gzip_is_an_input_error(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).random((20, 20, 20)))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read as NIfTI") as caught:
        load_volume(path)
    assert caught.value.hint is not None
    assert "truncated" in caught.value.hint


def test_gzip_cut_within_its_header_is_an_input_error(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii.gz", block_labels(Side.RIGHT))
    path.write_bytes(path.read_bytes()[:8])
    with pytest.raises(InputError, match="neither NIfTI nor NRRD"):
        load_volume(path)


def test_truncated_plain_file_is_an_input_error(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii", block_labels(Side.RIGHT))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read as NIfTI"):
        load_volume(path)


def test_four_dimensions_are_refused(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 4, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"not a volume.*\(4, 4, 4, 3\)"):
        load_volume(path)


def test_a_file_without_orientation_is_refused(tmp_path: Path):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), dtype=np.uint8), None)
    path = tmp_path / "a.nii"
    image.to_filename(path)
    with pytest.raises(InputError, match="no orientation"):
        load_volume(path)


def test_lengths_in_micrometres_are_refused(tmp_path: Path):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), dtype=np.uint8), AFFINE)
    image.header.set_xyzt_units("micron")
    path = tmp_path / "a.nii"
    image.to_filename(path)
    with pytest.raises(InputError, match="micrometres"):
        load_volume(path)


def test_complex_voxels_are_refused(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii", np.zeros((4, 4, 4), dtype=np.complex64))
    with pytest.raises(InputError, match="complex64"):
        load_volume(path)


_GOOD = nib.Nifti1Image(np.zeros((3, 4, 5), dtype=np.int16), AFFINE).to_bytes()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6),
    zipped=st.booleans(),
)
def test_damaged_headers_give_a_volume_or_an_input_error(
    changes: list[tuple[int, int]], zipped: bool
):
    data = bytearray(_GOOD)
    for position, value in changes:
        data[position] = value
    content = gzip.compress(bytes(data), 1) if zipped else bytes(data)
    if not is_nifti(content):
        return
    try:
        array, affine = read_nifti(content, Path("fuzz.nii"))
    except InputError as error:
        message = error.message
    else:
        message = "fuzz.nii"
        assert affine.shape == (4, 4)
        assert array.dtype.kind in "iuf"
    assert "fuzz.nii" in message
