"""Where cartilage belongs on one condyle and its half of the trochlea.

In the unrolled femur a condyle's cartilage is a band: at each angle it lies between an inner edge
(towards the notch) and an outer one. In healthy knees both edges follow the same course over the
angle, in shares of the way from notch to the bone's outer edge. That course is moved, for condyle
and trochlea apart, to where this knee's cartilage reaches: the outer edge to the 75th percentile of
what it reaches, because loss only moves edges inwards. Where hardly any cartilage is left, the
narrowest healthy band stands in.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knee.anatomy import Compartment
from tools.anatomical_frame import BoolArray
from tools.articular_surface import Chart, femoral_angles_deg
from tools.crop_frame import FloatArray
from tools.femoral_landmarks import FemurMarks

_CLOSING_MM = 8.0
"""Radius with which a condyle's cartilage is closed; the notch is wider than twice this."""
_NOTCH_DROP_MM = 4.0
"""Bone this far below the condyle's crest, at the same angle, is the notch's wall or roof."""
_NOTCH_FRONT_DEG = 35.0
"""Degrees in front of straight down: from here on there is no notch, and trochlea begins."""
_SPECK_MM2 = 4.0
"""Islands of cartilage smaller than this do not widen a hull."""
_TOLERANCE_MM = 1.0
"""The fitted band keeps this distance from the edges that it was fitted to."""
_LEAST_ROWS = 0.25
"""A stretch with cartilage at a smaller share of its angles is not fitted to."""
_LEAST_WIDTH_MM = 6.0
"""Angles at which less cartilage than this is left are not its end."""
_END_SPREAD_DEG = 12.0
"""By so much, some 5 mm, healthy cartilage may end before the usual angle."""
_REACH_PERCENTILE = 75.0
_EDGE_DROP_MM, _EDGE_MEDIAN_ROWS = 8.0, 37
"""Bone this far below the crest has turned away from the joint; window of the running median."""
_TELLING_SHARE = 0.4
"""Angles at which less than this share of the healthy width is left say nothing about its edge."""
_BIN_ROWS = 4
"""Angles that the edge's envelope takes together: 3 degrees."""
_STIFFNESS, _BELOW_WEIGHT, _PULL, _ENVELOPE_FITS = 300.0, 0.02, 1e-3, 8
"""Of the envelope: edges lost along some 60 degrees are bridged. The pull towards the usual offset
only matters where nothing is left."""
_ENDS_DEG: dict[Compartment, tuple[float, float]] = {
    Compartment.MEDIAL: (-125.0, 98.0),
    Compartment.LATERAL: (-125.0, 105.0),
}
"""Angles that healthy cartilage reaches at least, back and front (three knees)."""

_ANGLES = np.array([-120, -105, -90, -75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75, 90, 105])
_MEAN: dict[Compartment, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
    Compartment.MEDIAL: (
        np.array([31, 29, 28, 27, 27, 26, 24, 21, 17, 10, 0, 0, 0, 0, 0, 0]) / 100,
        np.array([82, 89, 91, 91, 91, 90, 89, 85, 83, 80, 70, 62, 45, 38, 33, 20]) / 100,
    ),
    Compartment.LATERAL: (
        np.array([25, 26, 26, 26, 25, 24, 22, 22, 20, 17, 5, 0, 0, 0, 0, 0]) / 100,
        np.array([71, 75, 82, 85, 89, 90, 91, 91, 89, 87, 84, 84, 82, 81, 79, 62]) / 100,
    ),
}
"""Mean inner and outer edge per angle, as shares of the way from the notch to the bone's edge, of
CartiMorph's template of 103 knees, pymskt's knee and the SPL atlas."""
_SPREAD = 0.1
"""The narrowest of the three bands lies within this share of the mean on either edge."""


