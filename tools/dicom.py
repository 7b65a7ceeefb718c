"""Reading a folder of single-frame DICOM slices as one volume, with pydicom.

`tools.dicom_files` says which files are the slices, `tools.dicom_geometry` where they are. Here
their pixels become one array, index (column, row, slice), first index fastest.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from knee.anatomy import Side
from knee.errors import InputError
from knee.keys import content_hash
from tools.dicom_ends import check_ends
from tools.dicom_files import READ_ERRORS, SliceHeader, quiet_pydicom, series_headers
from tools.dicom_geometry import ordered_slices, slices_affine
from tools.voxel_bytes import scaled

_SIDES = {"R": Side.RIGHT, "L": Side.LEFT}
"""Codes of Laterality; `U` (unpaired) and `B` (both) tell nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class DicomSeries:
    """One series as a volume.

    Attributes:
        array: index (column, row, slice).
        affine: 4 x 4, voxel index to RAS mm.
        sha256: over all slices' bytes.
        side: what Image Laterality or Laterality says, None where neither says one.
        notes: what may be missing at its ends (`tools.dicom_ends`), for people.
    """

    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    sha256: str
    side: Side | None
    notes: tuple[str, ...]


def read_dicom_series(folder: Path, series_number: int | None = None) -> DicomSeries:
    """Returns the one series of a folder.

    Integers stay integers unless Rescale Slope or Intercept are not whole; then, or when they
    differ from slice to slice, the array is float32. The hash does not depend on file names.

    Args:
        folder: holds the files of one series, directly.
        series_number: Series Number of the wanted one; None where there is only one.

    Raises:
        InputError: see `series_headers`, `ordered_slices`, `slices_affine`, `check_ends`; or pixels
            that are missing, cut off, cannot be decoded, or are not one number each; or tags that
            name both sides.
    """
    slices = ordered_slices(series_headers(folder, series_number))
    affine = slices_affine(slices)
    notes = check_ends(slices)
    side = _named_side(slices)
    array, hashes = _read_pixels(slices)
    return DicomSeries(array, affine, content_hash("\n".join(hashes)), side, notes)


def _named_side(slices: Sequence[SliceHeader]) -> Side | None:
    first: dict[Side, str] = {}
    for header in slices:
        for code in header.laterality:
            if code in _SIDES:
                first.setdefault(_SIDES[code], header.name)
    if len(first) > 1:
        named = ", ".join(f"{side.value!r} in {name!r}" for side, name in first.items())
        raise InputError(
            f"Image Laterality and Laterality contradict each other: {named}",
            "find out which knee it is and correct the tags, or give the slices of one knee",
        )
    return next(iter(first), None)


def _read_pixels(slices: Sequence[SliceHeader]) -> tuple[npt.NDArray[Any], list[str]]:
    """The volume and the hash of every slice; one slice is in memory beside the volume."""
    scalings = {header.scaling for header in slices}
    one_scaling = scalings.pop() if len(scalings) == 1 else None
    first, first_hash = _read_slice(slices[0])
    # Slices are contiguous and columns fastest: index (column, row, slice) in Fortran order.
    dtype = np.dtype(np.float32) if one_scaling is None else first.dtype.newbyteorder("=")
    columns, rows = slices[0].shape
    stack = np.empty((columns, rows, len(slices)), dtype, order="F")
    hashes = [first_hash]
    for index, header in enumerate(slices):
        pixels = first
        if index > 0:
            pixels, sha256 = _read_slice(header)
            hashes.append(sha256)
        stack[..., index] = (pixels if one_scaling else scaled(pixels, *header.scaling)).T
    return (scaled(stack, *one_scaling) if one_scaling else stack), hashes


def _read_slice(header: SliceHeader) -> tuple[npt.NDArray[Any], str]:
    """Stored pixels (row, column), and the hash of the file."""
    from pydicom import dcmread
    from pydicom.uid import UID

    try:
        data = header.path.read_bytes()
        with quiet_pydicom():
            dataset = dcmread(io.BytesIO(data), force=True)
            if "PixelData" not in dataset:
                raise InputError(
                    f"{header.name!r} has no pixel data", "copy the file again: it is cut off"
                )
            if "TransferSyntaxUID" not in dataset.file_meta:
                dataset.file_meta.TransferSyntaxUID = UID(header.transfer_syntax)
            pixels = dataset.pixel_array
    except READ_ERRORS as error:
        raise InputError(
            f"the pixels of {header.name!r} cannot be read: {type(error).__name__}: {error}",
            "the file may be cut off or damaged; copy it again",
        ) from error
    if pixels.shape != header.shape[::-1]:
        raise InputError(
            f"{header.name!r} has pixels of shape {pixels.shape!r}, its header says "
            f"{header.shape[::-1]!r} (rows, columns)",
            "the file is damaged; copy it again",
        )
    return pixels, content_hash(data)
