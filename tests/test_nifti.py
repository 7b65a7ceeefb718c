import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from knee.anatomy import Side
from knee.errors import InputError
from tests.small_knee import AFFINE, block_labels, write_nifti
from tools.nifti import is_nifti, read_nifti
from tools.volumes import load_volume, make_volume


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


def with_header(path: Path, change: Callable[[nib.Nifti1Header], object]) -> Path:
    """Writes the block knee with a header that says what `change` makes of it."""
    raw = bytearray(nib.Nifti1Image(block_labels(Side.RIGHT), AFFINE).to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    header.set_sform(AFFINE, code=1)
    header.set_qform(AFFINE, code=1)
    change(header)
    raw[:348] = header.binaryblock
    path.write_bytes(bytes(raw))
    return path


def set_field(name: str, value: object) -> Callable[[nib.Nifti1Header], None]:
    def change(header: nib.Nifti1Header) -> None:
        header[name] = value

    return change


def set_qform(affine: NDArray[np.float64], code: int) -> Callable[[nib.Nifti1Header], None]:
    def change(header: nib.Nifti1Header) -> None:
        header.set_qform(affine, code=code)

    return change


MIRRORED = np.diag([-1.0, 1, 1, 1]) @ AFFINE
EXCHANGED = AFFINE[:, [1, 0, 2, 3]]
SHIFTED = AFFINE + np.array([[0, 0, 0, 2.5], [0] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_qform(MIRRORED, 1), "contradict each other, their axes run"),
        (set_qform(MIRRORED, 2), "contradict each other, their axes run"),
        (set_qform(EXCHANGED, 2), "contradict each other, their axes run"),
        (set_qform(SHIFTED, 1), "a voxel lies up to 2.5 mm elsewhere"),
        (set_field("pixdim", [1, 2, 2, 3, 1, 1, 1, 1]), "2 x 2 x 2 mm by the sform and 2 x 2 x 3"),
        (set_field("pixdim", [1, 0, 2, 2, 1, 1, 1, 1]), "a voxel size of zero, or none: .* 0 x 2"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(
    tmp_path: Path, change: Callable[[nib.Nifti1Header], object], words: str
):
    path = with_header(tmp_path / "a.nii", change)
    with pytest.raises(InputError, match=words) as caught:
        load_volume(path)
    assert caught.value.hint


def test_a_voxel_size_of_zero_is_refused_where_only_the_qform_is_set(tmp_path: Path):
    def change(header: nib.Nifti1Header) -> None:
        header["sform_code"] = 0
        header["pixdim"][1] = 0

    with pytest.raises(InputError, match="a voxel size of zero"):
        load_volume(with_header(tmp_path / "a.nii", change))


@pytest.mark.parametrize(
    "change",
    [
        set_qform(AFFINE, 1),
        set_qform(AFFINE + 1e-4, 1),
        # A registered image: the sform means another space than the scanner's.
        set_qform(SHIFTED, 2),
        set_qform(MIRRORED, 0),
        # No quaternion at all: only the sform can be meant.
        set_field("quatern_b", 3.0),
    ],
)
def test_headers_that_agree_are_read_by_their_sform(
    tmp_path: Path, change: Callable[[nib.Nifti1Header], object]
):
    volume = load_volume(with_header(tmp_path / "a.nii", change))
    np.testing.assert_allclose(volume.affine, AFFINE)


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


def volume_or_refusal(content: bytes) -> str:
    """Reads bytes as `load_volume` does; returns the error's message, or nothing for a volume.

    Anything but an `InputError` goes through, and so does memory that the bytes do not account for.
    """
    if not is_nifti(content):
        return "fuzz.nii"
    tracemalloc.start()
    try:
        array, affine = read_nifti(content, Path("fuzz.nii"))
        volume = make_volume(array, affine, Path("fuzz.nii"), "sha256:0")
    except InputError as error:
        return error.message if error.hint else "no hint"
    else:
        assert np.isfinite(volume.affine).all()
        assert min(volume.spacing) > 0
        assert volume.array.dtype.kind in "iuf"
        return "fuzz.nii"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # One piece of a stream is 4 MB; the rest is what a small file can hold.
        assert peak < 20e6 + 40 * len(content)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
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
    assert "fuzz.nii" in volume_or_refusal(content)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    n_axes=st.integers(-1, 9),
    sizes=st.lists(st.integers(-32768, 32767), min_size=7, max_size=7),
    datatype=st.sampled_from([2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280, 1536, 128, 1792]),
    numbers=st.lists(st.floats(width=32), min_size=24, max_size=24),
    codes=st.tuples(st.integers(-1, 5), st.integers(-1, 5)),
    zipped=st.booleans(),
)
def test_headers_that_claim_anything_give_a_volume_or_an_input_error(
    n_axes: int,
    sizes: list[int],
    datatype: int,
    numbers: list[float],
    codes: tuple[int, int],
    zipped: bool,
):
    data = bytearray(_GOOD)
    data[40:56] = np.array([n_axes, *sizes], dtype="<i2").tobytes()
    data[70:72] = np.array(datatype, dtype="<i2").tobytes()
    data[76:120] = np.array(numbers[:11], dtype="<f4").tobytes()
    data[252:256] = np.array(codes, dtype="<i2").tobytes()
    data[256:308] = np.array(numbers[11:], dtype="<f4").tobytes()
    content = gzip.compress(bytes(data), 1) if zipped else bytes(data)
    assert "fuzz.nii" in volume_or_refusal(content)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_header_that_claims_more_than_the_file_holds_allocates_nothing(zipped: bool):
    data = bytearray(_GOOD)
    data[40:48] = np.array([3, 1000, 1000, 1000], dtype="<i2").tobytes()
    content = gzip.compress(bytes(data), 1) if zipped else bytes(data)
    assert "needs 2000000352 bytes" in volume_or_refusal(content)


def test_a_bomb_is_read_only_as_far_as_its_header_wants():
    data = bytearray(_GOOD) + bytes(40_000_000)
    content = gzip.compress(bytes(data), 9)
    assert len(content) < 60_000
    assert volume_or_refusal(content) == "fuzz.nii"


def test_reading_takes_one_copy_and_scaling_no_float64(tmp_path: Path):
    shape = (200, 200, 100)
    image = nib.Nifti1Image(np.ones(shape, np.int16), AFFINE)
    path = tmp_path / "a.nii.gz"
    image.to_filename(path)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    for slope, dtype, n_copies in ((1.0, np.int16, 1.0), (0.5, np.float32, 3.0)):
        raw[112:120] = np.array([slope, 0.0], dtype="<f4").tobytes()
        path.write_bytes(gzip.compress(bytes(raw), 1))
        tracemalloc.start()
        volume = load_volume(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert volume.array.dtype == dtype
        stored = 2 * volume.array.size
        # int16 grows by an eighth while it is read; float32 stands beside it, float64 never.
        assert peak < 1.3 * n_copies * stored + 10e6


@pytest.mark.parametrize(
    ("slope", "inter", "dtype", "value"),
    [
        (1.0, -1024.0, "int16", -924),
        (2.0, 0.0, "int16", 200),
        (400.0, 0.0, "uint16", 40000),
        (1000.0, 0.0, "int32", 100000),
        (0.0, 7.0, "int16", 100),
        (float("nan"), 0.0, "int16", 100),
    ],
)
def test_whole_scaling_keeps_integers_and_no_scaling_is_none(
    tmp_path: Path, slope: float, inter: float, dtype: str, value: int
):
    raw = bytearray(nib.Nifti1Image(np.full((4, 4, 4), 100, np.int16), AFFINE).to_bytes())
    raw[112:120] = np.array([slope, inter], dtype="<f4").tobytes()
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(raw))
    volume = load_volume(path)
    assert volume.array.dtype == dtype
    assert set(np.unique(volume.array)) == {value}


def test_double_precision_becomes_float32(tmp_path: Path):
    array = np.random.default_rng(0).random((4, 5, 6))
    volume = load_volume(write_nifti(tmp_path / "a.nii", array))
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, array, rtol=1e-6)


def test_a_damaged_checksum_is_an_input_error(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii.gz", block_labels(Side.RIGHT))
    data = bytearray(path.read_bytes())
    data[-6] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="cannot be read as NIfTI"):
        load_volume(path)


def test_a_pair_of_files_is_refused(tmp_path: Path):
    nib.Nifti1Pair(np.zeros((4, 4, 4), np.int16), AFFINE).to_filename(tmp_path / "a.img")
    with pytest.raises(InputError, match="in another file"):
        load_volume(tmp_path / "a.hdr")
