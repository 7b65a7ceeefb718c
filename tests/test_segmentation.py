from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from knee.anatomy import Side, Structure
from knee.errors import InputError
from tests.real_data import CARTIMORPH_IMAGE, CARTIMORPH_LABELS, PYMSKT, SPL, real_file
from tests.small_knee import AFFINE, block_labels, block_volume, stored_as, write_nifti
from tools.segmentation import (
    LabelMap,
    Scheme,
    check_same_grid,
    count_labels,
    label_map_from_volume,
    load_label_map,
    load_scheme,
    scheme_names,
)
from tools.volumes import Volume, load_volume, make_volume

SIDES = 'name = "a"\nsource = "b"\nsided = true\n[labels]\n1 = "femur"\n'
PYMSKT_SCHEME = load_scheme("pymskt")


def small(array: npt.NDArray[np.generic]) -> Volume:
    return make_volume(array, AFFINE, Path("map.nii"), "sha256:0")


@pytest.mark.parametrize("name", scheme_names())
def test_every_scheme_loads_and_is_named_like_its_file(name: str):
    scheme = load_scheme(name)
    assert scheme.name == name
    assert scheme.source


def test_the_schemes_of_issue_2_are_there():
    wanted = {"oaizib-cm", "oai-zib", "pymskt", "spl-atlas", "skm-tea", "bone-lesions-9"}
    wanted |= {"oai-zib-menisci", "dosma-qdess", "masks", "phantom"}
    assert wanted <= set(scheme_names())


def test_unsided_schemes_say_so():
    assert not load_scheme("oai-zib").sided
    assert not load_scheme("bone-lesions-9").sided
    assert load_scheme("pymskt").sided


def test_unknown_scheme_lists_the_known_ones():
    with pytest.raises(InputError, match="'nonsense'") as caught:
        load_scheme("nonsense")
    assert caught.value.hint is not None
    assert "pymskt" in caught.value.hint


def test_a_users_own_file_is_a_scheme(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nsource = "me"\nsided = true\n[labels]\n7 = "femur"\n8 = "femur"'
    )
    scheme = load_scheme(str(path))
    assert scheme.labels == {7: Structure.FEMUR, 8: Structure.FEMUR}
    assert scheme.numbers(Structure.FEMUR) == (7, 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "is not TOML"),
        ('name = "a"\nsource = "b"\nsided = true\n[labels]\n1 = "kneecap"', "labels.1"),
        ('name = "a"\nsource = "b"\nsided = true\n[labels]\n0 = "femur"', "background"),
        ('name = "a"\nsource = "b"\nsided = true\n[labels]\n1 = "meniscus"', "unsided"),
        ('name = "a"\nsource = "b"\nsided = false\n[labels]\n1 = "femur"', "unsided"),
        ('name = "a"\nsource = "b"\nsided = true\n[labels]', "at least one label"),
        (
            SIDES + "[side_labels.left]\n5 = 'medial_meniscus'",
            r"side_labels: right has \[\], left \[5\]",
        ),
        (
            SIDES + "[side_labels.left]\n1 = 'acl'\n[side_labels.right]\n1 = 'pcl'",
            r"in labels and in side_labels: \[1\]",
        ),
        (SIDES + "[side_labels.both]\n5 = 'medial_meniscus'", "side_labels.both"),
        (SIDES + "[files]\nx = 'acl'", "files name structures that have no label"),
        ('name = "a"\nsource = "b"\nsided = true\nextra = 1\n[labels]\n1 = "femur"', "extra"),
    ],
)
def test_files_that_are_no_scheme_are_input_errors(tmp_path: Path, text: str, words: str):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_scheme(str(path))
    assert "bad.toml" in caught.value.message


