import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from knee.anatomy import Side, Structure
from knee.calibration import CalibratedRule, Calibration
from knee.findings import EvidenceLevel, Finding, MeasurementName, Unit, VolumeFindings
from knee.grades import ClinicianGrade, GradeStatus
from knee.moaks import Component, Feature, RuleBasis
from knee.questions import QUESTIONS
from knee.records import ComponentStatus
from tests.phantom_maps import phantom_image, phantom_map
from tests.plateau_knee import Plateau, ball
from tests.sample_items import sample_item
from tools.describe import describe_volume
from tools.evidence import is_suitable_for_bml
from tools.segmentation import LabelMap, Scheme, label_map_from_volume

CALIBRATION = Calibration(
    name="test",
    rules=(
        CalibratedRule(
            feature=Feature.OSTEOPHYTE,
            component=Component.GRADE,
            measurement=MeasurementName.OSTEOPHYTE_PROTRUSION,
            unit=Unit.MM,
            edges=(1.2, 2.1, 4.1),
            source="test",
        ),
    ),
)


@cache
def _phantom(*, calibrated: bool = False) -> VolumeFindings:
    label_map = phantom_map(71, Side.RIGHT, 0.6)
    calibration = CALIBRATION if calibrated else None
    return describe_volume(None, label_map, "P/V00/right/dess", calibration=calibration)


def _without_labels(label_map: LabelMap, *structures: Structure) -> LabelMap:
    """The same voxels under a scheme that has no label for some structures."""
    old = label_map.scheme
    gone = [n for n, s in old.labels.items() if s in structures]
    array = label_map.volume.array.copy()
    for number in gone:
        array[array == number] = 0
    labels = {n: s for n, s in old.labels.items() if n not in gone}
    scheme = Scheme.model_validate(old.model_dump() | {"labels": labels})
    return label_map_from_volume(replace(label_map.volume, array=array), scheme, label_map.side)


def test_every_component_of_every_question_has_evidence_with_a_reason():
    findings = _phantom().findings
    assert [f.question_id for f in findings] == list(range(1, 63))
    for finding in findings:
        components = tuple(e.component for e in finding.evidence)
        assert components == QUESTIONS[finding.question_id].components
        assert all(e.reason for e in finding.evidence)


def test_what_no_mask_shows_is_none():
    for finding in _phantom().findings:
        feature = QUESTIONS[finding.question_id].feature
        if feature in (
            Feature.HOFFA_SYNOVITIS,
            Feature.MENISCAL_CYST,
            Feature.HYPERTROPHY,
            Feature.ROOT_TEAR,
            Feature.PATELLAR_TENDON,
        ):
            assert {e.level for e in finding.evidence} == {EvidenceLevel.NONE}
            assert all(e.rule_grade is None for e in finding.evidence)


def test_rules_with_moaks_numbers_give_grades_and_the_size_of_cartilage_is_calibrated():
    findings = {f.question_id: f for f in _phantom().findings}
    size = findings[4].evidence_for(Component.SIZE)
    assert (size.level, size.rule_basis) == (EvidenceLevel.MEASURED, RuleBasis.MOAKS)
    assert size.rule_grade is not None
    assert findings[19].evidence_for(Component.FULL_THICKNESS).rule_basis is RuleBasis.MOAKS
    assert findings[44].evidence_for(Component.GRADE).rule_basis is RuleBasis.MOAKS


def test_what_counts_as_thinned_is_weak_and_what_is_gone_is_measured():
    for finding in _phantom().findings:
        if QUESTIONS[finding.question_id].feature is not Feature.CARTILAGE:
            continue
        size = finding.evidence_for(Component.SIZE)
        assert (size.level, size.rule_basis) == (EvidenceLevel.WEAK, RuleBasis.CALIBRATED)
        assert size.rule_grade is not None
        assert "thinned is fitted" in size.reason
        gone = finding.evidence_for(Component.FULL_THICKNESS)
        assert (gone.level, gone.rule_basis) == (EvidenceLevel.MEASURED, RuleBasis.MOAKS)


