"""Does a NIfTI header contradict itself about where its voxels are?

A header says it up to three times: the sform, the qform, and the voxel sizes in `pixdim`. The
sform is used where it is set. A tool that mirrors an image and mends only one of them leaves a
file in which left and right depend on who reads it, so a contradiction is refused and never
decided here. nibabel mends a voxel size of zero to 1 mm; that one is refused before it does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from knee.errors import InputError

_SIZE_TOLERANCE = 0.01
"""Share by which voxel sizes may differ: they are rounded when written by hand, never by more."""
_LEAST_COSINE = 0.7
"""Axes 45 degrees apart: further than that, an axis goes another way."""
_MOST_APART = 0.5
"""Voxels by which sform and qform may differ anywhere, when both mean the same space."""


def check_geometry(
    header: Any,  # noqa: ANN401 - nibabel's header is untyped
    pixdim: Sequence[float],
    shape: tuple[int, ...],
    path: Path,
) -> None:
    """Refuses a header whose sform, qform and voxel sizes contradict each other.

    A qform that means another space than the sform (another code, e.g. after a registration) may
    lie elsewhere, but not be mirrored, have its axes exchanged, or have voxels of other sizes.

    Args:
        header: nibabel's, with sform or qform set.
        pixdim: voxel sizes along the first three axes as written, before nibabel mends them.
        shape: number of voxels along each axis.
        path: the file, for messages.

    Raises:
        InputError: voxel sizes that are zero or not finite, or a contradiction, with both values.
    """
    sizes = np.abs(np.asarray(pixdim, np.float64))
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        raise InputError(
            f"{str(path)!r} has a voxel size of zero, or none: pixdim is {_shown(pixdim)} mm",
            "its header is damaged; copy the geometry from the image it belongs to",
        )
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if sform_code <= 0:
        return
    sform = np.asarray(header.get_sform(), np.float64)
    used = np.linalg.norm(sform[:3, :3], axis=0)
    if not _is_usable(sform):
        return
    if not np.allclose(used, sizes, rtol=_SIZE_TOLERANCE, atol=0):
        raise InputError(
            f"{str(path)!r} contradicts itself: its voxels are {_shown(used)} mm by the sform and "
            f"{_shown(sizes)} mm by pixdim",
            "every length depends on it: write the header again with the right voxel sizes",
        )
    qform = _qform(header) if qform_code > 0 else None
    if qform is not None:
        # A qform has right angles; one that was made from a slightly sheared sform differs from it.
        straight = header.copy()
        straight.set_qform(sform, strip_shears=True)
        _check_pair(straight.get_qform(), qform, sform_code == qform_code, shape, path)


def _is_usable(sform: npt.NDArray[np.float64]) -> bool:
    """Whether the sform is one at all; what is not is refused when the volume is made."""
    sizes = np.linalg.norm(sform[:3, :3], axis=0)
    if not np.isfinite(sform).all() or (sizes < 1e-6).any():
        return False
    return bool(abs(np.linalg.det(sform[:3, :3] / sizes)) > 1e-2)


def _qform(header: Any) -> npt.NDArray[np.float64] | None:  # noqa: ANN401 - see above
    """The qform; None where its quaternion is none, and only the sform can be meant."""
    try:
        return np.asarray(header.get_qform(), np.float64)
    except (ValueError, HeaderDataError):
        return None


def _check_pair(
    sform: npt.NDArray[np.float64],
    qform: npt.NDArray[np.float64],
    same_space: bool,
    shape: tuple[int, ...],
    path: Path,
) -> None:
    if not np.isfinite(qform).all():
        return
    sizes = np.linalg.norm(qform[:3, :3], axis=0)
    ours = sform[:3, :3] / np.linalg.norm(sform[:3, :3], axis=0)
    theirs = qform[:3, :3] / sizes
    apart = np.zeros(1)
    if same_space:
        last = [max(0, n - 1) for n in (*shape, 1, 1)[:3]]
        corners = np.stack(np.meshgrid(*[(0, n) for n in last], indexing="ij"), -1).reshape(-1, 3)
        difference = sform - qform
        apart = np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1)
    if (np.sum(ours * theirs, axis=0) < _LEAST_COSINE).any():
        what = "their axes run different ways"
    elif apart.max() > _MOST_APART * sizes.max():
        what = f"a voxel lies up to {apart.max():.1f} mm elsewhere"
    else:
        return
    raise InputError(
        f"{str(path)!r} has a sform and a qform that contradict each other, {what}: "
        f"sform {_shown_matrix(sform)}, qform {_shown_matrix(qform)}",
        "left and right depend on which is right: find out, and write the header with one of them",
    )


def _shown(values: Sequence[float] | npt.NDArray[np.float64]) -> str:
    return " x ".join(f"{float(value):.4g}" for value in values)


def _shown_matrix(affine: npt.NDArray[np.float64]) -> str:
    return np.array2string(affine[:3], precision=3, separator=", ").replace("\n", "")
