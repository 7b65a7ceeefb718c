"""Boxes: overlap, distances and baselines against hand-worked cases and a voxel count."""

import numpy as np
import pytest

from eval.bench_records import SentSlice
from eval.localization import (
    PLANES,
    best_iou_along,
    best_iou_of_slices,
    centre_distances,
    histogram,
    ious,
    slice_overlaps,
)
from eval.mean_boxes import (
    Grid,
    GridColumns,
    SidedBox,
    central_boxes,
    grid_of,
    mean_box_in,
    mean_boxes,
    place_shares,
    shares_of,
    whole_boxes,
)
from eval.pictures import slice_parts
from knee.errors import BenchError
from knee.geometry import (
    Affine,
    Box3D,
    Frame,
    change_frame,
    intersection_over_union,
    voxel_box,
)

PIR: Affine = ((0, 0, 0.7, -10), (-0.4, 0.01, 0, 5), (0.02, -0.4, 0, 3), (0, 0, 0, 1))
LAS: Affine = ((-0.7, 0, 0, 4), (0, 0.4, 0, 5), (0, 0, 0.4, 3), (0, 0, 0, 1))
RAS: Affine = ((0.7, 0, 0, 4), (0, 0.4, 0, 5), (0, 0, 0.4, 3), (0, 0, 0, 1))


