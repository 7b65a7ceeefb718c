from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from knee.anatomy import Side, Structure
from knee.calibration import Calibration
from knee.errors import InputError
from knee.findings import BoxSource, Finding, SideCheck, VolumeFindings
from knee.geometry import Frame, change_frame, intersection_over_union
from knee.moaks import Feature
from knee.questions import QUESTIONS
from tests.phantom_maps import as_label_map, phantom_map
from tests.plateau_knee import Plateau
from tools.definitions import DEFINITIONS
from tools.describe import describe_volume
from tools.segmentation import LabelMap
from tools.volumes import Volume, stored_box_to_canonical

SEED = 72


@cache
def _findings(side: Side, severity: float, codes: str | None = None) -> VolumeFindings:
    return describe_volume(None, phantom_map(SEED, side, severity, codes), f"P/V00/{side.value}")


def _numbers(finding: Finding) -> dict[str, float]:
    return {m.name.value: m.value for m in finding.measurements}


@pytest.mark.parametrize("codes", ["LAS", "PIR", "RAS"])
def test_a_copy_in_another_storage_order_gives_the_same_findings(codes: str):
    plain, copy = _findings(Side.LEFT, 0.6), _findings(Side.LEFT, 0.6, codes)
    first = phantom_map(SEED, Side.LEFT, 0.6).volume
    second = phantom_map(SEED, Side.LEFT, 0.6, codes).volume
    assert copy.orientation == codes
    for one, other in zip(plain.findings, copy.findings, strict=True):
        assert _numbers(one) == _numbers(other)
        assert one.evidence == other.evidence
        assert (one.box is None) == (other.box is None)
        if one.box is not None and other.box is not None:
            assert stored_box_to_canonical(one.box, first) == stored_box_to_canonical(
                other.box, second
            )


def test_the_mirror_image_of_a_right_knee_is_a_left_knee():
    right = phantom_map(SEED, Side.RIGHT, 0.6)
    canonical = right.volume.to_canonical()
    affine = np.diag([*canonical.spacing, 1.0])
    straight = as_label_map(np.ascontiguousarray(canonical.array), affine, Side.RIGHT)
    mirrored = as_label_map(np.ascontiguousarray(canonical.array[::-1]), affine, Side.LEFT)
    first = describe_volume(None, straight, "P/V00/right")
    second = describe_volume(None, mirrored, "P/V00/left")
    width = canonical.shape[0]
    for one, other in zip(first.findings, second.findings, strict=True):
        assert _numbers(one) == _numbers(other)
        if one.box is not None and other.box is not None:
            assert other.box.lower[0] == width - one.box.upper[0]
            assert other.box.lower[1:] == one.box.lower[1:]


def test_boxes_are_in_the_stored_frame_and_in_millimetres():
    found = _findings(Side.RIGHT, 0.3)
    for finding in found.findings:
        assert finding.box is not None, finding.region
        assert finding.box_world is not None
        assert finding.box.frame is Frame.VOXEL_IJK
        assert all(low >= 0 for low in finding.box.lower)
        assert all(h <= n for h, n in zip(finding.box.upper, found.shape, strict=True))
        assert change_frame(finding.box, Frame.WORLD_RAS_MM, found.affine) == finding.box_world


def test_boxes_do_not_tell_the_grade():
    """Twins of one anatomy, healthy and sick; effusion aside, whose shape is the grade."""
    for side in Side:
        pairs = zip(_findings(side, 0.0).findings, _findings(side, 0.9).findings, strict=True)
        overlaps: dict[Feature, list[float]] = {}
        for healthy, sick in pairs:
            assert healthy.box is not None
            assert sick.box is not None
            overlap = intersection_over_union(healthy.box, sick.box)
            overlaps.setdefault(QUESTIONS[healthy.question_id].feature, []).append(overlap)
        for feature in (Feature.BML, Feature.CARTILAGE, Feature.OSTEOPHYTE, Feature.EXTRUSION):
            assert np.mean(overlaps[feature]) > 0.8, (feature, overlaps[feature])


def test_a_cartilage_box_holds_the_cartilage_of_its_side():
    label_map = phantom_map(SEED, Side.RIGHT, 0.0)
    found = {f.question_id: f for f in _findings(Side.RIGHT, 0.0).findings}
    inside = 0
    mask = label_map.mask(Structure.MEDIAL_TIBIAL_CARTILAGE)
    for question_id in (24, 25, 26):
        box = found[question_id].box
        assert box is not None
        i0, i1, j0, j1, k0, k1 = box.indices
        inside += int(mask[i0:i1, j0:j1, k0:k1].sum())
    assert inside >= 0.98 * mask.sum()


def test_a_meniscus_that_is_gone_still_has_its_boxes():
    found = {f.question_id: f for f in describe_volume(None, _tibia(), "P/V00/right").findings}
    for question_id in (48, 49, 50, 54, 56, 58):
        finding = found[question_id]
        assert finding.box is not None
        assert finding.box_source is BoxSource.DERIVED
    assert found[49].box_reason is not None
    assert found[49].box_reason.startswith("absent")
    assert found[44].measurements == ()


