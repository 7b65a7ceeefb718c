"""Reading and writing NIfTI-1 and NIfTI-2 single files (`.nii`, `.nii.gz`).

The header is nibabel's, whose readers fail in many ways on foreign bytes: every one of them becomes
an `InputError` that names the file. The voxels are read here, after the header's claims were held
against the size of the file.
"""

import gzip
import io
import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from knee.errors import InputError
from tools.nifti_geometry import check_geometry
from tools.voxel_bytes import read_voxels, scaled

_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_SIZES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""`sizeof_hdr`, the first four bytes, tells NIfTI-1 from NIfTI-2."""
_SINGLE_FILE = (b"n+1", b"n+2")
"""Magic of a file that holds header and voxels."""
_READ_ERRORS = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    zlib.error,
)
_MAX_VOXELS = 2**31
"""A knee volume has 2e7 voxels; a header that claims more than this is damaged."""
_MAX_DEFLATE = 1032
"""Deflate cannot make more than this many bytes out of one."""
_GZIP_LEVEL = 4
"""Level 9 takes five times as long for 2 % less."""
_UNIT_CODES = {1: "metres", 3: "micrometres"}
"""Spatial codes of `xyzt_units` that are not millimetres; 0 (unknown) is taken as mm."""


def is_nifti(data: bytes) -> bool:
    """Returns whether the bytes (gzip or not) begin like a NIfTI file."""
    try:
        return _header_class(_first_bytes(data)) is not None
    except (OSError, EOFError, zlib.error):
        return False


def read_nifti(data: bytes, path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Returns the array as stored and its 4 x 4 voxel-to-RAS-mm affine.

    Integers stay integers unless the header scales them; scaled data become float32. The sform is
    used where it is set, else the qform; `tools.nifti_geometry` holds them against each other.

    Args:
        data: the file's bytes.
        path: the file, for messages only.

    Raises:
        InputError: truncated, not NIfTI, no orientation or two that contradict each other, RGB or
            complex voxels, units not mm.
    """
    try:
        header_class = _header_class(_first_bytes(data))
        if header_class is None:
            raise InputError(
                f"{str(path)!r} does not begin like a NIfTI file", "expected .nii or .nii.gz"
            )
        stream = _stream(data)
        # nibabel tells of header repairs on stderr; what matters here becomes an error below.
        with _quiet_nibabel():
            header = cast("Any", header_class.from_fileobj(stream))
            affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        shape, dtype = _check_header(header, path)
        check_geometry(header, _written_pixdim(header_class, data), shape, path)
        offset = _check_size(header, shape, dtype, data, path)
        slope, intercept = header.get_slope_inter()
        stream.seek(offset)
        stored = read_voxels(stream, shape, dtype, str(path))
        return scaled(stored, slope or 1.0, intercept or 0.0), affine
    except _READ_ERRORS as error:
        raise InputError(
            f"{str(path)!r} cannot be read as NIfTI: {error}",
            "the file may be truncated or damaged; copy or convert it again",
        ) from error


def write_nifti(array: npt.NDArray[Any], affine: npt.NDArray[np.float64], path: Path) -> None:
    """Writes a NIfTI-1 file, gzipped if its name ends in `.gz`; all of it, or nothing.

    The header holds the geometry (sform and qform, mm) and nothing else: no description, no name.
    The same volume gives the same bytes. An existing file is replaced.

    Args:
        array: 3D, integers or real numbers of a type that NIfTI has.
        affine: 4 x 4, voxel index to RAS mm.
        path: the file to write.

    Raises:
        InputError: the file cannot be written.
    """
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    header = cast("Any", image.header)
    header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    half: Path | None = None
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".half-", delete=False) as file:
            half = Path(file.name)
            if path.name.endswith(".gz"):
                with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as zipped:
                    image.to_stream(zipped)
            else:
                image.to_stream(cast("io.IOBase", file))
        half.chmod(0o666 & ~_umask())
        half.replace(path)
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be written: {error.strerror or error}",
            "check the folder, its permissions and the space left",
        ) from error
    finally:
        if half is not None:
            half.unlink(missing_ok=True)


