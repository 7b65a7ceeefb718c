"""What is measured on the three real label maps; see `KNEE_REAL_DATA`."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from knee.anatomy import Bone, Compartment, Side, Structure, Subregion
from knee.findings import EvidenceLevel, MeasurementName, SideCheck, VolumeFindings
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from tests.real_data import CARTIMORPH_LABELS, PYMSKT, SPL, real_file
from tools.anatomical_frame import anatomical_knee
from tools.articular_surface import CARTILAGES
from tools.describe import describe_volume
from tools.segmentation import LabelMap, load_label_map, load_scheme
from tools.subregions import ORDER, label_cartilage, make_partition

pytestmark = pytest.mark.realdata
KNEES = [(PYMSKT, "pymskt", Side.RIGHT), (SPL, "spl-atlas", Side.LEFT)]
ALL_KNEES = [*KNEES, (CARTIMORPH_LABELS, "oaizib-cm", Side.RIGHT)]


@cache
def _label_map(name: str, scheme: str, side: Side) -> LabelMap:
    return load_label_map(real_file(name), load_scheme(scheme), side)


@cache
def _findings(name: str, scheme: str, side: Side) -> VolumeFindings:
    return describe_volume(None, _label_map(name, scheme, side), f"real/V00/{side.value}")


@pytest.mark.parametrize("knee", ALL_KNEES)
def test_every_cartilage_voxel_is_in_exactly_one_subregion_of_its_own_side(
    knee: tuple[str, str, Side],
):
    label_map = _label_map(*knee)
    anatomical = anatomical_knee(label_map)
    partition, charts = make_partition(anatomical)
    total = 0
    for bone in charts:
        mask = anatomical.mask(*CARTILAGES[bone])
        labels = label_cartilage(partition, anatomical, bone, mask)
        assert labels.min() >= 0
        assert {ORDER[int(i)] for i in np.unique(labels)} == {
            s for s in Subregion if s.bone is bone and s.is_articular
        }
        total += labels.size
    labelled = sum(label_map.n_voxels(s) for b in charts for s in CARTILAGES[b])
    # A knee that lies askew is turned first, voxel by nearest voxel.
    tolerance = 0.02 if anatomical.frame.turn is not None else 0
    assert total == pytest.approx(labelled, rel=tolerance)
    for side, structure in (
        (Compartment.MEDIAL, Structure.MEDIAL_TIBIAL_CARTILAGE),
        (Compartment.LATERAL, Structure.LATERAL_TIBIAL_CARTILAGE),
    ):
        labels = label_cartilage(partition, anatomical, Bone.TIBIA, anatomical.mask(structure))
        own = np.mean([ORDER[int(i)].compartment is side for i in labels])
        assert own > 0.99


@pytest.mark.parametrize("knee", ALL_KNEES)
def test_cartilage_of_a_subregion_is_in_one_piece(knee: tuple[str, str, Side]):
    anatomical = anatomical_knee(_label_map(*knee))
    partition, charts = make_partition(anatomical)
    for bone in charts:
        mask = anatomical.mask(*CARTILAGES[bone])
        labels = label_cartilage(partition, anatomical, bone, mask)
        where = np.nonzero(mask)
        for index in np.unique(labels):
            part = np.zeros(mask.shape, np.bool_)
            part[tuple(axis[labels == index] for axis in where)] = True
            pieces, _ = ndimage.label(part, structure=np.ones((3, 3, 3)))
            largest = np.bincount(pieces[part]).max()
            assert largest > 0.9 * part.sum(), ORDER[int(index)]


@pytest.mark.parametrize("knee", KNEES)
def test_every_question_has_a_box_and_the_side_is_confirmed(knee: tuple[str, str, Side]):
    found = _findings(*knee)
    assert found.side_check is SideCheck.CONFIRMED
    for finding in found.findings:
        assert finding.box is not None, (finding.region, finding.box_reason)


@pytest.mark.parametrize("knee", ALL_KNEES)
def test_medial_boxes_are_medial_of_lateral_ones(knee: tuple[str, str, Side]):
    found = {f.region: f for f in _findings(*knee).findings}
    sign = -1 if knee[2] is Side.RIGHT else 1
    for region, finding in found.items():
        other = found.get(region.replace("medial", "lateral"))
        if "medial" not in region or other is None or finding.box_world is None:
            continue
        assert other.box_world is not None
        x = [
            sum(f.box_world.lower[:1] + f.box_world.upper[:1])
            for f in (finding, other)
            if f.box_world is not None
        ]
        assert (x[0] - x[1]) * sign > 0, region


@pytest.mark.parametrize("knee", ALL_KNEES)
def test_measurements_are_those_of_a_knee(knee: tuple[str, str, Side]):
    for finding in _findings(*knee).findings:
        feature = QUESTIONS[finding.question_id].feature
        value = {m.name: m.value for m in finding.measurements}
        if feature is Feature.CARTILAGE and value:
            on_patella = "patella" in finding.region
            assert (1.0 if on_patella else 1.4) < value[MeasurementName.MEAN_THICKNESS] < 3.6
            assert 100 < value[MeasurementName.SURFACE_AREA] < 1800
            # The patella of the pymskt knee has holes; all else is nearly whole.
            assert value[MeasurementName.FULL_THICKNESS_SHARE] < (30 if on_patella else 15)
        if feature is Feature.EXTRUSION and value:
            assert 0 <= value[MeasurementName.EXTRUSION] < 4.5
        if feature is Feature.OSTEOPHYTE and value:
            assert 0 <= value[MeasurementName.OSTEOPHYTE_PROTRUSION] < 6.5
        if feature is Feature.BML and value:
            # A tibia's anterior part is what the anterior horn covers: hardly 7 mm deep.
            assert 1000 < value[MeasurementName.SUBREGION_VOLUME] < 30000


def test_the_mean_healthy_knee_has_hardly_a_finding():
    knee = (CARTIMORPH_LABELS, "oaizib-cm", Side.RIGHT)
    shares: list[float] = []
    for finding in _findings(*knee).findings:
        for measurement in finding.measurements:
            if measurement.name is MeasurementName.FULL_THICKNESS_SHARE:
                assert measurement.value == 0
            if measurement.name is MeasurementName.THINNED_SHARE:
                shares.append(measurement.value)
            if measurement.name is MeasurementName.OSTEOPHYTE_PROTRUSION:
                assert measurement.value < 1.6
    assert len(shares) == 12
    assert np.mean(shares) < 3


def test_what_a_scheme_does_not_label_is_said():
    found = {f.question_id: f for f in _findings(PYMSKT, "pymskt", Side.RIGHT).findings}
    for question_id in (4, 43, 60):
        evidence = found[question_id].evidence[0]
        assert evidence.level is EvidenceLevel.NONE
        assert evidence.reason.startswith("not_in_scheme")
    assert found[60].box_reason is not None
    spl = {f.question_id: f for f in _findings(SPL, "spl-atlas", Side.LEFT).findings}
    assert spl[60].evidence_for(Component.COMPLETE_TEAR).level is EvidenceLevel.WEAK
    assert spl[60].measurement(MeasurementName.STRUCTURE_VOLUME) is not None
