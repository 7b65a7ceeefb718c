"""Cartilage of a subregion: thickness, thinned and denuded shares.

Definitions
-----------
`cartilage.thickness@1`      mean over the covered interface of the thickness along the normal;
                             minimum is its 5th percentile.
`cartilage.full-thickness@2` share of the subregion's estimated interface (`interface.…`) that
                             carries no cartilage: of the subregion, as MOAKS has it.
`cartilage.thinned@2`        share with less than 70 % of the thickness expected there. In a plate's
                             middle that is the reference thickness: the table below times the
                             knee's own scale (0.8 to 1.0, the 70th percentile over subregions of
                             thickness against the table), so that a plate thinned all over is not
                             its own yardstick. Healthy cartilage tapers: within 5 mm of the
                             interface's edge the expectation falls to 60 %. The last 2 mm, and
                             steep slopes such as the notch's, cannot be judged and follow the
                             nearest ray that can. Thinning counts from 4 mm² on (8 voxel faces on
                             coarse grids), with what is thinner than 75 % within 3 mm beside it.
`cartilage.surface-loss@2`   denuded or thinned. MOAKS counts any partial-thickness loss; masks
                             show it only against a reference, hence `calibrated`.
Loss across a subregion's border is scored on both sides where it reaches more than 3.5 mm over it;
loss that cartilage does not enclose counts from 2 % of a subregion on, thinning from 1 %.

Table of reference thickness in mm (normal adult knees, rounded): trochlea 2.2, other femur 1.9,
tibia 2.2, patella 2.8.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone, Subregion
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import Chart
from tools.bone_cartilage_interface import expected_interface
from tools.crop_frame import FloatArray
from tools.femoral_interface import articular_rays, without_specks
from tools.subregions import ORDER, Labels, Partition, label_chart

THICKNESS_DEFINITION = "cartilage.thickness@1"
FULL_THICKNESS_DEFINITION = "cartilage.full-thickness@2"
THINNED_DEFINITION = "cartilage.thinned@2"
SURFACE_LOSS_DEFINITION = "cartilage.surface-loss@2"
_REFERENCE_MM = {Bone.FEMUR: 1.9, Bone.TIBIA: 2.2, Bone.PATELLA: 2.8}
_TROCHLEA_MM = 2.2
_SCALE_RANGE = (0.8, 1.0)
_SCALE_PERCENTILE = 70.0
_THINNED_SHARE = 0.7
_BESIDE_SHARE, _BESIDE_MM = 0.75, 3.0
_SEED_MM2, _SEED_VOXELS = 4.0, 8.0
_TAPER_MM, _EDGE_SHARE = 5.0, 0.6
_RIM_MM = 2.0
_NOTCH_RIM_MM = 4.0
"""Around the notch the femur's surface bends away: thickness there is not judged."""
_STEEP_COSINE = 0.8
"""Rays further than 37 degrees from the surface's normal are not judged for thinning."""
_LEAST_SCALE_MM2 = 50.0
"""Subregions with less cartilage than this say nothing about the knee's scale."""
_SMOOTHING_MM = 0.8
"""Gaussian SD on the thickness map before thinning is judged: evens out voxel steps."""
_GAP_MM = 0.05
_SMALLEST_SHARE, _SMALLEST_THINNED = 2.0, 1.0
"""Percent of a subregion; less loss at a plate's edge, or thinning, is noise of the mask, and 0."""
_BORDER_MM = 3.5
"""Loss that reaches less far over a subregion's border is within the border's uncertainty."""
_SMALLEST_MM2 = 10.0
"""A subregion with less interface than this is not in the volume."""


