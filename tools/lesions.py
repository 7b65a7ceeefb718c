"""Bone wedges under the subregions, and the lesions that a label map holds in them.

`bml.wedge-15mm@1`  the subregion's bone: the voxels under its articular surface (cartilage or
                    where it belongs; for the subspinous region the spines between the plates) to a
                    depth of 15 mm, along the chart's rays: straight down in the tibia, forwards
                    in the patella, towards the condyles' centre in the femur. Lesions and cysts
                    are part of the bone. The depth is fixed, so cropping changes no share.
`bml.lesion@2`      a lesion is a face-connected component of BML and cyst labels within a wedge.
                    It counts with at least 10 mm³, and when it reaches more than 3.5 mm over a
                    border behind which there is lesion too: a lesion across a border is scored on
                    both sides, a sliver that the border happens to cut off is not.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from knee.anatomy import Bone, Structure, Subregion
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import femoral_angles_deg
from tools.cartilage import Plate
from tools.crop_frame import IntArray
from tools.subregions import NOWHERE, ORDER, Labels, Partition

WEDGE_DEFINITION = "bml.wedge-15mm@1"
LESION_DEFINITION = "bml.lesion@2"
WEDGE_DEPTH_MM = 15.0
"""Depth of a subregion's bone, measured from its articular surface."""
SMALLEST_LESION_MM3 = 10.0
"""A component with less than this in a wedge is not scored there."""
BORDER_MM = 3.5
"""A lesion that reaches less far over a subregion's border is within the border's uncertainty."""
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
    lesion_mm3: float
    cyst_mm3: float
    n_lesions: int

    @property
    def volume_share(self) -> float:
        """BML with cysts, percent of the wedge."""
        return 100 * self.lesion_mm3 / self.wedge_mm3

    @property
    def bml_share_of_lesion(self) -> float:
        """BML rather than cyst, percent of the lesion.

        0 without a lesion, and when less than the smallest lesion is left beside the cyst.
        """
        bml = self.lesion_mm3 - self.cyst_mm3
        return 100 * bml / self.lesion_mm3 if bml >= SMALLEST_LESION_MM3 else 0.0


def cut_wedges(
    knee: Knee, plate: Plate, partition: Partition, depth_mm: float = WEDGE_DEPTH_MM
) -> BoneWedges:
    """Returns the wedges of one bone to a depth below its articular surface."""
    rays = _wedge_rays(plate, partition)
    if plate.chart.bone is Bone.FEMUR and partition.femur is not None:
        where, labels = _under_femoral_rays(knee, plate, rays, partition.femur.centre, depth_mm)
    else:
        where, labels = _under_columns(knee, plate, rays, depth_mm)
    return BoneWedges(plate.chart.bone, where, labels)


def measure_lesions(knee: Knee, wedges: BoneWedges) -> dict[Subregion, LesionNumbers]:
    """Returns the numbers of every wedge with bone in it; zeros where no lesion is labelled."""
    index = (wedges.where[0], wedges.where[1], wedges.where[2])
    is_cyst = knee.shows(Structure.SUBCHONDRAL_CYST, index)
    is_lesion = is_cyst | knee.shows(BML_LABELS[wedges.bone], index)
    lesion = _Voxels(wedges.where[:, is_lesion], wedges.labels[is_lesion], is_cyst[is_lesion])
    numbers: dict[Subregion, LesionNumbers] = {}
    for subregion in (s for s in Subregion if s.bone is wedges.bone):
        n_wedge = wedges.n_voxels(subregion)
        if n_wedge == 0:
            continue
        parts = _scored_parts(lesion, ORDER.index(subregion), knee)
        n_cyst = sum(int(lesion.is_cyst[part].sum()) for part in parts)
        n_lesion = sum(part.size for part in parts)
        numbers[subregion] = LesionNumbers(
            wedge_mm3=n_wedge * knee.voxel_mm3,
            lesion_mm3=n_lesion * knee.voxel_mm3,
            cyst_mm3=n_cyst * knee.voxel_mm3,
            n_lesions=len(parts),
        )
    return numbers