def femoral_half(
    chart: Chart, marks: FemurMarks, side: Compartment
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Returns three masks of rays of one half of the femur.

    Returns:
        What this half's own cartilage encloses, the fitted band where cartilage belongs, and that
        band up to its likely edge.
    """
    across = np.arange(chart.valid.shape[0]) * chart.step[0] - marks.notch_m
    away = across if side is Compartment.MEDIAL else -across
    mine = (away >= 0)[:, None]
    covered = without_specks(chart.covered & mine, chart.step)
    closed = _close(covered, chart.step, _CLOSING_MM)
    hull = ndimage.binary_fill_holes(closed).astype(np.bool_)
    ends = _ends(chart, covered, side)
    bone_edges = _bone_edges(_radius(chart, marks), away)
    width = abs(marks.edge_m[side] - marks.notch_m)
    inner, outer = _band(covered, away, bone_edges, width, side, ends)
    angles = femoral_angles_deg()
    between = (angles >= ends[0]) & (angles <= ends[1])
    articular = mine & articular_rays(chart, marks) & between
    tight = _TOLERANCE_MM
    band = (away[:, None] >= inner + tight) & (away[:, None] <= outer - tight)
    wide = (away[:, None] >= inner) & (away[:, None] <= outer)
    return hull & mine & articular_rays(chart, marks), band & articular, wide & articular


def _ends(chart: Chart, covered: BoolArray, side: Compartment) -> tuple[float, float]:
    """Back and front angle of the band: the healthy ones, or where this knee's cartilage ends.

    An end of this half that is near the healthy one is this knee's own. One that falls far short
    of it has lost cartilage: then the farther of the two halves tells.
    """
    back, front = _ENDS_DEG[side]
    own, both = _reach_deg(covered, chart), _reach_deg(chart.covered, chart)
    if both is None:
        return back, front
    if own is None:
        own = both
    back = max(back, own[0] if own[0] <= back + _END_SPREAD_DEG else both[0])
    front = min(front, own[1] if own[1] >= front - _END_SPREAD_DEG else both[1])
    return back, front


def _reach_deg(covered: BoolArray, chart: Chart) -> tuple[float, float] | None:
    """First and last angle at which cartilage is wide enough to count."""
    wide = np.flatnonzero(covered.sum(axis=0) * chart.step[0] >= _LEAST_WIDTH_MM)
    if wide.size == 0:
        return None
    angles = femoral_angles_deg()
    return float(angles[wide[0]]), float(angles[wide[-1]])


def articular_rays(chart: Chart, marks: FemurMarks) -> BoolArray:
    """Returns the rays near their condyle's crest: not the walls and roof of the notch.

    In front of the notch every ray counts, because the trochlear groove is meant to be deep.
    """
    radius = _radius(chart, marks)
    middle = round(marks.notch_m / chart.step[0])
    low = np.empty_like(radius)
    low[:middle] = radius[:middle].max(axis=0) - _NOTCH_DROP_MM
    low[middle:] = radius[middle:].max(axis=0) - _NOTCH_DROP_MM
    return (radius >= low) | (femoral_angles_deg() > _NOTCH_FRONT_DEG)


def _radius(chart: Chart, marks: FemurMarks) -> FloatArray:
    """Distance of each ray's surface point from the condyles' centre; 0 where there is no bone."""
    radius = np.hypot(
        chart.points[..., 1] - marks.centre[0], chart.points[..., 2] - marks.centre[1]
    )
    return np.where(chart.valid, radius, 0).astype(np.float32)


def _bone_edges(
    radius: FloatArray, away: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inner and outer edge of one half's articular bone in mm from the notch, per angle.

    The innermost ray whose surface lies at most 4 mm below the crest, and the outermost one at most
    8 mm below it; a running median over 27 degrees leaves osteophytes out.
    """
    mine = away >= 0
    crest = radius[mine].max(axis=0)
    across = away[mine][:, None]
    edges: list[NDArray[np.float64]] = []
    for drop, inward in ((_NOTCH_DROP_MM, True), (_EDGE_DROP_MM, False)):
        near = (radius[mine] >= crest - drop) & (radius[mine] > 0)
        far = across.max() if inward else 0.0
        edge = np.where(near, across, far)
        edge = edge.min(axis=0) if inward else edge.max(axis=0)
        edges.append(ndimage.median_filter(edge, _EDGE_MEDIAN_ROWS, mode="nearest"))
    return edges[0], edges[1]


def without_specks(
    mask: BoolArray, step: tuple[float, float], least_mm2: float = _SPECK_MM2
) -> BoolArray:
    """Returns a 2D mask without islands smaller than `least_mm2`."""
    labels, n_parts = ndimage.label(mask)
    if n_parts == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes * step[0] * step[1] >= least_mm2)[labels]


