"""A store of drawn findings for `bench_agents`, and the sound answer to each of its prompts.

No images, no phantoms: values are drawn as for the demo model's training (`sampler`), anew for
every item, so that no two prompts are alike and no cache can help more than it would in a run.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from agents.context import GraphContext
from agents.demo_model.corpus import make_task, synthetic_bases
from agents.demo_model.grammar import to_json, write_answer
from agents.demo_model.sampler import gradable_components, resample
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.anatomy import Side
from knee.calibration import Calibration, load_calibration
from knee.findings import Finding, SideCheck, VolumeFindings
from knee.geometry import Frame, change_frame
from knee.grades import ClinicianGrade, GradeStatus
from knee.keys import content_hash
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Item, VolumeRecord
from knee.run_config import Sampling
from prompts.registry import load_prompt
from store.items import sagittal_axis
from store.writer import StoreWriter
from tests.demo_run import CHECKOUT
from tests.stub_server import prompt_key

CALIBRATION = CHECKOUT / "configs" / "calibration-demo.toml"
PROMPT = ("demo-draft", 1)
"""The prompt of the benchmark: the shorter one, so that what is ours weighs more."""
_SHAPE = (384, 384, 160)
_ORIENTATION = "PIR"
_AFFINE = ((0.0, 0.0, 0.7, -56.0), (-0.4, 0.0, 0.0, 70.0), (0.0, -0.4, 0.0, 70.0), (0, 0, 0, 1.0))
_VOLUMES_A_COMMIT = 100


@dataclass(frozen=True)
class BenchCohort:
    """What was made."""

    store: Path
    """A prepared store."""
    answers: Path
    """JSON: prompt key to answer, for the stub."""
    n_items: int
    """Items that a run finds pending."""


def make_cohort(folder: Path, n_items: int, seed: int = 1) -> BenchCohort:
    """Makes a store with at least `n_items` pending items in `folder`, and their answers."""
    rng = Random(seed)
    calibration = load_calibration(CALIBRATION)
    bases = [base for base in synthetic_bases(calibration, rng) if base.side is Side.RIGHT]
    n_volumes = -(-n_items // len(bases))
    cohort = BenchCohort(folder / "knees.duckdb", folder / "answers.json", n_volumes * len(bases))
    context = drafting_context(calibration)
    answers: dict[str, str] = {}
    with StoreWriter(cohort.store, create=True) as writer:
        writer.put_catalogue()
        for first in range(0, n_volumes, _VOLUMES_A_COMMIT):
            with writer.transaction():
                grades: list[ClinicianGrade] = []
                for number in range(first, min(first + _VOLUMES_A_COMMIT, n_volumes)):
                    findings = [resample(base.finding, calibration, rng) for base in bases]
                    volume, items = _volume(number, findings)
                    writer.put_volume(volume)
                    writer.put_findings(_set_of(volume.volume_id, findings))
                    for item in items:
                        grades += _answer(item, context, calibration, rng, answers)
                writer.put_clinician_grades(grades)
    cohort.answers.write_text(json.dumps(answers), encoding="utf-8")
    return cohort


def write_config(
    folder: Path, port: int, concurrency: int, *, timeout_s: float = 60, extra: str = ""
) -> Path:
    """Writes settings for the stub on `port`; returns their path."""
    (folder / CALIBRATION.name).write_text(CALIBRATION.read_text(encoding="utf-8"))
    path = folder / f"stub-{port}-{concurrency}.toml"
    path.write_text(
        f"""name = "bench"
calibration = "{CALIBRATION.name}"
[drafter]
base_url = "http://127.0.0.1:{port}/v1"
model = "stub"
prompt_id = "{PROMPT[0]}"
prompt_version = {PROMPT[1]}
licence = "none"
timeout_s = {timeout_s}
[drafter.sampling]
max_tokens = 640
[batch]
concurrency = {concurrency}
max_revisions = 1
{extra}
""",
        encoding="utf-8",
    )
    return path


def drafting_context(calibration: Calibration) -> GraphContext:
    """Returns a context that renders the prompts of a run with the settings written here."""
    return GraphContext(
        run_id="none",
        model=ScriptedChatModel(lambda _: ""),
        template=load_prompt(*PROMPT),
        sampling=Sampling(),
        max_revisions=0,
        calibration=calibration,
    )


def _volume(number: int, findings: list[Finding]) -> tuple[VolumeRecord, list[Item]]:
    patient = f"B{number:05}"
    volume = VolumeRecord(
        volume_id=f"{patient}/V00/right/dess",
        patient=patient,
        visit="V00",
        side="right",
        sequence="dess",
        image=f"{patient}/image.nii.gz",
        label_map=f"{patient}/labels.nii.gz",
        cohort_root="none",
        scheme="phantom",
        mask_source="drawn",
        segmenter="none",
        licence="CC0-1.0",
        synthetic=True,
        split=None,
        status="ready",
    )
    return volume, list(_items(volume, findings))


def _items(volume: VolumeRecord, findings: list[Finding]) -> Iterator[Item]:
    for finding in findings:
        yield Item(
            volume_id=volume.volume_id,
            question_id=finding.question_id,
            findings_id=content_hash(volume.volume_id),
            side=volume.side,
            visit=volume.visit,
            sequence=volume.sequence,
            slice_axis=sagittal_axis(_ORIENTATION),
            shape=_SHAPE,
            finding=finding,
            clinician=tuple(
                _grade(volume.patient, finding.question_id, component, 0)
                for component in QUESTIONS[finding.question_id].components
                if any(evidence.component is component for evidence in finding.evidence)
            ),
            synthetic=True,
        )


def _set_of(volume_id: str, findings: list[Finding]) -> VolumeFindings:
    placed = tuple(
        finding.model_copy(
            update={"box_world": change_frame(finding.box, Frame.WORLD_RAS_MM, _AFFINE)}
        )
        for finding in findings
        if finding.box is not None
    )
    return VolumeFindings(
        volume_id=volume_id,
        findings_id=content_hash(volume_id),
        scheme="phantom",
        tools_version="drawn",
        side_check=SideCheck.CONFIRMED,
        shape=_SHAPE,
        affine=_AFFINE,
        orientation=_ORIENTATION,
        image_sha256=content_hash(f"image of {volume_id}"),
        label_map_sha256=content_hash(f"labels of {volume_id}"),
        findings=placed,
    )


def _answer(
    item: Item,
    context: GraphContext,
    calibration: Calibration,
    rng: Random,
    answers: dict[str, str],
) -> list[ClinicianGrade]:
    """Adds the answer to an item's prompt; returns the clinician's grades that it agrees with."""
    asked = tuple(gradable_components(item.question, calibration))
    answer = write_answer(make_task(item.finding, Side(item.side), asked, calibration), rng)
    messages = prepare_task(item, context).messages
    answers[prompt_key([m.model_dump() for m in messages])] = to_json(answer)
    patient = item.volume_id.split("/")[0]
    return [
        _grade(patient, item.question_id, Component(name), grade)
        for name, grade in answer["grades"].items()
    ]


def _grade(patient: str, question_id: int, component: Component, grade: int) -> ClinicianGrade:
    return ClinicianGrade(
        patient=patient,
        visit="V00",
        side="right",
        question_id=question_id,
        component=component,
        status=GradeStatus.READ,
        grade=grade,
        raw=(str(grade),),
        variable="drawn",
        file="drawn",
        lines=(1,),
        readprj=("1",),
        version=("1",),
    )
