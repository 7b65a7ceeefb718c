"""Landmarks of the femur: notch, condyles and the borders between its parts.

Each border says which definition gave it, because the fallbacks differ (RULES 13).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Compartment
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import Chart, condyle_centre, femoral_angles_deg
from tools.crop_frame import FloatArray
from tools.landmarks import MENISCI, SIDES, STRAY_PERCENT, is_whole, meniscal_limits
from tools.tibial_landmarks import TibiaMarks

MENISCAL_MARGINS, SIXTY_PERCENT = "meniscal margins", "60 % rule"
"""The two rules that divide the femur, the second where the first has no meniscus to go by."""
_BETWEEN = " / "
_NOTCH_ANGLES = (-70.0, -20.0)
"""Degrees behind straight down: between them the condyles stand apart."""
_CONDYLE_ANGLES = (-90.0, 60.0)
"""Degrees from straight down: the condyles and the lower trochlea."""
_LEAST_HALF_MM = 15.0
"""Bone on either side of the notch, below which one condyle is not in the volume."""
_LEAST_CONDYLES_MM = ((45.0, 50.0), (45.0, 15.0))
"""Extents across and along the arc, of the condyles and of the part behind the notch, below which
the field of view cuts the femur off."""
_WALL_ANGLES = (-15.0, 20.0)
"""Degrees from straight down: the front of the notch, where its walls are steep."""
_WALL_DROP_MM = 8.0
"""The condyle ends where its surface is this far below its crest: on its steep wall, 1 to 3 mm from
the steepest place on pymskt's and the SPL knee; at 4 mm it is still the condyle's slope."""
_STEEPEST_DEG = -65.0
"""The posterior border of the femur lies at most this far behind straight down."""
_LOST_HORN = 0.2
"""A meniscus that ends more than this share of the plateau's depth early has lost a horn."""
_CENTRAL_SHARE = 0.6
"""The 60 % rule: central ends at 60 % of the way from the notch to the posterior condyle."""


@dataclass(frozen=True)
class FemurMarks:
    """Where the femur is divided.

    Attributes:
        centre: (anterior, superior) of the condyles' centre.
        notch_m: medial-lateral middle of the intercondylar notch.
        border_m: medial border of the lateral condyle at the notch's front; the trochlear groove
            lies medial of it.
        front_a: per compartment, trochlea in front of it, central behind it.
        back_deg: per compartment, angle (0 down, positive forward) where posterior begins.
        edge_m: per compartment, outer edge of the bone, without osteophytes.
        definition: which rule gave `front_a` and `back_deg`, medial / lateral where they differ.
    """

    centre: tuple[float, float]
    notch_m: float
    border_m: float
    front_a: dict[Compartment, float]
    back_deg: dict[Compartment, float]
    edge_m: dict[Compartment, float]
    definition: str

    def definition_of(self, side: Compartment) -> str:
        """Returns the rule of one compartment."""
        rules = self.definition.split(_BETWEEN)
        return rules[0] if side is Compartment.MEDIAL else rules[-1]


def femur_marks(knee: Knee, chart: Chart, tibia: TibiaMarks | None) -> FemurMarks | None:
    """Returns the landmarks of the femur: meniscal margins, else the 60 % rule.

    None when too little of the condyles is in the volume to find the notch between them.
    """
    condyles = (chart.valid[:, _rows(part)] for part in (_CONDYLE_ANGLES, _NOTCH_ANGLES))
    if not all(
        is_whole(c, chart.step, least)
        for c, least in zip(condyles, _LEAST_CONDYLES_MM, strict=True)
    ):
        return None
    centre = condyle_centre(knee, knee.bone(Bone.FEMUR))
    radius = np.hypot(chart.points[..., 1] - centre[0], chart.points[..., 2] - centre[1])
    radius = np.where(chart.valid, radius, 0).astype(np.float32)
    notch = _notch_position(radius, chart)
    used = np.flatnonzero(chart.valid.any(axis=1)) * chart.step[0]
    if min(notch - float(used[0]), float(used[-1]) - notch) < _LEAST_HALF_MM:
        return None
    front: dict[Compartment, float] = {}
    back: dict[Compartment, float] = {}
    edges: dict[Compartment, float] = {}
    sources: list[str] = []
    across = np.arange(radius.shape[0]) * chart.step[0] - notch
    margins = _margins_of_both(knee, tibia)
    for side in SIDES:
        mine = (across >= 0) if side is Compartment.MEDIAL else (across < 0)
        edges[side] = _outer_edge(chart, mine, side)
        own = margins.get(side)
        sources.append(SIXTY_PERCENT if own is None else MENISCAL_MARGINS)
        ends = _sixty_percent(chart, radius, notch, mine) if own is None else own
        front[side] = ends[1]
        back[side] = _crossing_angle(radius[mine].max(axis=0), centre[0], ends[0])
    definition = sources[0] if len(set(sources)) == 1 else _BETWEEN.join(sources)
    border = _lateral_wall(radius, chart, notch)
    return FemurMarks(centre, notch, border, front, back, edges, definition)