def test_a_bone_that_is_not_there_has_no_boxes_and_says_why():
    found = {f.question_id: f for f in describe_volume(None, _tibia(), "P/V00/right").findings}
    for question_id in (1, 4, 16, 19, 30, 34, 43, 60, 62):
        assert found[question_id].box is None
        assert found[question_id].box_reason
    assert found[4].box_reason is not None
    assert "outside_field_of_view" in found[4].box_reason


def test_every_definition_that_is_named_has_a_text():
    named = {f.definition_id for f in _findings(Side.RIGHT, 0.6).findings}
    for finding in _findings(Side.RIGHT, 0.6).findings:
        named |= {m.definition_id for m in finding.measurements}
    assert named <= set(DEFINITIONS)
    assert all(len(text) > 30 for text in DEFINITIONS.values())


def test_the_findings_id_changes_with_what_the_findings_rest_on():
    label_map = _tibia()
    base = describe_volume(None, label_map, "P/V00/right").findings_id
    assert describe_volume(None, label_map, "other/V00/right").findings_id == base
    calibration = Calibration(name="fitted")
    again = describe_volume(None, label_map, "P/V00/right", calibration=calibration)
    assert again.findings_id != base
    scheme = label_map.scheme.model_copy(update={"lesion_source_sequence": None})
    other = LabelMap(label_map.volume, scheme, label_map.side)
    assert describe_volume(None, other, "P/V00/right").findings_id != base
    volume = replace(label_map.volume, sha256="sha256:other")
    other = LabelMap(volume, label_map.scheme, label_map.side)
    assert describe_volume(None, other, "P/V00/right").findings_id != base


def test_an_image_on_another_grid_is_refused():
    label_map = _tibia()
    volume = label_map.volume
    image = Volume(volume.array[1:], volume.affine, volume.path, "sha256:image")
    with pytest.raises(InputError, match="not on the grid"):
        describe_volume(image, label_map, "P/V00/right")
    image = replace(volume, sha256="sha256:image")
    assert describe_volume(image, label_map, "P/V00/right").image_sha256 == "sha256:image"


def test_an_image_whose_header_names_the_other_knee_is_refused():
    label_map = _tibia()
    image = replace(label_map.volume, sha256="sha256:image", named_side=Side.LEFT)
    with pytest.raises(InputError, match="declared 'right', but its DICOM Laterality says 'left'"):
        describe_volume(image, label_map, "P/V00/right")
    # A header is a declaration too: it cannot confirm what nothing else shows.
    bare = Plateau(plates=False).label_map()
    image = replace(bare.volume, sha256="sha256:image", named_side=Side.RIGHT)
    assert describe_volume(image, bare, "P/V00/right").side_check is SideCheck.UNVERIFIED


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "the value 0.0 in all of its"), (np.nan, "NaN or infinite"), (np.inf, "NaN or inf")],
)
def test_an_image_that_shows_nothing_is_refused(value: float, words: str):
    label_map = _tibia()
    array = np.full(label_map.volume.shape, value, np.float32)
    image = replace(label_map.volume, array=array, sha256="sha256:image")
    with pytest.raises(InputError, match=words):
        describe_volume(image, label_map, "P/V00/right")
    array[0, 0, :2] = 1.0, 2.0
    assert describe_volume(image, label_map, "P/V00/right").image_sha256 == "sha256:image"


def test_the_wrong_side_is_refused_and_nothing_to_check_is_said():
    label_map = phantom_map(SEED, Side.RIGHT, 0.0)
    with pytest.raises(InputError, match="declared 'left'"):
        describe_volume(None, LabelMap(label_map.volume, label_map.scheme, Side.LEFT), "P/V00/left")
    assert _findings(Side.RIGHT, 0.0).side_check is SideCheck.CONFIRMED
    bare = Plateau(plates=False).label_map()
    assert describe_volume(None, bare, "P/V00/right").side_check is SideCheck.UNVERIFIED


def test_any_part_of_a_knee_is_described_without_falling_over():
    rng = np.random.default_rng(5)
    whole = phantom_map(SEED, Side.RIGHT, 0.6).canonical().volume
    shape = np.array(whole.shape)
    described = 0
    for _ in range(25):
        size = np.maximum(4, (shape * rng.uniform(0.2, 1, 3)).astype(int))
        start = (rng.uniform(0, 1, 3) * (shape - size)).astype(int)
        part = whole.array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))].copy()
        for number in rng.permutation(np.unique(part))[: rng.integers(0, 4)]:
            part[part == number] = 0
        if not part.any():
            continue
        try:
            found = describe_volume(
                None, as_label_map(part, whole.affine, Side.RIGHT), "P/V00/right"
            )
        except InputError:
            continue
        described += 1
        assert len(found.findings) == 62
    assert described > 10


def _tibia() -> LabelMap:
    return Plateau().label_map()
