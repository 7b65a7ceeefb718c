from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from knee.anatomy import Side, Structure
from knee.errors import InputError
from knee.findings import SideCheck
from tests.real_data import CARTIMORPH_LABELS, PYMSKT, SPL, real_file
from tests.small_knee import AFFINE, block_labels, block_volume, stored_as
from tools.segmentation import LabelMap, Scheme, label_map_from_volume, load_label_map, load_scheme
from tools.side_check import check_side
from tools.volumes import make_volume

SCHEME = load_scheme("pymskt")
OTHER = {Side.RIGHT: Side.LEFT, Side.LEFT: Side.RIGHT}


def label_map(array: npt.NDArray[np.uint8], side: Side, codes: str = "RAS") -> LabelMap:
    stored, affine = stored_as(array, AFFINE, codes)
    return label_map_from_volume(
        make_volume(stored, affine, Path("map.nii"), "sha256:0"), SCHEME, side
    )


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SRP"])
@pytest.mark.parametrize("side", list(Side))
def test_the_right_declaration_is_confirmed_in_every_storage_order(side: Side, codes: str):
    assert check_side(label_map(block_labels(side), side, codes)) is SideCheck.CONFIRMED


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR"])
@pytest.mark.parametrize("side", list(Side))
def test_the_wrong_declaration_is_refused_naming_both_sides(side: Side, codes: str):
    with pytest.raises(InputError, match="declared") as caught:
        check_side(label_map(block_labels(side), OTHER[side], codes))
    assert f"declared {OTHER[side].value!r}" in caught.value.message
    assert f"anatomy shows {side.value!r}" in caught.value.message


@pytest.mark.parametrize("side", list(Side))
def test_swapped_menisci_are_refused_naming_the_pairs(side: Side):
    array = block_labels(side)
    swapped = array.copy()
    swapped[array == 9], swapped[array == 10] = 10, 9
    with pytest.raises(InputError, match="contradicts itself") as caught:
        check_side(label_map(swapped, side))
    for structure in ("lateral_meniscus", "medial_meniscus", "fibula", "medial_tibial_cartilage"):
        assert structure in caught.value.message


@pytest.mark.parametrize("kept", [(8, 6), (2, 3), (9, 10)])
def test_each_pair_alone_is_enough(kept: tuple[int, int]):
    array = block_labels(Side.LEFT)
    array[~np.isin(array, kept)] = 0
    assert check_side(label_map(array, Side.LEFT)) is SideCheck.CONFIRMED
    with pytest.raises(InputError):
        check_side(label_map(array, Side.RIGHT))


def test_nothing_to_check_against_is_unverified():
    array = block_labels(Side.LEFT)
    array[np.isin(array, (2, 3, 8, 9, 10))] = 0
    for side in Side:
        assert check_side(label_map(array, side)) is SideCheck.UNVERIFIED


def test_a_stray_voxel_tells_nothing():
    array = block_labels(Side.LEFT)
    array[np.isin(array, (2, 3, 8, 9, 10))] = 0
    array[38, 10, 5] = 8
    assert check_side(label_map(array, Side.LEFT)) is SideCheck.UNVERIFIED


def test_unsided_schemes_are_unverified():
    array = np.where(block_labels(Side.RIGHT) == 5, 1, 0).astype(np.uint8)
    array[block_labels(Side.RIGHT) == 6] = 3
    array[np.isin(block_labels(Side.RIGHT), (2, 3))] = 4
    volume = make_volume(array, AFFINE, Path("map.nii"), "sha256:0")
    unsided = label_map_from_volume(volume, load_scheme("oai-zib"), Side.LEFT)
    assert check_side(unsided) is SideCheck.UNVERIFIED


def renumbered(side: Side, numbers: dict[int, int]) -> npt.NDArray[np.uint8]:
    """The block knee with other numbers; what is not named is background."""
    table = np.zeros(11, np.uint8)
    for old, new in numbers.items():
        table[old] = new
    return table[block_labels(side)]


@pytest.mark.parametrize("side", list(Side))
def test_labels_that_change_with_the_declared_side_cannot_confirm_it(side: Side):
    # 5 always lies towards the patient's right: lateral in a right knee, medial in a left one.
    right, left = {9: 5, 10: 6}, {10: 5, 9: 6}
    numbers = {5: 1, 1: 2, 6: 3, 2: 4, 3: 4} | (right if side is Side.RIGHT else left)
    volume = make_volume(renumbered(side, numbers), AFFINE, Path("map.nii"), "sha256:0")
    scheme = load_scheme("oai-zib-menisci")
    for declared in Side:
        found = check_side(label_map_from_volume(volume, scheme, declared))
        assert found is SideCheck.UNVERIFIED


@pytest.mark.parametrize("side", list(Side))
def test_labels_that_change_with_the_side_still_contradict_a_mirrored_volume(side: Side):
    wrong_way = {9: 6, 10: 5} if side is Side.RIGHT else {10: 6, 9: 5}
    array = renumbered(side, {5: 1, 1: 2, 6: 3, 2: 4, 3: 4} | wrong_way)
    volume = make_volume(array, AFFINE, Path("map.nii"), "sha256:0")
    with pytest.raises(InputError, match="lateral_meniscus at x = "):
        check_side(label_map_from_volume(volume, load_scheme("oai-zib-menisci"), side))


@pytest.mark.parametrize("side", list(Side))
def test_a_fibula_confirms_the_side_of_an_unsided_map(side: Side):
    scheme = Scheme(
        name="u",
        source="test",
        sided=False,
        labels={1: Structure.TIBIA, 2: Structure.MENISCUS, 3: Structure.FIBULA},
    )
    array = renumbered(side, {6: 1, 9: 2, 10: 2, 8: 3})
    volume = make_volume(array, AFFINE, Path("map.nii"), "sha256:0")
    assert check_side(label_map_from_volume(volume, scheme, side)) is SideCheck.CONFIRMED
    with pytest.raises(InputError, match="fibula at x = "):
        check_side(label_map_from_volume(volume, scheme, OTHER[side]))


def test_the_check_does_not_depend_on_the_axes_it_is_given():
    stored = label_map_from_volume(block_volume(codes="PIR"), SCHEME, Side.RIGHT)
    assert check_side(stored.canonical()) is check_side(stored)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "scheme", "side"),
    [
        (PYMSKT, "pymskt", Side.RIGHT),
        (SPL, "spl-atlas", Side.LEFT),
        (CARTIMORPH_LABELS, "oaizib-cm", Side.RIGHT),
    ],
)
def test_real_knees_are_confirmed_and_refused_as_the_other_side(name: str, scheme: str, side: Side):
    real = load_label_map(real_file(name), load_scheme(scheme), side)
    assert check_side(real) is SideCheck.CONFIRMED
    declared_wrong = LabelMap(real.volume, real.scheme, OTHER[side], real.counts)
    with pytest.raises(InputError, match=f"anatomy shows {side.value!r}"):
        check_side(declared_wrong)


@pytest.mark.realdata
def test_swapped_menisci_on_the_real_right_knee_are_refused():
    real = load_label_map(real_file(PYMSKT), SCHEME, Side.RIGHT)
    table = np.arange(11, dtype=np.uint8)
    table[[9, 10]] = 10, 9
    swapped = make_volume(
        table[real.volume.array], real.volume.affine, real.volume.path, real.volume.sha256
    )
    with pytest.raises(InputError, match="contradicts itself"):
        check_side(label_map_from_volume(swapped, SCHEME, Side.RIGHT))
