"""Landmarks of the three bones, from bone and meniscus labels, in mm of the crop's frame.

Each landmark says which definition gave it, because the fallbacks differ (RULES 13).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Compartment, Structure
from tools.anatomical_frame import BoolArray, FloatArray, Knee
from tools.articular_surface import Chart, condyle_centre, femoral_angles_deg

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
_NOTCH_ANGLES = (-70.0, -20.0)
"""Degrees behind straight down: between them the condyles stand apart."""
_GROOVE_ANGLES = (50.0, 90.0)
"""Degrees in front of straight down: the trochlea."""
_GROOVE_REACH_MM = 12.0
"""The trochlear groove lies within this distance of the notch, across the knee."""
_INNER_EDGES = {Compartment.MEDIAL: 0.62, Compartment.LATERAL: 0.44}
"""Inner plate edges as shares of the tibia's width, lateral to medial, where a plate is denuded:
means of the CartiMorph template, the pymskt knee and the SPL knee."""
_PLATEAU_DROP_MM = 10.0
"""Bone this far below the plates' level no longer belongs to the plateau."""
_CENTRAL_SHARE = 0.6
"""The 60 % rule: central ends at 60 % of the way from the notch to the posterior condyle."""
_STRAY_PERCENT = 0.5
"""Percent of a structure's voxels on either end that may be stray and are left out of margins."""


@dataclass(frozen=True)
class FemurMarks:
    """Where the femur is divided.

    Attributes:
        centre: (anterior, superior) of the condyles' centre.
        notch_m: medial-lateral position of the intercondylar notch.
        groove_m: medial-lateral position of the bottom of the trochlear groove.
        front_a: per compartment, trochlea in front of it, central behind it.
        back_deg: per compartment, angle (0 down, positive forward) where posterior begins.
        definition: which rule gave the last two.
    """

    centre: tuple[float, float]
    notch_m: float
    groove_m: float
    front_a: dict[Compartment, float]
    back_deg: dict[Compartment, float]
    definition: str


@dataclass(frozen=True)
class TibiaMarks:
    """Where the tibia is divided.

    Attributes:
        inner_m: per compartment, inner edge of the plate; the subspinous region lies between.
        outer_m: per compartment, outer edge of the plateau's bone.
        ends_a: per compartment, (posterior, anterior) end of the plateau.
        thirds_a: per compartment, (posterior-central, central-anterior) border.
        level_s: per compartment, height of the plate's bone surface.
        spine_a: anterior-posterior position of the medial tibial spine.
    """

    inner_m: dict[Compartment, float]
    outer_m: dict[Compartment, float]
    ends_a: dict[Compartment, tuple[float, float]]
    thirds_a: dict[Compartment, tuple[float, float]]
    level_s: dict[Compartment, float]
    spine_a: float


def tibia_marks(knee: Knee, chart: Chart) -> TibiaMarks:
    """Returns the landmarks of the tibia.

    Thirds are equal thirds of the plateau's bone between its anterior and posterior edge, half
    way across each compartment: they do not move when cartilage or meniscus is lost.
    """
    height = chart.points[..., 2]
    plates = {side: knee.mask(PLATES[side]).any(axis=2) & chart.valid for side in SIDES}
    level = _plateau_level(chart, plates)
    plateau = chart.valid & (height > level - _PLATEAU_DROP_MM)
    used = np.flatnonzero(plateau.any(axis=1))
    edges = {
        Compartment.LATERAL: float(used[0]) * chart.step[0],
        Compartment.MEDIAL: float(used[-1]) * chart.step[0],
    }
    width = edges[Compartment.MEDIAL] - edges[Compartment.LATERAL]
    inner: dict[Compartment, float] = {}
    ends: dict[Compartment, tuple[float, float]] = {}
    levels: dict[Compartment, float] = {}
    for side in SIDES:
        fallback = edges[Compartment.LATERAL] + _INNER_EDGES[side] * width
        inner[side] = _inner_edge(plates[side], chart.step[0], side, fallback)
        middle = (inner[side] + edges[side]) / 2
        column = plateau[int(round(middle / chart.step[0]))]
        rows = np.flatnonzero(column)
        ends[side] = (float(rows[0]) * chart.step[1], float(rows[-1]) * chart.step[1])
        levels[side] = float(np.median(height[int(round(middle / chart.step[0]))][column]))
    thirds = {
        side: (low + (high - low) / 3, low + 2 * (high - low) / 3)
        for side, (low, high) in ends.items()
    }
    spine = _spine_position(chart, plateau, inner)
    return TibiaMarks(inner, edges, ends, thirds, levels, spine)


