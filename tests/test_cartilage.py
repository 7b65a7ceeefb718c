from dataclasses import replace

import numpy as np
import pytest

from knee.anatomy import Bone, Compartment, Structure, Subregion
from knee.findings import MeasurementName
from knee.questions import QUESTIONS
from tests.plateau_knee import THICKNESS, Plateau, block, post
from tools.articular_surface import make_chart
from tools.cartilage import CartilageNumbers, make_plates, measure_cartilage
from tools.knee_parts import measure_parts
from tools.measurements import measure
from tools.subregions import label_cartilage, make_partition

MEDIAL = (
    Subregion.TIBIA_MEDIAL_ANTERIOR,
    Subregion.TIBIA_MEDIAL_CENTRAL,
    Subregion.TIBIA_MEDIAL_POSTERIOR,
)
PLATE_MM2 = np.pi * 13 * 20
"""Area of the medial plate."""


def _measured(plateau: Plateau) -> dict[Subregion, CartilageNumbers]:
    knee = plateau.knee()
    partition, charts = make_partition(knee)
    plate = make_plates(knee, partition, charts)[Bone.TIBIA]
    numbers = {s: measure_cartilage(plate, s) for s in Subregion if s.bone is Bone.TIBIA}
    return {s: n for s, n in numbers.items() if n is not None}


def test_a_healthy_plate_has_its_thickness_area_and_no_loss():
    numbers = _measured(Plateau())
    assert sum(numbers[s].area for s in MEDIAL) == pytest.approx(PLATE_MM2, rel=0.02)
    for subregion in MEDIAL:
        assert numbers[subregion].mean_thickness == pytest.approx(THICKNESS, abs=0.1)
        assert numbers[subregion].full_thickness_share == 0
        assert numbers[subregion].surface_loss_share == 0


@pytest.mark.parametrize("radius", [3.0, 4.5, 6.0])
def test_a_hole_is_denuded_to_its_share_of_the_subregion(radius: float):
    numbers = _measured(Plateau(erase=(post(20, 0, radius),)))
    central = numbers[Subregion.TIBIA_MEDIAL_CENTRAL]
    expected = 100 * np.pi * radius**2 / central.area
    assert central.full_thickness_share == pytest.approx(expected, abs=2.0)
    assert numbers[Subregion.TIBIA_MEDIAL_POSTERIOR].full_thickness_share == 0


def test_a_plate_without_a_voxel_is_wholly_denuded():
    gone = block((0, 50), (-40, 40), (-1, 9))
    healthy, denuded = _measured(Plateau()), _measured(Plateau(erase=(gone,)))
    for subregion in MEDIAL:
        assert denuded[subregion].full_thickness_share == 100
        assert denuded[subregion].mean_thickness is None
        assert denuded[subregion].area > 0.5 * healthy[subregion].area
    assert denuded[Subregion.TIBIA_LATERAL_CENTRAL].full_thickness_share == 0


def test_a_denuded_end_of_a_plate_is_found():
    numbers = _measured(Plateau(erase=(block((0, 50), (7, 40), (-1, 9)),)))
    assert numbers[Subregion.TIBIA_MEDIAL_ANTERIOR].full_thickness_share > 75
    assert numbers[Subregion.TIBIA_MEDIAL_CENTRAL].full_thickness_share < 10


def test_cartilage_worn_to_half_its_thickness_is_thinned_not_denuded():
    worn = block((10, 30), (-6, 6), (THICKNESS / 2, 9))
    central = _measured(Plateau(erase=(worn,)))[Subregion.TIBIA_MEDIAL_CENTRAL]
    assert central.thinned_share > 60
    assert central.full_thickness_share == 0
    assert central.surface_loss_share == central.thinned_share


def test_thickness_is_measured_along_the_normal():
    knee = Plateau().knee()
    chart = make_chart(knee, Bone.TIBIA)
    assert chart is not None
    # The same plate on a slope of 30 degrees: 2 mm along the ray are 1.73 mm along the normal.
    a = np.arange(knee.frame.shape[1]) * knee.spacing[1]
    shift = np.rint(np.tan(np.deg2rad(30)) * (a - a.mean()) / knee.spacing[2]).astype(int)
    tilted = np.zeros_like(knee.codes)
    for row, by in enumerate(shift):
        tilted[:, row] = np.roll(knee.codes[:, row], int(by), axis=1)
    slope = make_chart(replace(knee, codes=tilted, _bones={}, _boxes={}), Bone.TIBIA)
    assert slope is not None
    inner = chart.covered & slope.covered
    middle = np.median(slope.thickness[inner])
    assert middle == pytest.approx(THICKNESS * np.cos(np.deg2rad(30)), abs=0.1)
    assert np.median(slope.area[inner]) == pytest.approx(
        np.median(chart.area[inner]) / np.cos(np.deg2rad(30)), rel=0.07
    )


def test_every_cartilage_voxel_is_in_exactly_one_subregion_of_its_side():
    knee = Plateau().knee()
    partition, _ = make_partition(knee)
    for structure, side in (
        (Structure.MEDIAL_TIBIAL_CARTILAGE, "medial"),
        (Structure.LATERAL_TIBIAL_CARTILAGE, "lateral"),
    ):
        mask = knee.mask(structure)
        labels = label_cartilage(partition, knee, Bone.TIBIA, mask)
        names = [tuple(Subregion)[i].value for i in np.unique(labels)]
        assert labels.size == mask.sum()
        assert len(names) == 3
        assert all(f"tibia_{side}_" in name for name in names)


def test_a_small_hole_counts_and_a_pinhole_does_not():
    numbers = _measured(Plateau(erase=(post(20, 0, 1.0), post(26, 0, 0.4))))
    central = numbers[Subregion.TIBIA_MEDIAL_CENTRAL]
    assert central.full_thickness_share == pytest.approx(100 * np.pi / central.area, abs=0.6)
    pinhole = _measured(Plateau(erase=(post(26, 0, 0.4),)))
    assert pinhole[Subregion.TIBIA_MEDIAL_CENTRAL].full_thickness_share == 0


@pytest.mark.parametrize(("reach", "scored"), [(2.0, False), (6.0, True)])
def test_loss_that_hardly_crosses_a_border_is_scored_on_its_own_side(reach: float, scored: bool):
    knee = Plateau().knee()
    partition, _ = make_partition(knee)
    assert partition.tibia is not None
    back, front = partition.tibia.thirds_a[Compartment.MEDIAL]
    # In the plateau's own frame the plate runs from -20 to 20 mm: its parts are equal thirds.
    border = (front - back) / 2
    numbers = _measured(Plateau(erase=(block((14, 26), (border - reach, border + 5), (-1, 9)),)))
    assert numbers[Subregion.TIBIA_MEDIAL_ANTERIOR].full_thickness_share > 15
    assert (numbers[Subregion.TIBIA_MEDIAL_CENTRAL].full_thickness_share > 0) == scored


def test_how_far_cartilage_reached_is_less_certain_the_more_of_it_is_gone():
    gone = block((0, 50), (-40, 40), (-1, 9))
    shares: dict[bool, tuple[float, float]] = {}
    for plateau in (Plateau(), Plateau(erase=(gone,))):
        found = measure(measure_parts(plateau.label_map()), QUESTIONS[25])
        share = next(m for m in found if m.name is MeasurementName.FULL_THICKNESS_SHARE)
        assert share.sd is not None
        shares[bool(plateau.erase)] = share.value, share.sd
    assert shares[True][0] == 100
    assert shares[True][1] > 0.15 * 100
    assert shares[False][0] == 0
    assert shares[False][1] < 2
