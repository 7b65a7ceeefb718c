"""Hoffa's signal, meniscal height and signal, effusion depth, gaps of ligaments."""

from dataclasses import replace

import numpy as np
import pytest

from knee.anatomy import Compartment, MeniscusPart, Side, Structure
from knee.findings import Finding, MeasurementName, VolumeFindings
from knee.moaks import Feature
from knee.questions import QUESTIONS
from tests.phantom_maps import phantom, phantom_image, phantom_map
from tools.describe import describe_volume
from tools.effusion import effusion_depth_mm
from tools.hoffa import HoffaSignal, hoffa_signal
from tools.knee_parts import KneeParts, measure_parts
from tools.ligaments import Continuity, continuity
from tools.meniscal_parts import part_numbers, whole_numbers
from tools.segmentation import LabelMap, label_map_from_volume
from tools.signal import KneeSignal, NotMeasured, inside, read_signal
from tools.thickness import thickness_percentiles
from tools.volumes import Volume

SEED, SEVERITY = 71, 0.6


@pytest.fixture(autouse=True)
def _as_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Keeps knees as they lie: voxels are compared one by one; turning has tests of its own."""
    monkeypatch.setattr("tools.anatomical_frame.needed_turn", lambda *_: (None, 0.0))


def _knee(side: Side = Side.RIGHT) -> tuple[KneeParts, KneeSignal]:
    parts = measure_parts(phantom_map(SEED, side, SEVERITY))
    image = phantom_image(SEED, side, SEVERITY)
    return parts, read_signal(image, parts.knee, parts.partition, "dess")


def _without(label_map: LabelMap, where: np.ndarray) -> LabelMap:
    array = label_map.volume.array.copy()
    array[where] = 0
    return label_map_from_volume(
        replace(label_map.volume, array=array), label_map.scheme, label_map.side
    )


def _painted(image: Volume, where: np.ndarray, value: float) -> Volume:
    array = image.array.copy()
    array[where] = value
    return replace(image, array=array)


def _find(found: VolumeFindings, feature: Feature) -> Finding:
    return next(f for f in found.findings if QUESTIONS[f.question_id].feature is feature)


def test_the_signal_is_a_view_of_the_image_and_lies_on_the_labels():
    for side in Side:
        parts, signal = _knee(side)
        image = phantom(SEED, side, SEVERITY).image
        assert np.shares_memory(signal.image, np.asarray(image))
        found = parts.knee.within(Structure.JOINT_FLUID)
        assert found is not None
        # The phantom draws fluid at 330, all other labelled tissue darker.
        assert np.median(signal.image[found[0]][found[1]]) > 250
        assert signal.marrow is not None
        assert 45 < signal.marrow.median < 70
        assert signal.cartilage is not None
        assert signal.cartilage.median > 2 * signal.marrow.median


@pytest.mark.parametrize("share", [0.0, 12.0, 35.0, 60.0, 100.0])
def test_the_bright_share_of_the_fat_pad_is_the_share_that_is_bright(share: float):
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY)
    pad = np.argwhere(label_map.mask(Structure.HOFFA_FAT_PAD))
    rng = np.random.default_rng(1)
    bright = pad[rng.permutation(len(pad))[: round(share / 100 * len(pad))]]
    image = _painted(
        phantom_image(SEED, Side.RIGHT, SEVERITY), label_map.mask(Structure.HOFFA_FAT_PAD), 70
    )
    image.array[tuple(bright.T)] = 250
    parts = measure_parts(label_map)
    signal = read_signal(image, parts.knee, parts.partition, "dess")
    found = hoffa_signal(parts.knee, signal)
    assert isinstance(found, HoffaSignal)
    assert found.share == pytest.approx(share, abs=0.1)
    # A brighter scanner changes nothing: the references are brighter too.
    doubled = replace(image, array=image.array * 2)
    again = hoffa_signal(parts.knee, read_signal(doubled, parts.knee, parts.partition, "dess"))
    assert isinstance(again, HoffaSignal)
    assert again.share == pytest.approx(found.share, abs=0.1)


@pytest.mark.parametrize("seed", [5001, 5003])
def test_the_phantoms_synovitis_is_measured_within_three_points(seed: int):
    made = phantom(seed, Side.LEFT, 0.9)
    label_map = phantom_map(seed, Side.LEFT, 0.9)
    found = describe_volume(phantom_image(seed, Side.LEFT, 0.9), label_map, "P/V00/left/dess")
    measured = _find(found, Feature.HOFFA_SYNOVITIS).measurement(MeasurementName.HOFFA_SIGNAL_SHARE)
    assert measured is not None
    truth = next(r for r in made.truth if r.feature is Feature.HOFFA_SYNOVITIS)
    assert truth.extent is not None
    assert measured.value == pytest.approx(truth.extent, abs=3.0)


def test_without_image_label_or_contrast_there_is_no_share_and_the_reason_says_so():
    parts, signal = _knee()
    no_image = hoffa_signal(parts.knee, None)
    assert isinstance(no_image, NotMeasured)
    assert no_image.reason.startswith("no image")
    flat = hoffa_signal(parts.knee, replace(signal, cartilage=signal.marrow))
    assert isinstance(flat, NotMeasured)
    assert flat.reason.startswith("no contrast")
    lost = hoffa_signal(parts.knee, replace(signal, marrow=None))
    assert isinstance(lost, NotMeasured)
    assert lost.reason.startswith("no reference")
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY)
    gone = measure_parts(_without(label_map, label_map.mask(Structure.HOFFA_FAT_PAD)))
    absent = hoffa_signal(gone.knee, signal)
    assert isinstance(absent, NotMeasured)
    assert absent.reason.startswith("absent")


def test_a_brighter_meniscus_has_a_higher_ratio_and_only_that_part():
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY)
    parts, signal = _knee()
    site, other = MeniscusPart.MEDIAL_MENISCUS_POSTERIOR, MeniscusPart.LATERAL_MENISCUS_POSTERIOR
    before = part_numbers(parts, site, signal)
    image = _painted(
        phantom_image(SEED, Side.RIGHT, SEVERITY), label_map.mask(Structure.MEDIAL_MENISCUS), 116
    )
    changed = read_signal(image, parts.knee, parts.partition, "dess")
    after, same = part_numbers(parts, site, changed), part_numbers(parts, other, changed)
    untouched = part_numbers(parts, other, signal)
    assert before is not None
    assert after is not None
    assert same == untouched
    assert not isinstance(before.signal, NotMeasured)
    assert not isinstance(after.signal, NotMeasured)
    assert changed.marrow is not None
    assert after.signal.value == pytest.approx(116 / changed.marrow.median)
    assert 0.6 < before.signal.value < 1.1
    assert after.height_mm == before.height_mm


def test_a_part_that_is_gone_has_no_height_rather_than_none_at_all():
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY)
    parts = measure_parts(_without(label_map, label_map.mask(Structure.MEDIAL_MENISCUS)))
    gone = part_numbers(parts, MeniscusPart.MEDIAL_MENISCUS_BODY, None)
    assert gone is not None
    assert gone.height_mm is None
    assert isinstance(gone.signal, NotMeasured)
    assert gone.signal.reason.startswith("absent")
    assert whole_numbers(parts, Compartment.MEDIAL, None).height_mm is None
    lateral = whole_numbers(parts, Compartment.LATERAL, None).height_mm
    assert lateral is not None
    assert 3 < lateral < 9


def test_the_height_is_that_of_the_columns():
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY)
    mask = label_map.canonical().mask(Structure.LATERAL_MENISCUS)
    columns = mask.sum(axis=2)
    expected = np.percentile(columns[columns > 0], 95) * label_map.canonical().volume.spacing[2]
    parts = measure_parts(label_map)
    assert whole_numbers(parts, Compartment.LATERAL, None).height_mm == pytest.approx(expected)


def test_the_depth_of_the_fluid_grows_with_it_and_is_0_without():
    parts, _ = _knee()
    made = phantom(SEED, Side.RIGHT, SEVERITY).knee
    depth = effusion_depth_mm(parts)
    assert depth is not None
    assert depth == pytest.approx(made.tissue.distension * made.model.pose.scale, abs=1.1)
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY)
    dry = measure_parts(_without(label_map, label_map.mask(Structure.JOINT_FLUID)))
    assert effusion_depth_mm(dry) == 0.0


@pytest.mark.parametrize("structure", [Structure.ACL, Structure.PCL, Structure.PATELLAR_TENDON])
def test_a_gap_cut_into_a_ligament_is_measured(structure: Structure):
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY).canonical()
    mask = label_map.mask(structure)
    intact = continuity(measure_parts(label_map), structure)
    assert isinstance(intact, Continuity)
    assert intact.gap_mm == 0.0
    rows = np.flatnonzero(mask.any(axis=(0, 1)))
    middle = int(rows[len(rows) // 2])
    cut = np.zeros_like(mask)
    cut[:, :, middle - 4 : middle + 4] = mask[:, :, middle - 4 : middle + 4]
    torn = continuity(measure_parts(_without(label_map, cut)), structure)
    assert isinstance(torn, Continuity)
    assert torn.gap_mm == pytest.approx(8 * label_map.volume.spacing[2])
    gone = continuity(measure_parts(_without(label_map, mask)), structure)
    assert isinstance(gone, Continuity)
    assert gone.gap_mm == pytest.approx(gone.course_mm, abs=2 * label_map.volume.spacing[2])


def test_a_course_outside_the_volume_is_not_a_gap():
    label_map = phantom_map(SEED, Side.RIGHT, SEVERITY).canonical()
    rows = np.flatnonzero(label_map.mask(Structure.TIBIA).any(axis=(0, 1)))
    low = int(rows[-1]) - round(22 / label_map.volume.spacing[2])
    volume = replace(label_map.volume, array=label_map.volume.array[:, :, low:].copy())
    cropped = label_map_from_volume(volume, label_map.scheme, Side.RIGHT)
    found = continuity(measure_parts(cropped), Structure.PATELLAR_TENDON)
    whole = continuity(measure_parts(label_map), Structure.PATELLAR_TENDON)
    assert isinstance(found, Continuity)
    assert isinstance(whole, Continuity)
    assert found.gap_mm == 0.0
    assert found.course_mm < whole.course_mm


def test_percentiles_of_thickness_ascend_around_the_mean():
    parts, _ = _knee()
    seen = 0
    found = describe_volume(None, phantom_map(SEED, Side.RIGHT, SEVERITY), "P/V00/right")
    for finding in found.findings:
        values = [
            finding.measurement(name)
            for name in (
                MeasurementName.MIN_THICKNESS,
                MeasurementName.P10_THICKNESS,
                MeasurementName.MEDIAN_THICKNESS,
                MeasurementName.P90_THICKNESS,
                MeasurementName.MEAN_THICKNESS,
            )
        ]
        if values[1] is None:
            continue
        low, p10, median, p90, mean = (v.value for v in values if v is not None)
        assert low <= p10 <= median <= p90
        assert p10 < mean < p90
        seen += 1
    assert seen == 14
    plate = next(iter(parts.plates.values()))
    empty = replace(plate, chart=replace(plate.chart, thickness=plate.chart.thickness * 0))
    assert all(
        thickness_percentiles(empty, s) is None
        for s in parts.lesions
        if s.bone is plate.chart.bone and s.is_articular
    )


def test_inside_keeps_what_has_neighbours_both_ways():
    mask = np.zeros((7, 7, 7), np.bool_)
    mask[1:6, 1:6, 1:6] = True
    assert inside(mask, (1, 1, 1)).sum() == 27
    assert inside(mask, (0, 1, 1)).sum() == 5 * 9
    assert inside(mask, (2, 2, 2)).sum() == 1
    assert inside(mask, (9, 0, 0)).sum() == 0


def test_left_and_right_in_any_storage_order_give_the_same_soft_tissue():
    image = phantom_image(SEED, Side.RIGHT, SEVERITY)
    plain = describe_volume(image, phantom_map(SEED, Side.RIGHT, SEVERITY), "P/V00/right")
    other = phantom_map(SEED, Side.RIGHT, SEVERITY, "PIR")
    # The image stays as it is: only the labels are stored in another order.
    turned = describe_volume(image, other, "P/V00/right")
    for one, two in zip(plain.findings, turned.findings, strict=True):
        assert [(m.name, m.value) for m in one.measurements] == [
            (m.name, m.value) for m in two.measurements
        ]
