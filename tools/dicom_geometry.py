"""From the positions of DICOM slices to their order and one affine.

DICOM gives, for every slice, the centre of its first voxel and the directions of its rows and
columns in LPS millimetres. The order of slices and the distance between them come from these
positions alone: Instance Number need not follow space, and Slice Thickness is not the distance
(slices may have gaps or overlap).

In the array, index i runs along a row (over columns), j along a column (over rows), k over slices
in the direction of the normal, row x column::

    affine = [ row * dx | column * dy | step ]  and the first slice's position, LPS to RAS.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from knee.errors import InputError
from tools.dicom_files import SliceHeader, named

_DIRECTION_TOLERANCE = 1e-3
"""Direction cosines are written with few digits; 0.001 is 0.06 degrees."""
_SAME_PLACE_MM = 1e-2
"""Slices closer than this along the normal lie at one place."""
_STEP_TOLERANCE = 0.05
"""A step may differ from the usual one by this share: positions are rounded."""
_MAX_LEAN = 0.02
"""Sideways shift of a step as a share of it (1.1 degrees): beyond it the volume is sheared."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MAX_GAPS = 5


def ordered_slices(headers: Sequence[SliceHeader]) -> list[SliceHeader]:
    """Returns the slices in the order of their positions along the normal.

    Raises:
        InputError: fewer than two slices, sizes, orientations or pixel spacings that differ,
            directions that are no directions, two slices at one place, missing slices, or uneven
            distances; each with the files concerned.
    """
    if len(headers) < 2:
        raise InputError(
            f"the series has one slice only: {headers[0].name!r}",
            "a volume needs at least two; copy the whole series",
        )
    for word, values in (
        ("size (columns, rows)", [header.shape for header in headers]),
        ("orientation", [header.orientation for header in headers]),
        ("pixel spacing", [header.pixel_spacing for header in headers]),
        ("pixel type (bits, signed, samples)", [header.pixel_type for header in headers]),
    ):
        _check_same(word, values, headers)
    normal = _normal(headers[0])
    places = np.array([header.position for header in headers]) @ normal
    order = np.argsort(places, kind="stable")
    ordered = [headers[index] for index in order]
    _check_steps(ordered, places[order])
    return ordered


def slices_affine(ordered: Sequence[SliceHeader]) -> npt.NDArray[np.float64]:
    """Returns the 4 x 4 affine, voxel index (column, row, slice) to RAS mm.

    Args:
        ordered: as `ordered_slices` returns them.

    Raises:
        InputError: the slices are shifted sideways against each other.
    """
    first, last = ordered[0], ordered[-1]
    row, column = np.reshape(first.orientation, (2, 3))
    between_rows, between_columns = first.pixel_spacing
    positions = np.array([header.position for header in ordered])
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    normal = _normal(first)
    sideways = positions - positions[0]
    sideways = sideways - np.outer(sideways @ normal, normal)
    apart = float(np.linalg.norm(sideways, axis=1).max())
    length = float(np.linalg.norm(positions[-1] - positions[0]))
    if not apart <= _MAX_LEAN * length:
        raise InputError(
            f"slices from {first.name!r} to {last.name!r} are shifted sideways by up to "
            f"{apart:.2f} mm over {length:.2f} mm",
            "the volume is sheared: resample it to straight axes first",
        )
    affine = np.eye(4)
    affine[:3, 0] = row * between_columns
    affine[:3, 1] = column * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return _LPS_TO_RAS @ affine


