import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from knee.anatomy import Side, Structure
from knee.geometry import Box3D, voxel_box
from tests.real_data import CARTIMORPH_IMAGE, CARTIMORPH_LABELS, PYMSKT, real_file
from tests.small_knee import block_labels, block_volume
from tools.segmentation import LabelMap, label_map_from_volume, load_label_map, load_scheme
from tools.slices import BOX_COLOUR, draw_overlay, sheet_png
from tools.volumes import Volume, canonical_box_to_stored, load_volume, make_volume

SCHEME = load_scheme("pymskt")


def decode(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def label_map(codes: str = "RAS") -> LabelMap:
    return label_map_from_volume(block_volume(codes=codes), SCHEME, Side.RIGHT)


def n_box_pixels(picture: npt.NDArray[np.uint8]) -> int:
    return int((picture == np.array(BOX_COLOUR)).all(axis=-1).sum())


def test_overlay_draws_the_masks_edge_and_leaves_its_inside():
    rgb = np.full((12, 12, 3), 50, dtype=np.uint8)
    mask = np.zeros((12, 12), dtype=bool)
    mask[2:8, 3:9] = True
    drawn = draw_overlay(rgb, {"femur": mask}, {"femur": (255, 0, 0)})
    red = (drawn == (255, 0, 0)).all(axis=-1)
    assert red.sum() == 20
    assert not red[3:7, 4:8].any()
    assert not red[~mask].any()
    assert (rgb == 50).all()


def test_overlay_draws_the_box_around_its_pixels():
    rgb = np.zeros((20, 20, 3), dtype=np.uint8)
    drawn = draw_overlay(rgb, {}, {}, (5, 10, 6, 12))
    yellow = (drawn == BOX_COLOUR).all(axis=-1)
    assert yellow[4, 5:13].all()
    assert yellow[10, 5:13].all()
    assert not yellow[6:9, 7:11].any()


def test_the_same_box_gives_the_same_sheet_in_every_storage_order():
    box = voxel_box(9, 18, 12, 28, 19, 21)
    sheets: list[bytes] = []
    for codes in ("RAS", "PIR", "LPS"):
        stored = label_map(codes)
        sheets.append(sheet_png(None, stored, canonical_box_to_stored(box, stored.volume)))
    assert np.array_equal(decode(sheets[0]), decode(sheets[1]))
    assert np.array_equal(decode(sheets[0]), decode(sheets[2]))


def test_a_sheet_has_three_panels_with_a_box_in_each():
    picture = decode(sheet_png(None, label_map(), voxel_box(9, 18, 12, 28, 19, 21)))
    assert picture.shape[1] == 3 * 400 + 2 * 6
    for number in range(3):
        assert n_box_pixels(picture[:, number * 406 : number * 406 + 400]) > 100
    assert n_box_pixels(decode(sheet_png(None, label_map(), None))) == 0


def test_an_image_alone_and_a_box_at_the_border_are_drawn():
    image = make_volume(
        block_labels(Side.RIGHT).astype(np.float32) * 20,
        block_volume().affine,
        Path("image.nii"),
        "sha256:0",
    )
    box = voxel_box(0, 3, 36, 40, 0, 2)
    assert n_box_pixels(decode(sheet_png(image, None, box, title="corner", panel_mm=30))) > 0


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="image or a label map"):
        sheet_png(None, None, None)


def real_box(volume: Volume, mask: npt.NDArray[np.bool_]) -> Box3D:
    index = np.argwhere(mask)
    (i0, j0, k0), (i1, j1, k1) = index.min(axis=0), index.max(axis=0) + 1
    return voxel_box(int(i0), int(i1), int(j0), int(j1), int(k0), int(k1))


@pytest.mark.realdata
def test_the_real_image_is_drawn_with_its_labels():
    labels = load_label_map(real_file(CARTIMORPH_LABELS), load_scheme("oaizib-cm"), Side.RIGHT)
    image = load_volume(real_file(CARTIMORPH_IMAGE))
    box = real_box(image, labels.mask(Structure.MEDIAL_TIBIAL_CARTILAGE))
    png = sheet_png(image, labels, box, title="medial tibial cartilage")
    assert n_box_pixels(decode(png)) > 500
    assert len(png) < 250_000


@pytest.mark.realdata
def test_the_medial_meniscus_of_the_right_knee_is_on_the_right_of_its_coronal_panel():
    labels = load_label_map(real_file(PYMSKT), SCHEME, Side.RIGHT)
    box = real_box(labels.volume, labels.mask(Structure.MEDIAL_MENISCUS))
    coronal = decode(sheet_png(None, labels, box))[:, 406:806]
    columns = np.argwhere((coronal == np.array(BOX_COLOUR)).all(axis=-1))[:, 1]
    assert columns.min() > 195
