"""Where cartilage belongs on a bone: the estimated bone-cartilage interface (RULES 14).

`interface.hull-and-core@1`: a ray of a chart belongs to the interface when it

    - meets cartilage, or
    - lies in the hull of the plate's cartilage: for tibia and patella the convex hull, for each
      condyle with its half of the trochlea a closing with a disc of 8 mm, or
    - lies in the plate's core: a shape in proportions of the bone that cartilage covers in every
      healthy knee looked at (CartiMorph's template of 103 knees, pymskt's knee, the SPL atlas).

So a hole is denuded bone whatever its size, and a plate without a single voxel is denuded over
its core. Slivers between a healthy, slightly concave edge and its hull are not counted: denuded
bone must hold a disc of 1 mm radius. A band up to 2.5 mm wide that is lost all along an edge can
be missed: the core keeps that distance.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from knee.anatomy import Bone, Compartment
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import Chart, femoral_angles_deg
from tools.landmarks import PLATES, SIDES, TibiaMarks
from tools.subregions import Partition

INTERFACE_DEFINITION = "interface.hull-and-core@1"
"""Id of the estimate that the module docstring describes."""
_CLOSING_MM = 8.0
"""Radius with which a condyle's cartilage is closed; the notch is wider than twice this."""
_SLIVER_MM = 1.0
"""Denuded bone narrower than twice this is the edge of the estimate, not a finding."""
_SPECK_MM2 = 4.0
"""Islands of cartilage smaller than this do not widen a hull."""
_CORE_SHRINK_MM = 2.5
"""The tibial and patellar core keeps this distance from the mean healthy edge."""

_TIBIA_AP = {Compartment.MEDIAL: (0.03, 1.0), Compartment.LATERAL: (0.02, 0.83)}
"""Ends of a healthy plate as shares of the plateau's depth, from behind (three knees, +- 0.03)."""
_TIBIA_OUTER = 0.04
"""Gap between bone and plate at the outer edge, as a share of the tibia's width."""
_PATELLA_HEIGHT = (0.15, 0.95)
"""Ends of healthy patellar cartilage as shares of the bone's height, from below (two knees)."""
_PATELLA_WIDTH = (0.03, 0.97)
"""The same across the bone."""
_SQUARENESS = 2.5
"""Exponent of the superellipse that a plate resembles: between an ellipse and a rectangle."""

_CORE_ANGLES = np.array([-120, -105, -90, -75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75, 90, 102])
_CORE: dict[Compartment, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
    Compartment.MEDIAL: (
        np.array([36, 34, 33, 33, 33, 33, 31, 27, 21, 12, 2, 0, 0, 0, 0, 0]) / 100,
        np.array([66, 77, 80, 80, 80, 80, 78, 75, 72, 68, 60, 50, 36, 28, 20, 4]) / 100,
    ),
    Compartment.LATERAL: (
        np.array([37, 36, 32, 32, 30, 27, 26, 26, 26, 22, 16, 0, 0, 0, 0, 0]) / 100,
        np.array([64, 72, 76, 80, 80, 82, 82, 80, 76, 73, 69, 68, 66, 65, 62, 45]) / 100,
    ),
}
"""Inner and outer edge of the femoral core per angle, as shares of the way from the notch to the
bone's edge: the narrowest of the three knees."""


def expected_interface(knee: Knee, chart: Chart, partition: Partition) -> BoolArray:
    """Returns the rays of a chart on which cartilage is, or belongs; shape (n_u, n_v)."""
    if chart.bone is Bone.FEMUR:
        parts = [_femoral_half(knee, chart, partition, side) for side in SIDES]
    elif chart.bone is Bone.TIBIA:
        parts = [_tibial_plate(knee, chart, partition, side) for side in SIDES]
    else:
        parts = [_hull_or_core(chart, chart.covered, _patellar_core(chart))]
    expected = np.logical_or.reduce(parts) & chart.valid
    bare = _open(expected & ~chart.covered, chart.step)
    return chart.covered | bare


def _tibial_plate(
    knee: Knee, chart: Chart, partition: Partition, side: Compartment
) -> BoolArray:
    plate = knee.mask(PLATES[side]).any(axis=2) & chart.covered
    if partition.tibia is None:
        return plate
    return _hull_or_core(chart, plate, _tibial_core(chart, partition.tibia, side))


def _hull_or_core(chart: Chart, plate: BoolArray, core: BoolArray) -> BoolArray:
    return _convex_hull(_without_specks(plate, chart.step)) | core


def _tibial_core(chart: Chart, marks: TibiaMarks, side: Compartment) -> BoolArray:
    low, high = marks.ends_a[side]
    near, far = _TIBIA_AP[side]
    v0, v1 = low + near * (high - low), low + far * (high - low)
    width = marks.outer_m[Compartment.MEDIAL] - marks.outer_m[Compartment.LATERAL]
    if side is Compartment.MEDIAL:
        u0, u1 = marks.inner_m[side], marks.outer_m[side] - _TIBIA_OUTER * width
    else:
        u0, u1 = marks.outer_m[side] + _TIBIA_OUTER * width, marks.inner_m[side]
    return _superellipse(chart, (u0, u1), (v0, v1))


