"""Arrays between the canonical volume and the anatomical crop, also where the crop was turned.

Without a turn the crop is a flipped window of the volume. A volume that lies askew is measured in
a crop that was turned upright; then each voxel takes the nearest one's value, both ways.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tools.bone_axes import sample_nearest
from tools.crop_frame import AnatomicalFrame, IntArray

Scalar = TypeVar("Scalar", bound=np.generic)


def crop_of(canonical: NDArray[Any], frame: AnatomicalFrame) -> NDArray[Any]:
    """Returns what the crop shows of a canonical array; a view where nothing was turned.

    Args:
        canonical: an array of the frame's canonical shape.
        frame: where the crop lies.

    Returns:
        An array of the crop's shape; 0 where a turned crop reaches beyond the volume.
    """
    anatomical = canonical[::-1] if frame.flipped else canonical
    if frame.turn is None:
        return anatomical[_window(frame)]
    spacing, axes = np.asarray(frame.spacing), frame.turn.axes
    first = frame.to_anatomical(np.zeros((1, 3), np.float32))[0]
    matrix = axes * spacing[None, :] / spacing[:, None]
    return sample_nearest(anatomical, matrix, first, np.asarray(frame.shape))


def canonical_of(crop: NDArray[Scalar], frame: AnatomicalFrame, fill: Scalar) -> NDArray[Scalar]:
    """Returns a crop's values laid into an array of the canonical shape, `fill` elsewhere."""
    full = np.full(frame.canonical_shape, fill, crop.dtype)
    anatomical = full[::-1] if frame.flipped else full
    if frame.turn is None:
        anatomical[_window(frame)] = crop
        return full
    corners = np.asarray(list(np.ndindex(2, 2, 2))) * (np.asarray(frame.shape) - 1)
    reached = frame.to_anatomical((corners * np.asarray(frame.spacing)).astype(np.float32))
    low = np.clip(np.floor(reached.min(axis=0)), 0, anatomical.shape).astype(np.intp)
    high = np.clip(np.ceil(reached.max(axis=0)) + 1, 0, anatomical.shape).astype(np.intp)
    spacing = np.asarray(frame.spacing)
    matrix = frame.turn.axes.T * spacing[None, :] / spacing[:, None]
    first = _to_crop(low[None, :], frame)[0]
    laid = sample_nearest(crop, matrix, first, high - low)
    inside = sample_nearest(np.ones(crop.shape, np.uint8), matrix, first, high - low) > 0
    window = anatomical[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    window[inside] = laid[inside]
    return full


def canonical_index(
    frame: AnatomicalFrame, position_mm: tuple[float, float, float]
) -> tuple[int, int, int]:
    """Returns the canonical index of a position in mm of the crop's frame, kept in the volume."""
    exact = frame.to_anatomical(np.asarray([position_mm], np.float32))[0]
    index = np.clip(np.rint(exact), 0, np.asarray(frame.canonical_shape) - 1).astype(int)
    m, a, s = (int(value) for value in index)
    return (frame.canonical_shape[0] - 1 - m if frame.flipped else m, a, s)


def _to_crop(index: IntArray, frame: AnatomicalFrame) -> NDArray[np.float64]:
    """Fractional crop indices of (n, 3) indices in the anatomical array of the whole volume."""
    turn = frame.turn
    assert turn is not None, "only asked for where the crop was turned"
    spacing = np.asarray(frame.spacing)
    upright = (index * spacing - turn.middle) @ turn.axes - turn.start
    return upright / spacing - np.asarray(frame.offset)


def _window(frame: AnatomicalFrame) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(frame.offset, frame.shape, strict=True))
