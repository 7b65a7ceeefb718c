"""Articular margins without osteophytes: 2D outlines opened with a disc, and a smooth curve.

What a disc of some 14 mm does not fit into juts out of the margin: an osteophyte. At its base the
opened outline still bulges a little, so for lengths a smooth closed curve (a Fourier series of
order 5 over the angle) is laid through the opened outline, bulging parts left out. The tibia's
margin seen from above serves both extrusion and the tibial osteophyte sites.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knee.anatomy import Bone
from tools.anatomical_frame import BoolArray, Knee
from tools.crop_frame import FloatArray

_FOURIER_ORDER = 5
"""Enough for a plateau's shape, too few for a bump 15 mm wide on 220 mm of margin."""
_BULGE_MM = 0.15
"""Parts of the outline further outside the curve than this hardly count in its next fit."""
_BASE_MM = 16.0
"""Edge cells within this distance of what juts out may belong to its base."""
_JUTS_MM, _JUTS_CELLS = 0.6, 0.3
"""What juts out by less than this, and than this share of a cell, is the outline's own steps. On
coarse grids the opening leaves no more than that of a low, broad osteophyte."""
_LEAST_WIDTH_MM = 3.0
"""What juts out along less of the outline than this is a tooth of a saw."""
_BULGE_WEIGHT = 0.02
_FITS = 12
_RIDGE = 4e-4
"""Penalty on a term, times its order squared and the number of points: keeps the curve calm."""
_CURVE_POINTS = 1440
MARGIN_RADIUS_MM = 14.0
"""Radius of the disc for the tibia, whose margin bends with radii of 18 mm and more."""
PATELLA_RADIUS_MM = 12.0
"""Radius of the disc for the patella seen from behind, a smaller bone."""
_TIBIA_DEPTH_MM = 8.0
"""Depth below the plates in which bone counts for the tibial margin."""


@dataclass(frozen=True)
class OpenedOutline:
    """A 2D outline and what its opening left; arrays of one shape.

    Attributes:
        opened: the outline without what juts out.
        beyond: mm from the opened outline, for what juts out; 0 elsewhere.
        edge: the outermost cells of the opened outline.
    """

    opened: BoolArray
    beyond: FloatArray
    edge: BoolArray


@dataclass(frozen=True)
class MarginCurve:
    """A closed smooth margin.

    Attributes:
        points: (n, 2) mm along the outline's two axes.
        centre: mm, what the curve runs round.
        coefficients: of the Fourier series of the radius over the angle.
    """

    points: FloatArray
    centre: tuple[float, float]
    coefficients: NDArray[np.float64]

    def beyond(self, cells: NDArray[np.intp], step: tuple[float, float]) -> FloatArray:
        """Returns mm by which cells (n, 2) of the outline's grid lie outside the curve.

        Measured along the line from the centre, which the curve crosses nearly at a right angle.
        """
        offset = cells * np.asarray(step) - np.asarray(self.centre)
        angle = np.arctan2(offset[:, 1], offset[:, 0])
        radius = np.hypot(offset[:, 0], offset[:, 1])
        return (radius - _basis(angle) @ self.coefficients).astype(np.float32)


def smooth_margin(outline: OpenedOutline, step: tuple[float, float]) -> MarginCurve:
    """Returns the osteophyte-free margin of an opened outline as a smooth closed curve.

    The curve runs through the centres of the outermost cells.

    Args:
        outline: from `open_outline`, of one piece.
        step: cell size in mm.
    """
    cells = np.argwhere(outline.edge) * np.asarray(step)
    centre = np.argwhere(outline.opened).mean(axis=0) * np.asarray(step)
    offset = cells - centre
    basis = _basis(np.arctan2(offset[:, 1], offset[:, 0]))
    radius = np.hypot(offset[:, 0], offset[:, 1])
    order = np.repeat(np.arange(_FOURIER_ORDER + 1), 2)[1:]
    ridge = np.diag(_RIDGE * order**2 * len(radius))
    suspect = _near_what_juts_out(outline, step)
    weight = np.where(suspect, _BULGE_WEIGHT, 1.0)
    coefficients = np.zeros(basis.shape[1])
    for _ in range(_FITS):
        weighted = basis * weight[:, None]
        coefficients = np.linalg.solve(weighted.T @ basis + ridge, weighted.T @ radius)
        bulging = suspect & (radius - basis @ coefficients > _BULGE_MM)
        weight = np.where(bulging, _BULGE_WEIGHT, 1.0)
    angles = np.linspace(-np.pi, np.pi, _CURVE_POINTS, endpoint=False)
    fitted = _basis(angles) @ coefficients
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * fitted[:, None] + centre
    return MarginCurve(
        points.astype(np.float32), (float(centre[0]), float(centre[1])), coefficients
    )


