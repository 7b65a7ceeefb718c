"""The phantom's voxels and its truth agree, and both look like a knee."""

import ast
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from numpy.typing import NDArray

from knee.anatomy import (
    Bone,
    ExtrusionSite,
    MeniscusPart,
    OsteophyteSite,
    Side,
    Subregion,
    medial_sign,
)
from knee.errors import InputError
from knee.moaks import SCALES, Component, Feature
from tools.phantom.build import build_knee, make_phantom
from tools.phantom.grid import DEMO_GRID, SMALL_GRID, Grid, make_grid
from tools.phantom.model import build_model, find_subregions
from tools.phantom.pathology import CartilageDefect, MarrowLesion, Pathology, draw_pathology
from tools.phantom.plate import SUBREGIONS
from tools.phantom.raster import rasterise
from tools.phantom.sick_knee import SickKnee
from tools.phantom.tissues import LABELS, Tissue, label_lookup
from tools.phantom.truth import TruthRecord, measure_truth

ROOT = Path(__file__).parents[1]
JOINT_GRID = make_grid((0.9, 0.9, 0.9), (104, 144, 136))
HEALTHY = Pathology(extrusion_mm=dict.fromkeys(ExtrusionSite, 0.0))

Key = tuple[Feature, str, Component]


def truth_by_key(knee: SickKnee) -> dict[Key, TruthRecord]:
    return {(r.feature, r.site, r.component): r for r in measure_truth(knee)}


def label_volume(knee: SickKnee, grid: Grid) -> NDArray[np.uint8]:
    return label_lookup()[rasterise(knee, grid)]


def world_points(labels: NDArray[np.uint8], grid: Grid, *wanted: Tissue) -> NDArray[np.float64]:
    index = np.argwhere(np.isin(labels, wanted))
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


@pytest.fixture(scope="module")
def balanced_knees() -> list[SickKnee]:
    return [
        build_knee(seed, Side.RIGHT, draw_pathology(seed, "balanced")) for seed in range(20, 30)
    ]


def test_label_numbers_are_those_of_the_scheme_file() -> None:
    scheme = tomllib.loads((ROOT / "tools/schemes/phantom.toml").read_text(encoding="utf-8"))
    assert {int(k): v for k, v in scheme["labels"].items()} == {
        number: structure.value for number, structure in LABELS.items()
    }
    assert scheme["name"] == "phantom"


def test_the_phantom_imports_nothing_of_the_measuring_code() -> None:
    allowed = {"numpy", "scipy", "nibabel", "pydantic", "knee"}
    for path in (ROOT / "tools/phantom").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                ours = name.startswith("tools")
                assert not ours or name.startswith("tools.phantom"), f"{path.name}: {name}"
                assert ours or name.split(".")[0] in allowed or _is_standard(name), name


def _is_standard(name: str) -> bool:
    return name.split(".")[0] in sys.stdlib_module_names


def test_the_same_seed_gives_the_same_voxels_and_another_seed_another_knee() -> None:
    first = make_phantom(3, Side.RIGHT, SMALL_GRID)
    again = make_phantom(3, Side.RIGHT, SMALL_GRID)
    other = make_phantom(4, Side.RIGHT, SMALL_GRID)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label_map, again.label_map)
    assert first.truth == again.truth
    assert not np.array_equal(first.label_map, other.label_map)
    assert first.image.dtype == np.int16
    assert first.label_map.dtype == np.uint8


def test_a_left_knee_is_the_mirror_image_of_the_right_one() -> None:
    right = make_phantom(5, Side.RIGHT, SMALL_GRID)
    left = make_phantom(5, Side.LEFT, SMALL_GRID)
    differing = (left.label_map != right.label_map[::-1]).mean()
    assert differing < 1e-4
    assert left.truth == right.truth