def test_osteophytes_are_graded_by_a_calibration_only():
    without = next(f for f in _phantom().findings if f.question_id == 40).evidence[0]
    assert (without.level, without.rule_grade) == (EvidenceLevel.MEASURED, None)
    assert without.rule_basis is RuleBasis.NONE
    calibrated = next(
        f for f in _phantom(calibrated=True).findings if f.question_id == 40
    ).evidence[0]
    assert calibrated.rule_grade is not None
    assert calibrated.rule_basis is RuleBasis.CALIBRATED


def test_lesions_without_a_suitable_sequence_are_weak_and_without_labels_none():
    label_map = phantom_map(71, Side.RIGHT, 0.6)
    dess = label_map.scheme.model_copy(update={"lesion_source_sequence": "SAG 3D DESS"})
    weak = describe_volume(None, LabelMap(label_map.volume, dess, label_map.side), "P/V00/right")
    assert weak.findings[3].evidence_for(Component.SIZE).level is EvidenceLevel.WEAK
    none = _without_labels(label_map, Structure.FEMORAL_BML)
    evidence = describe_volume(None, none, "P/V00/right").findings[3].evidence
    assert {e.level for e in evidence} == {EvidenceLevel.NONE}
    assert all(e.reason.startswith("not_in_scheme") for e in evidence)


@pytest.mark.parametrize(
    ("sequence", "suitable"),
    [
        ("SAG IW TSE FS", True),
        ("T2 FS", True),
        ("cor PD SPAIR", True),
        ("STIR", True),
        ("sag_iw_tse_fs", True),
        ("cor_t1", False),
        ("SAG 3D DESS", False),
        ("SAG 3D DESS WE", False),
        ("T1", False),
        ("T2 MAP", False),
        (None, False),
    ],
)
def test_which_sequences_show_bone_marrow_lesions(sequence: str | None, suitable: bool):
    assert is_suitable_for_bml(sequence) is suitable


def test_a_horn_that_is_gone_is_weak_evidence_and_one_that_is_there_is_none():
    ring = (Structure.MEDIAL_MENISCUS, ball(20, 14, 4, 5))
    findings = describe_volume(None, Plateau(paint=(ring,)).label_map(), "P/V00/right").findings
    by_id = {f.question_id: f.evidence[0] for f in findings}
    assert by_id[48].level is EvidenceLevel.NONE
    assert by_id[50].level is EvidenceLevel.WEAK
    assert by_id[50].reason.startswith("absent")
    assert by_id[50].rule_grade is None
    assert by_id[51].level is EvidenceLevel.WEAK


def test_an_absent_ligament_is_a_finding_and_a_missing_label_is_not():
    label_map = phantom_map(71, Side.RIGHT, 0.6)
    array = label_map.volume.array.copy()
    array[label_map.mask(Structure.ACL)] = 0
    gone = label_map_from_volume(
        replace(label_map.volume, array=array), label_map.scheme, Side.RIGHT
    )
    finding = describe_volume(None, gone, "P/V00/right").findings[59]
    tear = finding.evidence_for(Component.COMPLETE_TEAR)
    assert (tear.level, tear.reason.split(":")[0]) == (EvidenceLevel.WEAK, "absent")
    assert tear.measurement is MeasurementName.STRUCTURE_GAP
    gap = finding.measurement(MeasurementName.STRUCTURE_GAP)
    assert gap is not None
    assert gap.value > 12
    bare = _without_labels(label_map, Structure.ACL)
    other = describe_volume(None, bare, "P/V00/right").findings[59]
    assert other.evidence_for(Component.COMPLETE_TEAR).reason.startswith("not_in_scheme")
    assert other.measurements == ()


def _levels(findings: VolumeFindings, feature: Feature) -> set[EvidenceLevel]:
    return {
        e.level
        for f in findings.findings
        if QUESTIONS[f.question_id].feature is feature
        for e in f.evidence
    }


def _with_image(sequence: str, *gone: Structure) -> VolumeFindings:
    label_map = _without_labels(phantom_map(71, Side.RIGHT, 0.6), *gone)
    volume_id = f"P/V00/right/{sequence}"
    return describe_volume(phantom_image(71, Side.RIGHT, 0.6), label_map, volume_id)


