"""Is the declared side (right or left) the one that the anatomy shows?

In RAS mm the lateral side of a right knee is at larger x, that of a left knee at smaller x. Three
pairs tell: the fibula lies lateral of the tibia, and the lateral of two tibial cartilages and of
two menisci lies lateral. Pairs that imply different sides mean swapped labels; pairs that agree
on the other side mean a wrong declaration or a mirrored affine. Either is an error, and so is an
image whose DICOM header names the other knee.

Labels that got their side from the declaration (an unsided label that was split, a number that
means another structure in a left knee) may contradict it, but cannot confirm it.
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Side, Structure, medial_sign
from knee.errors import InputError
from knee.findings import SideCheck
from tools.bounds import label_boxes
from tools.segmentation import LabelMap
from tools.volumes import Volume

_PAIRS = (
    (Structure.FIBULA, Structure.TIBIA),
    (Structure.LATERAL_TIBIAL_CARTILAGE, Structure.MEDIAL_TIBIAL_CARTILAGE),
    (Structure.LATERAL_MENISCUS, Structure.MEDIAL_MENISCUS),
)
"""(lateral structure, the structure it is lateral of)."""
_MIN_VOXELS = 20
"""Below this many voxels a structure may be a stray blob and tells nothing."""
_MIN_APART_MM = 8.0
"""Centres closer than this in x tell nothing; on two real knees the pairs are 28 to 48 mm apart."""


@dataclass(frozen=True, slots=True)
class _Witness:
    """One pair and the side that it implies."""

    lateral: Structure
    other: Structure
    lateral_x: float
    other_x: float

    @property
    def side(self) -> Side:
        points_right = self.lateral_x > self.other_x
        return next(s for s in Side if (medial_sign(s) < 0) == points_right)

    def __str__(self) -> str:
        return (
            f"{self.lateral.value} at x = {self.lateral_x:.1f} mm against {self.other.value} at "
            f"x = {self.other_x:.1f} mm says {self.side.value!r}"
        )


def check_side(label_map: LabelMap) -> SideCheck:
    """Returns whether the anatomy confirms the declared side.

    Returns:
        `CONFIRMED` when every pair that is there agrees with the declaration, `UNVERIFIED` when
        no pair is there whose labels are independent of it.

    Raises:
        InputError: a pair contradicts the declaration, or two pairs contradict each other.
    """
    centres = _centres_x(label_map)
    witnesses = [
        _Witness(lateral, other, centres[lateral], centres[other])
        for lateral, other in _PAIRS
        if lateral in centres
        and other in centres
        and abs(centres[lateral] - centres[other]) >= _MIN_APART_MM
    ]
    if not witnesses:
        return SideCheck.UNVERIFIED
    shown = "; ".join(str(witness) for witness in witnesses)
    path = str(label_map.volume.path)
    if len({witness.side for witness in witnesses}) > 1:
        raise InputError(
            f"label map {path!r} (declared {label_map.side.value!r}) contradicts itself: {shown}",
            "medial and lateral labels are swapped in one of these pairs; some copies of the "
            f"scheme {label_map.scheme.name!r} may number them the other way round",
        )
    if witnesses[0].side is not label_map.side:
        raise InputError(
            f"label map {path!r} is declared {label_map.side.value!r}, but the anatomy shows "
            f"{witnesses[0].side.value!r}: {shown}",
            "correct the side in the manifest, or the affine if the volume was mirrored",
        )
    declared = label_map.scheme.sided_by_declaration
    independent = [w for w in witnesses if w.lateral not in declared and w.other not in declared]
    return SideCheck.CONFIRMED if independent else SideCheck.UNVERIFIED


def check_named_side(image: Volume, side: Side) -> None:
    """Refuses an image whose own header names the other knee.

    A header is a declaration too and confirms nothing; it can only contradict.

    Args:
        image: its `named_side` may be None.
        side: the declared side.

    Raises:
        InputError: the two differ.
    """
    named = image.named_side
    if named is not None and named is not side:
        raise InputError(
            f"image {str(image.path)!r} is declared {side.value!r}, but its DICOM Laterality says "
            f"{named.value!r}",
            "correct the side in the manifest, or the tag if it is the tag that is wrong",
        )


def _centres_x(label_map: LabelMap) -> dict[Structure, float]:
    """World x of the centre of every structure of the pairs that has enough voxels."""
    array, affine = label_map.volume.array, label_map.volume.affine
    wanted = {structure for pair in _PAIRS for structure in pair}
    boxes = label_boxes(array, max(label_map.counts, default=0))
    centres: dict[Structure, float] = {}
    for structure in wanted:
        n_voxels = label_map.n_voxels(structure)
        if n_voxels < _MIN_VOXELS:
            continue
        total = np.zeros(3)
        for number in label_map.scheme.numbers(structure):
            box = boxes[number - 1] if number <= len(boxes) else None
            if box is None:
                continue
            inside = array[box] == number
            for axis in range(3):
                along = np.count_nonzero(inside, axis=tuple(a for a in range(3) if a != axis))
                total[axis] += float(along @ (np.arange(along.size) + box[axis].start))
        centres[structure] = float(affine[0, :3] @ (total / n_voxels) + affine[0, 3])
    return centres