def _near_what_juts_out(outline: OpenedOutline, step: tuple[float, float]) -> BoolArray:
    """Whether each edge cell lies where an osteophyte's base may be; in the order of the cells."""
    juts = _without_teeth(outline.beyond > max(_JUTS_MM, _JUTS_CELLS * max(step)), step)
    if not juts.any():
        return np.zeros(int(outline.edge.sum()), np.bool_)
    distance = ndimage.distance_transform_edt(~juts, sampling=step)
    return np.asarray(distance[outline.edge] <= _BASE_MM)


def _without_teeth(juts: BoolArray, step: tuple[float, float]) -> BoolArray:
    """What juts out along at least 3 mm of the outline.

    A turned volume's outline is a saw: each of its teeth is a cell that the opening leaves, and if
    they counted, nearly all of the outline would lie near something that juts out.
    """
    labels, _ = ndimage.label(juts, structure=np.ones((3, 3)))
    wide = [False]
    for found in ndimage.find_objects(labels):
        sides = [(axis.stop - axis.start) * s for axis, s in zip(found, step, strict=True)]
        wide.append(float(np.hypot(*sides)) >= _LEAST_WIDTH_MM)
    return np.asarray(wide)[labels]


def _basis(angle: NDArray[np.floating]) -> NDArray[np.float64]:
    terms = [np.ones_like(angle, np.float64)]
    for order in range(1, _FOURIER_ORDER + 1):
        terms += [np.cos(order * angle), np.sin(order * angle)]
    return np.stack(terms, axis=1)


def tibial_outline(knee: Knee, level_mm: float) -> OpenedOutline:
    """Returns the tibia's margin: bone from the plates' height to 8 mm below, seen from above."""
    step = knee.spacing[2]
    low = max(0, int((level_mm - _TIBIA_DEPTH_MM) / step))
    top = max(low + 1, int(level_mm / step) + 1)
    outline = np.asarray(knee.bone(Bone.TIBIA)[:, :, low:top].any(axis=2), dtype=np.bool_)
    return open_outline(outline, (knee.spacing[0], knee.spacing[1]), MARGIN_RADIUS_MM)


def open_outline(mask: BoolArray, step: tuple[float, float], radius: float) -> OpenedOutline:
    """Returns a 2D outline opened with a disc of `radius` mm; `step` is the cell size in mm.

    An outline that no such disc fits into is returned as it is.
    """
    pad = tuple(int(np.ceil(radius / s)) + 1 for s in step)
    padded = np.pad(mask, ((pad[0], pad[0]), (pad[1], pad[1])), mode="edge")
    # Half a step is taken off: the distance to the nearest cell outside is to its centre.
    inner = ndimage.distance_transform_edt(padded, sampling=step) > radius - min(step) / 2
    if not inner.any():
        edge = mask & ~ndimage.binary_erosion(mask)
        return OpenedOutline(mask, np.zeros(mask.shape, np.float32), edge)
    away = ndimage.distance_transform_edt(~inner, sampling=step)
    opened = padded & (away <= radius + min(step) / 2)
    distance = ndimage.distance_transform_edt(~opened, sampling=step)
    beyond = np.where(padded & ~opened, distance, 0).astype(np.float32)
    edge = opened & ~ndimage.binary_erosion(opened)
    cut = (slice(pad[0], -pad[0]), slice(pad[1], -pad[1]))
    return OpenedOutline(opened[cut], beyond[cut], edge[cut])
