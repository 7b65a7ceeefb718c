import numpy as np
import pytest

from knee.anatomy import Bone, Structure, Subregion
from tests.plateau_knee import Plateau, ball, block
from tools.cartilage import make_plates
from tools.lesions import WEDGE_DEPTH_MM, BoneWedges, LesionNumbers, cut_wedges, measure_lesions
from tools.subregions import make_partition

CENTRAL = Subregion.TIBIA_MEDIAL_CENTRAL
BALL_MM3 = 4 / 3 * np.pi * 4**3


def _wedges(plateau: Plateau) -> tuple[BoneWedges, dict[Subregion, LesionNumbers]]:
    knee = plateau.knee()
    partition, charts = make_partition(knee)
    wedges = cut_wedges(knee, make_plates(knee, partition, charts)[Bone.TIBIA], partition)
    return wedges, measure_lesions(knee, wedges)


def test_a_wedge_is_the_plate_times_its_depth():
    _, numbers = _wedges(Plateau())
    medial = [n for s, n in numbers.items() if "medial" in s.value]
    total = sum(n.wedge_mm3 for n in medial)
    assert total == pytest.approx(np.pi * 13 * 20 * WEDGE_DEPTH_MM, rel=0.03)
    assert all(n.n_lesions == 0 and n.volume_share == 0 for n in numbers.values())


def test_no_bone_voxel_is_in_two_wedges():
    wedges, _ = _wedges(Plateau())
    flat = np.ravel_multi_index(tuple(wedges.where), (400, 400, 400))
    assert np.unique(flat).size == flat.size


def test_lesions_are_counted_and_add_up():
    two = (
        (Structure.TIBIAL_BML, ball(15, 0, -6, 4)),
        (Structure.TIBIAL_BML, ball(26, 0, -6, 4)),
    )
    _, numbers = _wedges(Plateau(paint=two))
    central = numbers[CENTRAL]
    assert central.n_lesions == 2
    assert central.lesion_mm3 == pytest.approx(2 * BALL_MM3, rel=0.05)
    assert central.volume_share == pytest.approx(200 * BALL_MM3 / central.wedge_mm3, rel=0.05)
    assert central.bml_share_of_lesion == 100


def test_a_cyst_counts_to_the_lesion_but_is_not_bml():
    paint = (
        (Structure.TIBIAL_BML, ball(20, 0, -6, 4)),
        (Structure.SUBCHONDRAL_CYST, block((0, 50), (-30, 30), (-6, -1.9))),
    )
    half = Plateau(paint=(paint[0], (paint[1][0], lambda m, a, s: paint[0][1](m, a, s) & (s > -6))))
    _, numbers = _wedges(half)
    assert numbers[CENTRAL].n_lesions == 1
    assert numbers[CENTRAL].bml_share_of_lesion == pytest.approx(50, abs=6)


def test_a_lesion_across_a_border_is_scored_on_both_sides_and_a_sliver_on_one():
    across = Plateau(paint=((Structure.TIBIAL_BML, ball(20, 6.5, -6, 4)),))
    _, numbers = _wedges(across)
    assert numbers[CENTRAL].n_lesions == numbers[Subregion.TIBIA_MEDIAL_ANTERIOR].n_lesions == 1
    sliver = Plateau(paint=((Structure.TIBIAL_BML, ball(20, 3.7, -6, 4)),))
    _, numbers = _wedges(sliver)
    assert numbers[CENTRAL].n_lesions == 1
    assert numbers[Subregion.TIBIA_MEDIAL_ANTERIOR].n_lesions == 0


def test_a_speck_is_no_lesion():
    _, numbers = _wedges(Plateau(paint=((Structure.TIBIAL_BML, ball(20, 0, -6, 1.1)),)))
    assert numbers[CENTRAL].n_lesions == 0
    assert numbers[CENTRAL].volume_share == 0


def test_lesions_deeper_than_the_wedge_are_outside():
    _, numbers = _wedges(Plateau(paint=((Structure.TIBIAL_BML, ball(20, 0, -22, 4)),)))
    assert numbers[CENTRAL].n_lesions == 0


def test_bone_under_the_spines_is_subspinous():
    _, numbers = _wedges(Plateau(paint=((Structure.TIBIAL_BML, ball(0, 0, -6, 4)),)))
    assert numbers[Subregion.TIBIA_SUBSPINOUS].n_lesions == 1
    assert numbers[CENTRAL].n_lesions == 0
