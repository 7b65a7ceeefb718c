"""Bone wedges under the subregions, and the lesions that a label map holds in them.

`bml.wedge-15mm@1`  the subregion's bone: the voxels under its articular surface (cartilage or
                    where it belongs; for the subspinous region the bone between the plates) to a
                    depth of 15 mm, along the chart's rays: straight down in the tibia, forwards
                    in the patella, towards the condyles' centre in the femur. Lesions and cysts
                    are part of the bone. The depth is fixed, so cropping changes no share.
`bml.lesion@1`      a lesion is a 26-connected component of BML and cyst labels. It counts in every
                    subregion in whose wedge it has at least 10 mm³, so a lesion across a border
                    is scored on both sides and a stray voxel on neither.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Compartment, Structure, Subregion
from tools.anatomical_frame import BoolArray, IntArray, Knee
from tools.articular_surface import femoral_angles_deg
from tools.cartilage import Plate
from tools.subregions import NOWHERE, ORDER, Labels, Partition

WEDGE_DEFINITION = "bml.wedge-15mm@1"
LESION_DEFINITION = "bml.lesion@1"
WEDGE_DEPTH_MM = 15.0
"""Depth of a subregion's bone, measured from its articular surface."""
SMALLEST_LESION_MM3 = 10.0
"""A component with less than this in a wedge is not scored there."""
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
    rays = _wedge_rays(plate, partition)
    if plate.chart.bone is Bone.FEMUR and partition.femur is not None:
        where, labels = _under_femoral_rays(knee, plate, rays, partition.femur.centre)
    else:
        where, labels = _under_columns(knee, plate, rays)
    return BoneWedges(plate.chart.bone, where, labels)


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


def _wedge_rays(plate: Plate, partition: Partition) -> BoolArray:
    """Rays under which bone is scored: the interface, and the bone between the tibial plates."""
    rays = plate.expected & (plate.labels != NOWHERE)
    if plate.chart.bone is not Bone.TIBIA or partition.tibia is None:
        return rays
    between = plate.labels == ORDER.index(Subregion.TIBIA_SUBSPINOUS)
    ends = partition.tibia.ends_a
    a = plate.chart.points[..., 1]
    back = min(ends[side][0] for side in (Compartment.MEDIAL, Compartment.LATERAL))
    front = max(ends[side][1] for side in (Compartment.MEDIAL, Compartment.LATERAL))
    return rays | (between & plate.chart.valid & (a >= back) & (a <= front))


def _under_columns(knee: Knee, plate: Plate, rays: BoolArray) -> tuple[IntArray, Labels]:
    """Bone voxels below the tibia's surface, or in front of the patella's, ray by ray."""
    axis = 2 if plate.chart.bone is Bone.TIBIA else 1
    outward = 1.0 if axis == 2 else -1.0
    step = knee.spacing[axis]
    u, v = np.nonzero(rays)
    surface = plate.chart.points[u, v, axis] / step
    n_deep = int(WEDGE_DEPTH_MM / step)
    # The voxel at depth d has its centre d + 0.5 voxels below the surface.
    inward = np.arange(n_deep + 1)
    along = np.rint(surface[:, None] - outward * (inward + 0.5)).astype(np.intp)
    deep = (inward + 0.5) * step <= WEDGE_DEPTH_MM
    along, inside = _clipped(along, knee.frame.shape[axis])
    columns = [np.broadcast_to(u[:, None], along.shape), np.broadcast_to(v[:, None], along.shape)]
    columns.insert(axis, along)
    index = (columns[0], columns[1], columns[2])
    keep = inside & deep[None, :] & knee.bone(plate.chart.bone)[index]
    labels = np.broadcast_to(plate.labels[u, v][:, None], along.shape)[keep]
    return np.asarray([column[keep] for column in index]), labels


def _clipped(index: IntArray, size: int) -> tuple[IntArray, BoolArray]:
    return np.clip(index, 0, size - 1), (index >= 0) & (index < size)


def _under_femoral_rays(
    knee: Knee, plate: Plate, rays: BoolArray, centre: tuple[float, float]
) -> tuple[IntArray, Labels]:
    """Femoral bone voxels whose ray from the condyles' centre leaves through the surface."""
    femur = knee.bone(Bone.FEMUR)
    chart = plate.chart
    _, sa, ss = knee.spacing
    a = (np.arange(femur.shape[1]) * sa - centre[0])[:, None]
    s = (np.arange(femur.shape[2]) * ss - centre[1])[None, :]
    radius = np.hypot(a, s)
    angles = femoral_angles_deg()
    step = float(angles[1] - angles[0])
    column = np.rint((np.rad2deg(np.arctan2(a, -s)) - angles[0]) / step).astype(np.intp)
    surface = np.hypot(chart.points[..., 1] - centre[0], chart.points[..., 2] - centre[1])
    reach = float(surface[rays].max()) if rays.any() else 0.0
    candidate = (column >= 0) & (column < angles.size) & (radius <= reach)
    ja, js = np.nonzero(candidate)
    ray = column[ja, js]
    depth = surface[:, ray] - radius[ja, js][None, :].astype(np.float32)
    keep = rays[:, ray] & (depth >= -max(sa, ss)) & (depth <= WEDGE_DEPTH_MM) & femur[:, ja, js]
    m, pixel = np.nonzero(keep)
    return np.asarray([m, ja[pixel], js[pixel]]), plate.labels[m, ray[pixel]]


def _components(lesions: BoolArray) -> IntArray:
    """26-connected components, 0 outside; labelled inside the lesions' own bounds only."""
    labels = np.zeros(lesions.shape, np.intp)
    boxes = ndimage.find_objects(lesions.view(np.int8))
    if boxes and boxes[0] is not None:
        labels[boxes[0]] = ndimage.label(lesions[boxes[0]], structure=np.ones((3, 3, 3)))[0]
    return labels
