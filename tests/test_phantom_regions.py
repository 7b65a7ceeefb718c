"""The phantom's analytic regions lie where its own voxels say, and absences leave no voxel."""

import numpy as np
import pytest

from knee.anatomy import ExtrusionSite, Side, Subregion
from knee.errors import InputError
from knee.geometry import Box3D, intersection_over_union
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from stages.cli.making import _ABSENCES  # pyright: ignore[reportPrivateUsage]
from tools.phantom.bone_rules import without_menisci
from tools.phantom.build import build_knee, make_phantom
from tools.phantom.grid import DEMO_GRID, SMALL_GRID, make_grid
from tools.phantom.model import KneeModel, build_model
from tools.phantom.pathology import Absence, Pathology
from tools.phantom.plate import SUBREGIONS
from tools.phantom.raster import rasterise
from tools.phantom.regions import find_region, region_box
from tools.phantom.tissues import Tissue, label_lookup
from tools.phantom.truth import measure_truth

HEALTHY = Pathology(extrusion_mm=dict.fromkeys(ExtrusionSite, 0.0))


def box_of(model: KneeModel, number: int) -> Box3D:
    found = region_box(model, DEMO_GRID, find_region(model, QUESTIONS[number]))
    assert found is not None
    return found[0]


@pytest.mark.parametrize("side", list(Side))
def test_every_question_has_a_region_inside_the_volume(side: Side):
    model = build_model(31, side)
    for number, question in QUESTIONS.items():
        if not question.has_region:
            with pytest.raises(InputError, match=str(number)):
                find_region(model, question)
            continue
        region = find_region(model, question)
        found = region_box(model, DEMO_GRID, region)
        assert found is not None, question.region
        # The suprapatellar pouch alone reaches beyond a DESS field of view.
        assert found[1] == (question.feature is Feature.EFFUSION_SYNOVITIS), question.region


@pytest.mark.parametrize(
    ("number", "tissue", "least"),
    [
        (42, Tissue.HOFFA_FAT_PAD, 0.85),
        (56, Tissue.MEDIAL_MENISCUS, 0.85),
        (57, Tissue.LATERAL_MENISCUS, 0.85),
        (61, Tissue.PCL, 0.75),
        (62, Tissue.PATELLAR_TENDON, 0.85),
    ],
)
def test_a_structures_region_is_the_box_of_its_voxels(number: int, tissue: Tissue, least: float):
    grid = make_grid((0.9, 0.7, 0.7), (120, 190, 200))
    knee = build_knee(32, Side.LEFT, HEALTHY)
    voxels = np.argwhere(label_lookup()[rasterise(knee, grid)] == tissue)
    extrusion = knee.meniscus_state.extrusion
    found = region_box(knee.model, grid, find_region(knee.model, QUESTIONS[number], extrusion))
    assert found is not None
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    drawn = Box3D(frame=found[0].frame, lower=tuple(low.tolist()), upper=tuple(high.tolist()))
    assert intersection_over_union(found[0], drawn) > least


def test_pathology_moves_no_region():
    sick = build_knee(33, Side.RIGHT, HEALTHY.without(list(Absence)))
    healthy = build_knee(33, Side.RIGHT, HEALTHY)
    for number in (19, 25, 42, 48, 54, 56, 58, 60):
        assert box_of(sick.model, number) == box_of(healthy.model, number)


def test_without_menisci_other_rules_part_the_same_plates():
    model = build_model(34, Side.RIGHT)
    bare = without_menisci(model)
    for one, other in zip(model.plates(), bare.plates(), strict=True):
        assert np.array_equal(one.subregion >= 0, other.subregion >= 0)
    femur = [p.subregion for p in (model.femur, bare.femur)]
    central = SUBREGIONS.index(Subregion.FEMUR_MEDIAL_CENTRAL)
    # The 60 % rule leaves less to the central part than the meniscal margins.
    assert (femur[1] == central).sum() < (femur[0] == central).sum()


@pytest.mark.parametrize("absence", list(Absence))
def test_an_absent_structure_has_no_voxel_and_the_truth_says_so(absence: Absence):
    knee = build_knee(35, Side.RIGHT, HEALTHY.without([absence]))
    labels = label_lookup()[rasterise(knee, DEMO_GRID)]
    share = (labels == Tissue[absence.name]).sum()
    whole = (
        label_lookup()[rasterise(build_knee(35, Side.RIGHT, HEALTHY), DEMO_GRID)]
        == Tissue[absence.name]
    ).sum()
    # A rim of half a table cell around a plate may catch a voxel.
    assert share <= 0.01 * whole
    grades = {(r.feature, r.site, r.component): r.grade for r in measure_truth(knee)}
    if absence is Absence.ACL:
        assert grades[Feature.ACL, "acl", Component.COMPLETE_TEAR] == 1
    elif absence.value.endswith("meniscus"):
        assert grades[Feature.MORPHOLOGY, f"{absence.value}_body", Component.MORPHOLOGY] == 8
    else:
        gone = [s.value for s in Subregion if absence.covers(s)]
        assert gone
        for site in gone:
            assert grades[Feature.CARTILAGE, site, Component.FULL_THICKNESS] == 3


def test_the_command_offers_every_absence():
    assert set(_ABSENCES) == {absence.value for absence in Absence}


def test_noise_and_bias_can_be_chosen():
    quiet, loud = (
        make_phantom(36, Side.RIGHT, SMALL_GRID, pathology=HEALTHY, noise_sd=sd, bias=0.0)
        for sd in (0.0, 40.0)
    )
    air = quiet.label_map == 0
    corner = (slice(0, 4), slice(0, 4), slice(0, 4))
    assert air[corner].all()
    assert quiet.image[corner].std() < 1.0 < loud.image[corner].std()
    assert np.array_equal(quiet.label_map, loud.label_map)
    flat, curved = (
        make_phantom(36, Side.RIGHT, SMALL_GRID, pathology=HEALTHY, noise_sd=0.0, bias=bias).image
        for bias in (0.0, 0.4)
    )
    assert float(np.abs(flat.astype(float) - curved).max()) > 20
    with pytest.raises(InputError, match="noise out of range"):
        make_phantom(36, Side.RIGHT, SMALL_GRID, pathology=HEALTHY, noise_sd=-1.0)
    with pytest.raises(InputError, match="bias out of range"):
        make_phantom(36, Side.RIGHT, SMALL_GRID, pathology=HEALTHY, bias=0.9)
