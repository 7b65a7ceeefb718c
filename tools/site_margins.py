"""Margins that boxes are drawn around: osteophyte sites and extrusion's reference points.

Osteophyte-free stretches of margin, in mm of the crop's frame:

    femur    along each condyle and its half of the trochlea, the outermost ray that is no more than
             8 mm below the condyle's crest; osteophytes are opened away and evened out along the
             margin. A stretch goes as far as its subregion reaches on the condyle's outer half.
    tibia    the smooth margin seen from above along the middle three fifths of the plate's length
    patella  the opened outline seen from behind, half way through the bone; a quarter of it faces
             each pole

Extrusion's reference point lies on the smooth tibial margin: at the medial tibial spine's height
(coronal slice), or in front of the plate's middle (sagittal slice).
"""

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Compartment, ExtrusionSite, OsteophyteSite, Subregion
from tools.anatomical_frame import Knee
from tools.articular_surface import Chart
from tools.cartilage import Plate
from tools.crop_frame import FloatArray
from tools.femoral_landmarks import FemurMarks
from tools.margins import PATELLA_RADIUS_MM, open_outline
from tools.subregions import Partition
from tools.tibial_landmarks import TibiaMarks

_CONDYLE_DROP_MM = 8.0
"""The condyle's margin lies at most this far below its crest: there its side is vertical."""
_CONDYLE_RADIUS_MM = 12.0
"""Disc for the condyle's outline; half a femur is some 35 mm wide."""
_EVEN_DEG = 61
"""Angles over which the condyle's margin is evened out: twice an osteophyte's length."""
_EVEN_PERCENTILE = 35
_STEPS = 4
"""Of following a slanting slice to the margin; each brings it ten times nearer."""
_CORNER_SHARE = 0.2
"""Share of a plate's length at either end where the plateau turns its corners: not the margin."""


def site_margin(
    knee: Knee, partition: Partition, plates: dict[Bone, Plate], site: OsteophyteSite
) -> FloatArray | None:
    """Returns (n, 3) points of a site's stretch of margin, None where its bone is not there."""
    bone, first, *rest = site.value.split("_")
    plate = plates.get(Bone(bone))
    if plate is None:
        return None
    if bone == "femur":
        if partition.femur is None:
            return None
        name = "trochlea" if rest[0] == "anterior" else rest[0]
        subregion = Subregion(f"femur_{first}_{name}")
        return _femoral_stretch(plate, partition.femur, subregion)
    if bone == "tibia":
        return None if partition.tibia is None else _tibial_stretch(partition.tibia, first)
    return _patellar_stretch(knee, plate.chart, first)


def extrusion_point(marks: TibiaMarks, site: ExtrusionSite, lean_rad: float = 0.0) -> FloatArray:
    """Returns the point (3,) of the osteophyte-free tibial margin at a site's reference slice.

    Args:
        marks: landmarks of the tibia.
        site: which edge of which meniscus.
        lean_rad: how far the knee's own medial axis is turned from the array's towards anterior:
            the reference slice is a reformat in tibial axes (RULES 14).
    """
    side = Compartment(site.value.split("_")[0])
    outward = 1.0 if side is Compartment.MEDIAL else -1.0
    slope = float(np.tan(lean_rad))
    level = marks.level_s[side]
    if not site.value.endswith("anterior"):
        spine_m = marks.inner_m[Compartment.MEDIAL]
        along, edge = marks.spine_a, marks.outer_m[side]
        for _ in range(_STEPS):
            edge = _crossing(marks, 0, outward, along)
            along = marks.spine_a + slope * (edge - spine_m)
        return np.asarray([edge, along, level], np.float32)
    middle = across = marks.middle_m(side)
    edge = marks.ends_a[side][1]
    for _ in range(_STEPS):
        edge = _crossing(marks, 1, 1.0, across)
        across = middle - slope * (edge - marks.spine_a)
    return np.asarray([across, edge, level], np.float32)


def _crossing(marks: TibiaMarks, axis: int, outward: float, along: float) -> float:
    """Where the margin lies along an axis, at a position along the other one (mm)."""
    points = marks.margin.points
    half = points[(points[:, axis] - marks.margin.centre[axis]) * outward > 0]
    order = np.argsort(half[:, 1 - axis])
    return float(np.interp(along, half[order, 1 - axis], half[order, axis]))


