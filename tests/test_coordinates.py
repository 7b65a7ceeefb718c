"""Boxes in each convention, to voxels and back: flipped, permuted and oblique, cut and resized."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.bench_config import PictureSettings
from eval.bench_records import Coordinates
from eval.coordinates import (
    IndexBox,
    PictureBox,
    best_box,
    read_box,
    write_box,
)
from eval.pictures import PictureSeries, draw_series, slice_parts
from knee.anatomy import Side
from knee.geometry import Box3D, intersection_over_union, voxel_box
from knee.shown_images import PlaneName
from tests.small_knee import stored_as
from tools.planes import PLANES
from tools.slice_images import choose_slices
from tools.volumes import Volume, canonical_box_to_stored, make_volume, stored_box_to_canonical

SHAPE = (40, 96, 80)
ORDERS = ("RAS", "PIR", "LSA")
OBLIQUE = np.array(
    [[0.693, 0.0507, 0, 5.4], [-0.0974, 0.361, 0.02, -48], [0, -0.02, 0.3646, -61], [0, 0, 0, 1]]
)
ALL_SLICES = PictureSettings(n_slices=256, max_pixels=448)


def knee(codes: str = "RAS", affine: np.ndarray = OBLIQUE) -> Volume:
    moved, new_affine = stored_as(np.zeros(SHAPE, np.uint8), affine, codes)
    return make_volume(moved, new_affine, Path("x.nii"), "sha256:0")


def series(
    volume: Volume, plane: PlaneName = "sagittal", settings: PictureSettings = ALL_SLICES
) -> PictureSeries:
    return draw_series(volume, Side.RIGHT, (plane,), (0, 1), settings)


def stored(volume: Volume, *indices: int) -> Box3D:
    return canonical_box_to_stored(voxel_box(*indices), volume)


@pytest.mark.parametrize("codes", ORDERS)
@pytest.mark.parametrize("coordinates", Coordinates)
@pytest.mark.parametrize("plane", PLANES)
def test_a_perfect_model_is_right_to_a_pixel_and_half_a_slice_spacing(
    codes: str, coordinates: Coordinates, plane: PlaneName
):
    volume = knee(codes)
    for config in (ALL_SLICES, PictureSettings(n_slices=9, max_pixels=64, pad_to=28)):
        pictures = series(volume, plane, config)
        axis, rows, columns = pictures.planes[0].axes
        image = pictures.images[0]
        width, height = pictures.planes[0].size
        step = {
            axis: max((b - a) / 2 for a, b in pictures.planes[0].parts),
            rows: image.voxels_per_pixel[0],
            columns: image.voxels_per_pixel[1],
        }
        if coordinates is Coordinates.PER_MILLE:
            step[rows] = max(step[rows], step[rows] * height / 1000)
            step[columns] = max(step[columns], step[columns] * width / 1000)
        if coordinates is Coordinates.VOXELS:
            step = dict.fromkeys(step, 0.0)
        for indices in ((3, 17, 20, 61, 5, 44), (0, 40, 0, 96, 0, 80), (11, 30, 50, 96, 0, 31)):
            box = stored(volume, *indices)
            found = read_box(write_box(box, pictures, coordinates), pictures, coordinates).box
            assert found is not None
            bounds = stored_box_to_canonical(found, volume).indices
            for a in range(3):
                for end in range(2):
                    error = abs(bounds[2 * a + end] - indices[2 * a + end])
                    # A pixel's edge goes to the nearest voxel's: half a voxel more at most.
                    assert error <= step[a] + 0.5, (a, bounds, indices)


@pytest.mark.parametrize("codes", ORDERS)
@pytest.mark.parametrize("n_slices", [5, 9, 256])
def test_where_pixels_are_voxels_the_perfect_model_reaches_what_the_slices_allow(
    codes: str, n_slices: int
):
    # Isotropic: in every plane a pixel is a voxel.
    volume = knee(codes, np.diag([0.5, 0.5, 0.5, 1.0]))
    pictures = series(volume, "sagittal", PictureSettings(n_slices=n_slices))
    for indices in ((3, 17, 20, 61, 5, 44), (8, 9, 0, 96, 70, 80), (0, 40, 0, 96, 0, 80)):
        box = stored(volume, *indices)
        answer = write_box(box, pictures, Coordinates.PIXELS_SENT)
        found = read_box(answer, pictures, Coordinates.PIXELS_SENT).box
        assert found is not None
        assert found == best_box(box, pictures)
        if n_slices == 256:
            assert intersection_over_union(found, box) == 1.0
        exact = write_box(box, pictures, Coordinates.VOXELS)
        assert read_box(exact, pictures, Coordinates.VOXELS).box == box


def test_no_other_run_of_pictures_overlaps_better_than_the_best_one():
    volume = knee("PIR")
    pictures = series(volume, "coronal", PictureSettings(n_slices=7))
    box = stored(volume, 3, 17, 20, 61, 5, 44)
    best = intersection_over_union(best_box(box, pictures), box)
    plane = pictures.planes[0]
    for first in range(plane.first, plane.last + 1):
        for last in range(first, plane.last + 1):
            low, high = plane.parts[first - 1][0], plane.parts[last - 1][1]
            other = stored(volume, 3, 17, low, high, 5, 44)
            assert intersection_over_union(other, box) <= best


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 200),
    st.integers(2, 200),
)
def test_parts_cover_the_volume_once_and_hold_their_slices(n: int, shape: int):
    indices = choose_slices(0, shape, n)
    parts = slice_parts(indices, shape)
    assert parts[0][0] == 0
    assert parts[-1][1] == shape
    assert all(low <= index < high for index, (low, high) in zip(indices, parts, strict=True))
    assert all(a[1] == b[0] for a, b in pairwise(parts))


def test_pictures_cut_around_a_box_say_it_in_their_own_pixels():
    volume = knee("LPS", np.diag([0.7, 0.365, 0.365, 1.0]))
    box = stored(volume, 10, 20, 30, 60, 20, 50)
    config = PictureSettings(n_slices=256, margin_mm=3.65)
    cut = draw_series(volume, Side.LEFT, ("sagittal",), (0, 1), config, box)
    assert [image.canonical_index for image in cut.images] == list(range(10, 20))
    answer = write_box(box, cut, Coordinates.PIXELS_SENT)
    assert isinstance(answer, PictureBox)
    assert answer.rectangle[2] - answer.rectangle[0] == 30
    middle = cut.images[3]
    x0, y0, x1, y1 = answer.rectangle
    assert middle.voxel_at(x0 + 0.5, y0 + 0.5) == (13, 59, 49)
    assert middle.voxel_at(x1 - 0.5, y1 - 0.5) == (13, 30, 20)


def test_pixels_are_those_of_the_picture_with_strip_and_filling():
    volume = knee("RAS", np.diag([0.5, 0.5, 0.5, 1.0]))
    pictures = series(volume, "sagittal", PictureSettings(n_slices=3, pad_to=28))
    width, height = pictures.planes[0].size
    assert width % 28 == height % 28 == 0
    image = pictures.images[0]
    assert (width, height) == (image.shown.width, image.shown.height)
    whole = PictureBox(first=1, last=3, rectangle=(0, 0, width, height))
    assert read_box(whole, pictures, Coordinates.PIXELS_SENT).box == voxel_box(0, 40, 0, 96, 0, 80)
    mille = whole.model_copy(update={"rectangle": (0.0, 0.0, 1000.0, 1000.0)})
    assert read_box(mille, pictures, Coordinates.PER_MILLE).box == voxel_box(0, 40, 0, 96, 0, 80)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (PictureBox(first=0, last=2, rectangle=(10, 30, 40, 60)), "picture_not_shown"),
        (PictureBox(first=2, last=99, rectangle=(10, 30, 40, 60)), "picture_not_shown"),
        (PictureBox(first=2, last=8, rectangle=(10, 30, 40, 60)), "pictures_of_two_planes"),
        (PictureBox(first=1, last=2, rectangle=(10, 30, 10, 60)), "empty_box"),
        (PictureBox(first=1, last=2, rectangle=(5000, 30, 6000, 60)), "outside_picture"),
        (PictureBox(first=1, last=2, rectangle=(10, 2, 40, 9)), "outside_picture"),
        (PictureBox(first=1, last=2, rectangle=(10, 30, 40, float("inf"))), "outside_picture"),
        (PictureBox(first=1, last=2, rectangle=(10, 30, 40, float("nan"))), "outside_picture"),
        (IndexBox(indices=(50, 60, 0, 5, 0, 5)), "empty_box"),
        (IndexBox(indices=(1, 1, 0, 5, 0, 5)), "empty_box"),
        (IndexBox(indices=(float("nan"), 1, 0, 5, 0, 5)), "outside_volume"),
    ],
)
def test_a_box_that_is_none_has_its_reason(answer: PictureBox | IndexBox, code: str):
    volume = knee("RAS", np.diag([0.5, 0.5, 0.5, 1.0]))
    config = PictureSettings(n_slices=5)
    pictures = draw_series(volume, Side.RIGHT, ("sagittal", "axial"), (0, 1), config)
    found = read_box(answer, pictures, Coordinates.PIXELS_SENT)
    assert found.box is None
    assert found.reason is not None
    assert found.reason.startswith(code)


def test_edges_in_the_wrong_order_say_the_same_box():
    pictures = series(knee("PIR"))
    answer = PictureBox(first=9, last=4, rectangle=(40, 60, 10, 30))
    turned = PictureBox(first=4, last=9, rectangle=(10, 30, 40, 60))
    ordered = read_box(turned, pictures, Coordinates.PIXELS_SENT)
    assert read_box(answer, pictures, Coordinates.PIXELS_SENT) == ordered
    assert replace(pictures, planes=()).plane_of(1) is None
