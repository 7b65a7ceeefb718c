"""Thresholds that turn the phantom's continuous extents into grades.

BML size and share, cartilage and extrusion carry the numbers of MOAKS (`moaks`). Osteophytes,
effusion and Hoffa-synovitis have none in MOAKS: those cut-offs are the phantom's own (`calibrated`)
and agreement with them is self-consistency, not accuracy (RULES 10).
"""

from bisect import bisect_left, bisect_right

BML_CUTS_PERCENT = (33.0, 66.0)
"""MOAKS: none, < 33 %, 33–66 %, > 66 % of the subregion's volume; also for % of lesion."""

CARTILAGE_CUTS_PERCENT = (10.0, 75.0)
"""MOAKS: none, < 10 %, 10–75 %, > 75 % of the subregion's surface."""

EXTRUSION_CUTS_MM = (2.0, 3.0, 5.0)
"""MOAKS, as half-open intervals [0, 2) [2, 3) [3, 5) [5, ∞)."""

OSTEOPHYTE_CUTS_MM = (1.0, 3.0, 5.0)
"""Calibrated: none, small, medium, large by protrusion, half-open."""

EFFUSION_CUTS_ML = (3.0, 7.0, 13.0)
"""Calibrated: fluid of the suprapatellar and retropatellar recess, half-open."""

HOFFA_CUTS_PERCENT = (5.0, 20.0, 45.0)
"""Calibrated: share of the fat pad with high signal, half-open."""


def grade_share(percent: float, cuts: tuple[float, float]) -> int:
    """Returns 0 for nothing, else 1 below the first cut, 2 up to the second, 3 above it.

    Example:
        >>> [grade_share(p, BML_CUTS_PERCENT) for p in (0.0, 32.9, 33.0, 66.0, 66.1)]
        [0, 1, 2, 2, 3]
    """
    if percent <= 0.0:
        return 0
    return 1 + int(percent >= cuts[0]) + int(percent > cuts[1])


def grade_extent(extent: float, cuts: tuple[float, float, float]) -> int:
    """Returns how many cuts an extent reaches; a cut's own value belongs to the higher grade.

    Example:
        >>> [grade_extent(mm, EXTRUSION_CUTS_MM) for mm in (1.9, 2.0, 4.99, 5.0)]
        [0, 1, 2, 3]
    """
    return bisect_right(cuts, extent)


def margin_to(value: float, cuts: tuple[float, ...]) -> float:
    """Returns the distance of a value to the nearest cut, in the value's unit."""
    place = bisect_left(cuts, value)
    near = cuts[max(place - 1, 0) : place + 1]
    return min(abs(value - cut) for cut in near)
