"""Clean drafts written by hand, in several styles of prose, with the findings they rest on."""

import json
from dataclasses import dataclass, field
from typing import Any

from agents.checks.run import CheckContext, CheckReport, check_answer
from knee.calibration import CalibratedRule, Calibration, rule_for
from knee.findings import (
    UNITS,
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
    Unit,
)
from knee.geometry import voxel_box
from knee.moaks import Component, Feature, RuleBasis
from knee.questions import Question, question_by_region
from knee.records import CheckSeverity, Wording
from prompts.context import PromptContext, prompt_context
from prompts.registry import load_prompt
from prompts.render import render_draft

SHAPE = (160, 384, 384)
N = MeasurementName
CALIBRATION = Calibration(
    name="test",
    rules=(
        CalibratedRule(
            feature=Feature.OSTEOPHYTE,
            component=Component.GRADE,
            measurement=N.OSTEOPHYTE_PROTRUSION,
            unit=Unit.MM,
            edges=(1.5, 3.0, 5.0),
            source="test",
        ),
        CalibratedRule(
            feature=Feature.EFFUSION_SYNOVITIS,
            component=Component.GRADE,
            measurement=N.EFFUSION_VOLUME,
            unit=Unit.ML,
            edges=(4.0, 10.0, 20.0),
            source="test",
        ),
    ),
)


@dataclass(frozen=True)
class Case:
    """One item and a draft on it that must pass."""

    name: str
    region: str
    texts: tuple[str, str, str, str, str]
    grades: dict[str, int]
    measured: dict[MeasurementName, tuple[float, float | None]]
    cites: tuple[str, ...]
    side: str = "right"
    box: tuple[int, int, int, int, int, int] = (60, 100, 20, 90, 10, 41)
    is_follow_up: bool = False
    borderline: tuple[str, ...] = field(default_factory=tuple)
    bases: dict[Component, RuleBasis] = field(default_factory=dict[Component, RuleBasis])

    @property
    def question(self) -> Question:
        return question_by_region(self.region)

    @property
    def asked(self) -> tuple[Component, ...]:
        return tuple(Component(key) for key in self.grades)

    @property
    def finding(self) -> Finding:
        question = self.question
        return Finding(
            question_id=question.question_id,
            region=question.region,
            box=voxel_box(*self.box),
            box_source=BoxSource.PARTITION,
            definition_id="test@1",
            measurements=tuple(
                Measurement(
                    name=name,
                    value=value,
                    unit=UNITS[name],
                    sd=sd,
                    method="label map",
                    definition_id="test@1",
                )
                for name, (value, sd) in self.measured.items()
            ),
            evidence=tuple(self._evidence(component) for component in question.components),
        )

    def _evidence(self, component: Component) -> ComponentEvidence:
        rule = rule_for(self.question.feature, component, CALIBRATION)
        name = None if rule is None else MeasurementName(rule.measurement)
        measured = name in self.measured
        return ComponentEvidence(
            component=component,
            level=EvidenceLevel.MEASURED if measured else EvidenceLevel.IMAGE,
            reason="test",
            measurement=name if measured else None,
            rule_basis=self.bases.get(component, RuleBasis.NONE if rule is None else rule.basis),
            borderline=component.value in self.borderline,
        )

    @property
    def prompt(self) -> PromptContext:
        return prompt_context(
            self.question,
            self.finding,
            self.asked,
            side=self.side,
            sequence="dess",
            shape=SHAPE,
            slice_axis=0,
            wording=Wording.GUIDED,
            calibration=CALIBRATION,
        )

    @property
    def context(self) -> CheckContext:
        messages = render_draft(load_prompt("draft", 1), self.prompt)
        return CheckContext(
            question=self.question,
            finding=self.finding,
            asked=self.asked,
            side=self.side,
            is_follow_up=self.is_follow_up,
            shape=SHAPE,
            slice_axis=0,
            calibration=CALIBRATION,
            prompt_text="\n".join(message.content for message in messages),
            sequence="dess",
        )

    @property
    def answer(self) -> dict[str, Any]:
        locate, observe, measure, apply_scale, conclude = self.texts
        return {
            "locate": {"text": locate, "box": list(self.box)},
            "observe": {"text": observe},
            "measure": {"text": measure, "cites": list(self.cites)},
            "apply_scale": {"text": apply_scale},
            "conclude": {"text": conclude},
            "grades": dict(self.grades),
        }