def random_boxes(n: int, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    corners = np.sort(rng.integers(0, np.array(shape), (n, 2, 3)), axis=1)
    return np.stack([corners[:, 0], corners[:, 1] + 1], axis=2).reshape(n, 6)


def test_iou_is_a_count_of_voxels():
    rng = np.random.default_rng(1)
    first, second = (random_boxes(60, (9, 8, 7), rng) for _ in range(2))
    for one, other, found in zip(first, second, ious(first, second), strict=True):
        masks = [np.zeros((9, 8, 7), bool) for _ in range(2)]
        for mask, (i0, i1, j0, j1, k0, k1) in zip(masks, (one, other), strict=True):
            mask[i0:i1, j0:j1, k0:k1] = True
        assert found == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
        boxes = [voxel_box(*(int(v) for v in box)) for box in (one, other)]
        assert found == pytest.approx(intersection_over_union(*boxes), abs=1e-12)


def test_slice_overlap_is_along_the_axis_that_runs_left_right():
    one, other = np.array([[0, 4, 0, 4, 0, 4]]), np.array([[0, 4, 2, 6, 3, 7]])
    assert slice_overlaps(one, other, np.array([0])) == [1]
    assert slice_overlaps(one, other, np.array([1])) == [pytest.approx(2 / 6)]
    assert slice_overlaps(one, other, np.array([2])) == [pytest.approx(1 / 7)]
    assert grid_of((10, 20, 30), PIR).axes[0] == 2
    assert grid_of((10, 20, 30), LAS).axes[0] == 0


def test_centres_are_as_far_apart_as_their_positions_in_mm():
    rng = np.random.default_rng(2)
    first, second = (random_boxes(20, (30, 40, 20), rng) for _ in range(2))
    found = centre_distances(first, second, np.array([PIR] * 20, float))
    for one, other, distance in zip(first, second, found, strict=True):
        centres = [(box[::2] + box[1::2] - 1) / 2 for box in (one, other)]
        world = [np.array(PIR) @ (*centre, 1) for centre in centres]
        assert distance == pytest.approx(float(np.linalg.norm(world[0] - world[1])))


@pytest.mark.parametrize("affine", [PIR, LAS, RAS])
def test_shares_mean_the_same_in_every_storage_order(affine: Affine):
    grid = grid_of((30, 40, 20), affine)
    for box in random_boxes(20, (30, 40, 20), np.random.default_rng(3)):
        own = voxel_box(*(int(value) for value in box))
        lower, upper = shares_of(own, grid)
        assert all(0 <= low < high <= 1 for low, high in zip(lower, upper, strict=True))
        (back,) = place_shares(np.array([lower]), np.array([upper]), GridColumns.of([grid]))
        assert tuple(back) == own.indices


def test_a_box_at_the_patients_right_is_there_however_the_volume_is_stored():
    """In RAS mm: towards +x. The share along x is near 1, in a volume stored either way."""
    for affine in (LAS, RAS):
        grid = grid_of((30, 40, 20), affine)
        mean = mean_boxes([SidedBox(1, "left", _at_right(affine), grid)])[0]
        assert mean.upper[0] == 1
        assert mean.lower[0] == pytest.approx(0.9)
    # And the mean of one becomes the box of the other.
    (mean,) = mean_boxes([SidedBox(1, "left", _at_right(LAS), grid_of((30, 40, 20), LAS))])
    assert mean_box_in(mean, grid_of((30, 40, 20), RAS)) == _at_right(RAS)


def _at_right(affine: Affine) -> Box3D:
    low, high = (0, 3) if affine is LAS else (27, 30)
    box = voxel_box(low, high, 0, 40, 0, 20)
    world = change_frame(box, Frame.WORLD_RAS_MM, affine)
    other = voxel_box(30 - high, 30 - low, 0, 40, 0, 20)
    assert world.upper[0] > change_frame(other, Frame.WORLD_RAS_MM, affine).upper[0]
    return box


def test_the_mean_box_is_by_question_and_side():
    grid = Grid((10, 10, 10), (0, 1, 2), (False, False, False))
    boxes = [
        SidedBox(1, "left", voxel_box(0, 2, 0, 2, 0, 2), grid),
        SidedBox(1, "left", voxel_box(2, 6, 0, 4, 0, 8), grid),
        SidedBox(1, "right", voxel_box(9, 10, 9, 10, 9, 10), grid),
    ]
    left, right = mean_boxes(boxes)
    assert (left.n, left.lower, left.upper) == (2, (0.1, 0, 0), (0.4, 0.3, 0.5))
    assert (right.side, right.n, right.lower) == ("right", 1, (0.9, 0.9, 0.9))
    assert mean_boxes([]) == ()


def test_a_tiny_mean_box_keeps_a_voxel():
    grid = Grid((10, 10, 10), (0, 1, 2), (False, False, False))
    tiny = np.array([[0.999, 0.5, 0.0]]), np.array([[1.0, 0.501, 0.001]])
    (box,) = place_shares(*tiny, GridColumns.of([grid]))
    assert tuple(box) == (9, 10, 5, 6, 0, 1)


def test_whole_and_central_box():
    shapes = np.array([[10, 8, 1]])
    assert whole_boxes(shapes).tolist() == [[0, 10, 0, 8, 0, 1]]
    assert central_boxes(np.array([[20, 8, 40]])).tolist() == [[5, 15, 2, 6, 10, 30]]
    assert (central_boxes(shapes)[:, 1::2] > central_boxes(shapes)[:, ::2]).all()


def test_the_best_of_the_slices_is_that_of_all_ranges_tried():
    rng = np.random.default_rng(4)
    for _ in range(400):
        shown = sorted(rng.choice(40, rng.integers(1, 9), replace=False).tolist())
        low = int(rng.integers(0, 39))
        high = int(rng.integers(low + 1, 41))
        true = set(range(low, high))
        parts = slice_parts(shown, 40)
        tried = [set(range(a, d)) for a, b in parts for c, d in parts if b <= d and a <= c]
        best = max(len(true & one) / len(true | one) for one in tried)
        assert best_iou_along(low, high, shown, 40) == pytest.approx(best)


def test_each_picture_stands_for_the_slices_nearest_to_it():
    grid = grid_of((96, 90, 40), PIR)
    box = (10, 30, 20, 50, 7, 19)

    def sent(plane: str, *indices: int) -> list[SentSlice]:
        return [SentSlice(plane=plane, index=index, sha256="x") for index in indices]

    assert best_iou_of_slices(box, grid, sent("sagittal", *range(40))) == 1
    # They stand for 0-4, 5-14 and 15-39.
    assert best_iou_of_slices(box, grid, sent("sagittal", 0, 10, 20)) == pytest.approx(8 / 14)
    # Coronal slices of a volume stored as PIR lie along its first axis, here 0-19 and 20-95.
    assert best_iou_of_slices(box, grid, sent("coronal", 10, 29)) == pytest.approx(10 / 30)
    # One picture stands for the volume; of two planes the better one counts.
    assert best_iou_of_slices(box, grid, sent("axial", 60)) == pytest.approx(30 / 90)
    both = [*sent("axial", 60), *sent("coronal", *range(96))]
    assert best_iou_of_slices(box, grid, both) == 1
    with pytest.raises(BenchError, match="oblique"):
        best_iou_of_slices(box, grid, sent("oblique", 1))
    assert len(PLANES) == 3


def test_the_histogram_holds_both_ends():
    counts = histogram(np.array([0.0, 0.049, 0.05, 0.999, 1.0]))
    assert (counts[0], counts[1], counts[-1], sum(counts)) == (2, 1, 2, 5)
