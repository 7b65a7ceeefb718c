"""Volumes, and the orientation contract that everything else relies on.

The contract
------------
*World* is RAS in millimetres: +x is the patient's **right**, +y anterior, +z superior (nibabel's
"RAS+" has x growing towards the right). A voxel index (i, j, k) names the voxel's *centre*, and

    (x, y, z, 1) = affine @ (i, j, k, 1).

The array keeps the axes of the file. Which axis runs which way is read from the affine and never
from the array's shape: DESS volumes come as (384, 384, 160), (160, 384, 384), and others.

Orientation codes say towards where the index grows: in `PIR`, axis 0 runs to posterior, axis 1 to
inferior, axis 2 to the patient's right. *Canonical* is `RAS`: the axes permuted and flipped, with
no voxel changed, so that each is the stored axis closest to x, y and z. An oblique volume stays
oblique; "closest" is all that canonical promises, and world coordinates are exact in either.

NIfTI is RAS already. NRRD says which space it is written in, and DICOM is LPS (+x to the patient's
left, +y to posterior): both are turned to RAS when they are read. A DICOM series has its columns as
axis 0, its rows as axis 1 and its slices, in the order of their positions, as axis 2.

Medial and lateral are not in the affine: in a right knee lateral is +x, in a left knee -x
(`knee.anatomy.medial_sign`), and `tools.side_check` holds that against the anatomy.

Worked example
--------------
A sagittal DESS series, stored as PIR with 384 x 384 x 160 voxels, straight for simplicity::

               i        j        k
    x  [       0        0      0.7    -55.0 ]
    y  [ -0.3646        0        0     70.0 ]
    z  [       0  -0.3646        0     70.0 ]
       [       0        0        0      1   ]

Index (0, 0, 0) is the most anterior, most superior voxel of the leftmost slice, at (-55, 70, 70).
The column of i points to -y, that of j to -z, that of k to +x: posterior, inferior, right.
`canonical_axes` is ((2, False), (0, True), (1, True)): canonical axis 0 (to the right) is stored
axis 2; canonical axis 1 (to anterior) is stored axis 0 read backwards. Canonical index (a, b, c)
is stored index (383 - b, 383 - c, a), and the canonical affine is::

    x  [  0.7       0       0    -55.0   ]
    y  [    0  0.3646       0    -69.642 ]     70 - 383 * 0.3646
    z  [    0       0  0.3646    -69.642 ]
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.orientations import io_orientation

from knee.anatomy import Side
from knee.errors import InputError
from knee.geometry import Affine, Box3D, Frame
from knee.keys import content_hash
from tools.dicom import read_dicom_series
from tools.nifti import is_nifti, read_nifti
from tools.nrrd_files import is_nrrd, read_nrrd

_AXIS_CODES = (("L", "R"), ("P", "A"), ("I", "S"))
"""World axis to its code when the index grows against or along it."""
_MIN_DETERMINANT = 1e-2
"""Least |det| of the unit axis vectors: below it the three axes nearly lie in one plane."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A 3D array and where its voxels are.

    Attributes:
        array: 3D, axes and number type as stored.
        affine: 4 x 4, voxel index to RAS mm.
        path: the file it was read from.
        sha256: `sha256:<hex>` of the file's bytes; stays the same through `to_canonical`.
        named_side: the knee that the file itself says it shows; only DICOM says.
        notes: what is doubtful about it, for people: a DICOM series that may lack slices.
    """

    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    path: Path
    sha256: str
    named_side: Side | None = None
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each array axis."""
        i, j, k = self.array.shape
        return (i, j, k)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxel centres along each array axis."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(i), float(j), float(k))

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm³ (also right for sheared axes)."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def orientation(self) -> str:
        """Axis codes, e.g. `PIR`: towards where each index grows."""
        codes = ["", "", ""]
        for world, (stored, flipped) in enumerate(self.canonical_axes()):
            codes[stored] = _AXIS_CODES[world][0 if flipped else 1]
        return "".join(codes)

    @property
    def affine_rows(self) -> Affine:
        """The affine as nested tuples, the form that `knee` records hold."""
        return tuple(tuple(float(value) for value in row) for row in self.affine)

    def canonical_axes(self) -> tuple[tuple[int, bool], ...]:
        """Returns, for each canonical axis, the stored axis and whether it is read backwards."""
        orientation = io_orientation(self.affine)
        axes: list[tuple[int, bool]] = [(0, False)] * 3
        for stored in range(3):
            axes[int(orientation[stored, 0])] = (stored, bool(orientation[stored, 1] < 0))
        return tuple(axes)

    def to_canonical(self) -> "Volume":
        """Returns the volume with axes permuted and flipped to the closest RAS.

        Exact: the array is a view of this one's, no voxel is resampled, and every voxel keeps
        its world position.
        """
        axes = self.canonical_axes()
        array = self.array.transpose([stored for stored, _ in axes])
        array = array[tuple(slice(None, None, -1 if flipped else 1) for _, flipped in axes)]
        affine = np.eye(4)
        affine[:3, 3] = self.affine[:3, 3]
        for canonical, (stored, flipped) in enumerate(axes):
            column = self.affine[:3, stored]
            affine[:3, canonical] = -column if flipped else column
            if flipped:
                affine[:3, 3] += column * (self.array.shape[stored] - 1)
        return replace(self, array=array, affine=affine)


