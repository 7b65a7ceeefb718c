"""The demo model's reasoning grammar: what it writes is sound, and not always the same."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from agents.checks.run import check_answer
from agents.demo_model.corpus import (
    FIRST_HELD_OUT_SEED,
    Example,
    as_shown,
    build_examples,
    check_context,
    draw_task,
    refuse_held_out,
    synthetic_bases,
)
from agents.demo_model.grammar import DraftTask, grade_task, to_json, write_answer
from agents.demo_model.phantom_findings import (
    DEMO_SEED_LIMIT,
    FIRST_TRAINING_SEED,
    describe_phantoms,
)
from knee.answers import answer_model
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError
from knee.findings import Measurement, MeasurementName, Unit
from knee.moaks import Feature, illegal_combinations
from knee.records import CheckIssue, CheckSeverity

CALIBRATION_FILE = Path(__file__).parents[1] / "configs" / "calibration-demo.toml"
N_DRAFTS = 600


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return load_calibration(CALIBRATION_FILE)


@pytest.fixture(scope="module")
def tasks(calibration: Calibration) -> list[DraftTask]:
    rng = Random(31)
    bases = synthetic_bases(calibration, rng)
    # Every question and side in turn, so that none is left to chance.
    return [draw_task(bases[n % len(bases)], calibration, rng) for n in range(N_DRAFTS)]


def find_failures(text: str, task: DraftTask) -> list[CheckIssue]:
    context = check_context(task)
    report = check_answer(text, "stop", context, frozenset())
    return [i for i in report.issues if i.severity is CheckSeverity.FAIL]


def test_no_sampled_draft_fails_a_check(tasks: list[DraftTask]):
    rng = Random(32)
    failures = {
        (issue.code, issue.message)
        for task in tasks
        for issue in find_failures(to_json(write_answer(task, rng)), task)
    }
    assert failures == set()


def test_tasks_cover_every_feature_that_a_rule_can_grade(tasks: list[DraftTask]):
    assert {task.question.feature for task in tasks} >= {
        Feature.BML,
        Feature.CARTILAGE,
        Feature.OSTEOPHYTE,
        Feature.EXTRUSION,
        Feature.EFFUSION_SYNOVITIS,
    }


def test_answers_are_valid_for_the_schema_and_legal(tasks: list[DraftTask]):
    rng = Random(33)
    for task in tasks[:200]:
        answer = write_answer(task, rng)
        answer_model(task.question, task.asked).model_validate_json(to_json(answer))
        grades = {g.component: g.grade for g in grade_task(task)}
        assert illegal_combinations(task.question.feature, grades) == []


def test_grades_are_balanced_where_they_may_be_free(tasks: list[DraftTask]):
    counts = Counter(
        grade_task(task)[0].grade
        for task in tasks
        if task.question.feature in (Feature.OSTEOPHYTE, Feature.EXTRUSION)
    )
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 0.5 * max(counts.values())


def test_one_task_is_worded_in_many_ways(tasks: list[DraftTask]):
    rng = Random(34)
    texts = {to_json(write_answer(tasks[0], rng)) for _ in range(40)}
    assert len(texts) > 30


def test_same_seed_gives_same_examples(calibration: Calibration):
    def draw(seed: int) -> list[Example]:
        rng = Random(seed)
        return list(build_examples(synthetic_bases(calibration, rng), calibration, 20, rng))

    assert draw(5) == draw(5)
    assert [e.answer for e in draw(5)] != [e.answer for e in draw(6)]


def test_some_examples_are_revisions_of_an_answer_that_failed(calibration: Calibration):
    rng = Random(35)
    examples = list(build_examples(synthetic_bases(calibration, rng), calibration, 300, rng))
    revisions = [e for e in examples if len(e.messages) == 3]
    assert 0.02 * len(examples) < len(revisions) < 0.25 * len(examples)
    for example in revisions:
        _, earlier, request = example.messages
        codes = {issue.code for issue in find_failures(earlier.content, example.task)}
        assert codes
        assert all(code in request.content for code in codes)
        assert find_failures(example.answer, example.task) == []


def test_a_changed_digit_of_a_value_does_not_pass(tasks: list[DraftTask]):
    task = next(t for t in tasks if t.question.feature is Feature.EXTRUSION)
    answer = write_answer(task, Random(36))
    shown = grade_task(task)[0].measurement.shown
    answer["measure"]["text"] = answer["measure"]["text"].replace(shown, f"9{shown}")
    assert find_failures(json.dumps(answer), task)


def test_training_seeds_are_not_the_demos(calibration: Calibration):
    assert DEMO_SEED_LIMIT <= FIRST_TRAINING_SEED
    with pytest.raises(InputError, match="not a training seed"):
        next(describe_phantoms(DEMO_SEED_LIMIT - 1, 1, calibration))


def test_a_wrong_seed_is_told_in_one_message_and_leaves_no_file(tmp_path: Path):
    out = tmp_path / "findings.jsonl"
    command = [sys.executable, "-m", "agents.demo_model.phantom_findings", "--seed", "5"]
    ended = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "error: seed 5 is not a training seed\nhint: use 100000 or more\n"
    assert list(tmp_path.iterdir()) == []


def test_knees_of_the_cards_table_train_nothing(calibration: Calibration):
    (trains,) = describe_phantoms(FIRST_TRAINING_SEED, 1, calibration)
    refuse_held_out([trains])
    held_out = trains.model_copy(update={"volume_id": f"PH{FIRST_HELD_OUT_SEED}0003/V00/left/dess"})
    assert trains.volume_id.startswith(f"PH{FIRST_TRAINING_SEED}0000/")
    with pytest.raises(InputError, match="is held out"):
        refuse_held_out([trains, held_out])


def test_an_answer_cites_nothing_that_the_prompt_does_not_show():
    extra = Measurement(
        name=MeasurementName.P90_THICKNESS,
        value=2.1,
        unit=Unit.MM,
        method="test",
        definition_id="test@1",
    )
    for base in synthetic_bases(None, Random(2)):
        finding = base.finding
        more = finding.model_copy(update={"measurements": (*finding.measurements, extra)})
        assert as_shown(more).measurements == as_shown(finding).measurements
