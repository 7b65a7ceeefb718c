"""A store of sampled findings, without any image, and answers to its items for a stub server."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from agents.context import GraphContext
from agents.demo_model.corpus import make_task
from agents.demo_model.grammar import to_json, write_answer
from agents.demo_model.sampler import bare_finding, resample
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.anatomy import Side
from knee.calibration import load_calibration
from knee.findings import Finding
from knee.keys import content_hash
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Item
from knee.run_config import Sampling
from prompts.registry import PromptTemplate
from store.connection import open_store
from store.items import Selection, load_items
from store.writer import StoreWriter
from tests import store_records as records
from tests.prepared_store import CALIBRATION
from tests.stub_server import prompt_key

QUESTION_IDS = (19, 30, 45)
"""Cartilage, osteophyte, extrusion."""
Spoil = Callable[[Item, dict[str, object]], None]
"""Changes the answer to an item in place."""


def make_sampled_store(path: Path, n_patients: int = 13, seed: int = 3) -> Path:
    """Makes a store of synthetic patients `p00`…; the last is a test patient, the one before val.

    The clinician's grade of every component is what its rule gives.
    """
    calibration, rng = load_calibration(CALIBRATION), Random(seed)
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        for number in range(n_patients):
            split = {n_patients - 1: "test", n_patients - 2: "val"}.get(number, "train")
            volume = records.volume(f"p{number:02}").model_copy(update={"split": split})
            writer.put_volume(volume)
            found = tuple(
                _placed(resample(bare_finding(QUESTIONS[q], rng), calibration, rng))
                for q in QUESTION_IDS
            )
            base = records.findings(volume.volume_id, QUESTION_IDS)
            writer.put_findings(
                base.model_copy(
                    update={"findings": found, "findings_id": content_hash(volume.volume_id)}
                )
            )
            graded = {
                (finding.question_id, e.component): e.rule_grade
                for finding in found
                for e in finding.evidence
            }
            writer.put_clinician_grades(
                [
                    grade.model_copy(update={"grade": graded[grade.question_id, grade.component]})
                    for grade in records.clinician_grades(volume, QUESTION_IDS)
                ]
            )
    return path


def _placed(finding: Finding) -> Finding:
    """Returns a finding whose box lies in the volume of `tests.store_records`."""
    return finding.model_copy(update={"box": records.finding(finding.question_id).box})


def sound_answers(
    store: Path, template: PromptTemplate, spoil: Spoil | None = None
) -> dict[str, str]:
    """Returns an answer to each item by the key of its prompt; sound, unless it is spoilt."""
    calibration = load_calibration(CALIBRATION)
    context = GraphContext(
        run_id="none",
        model=ScriptedChatModel(lambda _: ""),
        template=template,
        sampling=Sampling(),
        max_revisions=0,
        calibration=calibration,
    )
    answers: dict[str, str] = {}
    with open_store(store, read_only=True) as con:
        for item in load_items(con, Selection()):
            task = make_task(item.finding, Side(item.side), item.asked, calibration)
            answer = write_answer(task, Random(item.volume_id))
            if spoil is not None:
                spoil(item, answer)
            messages = prepare_task(item, context).messages
            answers[prompt_key([message.model_dump() for message in messages])] = to_json(answer)
    return answers


def patient_of(item: Item) -> int:
    """Returns the number of an item's patient."""
    return int(item.volume_id[1:3])


def clinician_of(item: Item) -> int:
    """Returns the clinician's grade of an item with one component."""
    grade = item.clinician_grade(Component.GRADE)
    assert grade is not None
    assert grade.grade is not None
    return grade.grade


def write_answers_file(path: Path, *tables: dict[str, str]) -> Path:
    """Writes answers of several prompts for `stub_process`."""
    path.write_text(json.dumps({k: v for table in tables for k, v in table.items()}), "utf-8")
    return path
