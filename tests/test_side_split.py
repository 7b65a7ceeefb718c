"""Unsided labels made from sided ones: the split has to give back what was there."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from knee.anatomy import Side, Structure
from tests.phantom_maps import phantom_map
from tests.real_data import CARTIMORPH_LABELS, PYMSKT, SPL, real_file
from tools.anatomical_frame import Knee, anatomical_knee
from tools.segmentation import LabelMap, Scheme, load_label_map, load_scheme
from tools.side_split import knee_midline, split_sides

SIDED = {
    Structure.MENISCUS: (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS),
    Structure.TIBIAL_CARTILAGE: (
        Structure.MEDIAL_TIBIAL_CARTILAGE,
        Structure.LATERAL_TIBIAL_CARTILAGE,
    ),
}
UNSIDED_OF = {sided: unsided for unsided, pair in SIDED.items() for sided in pair}
REAL = [
    pytest.param(name, scheme, side, id=scheme, marks=pytest.mark.realdata)
    for name, scheme, side in (
        (PYMSKT, "pymskt", Side.RIGHT),
        (SPL, "spl-atlas", Side.LEFT),
        (CARTIMORPH_LABELS, "oaizib-cm", Side.RIGHT),
    )
]


@pytest.fixture(autouse=True)
def _as_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Keeps knees as they lie: voxels are compared one by one; turning has tests of its own."""
    monkeypatch.setattr("tools.anatomical_frame.needed_turn", lambda *_: (None, 0.0))


def merged(label_map: LabelMap, without: Iterable[Structure] = ()) -> LabelMap:
    """Returns the label map with its sided labels made unsided, and some structures taken out."""
    out = set(without)
    labels = {
        number: UNSIDED_OF.get(structure, structure)
        for number, structure in label_map.scheme.labels.items()
        if structure not in out
    }
    scheme = Scheme(name="merged", source="test", sided=False, labels=labels)
    array = label_map.volume.array
    if out:
        gone = [n for structure in out for n in label_map.scheme.numbers(structure)]
        array = np.where(np.isin(array, gone), 0, array)
    return LabelMap(replace(label_map.volume, array=array), scheme, label_map.side)


def codes_in_volume(knee: Knee) -> npt.NDArray[np.uint8]:
    """The crop put back where it was, in the anatomical frame."""
    full = np.zeros(knee.frame.canonical_shape, np.uint8)
    low = knee.frame.offset
    full[tuple(slice(a, a + n) for a, n in zip(low, knee.frame.shape, strict=True))] = knee.codes
    return full