@dataclass(frozen=True)
class Plate:
    """The cartilage side of one bone, ray by ray; arrays have the chart's shape.

    Attributes:
        chart: the rays.
        labels: subregion of each ray.
        expected: rays on which cartilage is or belongs.
        thinned: covered rays that are thinner than expected there (`cartilage.thinned@2`).
        scale: the knee's own scale of thickness against the table of references.
    """

    chart: Chart
    labels: Labels
    expected: BoolArray
    thinned: BoolArray
    scale: float

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
    labels = {bone: label_chart(partition, chart) for bone, chart in charts.items()}
    scale = _knee_scale(charts, labels)
    plates: dict[Bone, Plate] = {}
    for bone, chart in charts.items():
        expected = expected_interface(knee, chart, partition)
        chart = _without_gaps(chart, expected)
        expected = expected | chart.covered
        seed = max(_SEED_MM2, _SEED_VOXELS * _face_mm2(knee))
        thinned = _thinned(chart, labels[bone], expected, partition, (scale, seed))
        plates[bone] = Plate(chart, labels[bone], expected, thinned, scale)
    return plates


def _face_mm2(knee: Knee) -> float:
    """Area of a voxel's largest face."""
    return float(np.prod(sorted(knee.spacing)[1:]))


def _without_gaps(chart: Chart, expected: BoolArray) -> Chart:
    """Closes gaps that cartilage encloses and that are too small to be holes.

    They are steps of a layer about as thin as a voxel: next to nothing is there, but not nothing.
    """
    gaps = ndimage.binary_fill_holes(chart.covered | expected) & chart.valid & ~expected
    return replace(chart, thickness=np.where(gaps, np.float32(_GAP_MM), chart.thickness))


def reference_mm(subregion: Subregion, scale: float) -> float:
    """Returns the reference thickness of a subregion in a knee of that scale."""
    table = _REFERENCE_MM[subregion.bone]
    if subregion.value.endswith("trochlea"):
        table = _TROCHLEA_MM
    return table * scale


def measure_cartilage(plate: Plate, subregion: Subregion) -> CartilageNumbers | None:
    """Returns the numbers of one subregion, None when it has no interface in the volume."""
    rays = plate.rays(subregion)
    area = plate.chart.area
    total = float(area[rays].sum())
    if total < _SMALLEST_MM2:
        return None
    covered = rays & plate.chart.covered
    bare = _bare_percent(plate, rays, total)
    lost = _scored(plate.chart, plate.thinned | (plate.expected & ~plate.chart.covered), rays)
    thin = 100 * float(area[lost & plate.thinned].sum()) / total
    thickness = plate.chart.thickness[covered]
    weights = area[covered]
    return CartilageNumbers(
        area=total,
        full_thickness_share=bare,
        thinned_share=thin if thin >= _SMALLEST_THINNED else 0.0,
        mean_thickness=float(np.average(thickness, weights=weights)) if thickness.size else None,
        min_thickness=float(np.percentile(thickness, 5)) if thickness.size else None,
        reference=reference_mm(subregion, plate.scale),
    )


def _bare_percent(plate: Plate, rays: BoolArray, total: float) -> float:
    """Denuded share of a subregion: holes of any size, loss at the edge from 2 % on."""
    if not (rays & plate.chart.covered).any():
        # However narrow it is: without any cartilage it is no neighbour's loss that reaches over.
        return 100.0
    scored = _scored(plate.chart, plate.expected & ~plate.chart.covered, rays)
    # Zones that cartilage encloses need no estimated edge; all others rest on one.
    enclosed = scored & ndimage.binary_fill_holes(plate.chart.covered)
    at_edge = 100 * float(plate.chart.area[scored & ~enclosed].sum()) / total
    holes = 100 * float(plate.chart.area[enclosed].sum()) / total
    return holes + (at_edge if at_edge >= _SMALLEST_SHARE else 0.0)


