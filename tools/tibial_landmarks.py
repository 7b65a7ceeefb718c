"""Landmarks of the tibia: margin, plates, their parts and spines, in mm of the crop's frame."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from knee.anatomy import Compartment
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import Chart
from tools.crop_frame import IntArray
from tools.landmarks import MENISCI, PLATES, SIDES, STRAY_PERCENT, is_whole, meniscal_limits
from tools.margins import MarginCurve, OpenedOutline, smooth_margin, tibial_outline


class BorderRule(StrEnum):
    """What a border between two parts of a tibial plate rests on."""

    MENISCAL_HORN = "meniscal horns"
    EQUAL_THIRDS = "equal thirds"


_LEAST_PLATEAU_MM = (45.0, 25.0)
"""Extents across and from front to back, below which the field of view cuts the tibia off."""
_LEAST_PLATE_MM2 = 50.0
"""A plate with less cartilage than this no longer shows its edges."""
_HEALTHY_SPREAD_MM = 3.0
"""By so much healthy edges of a plate differ from the bone's proportions."""
_SPINES_AP = (0.2, 0.8)
"""The tibial spines as shares of the plateau's depth: in front and behind lie the footprints of
the cruciate ligaments, on bone that does not rise (three knees)."""
TIBIAL_PLATE_AP = {Compartment.MEDIAL: (0.03, 1.0), Compartment.LATERAL: (0.02, 0.83)}
"""Ends of a healthy plate as shares of the plateau's depth, from behind (the same three knees)."""
PLATE_GAP = 0.04
"""Gap between a plate's outer edge and the bone's, as a share of the tibia's width."""
_INNER_EDGES = {Compartment.MEDIAL: 0.62, Compartment.LATERAL: 0.44}
"""Inner plate edges as shares of the tibia's width, lateral to medial, where a plate is denuded:
means of the CartiMorph template, the pymskt knee and the SPL knee."""
_LEAST_BETWEEN_MM = 3.0
"""Between the inner edges of the plates lie the spines; on three real knees 11 to 18 mm."""
_MIDDLE_COLUMNS = (0.35, 0.60)
"""Shares of the way from a plate's inner to the bone's outer edge: there both horns cross, and the
plate between them is uncovered (pymskt's knee, the SPL knee)."""
_HORN_SHARES = (0.19, 0.45)
"""Widths of a whole horn as shares of its plate's depth; on the two knees 0.20 to 0.39, and one of
0.12. A narrower horn has lost substance, a wider one is not where a horn lies."""
_LONGEST_RUN = 0.6
"""What covers more than this share of a plate's depth at once is the body, not a horn."""
_LEAST_COLUMNS = 0.5
"""A horn that fewer of the middle columns show has no free edge to go by."""


@dataclass(frozen=True)
class TibiaMarks:
    """Where the tibia is divided.

    Attributes:
        outline: the plateau's margin seen from above, with and without osteophytes.
        margin: its osteophyte-free margin as a smooth curve, (medial, anterior) mm.
        inner_m: per compartment, inner edge of the plate; the subspinous region lies between.
        outer_m: per compartment, outer edge of the plateau's bone, without osteophytes.
        ends_a: per compartment, (posterior, anterior) end of the plateau's bone.
        plate_a: per compartment, (posterior, anterior) end of the plate.
        thirds_a: per compartment, (posterior-central, central-anterior) border: at the free edge
            of the meniscal horn, or at the third of the plate where `border_rules` says so.
        level_s: per compartment, height of the plate's bone surface.
        spine_a: anterior-posterior position of the medial tibial spine.
        spines_a: (posterior, anterior) end of the tibial spines.
        border_rules: per compartment, the rule behind either border of `thirds_a`.
    """

    outline: OpenedOutline
    margin: MarginCurve
    inner_m: dict[Compartment, float]
    outer_m: dict[Compartment, float]
    ends_a: dict[Compartment, tuple[float, float]]
    plate_a: dict[Compartment, tuple[float, float]]
    thirds_a: dict[Compartment, tuple[float, float]]
    level_s: dict[Compartment, float]
    spine_a: float
    spines_a: tuple[float, float]
    border_rules: dict[Compartment, tuple[BorderRule, BorderRule]]

    def middle_m(self, side: Compartment) -> float:
        """Returns the medial-lateral middle of a compartment's healthy plate."""
        width = self.outer_m[Compartment.MEDIAL] - self.outer_m[Compartment.LATERAL]
        gap = PLATE_GAP * width if side is Compartment.MEDIAL else -PLATE_GAP * width
        return (self.inner_m[side] + self.outer_m[side] - gap) / 2

    @property
    def definition(self) -> str:
        """Which rule divides the plates, in words."""
        rules = sorted({rule.value for pair in self.border_rules.values() for rule in pair})
        return " / ".join(rules)


