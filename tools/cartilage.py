"""Cartilage of a subregion: thickness, thinned and denuded shares.

Definitions
-----------
`cartilage.thickness@1`      mean over the covered interface of the thickness along the normal;
                             minimum is its 5th percentile.
`cartilage.full-thickness@1` share of the subregion's estimated interface (`interface.…`) that
                             carries no cartilage: of the subregion, as MOAKS has it.
`cartilage.thinned@1`        share with less than half of the reference thickness. The reference is
                             the plate's own 75th percentile, at least 70 % of the table below, so
                             that a plate thinned all over is not its own yardstick. Within 2 mm of
                             the interface's outer edge cartilage tapers and is never thinned.
`cartilage.surface-loss@1`   denuded or thinned. MOAKS counts any partial-thickness loss; masks
                             show it only against a reference, hence `calibrated`.

Table of reference thickness in mm (normal adult knees, rounded): femur 2.2, tibia 2.2, patella 2.8.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Subregion
from tools.anatomical_frame import BoolArray, FloatArray, Knee
from tools.articular_surface import Chart
from tools.bone_cartilage_interface import expected_interface
from tools.subregions import ORDER, Labels, Partition, label_chart

THICKNESS_DEFINITION = "cartilage.thickness@1"
FULL_THICKNESS_DEFINITION = "cartilage.full-thickness@1"
THINNED_DEFINITION = "cartilage.thinned@1"
SURFACE_LOSS_DEFINITION = "cartilage.surface-loss@1"
_REFERENCE_MM = {Bone.FEMUR: 2.2, Bone.TIBIA: 2.2, Bone.PATELLA: 2.8}
_LEAST_REFERENCE = 0.7
_THINNED_SHARE = 0.5
_RIM_MM = 2.0
_SMOOTHING_MM = 0.7
"""Gaussian SD on the thickness map before thinning is judged: evens out voxel steps."""
_SMALLEST_MM2 = 3.0
"""Loss smaller than this within a subregion is below what a mask can show, and is 0."""


@dataclass(frozen=True)
class Plate:
    """The cartilage side of one bone, ray by ray; arrays have the chart's shape.

    Attributes:
        chart: the rays.
        labels: subregion of each ray.
        expected: rays on which cartilage is or belongs.
        thinned: covered rays with less than half of the reference thickness.
        reference: reference thickness in mm per compartment's plate, by subregion.
    """

    chart: Chart
    labels: Labels
    expected: BoolArray
    thinned: BoolArray
    reference: dict[Subregion, float]

    def rays(self, subregion: Subregion) -> BoolArray:
        """Returns the rays of a subregion's interface."""
        return self.expected & (self.labels == ORDER.index(subregion))


@dataclass(frozen=True)
class CartilageNumbers:
    """What was measured on one subregion; shares in percent, None without an interface."""

    area: float
    full_thickness_share: float
    thinned_share: float
    mean_thickness: float | None
    min_thickness: float | None
    reference: float

    @property
    def surface_loss_share(self) -> float:
        """Denuded or thinned, in percent."""
        return self.full_thickness_share + self.thinned_share


def make_plates(knee: Knee, partition: Partition, charts: dict[Bone, Chart]) -> dict[Bone, Plate]:
    """Returns the cartilage side of every bone that has a chart."""
    plates: dict[Bone, Plate] = {}
    for bone, chart in charts.items():
        labels = label_chart(partition, chart)
        expected = expected_interface(knee, chart, partition)
        smooth = _smooth_thickness(chart)
        inner = _away_from_edge(expected, chart.step)
        thinned = np.zeros_like(expected)
        reference: dict[Subregion, float] = {}
        for group in _groups(bone):
            mine = np.isin(labels, [ORDER.index(s) for s in group])
            value = _reference(chart, mine & inner)
            reference.update(dict.fromkeys(group, value))
            thinned |= mine & inner & chart.covered & (smooth < _THINNED_SHARE * value)
        plates[bone] = Plate(chart, labels, expected, thinned, reference)
    return plates


def measure_cartilage(plate: Plate, subregion: Subregion) -> CartilageNumbers | None:
    """Returns the numbers of one subregion, None when it has no interface in the volume."""
    rays = plate.rays(subregion)
    area = plate.chart.area
    total = float(area[rays].sum())
    if total < _SMALLEST_MM2:
        return None
    covered = rays & plate.chart.covered
    bare = float(area[rays & ~covered].sum())
    thin = float(area[rays & plate.thinned].sum())
    thickness = plate.chart.thickness[covered]
    weights = area[covered]
    return CartilageNumbers(
        area=total,
        full_thickness_share=100 * bare / total if bare >= _SMALLEST_MM2 else 0.0,
        thinned_share=100 * thin / total if thin >= _SMALLEST_MM2 else 0.0,
        mean_thickness=float(np.average(thickness, weights=weights)) if thickness.size else None,
        min_thickness=float(np.percentile(thickness, 5)) if thickness.size else None,
        reference=plate.reference[subregion],
    )


def _groups(bone: Bone) -> list[list[Subregion]]:
    """Subregions that share a plate, and so a reference: tibial plates apart, else the bone."""
    mine = [s for s in Subregion if s.bone is bone and s.is_articular]
    if bone is not Bone.TIBIA:
        return [mine]
    sides = {s.compartment for s in mine}
    return [[s for s in mine if s.compartment is side] for side in sorted(sides)]


def _reference(chart: Chart, rays: BoolArray) -> float:
    table = _REFERENCE_MM[chart.bone]
    values = chart.thickness[rays & chart.covered]
    if values.size == 0:
        return table
    return max(float(np.percentile(values, 75)), _LEAST_REFERENCE * table)


def _smooth_thickness(chart: Chart) -> FloatArray:
    """Thickness averaged over neighbouring covered rays; bare rays do not count as thin."""
    sigma = (_SMOOTHING_MM / chart.step[0], _SMOOTHING_MM / chart.step[1])
    weight = ndimage.gaussian_filter(chart.covered.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(chart.thickness, sigma)
    return (total / np.maximum(weight, 1e-3)).astype(np.float32)


def _away_from_edge(expected: BoolArray, step: tuple[float, float]) -> BoolArray:
    padded = np.pad(expected, 1)
    distance = ndimage.distance_transform_edt(padded, sampling=step)
    return (distance > _RIM_MM)[1:-1, 1:-1]
