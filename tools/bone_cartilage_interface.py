"""Where cartilage belongs on a bone: the estimated bone-cartilage interface (RULES 14).

`interface.hull-and-core@2`: a ray of a chart belongs to the interface when it

    - meets cartilage, or
    - tibia, patella: lies in the convex hull of the plate's cartilage, or in the plate's core: a
      shape in proportions of the bone that cartilage covers in every healthy knee looked at
      (CartiMorph's template of 103 knees, pymskt's knee, the SPL atlas), or
    - femur: lies in a band along each condyle, between edges of the bone, fitted to where the
      knee's own cartilage still reaches (`tools.femoral_interface`).

So a hole is denuded bone from 1 mm² on, and a plate without a single voxel is denuded over its
core. Slivers are not counted: denuded bone that cartilage does not enclose must hold a disc of 1 mm
radius inside the hull of the plate's cartilage, of 2 mm outside it. A band up to about 4 mm wide
that is lost all along an edge is therefore missed.
"""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from knee.anatomy import Bone, Compartment
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import Chart
from tools.crop_frame import FloatArray
from tools.femoral_interface import femoral_half, without_specks
from tools.landmarks import PLATES, SIDES
from tools.margins import PATELLA_RADIUS_MM, open_outline
from tools.subregions import Partition
from tools.tibial_landmarks import TibiaMarks

INTERFACE_DEFINITION = "interface.hull-and-core@2"
"""Id of the estimate that the module docstring describes."""
_SLIVER_MM = 1.0
"""Denuded bone inside a plate must hold a disc of this radius: the chart's own noise does not."""
_HOLE_MM2, _HOLE_VOXELS = 1.0, 2.0
"""Smallest hole, and the same in faces of voxels: in label maps of real knees those below 0.6 mm²
are noise, and few are larger."""
_LARGE_MM2 = 60.0
_REGROWTH_MM = 4.0
"""Bare bone of at least the area above is grown back by this towards the plate's likely edge."""
_EDGE_SLIVER_MM = 2.0
"""The same outside the plate's own hull, where the edge is an estimate good to a few mm."""
_CORE_SHRINK_MM = 2.5
"""The core keeps this distance from the mean healthy edge."""

_TIBIA_OUTER = 0.04
"""Gap between bone and plate at the outer edge, as a share of the tibia's width."""
_PATELLA_HEIGHT = (0.15, 0.95)
"""Ends of healthy patellar cartilage as shares of the bone's height, from below (two knees)."""
_PATELLA_WIDTH = (0.03, 0.97)
"""The same across the bone."""
_OWN_REACH, _SECTORS, _SMALLEST_SCALE = 1.3, 24, 0.85
"""Shares of the plate's size: cartilage farther out is not the plate's, and the least; between them
the number of directions looked at."""
_SQUARENESS = 2.5
"""Exponent of the superellipse that a plate resembles: between an ellipse and a rectangle."""


def expected_interface(knee: Knee, chart: Chart, partition: Partition) -> BoolArray:
    """Returns the rays of a chart on which cartilage is, or belongs; shape (n_u, n_v)."""
    if chart.bone is Bone.FEMUR:
        if partition.femur is None:
            return chart.covered
        parts = [femoral_half(chart, partition.femur, side) for side in SIDES]
    elif chart.bone is Bone.TIBIA:
        parts = [_tibial_plate(knee, chart, partition, side) for side in SIDES]
    else:
        parts = [_patellar_plate(chart)]
    closed, core, limit = (
        np.logical_or.reduce(masks) & chart.valid & ~chart.covered
        for masks in zip(*parts, strict=True)
    )
    bare = _holes(chart, knee.spacing)
    bare |= _open(closed, chart.step, _SLIVER_MM)
    bare |= _open(closed | core, chart.step, _EDGE_SLIVER_MM)
    large = without_specks(bare, chart.step, _LARGE_MM2)
    if not large.any():
        return chart.covered | bare
    # What is bare for certain is bare up to the plate's likely edge.
    near = ndimage.distance_transform_edt(~large, sampling=chart.step) <= _REGROWTH_MM
    return chart.covered | bare | (near & (closed | core | limit))


def _holes(chart: Chart, spacing: tuple[float, float, float]) -> BoolArray:
    """Bare rays that cartilage encloses: no edge has to be estimated for them.

    Where rays are finer than voxels, a gap one voxel wide is a step of a thin layer, not a hole.
    """
    enclosed = ndimage.binary_fill_holes(chart.covered).astype(np.bool_) & ~chart.covered
    small, middle, large = sorted(spacing)
    if chart.step[1] < 0.9 * small:
        enclosed = _open(enclosed, chart.step, 0.95 * small)
    least_mm2 = max(_HOLE_MM2, _HOLE_VOXELS * middle * large)
    return without_specks(enclosed & chart.valid, chart.step, least_mm2)


