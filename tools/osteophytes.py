"""Osteophytes: how far bone juts out beyond an osteophyte-free margin, at MOAKS' 12 sites.

`osteophyte.outline-opening@1`: each bone's articular margin is drawn as a 2D outline

    tibia    the bone within 8 mm below the plates, seen from above
    femur    the unrolled condyles (medial-lateral against angle): rays whose bone reaches within
             10 mm of the compartment's crest at that angle
    patella  the whole bone, seen from behind

The osteophyte-free margin is that outline opened with a disc (12 mm; patella 10 mm): what the
disc does not fit into juts out. Protrusion is the largest distance, perpendicular to the opened
margin, of bone outside it within the site's stretch of margin. A margin that grew outward evenly
over more than twice the radius keeps its shape and is not seen.
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Bone, Compartment, OsteophyteSite
from tools.anatomical_frame import BoolArray, FloatArray
from tools.articular_surface import Chart, femoral_angles_deg
from tools.landmarks import FemurMarks, TibiaMarks
from tools.margins import MARGIN_RADIUS_MM, PATELLA_RADIUS_MM, OpenedOutline, open_outline
from tools.subregions import Partition

OSTEOPHYTE_DEFINITION = "osteophyte.outline-opening@1"
_CONDYLE_DEPTH_MM = 10.0
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
    partition: Partition, charts: dict[Bone, Chart]
) -> dict[OsteophyteSite, MarginSite]:
    """Returns every site whose bone is there; a site is missing when its margin is not."""
    found: list[MarginSite] = []
    if Bone.TIBIA in charts and partition.tibia is not None:
        found += _tibial_sites(charts[Bone.TIBIA], partition.tibia)
    if Bone.FEMUR in charts and partition.femur is not None:
        found += _femoral_sites(charts[Bone.FEMUR], partition.femur)
    if Bone.PATELLA in charts:
        found += _patellar_sites(charts[Bone.PATELLA])
    return {site.site: site for site in found}


def _tibial_sites(chart: Chart, marks: TibiaMarks) -> list[MarginSite]:
    outline = marks.outline
    m = np.arange(outline.opened.shape[0])[:, None] * chart.step[0]
    sites: list[MarginSite] = []
    for side, site in (
        (Compartment.MEDIAL, OsteophyteSite.TIBIA_MEDIAL),
        (Compartment.LATERAL, OsteophyteSite.TIBIA_LATERAL),
    ):
        middle = (marks.inner_m[side] + marks.outer_m[side]) / 2
        mine = (m > middle) if side is Compartment.MEDIAL else (m < middle)
        where = np.broadcast_to(mine, outline.opened.shape)
        points = chart.points.copy()
        points[..., 2] = marks.level_s[side]
        sites += _site(site, outline, where, points)
    return sites


def _femoral_sites(chart: Chart, marks: FemurMarks) -> list[MarginSite]:
    radius = np.hypot(
        chart.points[..., 1] - marks.centre[0], chart.points[..., 2] - marks.centre[1]
    )
    radius = np.where(chart.valid, radius, 0)
    m = np.arange(radius.shape[0])[:, None] * chart.step[0]
    angle = femoral_angles_deg()[None, :]
    sites: list[MarginSite] = []
    for side in (Compartment.MEDIAL, Compartment.LATERAL):
        medial = side is Compartment.MEDIAL
        mine = (m >= marks.notch_m) if medial else (m < marks.notch_m)
        reached = _towards_notch(chart.valid & mine, medial=medial) & mine
        outline = open_outline(reached, chart.step, MARGIN_RADIUS_MM)
        front = float(np.rad2deg(np.arctan2(marks.front_a[side] - marks.centre[0], 20.0)))
        stretches = (
            ("anterior", front, _TROCHLEA_END_DEG),
            ("central", marks.back_deg[side], front),
            ("posterior", _POSTERIOR_END_DEG, marks.back_deg[side]),
        )
        outer = np.broadcast_to(np.abs(m - marks.notch_m) > _NOTCH_MM, radius.shape) & mine
        for name, low, high in stretches:
            where = outer & (angle >= low) & (angle < high)
            site = OsteophyteSite(f"femur_{side.value}_{name}")
            sites += _site(site, outline, where, chart.points)
    return sites


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
