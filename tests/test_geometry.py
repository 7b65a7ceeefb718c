"""Boxes change frames without losing extent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from knee.errors import InputError
from knee.geometry import (
    Affine,
    Box3D,
    Frame,
    change_frame,
    from_release_order,
    intersection_over_union,
    invert_affine,
    to_release_order,
    voxel_box,
)

IDENTITY: Affine = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))


def rotated(degrees: float, spacing: tuple[float, float, float] = (1, 1, 1)) -> Affine:
    """Returns an affine rotated about z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (
        (c * spacing[0], -s * spacing[1], 0, 5),
        (s * spacing[0], c * spacing[1], 0, -7),
        (0, 0, spacing[2], 11),
        (0, 0, 0, 1),
    )


def test_a_flat_box_under_45_degrees_keeps_the_extent_that_two_corners_would_lose():
    box = change_frame(voxel_box(0, 10, 0, 10, 0, 1), Frame.WORLD_RAS_MM, rotated(45))
    assert box.size[0] == pytest.approx(10 * math.sqrt(2))
    assert box.size[1] == pytest.approx(10 * math.sqrt(2))


bounds = st.tuples(st.integers(0, 50), st.integers(1, 50))


@given(bounds, bounds, bounds, st.sampled_from([1.0, 0.3646, 0.7]), st.booleans())
def test_an_axis_aligned_box_comes_back_unchanged(
    i: tuple[int, int], j: tuple[int, int], k: tuple[int, int], mm: float, flipped: bool
):
    sign = -1 if flipped else 1
    affine: Affine = ((0, 0, sign * mm, 3), (mm, 0, 0, -8), (0, -0.5, 0, 100), (0, 0, 0, 1))
    box = voxel_box(i[0], sum(i), j[0], sum(j), k[0], sum(k))
    world = change_frame(box, Frame.WORLD_RAS_MM, affine)
    assert change_frame(world, Frame.VOXEL_IJK, affine) == box


@given(bounds, bounds, bounds, st.floats(-60, 60))
def test_an_oblique_box_that_comes_back_holds_the_one_it_was(
    i: tuple[int, int], j: tuple[int, int], k: tuple[int, int], degrees: float
):
    affine = rotated(degrees, (0.5, 0.7, 1.4))
    box = voxel_box(i[0], sum(i), j[0], sum(j), k[0], sum(k))
    back = change_frame(change_frame(box, Frame.WORLD_RAS_MM, affine), Frame.VOXEL_IJK, affine)
    assert all(b <= a for a, b in zip(box.lower, back.lower, strict=True))
    assert all(b >= a for a, b in zip(box.upper, back.upper, strict=True))


@given(bounds, bounds, bounds, st.integers(0, 2))
def test_release_order_round_trips_on_every_slice_axis(
    i: tuple[int, int], j: tuple[int, int], k: tuple[int, int], slice_axis: int
):
    box = voxel_box(i[0], sum(i), j[0], sum(j), k[0], sum(k))
    assert from_release_order(to_release_order(box, slice_axis), slice_axis) == box


def test_release_order_puts_the_slice_axis_first():
    assert to_release_order(voxel_box(1, 2, 3, 4, 5, 6), 2) == (5, 6, 1, 2, 3, 4)


def test_iou_of_known_boxes():
    first, second = voxel_box(0, 2, 0, 2, 0, 2), voxel_box(1, 3, 0, 2, 0, 2)
    assert intersection_over_union(first, second) == pytest.approx(4 / 12)
    assert intersection_over_union(first, voxel_box(5, 6, 5, 6, 5, 6)) == 0
    assert intersection_over_union(first, first) == 1


def test_iou_across_frames_is_refused():
    box = voxel_box(0, 2, 0, 2, 0, 2)
    world = change_frame(box, Frame.WORLD_RAS_MM, IDENTITY)
    with pytest.raises(InputError, match="world_ras_mm"):
        intersection_over_union(box, world)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [((0, 0, 0), (1, 0, 1)), ((2, 0, 0), (1, 1, 1)), ((0, 0, math.nan), (1, 1, 1))],
)
def test_empty_and_unfinite_boxes_are_refused(
    lower: tuple[float, float, float], upper: tuple[float, float, float]
):
    with pytest.raises(ValidationError, match="empty or not finite"):
        Box3D(frame=Frame.WORLD_RAS_MM, lower=lower, upper=upper)


def test_fractional_voxel_indices_are_refused():
    with pytest.raises(ValidationError, match="fractional"):
        Box3D(frame=Frame.VOXEL_IJK, lower=(0.5, 0, 0), upper=(2, 2, 2))


def test_a_singular_affine_is_refused_with_its_determinant():
    flat: Affine = ((1, 0, 0, 0), (2, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    with pytest.raises(InputError, match="singular"):
        invert_affine(flat)