def _normal(header: SliceHeader) -> npt.NDArray[np.float64]:
    row, column = np.reshape(np.asarray(header.orientation, np.float64), (2, 3))
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    off = max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column)))
    spacing_ok = all(np.isfinite(size) and size > 0 for size in header.pixel_spacing)
    if not off <= 10 * _DIRECTION_TOLERANCE or not np.isfinite(header.position).all():
        raise InputError(
            f"{header.name!r} has directions or a position that cannot be: "
            f"ImageOrientationPatient {list(header.orientation)!r}, "
            f"ImagePositionPatient {list(header.position)!r}",
            "its header is damaged; export the series again",
        )
    if not spacing_ok:
        raise InputError(
            f"{header.name!r} has a voxel size that cannot be: "
            f"PixelSpacing {list(header.pixel_spacing)!r}",
            "its header is damaged; export the series again",
        )
    normal = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def _check_same(
    word: str, values: Sequence[tuple[float, ...]], headers: Sequence[SliceHeader]
) -> None:
    """Refuses a series whose slices differ; names the minority."""
    table = np.array(values, np.float64)
    groups: list[list[int]] = []
    for index, row in enumerate(table):
        for group in groups:
            if np.allclose(row, table[group[0]], rtol=0, atol=_DIRECTION_TOLERANCE, equal_nan=True):
                group.append(index)
                break
        else:
            groups.append([index])
    if len(groups) == 1:
        return
    groups.sort(key=len, reverse=True)
    shown = "; ".join(
        f"{list(values[group[0]])!r} in {named([headers[index].name for index in group])}"
        for group in groups[:_MAX_GAPS]
    )
    raise InputError(
        f"the series mixes {len(groups)} values of {word}: {shown}",
        "it is a localiser, or several volumes in one folder: give one volume's slices",
    )


def _check_steps(ordered: Sequence[SliceHeader], places: npt.NDArray[np.float64]) -> None:
    steps = np.diff(places)
    if (steps < _SAME_PLACE_MM).any():
        _refuse_duplicates(ordered, places)
    # The lower median: with slices missing, the usual step is the smaller one.
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    tolerance = max(_STEP_TOLERANCE * usual, _SAME_PLACE_MM)
    n_steps = np.rint(steps / usual)
    gaps = np.flatnonzero((n_steps >= 2) & (np.abs(steps - n_steps * usual) <= n_steps * tolerance))
    if gaps.size:
        n_missing = int((n_steps[gaps] - 1).sum())
        shown = "; ".join(
            f"{int(n_steps[k]) - 1} between {ordered[k].name!r} (at {places[k]:.2f} mm) and "
            f"{ordered[k + 1].name!r} (at {places[k + 1]:.2f} mm)"
            for k in gaps[:_MAX_GAPS]
        )
        more = f"; and {gaps.size - _MAX_GAPS} more gaps" if gaps.size > _MAX_GAPS else ""
        raise InputError(
            f"{n_missing} slice(s) are missing from the series, which has one every "
            f"{usual:.3f} mm: {shown}{more}",
            "copy the whole series again",
        )
    off = np.flatnonzero(np.abs(steps - usual) > tolerance)
    if off.size:
        k = int(off[0])
        raise InputError(
            f"slices are unevenly apart: usually {usual:.3f} mm, but {steps[k]:.3f} mm between "
            f"{ordered[k].name!r} and {ordered[k + 1].name!r} ({off.size} such step(s))",
            "one volume has even steps; check that the folder holds one series, whole",
        )


def _refuse_duplicates(ordered: Sequence[SliceHeader], places: npt.NDArray[np.float64]) -> None:
    k = int(np.argmax(np.diff(places) < _SAME_PLACE_MM))
    here = [
        h for h, place in zip(ordered, places, strict=True) if place - places[k] < _SAME_PLACE_MM
    ]
    here = [header for header in here if header in ordered[k:]]
    echoes = sorted({header.echo_time for header in here})
    n_places = 1 + int((np.diff(places) >= _SAME_PLACE_MM).sum())
    reason = f", with echo times {', '.join(echoes)} ms" if len(echoes) > 1 else ""
    raise InputError(
        f"several slices are at one place ({places[k]:.2f} mm along the normal): "
        f"{named([header.name for header in here])}{reason}; "
        f"{len(ordered)} files are at {n_places} places",
        "give the slices of one echo (or of one time point) in a folder of their own"
        if reason
        else "the series holds copies, or several volumes: give one volume's slices",
    )
