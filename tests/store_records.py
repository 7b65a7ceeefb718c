"""Records for the store's tests: small, made by hand, nothing measured."""

import json
import random

from knee.answers import Draft, Step, StepName
from knee.findings import (
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
    SideCheck,
    Unit,
    VolumeFindings,
)
from knee.geometry import Frame, change_frame, voxel_box
from knee.grades import ClinicianGrade, GradeStatus
from knee.keys import content_hash
from knee.moaks import RuleBasis
from knee.questions import QUESTIONS
from knee.records import (
    Attempt,
    CheckIssue,
    CheckSeverity,
    ComponentComparison,
    ComponentStatus,
    Control,
    Grounding,
    ItemOutcome,
    ItemState,
    PromptRef,
    Run,
    RunKind,
    Usage,
    VolumeRecord,
    Wording,
)

AFFINE = ((0.0, 0.0, 0.7, -10.0), (-0.4, 0.0, 0.0, 5.5), (0.0, -0.4, 0.0, 3.25), (0.0, 0, 0, 1))
PROMPT = PromptRef(prompt_id="draft", version=1, sha256=content_hash("Look at {{ region }}."))


def volume(patient: str = "9001", *, synthetic: bool = True, visit: str = "V00") -> VolumeRecord:
    return VolumeRecord(
        volume_id=f"{patient}/{visit}/right/dess",
        patient=patient,
        visit=visit,
        side="right",
        sequence="dess",
        image=f"{patient}/image.nii.gz",
        label_map=f"{patient}/labels.nii.gz",
        cohort_root="cohort",
        scheme="phantom",
        mask_source="phantom",
        segmenter="none",
        licence="CC0-1.0",
        synthetic=synthetic,
        split=None,
        status="ready",
    )


def finding(question_id: int, *, evidence: EvidenceLevel = EvidenceLevel.MEASURED) -> Finding:
    box = voxel_box(3, 9 + question_id, 4, 11, 5, 13)
    return Finding(
        question_id=question_id,
        region=QUESTIONS[question_id].region,
        box=box,
        box_world=change_frame(box, Frame.WORLD_RAS_MM, AFFINE),
        box_source=BoxSource.PARTITION,
        box_reason=None,
        truncated=question_id == 43,
        definition_id="subregion@1",
        measurements=(
            Measurement(
                name=MeasurementName.BML_VOLUME_SHARE,
                value=12.3456789,
                unit=Unit.PERCENT,
                sd=0.7,
                method="voxel count",
                definition_id="bml.share@1",
            ),
            Measurement(
                name=MeasurementName.BML_COUNT,
                value=2,
                unit=Unit.COUNT,
                method="26-connected",
                definition_id="bml.count@1",
            ),
        ),
        evidence=tuple(
            ComponentEvidence(
                component=component,
                level=evidence,
                reason="a lesion label",
                measurement=MeasurementName.BML_VOLUME_SHARE,
                rule_grade=1,
                rule_basis=RuleBasis.MOAKS,
                margin=20.65,
                borderline=False,
            )
            for component in QUESTIONS[question_id].components
        ),
    )


def findings(
    volume_id: str, question_ids: tuple[int, ...] = (1, 2, 16, 30), *, tools: str = "1"
) -> VolumeFindings:
    return VolumeFindings(
        volume_id=volume_id,
        findings_id=content_hash(f"{volume_id} {tools}"),
        scheme="phantom",
        tools_version=tools,
        side_check=SideCheck.CONFIRMED,
        shape=(160, 384, 90),
        affine=AFFINE,
        orientation="PIR",
        image_sha256=content_hash("image"),
        label_map_sha256=content_hash("labels"),
        findings=tuple(
            finding(q, evidence=EvidenceLevel.NONE if q == 30 else EvidenceLevel.MEASURED)
            for q in question_ids
        ),
    )


def clinician_grades(
    record: VolumeRecord, question_ids: tuple[int, ...] = (1, 16, 30), *, grade: int = 1
) -> list[ClinicianGrade]:
    return [
        ClinicianGrade(
            patient=record.patient,
            visit=record.visit,
            side=record.side,
            question_id=question_id,
            component=component,
            status=GradeStatus.READ,
            grade=grade,
            raw=(f"{grade}: some",),
            variable="MBMSFMA",
            file="moaks.txt",
            lines=(2,),
            readprj=("15",),
            version=("0.1",),
        )
        for question_id in question_ids
        for component in QUESTIONS[question_id].components
    ]