def restored(
    label_map: LabelMap, without: Iterable[Structure] = (), drawn: LabelMap | None = None
) -> dict[Structure, float]:
    """Share of each sided structure's voxels that the split gives back; of `drawn`, if given."""
    truth = anatomical_knee(drawn or label_map)
    split = anatomical_knee(merged(label_map, without))
    before, after = codes_in_volume(truth), codes_in_volume(split)
    codes = {structure: code for code, structure in enumerate(Structure, start=1)}
    return {
        structure: float((after[before == codes[structure]] == codes[structure]).mean())
        for structure in UNSIDED_OF
        if truth.has(structure)
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scheme", "side"), REAL)
@pytest.mark.parametrize(
    "without",
    [
        (),
        (Structure.TIBIA,),
        (Structure.TIBIA, Structure.FEMUR),
        (Structure.TIBIA, Structure.FEMUR, Structure.FEMORAL_CARTILAGE),
    ],
    ids=["all bones", "no tibia", "no bones", "unsided labels only"],
)
def test_the_split_gives_back_the_sides_of_real_knees(
    name: str, scheme: str, side: Side, without: tuple[Structure, ...]
):
    shares = restored(load_label_map(real_file(name), load_scheme(scheme), side), without)
    assert shares
    assert min(shares.values()) >= 0.995, shares


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("seed", [2, 6, 11])
@pytest.mark.parametrize("without", [(), (Structure.TIBIA, Structure.FEMUR)])
def test_the_split_gives_back_the_sides_of_phantoms(
    seed: int, side: Side, without: tuple[Structure, ...]
):
    shares = restored(phantom_map(seed, side, severity=0.8), without)
    assert len(shares) >= 3
    assert min(shares.values()) >= 0.995, shares


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR"])
def test_storage_order_changes_nothing(codes: str):
    one = anatomical_knee(merged(phantom_map(2, Side.RIGHT, codes=codes)))
    other = anatomical_knee(merged(phantom_map(2, Side.LEFT)))
    assert np.array_equal(
        one.mask(Structure.MEDIAL_MENISCUS).sum(axis=(1, 2)),
        other.mask(Structure.MEDIAL_MENISCUS).sum(axis=(1, 2)),
    )
    assert {*UNSIDED_OF} <= one.schemed


def turned(label_map: LabelMap, degrees: float, axes: tuple[int, int]) -> LabelMap:
    """The same numbers resampled under a rotation of the knee in its volume."""
    canonical = label_map.canonical()
    fine = ndimage.zoom(canonical.volume.array, _to_cubes(canonical.volume.spacing), order=0)
    array = ndimage.rotate(fine, degrees, axes, reshape=True, order=0)
    affine = np.diag([*[min(canonical.volume.spacing)] * 3, 1.0])
    return LabelMap(
        replace(canonical.volume, array=array, affine=affine), label_map.scheme, label_map.side
    )


def _to_cubes(spacing: tuple[float, float, float]) -> list[float]:
    return [size / min(spacing) for size in spacing]


@pytest.mark.parametrize("degrees", [-20, 20])
@pytest.mark.parametrize("axes", [(0, 1), (0, 2)], ids=["axial", "coronal"])
@pytest.mark.parametrize("side", list(Side))
def test_a_knee_that_lies_turned_is_split_as_well(
    degrees: float, axes: tuple[int, int], side: Side
):
    shares = restored(turned(phantom_map(1, side), degrees, axes))
    assert min(shares.values()) >= 0.995, shares


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize("degrees", [-20, 20])
def test_a_real_knee_that_lies_turned_is_split_as_well(degrees: float):
    real = load_label_map(real_file(SPL), load_scheme("spl-atlas"), Side.LEFT).canonical()
    coarse = LabelMap(
        replace(
            real.volume,
            array=real.volume.array[::3, ::3, :],
            affine=real.volume.affine @ np.diag([3, 3, 1, 1.0]),
        ),
        real.scheme,
        real.side,
    )
    shares = restored(turned(coarse, degrees, (0, 1)))
    assert min(shares.values()) >= 0.995, shares


def bridged(label_map: LabelMap, width_mm: float = 3.0) -> LabelMap:
    """Menisci joined by a bar between their anterior horns, as a transverse ligament would."""
    canonical = label_map.canonical()
    array = canonical.volume.array.copy()
    medial, lateral = (
        label_map.scheme.numbers(s)[0]
        for s in (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS)
    )
    ends = []
    for number in (medial, lateral):
        where = np.argwhere(array == number)
        # The anterior third's voxel nearest to the other meniscus.
        other = np.argwhere(array == (lateral if number == medial else medial))[:, 0].mean()
        front = where[where[:, 1] >= np.quantile(where[:, 1], 0.67)]
        ends.append(front[np.argmin(np.abs(front[:, 0] - other))])
    n_steps = int(np.abs(ends[1] - ends[0]).max()) * 2
    bar = np.zeros(array.shape, bool)
    for t in np.linspace(0, 1, n_steps):
        bar[tuple(np.rint(ends[0] * (1 - t) + ends[1] * t).astype(int))] = True
    around = tuple(slice(max(0, min(a, b) - 9), max(a, b) + 10) for a, b in zip(*ends, strict=True))
    away = ndimage.distance_transform_edt(~bar[around], sampling=canonical.volume.spacing)
    # Through the tibial spines where they are in the way: the bar is to join, not to be real.
    bar[around] = (away <= width_mm / 2) & ~np.isin(array[around], (medial, lateral))
    middle = (ends[0][0] + ends[1][0]) / 2
    is_medial = (np.arange(array.shape[0]) > middle) == (ends[0][0] > ends[1][0])
    bar_index = np.nonzero(bar)
    array[bar_index] = np.where(is_medial[bar_index[0]], medial, lateral)
    return LabelMap(replace(canonical.volume, array=array), label_map.scheme, label_map.side)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("seed", [1, 3])
def test_menisci_that_touch_are_cut_between_them(seed: int, side: Side):
    drawn = phantom_map(seed, side)
    label_map = bridged(drawn)
    assert is_one_part(label_map)
    shares = restored(label_map, drawn=drawn)
    # The bar may have painted over cartilage; the menisci are whole.
    assert min(shares[sided] for sided in SIDED[Structure.MENISCUS]) >= 0.995, shares


def is_one_part(label_map: LabelMap) -> bool:
    """Whether one connected part holds most of both menisci."""
    numbers = [label_map.scheme.numbers(s)[0] for s in SIDED[Structure.MENISCUS]]
    both = np.isin(label_map.volume.array, numbers)
    parts, _ = ndimage.label(both, np.ones((3, 3, 3)))
    return bool(np.bincount(parts[both]).max() >= 0.7 * both.sum())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scheme", "side"), REAL[:2])
def test_real_menisci_that_touch_are_cut_between_them(name: str, scheme: str, side: Side):
    drawn = load_label_map(real_file(name), load_scheme(scheme), side)
    label_map = bridged(drawn)
    assert is_one_part(label_map)
    shares = restored(label_map, drawn=drawn)
    # The bar may have painted over cartilage; the menisci are whole.
    assert min(shares[sided] for sided in SIDED[Structure.MENISCUS]) >= 0.995, shares


@pytest.mark.parametrize("gone", [Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS])
@pytest.mark.parametrize("side", list(Side))
def test_a_meniscus_that_is_gone_stays_gone(gone: Structure, side: Side):
    label_map = phantom_map(1, side)
    number = label_map.scheme.numbers(gone)[0]
    array = np.where(label_map.volume.array == number, 0, label_map.volume.array)
    volume = replace(label_map.volume, array=array)
    knee = anatomical_knee(merged(LabelMap(volume, label_map.scheme, side)))
    (left,) = {Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS} - {gone}
    assert not knee.has(gone)
    assert gone in knee.schemed
    assert int(knee.mask(left).sum()) == label_map.n_voxels(left)


def test_one_side_without_bones_cannot_be_split_and_says_so():
    label_map = phantom_map(1, Side.RIGHT)
    array = np.where(label_map.volume.array == 9, 9, 0).astype(np.uint8)
    scheme = Scheme(name="m", source="test", sided=False, labels={9: Structure.MENISCUS})
    knee = anatomical_knee(LabelMap(replace(label_map.volume, array=array), scheme, Side.RIGHT))
    assert knee.has(Structure.MENISCUS)
    assert Structure.MEDIAL_MENISCUS not in knee.schemed


def test_a_root_fragment_near_the_midline_goes_with_its_neighbour():
    mask = np.zeros((60, 30, 5), np.bool_)
    mask[35:55, 5:10] = True  # medial body
    mask[5:25, 5:10] = True  # lateral body
    mask[27:29, 7:9] = True  # fragment: its centre is lateral of 30, and nearest to lateral
    mask[33:34, 20:22] = True  # fragment: nearest to medial
    medial = split_sides(mask, 30.0, (1.0, 1.0, 1.0))
    assert not medial[27:29].any()
    assert medial[33, 20:22].all()
    assert medial[35:55, 5:10].all()
    assert not medial[:25].any()


def test_the_midline_of_nothing_is_none():
    empty = np.zeros((9, 9, 9), np.bool_)
    assert knee_midline(empty, empty, empty, [empty], (1.0, 1.0, 1.0)) is None
    assert not split_sides(empty, 4.0, (1.0, 1.0, 1.0)).any()


def test_the_spur_on_one_side_hardly_moves_the_midline():
    tibia = np.zeros((90, 50, 40), np.bool_)
    tibia[10:80, 5:45, :30] = True
    plain = knee_midline(tibia, tibia & False, tibia & False, [], (1.0, 1.0, 1.0))
    tibia[80:88, 20:26, 22:28] = True
    with_spur = knee_midline(tibia, tibia & False, tibia & False, [], (1.0, 1.0, 1.0))
    assert plain == pytest.approx(44.5, abs=0.6)
    assert with_spur == pytest.approx(plain, abs=1.1)