def tibia_marks(knee: Knee, chart: Chart) -> TibiaMarks | None:
    """Returns the landmarks of the tibia, None when too little of its plateau is in the volume.

    A plate's ends are those of its cartilage, unless cartilage is lost there: then the ends that
    the bone's proportions give.
    """
    height = chart.points[..., 2]
    plates = {side: knee.mask(PLATES[side]).any(axis=2) & chart.valid for side in SIDES}
    outline = tibial_outline(knee, _plateau_level(chart, plates))
    plateau = outline.opened & chart.valid
    if not is_whole(plateau, chart.step, _LEAST_PLATEAU_MM):
        return None
    used = np.flatnonzero(plateau.any(axis=1)) * chart.step[0]
    edges = {Compartment.LATERAL: float(used[0]), Compartment.MEDIAL: float(used[-1])}
    width = edges[Compartment.MEDIAL] - edges[Compartment.LATERAL]
    inner: dict[Compartment, float] = {}
    ends: dict[Compartment, tuple[float, float]] = {}
    plate_ends: dict[Compartment, tuple[float, float]] = {}
    levels: dict[Compartment, float] = {}
    for side in SIDES:
        fallback = edges[Compartment.LATERAL] + _INNER_EDGES[side] * width
        inner[side] = _inner_edge(plates[side], chart.step[0], side, fallback)
        middle = round((inner[side] + edges[side]) / 2 / chart.step[0])
        rows = np.flatnonzero(plateau[middle]) * chart.step[1]
        if rows.size == 0:
            return None
        ends[side] = (float(rows[0]), float(rows[-1]))
        plate_ends[side] = _plate_ends(plates[side], chart.step[1], side, ends[side])
        levels[side] = float(np.median(height[middle][plateau[middle]]))
    if inner[Compartment.MEDIAL] - inner[Compartment.LATERAL] < _LEAST_BETWEEN_MM:
        # Half a plateau, or one without its other plate: nothing lies between the two.
        return None
    borders = {
        side: _plate_borders(knee, side, (inner[side], edges[side]), plate_ends[side], ends[side])
        for side in SIDES
    }
    back = min(low for low, _ in ends.values())
    depth = max(high for _, high in ends.values()) - back
    return TibiaMarks(
        outline=outline,
        margin=smooth_margin(outline, chart.step),
        inner_m=inner,
        outer_m=edges,
        ends_a=ends,
        plate_a=plate_ends,
        thirds_a={side: border.places for side, border in borders.items()},
        level_s=levels,
        spine_a=_spine_position(chart, plateau, inner),
        spines_a=(back + _SPINES_AP[0] * depth, back + _SPINES_AP[1] * depth),
        border_rules={side: border.rules for side, border in borders.items()},
    )


class _Borders(NamedTuple):
    """(posterior-central, central-anterior) in mm, and the rule behind each."""

    places: tuple[float, float]
    rules: tuple[BorderRule, BorderRule]


def _plate_borders(
    knee: Knee,
    side: Compartment,
    across: tuple[float, float],
    plate: tuple[float, float],
    bone: tuple[float, float],
) -> _Borders:
    """Where a plate's central part begins and ends.

    Args:
        knee: the knee.
        side: the compartment.
        across: inner edge of the plate and outer edge of the bone, mm.
        plate: (posterior, anterior) end of the plate, mm.
        bone: (posterior, anterior) end of the plateau's bone, mm.

    A border is the free edge of a horn as it lies with its outer edge no further out than a
    meniscus in place reaches: so an extruded horn moves no border. A horn that is gone, or has lost
    width, leaves the border at the third of the plate.
    """
    low, high = plate
    depth = high - low
    places = [low + depth / 3, low + 2 * depth / 3]
    rules = [BorderRule.EQUAL_THIRDS, BorderRule.EQUAL_THIRDS]
    limits = meniscal_limits(bone, plate)
    horns = _horns(knee, side, across, plate)
    for which, horn in enumerate(horns):
        if horn is None:
            continue
        outer, free = horn
        width = abs(outer - free)
        if not _HORN_SHARES[0] * depth <= width <= _HORN_SHARES[1] * depth:
            continue
        inward = width if which == 0 else -width
        places[which] = float(np.clip(outer, *limits)) + inward
        rules[which] = BorderRule.MENISCAL_HORN
    if places[0] >= places[1]:
        return _Borders(
            (low + depth / 3, low + 2 * depth / 3),
            (BorderRule.EQUAL_THIRDS, BorderRule.EQUAL_THIRDS),
        )
    return _Borders((places[0], places[1]), (rules[0], rules[1]))


