from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knee.anatomy import Side
from knee.errors import InputError
from knee.geometry import Frame, change_frame, voxel_box
from knee.keys import content_hash
from tests.real_data import CARTIMORPH_IMAGE, PYMSKT, SPL, real_file
from tests.small_knee import AFFINE, block_labels, block_volume, stored_as, write_nifti
from tools.volumes import (
    Volume,
    canonical_box_to_stored,
    load_volume,
    make_volume,
    stored_box_to_canonical,
)

CODES = [
    "".join(axes)
    for x in "RL"
    for y in "AP"
    for z in "SI"
    for axes in ((x, y, z), (y, z, x), (z, x, y), (y, x, z), (x, z, y), (z, y, x))
]
OBLIQUE = np.array(
    [[0.6932, 0.0507, 0, 5.37], [-0.0974, 0.361, 0, -48.1], [0, 0, 0.3646, -60.9], [0, 0, 0, 1]]
)


def volume_of(array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> Volume:
    return make_volume(array, affine, Path("x.nii"), "sha256:0")


def label_positions(volume: Volume, number: int) -> set[tuple[float, float, float]]:
    """World positions of a label's voxels, rounded to a micrometre."""
    index = np.argwhere(volume.array == number)
    world = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return {(float(x), float(y), float(z)) for x, y, z in np.round(world, 3) + 0.0}


@pytest.mark.parametrize("codes", CODES)
def test_every_storage_order_has_the_same_content_in_the_world(codes: str):
    reference = block_volume()
    stored = block_volume(codes=codes)
    canonical = stored.to_canonical()
    assert stored.orientation == codes
    assert canonical.orientation == "RAS"
    assert np.array_equal(canonical.array, reference.array)
    np.testing.assert_allclose(canonical.affine, reference.affine, atol=1e-9)
    assert label_positions(stored, 8) == label_positions(reference, 8)


@pytest.mark.parametrize("codes", CODES)
def test_oblique_volumes_stay_where_they_are(codes: str):
    labels = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    reference = volume_of(labels, OBLIQUE)
    stored = volume_of(*stored_as(labels, OBLIQUE, codes))
    canonical = stored.to_canonical()
    for number in (1, 47, 209):
        assert label_positions(canonical, number) == label_positions(reference, number)
    assert np.shares_memory(canonical.array, stored.array)


def rotation(axis: tuple[float, float, float], angle: float) -> npt.NDArray[np.float64]:
    """Rodrigues' formula; the identity for an axis without length."""
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        return np.eye(3)
    x, y, z = np.array(axis) / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@settings(max_examples=200, deadline=None)
@given(
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.booleans()] * 3),
    axis=st.tuples(*[st.floats(-1, 1)] * 3),
    angle=st.floats(-np.pi, np.pi),
    spacing=st.tuples(*[st.floats(0.2, 4)] * 3),
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
)
def test_any_storage_of_any_oblique_volume_is_one_canonical_volume(
    order: list[int],
    flips: tuple[bool, bool, bool],
    axis: tuple[float, float, float],
    angle: float,
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
):
    array = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    affine = np.eye(4)
    affine[:3, :3] = rotation(axis, angle) @ np.diag(spacing)
    affine[:3, 3] = origin
    # The same content in another of the 48 storage orders, by the definition of an affine alone.
    stored = array.transpose(order)
    stored_affine = np.eye(4)
    stored_affine[:3, :3] = affine[:3, order]
    stored_affine[:3, 3] = origin
    for stored_axis in [a for a in range(3) if flips[a]]:
        column = stored_affine[:3, stored_axis].copy()
        stored_affine[:3, 3] += column * (stored.shape[stored_axis] - 1)
        stored_affine[:3, stored_axis] = -column
        stored = np.flip(stored, stored_axis)
    one, other = volume_of(array, affine), volume_of(stored, stored_affine)
    first, second = one.to_canonical(), other.to_canonical()
    if is_clear_cut(affine):
        assert np.array_equal(first.array, second.array)
        np.testing.assert_allclose(first.affine, second.affine, atol=1e-9)
        assert first.orientation == "RAS"
    for number in (0, 17, 59):
        places = [label_place(v, number) for v in (one, other, first, second)]
        np.testing.assert_allclose(places, np.broadcast_to(places[0], (4, 3)), atol=1e-9)


def is_clear_cut(affine: npt.NDArray[np.float64]) -> bool:
    """Whether no two axes are equally close to one world axis, up to rounding."""
    shares = np.sort(np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)), axis=None)
    return bool(np.diff(shares[shares > 1e-6]).min(initial=1) > 1e-6)


def label_place(volume: Volume, number: int) -> npt.NDArray[np.float64]:
    (index,) = np.argwhere(volume.array == number)
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


