"""Runs whose drafter is told the clinician's grade: marked, never blind, never discordant."""

import asyncio
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.discordance import discordant_components, grades_differ
from knee.errors import InputError
from knee.moaks import Component, Feature
from knee.records import Grounding, Item
from knee.run_config import Sampling
from prompts.registry import PromptKind, build_prompt, load_prompt
from run_pipeline import main
from stages.controls import work_of
from stages.generate import GenerateOptions, generate
from stages.run_plan import make_plan
from stages.settings import load_settings
from store.items import Selection
from store.reader import StoreReader
from tests.hand_made_store import make_store, write_settings
from tests.stub_server import StubServer

# The rule's grade of this store is 1 throughout: grade 1 is concordant, 3 is not.
READS = {"9001": {1: 1, 2: 3, 3: 1}, "9002": {1: 0, 2: None, 3: 1}}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "knees.duckdb", READS)


def given_settings(folder: Path, port: int = 9) -> Path:
    path = write_settings(folder, port)
    text = path.read_text().replace('prompt_id = "draft"', 'prompt_id = "draft-given"')
    path.write_text('grounding = "label_given"\n' + text)
    return path


def items(store: Path) -> dict[tuple[str, int], Item]:
    found = StoreReader(store).items(Selection())
    return {(item.volume_id[:4], item.question_id): item for item in found}


def prompt_text(item: Item, template_id: str, grounding: Grounding) -> str:
    template = load_prompt(template_id, 1)
    model = ScriptedChatModel(lambda _: "")
    context = GraphContext("r1", model, template, Sampling(), 0, grounding=grounding)
    return prepare_task(item, context).messages[-1].content


def test_the_grade_stands_in_the_prompt_of_a_marked_run_and_in_no_other(store: Path):
    item = items(store)["9001", 2]
    told = prompt_text(item, "draft-given", Grounding.LABEL_GIVEN)
    assert "Where to arrive\nsize: 3 (" in told
    assert "size: " not in prompt_text(item, "draft-given", Grounding.BLIND).split("arrive")[1]
    # A blind prompt is the same to the byte whatever the clinician read, in either grounding.
    with duckdb.connect(str(store)) as con:
        con.execute("UPDATE clinician_grades SET grade = 2 WHERE grade = 3")
    other = items(store)["9001", 2]
    for grounding in Grounding:
        assert prompt_text(item, "draft", grounding) == prompt_text(other, "draft", grounding)
    assert prompt_text(other, "draft-given", Grounding.LABEL_GIVEN) != told


def test_no_judge_is_told_a_grade():
    source = "{% block user %}{{ given_grades }}{% endblock %}{% block revise %}{% endblock %}"
    assert build_prompt("mine", 1, source).gives_grades
    for kind in (PromptKind.JUDGE_REANSWER, PromptKind.JUDGE_RUBRIC):
        with pytest.raises(InputError, match="undeclared variables: \\['given_grades'\\]"):
            build_prompt(f"{kind.value}-x", 1, source)


@pytest.mark.parametrize(
    ("component", "clinician", "borderline", "differ"),
    [
        (Component.SIZE, 1, False, False),
        (Component.SIZE, 2, False, True),
        (Component.SIZE, 2, True, False),
        (Component.SIZE, 3, True, True),
    ],
)
def test_discordant_is_beyond_the_measurements_uncertainty(
    component: Component, clinician: int, borderline: bool, differ: bool
):
    found = grades_differ(
        Feature.BML, component, rule=1, clinician=clinician, borderline=borderline
    )
    assert found is differ


def test_patterns_have_no_neighbours():
    """A nominal grade next to another is another kind, not a near miss."""
    assert grades_differ(
        Feature.MORPHOLOGY, Component.MORPHOLOGY, rule=2, clinician=3, borderline=True
    )


