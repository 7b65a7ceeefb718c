"""Folders of single-structure masks: which file is what, overlaps, grids, and the hash."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from knee.anatomy import Side, Structure
from knee.errors import InputError
from knee.findings import SideCheck
from tests.small_knee import AFFINE, block_labels, stored_as, write_nifti
from tools.anatomical_frame import Presence, anatomical_knee
from tools.segmentation import LabelMap, load_label_map, load_scheme
from tools.side_check import check_side

MASKS = load_scheme("masks")
STEMS = {
    1: "femoral_cartilage",
    2: "Medial-Tibial Cartilage",
    3: "tibial_cartilage_lateral",
    5: "femur",
    6: "TIBIA",
    8: "fibula",
    9: "lateral_meniscus",
    10: "medial_meniscus",
}
"""Label of the block knee to a file name, spelled in the ways that people do."""


def write_masks(
    folder: Path, side: Side = Side.RIGHT, leave_out: tuple[int, ...] = (), **others: str
) -> Path:
    """Writes the block knee as one mask a structure; `others` are axis codes by stem."""
    folder.mkdir()
    labels = block_labels(side)
    for number, stem in STEMS.items():
        if number in leave_out:
            continue
        mask = (labels == number).astype(np.uint8)
        array, affine = stored_as(mask, AFFINE, others.get(stem, "RAS"))
        write_nifti(folder / f"{stem}.nii.gz", array, affine)
    return folder


def load(folder: Path, side: Side = Side.RIGHT) -> LabelMap:
    return load_label_map(folder, MASKS, side)


def write_mask(folder: Path, stem: str, mask: npt.NDArray[np.generic]) -> None:
    write_nifti(folder / f"{stem}.nii.gz", mask.astype(np.uint8))


def refused(folder: Path, words: str) -> str:
    with pytest.raises(InputError, match=words) as caught:
        load(folder)
    assert caught.value.hint
    return caught.value.message


def block(number: int) -> npt.NDArray[np.bool_]:
    return block_labels(Side.RIGHT) == number


def test_masks_give_the_knee_that_one_label_map_gives(tmp_path: Path):
    masks = load(write_masks(tmp_path / "m"))
    path = write_nifti(tmp_path / "one.nii.gz", block_labels(Side.RIGHT))
    one = load_label_map(path, load_scheme("pymskt"), Side.RIGHT)
    for structure in masks.present():
        assert np.array_equal(masks.mask(structure), one.mask(structure)), structure
    assert masks.present() == one.present()
    assert masks.notes == ()
    assert masks.volume.array.dtype == np.uint8
    assert check_side(masks) is SideCheck.CONFIRMED
    assert np.array_equal(anatomical_knee(masks).codes, anatomical_knee(one).codes)


def test_masks_stored_in_several_orders_are_one_grid(tmp_path: Path):
    plain = load(write_masks(tmp_path / "a"))
    mixed = load(write_masks(tmp_path / "b", femur="PIR", fibula="LAS", TIBIA="SRP"))
    for structure in plain.present():
        assert np.array_equal(plain.canonical().mask(structure), mixed.canonical().mask(structure))


def test_a_missing_file_is_not_in_the_scheme_and_an_empty_one_is_absence(tmp_path: Path):
    folder = write_masks(tmp_path / "m", leave_out=(9, 10))
    write_mask(folder, "medial_meniscus", block(200))
    label_map = load(folder)
    assert not label_map.in_scheme(Structure.LATERAL_MENISCUS)
    knee = anatomical_knee(label_map)
    assert knee.presence(Structure.LATERAL_MENISCUS) is Presence.NOT_IN_SCHEME
    assert knee.presence(Structure.MEDIAL_MENISCUS) is Presence.ABSENT


def test_the_wrong_side_is_refused(tmp_path: Path):
    label_map = load(write_masks(tmp_path / "m"), Side.LEFT)
    with pytest.raises(InputError, match="anatomy shows 'right'"):
        check_side(label_map)


def test_cartilage_keeps_what_a_bone_claims_too_and_it_is_said(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    # A bone mask that runs 2 voxels into the cartilage.
    bone = block(5)
    bone[9:31, 12:28, 22:24] = True
    write_mask(folder, "femur", bone)
    label_map = load(folder)
    shared = int((bone & block(1)).sum())
    assert shared == 22 * 16 * 2
    assert label_map.n_voxels(Structure.FEMORAL_CARTILAGE) == block(1).sum()
    assert label_map.n_voxels(Structure.FEMUR) == bone.sum() - shared
    assert label_map.notes == (
        f"{shared} voxels of femur are femoral_cartilage too: counted as femoral_cartilage",
    )


def test_a_lesion_keeps_what_its_bone_claims_too(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    lesion = np.zeros((40, 40, 40), np.bool_)
    lesion[12:16, 14:18, 10:14] = True
    write_mask(folder, "tibial_bml", lesion)
    label_map = load(folder)
    assert label_map.n_voxels(Structure.TIBIAL_BML) == lesion.sum()
    assert label_map.n_voxels(Structure.TIBIA) == block(6).sum() - lesion.sum()


def test_two_bones_at_one_place_are_refused_and_a_rim_is_not(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    tibia = block(6)
    rim = tibia.copy()
    rim[20:24, 20:24, 24] = True
    write_mask(folder, "TIBIA", rim)
    label_map = load(folder)
    assert label_map.notes == ("16 voxels of femur are tibia too: counted as femur",)
    assert label_map.n_voxels(Structure.FEMUR) == block(5).sum()
    tibia[8:32, 10:30, 24:26] = True
    write_mask(folder, "TIBIA", tibia)
    message = refused(folder, "share 960 voxels")
    assert "'femur'" in message
    assert "'tibia'" in message


def test_one_mask_under_two_names_is_refused(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    write_mask(folder, "femoral_cartilage", block(5))
    assert "['femoral_cartilage']" in refused(folder, "'femur' .* is wholly covered")


@pytest.mark.parametrize("stem", ["cartilage", "femur (1)", "9001104"])
def test_names_that_stand_for_nothing_are_errors(tmp_path: Path, stem: str):
    folder = write_masks(tmp_path / "m")
    write_mask(folder, stem, block(5))
    assert f"'{stem}.nii.gz'" in refused(folder, "stand for no structure")


def test_a_scheme_of_ones_own_names_the_files(tmp_path: Path):
    folder = tmp_path / "m"
    folder.mkdir()
    write_mask(folder, "seg_Femur_v2", block(5))
    write_mask(folder, "muscle", block(6))
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nsource = "me"\nsided = true\n[labels]\n1 = "femur"\n2 = "other"\n'
        '[files]\nseg_femur_v2 = "femur"\nmuscle = "other"'
    )
    label_map = load_label_map(folder, load_scheme(str(path)), Side.LEFT)
    assert label_map.present() == {Structure.FEMUR, Structure.OTHER}


def test_two_files_of_one_structure_are_refused(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    write_mask(folder, "femur_bone", block(5))
    assert "femur_bone.nii.gz" in refused(folder, "two masks of 'femur'")


def test_sided_and_unsided_masks_do_not_go_together(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    write_mask(folder, "meniscus", block(9) | block(10))
    refused(folder, "'meniscus' and of")


def test_an_unsided_mask_is_split_by_the_declared_side(tmp_path: Path):
    folder = write_masks(tmp_path / "m", leave_out=(9, 10))
    write_mask(folder, "meniscus", block(9) | block(10))
    label_map = load(folder)
    assert not label_map.scheme.sided
    knee = anatomical_knee(label_map)
    assert knee.mask(Structure.MEDIAL_MENISCUS).sum() == block(10).sum()
    assert knee.mask(Structure.LATERAL_MENISCUS).sum() == block(9).sum()


def test_another_grid_is_refused(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    moved = AFFINE.copy()
    moved[2, 3] += 1
    write_nifti(folder / "patella.nii.gz", block(5).astype(np.uint8), moved)
    assert "patella.nii.gz" in refused(folder, "not on the grid")


@pytest.mark.parametrize("values", [(1, 2), (0.5, 1), (-1, 1)])
def test_what_is_no_mask_is_refused(tmp_path: Path, values: tuple[float, float]):
    folder = write_masks(tmp_path / "m")
    array = np.zeros((40, 40, 40), np.float32)
    array[:5], array[5:9] = values
    write_nifti(folder / "patella.nii.gz", array)
    assert "patella.nii.gz" in refused(folder, "not the mask of one structure")


def test_a_mask_of_255_is_a_mask(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    write_nifti(folder / "femur.nii.gz", block(5).astype(np.uint8) * 255)
    assert load(folder).n_voxels(Structure.FEMUR) == block(5).sum()


def test_folders_without_masks_and_schemes_without_files_are_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no mask")
    folder = write_masks(tmp_path / "m")
    with pytest.raises(InputError, match="does not say what its files are"):
        load_label_map(folder, load_scheme("pymskt"), Side.RIGHT)
    for path in folder.iterdir():
        path.unlink()
    write_mask(folder, "femur", block(200))
    refused(folder, "is empty")


def test_companions_are_passed_over(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    before = load(folder).volume.sha256
    (folder / "readme.txt").write_text("about")
    (folder / ".DS_Store").write_bytes(b"1")
    assert load(folder).volume.sha256 == before


def test_the_hash_is_of_every_file_and_of_what_it_stands_for(tmp_path: Path):
    folder = write_masks(tmp_path / "m")
    shutil.copytree(folder, tmp_path / "copy")
    first = load(folder).volume.sha256
    assert load(tmp_path / "copy").volume.sha256 == first
    changed = block(8)
    changed[33, 10, 2] = False
    write_mask(folder, "fibula", changed)
    assert load(folder).volume.sha256 != first
    swapped = tmp_path / "copy"
    (swapped / "medial_meniscus.nii.gz").rename(swapped / "x")
    (swapped / "lateral_meniscus.nii.gz").rename(swapped / "medial_meniscus.nii.gz")
    (swapped / "x").rename(swapped / "lateral_meniscus.nii.gz")
    assert load(swapped).volume.sha256 != first


def test_every_structure_has_a_layer_and_a_name():
    assert set(MASKS.labels.values()) == set(Structure) - {Structure.OTHER}
    assert set(MASKS.files.values()) == set(MASKS.labels.values())
