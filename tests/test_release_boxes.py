"""Box orders: each of the 144 is found again when it is the true one, and nothing else passes."""

from random import Random

import pytest

from knee.errors import InputError
from knee.geometry import Box3D, voxel_box
from tools.release_boxes import (
    BOX_ORDERS,
    BoxOrder,
    BoxSample,
    EndConvention,
    place_box,
    verify_order,
)

SHAPE = (40, 90, 80)


def release(box: Box3D, order: BoxOrder, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Six numbers of a box under a hypothesis, worked out from its definition."""
    bounds = box.indices
    values: list[int] = []
    for axis, far in zip(order.axes, order.flipped, strict=True):
        first, last = bounds[2 * axis], bounds[2 * axis + 1] - 1
        if far:
            first, last = shape[axis] - 1 - last, shape[axis] - 1 - first
        if order.ends is EndConvention.HALF_OPEN:
            values += [first, last + 1]
        elif order.ends is EndConvention.INCLUSIVE:
            values += [first, last]
        else:
            values += [first + 1, last + 1]
    return tuple(values)


def boxes(n: int = 30, seed: int = 1) -> list[Box3D]:
    rng = Random(seed)
    found: list[Box3D] = []
    for _ in range(n):
        lows = [rng.randrange(0, size // 2) for size in SHAPE]
        highs = [low + rng.randrange(5, size // 3) for low, size in zip(lows, SHAPE, strict=True)]
        found.append(voxel_box(lows[0], highs[0], lows[1], highs[1], lows[2], highs[2]))
    return found


def samples(order: BoxOrder, margin: int = 0) -> list[BoxSample]:
    made: list[BoxSample] = []
    for box in boxes():
        i0, i1, j0, j1, k0, k1 = box.indices
        wide = voxel_box(
            max(0, i0 - margin), i1 + margin, max(0, j0 - margin), j1 + margin,
            max(0, k0 - margin), k1 + margin,
        )  # fmt: skip
        made.append(BoxSample(release(wide, order, SHAPE), SHAPE, box))
    return made


def test_there_are_48_orders_with_3_conventions():
    assert len(set(BOX_ORDERS)) == len(BOX_ORDERS) == 144
    assert len({(order.axes, order.flipped) for order in BOX_ORDERS}) == 48


@pytest.mark.parametrize("order", BOX_ORDERS, ids=lambda order: order.words)
def test_the_true_order_is_found_and_places_boxes_exactly(order: BoxOrder):
    verified = verify_order(samples(order), 0.5, "test knees")
    assert verified.order == order
    assert verified.overlap == 1.0
    assert verified.next_overlap < 0.9
    for box in boxes():
        assert place_box(release(box, order, SHAPE), order, SHAPE) == box


def test_boxes_with_a_margin_still_tell_their_order():
    order = BOX_ORDERS[77]
    verified = verify_order(samples(order, margin=1), 0.5, "test knees")
    assert verified.order[:2] == order[:2]
    assert 0.5 < verified.overlap < 1.0


def test_boxes_of_other_masks_are_refused_with_the_figures():
    order = BOX_ORDERS[0]
    wrong = [
        BoxSample(sample.values, SHAPE, other)
        for sample, other in zip(samples(order), boxes(seed=2), strict=True)
    ]
    with pytest.raises(InputError, match="do not fit the masks") as caught:
        verify_order(wrong, 0.5, "right knees in RAS arrays")
    assert "right knees in RAS arrays" in caught.value.message
    assert "median IoU of 0." in caught.value.message
    assert "over 30 boxes, 0.5 is needed" in caught.value.message


def test_an_order_that_cannot_be_told_is_refused():
    # A cube in the middle of a cube lies the same way round in every order.
    box = voxel_box(10, 20, 10, 20, 10, 20)
    same = [BoxSample((10, 20, 10, 20, 10, 20), (30, 30, 30), box)] * 10
    with pytest.raises(InputError, match="cannot be told"):
        verify_order(same, 0.5, "test knees")


def test_a_box_outside_of_the_array_is_no_box():
    order = BoxOrder((0, 1, 2), (False, False, False), EndConvention.INCLUSIVE)
    assert place_box((0, 39, 0, 89, 0, 79), order, SHAPE) == voxel_box(0, 40, 0, 90, 0, 80)
    assert place_box((0, 40, 0, 89, 0, 79), order, SHAPE) is None
    assert place_box((-1, 39, 0, 89, 0, 79), order, SHAPE) is None
    assert place_box((9, 3, 0, 89, 0, 79), order, SHAPE) is None


def test_a_second_order_among_the_boxes_is_not_hidden_by_the_median():
    first, second = BOX_ORDERS[0], BOX_ORDERS[77]
    mixed = [*samples(second)[:6], *samples(first)[6:]]
    with pytest.raises(InputError, match="are of more than one order") as caught:
        verify_order(mixed, 0.5, "right knees in RAS arrays")
    assert "of 30 do not fit the masks as " + first.words in caught.value.message
    assert second.words.partition(";")[0] in caught.value.message
    one_slip = [*samples(second)[:1], *samples(first)[1:]]
    assert verify_order(one_slip, 0.5, "test knees").order == first