@contextmanager
def _quiet_nibabel() -> Generator[None]:
    """Its own suppressor takes the handlers away, and Python then prints without any."""
    was_disabled = nibabel_logger.disabled
    nibabel_logger.disabled = True
    try:
        yield
    finally:
        nibabel_logger.disabled = was_disabled


def _umask() -> int:
    """A temporary file is private; the finished one gets the rights that any new file gets."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _stream(data: bytes) -> io.BytesIO | gzip.GzipFile:
    raw = io.BytesIO(data)
    return gzip.GzipFile(fileobj=raw) if data[:2] == _GZIP_MAGIC else raw


def _first_bytes(data: bytes) -> bytes:
    return _stream(data).read(4)


def _header_class(first: bytes) -> type[nib.Nifti1Header] | type[nib.Nifti2Header] | None:
    for order in ("little", "big"):
        size = int.from_bytes(first, order)
        if size in _HEADER_SIZES:
            return _HEADER_SIZES[size]
    return None


def _written_pixdim(
    header_class: type[nib.Nifti1Header] | type[nib.Nifti2Header], data: bytes
) -> list[float]:
    """Voxel sizes as the file has them: nibabel makes 1 of 0 when it reads a header."""
    block = _stream(data).read(header_class.template_dtype.itemsize)
    header = cast("Any", header_class(block, check=False))
    return [float(size) for size in header["pixdim"][1:4]]


def _check_header(
    header: Any,  # noqa: ANN401 - nibabel's header is untyped
    path: Path,
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Refuses what cannot be a knee volume; returns shape and voxel type."""
    magic = bytes(header["magic"])[:3]
    if magic not in _SINGLE_FILE:
        raise InputError(
            f"{str(path)!r} keeps its voxels in another file (magic {magic!r})",
            "an .hdr/.img pair is not read: convert it to .nii.gz",
        )
    dtype = np.dtype(header.get_data_dtype())
    if dtype.kind not in "iuf":
        raise InputError(
            f"{str(path)!r} holds voxels of type {str(dtype)!r}",
            "voxels must be one integer or real number each (no RGB, no complex)",
        )
    shape = tuple(int(n) for n in header.get_data_shape())
    if not shape or min(shape) < 1 or np.prod(shape, dtype=np.float64) > _MAX_VOXELS:
        raise InputError(
            f"{str(path)!r} has an impossible shape {shape!r}", "its header is damaged"
        )
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        raise InputError(
            f"{str(path)!r} has no orientation: sform_code and qform_code are 0",
            "set the sform; left and right cannot be told from an array's shape",
        )
    unit = _UNIT_CODES.get(int(header["xyzt_units"]) & 0x07)
    if unit is not None:
        raise InputError(
            f"{str(path)!r} says that its lengths are in {unit}", "convert it to millimetres"
        )
    return shape, dtype


def _check_size(
    header: Any,  # noqa: ANN401 - nibabel's header is untyped
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    data: bytes,
    path: Path,
) -> int:
    """Refuses a header that claims more voxels than the file can hold; returns their offset."""
    offset = int(header.get_data_offset())
    if offset < int(header["sizeof_hdr"]):
        raise InputError(
            f"{str(path)!r} says that its voxels begin at byte {offset}, within its header",
            "its header is damaged",
        )
    wanted = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    room = len(data) * (_MAX_DEFLATE if data[:2] == _GZIP_MAGIC else 1)
    if wanted > room:
        raise InputError(
            f"{str(path)!r} cannot be read as NIfTI: shape {shape!r} of {dtype.name} needs "
            f"{wanted} bytes, the file has {len(data)}",
            "the file is truncated or its header is damaged; copy or convert it again",
        )
    return offset