def _femoral_stretch(plate: Plate, marks: FemurMarks, subregion: Subregion) -> FloatArray | None:
    chart = plate.chart
    medial = subregion.compartment is Compartment.MEDIAL
    radius = np.hypot(
        chart.points[..., 1] - marks.centre[0], chart.points[..., 2] - marks.centre[1]
    )
    m = np.arange(radius.shape[0]) * chart.step[0]
    mine = (m >= marks.notch_m) if medial else (m < marks.notch_m)
    radius = np.where(chart.valid & mine[:, None], radius, 0)
    crest = radius.max(axis=0)
    reached = (radius >= crest - _CONDYLE_DROP_MM) & (radius > 0)
    # Only the outer margin is of interest: from the outermost ray to the notch all is filled.
    flipped = reached[::-1] if medial else reached
    filled = np.logical_or.accumulate(flipped, axis=0)
    filled = (filled[::-1] if medial else filled) & mine[:, None]
    opened = open_outline(filled, chart.step, _CONDYLE_RADIUS_MM).opened
    half = (marks.notch_m + marks.edge_m[subregion.compartment]) / 2
    outer = (m >= half) if medial else (m <= half)
    columns = np.flatnonzero((plate.rays(subregion) & outer[:, None]).any(axis=0))
    columns = columns[opened[:, columns].any(axis=0)]
    if columns.size == 0:
        return None
    used = np.flatnonzero(opened.any(axis=0))
    rows = (
        radius.shape[0] - 1 - np.argmax(opened[::-1], axis=0) if medial else opened.argmax(axis=0)
    )
    size = max(3, min(used.size, round(_EVEN_DEG / _step_deg(chart))))
    # Osteophytes that the opening left push the margin outwards, never in.
    percentile = _EVEN_PERCENTILE if medial else 100 - _EVEN_PERCENTILE
    even = ndimage.percentile_filter(
        rows[used].astype(np.float32), percentile, size=size, mode="nearest"
    )
    place = np.interp(columns, used, even)
    level = crest[columns] - _CONDYLE_DROP_MM
    direction = chart.rays[0, columns]
    points = np.empty((columns.size, 3), np.float32)
    points[:, 0] = place * chart.step[0]
    points[:, 1] = marks.centre[0] + level * direction[:, 1]
    points[:, 2] = marks.centre[1] + level * direction[:, 2]
    return points


def _step_deg(chart: Chart) -> float:
    """Degrees between the rays of the femoral chart."""
    first, second = chart.rays[0, 0], chart.rays[0, 1]
    return float(np.rad2deg(np.arccos(np.clip(first @ second, -1.0, 1.0))))


def _tibial_stretch(marks: TibiaMarks, side_name: str) -> FloatArray | None:
    side = Compartment(side_name)
    low, high = marks.plate_a[side]
    back = low + _CORNER_SHARE * (high - low)
    front = high - _CORNER_SHARE * (high - low)
    points = marks.margin.points
    middle = (marks.inner_m[side] + marks.outer_m[side]) / 2
    outer = points[:, 0] > middle if side is Compartment.MEDIAL else points[:, 0] < middle
    here = points[outer & (points[:, 1] >= back) & (points[:, 1] <= front)]
    if here.shape[0] == 0:
        return None
    level = np.full((here.shape[0], 1), marks.level_s[side], np.float32)
    return np.concatenate([here, level], axis=1)


def _patellar_stretch(knee: Knee, chart: Chart, pole: str) -> FloatArray | None:
    outline = open_outline(chart.valid, chart.step, PATELLA_RADIUS_MM)
    used = [np.flatnonzero(outline.opened.any(axis=1 - axis)) for axis in range(2)]
    if used[0].size == 0:
        return None
    middle = [(float(i[0]) + float(i[-1])) / 2 for i in used]
    u, v = np.nonzero(outline.edge)
    wide, tall = (u - middle[0]) * chart.step[0], (v - middle[1]) * chart.step[1]
    facing = {
        "superior": tall > np.abs(wide),
        "inferior": -tall > np.abs(wide),
        "medial": wide >= np.abs(tall),
        "lateral": -wide >= np.abs(tall),
    }[pole]
    u, v = u[facing], v[facing]
    if u.size == 0:
        return None
    columns = knee.bone(Bone.PATELLA)[u, :, v]
    back = np.argmax(columns, axis=1)
    front = columns.shape[1] - 1 - np.argmax(columns[:, ::-1], axis=1)
    depth = (back + front) / 2 * knee.spacing[1]
    return np.stack([u * chart.step[0], depth, v * chart.step[1]], axis=1).astype(np.float32)