@pytest.mark.parametrize("side", list(Side))
def test_numbers_that_change_with_the_side_are_read_for_the_declared_one(side: Side):
    # As FACTS has it: left 5 medial, 6 lateral; right 5 lateral, 6 medial.
    scheme = load_scheme("oai-zib-menisci")
    expected = {
        Side.LEFT: (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS),
        Side.RIGHT: (Structure.LATERAL_MENISCUS, Structure.MEDIAL_MENISCUS),
    }[side]
    array = np.zeros((4, 4, 4), dtype=np.uint8)
    array[0, 0, :3], array[1, 1, :2], array[2] = 5, 6, 1
    label_map = label_map_from_volume(small(array), scheme, side)
    assert label_map.n_voxels(expected[0]) == 3
    assert label_map.n_voxels(expected[1]) == 2
    assert label_map.scheme.numbers(expected[0]) == (5,)
    assert LabelMap(small(array), scheme, side).present() == label_map.present()
    assert scheme.for_side(side).for_side(side) == scheme.for_side(side)
    assert scheme.for_side(side).name == "oai-zib-menisci"


@pytest.mark.parametrize("codes", ["RAS", "PIR", "LAS"])
def test_masks_are_the_same_in_every_storage_order(codes: str):
    label_map = label_map_from_volume(block_volume(codes=codes), PYMSKT_SCHEME, Side.RIGHT)
    mask = label_map.canonical().mask(Structure.FIBULA)
    assert np.array_equal(mask, block_labels(Side.RIGHT) == 8)
    assert label_map.n_voxels(Structure.FIBULA) == mask.sum()


def test_present_absent_and_not_in_scheme_are_told_apart():
    label_map = label_map_from_volume(block_volume(), PYMSKT_SCHEME, Side.RIGHT)
    assert Structure.FEMUR in label_map.present()
    assert label_map.in_scheme(Structure.PATELLA)
    assert Structure.PATELLA not in label_map.present()
    assert not label_map.in_scheme(Structure.ACL)
    assert not label_map.mask(Structure.PATELLA).any()
    assert not label_map.mask(Structure.ACL).any()


def test_several_numbers_of_one_structure_make_one_mask():
    scheme = Scheme(
        name="x",
        source="y",
        sided=True,
        labels={1: Structure.FEMUR, 2: Structure.FEMUR, 3: Structure.TIBIA},
    )
    array = np.zeros((2, 2, 2), dtype=np.uint8)
    array[0, 0], array[1, 1] = (1, 2), (3, 3)
    label_map = label_map_from_volume(small(array), scheme, Side.LEFT)
    assert label_map.mask(Structure.FEMUR).sum() == 2
    assert label_map.n_voxels(Structure.FEMUR) == 2


def test_an_empty_label_map_is_an_input_error():
    with pytest.raises(InputError, match="is empty: all 27 voxels are background"):
        label_map_from_volume(small(np.zeros((3, 3, 3), dtype=np.uint8)), PYMSKT_SCHEME, Side.LEFT)


def test_labels_outside_the_scheme_are_named_with_their_voxel_counts():
    array = block_labels(Side.RIGHT)
    array[0, 0, :5] = 200
    array[1, 0, :3] = 77
    with pytest.raises(InputError, match=r"77 \(3 voxels\), 200 \(5 voxels\)") as caught:
        label_map_from_volume(small(array), PYMSKT_SCHEME, Side.RIGHT)
    assert "'pymskt'" in caught.value.message


def test_whole_numbers_stored_as_floats_become_integers():
    array = block_labels(Side.RIGHT).astype(np.float32)
    label_map = label_map_from_volume(small(array), PYMSKT_SCHEME, Side.RIGHT)
    assert label_map.volume.array.dtype.kind == "i"
    assert label_map.counts == count_labels(block_labels(Side.RIGHT))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.5, "not whole numbers: 1.5"),
        (float("nan"), "NaN"),
        (float("inf"), "NaN"),
        (1e9, "1000000000.0"),
        (-1.0, "-1"),
    ],
)
def test_values_that_cannot_be_labels_are_input_errors(value: float, words: str):
    array = np.ones((3, 3, 3), dtype=np.float32)
    array[0, 0, 0] = value
    with pytest.raises(InputError, match=words):
        label_map_from_volume(small(array), PYMSKT_SCHEME, Side.RIGHT)