def _plateau_level(chart: Chart, plates: dict[Compartment, BoolArray]) -> float:
    """Median height of the bone under cartilage; of the upper half of all rays without any."""
    height = chart.points[..., 2]
    covered = plates[Compartment.MEDIAL] | plates[Compartment.LATERAL]
    if covered.any():
        return float(np.median(height[covered]))
    return float(np.percentile(height[chart.valid], 75))


def _inner_edge(
    plate: BoolArray, step: float, side: Compartment, fallback: float
) -> float:
    """Inner edge of a plate in mm; the fallback where too little of the plate is left."""
    columns = np.repeat(np.arange(plate.shape[0]), plate.sum(axis=1))
    if columns.size * step * step < 50.0:
        return fallback
    inward = 100 - 2 * _STRAY_PERCENT if side is Compartment.LATERAL else 2 * _STRAY_PERCENT
    edge = float(np.percentile(columns, inward)) * step
    # Half a plate that is gone would drag the edge outwards: the bone's own proportion bounds it.
    if side is Compartment.MEDIAL:
        return min(edge, fallback + 6.0)
    return max(edge, fallback - 6.0)


def _spine_position(
    chart: Chart, plateau: BoolArray, inner: dict[Compartment, float]
) -> float:
    """Anterior-posterior position of the medial spine: the highest bone beside the medial plate."""
    step_m, step_a = chart.step
    middle = (inner[Compartment.MEDIAL] + inner[Compartment.LATERAL]) / 2
    low, high = int(middle / step_m), int(inner[Compartment.MEDIAL] / step_m) + 2
    ridge = np.where(plateau, chart.points[..., 2], -np.inf)[low:high].max(axis=0)
    best = np.flatnonzero(ridge >= ridge.max() - 0.5)
    return float(best.mean()) * step_a


def femur_marks(knee: Knee, chart: Chart, tibia: TibiaMarks | None) -> FemurMarks:
    """Returns the landmarks of the femur: meniscal margins, else the 60 % rule."""
    femur = knee.bone(Bone.FEMUR)
    centre = condyle_centre(knee, femur)
    radius = np.hypot(chart.points[..., 1] - centre[0], chart.points[..., 2] - centre[1])
    radius = np.where(chart.valid, radius, 0).astype(np.float32)
    notch = _notch_position(radius, chart)
    groove = _groove_position(radius, chart, notch)
    front: dict[Compartment, float] = {}
    back: dict[Compartment, float] = {}
    sources: list[str] = []
    for side in SIDES:
        margins = _meniscal_margins(knee, side, tibia)
        if margins is None:
            front[side], back[side] = _sixty_percent(chart, radius, notch, side, centre)
            sources.append("60 % rule")
        else:
            front[side] = margins[1]
            dip = centre[1] - margins[2]
            back[side] = float(np.rad2deg(np.arctan2(margins[0] - centre[0], max(dip, 1.0))))
            sources.append("meniscal margins")
    definition = sources[0] if len(set(sources)) == 1 else f"{sources[0]} / {sources[1]}"
    return FemurMarks(centre, notch, groove, front, back, definition)


def _rows(angles: tuple[float, float]) -> slice:
    degrees = femoral_angles_deg()
    low, high = np.searchsorted(degrees, angles)
    return slice(int(low), int(high))