@pytest.mark.parametrize("side", list(Side))
def test_medial_labels_lie_on_the_medial_side_and_the_fibula_on_the_other(side: Side) -> None:
    phantom = make_phantom(6, side, SMALL_GRID, pathology=HEALTHY)
    medially = {
        tissue: medial_sign(side) * world_points(phantom.label_map, SMALL_GRID, tissue)[:, 0].mean()
        for tissue in Tissue
        if tissue in LABELS and (phantom.label_map == tissue).any()
    }
    middle = medially[Tissue.TIBIA]
    assert medially[Tissue.MEDIAL_TIBIAL_CARTILAGE] > middle + 10
    assert medially[Tissue.MEDIAL_MENISCUS] > middle + 10
    assert medially[Tissue.LATERAL_TIBIAL_CARTILAGE] < middle - 10
    assert medially[Tissue.LATERAL_MENISCUS] < middle - 10
    assert medially[Tissue.FIBULA] < middle - 20


@pytest.mark.parametrize("orientation", ["LAS", "PIR"])
def test_storage_order_does_not_move_the_knee(orientation: str) -> None:
    spacing, counts = (2.8, 1.5, 1.4), (40, 94, 90)
    ras = make_grid(spacing, counts)
    stored = make_grid(spacing, counts, orientation)
    knee = build_knee(7, Side.LEFT, draw_pathology(7))
    codes = io_orientation(ras.affine), axcodes2ornt(orientation)
    turned = ornt_transform(*codes)
    labels, moved = label_volume(knee, ras), label_volume(knee, stored)
    assert (apply_orientation(labels, turned) != moved).mean() < 1e-4
    # The same corner of the leg in world coordinates, whichever voxel holds it.
    assert np.allclose(ras.affine @ inv_ornt_aff(turned, ras.shape), stored.affine)


def test_obliquity_turns_the_grid_and_not_the_knee() -> None:
    knee = build_knee(7, Side.RIGHT, HEALTHY)
    straight, oblique = JOINT_GRID, make_grid((0.9, 0.9, 0.9), (104, 144, 136), obliquity_deg=8.0)
    centres = [
        world_points(label_volume(knee, g), g, Tissue.PATELLA).mean(axis=0)
        for g in (straight, oblique)
    ]
    assert np.linalg.norm(centres[0] - centres[1]) < 0.3
    assert not np.allclose(straight.affine, oblique.affine)


def test_an_orientation_that_names_an_axis_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'RLS'"):
        make_grid(orientation="RLS")