async def test_discordant_items_are_not_drafted_and_what_is_is_marked(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert {key for key, item in items(store).items() if discordant_components(item)} == {
        ("9001", 2),
        ("9002", 1),
    }
    sent: list[str] = []

    def answer(body: dict[str, Any]) -> str | None:
        if "state" not in body["response_format"]["json_schema"]["schema"]["properties"]:
            sent.append(body["messages"][-1]["content"])
        return None

    async with StubServer(answer=answer) as server:
        config = given_settings(tmp_path, server.port)
        options = GenerateOptions(store, config, quiet=True)
        assert await asyncio.to_thread(generate, options) == 0
        told = capsys.readouterr().err
        assert "2 item(s) stay pending, discordant: " in told
        assert await asyncio.to_thread(generate, options) == 0, "nothing is left to draft"
    with duckdb.connect(str(store), read_only=True) as con:
        drafted = con.execute("SELECT volume_id[:4], question_id FROM outcomes ORDER BY ALL")
        assert drafted.fetchall() == [("9001", 1), ("9001", 3), ("9002", 3)]
        assert con.execute("SELECT grounding FROM runs").fetchall() == [("label_given",)]
    assert len(sent) == 3
    assert all("Where to arrive\nsize: 1 (" in text for text in sent)
    explained = ["explain", "9001#2", "--store", str(store)]
    assert await asyncio.to_thread(main, explained) == 0
    assert "discordant: what was measured and the clinician's" in capsys.readouterr().out
    dry = GenerateOptions(store, config, dry_run=True, as_json=True)
    assert generate(dry) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["to_draft"] == 0
    assert list(figures["left_out"].values()) == [2]


def test_discordant_items_neither_use_up_a_limit_nor_pass_for_unread_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = given_settings(tmp_path)
    store = make_store(tmp_path / "some.duckdb", READS)
    reader = StoreReader(store)
    plan = make_plan(GenerateOptions(store, config, limit=2), load_settings(config), reader)
    drafted = [(w.item.volume_id[:4], w.item.question_id) for w in work_of(plan, reader, None)]
    assert drafted == [("9001", 1), ("9001", 3)]
    every = make_store(tmp_path / "every.duckdb", {"9001": {1: 3, 2: 3}})
    assert generate(GenerateOptions(every, config)) == 0
    told = capsys.readouterr().err
    assert "2 item(s) stay pending, discordant: " in told
    assert "every item of the selection that could be is left out" in told


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        (
            'prompt_id = "draft-given"',
            'prompt_id = "draft"',
            "grounding",
            "needs a prompt that tells",
        ),
        ('grounding = "label_given"', 'grounding = "blind"', "grounding", "and the run is blind"),
        ('grounding = "label_given"\n', "", r"drafter\.prompt_id", "and the run is blind"),
    ],
)
def test_grounding_and_prompt_belong_together(
    tmp_path: Path, old: str, new: str, place: str, said: str
):
    config = given_settings(tmp_path)
    assert load_settings(config).grounding is Grounding.LABEL_GIVEN
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(InputError, match=rf"line \d+: {place}: .*{said}"):
        load_settings(config)


def test_a_prompt_that_tells_grades_cannot_be_tried_blind(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with duckdb.connect(str(store)) as con:
        con.execute("UPDATE volumes SET split = 'train'")
        con.execute("UPDATE patient_splits SET split = 'train'")
    blind = write_settings(tmp_path)
    given = ["--store", str(store), "--config", str(blind)]
    assert main(["prompts", "try", "draft-given", *given]) == 2
    assert "tells the clinician's grades, and the run is blind" in capsys.readouterr().err
    assert main(["prompts", "render", "draft-given", *given]) == 2
    assert "the run is blind" in capsys.readouterr().err
    assert main(["prompts", "render", "draft-given", *given[:2], "--question", "1"]) == 0
    assert "Where to arrive\nsize: 1" in capsys.readouterr().out


async def test_a_trial_that_was_told_grades_is_marked_and_not_offered_for_comparison(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with duckdb.connect(str(store)) as con:
        con.execute("UPDATE volumes SET split = 'train'")
        con.execute("UPDATE patient_splits SET split = 'train'")
    async with StubServer() as server:
        config = given_settings(tmp_path, server.port)
        arguments = ["prompts", "try", "draft-given", "--store", str(store)]
        assert await asyncio.to_thread(main, [*arguments, "--config", str(config)]) == 0
    assert "prompts compare" not in capsys.readouterr().err
    with duckdb.connect(str(store), read_only=True) as con:
        runs = con.execute("SELECT kind, grounding FROM runs").fetchall()
    assert runs == [("trial", "label_given")]