def test_with_an_image_what_no_mask_shows_is_image_evidence_and_never_weak():
    found = _with_image("dess")
    for feature in (
        Feature.MENISCAL_CYST,
        Feature.HYPERTROPHY,
        Feature.ROOT_TEAR,
        Feature.PATELLAR_TENDON,
    ):
        assert _levels(found, feature) == {EvidenceLevel.IMAGE}, feature
    horns = [f for f in found.findings if QUESTIONS[f.question_id].feature is Feature.MORPHOLOGY]
    assert EvidenceLevel.IMAGE in {f.evidence[0].level for f in horns}
    assert all("dess image" in e.reason for f in horns for e in f.evidence if e.level == "image")


def test_dess_is_no_evidence_of_marrow_lesions_and_a_suitable_sequence_is():
    lesions = (Structure.FEMORAL_BML, Structure.TIBIAL_BML, Structure.PATELLAR_BML)
    assert _levels(_with_image("dess", *lesions), Feature.BML) == {EvidenceLevel.NONE}
    assert _levels(_with_image("sag_iw_tse_fs", *lesions), Feature.BML) == {EvidenceLevel.IMAGE}


def test_the_fat_pads_signal_is_weak_and_says_what_readers_grade_on():
    evidence = _with_image("dess").findings[41].evidence[0]
    assert evidence.level is EvidenceLevel.WEAK
    assert evidence.measurement is MeasurementName.HOFFA_SIGNAL_SHARE
    assert "fat-suppressed" in evidence.reason
    bare = _with_image("dess", Structure.HOFFA_FAT_PAD).findings[41].evidence[0]
    assert bare.level is EvidenceLevel.IMAGE


def test_a_region_without_a_box_has_no_evidence():
    finding = describe_volume(None, Plateau().label_map(), "P/V00/right").findings[59]
    assert finding.box is None
    assert {e.level for e in finding.evidence} == {EvidenceLevel.NONE}


def test_near_a_threshold_a_grade_is_borderline():
    found = [e for f in _phantom().findings for e in f.evidence if e.margin is not None]
    assert found
    for finding in _phantom().findings:
        for e in finding.evidence:
            if e.measurement is None or e.margin is None:
                continue
            measured = finding.measurement(e.measurement)
            assert measured is not None
            assert e.borderline == (measured.sd is not None and e.margin <= measured.sd)


def _rule(
    feature: Feature, component: Component, name: MeasurementName, unit: Unit, *edges: float
) -> CalibratedRule:
    return CalibratedRule(
        feature=feature,
        component=component,
        measurement=name,
        unit=unit,
        edges=edges,
        source="test",
    )


@pytest.mark.parametrize(
    ("name", "unit", "edges"),
    [
        (MeasurementName.EFFUSION_VOLUME, Unit.ML, (3.0, 7.0, 13.0)),
        (MeasurementName.EFFUSION_DEPTH, Unit.MM, (2.0, 6.0, 10.0)),
    ],
)
def test_the_measurement_that_a_calibration_reads_carries_the_grade(
    name: MeasurementName, unit: Unit, edges: tuple[float, ...]
):
    rule = _rule(Feature.EFFUSION_SYNOVITIS, Component.GRADE, name, unit, *edges)
    calibration = Calibration(name="test", rules=(rule,))
    label_map = phantom_map(71, Side.RIGHT, 0.6)
    finding = describe_volume(None, label_map, "P/V00/right", calibration=calibration).findings[42]
    evidence, measured = finding.evidence[0], finding.measurement(name)
    assert measured is not None
    assert evidence.measurement is name
    assert evidence.rule_grade == rule.grade_rule().grade(measured.value)
    assert evidence.rule_basis is RuleBasis.CALIBRATED


def test_a_calibrated_gap_grades_a_torn_ligament():
    rule = _rule(Feature.ACL, Component.COMPLETE_TEAR, MeasurementName.STRUCTURE_GAP, Unit.MM, 5.0)
    calibration = Calibration(name="test", rules=(rule,))
    label_map = phantom_map(71, Side.RIGHT, 0.6)
    whole = describe_volume(None, label_map, "P/V00/right", calibration=calibration)
    array = label_map.volume.array.copy()
    array[label_map.mask(Structure.ACL)] = 0
    gone = label_map_from_volume(
        replace(label_map.volume, array=array), label_map.scheme, Side.RIGHT
    )
    torn = describe_volume(None, gone, "P/V00/right", calibration=calibration)
    grades = [
        f.findings[59].evidence_for(Component.COMPLETE_TEAR).rule_grade for f in (whole, torn)
    ]
    assert grades == [0, 1]
    assert whole.findings[59].evidence_for(Component.REPAIR).rule_grade is None


