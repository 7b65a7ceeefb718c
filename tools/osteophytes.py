"""Osteophytes: how far bone juts out beyond an osteophyte-free margin, at MOAKS' 12 sites.

`osteophyte.opening@1`: the osteophyte-free bone is the bone opened with a disc or a ball; what
that does not fit into juts out. Protrusion is the largest distance, perpendicular to the opened
bone, of bone outside it along the site's stretch of margin.

    tibia    the outline seen from above of the bone within 8 mm below the plates; disc of 14 mm,
             smoothed (`tools.margins.smooth_margin`); along the plate's middle
             three fifths
    patella  the outline of the whole bone seen from behind; disc of 12 mm
    femur    the condyles in 3D, without the notch; ball of 6 mm

A margin that grew outwards evenly over more than the disc's width keeps its shape and is not seen.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Compartment, OsteophyteSite
from tools.anatomical_frame import BoolArray, FloatArray, Knee
from tools.articular_surface import Chart, femoral_angles_deg
from tools.femoral_landmarks import FemurMarks
from tools.margins import PATELLA_RADIUS_MM, OpenedOutline, open_outline
from tools.subregions import Partition
from tools.tibial_landmarks import TibiaMarks

OSTEOPHYTE_DEFINITION = "osteophyte.opening@1"
_CORNER_SHARE = 0.2
"""Share of a plate's length at either end where the plateau turns its corners: not the margin."""
_CONDYLE_DEPTH_MM = 10.0
"""The condyle's margin lies at most this far below its crest."""
_CONDYLE_RADIUS_MM = 12.0
"""Disc for the margin that boxes are drawn around; half a femur is some 35 mm wide."""
_BALL_MM = 6.0
"""Condyles of healthy knees are rounder than this; CartiMorph's template leaves under 1 mm."""
_GRID_MM = 1.0
_REACH_MM = 48.0
"""Above and below the condyles' centre: from the lowest bone to above the trochlea."""
_NOTCH_HALF_MM = 12.0
"""Nearer to the notch's middle are its walls, which are no osteophyte site."""
_NOTCH_MM = 8.0
"""Half the width of the notch: nearer to its middle there is no outer margin."""
_TROCHLEA_END_DEG = 100.0
_POSTERIOR_END_DEG = -115.0


@dataclass(frozen=True)
class MarginSite:
    """One osteophyte site.

    Attributes:
        site: where.
        protrusion_mm: bone beyond the osteophyte-free margin, 0 when none.
        contour: (n, 3) mm in the crop's frame, points of the osteophyte-free margin.
    """

    site: OsteophyteSite
    protrusion_mm: float
    contour: FloatArray


def measure_osteophytes(
    knee: Knee, partition: Partition, charts: dict[Bone, Chart]
) -> dict[OsteophyteSite, MarginSite]:
    """Returns every site whose bone is there; a site is missing when its margin is not."""
    found: list[MarginSite] = []
    if Bone.TIBIA in charts and partition.tibia is not None:
        found += _tibial_sites(charts[Bone.TIBIA], partition.tibia)
    if Bone.FEMUR in charts and partition.femur is not None:
        found += _femoral_sites(knee, charts[Bone.FEMUR], partition.femur)
    if Bone.PATELLA in charts:
        found += _patellar_sites(charts[Bone.PATELLA])
    return {site.site: site for site in found}


def _tibial_sites(chart: Chart, marks: TibiaMarks) -> list[MarginSite]:
    cells = np.argwhere(marks.outline.opened | (marks.outline.beyond > 0))
    beyond = marks.margin.beyond(cells, chart.step)
    sites: list[MarginSite] = []
    for side, site in (
        (Compartment.MEDIAL, OsteophyteSite.TIBIA_MEDIAL),
        (Compartment.LATERAL, OsteophyteSite.TIBIA_LATERAL),
    ):
        middle = (marks.inner_m[side] + marks.outer_m[side]) / 2
        low, high = marks.plate_a[side]
        back = low + _CORNER_SHARE * (high - low)
        front = high - _CORNER_SHARE * (high - low)
        here: list[BoolArray] = []
        for points in (cells * np.asarray(chart.step), marks.margin.points):
            outer = points[:, 0] > middle if side is Compartment.MEDIAL else points[:, 0] < middle
            here.append(outer & (points[:, 1] >= back) & (points[:, 1] <= front))
        contour = marks.margin.points[here[1]]
        if contour.shape[0] == 0:
            continue
        level = np.full((contour.shape[0], 1), marks.level_s[side], np.float32)
        height = float(beyond[here[0]].max(initial=0.0))
        sites.append(MarginSite(site, height, np.concatenate([contour, level], axis=1)))
    return sites


