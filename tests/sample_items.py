"""One knee's extrusion item, with a draft that every check accepts."""

import json

from knee.findings import (
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
    Unit,
)
from knee.geometry import voxel_box
from knee.grades import ClinicianGrade, GradeStatus
from knee.keys import JsonValue, content_hash
from knee.moaks import Component, RuleBasis
from knee.questions import question_by_region
from knee.records import Item

QUESTION = question_by_region("extrusion:medial_meniscus_medial")
SHAPE = (160, 384, 384)
BOX = (40, 60, 150, 200, 180, 220)
RULE = QUESTION.scale(Component.GRADE).rule


def sample_finding(extrusion_mm: float = 3.4, *, boxed: bool = True) -> Finding:
    """Returns the finding of a medial meniscus that stands out by `extrusion_mm`."""
    assert RULE is not None
    return Finding(
        question_id=QUESTION.question_id,
        region=QUESTION.region,
        box=voxel_box(*BOX) if boxed else None,
        box_source=BoxSource.MASK if boxed else None,
        box_reason=None if boxed else "the meniscus is outside the field of view",
        definition_id="extrusion.coronal@1",
        measurements=(
            Measurement(
                name=MeasurementName.EXTRUSION,
                value=extrusion_mm,
                unit=Unit.MM,
                sd=0.1,
                method="coronal reformat at the tibial spine",
                definition_id="extrusion.coronal@1",
            ),
        ),
        evidence=(
            ComponentEvidence(
                component=Component.GRADE,
                level=EvidenceLevel.MEASURED,
                reason="meniscus and tibia are labelled",
                measurement=MeasurementName.EXTRUSION,
                rule_grade=RULE.grade(extrusion_mm),
                rule_basis=RuleBasis.MOAKS,
                margin=RULE.margin(extrusion_mm),
                borderline=False,
            ),
        ),
    )


def sample_item(
    number: int = 1,
    *,
    grade: int | None = 2,
    extrusion_mm: float = 3.4,
    side: str = "right",
    boxed: bool = True,
) -> Item:
    """Returns patient `number`'s item; `grade` None leaves it unread."""
    patient = f"P{number:06}"
    volume_id = f"{patient}/V00/{side}/dess"
    return Item(
        volume_id=volume_id,
        question_id=QUESTION.question_id,
        findings_id=content_hash(volume_id),
        side=side,
        visit="V00",
        sequence="dess",
        slice_axis=0,
        shape=SHAPE,
        finding=sample_finding(extrusion_mm, boxed=boxed),
        clinician=(
            ClinicianGrade(
                patient=patient,
                visit="V00",
                side=side,
                question_id=QUESTION.question_id,
                component=Component.GRADE,
                status=GradeStatus.MISSING if grade is None else GradeStatus.READ,
                grade=grade,
                raw=("" if grade is None else f"{grade}: read by the clinician",),
                variable="V00MMXMED",
                file="clinician_reads.txt",
                lines=(17,),
                readprj=("SECRETPRJ",),
                version=("1",),
            ),
        ),
        synthetic=True,
    )


def sample_answer(
    grade: int = 2, extrusion_mm: float = 3.4, *, side: str = "right", **changed: JsonValue
) -> str:
    """Returns an answer to `sample_item`'s question; `changed` replaces entire steps."""
    region = QUESTION.region_name
    meaning = QUESTION.scale(Component.GRADE).wording[grade]
    answer: dict[str, JsonValue] = {
        "locate": {
            "text": f"The box holds the {region} of the {side} knee in the coronal plane.",
            "box": list(BOX),
        },
        "observe": {"text": "The meniscus lies past the margin of the tibia, which is extrusion."},
        "measure": {
            "text": f"The extrusion is {extrusion_mm:.1f} mm.",
            "cites": ["extrusion"],
        },
        "apply_scale": {
            "text": f"An extrusion of {extrusion_mm:.1f} mm is {meaning}, which is grade {grade}."
        },
        "conclude": {"text": f"Meniscal extrusion at the {region}, {side} knee: grade {grade}."},
        "grades": {"grade": grade},
    }
    return json.dumps(answer | changed)