def run(run_id: str = "r1", *, kind: RunKind = RunKind.PRODUCTION, seed: int = 7) -> Run:
    return Run(
        run_id=run_id,
        fingerprint=content_hash(f"{seed} {kind.value}"),
        kind=kind,
        control=Control.SHUFFLED_FINDINGS if kind is RunKind.CONTROL else Control.NONE,
        grounding=Grounding.BLIND,
        wording=Wording.GUIDED,
        prompts=(PROMPT,),
        drafter_model="demo",
        judge_model=None,
        checks={"schema": 1, "numbers": 2},
        sampling={"temperature": 0.0, "max_tokens": 512, "seed": seed, "stop": "\n", "top_k": 5},
        provenance={"commit": "abc", "model_licence": "Apache-2.0"},
    )


def draft(question_id: int, grade: int, text: str = "The margin is at 12.3 %.") -> Draft:
    return Draft(
        steps=(
            Step(name=StepName.LOCATE, text=text, box=(3, 10, 4, 11, 5, 13)),
            Step(name=StepName.OBSERVE, text='A "bright" area – 2 spots.'),
            Step(name=StepName.MEASURE, text="12.3 %", cites=("bml_volume_share", "bml_count")),
            Step(name=StepName.APPLY_SCALE, text="Less than 33 %."),
            Step(name=StepName.CONCLUDE, text="Grade 1."),
        ),
        grades=dict.fromkeys(QUESTIONS[question_id].components, grade),
    )


def answer(value: Draft) -> str:
    wire: dict[str, object] = {}
    for step in value.steps:
        entry: dict[str, object] = {"text": step.text}
        if step.box is not None:
            entry["box"] = list(step.box)
        if step.name is StepName.MEASURE:
            entry["cites"] = list(step.cites)
        wire[step.name.value] = entry
    wire["grades"] = {component.value: grade for component, grade in value.grades.items()}
    return json.dumps(wire)


def attempt(question_id: int, *, number: int = 1, grade: int = 1, passes: bool = True) -> Attempt:
    value = draft(question_id, grade)
    return Attempt(
        attempt_no=number,
        prompt=PROMPT,
        prompt_text_sha256=content_hash(f"rendered {question_id}"),
        model="demo",
        sampling={"temperature": 0.0, "max_tokens": 512, "seed": 7, "stop": "\n"},
        usage=Usage(prompt_tokens=700, completion_tokens=210, latency_s=1.25),
        finish_reason="stop",
        text=answer(value),
        draft=value,
        issues=()
        if passes
        else (
            CheckIssue(
                check="numbers",
                version=2,
                code="number_not_in_findings",
                severity=CheckSeverity.FAIL,
                message="9.9 mm is not among the findings",
            ),
        ),
        grade_changed=number > 1,
    )


def outcome(
    run_id: str,
    volume_id: str,
    question_id: int,
    *,
    state: ItemState = ItemState.ACCEPTED,
    grade: int = 1,
    clinician: int = 1,
) -> ItemOutcome:
    accepted = state is ItemState.ACCEPTED
    return ItemOutcome(
        run_id=run_id,
        volume_id=volume_id,
        question_id=question_id,
        findings_id=findings(volume_id).findings_id,
        state=state,
        codes=() if accepted else ("number_not_in_findings",),
        attempts=(
            attempt(question_id, passes=False, grade=grade),
            attempt(question_id, number=2, grade=grade, passes=state is not ItemState.REJECTED),
        ),
        components=tuple(
            ComponentComparison(
                component=component,
                status=ComponentStatus.GRADED,
                draft_grade=grade,
                clinician_grade=clinician,
                clinician_status=GradeStatus.READ,
                evidence=EvidenceLevel.MEASURED,
            )
            for component in QUESTIONS[question_id].components
        ),
        gates=("schema@1", "numbers@2", "compare@1"),
    )


def long_text(rng: random.Random, n_words: int) -> str:
    """Words of a fixed vocabulary: compresses like prose, not like repetition."""
    return " ".join(rng.choices(_WORDS, k=n_words))


_WORDS = [
    "".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=2 + i % 9))
    for i in range(3000)
]
