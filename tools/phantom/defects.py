"""Cartilage loss, painted on a plate's thickness table and measured on it."""

from typing import NamedTuple

import numpy as np

from tools.phantom.fields import level_at, spread_seeds, wobble
from tools.phantom.pathology import CartilageDefect
from tools.phantom.plate import Plate
from tools.phantom.shape import FloatArray


def paint_defect(
    plate: Plate,
    number: int,
    defect: CartilageDefect,
    thickness: FloatArray,
    rng: np.random.Generator,
) -> None:
    """Thins the cartilage of a subregion in place; `thickness` has the plate's table shape."""
    cells = np.nonzero(plate.subregion == number)
    if defect.full_share >= 1.0:
        thickness[cells] = 0.0
        return
    points = plate.points[cells]
    areas = plate.area[cells]
    seeds = spread_seeds(rng, points, 1 if defect.share < 0.12 else int(rng.integers(1, 3)))
    apart = np.linalg.norm(points[:, None] - seeds[None], axis=2).min(axis=1)
    field = (apart + 0.9 * wobble(rng, points)).astype(np.float32)
    total = float(areas.sum())
    lost = field <= level_at(field, areas, defect.share * total)
    part = thickness[cells]
    part[lost] *= defect.thin_factor
    if defect.full_share > 0.0:
        part[field <= level_at(field, areas, defect.full_share * total)] = 0.0
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
