from dataclasses import replace

import numpy as np
import pytest

from knee.anatomy import Bone, Side, Structure, Subregion
from knee.errors import InputError
from tests.phantom_maps import as_label_map
from tests.plateau_knee import Plateau, ball
from tests.small_knee import block_volume
from tools.anatomical_frame import Presence, anatomical_knee
from tools.bone_axes import bone_axes, turned_deg
from tools.phantom.build import make_phantom
from tools.phantom.grid import SMALL_GRID
from tools.phantom.pathology import MarrowLesion, Pathology
from tools.segmentation import LabelMap, load_scheme
from tools.volumes import canonical_box_to_stored


def test_left_and_right_knees_give_one_array():
    plateau = Plateau(paint=((Structure.TIBIAL_BML, ball(20, 5, -6, 4)),))
    right, left = plateau.knee(Side.RIGHT), plateau.knee(Side.LEFT)
    assert np.array_equal(right.codes, left.codes)
    assert right.frame.flipped != left.frame.flipped


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SLA"])
def test_storage_order_changes_nothing(codes: str):
    scheme = load_scheme("pymskt")
    knee = anatomical_knee(LabelMap(block_volume(Side.RIGHT, codes), scheme, Side.RIGHT))
    plain = anatomical_knee(LabelMap(block_volume(Side.RIGHT), scheme, Side.RIGHT))
    assert np.array_equal(knee.codes, plain.codes)
    assert knee.spacing == plain.spacing


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("codes", ["RAS", "PIR"])
def test_boxes_find_their_way_back_to_the_stored_voxels(side: Side, codes: str):
    volume = block_volume(side, codes)
    knee = anatomical_knee(LabelMap(volume, load_scheme("pymskt"), side))
    where = np.argwhere(knee.mask(Structure.MEDIAL_MENISCUS))
    placed = knee.frame.to_canonical_box(where.min(axis=0), where.max(axis=0) + 1)
    assert placed is not None
    i0, i1, j0, j1, k0, k1 = canonical_box_to_stored(placed[0], volume).indices
    inside = volume.array[i0:i1, j0:j1, k0:k1]
    assert (inside == 10).sum() == (volume.array == 10).sum() == inside.size


def test_a_box_beyond_the_volume_is_cut_and_says_so():
    frame = Plateau().knee().frame
    low = -np.asarray(frame.offset) - 3
    placed = frame.to_canonical_box(low, low + 8)
    assert placed is not None
    assert placed[1]
    assert placed[0].size == (5, 5, 5)
    assert frame.to_canonical_box(low - 20, low - 10) is None


def test_a_cyst_belongs_to_the_bone_that_it_touches():
    plateau = Plateau(
        paint=(
            (Structure.PATELLA, ball(0, 0, 12, 3)),
            (Structure.SUBCHONDRAL_CYST, ball(20, 0, -6, 3)),
        )
    )
    knee = plateau.knee()
    cyst = knee.mask(Structure.SUBCHONDRAL_CYST)
    assert cyst.any()
    assert knee.bone(Bone.TIBIA)[cyst].all()
    assert not knee.bone(Bone.PATELLA)[cyst].any()


def test_unsided_cartilage_is_split_at_the_middle_of_the_tibia():
    volume = block_volume(Side.LEFT)
    array = volume.array.copy()
    array[~np.isin(array, [2, 3, 5, 6])] = 0
    renumbered = np.zeros_like(array)
    for old, new in ((5, 1), (6, 3), (2, 4), (3, 4)):
        renumbered[array == old] = new
    knee = anatomical_knee(
        LabelMap(replace(volume, array=renumbered), load_scheme("oai-zib"), Side.LEFT)
    )
    medial = np.argwhere(knee.mask(Structure.MEDIAL_TIBIAL_CARTILAGE))
    lateral = np.argwhere(knee.mask(Structure.LATERAL_TIBIAL_CARTILAGE))
    assert len(medial) == len(lateral) == (array == 2).sum()
    assert medial[:, 0].min() > lateral[:, 0].max()


def test_absent_and_not_in_scheme_are_told_apart():
    knee = Plateau().knee()
    assert knee.presence(Structure.TIBIA) is Presence.PRESENT
    assert knee.presence(Structure.MEDIAL_MENISCUS) is Presence.ABSENT
    assert knee.presence(Structure.MCL) is Presence.NOT_IN_SCHEME


def test_a_map_without_any_of_our_structures_is_refused():
    volume = block_volume()
    array = np.zeros_like(volume.array)
    array[3:6, 3:6, 3:6] = 12
    scheme = load_scheme("spl-atlas")
    with pytest.raises(InputError, match="none of the structures"):
        anatomical_knee(LabelMap(replace(volume, array=array), scheme, Side.RIGHT))


def test_large_cysts_do_not_turn_a_knee():
    lesion = MarrowLesion(share=0.85, count=1, bml_share=0.0)
    on_one_side = {s: lesion for s in Subregion if "medial" in s.value}
    turns: list[float] = []
    for pathology in (Pathology(), Pathology(bml=on_one_side)):
        drawn = make_phantom(1007, Side.LEFT, SMALL_GRID, pathology=pathology)
        knee = anatomical_knee(as_label_map(drawn.label_map, drawn.affine, Side.LEFT))
        masks = [
            knee.codes == list(Structure).index(structure) + 1
            for structure in (Structure.FEMUR, Structure.TIBIA, Structure.SUBCHONDRAL_CYST)
        ]
        axes = bone_axes(masks[0], masks[1], masks[2], knee.spacing)
        assert axes is not None
        turns.append(turned_deg(axes))
    # Without its cysts the sick knee's axes would lie 18 degrees off.
    assert turns[1] == pytest.approx(turns[0], abs=1.5)
