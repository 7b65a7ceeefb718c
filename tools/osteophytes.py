"""Osteophytes: how far bone juts out beyond an osteophyte-free margin, at MOAKS' 12 sites.

`osteophyte.margin@2`: protrusion is the largest distance of bone outside a margin that osteophytes
are left out of, along the site's stretch of it.

    tibia    the outline seen from above of the bone within 8 mm below the plates, opened with a
             disc of 14 mm and smoothed (`tools.margins.smooth_margin`); along the plate's middle
             three fifths
    patella  the outline of the whole bone seen from behind; disc of 12 mm, smoothed likewise
             where the opening leaves more than a voxel
    femur    the condyles in 3D without the notch, opened with a ball of 6 mm; up to
             0.8 mm are added for the fillet that the ball keeps at a bump's base

A margin that grew outwards evenly over more than that keeps its shape and is not seen.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Compartment, OsteophyteSite
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import Chart
from tools.crop_frame import FloatArray
from tools.femoral_landmarks import FemurMarks
from tools.margins import PATELLA_RADIUS_MM, open_outline, smooth_margin
from tools.subregions import Partition
from tools.tibial_landmarks import TibiaMarks

OSTEOPHYTE_DEFINITION = "osteophyte.margin@2"
_CORNER_SHARE = 0.2
"""Share of a plate's length at either end where the plateau turns its corners: not the margin."""
_JUTS_CELLS = 1.02
"""On the patella, what the opening leaves by no more than a cell is the outline's own steps."""
_CERTAIN_MM, _FILLET_MM = (1.0, 4.0), 0.8
"""On the femur: the ball keeps a fillet at the base of a bump. The second is its mean height under
osteophytes of the training phantoms; it is added as the bump grows from the first to the second of
the first, for healthy condyles are up to 1.3 mm less round than the ball."""
_BALL_MM = 6.0
"""Condyles of healthy knees are rounder than this; CartiMorph's template leaves under 1 mm."""
_GRID_MM = 1.0
_REACH_MM = 48.0
"""Above and below the condyles' centre: from the lowest bone to above the trochlea."""
_NOTCH_HALF_MM = 12.0
"""Nearer to the notch's middle are its walls, which are no osteophyte site."""
_TROCHLEA_END_DEG = 100.0
_POSTERIOR_END_DEG = -115.0


@dataclass(frozen=True)
class MarginSite:
    """One osteophyte site.

    Attributes:
        site: where.
        protrusion_mm: bone beyond the osteophyte-free margin, 0 when none.
    """

    site: OsteophyteSite
    protrusion_mm: float


def measure_osteophytes(
    knee: Knee, partition: Partition, charts: dict[Bone, Chart]
) -> dict[OsteophyteSite, MarginSite]:
    """Returns every site whose bone is there; a site is missing when its margin is not."""
    found: list[MarginSite] = []
    if Bone.TIBIA in charts and partition.tibia is not None:
        found += _tibial_sites(charts[Bone.TIBIA], partition.tibia)
    if Bone.FEMUR in charts and partition.femur is not None:
        found += _femoral_sites(knee, partition.femur)
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
        points = cells * np.asarray(chart.step)
        outer = points[:, 0] > middle if side is Compartment.MEDIAL else points[:, 0] < middle
        here = outer & (points[:, 1] >= back) & (points[:, 1] <= front)
        if here.any():
            sites.append(MarginSite(site, float(beyond[here].max(initial=0.0))))
    return sites


def _femoral_sites(knee: Knee, marks: FemurMarks) -> list[MarginSite]:
    bumps = _femoral_bumps(knee, marks)
    sites: list[MarginSite] = []
    for side in (Compartment.MEDIAL, Compartment.LATERAL):
        mine = bumps.medial if side is Compartment.MEDIAL else bumps.lateral
        front = float(np.rad2deg(np.arctan2(marks.front_a[side] - marks.centre[0], 20.0)))
        for name, low, high in (
            ("anterior", front, _TROCHLEA_END_DEG),
            ("central", marks.back_deg[side], front),
            ("posterior", _POSTERIOR_END_DEG, marks.back_deg[side]),
        ):
            here = mine & (bumps.angle >= low) & (bumps.angle < high)
            height = float(bumps.height[here].max(initial=0.0))
            low, high = _CERTAIN_MM
            height += _FILLET_MM * float(np.clip((height - low) / (high - low), 0, 1))
            sites.append(MarginSite(OsteophyteSite(f"femur_{side.value}_{name}"), height))
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


def _patellar_sites(chart: Chart) -> list[MarginSite]:
    outline = open_outline(chart.valid, chart.step, PATELLA_RADIUS_MM)
    if not outline.opened.any():
        return []
    margin = smooth_margin(outline, chart.step)
    # What the opening keeps is the patella's own shape, which no smooth curve follows closely.
    cells = np.argwhere(outline.beyond > _JUTS_CELLS * max(chart.step))
    beyond = margin.beyond(cells, chart.step)
    wide, tall = (cells * np.asarray(chart.step) - np.asarray(margin.centre)).T
    sites: list[MarginSite] = []
    for site, where in (
        (OsteophyteSite.PATELLA_SUPERIOR, tall > np.abs(wide)),
        (OsteophyteSite.PATELLA_INFERIOR, -tall > np.abs(wide)),
        (OsteophyteSite.PATELLA_MEDIAL, wide >= np.abs(tall)),
        (OsteophyteSite.PATELLA_LATERAL, -wide >= np.abs(tall)),
    ):
        sites.append(MarginSite(site, float(beyond[where].max(initial=0.0))))
    return sites