def test_what_only_an_image_shows_is_not_asked_of_a_text_drafter():
    finding = _with_image("dess").findings[59]
    read = tuple(
        ClinicianGrade(
            question_id=60,
            component=component,
            status=GradeStatus.READ,
            grade=0,
            patient="P",
            visit="V00",
            side=Side.RIGHT,
            raw=("0",),
            variable="V",
            file="f",
            lines=(1,),
            readprj=("1",),
            version=("1",),
        )
        for component in QUESTIONS[60].components
    )
    item = sample_item().model_copy(
        update={"question_id": 60, "finding": finding, "clinician": read}
    )
    assert item.asked == (Component.COMPLETE_TEAR,)
    assert item.status_of(Component.REPAIR) is ComponentStatus.NO_EVIDENCE


def _described(label_map: LabelMap) -> dict[int, Finding]:
    found = describe_volume(None, label_map, "P/V00/right/dess", calibration=CALIBRATION)
    return {finding.question_id: finding for finding in found.findings}


def test_a_cartilage_without_a_label_is_not_denuded():
    whole = phantom_map(71, Side.RIGHT, 0.6)
    found = _described(_without_labels(whole, Structure.MEDIAL_TIBIAL_CARTILAGE))
    for question in (24, 25, 26):
        finding = found[question]
        assert finding.measurements == ()
        assert {e.level for e in finding.evidence} == {EvidenceLevel.NONE}
        assert all(
            "not_in_scheme: no label for medial_tibial" in e.reason for e in finding.evidence
        )
        assert finding.box is not None
        assert finding.box_reason == (
            "not_in_scheme: medial_tibial_cartilage is not labelled, box where it belongs"
        )
    for question in (27, 28, 29):
        levels = [entry.level for entry in found[question].evidence]
        assert levels == [EvidenceLevel.WEAK, EvidenceLevel.MEASURED]


def test_without_a_label_for_cysts_nobody_knows_how_much_of_a_lesion_is_one():
    whole = phantom_map(71, Side.RIGHT, 0.6)
    found, whole_found = (
        _described(m) for m in (_without_labels(whole, Structure.SUBCHONDRAL_CYST), whole)
    )
    for question in range(1, 16):
        finding = found[question]
        assert finding.measurement(MeasurementName.BML_SHARE_OF_LESION) is None
        percent = finding.evidence_for(Component.PERCENT_BML)
        assert (percent.level, percent.rule_grade) == (EvidenceLevel.NONE, None)
        assert "no label for subchondral_cyst" in percent.reason
        # A lesion that is all cyst is none in such a map: what is measured is too small.
        for component in (Component.SIZE, Component.NUMBER):
            evidence = finding.evidence_for(component)
            assert evidence.level is EvidenceLevel.WEAK
            assert "all cyst is missed" in evidence.reason
            assert evidence.rule_grade is not None
            assert whole_found[question].evidence_for(component).level is EvidenceLevel.MEASURED


@pytest.mark.parametrize("keeps_scheme", [True, False])
def test_lesions_of_a_bone_that_is_not_there_are_no_bone(keeps_scheme: bool):
    whole = phantom_map(71, Side.RIGHT, 1.0)
    bare = _without_labels(whole, Structure.TIBIA)
    if keeps_scheme:
        bare = label_map_from_volume(bare.volume, whole.scheme, Side.RIGHT)
    assert bare.n_voxels(Structure.TIBIAL_BML) * bare.volume.voxel_volume > 3000
    found = _described(bare)
    for question in (*range(9, 16), *range(24, 30), 40, 41, *range(44, 48)):
        finding = found[question]
        assert finding.box is None
        assert finding.measurements == ()
        assert {e.level for e in finding.evidence} == {EvidenceLevel.NONE}


