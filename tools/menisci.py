"""Menisci: parts, volumes, and extrusion beyond the tibial margin.

`meniscus.thirds@1`     anterior horn, body and posterior horn lie over the anterior, central and
                        posterior third of their tibial plateau: lines that stay when a part of the
                        meniscus is gone.
`extrusion.coronal@1`   medial (lateral) edge of the meniscus beyond the tibia's, along the
                        medial-lateral axis, in the coronal slices within 1.5 mm of the medial
                        tibial spine's highest point; median of the slices.
`extrusion.sagittal@1`  front edge of the meniscus beyond the tibia's in the sagittal slices within
                        1.5 mm of the middle of the compartment; median of the slices.

The tibial margin is the edge of the bone within 8 mm below the plate's surface, with osteophytes
removed: the outline opened with a disc of 14 mm (`tools.margins`). A meniscus within
the margin is extruded by 0 mm; one without a voxel in those slices has no extrusion.
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Compartment, ExtrusionSite, MeniscusPart
from tools.anatomical_frame import BoolArray, FloatArray, Knee
from tools.landmarks import MENISCI, TibiaMarks

PART_DEFINITION = "meniscus.thirds@1"
CORONAL_DEFINITION = "extrusion.coronal@1"
SAGITTAL_DEFINITION = "extrusion.sagittal@1"
_SLAB_MM = 1.5
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


def part_rows(knee: Knee, marks: TibiaMarks, site: MeniscusPart) -> slice:
    """Returns the anterior-posterior crop indices over which a part lies."""
    side, index = part_of(site)
    back, front = (round(edge / knee.spacing[1]) for edge in marks.thirds_a[side])
    n_rows = knee.frame.shape[1]
    return (slice(front, n_rows), slice(back, front), slice(0, back))[index]


def part_mask(knee: Knee, marks: TibiaMarks, site: MeniscusPart) -> BoolArray:
    """Returns the voxels of one part."""
    mask = np.zeros(knee.frame.shape, np.bool_)
    rows = part_rows(knee, marks, site)
    mask[:, rows] = knee.mask(MENISCI[part_of(site)[0]])[:, rows]
    return mask


def measure_extrusion(knee: Knee, marks: TibiaMarks, site: ExtrusionSite) -> Extrusion:
    """Returns the extrusion at one site; `value_mm` is None when the meniscus has no voxel."""
    side = Compartment(site.value.split("_")[0])
    coronal = not site.value.endswith("anterior")
    axis = 0 if coronal else 1
    outward = 1 if not coronal or side is Compartment.MEDIAL else -1
    middle_m = (marks.inner_m[side] + marks.outer_m[side]) / 2
    along = marks.spine_a if coronal else middle_m
    step_along, step = knee.spacing[1 - axis], knee.spacing[axis]
    bone_edge = _margin(knee, marks, side, axis, outward)
    low = max(0, int(np.ceil((along - _SLAB_MM) / step_along)))
    high = min(bone_edge.size, int((along + _SLAB_MM) / step_along) + 1)
    rows = np.arange(low, high)
    edge = float(np.nanmedian(bone_edge[rows])) * step
    position = [middle_m, marks.spine_a, marks.level_s[side]]
    position[axis] = edge
    margin = (position[0], position[1], position[2])
    meniscus = knee.mask(MENISCI[side])
    if not meniscus.any():
        return Extrusion(site, None, margin, axis)
    reach = _edge(meniscus.any(axis=2), axis, outward)[rows]
    beyond = (reach - bone_edge[rows]) * outward * step
    beyond = beyond[np.isfinite(beyond)]
    value = max(0.0, float(np.median(beyond))) if beyond.size else None
    return Extrusion(site, value, margin, axis)


def _margin(
    knee: Knee, marks: TibiaMarks, side: Compartment, axis: int, outward: int
) -> FloatArray:
    """Index of the osteophyte-free tibial margin per row of its outline; NaN without bone."""
    outline = marks.outline.opened.copy()
    if axis == 1:
        middle = (marks.inner_m[Compartment.MEDIAL] + marks.inner_m[Compartment.LATERAL]) / 2
        column = round(middle / knee.spacing[0])
        other = slice(0, column) if side is Compartment.MEDIAL else slice(column, None)
        outline[other] = False
    return _edge(outline, axis, outward)


def _edge(outline: BoolArray, axis: int, outward: int) -> FloatArray:
    """Outermost index along an axis per row of a 2D outline (medial, anterior); NaN if empty."""
    n = outline.shape[axis]
    if outward > 0:
        index = n - 1 - np.argmax(np.flip(outline, axis), axis=axis)
    else:
        index = np.argmax(outline, axis=axis)
    return np.where(outline.any(axis=axis), index, np.nan).astype(np.float32)
