"""Bone marrow lesions, painted on a plate's table over (u, v, depth).

What was drawn is measured by summing the same table over the subregion's wedge.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knee.anatomy import Bone
from tools.phantom.femur import AXIS_Y, AXIS_Z
from tools.phantom.fields import level_at, spread_seeds, wobble
from tools.phantom.pathology import MarrowLesion
from tools.phantom.plate import Plate
from tools.phantom.shape import FloatArray

NO_LESION, BML, CYST = 0, 1, 2
"""Codes of a lesion table."""

_WALL_MM = 3.4
"""Healthy bone left between two lesions, so that they stay two on a coarse grid."""

_SMALLEST_MM3 = 25.0
"""Splinters below this volume are healed: no voxel grid would show them as lesions."""

_ANY_CONTACT = np.ones((3, 3, 3), bool)


class _Cells(NamedTuple):
    """Surface cells of a subregion."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


def points_below(
    plate: Plate, rows: NDArray[np.intp], columns: NDArray[np.intp], depths: FloatArray
) -> FloatArray:
    """Returns knee-frame points below surface cells, shape (n_cells, n_depths, 3).

    Args:
        plate: the bone's plate.
        rows: of the cells.
        columns: of the cells.
        depths: shape (n_depths,), or (n_cells, n_depths) for depths of each cell's own; negative
            ones lie in the cartilage.
    """
    surface = plate.points[rows, columns][:, None, :]
    depths = np.atleast_2d(depths)[..., None]
    if plate.bone is Bone.FEMUR:
        radius = plate.surface[rows, columns][:, None, None]
        axis = np.stack(
            [surface[..., 0], surface[..., 0] * 0 + AXIS_Y, surface[..., 0] * 0 + AXIS_Z], -1
        )
        share = depths / np.maximum(radius, 1.0)
        return (surface + (axis - surface) * share).astype(np.float32)
    inwards = [0.0, 0.0, -1.0] if plate.bone is Bone.TIBIA else [0.0, 1.0, 0.0]
    return (surface + depths * np.array(inwards, np.float32)).astype(np.float32)


def paint_marrow(
    plate: Plate,
    number: int,
    lesion: MarrowLesion,
    scale: float,
    table: NDArray[np.uint8],
    rng: np.random.Generator,
) -> None:
    """Writes a subregion's lesions into a table of shape (n_u, n_v, n_layers).

    Args:
        plate: the bone's plate.
        number: index of the subregion in `plate.SUBREGIONS`.
        lesion: target share, number and composition.
        scale: knee-frame to real mm.
        table: codes `NO_LESION`, `BML`, `CYST`; written in place.
        rng: the knee's lesion stream.
    """
    cells = _Cells(*np.nonzero(plate.subregion == number))
    depths = plate.layers()
    points = points_below(plate, cells.rows, cells.columns, depths)
    weights = plate.wedge_weights(cells.rows, cells.columns)
    shallow = (depths > 2.0) & (depths < 8.0)
    candidates = points[:, shallow][weights[:, shallow] > 0.0]
    bumps = 1.3 * wobble(rng, points)
    wanted = lesion.share * float(weights.sum())
    field = np.zeros(weights.shape, np.float32)
    for count in range(lesion.count, 0, -1):
        seeds = spread_seeds(rng, candidates, count)
        apart = np.linalg.norm(points[:, :, None, :] - seeds[None, None], axis=3)
        apart.sort(axis=2)
        field = (apart[..., 0] + bumps).astype(np.float32)
        if count == 1:
            break
        field[apart[..., 1] - apart[..., 0] < _WALL_MM / scale] = np.inf
        if float(weights[np.isfinite(field)].sum()) > 1.02 * wanted:
            break
    field[weights <= 0.0] = np.inf
    open_cells = np.isfinite(field)
    inner, level = field[open_cells], weights[open_cells]
    part = np.zeros(weights.shape, np.uint8)
    part[field <= level_at(inner, level, wanted)] = BML
    cyst = (1.0 - lesion.bml_share) * wanted
    if lesion.bml_share <= 0.0:
        part[part == BML] = CYST
    elif lesion.bml_share < 1.0:
        part[field <= level_at(inner, level, cyst)] = CYST
    table[cells.rows, cells.columns] = part
    _heal_splinters(plate, number, scale, table)


def _heal_splinters(plate: Plate, number: int, scale: float, table: NDArray[np.uint8]) -> None:
    """Removes parts of a subregion's lesion that are too small to count."""
    cells = _Cells(*np.nonzero(plate.subregion == number))
    parts, volumes = _split(plate, cells, table, scale)
    small = np.flatnonzero(volumes < _SMALLEST_MM3) + 1
    if small.size:
        piece = table[cells.rows, cells.columns]
        piece[np.isin(parts, small)] = NO_LESION
        table[cells.rows, cells.columns] = piece


def _split(
    plate: Plate, cells: _Cells, table: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.int32], FloatArray]:
    """Numbers the connected lesions of a subregion; part of each cell, and volumes in mm³."""
    low_u, low_v = cells.rows.min(), cells.columns.min()
    window = np.s_[low_u : cells.rows.max() + 1, low_v : cells.columns.max() + 1]
    mine = np.zeros_like(table[window])
    mine[cells.rows - low_u, cells.columns - low_v] = table[cells.rows, cells.columns]
    parts, count = ndimage.label(mine > 0, structure=_ANY_CONTACT)
    of_cells = np.asarray(parts, np.int32)[cells.rows - low_u, cells.columns - low_v]
    weights = plate.wedge_weights(cells.rows, cells.columns)
    volumes = np.bincount(of_cells.ravel(), weights.ravel().astype(np.float64), count + 1)[1:]
    return of_cells, (volumes * scale**3).astype(np.float32)


class MarrowExtent(NamedTuple):
    """What a subregion's lesion table holds."""

    percent_of_wedge: float
    n_lesions: int
    percent_bml: float
    """Of the lesion; 0 where there is none."""


def measure_marrow(
    plate: Plate, number: int, table: NDArray[np.uint8], scale: float
) -> MarrowExtent:
    """Returns the extents drawn in a subregion, summed over the phantom's own wedge."""
    cells = _Cells(*np.nonzero(plate.subregion == number))
    weights = plate.wedge_weights(cells.rows, cells.columns)
    part = table[cells.rows, cells.columns]
    lesion = float(weights[part > 0].sum())
    if lesion <= 0.0:
        return MarrowExtent(0.0, 0, 0.0)
    bml = float(weights[part == BML].sum())
    _, volumes = _split(plate, cells, table, scale)
    count = int((volumes > 0.0).sum())
    return MarrowExtent(100.0 * lesion / float(weights.sum()), count, 100.0 * bml / lesion)
