from pathlib import Path

import numpy as np
import pytest

from knee.anatomy import Side
from knee.geometry import voxel_box
from tests.real_data import PYMSKT, real_file
from tests.small_knee import AFFINE, block_volume
from tools.planes import (
    PLANES,
    Plane,
    PlaneImage,
    box_on_plane,
    default_window,
    render_plane,
    take_plane,
    to_square_pixels,
    window_slice,
)
from tools.volumes import Volume, load_volume, make_volume


def marked(corner: tuple[int, int, int]) -> Volume:
    """A RAS volume of 10 x 12 x 14 voxels with one bright voxel."""
    array = np.zeros((10, 12, 14), dtype=np.int16)
    array[corner] = 100
    return make_volume(array, AFFINE, Path("x.nii"), "sha256:0")


@pytest.mark.parametrize(
    ("plane", "where", "row", "column"),
    [
        ("sagittal", "superior anterior", 0, 0),
        ("sagittal", "superior posterior", 0, -1),
        ("sagittal", "inferior anterior", -1, 0),
        ("coronal", "superior right", 0, 0),
        ("coronal", "superior left", 0, -1),
        ("coronal", "inferior right", -1, 0),
        ("axial", "anterior right", 0, 0),
        ("axial", "anterior left", 0, -1),
        ("axial", "posterior right", -1, 0),
    ],
)
def test_slices_are_turned_as_a_reader_sees_them(plane: Plane, where: str, row: int, column: int):
    x = 9 if "right" in where else 0
    y = 11 if "anterior" in where else 0
    z = 13 if "superior" in where else 0
    image = render_plane(marked((x, y, z)), plane, (x, y, z)[PLANES.index(plane)], (0, 100))
    bright = np.argwhere(image.pixels == 255)
    assert len(bright) == 1
    rows, columns = image.pixels.shape
    assert tuple(bright[0]) == (row % rows, column % columns)


@pytest.mark.parametrize("codes", ["RAS", "PIR", "LPS"])
def test_storage_order_does_not_change_the_picture(codes: str):
    reference = block_volume()
    canonical = block_volume(codes=codes).to_canonical()
    for plane in PLANES:
        first = render_plane(reference, plane, 15, (0, 10))
        second = render_plane(canonical, plane, 15, (0, 10))
        assert np.array_equal(first.pixels, second.pixels)
        assert first.spacing == pytest.approx(second.spacing)


@pytest.mark.parametrize(
    ("plane", "spacing"), [("sagittal", (3, 2)), ("coronal", (3, 1)), ("axial", (2, 1))]
)
def test_spacing_is_of_rows_then_columns(plane: Plane, spacing: tuple[float, float]):
    volume = make_volume(np.zeros((4, 5, 6)), np.diag([1.0, 2, 3, 1]), Path("x"), "sha256:0")
    assert render_plane(volume, plane, 2, (0, 1)).spacing == spacing


def test_a_slice_outside_of_the_volume_is_refused():
    for index in (-1, 10):
        with pytest.raises(IndexError):
            take_plane(marked((0, 0, 0)).array, "sagittal", index)


def test_window_maps_its_ends_to_black_and_white():
    values = np.array([[-5.0, 10.0, 20.0, 30.0, 99.0, np.nan, np.inf, -np.inf]])
    assert window_slice(values, (10, 30)).tolist() == [[0, 0, 127, 255, 255, 0, 255, 0]]


def test_integers_do_not_overflow_in_the_window():
    values = np.array([[-32768, 0, 32767]], dtype=np.int16)
    assert window_slice(values, (-32768, 32767)).tolist() == [[0, 127, 255]]


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_empty_windows_are_refused(window: tuple[float, float]):
    with pytest.raises(ValueError, match="window"):
        window_slice(np.zeros((2, 2)), window)


def test_default_window_ignores_background_and_outliers():
    rng = np.random.default_rng(0)
    array = np.zeros((80, 80, 80), dtype=np.float32)
    array[20:60] = rng.normal(100, 10, (40, 80, 80))
    array[20, 0, 0] = 1e6
    low, high = default_window(make_volume(array, AFFINE, Path("x"), "sha256:0"))
    assert 70 < low < 85
    assert 115 < high < 135


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_volumes_without_contrast_have_a_window_too(value: float):
    volume = make_volume(np.full((8, 8, 8), value), AFFINE, Path("x"), "sha256:0")
    low, high = default_window(volume)
    assert low < high


def test_square_pixels_have_the_right_extent():
    image = PlaneImage(np.zeros((100, 50), dtype=np.uint8), (0.5, 2.0), "coronal", 3)
    assert to_square_pixels(image, 1.0).shape == (50, 100)


@pytest.mark.parametrize("plane", PLANES)
def test_a_box_lands_on_its_own_pixels(plane: Plane):
    array = np.zeros((10, 12, 14), dtype=np.uint8)
    array[2:5, 3:9, 4:6] = 1
    volume = make_volume(array, AFFINE, Path("x"), "sha256:0")
    box = voxel_box(2, 5, 3, 9, 4, 6)
    image = render_plane(volume, plane, 4, (0, 1))
    top, bottom, left, right = box_on_plane(box, volume.shape, plane)
    inside = np.zeros(image.pixels.shape, dtype=bool)
    inside[top:bottom, left:right] = True
    assert np.array_equal(image.pixels == 255, inside)


@pytest.mark.realdata
def test_the_real_right_knee_shows_its_fibula_on_the_images_left():
    canonical = load_volume(real_file(PYMSKT)).to_canonical()
    index = int(np.argwhere(canonical.array == 8)[:, 1].mean())
    coronal = take_plane(canonical.array, "coronal", index)
    columns = np.argwhere(coronal == 8)[:, 1].mean(), np.argwhere(coronal == 6)[:, 1].mean()
    assert columns[0] < columns[1]
    coronal = take_plane(canonical.array, "coronal", canonical.shape[1] // 2)
    rows = np.argwhere(coronal == 5)[:, 0].mean(), np.argwhere(coronal == 6)[:, 0].mean()
    assert rows[0] < rows[1]


def test_a_left_knee_shows_its_fibula_on_the_images_right():
    coronal = take_plane(block_volume(Side.LEFT).array, "coronal", 12)
    assert np.argwhere(coronal == 8)[:, 1].mean() > np.argwhere(coronal == 6)[:, 1].mean()