VOLUMES_ML = {
    Tissue.FEMORAL_CARTILAGE: (8.0, 16.0),
    Tissue.MEDIAL_TIBIAL_CARTILAGE: (1.3, 3.5),
    Tissue.LATERAL_TIBIAL_CARTILAGE: (1.3, 3.5),
    Tissue.PATELLAR_CARTILAGE: (1.5, 4.5),
    Tissue.MEDIAL_MENISCUS: (1.5, 3.8),
    Tissue.LATERAL_MENISCUS: (1.5, 4.0),
    Tissue.PATELLA: (10.0, 26.0),
    Tissue.FEMUR: (110.0, 260.0),
    Tissue.TIBIA: (75.0, 180.0),
    Tissue.HOFFA_FAT_PAD: (14.0, 40.0),
    Tissue.ACL: (0.8, 3.0),
    Tissue.PCL: (1.0, 4.0),
    Tissue.JOINT_FLUID: (0.8, 2.5),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_structures_of_a_healthy_knee_have_the_volumes_of_an_adult(seed: int) -> None:
    labels = label_volume(build_knee(seed, Side.RIGHT, HEALTHY), DEMO_GRID)
    for tissue, (low, high) in VOLUMES_ML.items():
        ml = float((labels == tissue).sum()) * DEMO_GRID.voxel_mm3 / 1000
        assert low <= ml <= high, f"{tissue.name}: {ml:.2f} mL"


@pytest.mark.parametrize("seed", range(4))
def test_joint_surfaces_touch_and_do_not_interpenetrate(seed: int) -> None:
    model = build_model(seed, Side.RIGHT)
    covered = model.tibia.cartilage > 0
    gap = (model.femoral_floor - model.tibia.surface - model.tibia.cartilage)[covered]
    for side in (model.tibia.points[..., 0][covered] < 0, model.tibia.points[..., 0][covered] > 0):
        assert 0.0 < float(gap[side].min()) < 0.5
    knee = build_knee(seed, Side.RIGHT, HEALTHY)
    menisci = knee.menisci
    present = menisci.top > menisci.bottom
    assert (menisci.top[present] <= model.femoral_floor[present]).all()
    above = menisci.bottom - model.tibia.surface - model.tibia.cartilage
    assert (above[present] >= 0.0).all()


def test_every_grade_of_every_ordinal_component_turns_up(balanced_knees: list[SickKnee]) -> None:
    seen: dict[tuple[Feature, Component], set[int]] = defaultdict(set)
    for knee in balanced_knees:
        for record in measure_truth(knee):
            if record.grade is not None:
                seen[record.feature, record.component].add(record.grade)
    for feature in (
        Feature.BML,
        Feature.CARTILAGE,
        Feature.OSTEOPHYTE,
        Feature.EXTRUSION,
        Feature.EFFUSION_SYNOVITIS,
        Feature.HOFFA_SYNOVITIS,
    ):
        for component in (c for f, c in SCALES if f is feature):
            assert seen[feature, component] == {0, 1, 2, 3}, (feature, component)
    assert seen[Feature.MORPHOLOGY, Component.MORPHOLOGY] == {0, 6, 8}
    assert seen[Feature.ACL, Component.COMPLETE_TEAR] == {0, 1}


def test_grades_are_legal_combinations(balanced_knees: list[SickKnee]) -> None:
    for knee in balanced_knees:
        truth = truth_by_key(knee)
        for s in Subregion:
            size, number, bml = (
                truth[Feature.BML, s.value, c].grade
                for c in (Component.SIZE, Component.NUMBER, Component.PERCENT_BML)
            )
            assert (size == 0) == (number == 0)
            assert size != 0 or bml == 0
            if s.is_articular:
                any_loss = truth[Feature.CARTILAGE, s.value, Component.SIZE]
                full = truth[Feature.CARTILAGE, s.value, Component.FULL_THICKNESS]
                assert full.extent is not None
                assert any_loss.extent is not None
                assert full.extent <= any_loss.extent
        codes = {
            truth[Feature.MORPHOLOGY, p.value, Component.MORPHOLOGY].grade for p in MeniscusPart
        }
        assert 7 not in codes


def test_extents_keep_clear_of_the_thresholds(balanced_knees: list[SickKnee]) -> None:
    least = {
        (Feature.BML, "%"): 4.0,
        (Feature.CARTILAGE, "%"): 3.8,
        (Feature.OSTEOPHYTE, "mm"): 0.59,
        (Feature.EXTRUSION, "mm"): 0.39,
        (Feature.EFFUSION_SYNOVITIS, "mL"): 0.7,
        (Feature.HOFFA_SYNOVITIS, "%"): 2.0,
    }
    for knee in balanced_knees:
        for record in measure_truth(knee):
            if record.margin is not None:
                assert record.margin >= least[record.feature, record.unit or ""], record


def test_without_the_flag_extents_come_near_the_thresholds() -> None:
    margins = [
        record.margin
        for seed in range(3)
        for record in measure_truth(
            build_knee(
                seed, Side.RIGHT, draw_pathology(seed, "balanced", clear_of_thresholds=False)
            )
        )
        if record.margin is not None and record.feature is Feature.BML
    ]
    assert min(margins) < 3.9


def test_a_severe_knee_is_worse_than_a_mild_one() -> None:
    def total(severity: float) -> int:
        knees = (build_knee(s, Side.RIGHT, draw_pathology(s, severity)) for s in range(3))
        return sum(record.grade or 0 for knee in knees for record in measure_truth(knee))

    assert total(0.0) < 0.4 * total(0.5) < 0.8 * total(1.0)


@pytest.mark.parametrize("severity", [-0.1, 1.1])
def test_a_severity_out_of_range_is_refused(severity: float) -> None:
    with pytest.raises(InputError, match="severity"):
        draw_pathology(1, severity)


def test_twins_of_different_pathology_share_anatomy_and_regions() -> None:
    sick = build_knee(9, Side.LEFT, draw_pathology(9, 1.0))
    healthy = build_knee(9, Side.LEFT, HEALTHY)
    for one, other in zip(sick.model.plates(), healthy.model.plates(), strict=True):
        assert np.array_equal(one.surface, other.surface)
        assert np.array_equal(one.subregion, other.subregion)
        assert np.array_equal(one.max_depth, other.max_depth)


def test_drawn_marrow_lesions_cover_the_share_that_the_truth_says(
    balanced_knees: list[SickKnee],
) -> None:
    lesion_labels = [Tissue.FEMORAL_BML, Tissue.TIBIAL_BML, Tissue.PATELLAR_BML]
    checked = 0
    for knee in balanced_knees[:3]:
        truth = truth_by_key(knee)
        labels = label_volume(knee, JOINT_GRID)
        bone = np.isin(labels, [1, 3, 6, *lesion_labels, Tissue.SUBCHONDRAL_CYST])
        index = np.argwhere(bone)
        points = index @ JOINT_GRID.affine[:3, :3].T + JOINT_GRID.affine[:3, 3]
        region = find_subregions(knee.model, points)
        found = labels[tuple(index.T)]
        for number, subregion in enumerate(SUBREGIONS):
            mine = found[region == number]
            lesion = np.isin(mine, [*lesion_labels, Tissue.SUBCHONDRAL_CYST])
            size = truth[Feature.BML, subregion.value, Component.SIZE].extent
            share = truth[Feature.BML, subregion.value, Component.PERCENT_BML].extent
            assert 100 * lesion.mean() == pytest.approx(size, abs=2.5), subregion
            if lesion.any():
                bml = np.isin(mine[lesion], lesion_labels).mean()
                assert 100 * bml == pytest.approx(share, abs=5.0), subregion
                checked += 1
    assert checked > 15


def test_lesions_stay_apart_and_are_counted() -> None:
    wanted = Subregion.FEMUR_MEDIAL_CENTRAL
    for count in (1, 2, 3):
        pathology = Pathology(bml={wanted: MarrowLesion(0.4, count, 1.0)})
        knee = build_knee(11, Side.RIGHT, pathology)
        truth = truth_by_key(knee)
        assert truth[Feature.BML, wanted.value, Component.NUMBER].extent == count
        assert truth[Feature.BML, wanted.value, Component.PERCENT_BML].grade == 3


def test_a_denuded_subregion_has_no_cartilage_left_and_its_neighbours_keep_theirs() -> None:
    gone, kept = Subregion.TIBIA_MEDIAL_CENTRAL, Subregion.TIBIA_LATERAL_CENTRAL
    cut = Pathology(cartilage={gone: CartilageDefect(1.0, 1.0, 0.4)})
    knees = [build_knee(12, Side.RIGHT, pathology) for pathology in (cut, HEALTHY)]
    truth = truth_by_key(knees[0])
    assert truth[Feature.CARTILAGE, gone.value, Component.FULL_THICKNESS].grade == 3
    numbers = [_cartilage_subregions(knee) for knee in knees]
    n_gone, n_kept = SUBREGIONS.index(gone), SUBREGIONS.index(kept)
    # A rim of half a table cell may remain at the border to the neighbours.
    assert (numbers[0] == n_gone).sum() < 0.06 * (numbers[1] == n_gone).sum()
    assert (numbers[0] == n_kept).sum() == (numbers[1] == n_kept).sum() > 100


def _cartilage_subregions(knee: SickKnee) -> NDArray[np.int8]:
    plates = (Tissue.MEDIAL_TIBIAL_CARTILAGE, Tissue.LATERAL_TIBIAL_CARTILAGE)
    points = world_points(label_volume(knee, JOINT_GRID), JOINT_GRID, *plates)
    return find_subregions(knee.model, points)


def test_thinned_cartilage_is_loss_but_not_full_thickness_loss() -> None:
    thinned = Subregion.FEMUR_MEDIAL_CENTRAL
    pathology = Pathology(cartilage={thinned: CartilageDefect(0.5, 0.0, 0.45)})
    knee = build_knee(13, Side.RIGHT, pathology)
    truth = truth_by_key(knee)
    assert truth[Feature.CARTILAGE, thinned.value, Component.SIZE].grade == 2
    assert truth[Feature.CARTILAGE, thinned.value, Component.FULL_THICKNESS].grade == 0
    left = knee.femur.thickness / np.where(
        knee.femur.plate.cartilage > 0, knee.femur.plate.cartilage, 1
    )
    mine = left[knee.femur.plate.subregion == SUBREGIONS.index(thinned)]
    assert float(mine.min()) == pytest.approx(0.45, abs=0.01)


@pytest.mark.parametrize("site", list(ExtrusionSite))
@pytest.mark.parametrize("mm", [0.5, 4.0, 7.0])
def test_voxels_show_the_extrusion_that_the_truth_says(site: ExtrusionSite, mm: float) -> None:
    knee = build_knee(14, Side.RIGHT, Pathology(extrusion_mm={site: mm}))
    record = truth_by_key(knee)[Feature.EXTRUSION, site.value, Component.GRADE]
    assert record.extent == pytest.approx(mm, abs=0.01)
    meniscus, margin = _reach(knee, site)
    assert (meniscus - margin) * knee.model.pose.scale == pytest.approx(mm, abs=0.35)


def _reach(knee: SickKnee, site: ExtrusionSite) -> tuple[float, float]:
    """How far meniscus and tibia reach in the site's slice, on a fine lattice in the knee frame."""
    steps = np.arange(-50.0, 50.0, 0.1)
    height = np.arange(-4.0, 12.0, 0.1)
    side = -1.0 if site.value.startswith("medial") else 1.0
    anterior = site.value.endswith("anterior")
    along, up = np.meshgrid(steps, height, indexing="ij")
    x, y = (np.full_like(along, side * 21.0), along) if anterior else (along, along * 0 - 0.5)
    matrix = knee.model.pose.matrix
    grid = Grid(
        (1, steps.size, height.size),
        np.block([[matrix @ _axes(anterior), knee.model.pose.shift[:, None]], [np.eye(4)[3:]]]),
    )
    start = np.array([x[0, 0], y[0, 0], up[0, 0]])
    grid.affine[:3, 3] += matrix @ start
    codes = label_lookup()[rasterise(knee, grid)][0]
    meniscus = np.isin(codes, [Tissue.MEDIAL_MENISCUS, Tissue.LATERAL_MENISCUS]).any(axis=1)
    tibia = (codes[:, height < 0.0] == Tissue.TIBIA).any(axis=1)
    outwards = steps if anterior else side * steps
    return float(outwards[meniscus].max()), float(outwards[tibia].max())


def _axes(anterior: bool) -> NDArray[np.float64]:
    along = [0.0, 0.1, 0.0] if anterior else [0.1, 0.0, 0.0]
    other = [0.1, 0.0, 0.0] if anterior else [0.0, 0.1, 0.0]
    return np.array([other, along, [0.0, 0.0, 0.1]]).T


@pytest.mark.parametrize("site", list(OsteophyteSite))
def test_a_spur_protrudes_from_the_osteophyte_free_bone_by_its_height(site: OsteophyteSite) -> None:
    grid = make_grid((0.6, 0.6, 0.6), (170, 190, 150))
    bones = {
        Bone.FEMUR: Tissue.FEMUR,
        Bone.TIBIA: Tissue.TIBIA,
        Bone.PATELLA: Tissue.PATELLA,
    }
    knee = build_knee(15, Side.RIGHT, Pathology(osteophyte_mm={site: 6.0}))
    spur = knee.spurs[0]
    record = truth_by_key(knee)[Feature.OSTEOPHYTE, site.value, Component.GRADE]
    assert (record.extent, record.grade) == (6.0, 3)
    bare = build_knee(15, Side.RIGHT, Pathology())
    low = knee.model.pose.to_ras((spur.centre - 14.0)[None])[0]
    high = knee.model.pose.to_ras((spur.centre + 14.0)[None])[0]
    grid = _cut_grid(grid, low, high)
    sick_points = world_points(label_volume(knee, grid), grid, bones[spur.bone])
    bare_points = world_points(label_volume(bare, grid), grid, bones[spur.bone])
    frame = [knee.model.pose.to_knee(p) - spur.centre for p in (sick_points, bare_points)]
    # Along the spur's axis, within 1 mm of it.
    near = [p[np.linalg.norm(p @ spur.axes[1:].T, axis=1) < 1.0] @ spur.axes[0] for p in frame]
    grown = (float(near[0].max()) - float(near[1].max())) * knee.model.pose.scale
    assert grown == pytest.approx(6.0, abs=1.2), site


def _cut_grid(grid: Grid, low: NDArray[np.float64], high: NDArray[np.float64]) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] = np.minimum(low, high) - 3.0
    counts = np.ceil((np.abs(high - low) + 6.0) / 0.6).astype(int)
    return Grid((int(counts[0]), int(counts[1]), int(counts[2])), affine)


