"""The demo model's judge examples: what they show is what a run shows, what they teach is true."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from agents.checks.run import check_answer
from agents.demo_model.corpus import (
    WEAK_FEATURE_WEIGHTS,
    Base,
    Example,
    check_context,
    draw_task,
    synthetic_bases,
)
from agents.demo_model.fault_phrases import (
    COLLOQUIAL,
    HELD_OUT_COLLOQUIAL,
    HELD_OUT_HISTORY,
    HISTORY,
)
from agents.demo_model.grammar import DraftTask, grade_task, to_json, write_answer
from agents.demo_model.judge_corpus import (
    REANSWER_PROMPT,
    RUBRIC_PROMPT,
    WEAK_RUBRIC_FAULTS,
    build_judge_examples,
    draw_reading,
    judge_example,
    other_task,
    rubric_answer,
)
from agents.demo_model.spoiling import BROKEN_ITEM, Fault, exchange, spoil
from agents.demo_model.tokenizer import JUDGE_TOKENS
from agents.injections import speaks_to_reader
from agents.masking import mask_steps
from knee.calibration import Calibration, load_calibration
from knee.judgement import JudgeTask, reanswer_model, rubric_model
from knee.records import CheckSeverity
from knee.run_config import load_run_config
from prompts.judging import rubric_items

CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return load_calibration(CONFIGS / "calibration-demo.toml")


@pytest.fixture(scope="module")
def bases(calibration: Calibration) -> list[Base]:
    return synthetic_bases(calibration, Random(41), with_habits=True)


@pytest.fixture(scope="module")
def tasks(bases: list[Base], calibration: Calibration) -> list[DraftTask]:
    rng = Random(42)
    return [draw_task(base, calibration, rng) for base in bases]


@pytest.fixture(scope="module")
def examples(bases: list[Base], calibration: Calibration) -> list[Example]:
    return list(build_judge_examples(bases, calibration, 400, Random(43)))


def others_of(task: DraftTask, bases: list[Base]) -> list[Base]:
    return [base for base in bases if base.finding.question_id == task.finding.question_id]


def is_rubric(example: Example) -> bool:
    return example.messages[0].content.startswith("rubric ")


def test_drafts_by_habits_pass_the_checks_too(tasks: list[DraftTask]):
    rng = Random(44)
    failures = [
        (task.question.region, issue.code)
        for task in tasks
        for issue in check_answer(
            to_json(write_answer(task, rng)), "stop", check_context(task), frozenset()
        ).issues
        if issue.severity is CheckSeverity.FAIL
    ]
    assert failures == []


def test_answers_are_read_by_the_judges_own_models(examples: list[Example]):
    kinds = Counter(is_rubric(example) for example in examples)
    assert min(kinds.values()) > 100
    for example in examples:
        if is_rubric(example):
            rubric_model(rubric_items()).model_validate_json(example.answer)
        else:
            task = example.task
            reanswer_model(task.question, task.asked).model_validate_json(example.answer)


def test_a_re_answer_to_a_sound_draft_gives_the_grades_that_follow(
    tasks: list[DraftTask], bases: list[Base]
):
    rng = Random(45)
    for task in tasks:
        found = judge_example(task, JudgeTask.REANSWER, Fault.NONE, others_of(task, bases), rng)
        assert found is not None
        wanted = {g.component.value: g.grade for g in grade_task(task)}
        assert json.loads(found.answer)["grades"] == wanted


def test_a_re_answer_reads_the_steps_that_it_is_shown_not_the_items_grade(
    tasks: list[DraftTask], bases: list[Base]
):
    rng, seen = Random(46), 0
    for task in tasks:
        drawn = draw_reading(task, Fault.EXCHANGED_FIRST, others_of(task, bases), rng)
        if drawn is None:
            continue
        reading, _ = drawn
        shown = mask_steps(reading.draft, check_context(task)).steps[-1].text
        own = [g.measurement.shown for g in grade_task(task)]
        theirs = list(reading.written.values())
        seen += any(value not in own and value not in shown for value in theirs)
    assert seen > 10, "a foreign value is masked: the judge must not be taught to read it"


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
def test_a_fault_breaks_its_own_item_of_the_rubric_and_no_other(
    fault: Fault, tasks: list[DraftTask], bases: list[Base]
):
    rng, made = Random(47), 0
    for task in tasks:
        drawn = draw_reading(task, fault, others_of(task, bases), rng)
        if drawn is None:
            continue
        made += 1
        marks = json.loads(rubric_answer(task, drawn[0]))
        assert [key for key, mark in marks.items() if not mark["holds"]] == [BROKEN_ITEM[fault]]
    assert made > 10


def test_every_reason_says_what_was_compared(tasks: list[DraftTask]):
    rng = Random(48)
    for task in tasks:
        spoilt = spoil(task, Fault.WRONG_VALUE, rng)
        if spoilt is None:
            continue
        reason = json.loads(rubric_answer(task, spoilt))["faithful"]["reason"]
        pairs = [part.split(" ") for part in reason.removeprefix("given ").split("; ")]
        assert any(pair[-1] == "differs" for pair in pairs)
        for first, second, verdict in (p for p in pairs if p[0] != "seen"):
            assert (first == second) == (verdict == "same")


def test_faults_that_the_checks_know_are_caught_by_them(
    tasks: list[DraftTask], calibration: Calibration
):
    rng = Random(49)
    known = (Fault.WRONG_VALUE, Fault.WRONG_SIDE, Fault.CONTRADICTED, Fault.NOT_MEASURED)
    for fault in known:
        spoilt = [(task, spoil(task, fault, rng)) for task in tasks]
        caught = [
            not check_answer(
                to_json(reading.answer), "stop", check_context(task), frozenset()
            ).passed
            for task, reading in spoilt
            if reading is not None
        ]
        assert sum(caught) >= 0.95 * len(caught), fault


def test_exchanged_steps_are_another_grades_and_keep_the_items_own_grades(
    tasks: list[DraftTask], bases: list[Base]
):
    rng, made = Random(50), 0
    for task in tasks:
        other = other_task(task, others_of(task, bases)[0], rng)
        if other is None:
            continue
        made += 1
        own = {g.component: g.grade for g in grade_task(task)}
        reading = exchange(task, other, first_only=False, rng=rng)
        assert reading.draft.grades == own
        assert reading.scaled != own
    assert made > 0.8 * len(tasks) - 12  # of a macerated part there is but one grade


def test_held_out_sentences_are_in_no_training_list_and_reach_the_judge():
    assert not set(HISTORY) & set(HELD_OUT_HISTORY)
    assert not set(COLLOQUIAL) & set(HELD_OUT_COLLOQUIAL)
    for sentence in (*HISTORY, *HELD_OUT_HISTORY, *COLLOQUIAL, *HELD_OUT_COLLOQUIAL):
        assert not speaks_to_reader(sentence.format(side="left")), sentence


def test_the_judges_tokens_stand_in_no_draft(tasks: list[DraftTask]):
    rng = Random(51)
    texts = [to_json(write_answer(task, rng)) for task in tasks]
    assert [token for token in JUDGE_TOKENS if any(token in text for text in texts)] == []


def test_examples_are_the_same_for_a_seed(bases: list[Base], calibration: Calibration):
    first, second = (list(build_judge_examples(bases, calibration, 20, Random(5))) for _ in "ab")
    assert first == second


def test_the_demos_settings_name_the_prompts_that_were_learnt():
    judge = load_run_config(CONFIGS / "demo.toml").judge
    if judge is not None:
        assert (judge.prompt_id, judge.prompt_version) == REANSWER_PROMPT
        assert (judge.rubric_prompt_id, judge.rubric_prompt_version) == RUBRIC_PROMPT


def test_a_run_that_practises_what_was_weak_shows_more_denials_each_marked_as_one(
    bases: list[Base], calibration: Calibration
):
    def denials(**settings: object) -> list[Example]:
        made = build_judge_examples(bases, calibration, 300, Random(46), **settings)  # pyright: ignore[reportArgumentType]
        return [e for e in made if is_rubric(e) and _is_denied(json.loads(e.answer))]

    usual = denials()
    weak = denials(feature_weights=WEAK_FEATURE_WEIGHTS, rubric_faults=WEAK_RUBRIC_FAULTS)
    assert len(weak) > 2 * len(usual) > 0
    for example in weak:
        assert not json.loads(example.answer)["faithful"]["holds"]
        assert max(g.grade for g in grade_task(example.task)) > 0


def _is_denied(marks: dict[str, dict[str, object]]) -> bool:
    reason = str(marks["faithful"]["reason"])
    return "seen nothing differs" in reason or "seen little differs" in reason
