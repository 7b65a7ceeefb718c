"""Which way round the released boxes are: found by overlap with masks, or refused (RULES 15).

A released box is six numbers, `start_slice, end_slice, x_min, x_max, y_min, y_max`. Which array
axis each pair is on (6 ways), from which end each counts (8 ways), and whether the ends are inside
and counting starts at 0 or 1 (3 ways) is not documented. All 144 hypotheses are tried; each is
scored by the median IoU of the boxes with the tight boxes of their masks. The best must reach
`min_overlap`, no hypothesis of other axes or ends may come as near as `_TIE`, and none may fit
more than `_MAX_OTHERWISE` of the boxes where the best does not.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from knee.errors import InputError
from knee.geometry import Box3D, voxel_box

_TIE = 0.02
"""Median IoU by which the best hypothesis must lead; boxes with margins blur less than this."""
_MAX_OTHERWISE = 0.05
"""Share of boxes that another order may fit while the best does not: chance and symmetric boxes.
More of them are a second order in the same files, and a median would hide it."""
_PAIRS = ("slice", "x", "y")


class EndConvention(StrEnum):
    """What a pair of numbers covers."""

    HALF_OPEN = "0-based, end outside"
    INCLUSIVE = "0-based, end inside"
    ONE_BASED = "1-based, end inside"

    @property
    def shifts(self) -> tuple[int, int]:
        """What is added to start and end to make the pair half-open from 0."""
        return {"0-based, end outside": (0, 0), "0-based, end inside": (0, 1)}.get(
            self.value, (-1, 0)
        )


class BoxOrder(NamedTuple):
    """One hypothesis."""

    axes: tuple[int, int, int]
    """Array axis of slice, x and y."""
    flipped: tuple[bool, bool, bool]
    """Whether slice, x and y count from the far end of their axis."""
    ends: EndConvention
    """Whether the ends are inside."""

    @property
    def words(self) -> str:
        """The hypothesis for people, e.g. `slice=axis 0, x=axis 1 from the end, …`."""
        parts = [
            f"{name}=axis {axis}{' from the end' if far else ''}"
            for name, axis, far in zip(_PAIRS, self.axes, self.flipped, strict=True)
        ]
        return f"{', '.join(parts)}; {self.ends.value}"


class BoxSample(NamedTuple):
    """One released box beside the mask it should lie around."""

    values: tuple[int, ...]
    """Six numbers as released."""
    shape: tuple[int, int, int]
    """Of the mask's array as stored."""
    mask_box: Box3D
    """Tight half-open box of the mask, in that array."""


class VerifiedOrder(NamedTuple):
    """The hypothesis that fits, with the figures."""

    order: BoxOrder
    """The best one."""
    overlap: float
    """Its median IoU, in [0, 1]."""
    n_boxes: int
    """Boxes compared."""
    next_order: BoxOrder
    """The best one with other axes or ends to count from."""
    next_overlap: float
    """Its median IoU."""


BOX_ORDERS: tuple[BoxOrder, ...] = tuple(
    BoxOrder((i, j, k), (at_slice, at_x, at_y), ends)
    for i, j, k in permutations((0, 1, 2))
    for at_slice, at_x, at_y in product((False, True), repeat=3)
    for ends in EndConvention
)
"""All hypotheses: 48 orders of axes and ends, each with 3 conventions."""