def _band(
    covered: BoolArray,
    away: NDArray[np.float64],
    bone_edges: tuple[NDArray[np.float64], NDArray[np.float64]],
    width: float,
    side: Compartment,
    ends: tuple[float, float],
) -> tuple[FloatArray, FloatArray]:
    """Inner and outer edge in mm from the notch per angle, as far as cartilage belongs."""
    angles = femoral_angles_deg()
    inner, outer = (np.interp(angles, _ANGLES, edge) * width for edge in _MEAN[side])
    bone_inner, bone_outer = bone_edges
    has_any = covered.any(axis=0)
    distance = np.where(covered, away[:, None], np.nan)
    reach_in, reach_out = np.full(angles.size, np.nan), np.full(angles.size, np.nan)
    reach_in[has_any] = np.nanmin(distance[:, has_any], axis=0)
    reach_out[has_any] = np.nanmax(distance[:, has_any], axis=0)
    between = (angles >= ends[0]) & (angles <= ends[1])
    front = angles >= _NOTCH_FRONT_DEG
    if (has_any & between).sum() <= _LEAST_ROWS * between.sum():
        inner += _SPREAD * width
        outer -= _SPREAD * width
    else:
        rows = has_any & between & ~front
        if rows.any():
            inner = np.maximum(
                *(
                    edge + float(np.percentile((reach_in - edge)[rows], 100 - _REACH_PERCENTILE))
                    for edge in (inner, bone_inner)
                )
            )
        wide = covered.sum(axis=0) * abs(away[1] - away[0]) >= _TELLING_SHARE * (outer - inner)
        outer = bone_outer + _envelope(reach_out - bone_outer, between & wide)
    # Between the trochlea's halves there is no inner edge.
    inner[front] = 0
    return inner.astype(np.float32), outer.astype(np.float32)


def _envelope(offset: NDArray[np.float64], used: BoolArray) -> NDArray[np.float64]:
    """A smooth curve along the upper side of `offset` (mm per angle; NaN where unknown).

    Asymmetric least squares (Eilers): what lies below the curve hardly pulls at it, so a stretch of
    lost edge is bridged, while a course that differs from the mean healthy one is followed.
    """
    n_bins = offset.size // _BIN_ROWS
    binned = np.full(n_bins, np.nan)
    for index in range(n_bins):
        rows = slice(index * _BIN_ROWS, (index + 1) * _BIN_ROWS)
        known = offset[rows][used[rows] & np.isfinite(offset[rows])]
        if known.size:
            binned[index] = np.median(known)
    known = np.isfinite(binned)
    if not known.any():
        return np.zeros(offset.size)
    usual = float(np.percentile(binned[known], _REACH_PERCENTILE))
    target = np.where(known, binned, usual)
    second = np.diff(np.eye(n_bins), 2, axis=0)
    penalty = _STIFFNESS * second.T @ second
    curve = np.full(n_bins, usual)
    for _ in range(_ENVELOPE_FITS):
        weight = np.where(known, np.where(target > curve, 1.0, _BELOW_WEIGHT), 0.0)
        system = np.diag(weight + _PULL) + penalty
        curve = np.linalg.solve(system, weight * target + _PULL * usual)
    centres = (np.arange(n_bins) + 0.5) * _BIN_ROWS - 0.5
    return np.interp(np.arange(offset.size), centres, curve)


def _close(mask: BoolArray, step: tuple[float, float], radius: float) -> BoolArray:
    if not mask.any():
        return mask
    pad = tuple(int(np.ceil(radius / s)) + 1 for s in step)
    padded = np.pad(mask, ((pad[0], pad[0]), (pad[1], pad[1])))
    grown = ndimage.distance_transform_edt(~padded, sampling=step) <= radius
    shrunk = ndimage.distance_transform_edt(grown, sampling=step) > radius
    return mask | shrunk[pad[0] : -pad[0], pad[1] : -pad[1]]