def report_of(case: Case, answer: object) -> CheckReport:
    """Returns the report of an answer object, or of a raw text, to a case's item."""
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return check_answer(text, "stop", case.context, frozenset())


def failing_codes(report: CheckReport) -> set[str]:
    """Returns the codes that fail."""
    return {i.code for i in report.issues if i.severity is CheckSeverity.FAIL}


CASES: tuple[Case, ...] = (
    Case(
        "cartilage_partial",
        "cartilage:femur_medial_central",
        (
            "Right knee. On sagittal slices 60 to 99 I look at the weight-bearing part of the "
            "medial femoral condyle, the medial central femur.",
            "The cartilage is thinned over part of the surface. There is no bare bone.",
            "The surface_loss_share is 23.4 % (sd 1.2) and the full_thickness_share is 0.0 %.",
            "A loss of 23.4 % lies between 10 and 75 %, so size is grade 2. With 0.0 % there is "
            "no full-thickness loss.",
            "The medial central femur shows cartilage loss of size grade 2 and full-thickness "
            "grade 0.",
        ),
        {"size": 2, "full_thickness": 0},
        {
            N.SURFACE_LOSS_SHARE: (23.44, 1.2),
            N.FULL_THICKNESS_SHARE: (0.0, 0.5),
            N.MEAN_THICKNESS: (1.83, 0.21),
        },
        ("surface_loss_share", "full_thickness_share"),
    ),
    Case(
        "cartilage_severe",
        "cartilage:tibia_lateral_posterior",
        (
            "The box encloses the posterior third of the lateral tibial plateau, left knee.",
            "Most of the joint surface has lost its cartilage, and bare bone is seen.",
            "Any loss takes 81.0 percent of the surface ± 2.1 %, full-thickness loss 40.2 percent.",
            "81.0 % is more than 75 %, which is grade 3 for size; 40.2 % falls in the 10-75 % "
            "band, which is grade 2 for full-thickness.",
            "Lateral posterior tibia: severe loss, size grade 3, full-thickness grade 2.",
        ),
        {"size": 3, "full_thickness": 2},
        {N.SURFACE_LOSS_SHARE: (81.04, 2.1), N.FULL_THICKNESS_SHARE: (40.2, 1.9)},
        ("surface_loss_share", "full_thickness_share"),
        side="left",
    ),
    Case(
        "cartilage_none",
        "cartilage:patella_medial",
        (
            "I read the medial patella of the left knee in axial slices.",
            "The cartilage is intact; no defect of the surface is visible.",
            "Surface loss measures 0.0 % and full-thickness loss 0.0 %.",
            "Nothing is lost, so both shares stay at 0 %.",
            "No cartilage loss: size grade 0 and full_thickness grade 0 for the medial patella.",
        ),
        {"size": 0, "full_thickness": 0},
        {N.SURFACE_LOSS_SHARE: (0.0, 0.4), N.FULL_THICKNESS_SHARE: (0.0, 0.4)},
        ("surface_loss_share", "full_thickness_share"),
        side="left",
    ),
    Case(
        "cartilage_trochlea_one_component",
        "cartilage:femur_lateral_trochlea",
        (
            "This is the lateral part of the femoral trochlea in a right knee, seen from "
            "medial to lateral on axial images.",
            "A small area of cartilage loss is present.",
            "The share of the surface with loss is 4.2 %, standard deviation 0.9 %.",
            "4.2 % is above 0 but below the 10 % cut-off, hence grade 1.",
            "The lateral femoral trochlea has cartilage loss, grade 1.",
        ),
        {"size": 1},
        {N.SURFACE_LOSS_SHARE: (4.21, 0.9), N.FULL_THICKNESS_SHARE: (1.2, 0.5)},
        ("surface_loss_share",),
    ),
    Case(
        "bml_two",
        "bml:tibia_lateral_posterior",
        (
            "Region: lateral posterior tibia, right knee, box 60, 100, 20, 90, 10, 41.",
            "Two bone marrow lesions lie below the joint surface; part of one is cystic.",
            "bml_volume_share 41.2 % (sd 2.0), bml_count 2, bml_share_of_lesion 88.0 %; together "
            "they fill 1,843 mm³.",
            "Size: 41.2 % is from 33 to 66 %, grade 2. Number: 2 lesions, grade 2. % BML: 88.0 % "
            "exceeds 66 %, grade 3.",
            "Size grade 2, number grade 2 and percent_bml grade 3 in the lateral posterior tibia.",
        ),
        {"size": 2, "number": 2, "percent_bml": 3},
        {
            N.BML_VOLUME_SHARE: (41.2, 2.0),
            N.BML_COUNT: (2, None),
            N.BML_SHARE_OF_LESION: (88.0, 4.0),
            N.BML_VOLUME: (1843.2, 60.0),
        },
        ("bml_volume_share", "bml_count", "bml_share_of_lesion", "bml_volume"),
    ),
    Case(
        "bml_none",
        "bml:femur_medial_posterior",
        (
            "The posterior subregion of the medial femoral condyle, left knee.",
            "The marrow is unremarkable. No bone marrow lesion is seen.",
            "The lesion takes up 0.0 % of the subregion and the count is 0.",
            "With no lesion, size and number both stay at the lowest grade.",
            "Medial posterior femur without BML: size grade 0, number grade 0.",
        ),
        {"size": 0, "number": 0},
        {N.BML_VOLUME_SHARE: (0.0, 0.3), N.BML_COUNT: (0, None)},
        ("bml_volume_share", "bml_count"),
        side="left",
    ),
    Case(
        "bml_cyst_only",
        "bml:tibia_subspinous",
        (
            "The subspinous tibia, between the medial and lateral tibial spines, right knee.",
            "One lesion is seen, and all of it is cyst.",
            "The lesion fills 12.0 % of the subregion; one BML is counted; its BML share is 0.0 %.",
            "12.0 % is less than 33 %. One lesion gives number grade 1. A share of 0 % is what "
            "an all-cystic lesion has.",
            "Subspinous tibia: grades 1, 1 and 0 for size, number and % BML.",
        ),
        {"size": 1, "number": 1, "percent_bml": 0},
        {
            N.BML_VOLUME_SHARE: (12.0, 1.1),
            N.BML_COUNT: (1, None),
            N.BML_SHARE_OF_LESION: (0.0, 2.0),
        },
        ("bml_volume_share", "bml_count", "bml_share_of_lesion"),
    ),
    Case(
        "osteophyte_medium",
        "osteophyte:tibia_medial",
        (
            "Coronal images show the edge of the medial tibia of this right knee.",
            "An osteophyte stands out from the normal contour.",
            "osteophyte_protrusion = 3.4 mm (sd 0.3 mm).",
            "3.4 mm is beyond the 3 mm limit and short of the 5 mm limit, i.e. medium.",
            "A medium osteophyte at the medial tibia, grade 2.",
        ),
        {"grade": 2},
        {N.OSTEOPHYTE_PROTRUSION: (3.36, 0.3)},
        ("osteophyte_protrusion",),
    ),
    Case(
        "osteophyte_none",
        "osteophyte:patella_superior",
        (
            "Sagittal view, superior patella, left knee.",
            "No osteophyte is present at the superior pole.",
            "Bone protrudes by 0.4 mm only.",
            "0.4 mm is less than 1.5 mm, which gives grade 0.",
            "Superior patella: no osteophyte, grade 0.",
        ),
        {"grade": 0},
        {N.OSTEOPHYTE_PROTRUSION: (0.42, 0.3)},
        ("osteophyte_protrusion",),
        side="left",
    ),
    Case(
        "osteophyte_femur",
        "osteophyte:femur_lateral_anterior",
        (
            "Anterior margin of the lateral femur, left knee; slices 61-80 of the sagittal stack.",
            "A large bony spur rises from the joint margin and is the largest one at this site.",
            "The osteophyte protrudes 6.1 mm ± 0.3 mm.",
            "That is 5 mm or more, so grade 3 applies; grade 2 would end below 5 mm.",
            "Lateral anterior femur: large osteophyte, MOAKS grade 3.",
        ),
        {"grade": 3},
        {N.OSTEOPHYTE_PROTRUSION: (6.1, 0.3)},
        ("osteophyte_protrusion",),
        side="left",
    ),
    Case(
        "extrusion_medial",
        "extrusion:medial_meniscus_medial",
        (
            "On the coronal slice through the tibial spine I read the medial margin of the medial "
            "meniscus, right knee.",
            "The meniscus lies beyond the edge of the tibial plateau; osteophytes are left out.",
            "The extrusion is 3.4 mm.",
            "3.4 mm is at least 3 and less than 5 mm: grade 2.",
            "Medial meniscus, medial extrusion grade 2.",
        ),
        {"grade": 2},
        {N.EXTRUSION: (3.4, 0.2), N.MENISCUS_VOLUME: (2.11, 0.1)},
        ("extrusion",),
    ),
    Case(
        "extrusion_anterior_none",
        "extrusion:lateral_meniscus_anterior",
        (
            "Left knee, lateral meniscus, anterior margin, sagittal plane in mid-compartment.",
            "No extrusion worth the name: the anterior edge stays close to the tibial edge.",
            "Extrusion measures 1.2 mm, with an sd of 0.4 mm.",
            "1.2 mm < 2 mm, hence grade 0.",
            "The anterior margin of the lateral meniscus has extrusion grade zero.",
        ),
        {"grade": 0},
        {N.EXTRUSION: (1.23, 0.4)},
        ("extrusion",),
        side="left",
    ),
    Case(
        "extrusion_borderline",
        "extrusion:lateral_meniscus_lateral",
        (
            "Lateral margin of the lateral meniscus in the right knee, coronal plane.",
            "The outer edge protrudes laterally past the tibia.",
            "I note an extrusion of 2.9 mm (sd 0.3).",
            "2.9 mm lies within one standard deviation of the 3 mm cut-off and is borderline.",
            "Borderline extrusion of the lateral meniscus, grade 2.",
        ),
        {"grade": 2},
        {N.EXTRUSION: (2.94, 0.3)},
        ("extrusion",),
        borderline=("grade",),
    ),
    Case(
        "effusion_small",
        "effusion_synovitis:joint_cavity",
        (
            "Axial images of the right knee, retropatellar and suprapatellar joint space.",
            "A small effusion is seen behind the patella, between the medial and lateral facets.",
            "The effusion_volume is 6.20 mL (sd 0.40).",
            "6.20 mL falls between 4 and 10 mL.",
            "Small effusion-synovitis of the joint space: grade 1.",
        ),
        {"grade": 1},
        {N.EFFUSION_VOLUME: (6.2, 0.4), N.EFFUSION_DEPTH: (3.1, 0.3)},
        ("effusion_volume",),
    ),
    Case(
        "morphology_tear",
        "morphology:medial_meniscus_posterior",
        (
            "The posterior horn of the medial meniscus, right knee, sagittal slices 70, 72 and 75.",
            "A linear signal reaches the lower surface of the horn, which fits a horizontal tear.",
            "No measurement is available for this part; I rely on the images.",
            "A tear with a horizontal course is what the scale calls grade 3.",
            "Horizontal tear of the posterior horn, morphology 3.",
        ),
        {"morphology": 3},
        {},
        (),
    ),
    Case(
        "acl_intact",
        "acl:acl",
        (
            "The anterior cruciate ligament of the left knee, from the lateral femoral condyle to "
            "the tibia.",
            "The fibres are continuous. There is no tear, and no lesion at the attachments.",
            "The ligament measures 1.42 mL in the label map.",
            "Continuous fibres mean that a complete tear is absent.",
            "ACL intact: complete tear 0, BML/cyst 0, repair 0.",
        ),
        {"complete_tear": 0, "bml_cyst": 0, "repair": 0},
        {N.STRUCTURE_VOLUME: (1.42, 0.1)},
        ("structure_volume",),
        side="left",
    ),
    Case(
        "root_tear",
        "root_tear:medial_posterior_root",
        (
            "Coronal and axial views of the posterior root of the medial meniscus, right knee.",
            "There is a gap at the attachment, so a root tear is present.",
            "The structure_gap comes to 3.1 mm.",
            "A gap at the attachment counts as a tear, which is scored as present.",
            "Posterior root of the medial meniscus: tear present, grade 1.",
        ),
        {"presence": 1},
        {N.STRUCTURE_GAP: (3.12, 0.4)},
        ("structure_gap",),
    ),
)
"""Each must pass with no failing issue."""