def load_volume(path: Path, *, series_number: int | None = None) -> Volume:
    """Returns the volume in a NIfTI or NRRD file, or in a folder of DICOM slices.

    What kind of file it is, is read from its first bytes, not from its name.

    Args:
        path: `.nii`, `.nii.gz`, `.nrrd`, or the folder that directly holds one DICOM series.
        series_number: the series to take from a DICOM folder that holds several.

    Raises:
        InputError: the file is missing, is not a volume of one of these kinds, is truncated, is
            not 3D, or its affine is not finite, singular or has a voxel size of zero; a DICOM
            folder with missing slices, two series, or slices that do not make a volume.
    """
    if path.is_dir():
        return _read_folder(path, series_number)
    data = _read_bytes(path)
    if is_nrrd(data):
        array, affine = read_nrrd(data, path)
    elif is_nifti(data):
        array, affine = read_nifti(data, path)
    else:
        raise _not_a_volume(data, path)
    return make_volume(array, affine, path, content_hash(data))


def make_volume(
    array: npt.NDArray[Any], affine: npt.NDArray[np.float64], path: Path, sha256: str
) -> Volume:
    """Returns a checked volume: 3D, native byte order, a usable affine.

    Trailing axes of length 1 are dropped, as NIfTI writers like to add them. Integers keep their
    type; wide real numbers become float32.

    Raises:
        InputError: see `load_volume`.
    """
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or min(array.shape) < 2:
        raise InputError(
            f"{str(path)!r} is not a volume: its shape is {array.shape!r}",
            "give one 3D volume with at least two voxels along each axis (one time point, one "
            "channel)",
        )
    if array.dtype.kind not in "iuf":
        raise InputError(
            f"{str(path)!r} holds voxels of type {str(array.dtype)!r}",
            "voxels must be one integer or real number each",
        )
    _check_affine(affine, path)
    if array.dtype.kind == "f" and array.dtype != np.float32:
        # A value beyond float32 becomes infinity; no intensity is that large.
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Volume(array=array, affine=affine, path=path, sha256=sha256)


def canonical_box_to_stored(box: Box3D, volume: Volume) -> Box3D:
    """Returns a voxel box of canonical index space in the stored index space; exact.

    Args:
        box: half-open voxel box in the indices of `volume.to_canonical()`.
        volume: the volume as stored.

    Raises:
        InputError: the box is in millimetres.
    """
    bounds = _bounds(box)
    stored_bounds = [(0, 0)] * 3
    for canonical, (stored, flipped) in enumerate(volume.canonical_axes()):
        low, high = bounds[canonical]
        n = volume.array.shape[stored]
        stored_bounds[stored] = (n - high, n - low) if flipped else (low, high)
    return _box(stored_bounds)


def stored_box_to_canonical(box: Box3D, volume: Volume) -> Box3D:
    """Returns a voxel box of stored index space in the indices of `volume.to_canonical()`.

    The inverse of `canonical_box_to_stored`.

    Raises:
        InputError: the box is in millimetres.
    """
    bounds = _bounds(box)
    canonical_bounds: list[tuple[int, int]] = []
    for stored, flipped in volume.canonical_axes():
        low, high = bounds[stored]
        n = volume.array.shape[stored]
        canonical_bounds.append((n - high, n - low) if flipped else (low, high))
    return _box(canonical_bounds)


def _bounds(box: Box3D) -> list[tuple[int, int]]:
    i0, i1, j0, j1, k0, k1 = box.indices
    return [(i0, i1), (j0, j1), (k0, k1)]


def _box(bounds: list[tuple[int, int]]) -> Box3D:
    (i0, i1), (j0, j1), (k0, k1) = bounds
    return Box3D(frame=Frame.VOXEL_IJK, lower=(i0, j0, k0), upper=(i1, j1, k1))


def _read_folder(path: Path, series_number: int | None) -> Volume:
    try:
        series = read_dicom_series(path, series_number)
    except InputError as error:
        # What is wrong is said by file name; which folder it is about is said here, once.
        shown = str(path)
        message = error.message if shown in error.message else f"{shown!r}: {error.message}"
        raise InputError(message, error.hint) from error
    volume = make_volume(series.array, series.affine, path, series.sha256)
    return replace(volume, named_side=series.side, notes=series.notes)


def _not_a_volume(data: bytes, path: Path) -> InputError:
    """Says what a file is that is none of ours, where its first bytes tell."""
    if data[:10] == b"ObjectType":
        return InputError(
            f"{str(path)!r} is a MetaImage (.mhd, .mha), which is not read",
            "convert it to .nii.gz, with the affine of the image that it belongs to (the .mhd "
            "files of OAI-ZIB have a corrupt one)",
        )
    if data[128:132] == b"DICM":
        return InputError(
            f"{str(path)!r} is one DICOM file, which is one slice", "give the folder of its series"
        )
    return InputError(
        f"{str(path)!r} is not a volume: it is neither NIfTI nor NRRD "
        f"({len(data)} bytes, the first are {data[:8]!r})",
        "give a .nii, .nii.gz or .nrrd file, or a folder of DICOM slices (a truncated .nii.gz "
        "can look like this too)",
    )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {str(path)!r}", "check the path") from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}", "check it") from error


def _check_affine(affine: npt.NDArray[np.float64], path: Path) -> None:
    shown = np.array2string(affine, precision=4, separator=", ").replace("\n", "")
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InputError(
            f"{str(path)!r} has an affine that is not finite: {shown}",
            "its header is damaged; copy the geometry from the image it belongs to",
        )
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if (sizes < 1e-6).any():
        raise InputError(
            f"{str(path)!r} has a voxel size of zero: {[float(s) for s in sizes]!r} mm",
            "its header is damaged; copy the geometry from the image it belongs to",
        )
    determinant = float(np.linalg.det(affine[:3, :3] / sizes))
    if abs(determinant) < _MIN_DETERMINANT:
        raise InputError(
            f"{str(path)!r} has a singular affine (two axes point the same way): {shown}",
            "its header is damaged; copy the geometry from the image it belongs to",
        )