def _notch_position(radius: FloatArray, chart: Chart) -> float:
    """Middle of the valley between the condyles, seen from below and behind."""
    step = chart.step[0]
    profile = ndimage.gaussian_filter1d(radius[:, _rows(_NOTCH_ANGLES)].mean(axis=1), 1.0 / step)
    used = np.flatnonzero(profile > 0.3 * profile.max())
    middle = (int(used[0]) + int(used[-1])) // 2
    lateral = int(used[0]) + int(np.argmax(profile[used[0] : middle]))
    medial = middle + int(np.argmax(profile[middle : used[-1] + 1]))
    valley = profile[lateral : medial + 1]
    floor = float(valley.min())
    deep = valley < floor + 0.5 * (min(profile[lateral], profile[medial]) - floor)
    lowest = int(np.argmin(valley))
    left = right = lowest
    while left > 0 and deep[left - 1]:
        left -= 1
    while right < valley.size - 1 and deep[right + 1]:
        right += 1
    return (lateral + (left + right) / 2) * step


def _groove_position(radius: FloatArray, chart: Chart, notch: float) -> float:
    """Bottom of the trochlear groove, near the notch's plane; the notch where there is none."""
    step = chart.step[0]
    profile = ndimage.gaussian_filter1d(radius[:, _rows(_GROOVE_ANGLES)].mean(axis=1), 1.5 / step)
    low = max(0, int((notch - _GROOVE_REACH_MM) / step))
    part = profile[low : int((notch + _GROOVE_REACH_MM) / step) + 1]
    lowest = int(np.argmin(part))
    if lowest in (0, part.size - 1):
        return notch
    return (low + lowest) * step


def _meniscal_margins(
    knee: Knee, side: Compartment, tibia: TibiaMarks | None
) -> tuple[float, float, float] | None:
    """(posterior end, anterior end, height of the posterior margin) of a meniscus in mm.

    Kept within the tibial plateau, so that an extruded meniscus does not move the borders. None
    without a usable meniscus: one that lost a horn no longer marks the border.
    """
    mask = knee.mask(MENISCI[side])
    if not mask.any():
        return None
    _, sa, ss = knee.spacing
    per_row = mask.sum(axis=(0, 2))
    rows = np.repeat(np.arange(per_row.size), per_row)
    low, high = np.percentile(rows, [_STRAY_PERCENT, 100 - _STRAY_PERCENT])
    back, front = (float(low) - 0.5) * sa, (float(high) + 0.5) * sa
    heights = np.flatnonzero(mask[:, int(low) : int(low) + max(1, int(3.0 / sa))].any(axis=(0, 1)))
    if tibia is not None:
        ends = tibia.ends_a[side]
        if front - back < 0.6 * (ends[1] - ends[0]):
            return None
        back, front = max(back, ends[0]), min(front, ends[1])
    return back, front, float(heights[-1]) * ss if heights.size else 0.0


def _sixty_percent(
    chart: Chart,
    radius: FloatArray,
    notch: float,
    side: Compartment,
    centre: tuple[float, float],
) -> tuple[float, float]:
    """Front border (mm) and angle of the back border by the 60 % rule.

    The front border is the front of the notch; central ends at 60 % of the way from there to the
    back of the compartment's condyle.
    """
    step = chart.step[0]
    column = int(round(notch / step))
    under = _rows((-60.0, 75.0))
    points = chart.points[max(0, column - 1) : column + 2, under]
    depth = radius[max(0, column - 1) : column + 2, under].min(axis=0)
    crest = radius[:, under].max(axis=0)
    bridged = np.flatnonzero(depth > crest - 8.0)
    row = int(bridged[0]) if bridged.size else depth.size // 2
    front = float(points[:, row, 1].mean())
    columns = np.arange(radius.shape[0]) * step
    mine = (columns > notch) if side is Compartment.MEDIAL else (columns < notch)
    behind = np.where(chart.valid & mine[:, None], chart.points[..., 1], np.inf)
    back = front - _CENTRAL_SHARE * (front - float(behind[:, _rows((-100.0, 0.0))].min()))
    surface = _rows((-100.0, 0.0))
    crest_a = centre[0] + radius[mine][:, surface].max(axis=0) * np.sin(
        np.deg2rad(femoral_angles_deg()[surface])
    )
    reached = np.flatnonzero(crest_a <= back)
    index = int(reached[-1]) if reached.size else 0
    return front, float(femoral_angles_deg()[surface][index])


def patella_ridge(chart: Chart) -> float:
    """Returns the medial-lateral mm of the median ridge: the most posterior line of the patella."""
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
    return float(used[best]) * step
