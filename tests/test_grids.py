"""One grid or another, and label maps brought onto an image's grid on request."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knee.anatomy import Side, Structure
from knee.errors import InputError
from tests.small_knee import AFFINE, block_labels, block_volume, stored_as
from tools.grids import is_same_grid, resample_nearest
from tools.segmentation import label_map_from_volume, load_scheme, on_image_grid
from tools.volumes import Volume, make_volume

SCHEME = load_scheme("pymskt")


def volume(array: np.ndarray, affine: np.ndarray) -> Volume:
    return make_volume(array, affine, Path("image.nii"), "sha256:1")


@pytest.mark.parametrize("codes", ["RAS", "PIR", "LAS"])
def test_onto_its_own_grid_nothing_changes(codes: str):
    labels = block_volume(codes="SLA")
    onto = block_volume(codes=codes)
    moved = resample_nearest(labels, onto)
    assert np.array_equal(moved.array, onto.array)
    np.testing.assert_array_equal(moved.affine, onto.affine)


def test_every_voxel_gets_the_number_at_its_centre():
    labels = block_volume()
    turn = np.eye(4)
    c, s = np.cos(0.3), np.sin(0.3)
    turn[:2, :2] = [[c, -s], [s, c]]
    affine = turn @ AFFINE @ np.diag([0.7, 1.3, 0.9, 1])
    image = volume(np.zeros((50, 35, 45), np.int16), affine)
    moved = resample_nearest(labels, image)
    rng = np.random.default_rng(0)
    n_inside = 0
    for i, j, k in rng.integers(0, (50, 35, 45), (400, 3)):
        world = affine @ (i, j, k, 1)
        a, b, c_ = np.rint((np.linalg.inv(AFFINE) @ world)[:3]).astype(int)
        inside = 0 <= a < 40 and 0 <= b < 40 and 0 <= c_ < 40
        n_inside += inside
        expected = labels.array[a, b, c_] if inside else 0
        assert moved.array[i, j, k] == expected
    assert 100 < n_inside < 400
    assert moved.array.dtype == labels.array.dtype
    assert set(np.unique(moved.array)) <= set(np.unique(labels.array))


def test_there_and_back_gives_the_same_numbers():
    labels = block_volume()
    fine = volume(np.zeros((80, 80, 80), np.uint8), AFFINE @ np.diag([0.5, 0.5, 0.5, 1]))
    assert np.array_equal(
        resample_nearest(resample_nearest(labels, fine), labels).array, labels.array
    )


def test_the_label_map_says_that_it_was_resampled_and_the_image_stays():
    label_map = label_map_from_volume(block_volume(), SCHEME, Side.RIGHT)
    array = np.zeros((80, 40, 40), np.int16)
    image = volume(array, AFFINE @ np.diag([0.5, 1, 1, 1]))
    moved = on_image_grid(image, label_map, resample=True)
    assert is_same_grid(image, moved.volume)
    assert image.array is array
    assert moved.scheme.name == "pymskt (resampled)"
    assert moved.volume.sha256 != label_map.volume.sha256
    assert moved.volume.path == label_map.volume.path
    assert moved.notes == ("label map resampled onto the image's grid by nearest neighbour",)
    assert moved.n_voxels(Structure.FEMUR) == 2 * label_map.n_voxels(Structure.FEMUR)


def test_the_hash_of_a_resampled_map_tells_map_and_grid():
    labels = block_volume()
    one = volume(np.zeros((9, 9, 9), np.uint8), AFFINE)
    other = volume(np.zeros((9, 9, 8), np.uint8), AFFINE)
    hashes = {
        resample_nearest(labels, one).sha256,
        resample_nearest(labels, other).sha256,
        resample_nearest(replace(labels, sha256="sha256:9"), one).sha256,
    }
    assert len(hashes) == 3
    assert resample_nearest(labels, one).sha256 in hashes


def test_what_is_lost_is_said():
    label_map = label_map_from_volume(block_volume(), SCHEME, Side.RIGHT)
    # Slices 8 mm apart: the tibial cartilages are one voxel of 2 mm thin, at 18.
    image = volume(np.zeros((40, 40, 10), np.int16), AFFINE @ np.diag([1, 1, 4, 1]))
    moved = on_image_grid(image, label_map, resample=True)
    assert "medial_tibial_cartilage (144 voxels)" in moved.notes[0]
    assert "femur" not in moved.notes[0]


def test_a_label_map_that_is_half_outside_says_so():
    label_map = label_map_from_volume(block_volume(), SCHEME, Side.RIGHT)
    image = volume(np.zeros((40, 40, 21), np.int16), AFFINE)
    moved = on_image_grid(image, label_map, resample=True)
    inside = (block_labels(Side.RIGHT)[:, :, :21] > 0).sum() / (block_labels(Side.RIGHT) > 0).sum()
    assert f"holds {100 * inside:.0f} % of what is labelled" in moved.notes[0]
    assert "lost: femoral_cartilage" in moved.notes[0]


def test_the_same_grid_is_never_resampled():
    label_map = label_map_from_volume(block_volume(codes="PIR"), SCHEME, Side.RIGHT)
    assert on_image_grid(block_volume(), label_map, resample=True) is label_map


def test_without_the_option_another_grid_is_refused_and_named():
    label_map = label_map_from_volume(block_volume(), SCHEME, Side.RIGHT)
    image = volume(np.zeros((39, 40, 40), np.int16), AFFINE)
    with pytest.raises(InputError, match="not on the grid") as caught:
        on_image_grid(image, label_map, resample=False)
    assert caught.value.hint is not None
    assert "--resample" in caught.value.hint


def test_a_label_map_beside_its_image_is_refused():
    label_map = label_map_from_volume(block_volume(), SCHEME, Side.RIGHT)
    far = AFFINE.copy()
    far[0, 3] += 500
    image = volume(block_labels(Side.RIGHT).astype(np.int16), far)
    with pytest.raises(InputError, match="no label within"):
        on_image_grid(image, label_map, resample=True)


def test_stored_order_is_no_other_grid():
    array, affine = stored_as(block_labels(Side.LEFT), AFFINE, "IPR")
    assert is_same_grid(volume(array, affine), block_volume())
