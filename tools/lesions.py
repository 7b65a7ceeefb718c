"""Bone wedges under the subregions, and the lesions that a label map holds in them.

`bml.wedge-15mm@1`  the subregion's bone: its voxels between the subregion's borders and within
                    15 mm of the bone's articular surface (cartilage or where it belongs; for the
                    subspinous region the bone between the plates). Lesions and cysts are part of
                    the bone. The depth is fixed, so cropping a volume changes no share.
`bml.lesion@1`      a lesion is a 26-connected component of BML and cyst labels. It counts in every
                    subregion in whose wedge it has at least 10 mm³, so a lesion across a border
                    is scored on both sides and a stray voxel on neither.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Compartment, Structure, Subregion
from tools.anatomical_frame import BoolArray, FloatArray, IntArray, Knee
from tools.articular_surface import to_indices
from tools.cartilage import Plate
from tools.subregions import NOWHERE, ORDER, Labels, Partition, label_voxels

WEDGE_DEFINITION = "bml.wedge-15mm@1"
LESION_DEFINITION = "bml.lesion@1"
WEDGE_DEPTH_MM = 15.0
"""Depth of a subregion's bone, measured from its articular surface."""
SMALLEST_LESION_MM3 = 10.0
"""A component with less than this in a wedge is not scored there."""
_COARSE_MM = 0.9
"""Wedges are cut on a grid no finer than this: halves and thirds of the voxels, not the lesion."""
BML_LABELS: dict[Bone, Structure] = {
    Bone.FEMUR: Structure.FEMORAL_BML,
    Bone.TIBIA: Structure.TIBIAL_BML,
    Bone.PATELLA: Structure.PATELLAR_BML,
}
"""The lesion label of each bone."""


@dataclass(frozen=True)
class BoneWedges:
    """The wedges of one bone, voxel by voxel.

    Attributes:
        bone: the bone.
        where: (3, n) crop indices of the bone voxels within the depth.
        labels: subregion of each of them.
    """

    bone: Bone
    where: IntArray
    labels: Labels

    def n_voxels(self, subregion: Subregion) -> int:
        """Returns how many voxels a wedge has."""
        return int((self.labels == ORDER.index(subregion)).sum())

    def bounds(self, subregion: Subregion) -> tuple[IntArray, IntArray] | None:
        """Returns half-open crop indices of a wedge, None when it is empty."""
        mine = self.where[:, self.labels == ORDER.index(subregion)]
        if mine.shape[1] == 0:
            return None
        return mine.min(axis=1), mine.max(axis=1) + 1


@dataclass(frozen=True)
class LesionNumbers:
    """What the lesion labels show in one wedge; volumes in mm³."""

    wedge_mm3: float
    bml_mm3: float
    cyst_mm3: float
    n_lesions: int

    @property
    def volume_share(self) -> float:
        """BML with cysts, percent of the wedge."""
        return 100 * (self.bml_mm3 + self.cyst_mm3) / self.wedge_mm3

    @property
    def bml_share_of_lesion(self) -> float:
        """BML rather than cyst, percent of the lesion; 0 without a lesion."""
        total = self.bml_mm3 + self.cyst_mm3
        return 100 * self.bml_mm3 / total if total else 0.0


def cut_wedges(knee: Knee, plate: Plate, partition: Partition) -> BoneWedges:
    """Returns the wedges of one bone."""
    mask = knee.bone(plate.chart.bone)
    near = _near_surface(knee, mask, _surface_points(plate, partition))
    where = np.asarray(np.nonzero(near))
    return BoneWedges(
        plate.chart.bone, where, label_voxels(partition, knee, plate.chart.bone, near)
    )


def measure_lesions(knee: Knee, wedges: BoneWedges) -> dict[Subregion, LesionNumbers]:
    """Returns the numbers of every wedge with bone in it; zeros where no lesion is labelled."""
    bml = knee.mask(BML_LABELS[wedges.bone])
    cyst = knee.mask(Structure.SUBCHONDRAL_CYST) & knee.bone(wedges.bone)
    components = _components(bml | cyst)
    index = tuple(wedges.where)
    part_of, is_cyst = components[index], cyst[index]
    numbers: dict[Subregion, LesionNumbers] = {}
    for subregion in (s for s in Subregion if s.bone is wedges.bone):
        mine = wedges.labels == ORDER.index(subregion)
        if not mine.any():
            continue
        sizes = np.bincount(part_of[mine])
        scored = np.flatnonzero(sizes * knee.voxel_mm3 >= SMALLEST_LESION_MM3)
        scored = scored[scored > 0]
        lesion = mine & np.isin(part_of, scored)
        numbers[subregion] = LesionNumbers(
            wedge_mm3=float(mine.sum()) * knee.voxel_mm3,
            bml_mm3=float((lesion & ~is_cyst).sum()) * knee.voxel_mm3,
            cyst_mm3=float((lesion & is_cyst).sum()) * knee.voxel_mm3,
            n_lesions=int(scored.size),
        )
    return numbers


def _surface_points(plate: Plate, partition: Partition) -> FloatArray:
    """Points (n, 3) in mm that depth is measured from: the interface, and the bone between the tibial plates."""
    rays = plate.expected & (plate.labels != NOWHERE)
    if plate.chart.bone is not Bone.TIBIA or partition.tibia is None:
        return plate.chart.points[rays]
    between = plate.labels == ORDER.index(Subregion.TIBIA_SUBSPINOUS)
    ends = partition.tibia.ends_a
    a = plate.chart.points[..., 1]
    back = min(ends[side][0] for side in (Compartment.MEDIAL, Compartment.LATERAL))
    front = max(ends[side][1] for side in (Compartment.MEDIAL, Compartment.LATERAL))
    rays = rays | (between & plate.chart.valid & (a >= back) & (a <= front))
    return plate.chart.points[rays]


def _near_surface(knee: Knee, mask: BoolArray, points: FloatArray) -> BoolArray:
    """Bone voxels within the wedge's depth of surface points (mm, shape (n, 3))."""
    near = np.zeros_like(mask)
    if points.shape[0] == 0:
        return near
    spacing = np.asarray(knee.spacing)
    reach = np.ceil(WEDGE_DEPTH_MM / spacing).astype(np.intp) + 1
    index = to_indices(points, knee)
    low = np.maximum(index.min(axis=0) - reach, 0)
    high = np.minimum(index.max(axis=0) + reach + 1, mask.shape)
    factor = np.maximum(1, np.rint(_COARSE_MM / spacing)).astype(np.intp)
    shape = -(-(high - low) // factor)
    away = np.ones(shape, np.bool_)
    away[tuple(((index - low) // factor).T)] = False
    distance = ndimage.distance_transform_edt(away, sampling=spacing * factor)
    close = distance <= WEDGE_DEPTH_MM
    for axis in range(3):
        close = np.repeat(close, factor[axis], axis=axis)
    box = tuple(slice(int(lo), int(hi)) for lo, hi in zip(low, high, strict=True))
    size = high - low
    near[box] = mask[box] & close[: size[0], : size[1], : size[2]]
    return near


def _components(lesions: BoolArray) -> IntArray:
    """26-connected components, 0 outside; labelled inside the lesions' own bounds only."""
    labels = np.zeros(lesions.shape, np.intp)
    boxes = ndimage.find_objects(lesions.view(np.int8))
    if boxes and boxes[0] is not None:
        labels[boxes[0]] = ndimage.label(lesions[boxes[0]], structure=np.ones((3, 3, 3)))[0]
    return labels
