"""Reading NRRD files (`.nrrd`, data attached) with pynrrd.

NRRD names the space that its directions are written in. Only the three patient spaces are read
(left-posterior-superior, right-anterior-superior, left-anterior-superior): in any other space
left and right are not known. A file whose voxels lie in another file (`data file:`) is refused,
because the hash that goes into every finding is of one file's bytes.
"""

import bz2
import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import numpy.typing as npt
from nrrd.errors import NRRDError

from knee.errors import InputError
from tools.voxel_bytes import ByteStream, read_voxels

_SPACES = {
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
"""NRRD space name to the signs that take its axes to RAS."""
_MAX_VOXELS = 2**31
"""A knee volume has 2e7 voxels; a header that claims more than this is damaged."""
_COMPRESSED = {"gzip": gzip.open, "gz": gzip.open, "bzip2": bz2.open, "bz2": bz2.open}
"""NRRD encoding to what reads it."""
_SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
_TYPES = {
    name: code
    for code, names in {
        "i1": ("signed char", "int8", "int8_t"),
        "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
        "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
        "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
        "i4": ("int", "signed int", "int32", "int32_t"),
        "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
        "i8": (
            "longlong",
            "long long",
            "long long int",
            "signed long long",
            "signed long long int",
            "int64",
            "int64_t",
        ),
        "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
        "f4": ("float",),
        "f8": ("double",),
    }.items()
    for name in names
}
"""NRRD type name (its format has several for each) to the type of a voxel."""
_TEXT = ("ascii", "text", "txt")
_READ_ERRORS = (
    NRRDError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    StopIteration,
    OverflowError,
    MemoryError,
    OSError,
    EOFError,
    zlib.error,
)


def is_nrrd(data: bytes) -> bool:
    """Returns whether the bytes begin with NRRD's magic word."""
    return data[:4] == b"NRRD"


def read_nrrd(data: bytes, path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Returns the array (first axis fastest in the file) and its 4 x 4 voxel-to-RAS-mm affine.

    Args:
        data: the file's bytes.
        path: the file, for messages only.

    Raises:
        InputError: truncated, damaged, detached data, unknown space, or not one scalar volume.
    """
    stream = io.BytesIO(data)
    try:
        # pynrrd casts sizes through float; one that does not fit is refused below.
        with np.errstate(invalid="ignore"):
            header = nrrd.read_header(stream)
        affine = _read_affine(header, path)
        return _read_array(header, stream, path), affine
    except _READ_ERRORS as error:
        raise InputError(
            f"{str(path)!r} cannot be read as NRRD: {type(error).__name__}: {error}",
            "the file may be truncated or damaged; copy or convert it again",
        ) from error


def _read_array(header: Any, stream: io.BytesIO, path: Path) -> npt.NDArray[Any]:  # noqa: ANN401 - pynrrd has no types
    """The voxels after the header, never more than the file holds."""
    if any(int(header.get(key, 0)) != 0 for key in _SKIPS):
        raise InputError(
            f"{str(path)!r} skips lines or bytes before its voxels", "save it without skips"
        )
    encoding = str(header["encoding"]).lower()
    sizes = tuple(int(size) for size in header["sizes"])
    if encoding in _TEXT:
        return np.asarray(nrrd.read_data(header, stream))
    dtype = _voxel_type(header, path)
    if encoding == "raw":
        source: ByteStream = stream
    elif encoding in _COMPRESSED:
        source = _COMPRESSED[encoding](stream)
    else:
        raise InputError(
            f"{str(path)!r} has the encoding {encoding!r}", "save it as raw, gzip or bzip2"
        )
    return read_voxels(source, sizes, dtype, str(path))


def _voxel_type(header: Any, path: Path) -> np.dtype[Any]:  # noqa: ANN401 - pynrrd has no types
    name = str(header["type"]).lower()
    if name not in _TYPES:
        raise InputError(
            f"{str(path)!r} holds voxels of type {name!r}",
            "voxels must be one integer or real number each",
        )
    dtype = np.dtype(_TYPES[name])
    if dtype.itemsize == 1:
        return dtype
    endian = str(header["endian"]).lower()
    if endian not in ("little", "big"):
        raise InputError(f"{str(path)!r} has the byte order {endian!r}", "its header is damaged")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _numbers(
    header: Any,  # noqa: ANN401 - pynrrd has no types
    field: str,
    shape: tuple[int, ...],
    path: Path,
) -> npt.NDArray[np.float64]:
    """Returns a field's finite numbers; one number too few would be taken for all axes."""
    numbers = np.asarray(header[field], dtype=np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise InputError(
            f"{str(path)!r} has the {field} {numbers.tolist()!r}",
            f"its header is damaged: {' x '.join(map(str, shape))} finite numbers stand there",
        )
    return numbers


def _read_affine(header: Any, path: Path) -> npt.NDArray[np.float64]:  # noqa: ANN401 - pynrrd has no types
    if "data file" in header or "datafile" in header:
        raise InputError(
            f"{str(path)!r} keeps its voxels in another file",
            "save it as one .nrrd file with the data attached",
        )
    sizes = [int(size) for size in header["sizes"]]
    if len(sizes) != 3:
        raise InputError(
            f"{str(path)!r} is not a volume: it has {len(sizes)} axes of sizes {sizes!r}",
            "give one 3D volume (a segmentation with several layers must be exported as one)",
        )
    if min(sizes) < 1 or np.prod(sizes, dtype=np.float64) > _MAX_VOXELS:
        raise InputError(f"{str(path)!r} has impossible sizes {sizes!r}", "its header is damaged")
    space = str(header.get("space", "")).strip().lower()
    if space not in _SPACES:
        raise InputError(
            f"{str(path)!r} is in the space {space!r}",
            f"left and right are known only in {', '.join(s for s in _SPACES if '-' in s)}",
        )
    units = [str(unit).lower() for unit in header.get("space units", [])]
    if any(unit not in ("mm", "millimeter", "millimetre", "") for unit in units):
        raise InputError(f"{str(path)!r} has the units {units!r}", "convert it to millimetres")
    affine = np.eye(4)
    affine[:3, :3] = _numbers(header, "space directions", (3, 3), path).T
    affine[:3, 3] = _numbers(header, "space origin", (3,), path)
    return np.diag([*_SPACES[space], 1.0]) @ affine