def _scored(chart: Chart, lost: BoolArray, rays: BoolArray) -> BoolArray:
    """Lost rays of a subregion, less what the border happens to cut off a neighbour's loss.

    Loss across a border is scored on both sides when it reaches more than 3.5 mm over it.
    """
    mine, others = lost & rays, lost & ~rays
    if not mine.any() or not others.any():
        return mine
    away = ndimage.distance_transform_edt(~others, sampling=chart.step)
    labels, n_parts = ndimage.label(mine, structure=np.ones((3, 3)))
    deepest = np.atleast_1d(ndimage.maximum(away, labels, np.arange(1, n_parts + 1)))
    scored = np.concatenate([[False], deepest > _BORDER_MM])
    return mine & scored[labels]


def _judgeable(chart: Chart, partition: Partition) -> BoolArray:
    """Rays whose thickness can be judged: not steep ones, nor the femur's notch."""
    rays = chart.valid & (chart.cosine > _STEEP_COSINE)
    if chart.bone is not Bone.FEMUR or partition.femur is None:
        return rays
    notch = ~articular_rays(chart, partition.femur)
    away = ndimage.distance_transform_edt(~notch, sampling=chart.step)
    return rays & (away > _NOTCH_RIM_MM)


def _knee_scale(charts: dict[Bone, Chart], labels: dict[Bone, Labels]) -> float:
    """How thick this knee's cartilage is against the table, from its better subregions."""
    ratios: list[float] = []
    for subregion in (s for s in Subregion if s.is_articular and s.bone in charts):
        chart = charts[subregion.bone]
        rays = chart.covered & (labels[subregion.bone] == ORDER.index(subregion))
        if float(chart.area[rays].sum()) >= _LEAST_SCALE_MM2:
            thick = float(np.percentile(chart.thickness[rays], 75))
            ratios.append(thick / reference_mm(subregion, 1.0))
    if not ratios:
        return 1.0
    return float(np.clip(np.percentile(ratios, _SCALE_PERCENTILE), *_SCALE_RANGE))


def _thinned(
    chart: Chart,
    labels: Labels,
    expected: BoolArray,
    partition: Partition,
    scale_and_seed: tuple[float, float],
) -> BoolArray:
    """Covered rays that are thinner than what is expected there."""
    scale, seed_mm2 = scale_and_seed
    depth = _distance_from_edge(expected, chart.step)
    inwards = np.clip((depth - _RIM_MM) / (_TAPER_MM - _RIM_MM), 0, 1)
    wanted = np.asarray([reference_mm(s, scale) for s in ORDER], np.float32)[labels]
    wanted = wanted * (_EDGE_SHARE + (1 - _EDGE_SHARE) * inwards)
    judged = (depth > _RIM_MM) & chart.covered & _judgeable(chart, partition)
    relative = _smooth_thickness(chart) / np.maximum(wanted, 1e-3)
    thin = without_specks(judged & (relative < _THINNED_SHARE), chart.step, seed_mm2)
    away = ndimage.distance_transform_edt(~thin, sampling=chart.step)
    thin |= judged & (relative < _BESIDE_SHARE) & (away <= _BESIDE_MM)
    return _extended(thin, judged, chart) & chart.covered & expected


def _smooth_thickness(chart: Chart) -> FloatArray:
    """Thickness averaged over neighbouring covered rays; bare rays do not count as thin."""
    sigma = (_SMOOTHING_MM / chart.step[0], _SMOOTHING_MM / chart.step[1])
    weight = ndimage.gaussian_filter(chart.covered.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(chart.thickness, sigma)
    return (total / np.maximum(weight, 1e-3)).astype(np.float32)


def _distance_from_edge(expected: BoolArray, step: tuple[float, float]) -> FloatArray:
    distance = ndimage.distance_transform_edt(np.pad(expected, 1), sampling=step)
    return distance[1:-1, 1:-1].astype(np.float32)


def _extended(thinned: BoolArray, judged: BoolArray, chart: Chart) -> BoolArray:
    """Gives every ray that cannot be judged the state of the nearest one that can."""
    if not judged.any():
        return thinned
    nearest = ndimage.distance_transform_edt(
        ~judged, sampling=chart.step, return_distances=False, return_indices=True
    )
    return thinned[nearest[0], nearest[1]]