def _femoral_sites(knee: Knee, chart: Chart, marks: FemurMarks) -> list[MarginSite]:
    radius = np.hypot(
        chart.points[..., 1] - marks.centre[0], chart.points[..., 2] - marks.centre[1]
    )
    radius = np.where(chart.valid, radius, 0)
    m = np.arange(radius.shape[0])[:, None] * chart.step[0]
    angle = femoral_angles_deg()[None, :]
    bumps = _femoral_bumps(knee, marks)
    sites: list[MarginSite] = []
    for side in (Compartment.MEDIAL, Compartment.LATERAL):
        medial = side is Compartment.MEDIAL
        mine = (m >= marks.notch_m) if medial else (m < marks.notch_m)
        crest = np.where(mine, radius, 0).max(axis=0)
        reached = mine & (radius >= crest - _CONDYLE_DEPTH_MM) & chart.valid
        reached |= _towards_notch(reached, medial=medial) & mine
        outline = open_outline(reached, chart.step, _CONDYLE_RADIUS_MM)
        front = float(np.rad2deg(np.arctan2(marks.front_a[side] - marks.centre[0], 20.0)))
        for name, low, high in (
            ("anterior", front, _TROCHLEA_END_DEG),
            ("central", marks.back_deg[side], front),
            ("posterior", _POSTERIOR_END_DEG, marks.back_deg[side]),
        ):
            outer = outline.edge & (np.abs(m - marks.notch_m) > _NOTCH_MM)
            contour = chart.points[outer & (angle >= low) & (angle < high)]
            if contour.shape[0] == 0:
                continue
            here = bumps.medial if medial else bumps.lateral
            here = here & (bumps.angle >= low) & (bumps.angle < high)
            height = float(bumps.height[here].max(initial=0.0))
            site = OsteophyteSite(f"femur_{side.value}_{name}")
            sites.append(MarginSite(site, height, contour))
    return sites


@dataclass(frozen=True)
class _Bumps:
    """Bone outside the opened femur, voxel by voxel: mm over it, angle, and which condyle."""

    height: FloatArray
    angle: FloatArray
    medial: BoolArray
    lateral: BoolArray


def _femoral_bumps(knee: Knee, marks: FemurMarks) -> _Bumps:
    """Opens the condyles with a ball, on a grid of about 1 mm."""
    spacing = np.asarray(knee.spacing)
    factor = np.maximum(1, np.rint(_GRID_MM / spacing)).astype(np.intp)
    step = spacing * factor
    low = max(0, int((marks.centre[1] - _REACH_MM) / spacing[2]))
    high = int((marks.centre[1] + _REACH_MM) / spacing[2])
    bone = knee.bone(Bone.FEMUR)[:: factor[0], :: factor[1], low : high : factor[2]]
    pad = int(_BALL_MM / step.min()) + 2
    # The shaft goes on above; on all other sides there is no bone.
    padded = np.pad(bone, ((pad, pad), (pad, pad), (pad, 0)))
    padded = np.pad(padded, ((0, 0), (0, 0), (0, pad)), mode="edge")
    inner = ndimage.distance_transform_edt(padded, sampling=step) > _BALL_MM
    away = ndimage.distance_transform_edt(~inner, sampling=step) - _BALL_MM
    away = away[pad:-pad, pad:-pad, pad:-pad]
    i, j, k = np.nonzero(bone & (away > 0))
    m = i * step[0] - marks.notch_m
    a = j * step[1] - marks.centre[0]
    s = k * step[2] + low * spacing[2] - marks.centre[1]
    return _Bumps(
        height=away[i, j, k].astype(np.float32),
        angle=np.rad2deg(np.arctan2(a, -s)).astype(np.float32),
        medial=m > _NOTCH_HALF_MM,
        lateral=m < -_NOTCH_HALF_MM,
    )


def _towards_notch(reached: BoolArray, *, medial: bool) -> BoolArray:
    """Fills from each row's outermost ray to the notch: only the outer margin is of interest."""
    if medial:
        return np.logical_or.accumulate(reached[::-1], axis=0)[::-1]
    return np.logical_or.accumulate(reached, axis=0)


def _patellar_sites(chart: Chart) -> list[MarginSite]:
    outline = open_outline(chart.valid, chart.step, PATELLA_RADIUS_MM)
    u = np.arange(chart.valid.shape[0])[:, None] * chart.step[0]
    v = np.arange(chart.valid.shape[1])[None, :] * chart.step[1]
    used = [np.flatnonzero(outline.opened.any(axis=1 - axis)) for axis in range(2)]
    if not used[0].size:
        return []
    halves = [(float(i[0]) + float(i[-1])) / 2 * s for i, s in zip(used, chart.step, strict=True)]
    wide, tall = (u - halves[0]), (v - halves[1])
    sites: list[MarginSite] = []
    for site, where in (
        (OsteophyteSite.PATELLA_SUPERIOR, tall > np.abs(wide)),
        (OsteophyteSite.PATELLA_INFERIOR, -tall > np.abs(wide)),
        (OsteophyteSite.PATELLA_MEDIAL, wide >= np.abs(tall)),
        (OsteophyteSite.PATELLA_LATERAL, -wide >= np.abs(tall)),
    ):
        sites += _site(site, outline, where, chart.points)
    return sites


def _site(
    site: OsteophyteSite, outline: OpenedOutline, where: BoolArray, points: FloatArray
) -> list[MarginSite]:
    contour = points[outline.edge & where]
    if contour.shape[0] == 0:
        return []
    return [MarginSite(site, float(np.where(where, outline.beyond, 0).max()), contour)]
