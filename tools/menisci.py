"""Menisci: parts, volumes, and extrusion beyond the tibial margin.

`meniscus.parts@2`      the horns lie in front of and behind the borders of the central part of
                        their tibial plate; the body between them on the outer side of the
                        compartment's middle. On the inner side the horns curve to their roots, and
                        what lies there belongs to the nearer horn. Borders are those of the
                        subregions (`subregions.moaks@2`): equal thirds where a horn is lost.
`extrusion.coronal@1`   medial (lateral) edge of the meniscus beyond the tibia's, along the
                        medial-lateral axis, in the coronal slices within 2.5 mm of the medial
                        tibial spine's highest point; mean of the slices.
`extrusion.sagittal@1`  front edge of the meniscus beyond the tibia's in the sagittal slices within
                        2.5 mm of the middle of the compartment; mean of the slices.

The tibial margin is the edge of the bone within 8 mm below the plates' surface, with osteophytes
removed (`tools.margins.smooth_margin`). A meniscus within the margin is extruded by 0 mm; one
without a voxel in those slices has no extrusion.
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Compartment, ExtrusionSite, MeniscusPart
from tools.anatomical_frame import BoolArray, Box, Knee
from tools.crop_frame import FloatArray, IntArray
from tools.landmarks import MENISCI
from tools.tibial_landmarks import TibiaMarks

PART_DEFINITION = "meniscus.parts@2"
CORONAL_DEFINITION = "extrusion.coronal@1"
SAGITTAL_DEFINITION = "extrusion.sagittal@1"
_SLAB_MM = 2.5
"""Half the thickness of the slab of slices that extrusion is read in."""


@dataclass(frozen=True)
class Extrusion:
    """One extrusion and the margin point that it is measured from.

    Attributes:
        site: which edge of which meniscus.
        value_mm: distance beyond the margin, never negative; None without meniscus voxels there.
        margin: (medial, anterior, superior) mm of the osteophyte-free tibial margin.
        axis: array axis along which it is measured.
    """

    site: ExtrusionSite
    value_mm: float | None
    margin: tuple[float, float, float]
    axis: int


def part_of(site: MeniscusPart) -> tuple[Compartment, int]:
    """Returns the compartment of a part and its index 0 anterior, 1 body, 2 posterior."""
    side, _, part = site.value.split("_")
    return Compartment(side), ("anterior", "body", "posterior").index(part)


def part_area(knee: Knee, marks: TibiaMarks, site: MeniscusPart) -> BoolArray:
    """Returns where a part lies, seen from above: shape (medial, anterior) of the crop."""
    side, index = part_of(site)
    m = np.arange(knee.frame.shape[0])[:, None] * knee.spacing[0]
    a = np.arange(knee.frame.shape[1])[None, :] * knee.spacing[1]
    back, front = marks.thirds_a[side]
    middle = marks.middle_m(side)
    inner = (m < middle) if side is Compartment.MEDIAL else (m > middle)
    ahead = (a >= front) | (inner & (a >= (back + front) / 2))
    behind = (a < back) | (inner & (a < (back + front) / 2))
    return (ahead, ~ahead & ~behind, behind)[index]


def part_within(knee: Knee, marks: TibiaMarks, site: MeniscusPart) -> tuple[Box, BoolArray] | None:
    """Returns the bounding slices of a meniscus and the voxels of one part inside them.

    None when the map holds no voxel of that meniscus. The three parts share no voxel.
    """
    found = knee.within(MENISCI[part_of(site)[0]])
    if found is None:
        return None
    box, mask = found
    return box, mask & part_area(knee, marks, site)[box[0], box[1], None]


def part_voxels(knee: Knee, marks: TibiaMarks, site: MeniscusPart) -> int:
    """Returns how many voxels one part has."""
    found = part_within(knee, marks, site)
    return 0 if found is None else int(np.count_nonzero(found[1]))


def measure_extrusion(knee: Knee, marks: TibiaMarks, site: ExtrusionSite) -> Extrusion:
    """Returns the extrusion at one site; `value_mm` is None when the meniscus is not there."""
    side = Compartment(site.value.split("_")[0])
    axis = 1 if site.value.endswith("anterior") else 0
    outward = 1 if axis == 1 or side is Compartment.MEDIAL else -1
    middle_m = (marks.inner_m[side] + marks.outer_m[side]) / 2
    along = marks.spine_a if axis == 0 else middle_m
    rows = _rows(along, knee.spacing[1 - axis], knee.frame.shape[1 - axis])
    margin = np.asarray(
        [_margin_at(marks, axis, outward, row * knee.spacing[1 - axis]) for row in rows]
    )
    position = [middle_m, marks.spine_a, marks.level_s[side]]
    position[axis] = float(np.mean(margin))
    point = (position[0], position[1], position[2])
    seen_from_above = np.zeros(knee.frame.shape[:2], np.bool_)
    found = knee.within(MENISCI[side])
    if found is not None:
        seen_from_above[found[0][:2]] = found[1].any(axis=2)
    reach = _edge(seen_from_above, axis, outward)[rows]
    beyond = (reach * knee.spacing[axis] - margin) * outward
    beyond = beyond[np.isfinite(beyond)]
    value = max(0.0, float(beyond.mean())) if beyond.size else None
    return Extrusion(site, value, point, axis)


def _rows(along: float, step: float, size: int) -> IntArray:
    """Indices of the slices of the reference slab, at least one."""
    low = max(0, int(np.ceil((along - _SLAB_MM) / step)))
    high = min(size, int((along + _SLAB_MM) / step) + 1)
    return np.arange(low, max(high, low + 1))


def _margin_at(marks: TibiaMarks, axis: int, outward: int, along: float) -> float:
    """Where the tibial margin lies along an axis, at a position along the other one (mm)."""
    points = marks.margin.points
    ahead = (points[:, axis] - marks.margin.centre[axis]) * outward > 0
    half = points[ahead]
    order = np.argsort(half[:, 1 - axis])
    return float(np.interp(along, half[order, 1 - axis], half[order, axis]))


def _edge(outline: BoolArray, axis: int, outward: int) -> FloatArray:
    """Outermost index along an axis per row of a 2D outline (medial, anterior); NaN if empty."""
    n = outline.shape[axis]
    if outward > 0:
        index = n - 1 - np.argmax(np.flip(outline, axis), axis=axis)
    else:
        index = np.argmax(outline, axis=axis)
    return np.where(outline.any(axis=axis), index, np.nan).astype(np.float32)