def _tibial_plate(
    knee: Knee, chart: Chart, partition: Partition, side: Compartment
) -> tuple[BoolArray, BoolArray, BoolArray]:
    plate = knee.mask(PLATES[side]).any(axis=2) & chart.covered
    if partition.tibia is None:
        return plate, plate, plate
    hull = _convex_hull(without_specks(plate, chart.step))
    core, limit = (
        _tibial_core(chart, partition.tibia, side, shrink) for shrink in (_CORE_SHRINK_MM, 0.0)
    )
    return hull, core, limit


def _patellar_plate(chart: Chart) -> tuple[BoolArray, BoolArray, BoolArray]:
    hull = _convex_hull(without_specks(chart.covered, chart.step))
    core, limit = (_patellar_core(chart, shrink) for shrink in (_CORE_SHRINK_MM, 0.0))
    return hull, core, limit


def _tibial_core(chart: Chart, marks: TibiaMarks, side: Compartment, shrink: float) -> BoolArray:
    v0, v1 = marks.plate_a[side]
    width = marks.outer_m[Compartment.MEDIAL] - marks.outer_m[Compartment.LATERAL]
    if side is Compartment.MEDIAL:
        u0, u1 = marks.inner_m[side], marks.outer_m[side] - _TIBIA_OUTER * width
    else:
        u0, u1 = marks.outer_m[side] + _TIBIA_OUTER * width, marks.inner_m[side]
    return _superellipse(chart, (u0, u1), (v0, v1), shrink)


def _patellar_core(chart: Chart, shrink: float) -> BoolArray:
    bone = open_outline(chart.valid, chart.step, PATELLA_RADIUS_MM).opened
    bounds: list[tuple[float, float]] = []
    for axis, share in ((0, _PATELLA_WIDTH), (1, _PATELLA_HEIGHT)):
        used = np.flatnonzero(bone.any(axis=1 - axis)) * chart.step[axis]
        low, high = float(used[0]), float(used[-1])
        bounds.append((low + share[0] * (high - low), low + share[1] * (high - low)))
    scale = _own_scale(chart, bounds[0], bounds[1])
    return _superellipse(chart, bounds[0], bounds[1], shrink, scale)


def _superellipse(
    chart: Chart, u: tuple[float, float], v: tuple[float, float], shrink: float, scale: float = 1.0
) -> BoolArray:
    """Rays inside the superellipse that fills a rectangle (mm), scaled, less `shrink` mm."""
    half = min(u[1] - u[0], v[1] - v[0]) / 2
    if half <= 0:
        return np.zeros(chart.valid.shape, np.bool_)
    radius, _ = _polar(chart, u, v)
    return radius <= scale - shrink / half


def _own_scale(chart: Chart, u: tuple[float, float], v: tuple[float, float]) -> float:
    """How large the knee's own plate is against the superellipse of a rectangle, 0.85 to 1.

    The median over directions of how far cartilage reaches: loss in a few of them does not count.
    """
    radius, turn = _polar(chart, u, v)
    near = chart.covered & (radius < _OWN_REACH)
    reach = np.zeros(_SECTORS + 1)
    np.maximum.at(reach, (turn[near] * _SECTORS).astype(np.intp), radius[near])
    reached = reach[reach > 0]
    if reached.size <= _SECTORS // 2:
        return 1.0
    return float(np.clip(np.median(reached), _SMALLEST_SCALE, 1.0))


def _polar(
    chart: Chart, u: tuple[float, float], v: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Radius of each ray, 1 on the superellipse of a rectangle, and direction from 0 to 1."""
    across = (np.arange(chart.valid.shape[0]) * chart.step[0] - sum(u) / 2) / (u[1] - u[0]) * 2
    along = (np.arange(chart.valid.shape[1]) * chart.step[1] - sum(v) / 2) / (v[1] - v[0]) * 2
    x, y = np.meshgrid(across, along, indexing="ij")
    radius = (np.abs(x) ** _SQUARENESS + np.abs(y) ** _SQUARENESS) ** (1 / _SQUARENESS)
    return radius.astype(np.float32), (np.arctan2(y, x) / (2 * np.pi) + 0.5).astype(np.float32)


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


def _open(mask: BoolArray, step: tuple[float, float], radius: float) -> BoolArray:
    """Keeps what a disc of `radius` mm fits into."""
    if not mask.any():
        return mask
    core = ndimage.distance_transform_edt(mask, sampling=step) > radius
    if not core.any():
        return np.zeros_like(mask)
    # A ray's diagonal more than the radius: the disc's own corners are not slivers.
    reach = radius + float(np.hypot(*step))
    return mask & (ndimage.distance_transform_edt(~core, sampling=step) <= reach)
