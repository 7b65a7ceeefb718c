"""Reading NIfTI-1 and NIfTI-2 single files (`.nii`, `.nii.gz`) with nibabel.

nibabel's header readers fail in many ways on foreign bytes; here every one of them becomes an
`InputError` that names the file.
"""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from knee.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_SIZES = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
"""`sizeof_hdr`, the first four bytes, tells NIfTI-1 from NIfTI-2."""
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
_UNIT_CODES = {1: "metres", 3: "micrometres"}
"""Spatial codes of `xyzt_units` that are not millimetres; 0 (unknown) is taken as mm."""


def is_nifti(data: bytes) -> bool:
    """Returns whether the bytes (gzip or not) begin like a NIfTI file."""
    try:
        return _image_class(_first_bytes(data)) is not None
    except (OSError, EOFError, zlib.error):
        return False


def read_nifti(data: bytes, path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Returns the array as stored and its 4 x 4 voxel-to-RAS-mm affine.

    Integers stay integers unless the header scales them; scaled data become float32. The sform is
    used where it is set, else the qform.

    Args:
        data: the file's bytes.
        path: the file, for messages only.

    Raises:
        InputError: truncated, not NIfTI, no orientation, RGB or complex voxels, units not mm.
    """
    try:
        image_class = _image_class(_first_bytes(data))
        if image_class is None:
            raise InputError(
                f"{str(path)!r} does not begin like a NIfTI file",
                "expected .nii or .nii.gz (an .hdr/.img pair is not read: convert it)",
            )
        # nibabel tells of header repairs on stderr; what matters here becomes an error below.
        with LoggingOutputSuppressor():
            image = cast("Any", image_class.from_stream(_stream(data)))
        _check_header(image.header, path)
        affine = np.asarray(image.affine, dtype=np.float64)
        return _read_voxels(image), affine
    except _READ_ERRORS as error:
        raise InputError(
            f"{str(path)!r} cannot be read as NIfTI: {error}",
            "the file may be truncated or damaged; copy or convert it again",
        ) from error


def _stream(data: bytes) -> io.BytesIO | gzip.GzipFile:
    raw = io.BytesIO(data)
    return gzip.GzipFile(fileobj=raw) if data[:2] == _GZIP_MAGIC else raw


def _first_bytes(data: bytes) -> bytes:
    return _stream(data).read(4)


def _image_class(first: bytes) -> type[nib.Nifti1Image] | type[nib.Nifti2Image] | None:
    for order in ("little", "big"):
        size = int.from_bytes(first, order)
        if size in _HEADER_SIZES:
            return _HEADER_SIZES[size]
    return None


def _check_header(header: Any, path: Path) -> None:  # noqa: ANN401 - nibabel's header is untyped
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


def _read_voxels(image: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - nibabel's proxy is untyped
    proxy = image.dataobj
    if float(proxy.slope) == 1.0 and float(proxy.inter) == 0.0:
        return np.asarray(proxy.get_unscaled())
    return np.asarray(image.get_fdata(caching="unchanged", dtype=np.float32))