@pytest.mark.parametrize("value", [-3, 200_000])
def test_integers_that_cannot_be_labels_are_input_errors(value: int):
    array = np.ones((3, 3, 3), dtype=np.int32)
    array[0, 0, 0] = value
    with pytest.raises(InputError, match=f"value {value}"):
        label_map_from_volume(small(array), PYMSKT_SCHEME, Side.RIGHT)


def test_counts_equal_numpys_for_every_layout():
    rng = np.random.default_rng(3)
    array = rng.integers(0, 9, (5, 6, 7)).astype(np.uint8)
    numbers, counts = np.unique(array[array > 0], return_counts=True)
    expected = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    for layout in (array, np.asfortranarray(array), array[::-1, :, ::-1], array.transpose(2, 0, 1)):
        assert count_labels(layout) == expected


@pytest.mark.parametrize("codes", ["RAS", "PIR"])
def test_the_same_grid_is_accepted_in_any_storage_order(codes: str):
    check_same_grid(block_volume(), block_volume(codes=codes))


def test_other_grids_are_refused_with_both_shapes_and_affines():
    image = block_volume()
    moved = AFFINE.copy()
    moved[0, 3] += 0.5
    cropped = make_volume(image.array[:-1], AFFINE, Path("map.nii"), "sha256:0")
    for other in (small(image.array), cropped):
        other = other if other is cropped else make_volume(image.array, moved, other.path, "x")
        with pytest.raises(InputError, match="is not on the grid of") as caught:
            check_same_grid(image, other)
        assert str(image.shape) in caught.value.message
        assert str(other.shape) in caught.value.message
        assert caught.value.message.count("affine") == 2


def test_a_mirrored_affine_is_another_grid():
    array, affine = block_labels(Side.RIGHT), np.diag([-1.0, 1, 1, 1]) @ AFFINE
    with pytest.raises(InputError, match="not on the grid"):
        check_same_grid(block_volume(), make_volume(array, affine, Path("map.nii"), "x"))


def test_label_maps_are_read_from_files(tmp_path: Path):
    array, affine = stored_as(block_labels(Side.LEFT), AFFINE, "LPS")
    path = write_nifti(tmp_path / "map.nii.gz", array, affine)
    label_map = load_label_map(path, PYMSKT_SCHEME, Side.LEFT)
    assert label_map.volume.orientation == "LPS"
    assert label_map.side is Side.LEFT


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "scheme", "side", "structure", "n_voxels"),
    [
        (PYMSKT, "pymskt", Side.RIGHT, Structure.MEDIAL_MENISCUS, 25228),
        (SPL, "spl-atlas", Side.LEFT, Structure.ACL, 23088),
        (CARTIMORPH_LABELS, "oaizib-cm", Side.RIGHT, Structure.LATERAL_TIBIAL_CARTILAGE, 2532),
    ],
)
def test_real_label_maps_fit_their_schemes(
    name: str, scheme: str, side: Side, structure: Structure, n_voxels: int
):
    label_map = load_label_map(real_file(name), load_scheme(scheme), side)
    assert label_map.present() == set(label_map.scheme.labels.values())
    assert label_map.mask(structure).sum() == n_voxels


@pytest.mark.realdata
def test_a_real_label_map_does_not_fit_another_scheme():
    with pytest.raises(InputError, match=r"20 \(710014 voxels\).* and 27 more"):
        load_label_map(real_file(SPL), load_scheme("pymskt"), Side.LEFT)


@pytest.mark.realdata
def test_the_real_image_and_its_label_map_share_a_grid():
    image, labels = load_volume(real_file(CARTIMORPH_IMAGE)), real_file(CARTIMORPH_LABELS)
    check_same_grid(image, load_volume(labels))
    with pytest.raises(InputError, match="not on the grid"):
        check_same_grid(image, load_volume(real_file(PYMSKT)))


@pytest.mark.realdata
def test_a_real_image_is_not_a_label_map():
    with pytest.raises(InputError, match="not whole numbers"):
        load_label_map(real_file(CARTIMORPH_IMAGE), load_scheme("oaizib-cm"), Side.RIGHT)