@pytest.mark.parametrize("wanted", [1.5, 5.0, 15.0])
def test_fluid_voxels_hold_the_volume_that_the_truth_says(wanted: float) -> None:
    knee = build_knee(16, Side.LEFT, Pathology(effusion_ml=wanted))
    extent = truth_by_key(knee)[Feature.EFFUSION_SYNOVITIS, "joint_cavity", Component.GRADE].extent
    assert extent == pytest.approx(wanted, abs=0.05)
    grid = make_grid((0.9, 0.9, 0.9), (104, 144, 150))
    ml = float((label_volume(knee, grid) == Tissue.JOINT_FLUID).sum()) * grid.voxel_mm3 / 1000
    assert ml == pytest.approx(wanted, rel=0.15, abs=0.3)


def test_hoffa_signal_covers_the_share_that_the_truth_says() -> None:
    knee = build_knee(16, Side.RIGHT, Pathology(hoffa_share=0.35))
    codes = rasterise(knee, JOINT_GRID)
    bright, pad = (codes == Tissue.HOFFA_SYNOVITIS).sum(), (codes == Tissue.HOFFA_FAT_PAD).sum()
    assert knee.hoffa_percent == pytest.approx(35.0, abs=1.5)
    assert 100 * bright / (bright + pad) == pytest.approx(35.0, abs=6.0)


