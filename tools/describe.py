"""From a label map to findings: region, box, measurements and evidence of all 62 questions."""

from knee.calibration import Calibration
from knee.findings import BoxSource, Finding, VolumeFindings
from knee.geometry import Box3D, Frame, change_frame
from knee.keys import canonical_json, content_hash, parse_volume_id
from knee.questions import QUESTIONS, Question
from tools.boxes import region_box, region_definition
from tools.definitions import DEFINITIONS
from tools.evidence import component_evidence
from tools.knee_parts import KneeParts, measure_parts
from tools.measurements import measure
from tools.region_boxes import NoBox, place_box
from tools.segmentation import LabelMap, check_same_grid
from tools.side_check import check_named_side, check_side
from tools.signal import check_intensities, read_signal
from tools.soft_tissue import SoftTissue, further_measurements, measure_soft_tissue
from tools.volumes import Volume, canonical_box_to_stored

TOOLS_VERSION = "5"
"""Version of the measuring code; raised whenever a number or a box may change."""


def describe_volume(
    image: Volume | None,
    label_map: LabelMap,
    volume_id: str,
    *,
    calibration: Calibration | None = None,
) -> VolumeFindings:
    """Returns the findings of one volume.

    Args:
        image: the MRI, for what is a matter of signal. None when there is none. Only labelled
            voxels of it are read; it is never copied whole.
        label_map: the structures, with the declared side.
        volume_id: `<patient>/<visit>/<side>/<sequence>`; its sequence is the image's.
        calibration: fitted cut-offs for components that MOAKS gives no numbers for.

    Returns:
        One finding for each of the questions 1-62. Boxes are in the label map's stored voxel
        frame and in RAS mm; what cannot be had is None with its reason.

    Raises:
        InputError: the label map is on another grid than the image, it or the image contradicts
            the declared side, the image shows nothing, or the map nothing that a question is about.
    """
    if image is not None:
        check_same_grid(image, label_map.volume)
        check_named_side(image, label_map.side)
        check_intensities(image)
    side_check = check_side(label_map)
    parts = measure_parts(label_map)
    sequence = parse_volume_id(volume_id).sequence
    signal = None if image is None else read_signal(image, parts.knee, parts.partition, sequence)
    tissue = measure_soft_tissue(parts, signal)
    volume = label_map.volume
    return VolumeFindings(
        volume_id=volume_id,
        findings_id=_findings_id(image, label_map, calibration),
        scheme=label_map.scheme.name,
        tools_version=TOOLS_VERSION,
        side_check=side_check,
        shape=volume.shape,
        affine=volume.affine_rows,
        orientation=volume.orientation,
        image_sha256=volume.sha256 if image is None else image.sha256,
        label_map_sha256=volume.sha256,
        findings=tuple(
            _finding(parts, tissue, question, volume, calibration)
            for question in QUESTIONS.values()
            if question.has_region
        ),
    )


def _findings_id(image: Volume | None, label_map: LabelMap, calibration: Calibration | None) -> str:
    return content_hash(
        canonical_json(
            {
                "image": None if image is None else image.sha256,
                "label_map": label_map.volume.sha256,
                "side": label_map.side.value,
                "scheme": label_map.scheme.model_dump(mode="json"),
                "definitions": DEFINITIONS,
                "tools_version": TOOLS_VERSION,
                "calibration": None if calibration is None else calibration.model_dump(mode="json"),
            }
        )
    )


def _finding(
    parts: KneeParts,
    tissue: SoftTissue,
    question: Question,
    volume: Volume,
    calibration: Calibration | None,
) -> Finding:
    box, source, reason, truncated = _box_fields(parts, question, volume)
    made = (*measure(parts, question), *further_measurements(parts, tissue, question))
    # Where to look is not known without a box: nothing found there is not 0, it is not known.
    measurements = tuple(m for m in made if box is not None or m.value != 0)
    return Finding(
        question_id=question.question_id,
        region=question.region,
        box=box,
        box_world=None
        if box is None
        else change_frame(box, Frame.WORLD_RAS_MM, volume.affine_rows),
        box_source=source,
        box_reason=reason,
        truncated=truncated,
        definition_id=region_definition(question.feature),
        measurements=measurements,
        evidence=tuple(
            component_evidence(
                parts,
                tissue,
                question,
                component,
                measurements,
                calibration,
                has_box=box is not None,
                truncated=truncated,
            )
            for component in question.components
        ),
    )


def _box_fields(
    parts: KneeParts, question: Question, volume: Volume
) -> tuple[Box3D | None, BoxSource | None, str | None, bool]:
    """Box in the stored voxel frame, its source and reason, and whether the volume cuts it."""
    region = region_box(parts, question)
    if isinstance(region, NoBox):
        return None, None, region.reason, False
    placed = place_box(parts, region)
    if placed is None:
        return None, None, "outside_field_of_view: the region lies outside the volume", True
    box, truncated = placed
    return canonical_box_to_stored(box, volume), region.source, region.reason, truncated
