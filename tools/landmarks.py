"""What the landmarks of the three bones share, and the patella's ridge.

Landmarks are taken from bone and meniscus labels, in mm of the crop's frame; those of the tibia and
the femur have modules of their own.
"""

import numpy as np
from scipy import ndimage

from knee.anatomy import Compartment, Structure
from tools.anatomical_frame import BoolArray
from tools.articular_surface import Chart

SIDES = (Compartment.MEDIAL, Compartment.LATERAL)
"""The two compartments that carry cartilage."""
MENISCI: dict[Compartment, Structure] = {
    Compartment.MEDIAL: Structure.MEDIAL_MENISCUS,
    Compartment.LATERAL: Structure.LATERAL_MENISCUS,
}
"""The meniscus of a compartment."""
PLATES: dict[Compartment, Structure] = {
    Compartment.MEDIAL: Structure.MEDIAL_TIBIAL_CARTILAGE,
    Compartment.LATERAL: Structure.LATERAL_TIBIAL_CARTILAGE,
}
"""The tibial cartilage of a compartment."""
STRAY_PERCENT = 0.5
"""Percent of a structure's voxels on either end that may be stray and are left out of margins."""
_HORN_MM = 3.0
"""A meniscus in place reaches at most this far in front of and behind its tibial plate."""
_RIDGE_HALF_MM = 2.0
"""From the ridge's crest to its lateral foot [k]: a ridge is rounded over some 4 mm."""
_LEAST_PATELLA_MM = (20.0, 20.0)
"""Extents across and upwards, below which the field of view cuts the patella off."""


def is_whole(mask: BoolArray, step: tuple[float, float], least_mm: tuple[float, float]) -> bool:
    """Returns whether a 2D mask reaches over at least so many mm along both axes."""
    for axis in range(2):
        used = np.flatnonzero(mask.any(axis=1 - axis))
        if used.size == 0 or (used[-1] - used[0]) * step[axis] < least_mm[axis]:
            return False
    return True


def meniscal_limits(bone: tuple[float, float], plate: tuple[float, float]) -> tuple[float, float]:
    """Returns (posterior, anterior) mm beyond which a meniscus is extruded: it moves no border.

    Args:
        bone: (posterior, anterior) end of the plateau's bone in the compartment.
        plate: (posterior, anterior) end of its cartilage.
    """
    return max(bone[0], plate[0] - _HORN_MM), min(bone[1], plate[1] + _HORN_MM)


def patella_ridge(chart: Chart) -> float | None:
    """Returns the medial-lateral mm of the median ridge's lateral foot, which parts the facets.

    The crest is the most posterior line of the patella; the ridge belongs to the medial side, so
    the border is 2 mm lateral of its crest. None when too little of the patella is in the volume.
    """
    if not is_whole(chart.valid, chart.step, _LEAST_PATELLA_MM):
        return None
    step = chart.step[0]
    behind = np.where(chart.valid, -chart.points[..., 1], np.nan)
    rows = np.flatnonzero(chart.valid.any(axis=0))
    middle = behind[:, rows[0] + rows.size // 4 : rows[0] + 3 * rows.size // 4 + 1]
    enough = np.isfinite(middle).mean(axis=1) > 0.5
    profile = np.full(middle.shape[0], -np.inf)
    profile[enough] = np.nanmean(middle[enough], axis=1)
    used = np.flatnonzero(enough)
    if used.size == 0:
        columns = np.flatnonzero(chart.valid.any(axis=1))
        return float(columns.mean()) * step
    smooth = ndimage.gaussian_filter1d(profile[used], 1.5 / step, mode="nearest")
    edge = used.size // 5
    best = edge + int(np.argmax(smooth[edge : used.size - edge or None]))
    return float(used[best]) * step - _RIDGE_HALF_MM