@dataclass(frozen=True)
class _Voxels:
    """Lesion voxels of one bone's wedges: (3, n) indices, subregions, and whether each is cyst."""

    where: IntArray
    labels: Labels
    is_cyst: BoolArray


def _scored_parts(lesion: _Voxels, subregion: int, knee: Knee) -> list[IntArray]:
    """Lesions that count in a wedge, each as positions in `lesion`."""
    mine = np.flatnonzero(lesion.labels == subregion)
    if mine.size == 0:
        return []
    spacing = np.asarray(knee.spacing)
    # Voxels of other wedges that lie further from all of mine than the border's width are not
    # looked at: the tree of a large lesion takes longer to build than all that is asked of it.
    reach = np.ceil(BORDER_MM / spacing).astype(np.intp)[:, None]
    low = lesion.where[:, mine].min(axis=1, keepdims=True) - reach
    high = lesion.where[:, mine].max(axis=1, keepdims=True) + reach
    near = ((lesion.where >= low) & (lesion.where <= high)).all(axis=0)
    other = np.flatnonzero(near & (lesion.labels != subregion))
    tree = cKDTree((lesion.where[:, other] * spacing[:, None]).T) if other.size else None
    scored: list[IntArray] = []
    for part in _components(lesion.where[:, mine]):
        if part.size * knee.voxel_mm3 < SMALLEST_LESION_MM3:
            continue
        if tree is not None:
            points = (lesion.where[:, mine[part]] * spacing[:, None]).T
            away, _ = tree.query(points, distance_upper_bound=BORDER_MM)
            if not np.any(np.asarray(away) > BORDER_MM):
                continue
        scored.append(mine[part])
    return scored


def _wedge_rays(plate: Plate, partition: Partition) -> BoolArray:
    """Rays under which bone is scored: the interface, and the spines between the tibial plates."""
    rays = plate.expected & (plate.labels != NOWHERE)
    if plate.chart.bone is not Bone.TIBIA or partition.tibia is None:
        return rays
    between = plate.labels == ORDER.index(Subregion.TIBIA_SUBSPINOUS)
    a = plate.chart.points[..., 1]
    back, front = partition.tibia.spines_a
    return rays | (between & plate.chart.valid & (a >= back) & (a <= front))


def _under_columns(
    knee: Knee, plate: Plate, rays: BoolArray, depth_mm: float
) -> tuple[IntArray, Labels]:
    """Bone voxels below the tibia's surface, or in front of the patella's, ray by ray."""
    axis = 2 if plate.chart.bone is Bone.TIBIA else 1
    outward = 1.0 if axis == 2 else -1.0
    step = knee.spacing[axis]
    u, v = np.nonzero(rays)
    surface = plate.chart.points[u, v, axis] / step
    n_deep = int(depth_mm / step)
    # The voxel at depth d has its centre d + 0.5 voxels below the surface.
    inward = np.arange(n_deep + 1)
    along = np.rint(surface[:, None] - outward * (inward + 0.5)).astype(np.intp)
    deep = (inward + 0.5) * step <= depth_mm
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
    knee: Knee, plate: Plate, rays: BoolArray, centre: tuple[float, float], depth_mm: float
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
    keep = rays[:, ray] & (depth >= -max(sa, ss)) & (depth <= depth_mm) & femur[:, ja, js]
    m, pixel = np.nonzero(keep)
    return np.asarray([m, ja[pixel], js[pixel]]), plate.labels[m, ray[pixel]]


def _components(where: IntArray) -> list[IntArray]:
    """Face-connected components of (3, n) voxel indices, each as positions among the n."""
    low = where.min(axis=1)
    box = np.zeros(where.max(axis=1) - low + 1, np.bool_)
    index = tuple(where - low[:, None])
    box[index] = True
    labels, n_parts = ndimage.label(box)
    part_of = labels[index]
    return [np.flatnonzero(part_of == part) for part in range(1, n_parts + 1)]