def _patellar_core(chart: Chart) -> BoolArray:
    bounds: list[tuple[float, float]] = []
    for axis, share in ((0, _PATELLA_WIDTH), (1, _PATELLA_HEIGHT)):
        used = np.flatnonzero(chart.valid.any(axis=1 - axis)) * chart.step[axis]
        low, high = float(used[0]), float(used[-1])
        bounds.append((low + share[0] * (high - low), low + share[1] * (high - low)))
    return _superellipse(chart, bounds[0], bounds[1])


def _superellipse(chart: Chart, u: tuple[float, float], v: tuple[float, float]) -> BoolArray:
    """Rays inside the superellipse that fills a rectangle (mm), shrunk by the core's distance."""
    shape = chart.valid.shape
    total = np.zeros(shape)
    for axis, (low, high) in ((0, u), (1, v)):
        half = (high - low) / 2 - _CORE_SHRINK_MM
        if half <= 0:
            return np.zeros(shape, np.bool_)
        position = np.arange(shape[axis]) * chart.step[axis] - (low + high) / 2
        term = np.abs(position / half) ** _SQUARENESS
        total = total + (term[:, None] if axis == 0 else term[None, :])
    return total <= 1


def _femoral_half(
    knee: Knee, chart: Chart, partition: Partition, side: Compartment
) -> BoolArray:
    """One condyle with its half of the trochlea: closing, and the core of the bone."""
    if partition.femur is None:
        return chart.covered
    notch = partition.femur.notch_m
    across = np.arange(chart.valid.shape[0]) * chart.step[0] - notch
    away = across if side is Compartment.MEDIAL else -across
    mine = (away >= 0)[:, None]
    closed = _close(_without_specks(chart.covered & mine, chart.step), chart.step, _CLOSING_MM)
    filled = ndimage.binary_fill_holes(closed)
    hull = closed if filled is None else filled.astype(np.bool_)
    height = int(partition.femur.centre[1] / knee.spacing[2])
    used = np.flatnonzero(knee.bone(Bone.FEMUR)[:, :, :height].any(axis=(1, 2))) * chart.step[0]
    edge = (float(used[-1]) - notch) if side is Compartment.MEDIAL else notch - float(used[0])
    angles = femoral_angles_deg()
    inner, outer = (np.interp(angles, _CORE_ANGLES, values) for values in _CORE[side])
    share = (away / max(edge, 1.0))[:, None]
    core = (share >= inner) & (share <= outer) & (share >= 0)
    core &= (angles >= _CORE_ANGLES[0]) & (angles <= _CORE_ANGLES[-1])
    return (hull | core) & mine


def _without_specks(mask: BoolArray, step: tuple[float, float]) -> BoolArray:
    labels, n_parts = ndimage.label(mask)
    if n_parts == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes * step[0] * step[1] >= _SPECK_MM2)[labels]


def _convex_hull(mask: BoolArray) -> BoolArray:
    """The convex hull of a 2D mask, as a mask; the mask itself when it is too thin for one."""
    points = np.argwhere(mask)
    if len(points) < 3:
        return mask
    try:
        hull = ConvexHull(points)
    except QhullError:
        return mask
    low, high = points.min(axis=0), points.max(axis=0) + 1
    u, v = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    inside = np.ones(u.shape, np.bool_)
    for a, b, offset in np.unique(np.asarray(hull.equations).round(9), axis=0):
        inside &= a * u + b * v + offset <= 1e-6
    out = mask.copy()
    out[low[0] : high[0], low[1] : high[1]] |= inside
    return out


def _close(mask: BoolArray, step: tuple[float, float], radius: float) -> BoolArray:
    if not mask.any():
        return mask
    pad = tuple(int(np.ceil(radius / s)) + 1 for s in step)
    padded = np.pad(mask, ((pad[0], pad[0]), (pad[1], pad[1])))
    grown = ndimage.distance_transform_edt(~padded, sampling=step) <= radius
    shrunk = ndimage.distance_transform_edt(grown, sampling=step) > radius
    return mask | shrunk[pad[0] : -pad[0], pad[1] : -pad[1]]


def _open(mask: BoolArray, step: tuple[float, float]) -> BoolArray:
    """Keeps what a disc of the sliver's radius fits into."""
    if not mask.any():
        return mask
    core = ndimage.distance_transform_edt(mask, sampling=step) > _SLIVER_MM
    if not core.any():
        return np.zeros_like(mask)
    return mask & (ndimage.distance_transform_edt(~core, sampling=step) <= _SLIVER_MM * 1.2)