def _outer_edge(chart: Chart, mine: BoolArray, side: Compartment) -> float:
    """Outer edge of one half of the bone: the median over angles, which no osteophyte moves."""
    columns = np.flatnonzero(mine)
    valid = chart.valid[columns[0] : columns[-1] + 1, _rows((-90.0, 60.0))]
    if side is Compartment.MEDIAL:
        outer = columns[0] + valid.shape[0] - 1 - np.argmax(valid[::-1], axis=0)
    else:
        outer = columns[0] + np.argmax(valid, axis=0)
    found = outer[valid.any(axis=0)]
    return float(np.median(found) if found.size else columns[0]) * chart.step[0]


def _crossing_angle(crest: FloatArray, centre_a: float, back: float) -> float:
    """Angle at which the condyle's crest crosses the coronal plane at `back`.

    Not beyond 65 degrees: there the plane runs along the surface rather than across it.
    """
    angles = femoral_angles_deg()
    part = _rows((_STEEPEST_DEG, 0.0))
    position = centre_a + crest[part] * np.sin(np.deg2rad(angles[part]))
    crossed = np.flatnonzero(position <= back)
    return float(angles[part][crossed[-1]]) if crossed.size else _STEEPEST_DEG


def _lateral_wall(radius: FloatArray, chart: Chart, notch: float) -> float:
    """Medial border of the lateral condyle, at the front of the notch."""
    step = chart.step[0]
    middle = round(notch / step)
    walls: list[int] = []
    for column in range(_rows(_WALL_ANGLES).start, _rows(_WALL_ANGLES).stop):
        profile = radius[: middle + 1, column]
        high = np.flatnonzero(profile >= profile.max() - _WALL_DROP_MM)
        walls.append(int(high[-1]))
    return float(np.median(walls)) * step


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


def _margins_of_both(
    knee: Knee, tibia: TibiaMarks | None
) -> dict[Compartment, tuple[float, float]]:
    """(posterior, anterior) meniscal margin in mm per compartment; empty without menisci.

    A horn that is lost takes its margin from the other meniscus, at the same distance from the end
    of its own plateau; without a usable one on either side there is none.
    """
    found = {side: _meniscal_margins(knee, side, tibia) for side in SIDES}
    margins: dict[Compartment, tuple[float, float]] = {}
    for side, other in (SIDES, SIDES[::-1]):
        ends: list[float] = []
        for which in (0, 1):
            own, donor = found[side][which], found[other][which]
            if own is None and donor is not None and tibia is not None:
                own = tibia.ends_a[side][which] + donor - tibia.ends_a[other][which]
            if own is not None:
                ends.append(own)
        if len(ends) == 2:
            margins[side] = (ends[0], ends[1])
    return margins


def _meniscal_margins(
    knee: Knee, side: Compartment, tibia: TibiaMarks | None
) -> tuple[float | None, float | None]:
    """(posterior, anterior) margin of a meniscus in mm, kept near the tibial plate.

    At most 3 mm beyond the plate and within the bone: an extruded meniscus moves no border. None
    for a horn that is lost: what is left of the meniscus no longer marks the border there.
    """
    per_row = knee.mask(MENISCI[side]).sum(axis=(0, 2))
    if not per_row.any():
        return None, None
    step = knee.spacing[1]
    rows = np.repeat(np.arange(per_row.size), per_row)
    low, high = np.percentile(rows, [STRAY_PERCENT, 100 - STRAY_PERCENT])
    back, front = (float(low) - 0.5) * step, (float(high) + 0.5) * step
    if tibia is None:
        return back, front
    ends = meniscal_limits(tibia.ends_a[side], tibia.plate_a[side])
    lost = _LOST_HORN * (ends[1] - ends[0])
    return (
        None if back > ends[0] + lost else max(back, ends[0]),
        None if front < ends[1] - lost else min(front, ends[1]),
    )


def _sixty_percent(
    chart: Chart, radius: FloatArray, notch: float, mine: BoolArray
) -> tuple[float, float]:
    """(posterior, anterior) border in mm by the 60 % rule.

    Trochlea ends at the front of the notch; central ends at 60 % of the way from there to the
    back of the compartment's condyle.
    """
    column = round(notch / chart.step[0])
    under = _rows((-60.0, 75.0))
    near = slice(max(0, column - 1), column + 2)
    crest = radius[:, under].max(axis=0)
    bridged = np.flatnonzero(radius[near, under].min(axis=0) > crest - 8.0)
    row = int(bridged[0]) if bridged.size else crest.size // 2
    front = float(chart.points[near, under][:, row, 1].mean())
    behind = np.where(chart.valid & mine[:, None], chart.points[..., 1], np.inf)
    back = float(behind[:, _rows((-100.0, 0.0))].min())
    return front - _CENTRAL_SHARE * (front - back), front