def _horns(
    knee: Knee, side: Compartment, across: tuple[float, float], plate: tuple[float, float]
) -> list[tuple[float, float] | None]:
    """(outer edge, free edge) in mm of the posterior and the anterior horn over the plate's middle.

    None for a horn that is not there. A horn is what of the meniscus, seen from above, lies in its
    half of the plate without reaching through to the other half.
    """
    step_m, step_a, _ = knee.spacing
    ends = sorted(across[0] + share * (across[1] - across[0]) for share in _MIDDLE_COLUMNS)
    columns = slice(max(0, round(ends[0] / step_m)), round(ends[1] / step_m) + 1)
    seen: BoolArray = knee.mask(MENISCI[side])[columns].max(axis=2)
    middle, longest = (plate[0] + plate[1]) / 2, _LONGEST_RUN * (plate[1] - plate[0])
    edges: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for column in seen:
        starts, stops = _runs(column)
        for low, high in zip(starts * step_a, (stops - 1) * step_a, strict=True):
            if high - low < longest:
                behind = (low + high) / 2 < middle
                edges[0 if behind else 1].append((low, high) if behind else (high, low))
    found: list[tuple[float, float] | None] = []
    for horn in edges:
        enough = len(horn) >= max(1.0, _LEAST_COLUMNS * seen.shape[0])
        outer, free = np.median(np.asarray(horn), axis=0) if enough else (0.0, 0.0)
        outward = -0.5 if outer < free else 0.5
        edge = (float(outer) + outward * step_a, float(free) - outward * step_a)
        found.append(edge if enough else None)
    return found


def _runs(line: BoolArray) -> tuple[IntArray, IntArray]:
    """First indices, and last indices + 1, of the runs of True in a line."""
    change = np.diff(np.concatenate([[False], line, [False]]).astype(np.int8))
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)


def _plate_ends(
    plate: BoolArray, step: float, side: Compartment, ends: tuple[float, float]
) -> tuple[float, float]:
    """Back and front of a plate in mm, healthy or not."""
    share = TIBIAL_PLATE_AP[side]
    depth = ends[1] - ends[0]
    back, front = ends[0] + share[0] * depth, ends[0] + share[1] * depth
    if plate.sum() * step * step < _LEAST_PLATE_MM2:
        return back, front
    rows = np.repeat(np.arange(plate.shape[1]), plate.sum(axis=0))
    low, high = np.percentile(rows, [STRAY_PERCENT, 100 - STRAY_PERCENT]) * step
    tolerance = _HEALTHY_SPREAD_MM
    return min(float(low), back + tolerance), max(float(high), front - tolerance)


def _plateau_level(chart: Chart, plates: dict[Compartment, BoolArray]) -> float:
    """Median height of the bone under cartilage; of the upper half of all rays without any."""
    height = chart.points[..., 2]
    covered = plates[Compartment.MEDIAL] | plates[Compartment.LATERAL]
    if covered.any():
        return float(np.median(height[covered]))
    return float(np.percentile(height[chart.valid], 75))


def _inner_edge(plate: BoolArray, step: float, side: Compartment, fallback: float) -> float:
    """Inner edge of a plate in mm; the fallback where too little of the plate is left."""
    columns = np.repeat(np.arange(plate.shape[0]), plate.sum(axis=1))
    if columns.size * step * step < _LEAST_PLATE_MM2:
        return fallback
    inward = 100 - 2 * STRAY_PERCENT if side is Compartment.LATERAL else 2 * STRAY_PERCENT
    edge = float(np.percentile(columns, inward)) * step
    # Half a plate that is gone would drag the edge outwards: the bone's own proportion bounds it.
    if side is Compartment.MEDIAL:
        return min(edge, fallback + 2 * _HEALTHY_SPREAD_MM)
    return max(edge, fallback - 2 * _HEALTHY_SPREAD_MM)


def _spine_position(chart: Chart, plateau: BoolArray, inner: dict[Compartment, float]) -> float:
    """Anterior-posterior position of the medial spine: the highest bone beside the medial plate."""
    step_m, step_a = chart.step
    middle = (inner[Compartment.MEDIAL] + inner[Compartment.LATERAL]) / 2
    height = np.where(plateau, chart.points[..., 2], -np.inf)
    high = int(inner[Compartment.MEDIAL] / step_m) + 2
    ridge = height[int(middle / step_m) : high].max(axis=0)
    return float(np.flatnonzero(ridge >= ridge.max() - 0.5).mean()) * step_a