def test_a_completely_macerated_part_is_gone_and_its_extrusion_has_no_grade() -> None:
    part = MeniscusPart.MEDIAL_MENISCUS_BODY
    whole = build_knee(17, Side.RIGHT, Pathology())
    for code, share in ((6, (0.5, 0.95)), (8, (0.3, 0.8))):
        knee = build_knee(17, Side.RIGHT, Pathology(morphology={part: code}))
        left, all_of_it = (
            float((label_volume(k, JOINT_GRID) == Tissue.MEDIAL_MENISCUS).sum())
            for k in (knee, whole)
        )
        assert share[0] < left / all_of_it < share[1]
        truth = truth_by_key(knee)
        assert truth[Feature.MORPHOLOGY, part.value, Component.MORPHOLOGY].grade == code
        site = ExtrusionSite.MEDIAL_MENISCUS_MEDIAL.value
        record = truth[Feature.EXTRUSION, site, Component.GRADE]
        assert (record.grade is None) == (code == 8)
        assert (record.reason is not None) == (code == 8)


def test_a_torn_acl_leaves_a_stump() -> None:
    whole, torn = (
        float((label_volume(build_knee(18, Side.RIGHT, p), JOINT_GRID) == Tissue.ACL).sum())
        for p in (Pathology(), Pathology(acl_torn=True))
    )
    assert 0.05 < torn / whole < 0.5


def test_analytic_subregions_cover_the_cartilage_and_know_its_side() -> None:
    knee = build_knee(19, Side.LEFT, HEALTHY)
    labels = label_volume(knee, JOINT_GRID)
    tissues = {
        Tissue.FEMORAL_CARTILAGE: "femur_",
        Tissue.MEDIAL_TIBIAL_CARTILAGE: "tibia_medial_",
        Tissue.LATERAL_TIBIAL_CARTILAGE: "tibia_lateral_",
        Tissue.PATELLAR_CARTILAGE: "patella_",
    }
    for tissue, prefix in tissues.items():
        found = find_subregions(knee.model, world_points(labels, JOINT_GRID, tissue))
        mine = [SUBREGIONS[n].value.startswith(prefix) if n >= 0 else False for n in found]
        assert np.mean(mine) > 0.97, tissue
    assert find_subregions(knee.model, np.array([[500.0, 0.0, 0.0]])).tolist() == [-1]