def test_a_cyst_that_touches_no_bone_is_no_part_of_one():
    made = phantom_map(71, Side.RIGHT, 0.0)
    number = next(n for n, s in made.scheme.labels.items() if s is Structure.SUBCHONDRAL_CYST)
    array = made.volume.array.copy()
    i, j, k = (int(x) for x in np.argwhere(made.mask(Structure.HOFFA_FAT_PAD)).mean(axis=0))
    array[i - 2 : i + 2, j - 2 : j + 2, k - 2 : k + 2] = number
    stray = label_map_from_volume(replace(made.volume, array=array), made.scheme, made.side)
    for question, finding in _described(stray).items():
        if QUESTIONS[question].feature in (Feature.BML, Feature.OSTEOPHYTE):
            assert finding.measurements == _described_healthy()[question].measurements


@cache
def _described_healthy() -> dict[int, Finding]:
    return _described(phantom_map(71, Side.RIGHT, 0.0))


def test_what_the_volume_cuts_off_is_weak_and_carries_no_grade():
    whole = phantom_map(71, Side.RIGHT, 0.6)
    top = int(np.argwhere(whole.mask(Structure.TIBIA))[:, 2].max())
    volume = whole.volume
    cut = replace(volume, array=volume.array[:, :, : top + 20])
    found = _described(label_map_from_volume(cut, whole.scheme, Side.RIGHT))
    finding = found[20]
    assert finding.truncated
    for entry in finding.evidence:
        assert entry.level is EvidenceLevel.WEAK
        assert entry.reason.startswith("outside_field_of_view in part")
        assert entry.rule_grade is None
    # Without the patella nobody sees where fluid collects: none found is not none there.
    assert found[43].evidence[0].level is EvidenceLevel.NONE
    assert "outside_field_of_view" in found[43].evidence[0].reason
    # The tibia is whole, but for the shaft, which leaves every volume.
    assert found[10].evidence[0].level is EvidenceLevel.MEASURED


def _cut(label_map: LabelMap, axis: int, bone: Structure, *, low: float, high: float) -> LabelMap:
    """The map without some mm of a bone at the beginning and end of an axis; 0 cuts nothing."""
    volume = label_map.volume
    used = np.flatnonzero(label_map.mask(bone).any(axis=tuple({0, 1, 2} - {axis})))
    step = volume.spacing[axis]
    start = int(used[0]) + round(low / step) if low else 0
    stop = int(used[-1]) + 1 - round(high / step) if high else volume.shape[axis]
    keep = [slice(None)] * 3
    keep[axis] = slice(start, stop)
    kept = replace(volume, array=volume.array[tuple(keep)])
    return label_map_from_volume(kept, label_map.scheme, label_map.side)


def test_a_bone_that_the_volume_cuts_off_gives_no_grade_though_the_region_is_in_it():
    whole = phantom_map(71, Side.RIGHT, 0.6)
    cut = _described(_cut(whole, 1, Structure.FEMUR, low=11, high=0))
    inside = [cut[question] for question in (4, 7, 8, 9, 21, 44)]
    assert not any(finding.truncated for finding in inside)
    for finding in inside:
        for entry in (e for e in finding.evidence if e.measurement is not None):
            assert entry.level is EvidenceLevel.WEAK
            assert re.search("cuts off the (femur|tibia) at its posterior side", entry.reason)
            assert "moves borders" in entry.reason
            assert entry.rule_grade is None
            assert entry.margin is None
    patella = cut[2].evidence_for(Component.SIZE)
    assert (patella.level, patella.rule_grade is not None) == (EvidenceLevel.MEASURED, True)


def test_where_to_look_is_not_known_nothing_is_0():
    whole = phantom_map(71, Side.RIGHT, 0.6)
    menisci = (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS)
    array = np.where(whole.mask(menisci[0]) | whole.mask(menisci[1]), whole.volume.array, 0)
    alone = label_map_from_volume(replace(whole.volume, array=array), whole.scheme, Side.RIGHT)
    for finding in _described(alone).values():
        if finding.box is None:
            assert all(measured.value > 0 for measured in finding.measurements)
