"""Ligaments and tendon: is there a gap along the course?

`ligament.gap@1`  the longest stretch of height, between the heights at which a ligament's two
                  attachments begin, in whose axial slices it has no labelled voxel. 0 where the
                  label runs through. The heights come from the bones alone, so a torn ligament
                  does not shorten its own course:

                  ACL              2 mm above the plateau to 5 mm below the condyles' centre
                  PCL              8 mm below the plateau to 10 mm below the condyles' centre
                  patellar tendon  32 mm below the plateau to the patella's lower pole

                  What lies outside the volume is left out. Intact labels of four knees (three
                  phantoms, the SPL atlas) reach 2 mm or more beyond both ends.

Weak evidence all the same: segmentations bridge tears, and a gap in a label may be the
segmenter's (RULES 8).
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Bone, Structure
from tools.derived_regions import bounds_mm
from tools.knee_parts import KneeParts
from tools.signal import NotMeasured

GAP_DEFINITION = "ligament.gap@1"
LIGAMENTS = (Structure.ACL, Structure.PCL, Structure.PATELLAR_TENDON)
"""Structures whose continuity is measured."""
_LEAST_COURSE_MM = 8.0
"""Of a shorter stretch inside the volume nothing is said."""


@dataclass(frozen=True)
class Continuity:
    """The longest gap of a ligament's label, and the stretch of its course that was looked at."""

    gap_mm: float
    course_mm: float


def continuity(parts: KneeParts, structure: Structure) -> Continuity | NotMeasured:
    """Returns the gap along a ligament's course, or why it cannot be measured."""
    if structure not in parts.knee.schemed:
        return NotMeasured(f"not_in_scheme: no label for {structure.value}")
    ends = _course(parts, structure)
    if ends is None:
        return NotMeasured("the bones that the course is taken from are not in the volume")
    step = parts.knee.spacing[2]
    lowest = -parts.knee.frame.offset[2] * step
    highest = lowest + (parts.knee.frame.canonical_shape[2] - 1) * step
    low, high = max(ends[0], lowest), min(ends[1], highest)
    if high - low < _LEAST_COURSE_MM:
        return NotMeasured("outside_field_of_view: too little of the course is in the volume")
    rows = np.arange(int(np.ceil(low / step)), int(high / step) + 1)
    return Continuity(_longest_run(~_labelled(parts, structure, rows)) * step, high - low)


def _labelled(parts: KneeParts, structure: Structure, rows: np.ndarray) -> np.ndarray:
    """Whether each axial slice holds a voxel of the structure; rows are crop indices."""
    found = parts.knee.within(structure)
    if found is None:
        return np.zeros(rows.shape, np.bool_)
    box, mask = found
    here = np.flatnonzero(mask.any(axis=(0, 1))) + box[2].start
    return np.isin(rows, here)


def _longest_run(empty: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _course(parts: KneeParts, structure: Structure) -> tuple[float, float] | None:
    """Heights in mm between which the structure runs; None without the bones."""
    tibia, femur = parts.partition.tibia, parts.partition.femur
    if tibia is None:
        return None
    level = max(tibia.level_s.values())
    if structure is Structure.PATELLAR_TENDON:
        patella = bounds_mm(parts, Bone.PATELLA)
        return None if patella is None else (level - 32.0, float(patella[0][2]))
    if femur is None:
        return None
    if structure is Structure.ACL:
        return level + 2.0, femur.centre[1] - 5.0
    return level - 8.0, femur.centre[1] - 10.0
