"""Bytes of a volume file as voxels: read as far as the file goes, and scaled without float64.

A header can claim any size. Nothing here allocates what a header claims: bytes are taken from the
file (or out of its compression) piece by piece, until there are as many as the header wants or the
file ends.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from knee.errors import InputError

_PIECE = 1 << 22
"""Bytes taken at once; a DESS volume is eleven pieces."""
_INTEGERS = (np.dtype(np.int16), np.dtype(np.uint16), np.dtype(np.int32))
"""Types that whole numbers may be widened to, narrowest first."""


class ByteStream(Protocol):
    """What can be read on and on: a file, a gzip stream, bytes in memory."""

    def read(self, size: int, /) -> bytes:
        """Returns at most `size` bytes; none at the end."""
        ...


def read_voxels(
    stream: ByteStream, shape: tuple[int, ...], dtype: np.dtype[Any], shown: str
) -> npt.NDArray[Any]:
    """Returns an array whose first axis is the fastest in the stream.

    The rest of the stream is read too and thrown away, so that a compressed file's checksum is
    held against its content.

    Args:
        stream: positioned at the first voxel.
        shape: number of voxels along each axis.
        dtype: of the voxels, with byte order.
        shown: the file, for messages.

    Raises:
        InputError: the stream ends before all voxels are there.
    """
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = bytearray()
    while len(raw) < wanted and (piece := stream.read(min(_PIECE, wanted - len(raw)))):
        raw += piece
    if len(raw) < wanted:
        raise InputError(
            f"{shown!r} is truncated: shape {shape!r} of {dtype.name} needs {wanted} bytes of "
            f"voxels, it has {len(raw)}",
            "copy or convert the file again",
        )
    while stream.read(_PIECE):
        pass
    return np.frombuffer(raw, dtype).reshape(shape, order="F")


def scaled(array: npt.NDArray[Any], slope: float, intercept: float) -> npt.NDArray[Any]:
    """Returns `array * slope + intercept`; integers stay integers where that is exact.

    Args:
        array: stored values.
        slope: finite, not 0.
        intercept: finite.

    Returns:
        The array itself for (1, 0). The narrowest integer type that holds the result when slope
        and intercept are whole (the stored type if it does); float32 otherwise.
    """
    if slope == 1.0 and intercept == 0.0:
        return array
    if array.dtype.kind in "iu" and array.size and slope.is_integer() and intercept.is_integer():
        ends = [int(end) * int(slope) + int(intercept) for end in (array.min(), array.max())]
        for dtype in (array.dtype.newbyteorder("="), *_INTEGERS):
            limits = np.iinfo(dtype)
            if limits.min <= min(ends) and max(ends) <= limits.max:
                return _scaled_integers(array, int(slope), int(intercept), dtype)
    result = array.astype(np.float32)
    # Values beyond float32 become infinity, which a label map refuses and an image may hold.
    with np.errstate(over="ignore", invalid="ignore"):
        result *= np.float32(slope)
        result += np.float32(intercept)
    return result


def _scaled_integers(
    array: npt.NDArray[Any], slope: int, intercept: int, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Slab by slab, so that only one slab is ever 64 bits wide."""
    result = np.empty_like(array, dtype=dtype)
    for index in range(array.shape[-1]):
        result[..., index] = array[..., index].astype(np.int64) * slope + intercept
    return result
