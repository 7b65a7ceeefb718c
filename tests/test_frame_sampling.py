"""Arrays go into the anatomical crop and back, flipped, cropped and turned."""

import numpy as np
import pytest

from tools.bone_axes import Turn, turn_upright
from tools.crop_frame import AnatomicalFrame
from tools.frame_sampling import canonical_index, canonical_of, crop_of

SHAPE = (30, 40, 36)


def frame(*, flipped: bool, degrees: float | None) -> AnatomicalFrame:
    spacing = (0.7, 0.4, 0.5)
    if degrees is None:
        return AnatomicalFrame(SHAPE, spacing, flipped, (4, 5, 6), (20, 25, 22))
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    size = np.array([24, 34, 30])
    start = -(size - 1) / 2 * np.asarray(spacing)
    middle = (np.asarray(SHAPE) - 1) / 2 * np.asarray(spacing)
    turn = Turn(axes=axes, middle=middle, start=start)
    return AnatomicalFrame(SHAPE, spacing, flipped, (2, 3, 1), (20, 28, 26), turn)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("degrees", [None, 0.0, 20.0])
def test_a_smooth_array_comes_back_where_it_was(flipped: bool, degrees: float | None):
    where = frame(flipped=flipped, degrees=degrees)
    i, j, k = np.indices(SHAPE)
    ramp = (1 + i + 2 * j + 3 * k).astype(np.int16)
    crop = crop_of(ramp, where)
    assert crop.shape == where.shape
    full = canonical_of(crop, where, np.int16(-1))
    laid = full > 0
    assert laid.sum() > 0.6 * crop.size
    # A turn moves a voxel by at most half a step on each axis, there and back.
    limit = 0 if not degrees else 1 + 2 + 3
    assert np.abs(full[laid].astype(int) - ramp[laid]).max() <= limit


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("degrees", [None, 20.0])
def test_an_index_is_where_the_crop_takes_its_value_from(flipped: bool, degrees: float | None):
    where = frame(flipped=flipped, degrees=degrees)
    number = np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)
    crop = crop_of(number, where)
    for index in ((10, 12, 11), (7, 15, 9), (13, 9, 14)):
        mm = tuple(float(n * s) for n, s in zip(index, where.spacing, strict=True))
        assert number[canonical_index(where, (mm[0], mm[1], mm[2]))] == crop[index]


@pytest.mark.parametrize("size", [(30, 41, 36), (31, 40, 37)])
def test_turning_about_the_long_axis_neither_skips_nor_doubles_an_axial_slice(
    size: tuple[int, int, int],
):
    """Of an even number of slices all would lie between two, if the pivot were not halfway."""
    angle = np.deg2rad(6.0)
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    slices = np.broadcast_to(np.arange(1, size[2] + 1, dtype=np.uint8), size)
    turned, start = turn_upright(np.ascontiguousarray(slices), (0.7, 0.4, 0.5), axes)
    assert turned.shape[2] == size[2]
    assert start[2] == pytest.approx(-(size[2] - 1) / 2 * 0.5)
    middle = turned[turned.shape[0] // 2, turned.shape[1] // 2]
    assert middle.tolist() == list(range(1, size[2] + 1))


def test_what_is_turned_by_nothing_stays_what_it_was():
    codes = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    turned, _ = turn_upright(codes, (0.7, 0.4, 0.5), np.eye(3))
    assert np.array_equal(turned, codes)