def verify_order(samples: Sequence[BoxSample], min_overlap: float, group: str) -> VerifiedOrder:
    """Returns the hypothesis that fits boxes to masks.

    Args:
        samples: boxes and masks of one orientation and side; not empty.
        min_overlap: least median IoU.
        group: whose boxes they are, for messages.

    Raises:
        InputError: nothing fits, two hypotheses fit equally well, or some boxes fit one and some
            another; with the figures.
    """
    overlaps = {order: _overlaps(samples, order) for order in BOX_ORDERS}
    scores = sorted(
        ((float(np.median(overlaps[order])), -n, order) for n, order in enumerate(BOX_ORDERS)),
        reverse=True,
    )
    overlap, _, best = scores[0]
    other = next(entry for entry in scores if entry[2][:2] != best[:2])
    verified = VerifiedOrder(best, overlap, len(samples), other[2], other[0])
    if overlap < min_overlap:
        raise InputError(
            f"the released boxes of {group} do not fit the masks: of {len(BOX_ORDERS)} orders the "
            f"best ({best.words}) has a median IoU of {overlap:.3f} over {len(samples)} boxes, "
            f"{min_overlap} is needed",
            "the boxes or masks may be of other arrays; --without-boxes imports the rest",
        )
    if overlap - other[0] < _TIE:
        raise InputError(
            f"the order of the released boxes of {group} cannot be told from {len(samples)} masks: "
            f"{best.words} has a median IoU of {overlap:.3f}, {other[2].words} of {other[0]:.3f}",
            "--without-boxes imports the rest",
        )
    _refuse_second_order(overlaps, verified, min_overlap, group)
    return verified


def _refuse_second_order(
    overlaps: Mapping[BoxOrder, npt.NDArray[np.float64]],
    verified: VerifiedOrder,
    min_overlap: float,
    group: str,
) -> None:
    """Refuses boxes of which a part is of another order: they would lie in the wrong place."""
    misses = overlaps[verified.order] < min_overlap
    n_by_order = {
        order: int((misses & (found >= min_overlap)).sum())
        for order, found in overlaps.items()
        if order[:2] != verified.order[:2]
    }
    second = max(n_by_order, key=lambda order: n_by_order[order])
    n = n_by_order[second]
    if n > _MAX_OTHERWISE * verified.n_boxes:
        raise InputError(
            f"the released boxes of {group} are of more than one order: {n} of "
            f"{verified.n_boxes} do not fit the masks as {verified.order.words}, but as "
            f"{second.words}",
            "--without-boxes imports the rest",
        )


def place_box(values: Sequence[int], order: BoxOrder, shape: tuple[int, int, int]) -> Box3D | None:
    """Returns six released numbers as a half-open voxel box; None when they do not fit the array.

    Args:
        values: start and end of slice, x and y.
        order: the verified hypothesis.
        shape: of the array as stored.
    """
    lower, upper = _placed(np.array([values], dtype=np.int64), np.array([shape]), order)
    low, high = lower[0], upper[0]
    if (low < 0).any() or (high > np.array(shape)).any() or (low >= high).any():
        return None
    return voxel_box(
        int(low[0]), int(high[0]), int(low[1]), int(high[1]), int(low[2]), int(high[2])
    )


def _placed(
    values: npt.NDArray[np.int64], shapes: npt.NDArray[np.int64], order: BoxOrder
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lower and upper corners (n, 3) of boxes (n, 6) in arrays of shapes (n, 3)."""
    lower = np.zeros((len(values), 3), dtype=np.int64)
    upper = np.zeros((len(values), 3), dtype=np.int64)
    at_start, at_end = order.ends.shifts
    for pair, (axis, far) in enumerate(zip(order.axes, order.flipped, strict=True)):
        start, end = values[:, 2 * pair] + at_start, values[:, 2 * pair + 1] + at_end
        if far:
            start, end = shapes[:, axis] - end, shapes[:, axis] - start
        lower[:, axis], upper[:, axis] = start, end
    return lower, upper


def _overlaps(samples: Sequence[BoxSample], order: BoxOrder) -> npt.NDArray[np.float64]:
    """IoU of each box with its mask's box under one hypothesis."""
    values = np.array([sample.values for sample in samples], dtype=np.int64)
    shapes = np.array([sample.shape for sample in samples], dtype=np.int64)
    masks = np.array([sample.mask_box.indices for sample in samples], dtype=np.int64)
    lower, upper = _placed(values, shapes, order)
    mask_lower, mask_upper = masks[:, 0::2], masks[:, 1::2]
    shared = np.prod(
        np.clip(np.minimum(upper, mask_upper) - np.maximum(lower, mask_lower), 0, None), axis=1
    )
    own = np.prod(np.clip(upper - lower, 0, None), axis=1)
    union = own + np.prod(mask_upper - mask_lower, axis=1) - shared
    return shared / union
