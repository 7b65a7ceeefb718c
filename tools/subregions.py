"""The 15 MOAKS subregions as a function of position (RULES 13, FACTS 2.1).

`subregions.moaks@2`:
    femur    medial from lateral trochlea at the medial border of the lateral condyle, so the
             groove is medial, and so is its end between the trochlea and the notch, which is
             central; posterior condyles at the middle of the intercondylar notch. Trochlea in
             front of the anterior margin of the anterior meniscal horn (a coronal plane); posterior
             behind where the coronal plane of the posterior horn's posterior margin meets the
             condyle, at most 65 degrees behind straight down. Without menisci, or with a horn
             lost, the 60 % rule: trochlea in front of the notch, central 60 % of the way from
             there to the back of the condyle.
    tibia    plates outside their inner edges, subspinous between those. Central is the part that is
             uncovered between the meniscal horns and, peripherally, under the meniscal body:
             coronal planes through the horns' free edges over the plate's middle. A horn that
             reaches more than 3 mm beyond the plate, or beyond the bone, counts as pushed back
             there, so an extruded meniscus moves no border. Without menisci, and for a horn that
             is lost or has lost width, the border is at the third of the plate.
    patella  2 mm lateral of the crest of the median ridge, which is medial.

Meniscal margins are kept within the tibial plateau, so an extruded meniscus moves no border.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, Compartment, Subregion
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import Chart, make_chart
from tools.crop_frame import FloatArray
from tools.femoral_landmarks import FemurMarks, femur_marks
from tools.landmarks import patella_ridge
from tools.tibial_landmarks import TibiaMarks, tibia_marks

SUBREGION_DEFINITION = "subregions.moaks@2"
"""Id of the partition that the module docstring describes."""
ORDER: tuple[Subregion, ...] = tuple(Subregion)
"""Subregion of a partition index."""
NOWHERE = -1
"""Partition index of a position outside all subregions."""
_INDEX = {subregion: index for index, subregion in enumerate(ORDER)}
Labels = NDArray[np.int8]
"""Partition indices into `ORDER`, `NOWHERE` outside."""


@dataclass(frozen=True)
class Partition:
    """The borders between subregions; None for a bone that has no voxel."""

    femur: FemurMarks | None
    tibia: TibiaMarks | None
    ridge_m: float | None

    def label(
        self, bone: Bone, m: FloatArray, a: FloatArray, s: FloatArray, *, on_cartilage: bool = False
    ) -> Labels:
        """Returns the subregion of positions on one bone or its cartilage.

        Args:
            bone: the bone that the positions belong to.
            m: medial mm of the crop's frame; the three arrays broadcast.
            a: anterior mm.
            s: superior mm.
            on_cartilage: positions are on cartilage, which is never subspinous: what lies between
                the tibial plates belongs to the nearer one.

        Returns:
            Partition indices of the broadcast shape; all `NOWHERE` without the bone's landmarks.
        """
        if bone is Bone.FEMUR and self.femur is not None:
            return _label_femur(self.femur, m, a, s)
        if bone is Bone.TIBIA and self.tibia is not None:
            return _label_tibia(self.tibia, m, a, s, on_cartilage=on_cartilage)
        if bone is Bone.PATELLA and self.ridge_m is not None:
            medial = m >= self.ridge_m
            shape = np.broadcast_shapes(m.shape, a.shape, s.shape)
            chosen = np.where(
                medial, _INDEX[Subregion.PATELLA_MEDIAL], _INDEX[Subregion.PATELLA_LATERAL]
            )
            return np.broadcast_to(chosen, shape).astype(np.int8)
        shape = np.broadcast_shapes(m.shape, a.shape, s.shape)
        return np.full(shape, NOWHERE, np.int8)

    def definition(self, bone: Bone) -> str:
        """Returns which rule divides a bone, in words."""
        if bone is Bone.FEMUR and self.femur is not None:
            return self.femur.definition
        if bone is Bone.TIBIA:
            return self.tibia.definition if self.tibia is not None else "equal thirds"
        return "median ridge"


def make_partition(knee: Knee) -> tuple[Partition, dict[Bone, Chart]]:
    """Returns the borders and the charts that they were taken from.

    A bone that is missing, or cut off so far that its landmarks are not in the volume, has neither.
    """
    charts = {b: c for b in Bone if (c := make_chart(knee, b)) is not None}
    tibia = tibia_marks(knee, charts[Bone.TIBIA]) if Bone.TIBIA in charts else None
    femur = femur_marks(knee, charts[Bone.FEMUR], tibia) if Bone.FEMUR in charts else None
    ridge = patella_ridge(charts[Bone.PATELLA]) if Bone.PATELLA in charts else None
    known = {Bone.FEMUR: femur, Bone.TIBIA: tibia, Bone.PATELLA: ridge}
    whole = {bone: chart for bone, chart in charts.items() if known[bone] is not None}
    return Partition(femur, tibia, ridge), whole


def label_cartilage(partition: Partition, knee: Knee, bone: Bone, mask: BoolArray) -> Labels:
    """Returns the subregions of the voxels of a cartilage mask, in `np.nonzero(mask)`'s order.

    Every voxel gets exactly one of the articular subregions.
    """
    where = np.nonzero(mask)
    m, a, s = (
        index.astype(np.float32) * np.float32(step)
        for index, step in zip(where, knee.spacing, strict=True)
    )
    return partition.label(bone, m, a, s, on_cartilage=True)


def label_chart(partition: Partition, chart: Chart) -> Labels:
    """Returns the subregion of every ray of a chart, shape (n_u, n_v)."""
    m, a, s = (chart.points[..., axis] for axis in range(3))
    on_bone = partition.label(chart.bone, m, a, s)
    on_cartilage = partition.label(chart.bone, m, a, s, on_cartilage=True)
    labels = np.where(chart.covered, on_cartilage, on_bone)
    return np.where(chart.valid, labels, NOWHERE).astype(np.int8)


def _label_femur(marks: FemurMarks, m: FloatArray, a: FloatArray, s: FloatArray) -> Labels:
    behind_medial = m >= marks.notch_m
    in_front = m >= marks.border_m
    front = np.where(
        behind_medial, marks.front_a[Compartment.MEDIAL], marks.front_a[Compartment.LATERAL]
    )
    back = np.where(
        behind_medial, marks.back_deg[Compartment.MEDIAL], marks.back_deg[Compartment.LATERAL]
    )
    angle = np.rad2deg(np.arctan2(a - marks.centre[0], marks.centre[1] - s))
    # Above the centre and behind it the angle wraps round: that is the back of the shaft.
    posterior = angle < back
    trochlea = (a > front) & ~posterior
    medial = np.where(posterior, behind_medial, in_front)
    part = np.where(trochlea, 0, np.where(posterior, 2, 1))
    first = np.where(
        medial,
        _INDEX[Subregion.FEMUR_MEDIAL_TROCHLEA],
        _INDEX[Subregion.FEMUR_LATERAL_TROCHLEA],
    )
    return (first + part).astype(np.int8)


def _label_tibia(
    marks: TibiaMarks, m: FloatArray, a: FloatArray, s: FloatArray, *, on_cartilage: bool
) -> Labels:
    shape = np.broadcast_shapes(m.shape, a.shape, s.shape)
    inner = marks.inner_m
    if on_cartilage:
        middle = (inner[Compartment.MEDIAL] + inner[Compartment.LATERAL]) / 2
        inner = dict.fromkeys(inner, middle)
    labels = np.full(shape, _INDEX[Subregion.TIBIA_SUBSPINOUS], np.int8)
    for side, first in (
        (Compartment.LATERAL, Subregion.TIBIA_LATERAL_ANTERIOR),
        (Compartment.MEDIAL, Subregion.TIBIA_MEDIAL_ANTERIOR),
    ):
        back, front = marks.thirds_a[side]
        part = np.where(a > front, 0, np.where(a >= back, 1, 2))
        mine = m >= inner[side] if side is Compartment.MEDIAL else m <= inner[side]
        labels = np.where(mine, _INDEX[first] + part, labels)
    return np.broadcast_to(labels, shape).astype(np.int8)
