"""Bone marrow lesions and cartilage defects, painted on a plate's tables.

Each lesion is a sub-level set of a wobbling distance field, cut at the level that encloses the
target share of its subregion; so shares are met for any shape, and what was met is summed from the
same tables.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knee.anatomy import Bone
from tools.phantom.femur import AXIS_Y, AXIS_Z
from tools.phantom.pathology import CartilageDefect, MarrowLesion
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


def _points_below(plate: Plate, cells: _Cells, depths: FloatArray) -> FloatArray:
    """Knee-frame points below surface cells, shape (n_cells, n_layers, 3)."""
    surface = plate.points[cells.rows, cells.columns][:, None, :]
    if plate.bone is Bone.FEMUR:
        radius = plate.surface[cells.rows, cells.columns][:, None, None]
        axis = np.stack([surface[..., 0], surface[..., 0] * 0 + AXIS_Y, surface[..., 0] * 0 + AXIS_Z], -1)
        share = depths[None, :, None] / np.maximum(radius, 1.0)
        return (surface + (axis - surface) * share).astype(np.float32)
    inwards = [0.0, 0.0, -1.0] if plate.bone is Bone.TIBIA else [0.0, 1.0, 0.0]
    return (surface + depths[None, :, None] * np.array(inwards, np.float32)).astype(np.float32)


def _wobble(rng: np.random.Generator, points: FloatArray) -> FloatArray:
    """A smooth field of about ±1, with waves of 8–20 mm."""
    total = np.zeros(points.shape[:-1], np.float32)
    for _ in range(4):
        direction = rng.normal(size=3)
        wave = 2.0 * np.pi * direction / np.linalg.norm(direction) / rng.uniform(8.0, 20.0)
        total += np.sin(points @ wave.astype(np.float32) + rng.uniform(0.0, 6.28))
    return total / 2.0


def _spread_seeds(rng: np.random.Generator, points: FloatArray, count: int) -> FloatArray:
    """Centres among candidate points, as far apart as a few tries find; shape (count, 3)."""
    middle = points.mean(axis=0)
    if count == 1:
        near = np.argsort(np.linalg.norm(points - middle, axis=1))
        return points[near[rng.integers(0, max(near.size // 4, 1))]][None]
    best, widest = points[:count], -1.0
    for _ in range(40):
        chosen = points[rng.choice(points.shape[0], count, replace=False)]
        apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)
        nearest = float(apart[~np.eye(count, dtype=bool)].min())
        if nearest > widest:
            best, widest = chosen, nearest
    # Off the corners, towards the middle.
    return (best + 0.25 * (middle - best)).astype(np.float32)


def _level_at(field: FloatArray, weights: FloatArray, wanted: float) -> float:
    """The level below which a field encloses the wanted total weight."""
    order = np.argsort(field, kind="stable")
    reached = np.cumsum(weights[order])
    return float(field[order[min(int(np.searchsorted(reached, wanted)), order.size - 1)]])


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
    points = _points_below(plate, cells, depths)
    weights = plate.wedge_weights(cells.rows, cells.columns)
    shallow = (depths > 2.0) & (depths < 8.0)
    candidates = points[:, shallow][weights[:, shallow] > 0.0]
    wobble = 1.3 * _wobble(rng, points)
    wanted = lesion.share * float(weights.sum())
    field = np.zeros(weights.shape, np.float32)
    for count in range(lesion.count, 0, -1):
        seeds = _spread_seeds(rng, candidates, count)
        apart = np.linalg.norm(points[:, :, None, :] - seeds[None, None], axis=3)
        apart.sort(axis=2)
        field = (apart[..., 0] + wobble).astype(np.float32)
        if count == 1:
            break
        field[apart[..., 1] - apart[..., 0] < _WALL_MM / scale] = np.inf
        if float(weights[np.isfinite(field)].sum()) > 1.02 * wanted:
            break
    field[weights <= 0.0] = np.inf
    open_cells = np.isfinite(field)
    inner, level = field[open_cells], weights[open_cells]
    part = np.zeros(weights.shape, np.uint8)
    part[field <= _level_at(inner, level, wanted)] = BML
    cyst = (1.0 - lesion.bml_share) * wanted
    if lesion.bml_share <= 0.0:
        part[part == BML] = CYST
    elif lesion.bml_share < 1.0:
        part[field <= _level_at(inner, level, cyst)] = CYST
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
    count: int
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


def paint_defect(
    plate: Plate,
    number: int,
    defect: CartilageDefect,
    thickness: FloatArray,
    rng: np.random.Generator,
) -> None:
    """Thins the cartilage of a subregion in place; `thickness` has the plate's table shape."""
    cells = np.nonzero(plate.subregion == number)
    points = plate.points[cells]
    areas = plate.area[cells]
    seeds = _spread_seeds(rng, points, 1 if defect.share < 0.12 else int(rng.integers(1, 3)))
    apart = np.linalg.norm(points[:, None] - seeds[None], axis=2).min(axis=1)
    field = (apart + 0.9 * _wobble(rng, points)).astype(np.float32)
    total = float(areas.sum())
    lost = field <= _level_at(field, areas, defect.share * total)
    part = thickness[cells]
    part[lost] *= defect.thin_factor
    if defect.full_share > 0.0:
        part[field <= _level_at(field, areas, defect.full_share * total)] = 0.0
    thickness[cells] = part


class DefectExtent(NamedTuple):
    """Shares of a subregion's surface, in per cent."""

    percent_any: float
    percent_full: float


def measure_defect(plate: Plate, number: int, thickness: FloatArray) -> DefectExtent:
    """Returns the shares of a subregion's surface with any and with full-thickness loss."""
    cells = np.nonzero(plate.subregion == number)
    areas = plate.area[cells]
    left = thickness[cells] / plate.cartilage[cells]
    total = float(areas.sum())
    lost = float(areas[left < 0.99].sum())
    gone = float(areas[left <= 0.0].sum())
    return DefectExtent(100.0 * lost / total, 100.0 * gone / total)
