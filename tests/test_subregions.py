import numpy as np
import pytest

from knee.anatomy import Bone, Compartment, Side, Structure, Subregion
from tests.phantom_maps import as_label_map, phantom_map
from tests.plateau_knee import Plateau, block
from tools.anatomical_frame import anatomical_knee
from tools.articular_surface import CARTILAGES
from tools.crop_frame import FloatArray
from tools.femoral_landmarks import FemurMarks
from tools.subregions import ORDER, Partition, label_cartilage, make_partition

MARKS = FemurMarks(
    centre=(0.0, 0.0),
    notch_m=0.0,
    border_m=-8.0,
    front_a={Compartment.MEDIAL: 15.0, Compartment.LATERAL: 12.0},
    back_deg={Compartment.MEDIAL: -55.0, Compartment.LATERAL: -60.0},
    edge_m={Compartment.MEDIAL: 38.0, Compartment.LATERAL: -38.0},
    definition="meniscal margins",
)


def _at(m: float, a: float, s: float) -> Subregion:
    points: list[FloatArray] = [np.array([value], np.float32) for value in (m, a, s)]
    label = Partition(MARKS, None, None).label(Bone.FEMUR, points[0], points[1], points[2])
    return ORDER[int(label[0])]


@pytest.mark.parametrize(
    ("point", "subregion"),
    [
        ((20, 0, -22), Subregion.FEMUR_MEDIAL_CENTRAL),
        ((-20, 0, -22), Subregion.FEMUR_LATERAL_CENTRAL),
        ((20, 25, 5), Subregion.FEMUR_MEDIAL_TROCHLEA),
        ((-20, 25, 5), Subregion.FEMUR_LATERAL_TROCHLEA),
        ((-5, 25, 5), Subregion.FEMUR_MEDIAL_TROCHLEA),  # the groove belongs to the medial side
        ((20, -24, 0), Subregion.FEMUR_MEDIAL_POSTERIOR),
        ((-20, -20, 12), Subregion.FEMUR_LATERAL_POSTERIOR),
    ],
)
def test_positions_on_the_femur(point: tuple[float, float, float], subregion: Subregion):
    assert _at(*point) is subregion


@pytest.mark.parametrize("side", list(Side))
def test_every_cartilage_voxel_of_a_phantom_is_in_one_articular_subregion(side: Side):
    knee = anatomical_knee(phantom_map(71, side, 0.3))
    partition, charts = make_partition(knee)
    for bone in charts:
        mask = knee.mask(*CARTILAGES[bone])
        labels = label_cartilage(partition, knee, bone, mask)
        assert labels.size == mask.sum()
        found = {ORDER[int(label)] for label in np.unique(labels)}
        assert found == {s for s in Subregion if s.bone is bone and s.is_articular}


def test_medial_cartilage_is_medial():
    knee = anatomical_knee(phantom_map(71, Side.LEFT, 0.3))
    partition, _ = make_partition(knee)
    mask = knee.mask(Structure.MEDIAL_TIBIAL_CARTILAGE)
    labels = label_cartilage(partition, knee, Bone.TIBIA, mask)
    assert {ORDER[int(i)].compartment for i in np.unique(labels)} == {Compartment.MEDIAL}


def test_without_menisci_the_sixty_percent_rule_divides_the_femur():
    label_map = phantom_map(71, Side.RIGHT, 0.0)
    with_menisci = make_partition(anatomical_knee(label_map))[0].femur
    array = label_map.volume.array
    array = np.where(np.isin(array, [9, 10]), 0, array).astype(np.uint8)
    bare = as_label_map(array, label_map.volume.affine, Side.RIGHT)
    without = make_partition(anatomical_knee(bare))[0].femur
    assert with_menisci is not None
    assert without is not None
    assert with_menisci.definition == "meniscal margins"
    assert without.definition == "60 % rule"
    for side in (Compartment.MEDIAL, Compartment.LATERAL):
        assert without.front_a[side] == pytest.approx(with_menisci.front_a[side], abs=14)


def test_lost_cartilage_does_not_move_the_tibial_thirds():
    healthy = make_partition(Plateau().knee())[0].tibia
    gone = block((0, 50), (5, 40), (-1, 9))
    knee = Plateau(erase=(gone,)).knee()
    worn = make_partition(knee)[0].tibia
    assert healthy is not None
    assert worn is not None
    shift = (knee.frame.offset[1] - Plateau().knee().frame.offset[1]) * knee.spacing[1]
    for before, after in zip(
        healthy.thirds_a[Compartment.MEDIAL], worn.thirds_a[Compartment.MEDIAL], strict=True
    ):
        assert after + shift == pytest.approx(before, abs=2.5)


def test_a_bone_cut_off_by_the_field_of_view_has_no_subregions():
    label_map = phantom_map(71, Side.RIGHT, 0.0)
    half = label_map.canonical().volume
    part = np.ascontiguousarray(half.array[: half.shape[0] // 3])
    knee = anatomical_knee(as_label_map(part, half.affine, Side.RIGHT))
    partition, charts = make_partition(knee)
    assert Bone.FEMUR not in charts
    assert partition.femur is None