def test_worked_example_of_the_module_docstring():
    affine = np.array(
        [[0, 0, 0.7, -55.0], [-0.3646, 0, 0, 70.0], [0, -0.3646, 0, 70.0], [0, 0, 0, 1]]
    )
    array = np.zeros((384, 384, 160), dtype=np.uint8)
    array[10, 20, 30] = 1
    volume = volume_of(array, affine)
    assert volume.orientation == "PIR"
    assert volume.canonical_axes() == ((2, False), (0, True), (1, True))
    canonical = volume.to_canonical()
    assert canonical.array[30, 373, 363] == 1
    np.testing.assert_allclose(canonical.affine[:3, 3], (-55, -69.642, -69.642), atol=1e-3)
    assert volume.spacing == pytest.approx((0.3646, 0.3646, 0.7))


@given(
    codes=st.sampled_from(CODES),
    lower=st.tuples(*[st.integers(0, 3)] * 3),
    size=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_boxes_move_exactly_between_canonical_and_stored_indices(
    codes: str, lower: tuple[int, int, int], size: tuple[int, int, int]
):
    array = np.zeros((8, 9, 10), dtype=np.uint8)
    (i, j, k), (a, b, c) = lower, size
    array[i : i + a, j : j + b, k : k + c] = 1
    box = voxel_box(i, i + a, j, j + b, k, k + c)
    volume = volume_of(*stored_as(array, OBLIQUE, codes))
    stored = canonical_box_to_stored(box, volume)
    i0, i1, j0, j1, k0, k1 = stored.indices
    assert volume.array[i0:i1, j0:j1, k0:k1].all()
    assert stored.volume == array.sum()
    assert stored_box_to_canonical(stored, volume) == box


def test_a_box_in_millimetres_is_refused_as_indices():
    volume = block_volume()
    world = change_frame(voxel_box(0, 2, 0, 2, 0, 2), Frame.WORLD_RAS_MM, volume.affine_rows)
    with pytest.raises(InputError, match="world_ras_mm"):
        canonical_box_to_stored(world, volume)


def test_hash_is_of_the_files_bytes_and_survives_reorientation(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii.gz", block_labels(Side.RIGHT))
    volume = load_volume(path)
    assert volume.sha256 == content_hash(path.read_bytes())
    assert volume.to_canonical().sha256 == volume.sha256


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([2.0, 0.0, 2.0, 1.0]), "voxel size of zero"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.diag([2.0, np.nan, 2.0, 1.0]), "not finite"),
        (np.diag([2.0, np.inf, 2.0, 1.0]), "not finite"),
    ],
)
def test_unusable_affines_are_refused_with_the_value(affine: npt.NDArray[np.float64], message: str):
    with pytest.raises(InputError, match=message) as caught:
        volume_of(np.zeros((4, 4, 4), dtype=np.uint8), affine)
    assert "x.nii" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4, 2), (4, 4, 1), (0, 4, 4)])
def test_what_is_not_one_volume_is_refused(shape: tuple[int, ...]):
    with pytest.raises(InputError, match="is not a volume") as caught:
        volume_of(np.zeros(shape, dtype=np.uint8), AFFINE)
    assert repr(shape) in caught.value.message


def test_trailing_axes_of_length_one_are_dropped():
    assert volume_of(np.zeros((4, 5, 6, 1, 1)), AFFINE).shape == (4, 5, 6)


def test_foreign_byte_order_becomes_native():
    array = np.arange(60, dtype=">i2").reshape(3, 4, 5)
    volume = volume_of(array, AFFINE)
    assert volume.array.dtype == np.int16
    assert volume.array.dtype.isnative
    assert np.array_equal(volume.array, array)


def test_missing_file_folder_and_text_are_input_errors(tmp_path: Path):
    text = tmp_path / "notes.nii.gz"
    text.write_text("not a volume")
    (tmp_path / "folder").mkdir()
    (tmp_path / "map.mhd").write_text("ObjectType = Image\nNDims = 3\nElementDataFile = map.raw\n")
    for path, words in (
        (tmp_path / "none.nii", "there is no file"),
        (tmp_path / "folder", "holds no DICOM image"),
        (text, "neither NIfTI nor NRRD"),
        (tmp_path / "map.mhd", "MetaImage"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            load_volume(path)
        assert str(path) in caught.value.message
        assert caught.value.hint


def test_an_empty_file_is_an_input_error(tmp_path: Path):
    path = tmp_path / "empty.nii.gz"
    path.touch()
    with pytest.raises(InputError, match="0 bytes"):
        load_volume(path)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "orientation", "shape", "spacing", "dtype"),
    [
        (PYMSKT, "PIR", (384, 384, 160), (0.3646, 0.3646, 0.7), "uint8"),
        (SPL, "LAS", (512, 512, 119), (0.2773, 0.2773, 1.0), "int16"),
        (CARTIMORPH_IMAGE, "RAS", (64, 128, 128), (1.4, 0.7292, 0.7292), "float32"),
    ],
)
def test_real_files_have_their_documented_geometry(
    name: str,
    orientation: str,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    dtype: str,
):
    volume = load_volume(real_file(name))
    assert volume.orientation == orientation
    assert volume.shape == shape
    assert volume.spacing == pytest.approx(spacing, abs=1e-4)
    assert volume.array.dtype == np.dtype(dtype)
