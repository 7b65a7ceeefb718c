"""All scores of one model on one bench, and of a second model beside it."""

from pathlib import Path
from typing import NamedTuple

from eval.answer_table import AnswerTable, answer_table
from eval.baseline_gains import baseline_gains
from eval.bench_files import Bench
from eval.bench_records import BenchControl, Coordinates, PredictionRun, Setting
from eval.bench_table import BenchTable, bench_table
from eval.bootstrap import N_RESAMPLES, Resampling, resampling
from eval.box_scores import Located, box_rows, locate
from eval.grade_baselines import baseline_grades
from eval.grade_scores import Graded, ambiguous_rows, counts_of, grade_rows, headlines
from eval.model_comparison import compare_boxes, compare_grades
from eval.prediction_lines import PREDICTIONS, PredictionLines, read_run
from eval.score_records import (
    SCORES_VERSION,
    BenchScores,
    BoxRow,
    Comparison,
    ReasoningScore,
)


class Answered(NamedTuple):
    """One model's predictions, read beside a bench."""

    run: PredictionRun
    """What was asked of which model."""
    answers: AnswerTable
    """What it answered."""


def read_answers(bench: Bench, table: BenchTable, folder: Path) -> Answered:
    """Returns a model's predictions.

    Raises:
        BenchError: they do not fit the bench, or cannot be read.
    """
    run = read_run(folder, bench.manifest)
    localises = run.setting is Setting.LOCALISE
    in_pictures = run.coordinates is not Coordinates.VOXELS
    lines = PredictionLines(folder)
    return Answered(run, answer_table(table, lines, localises=localises, in_pictures=in_pictures))


def score_bench(bench: Bench, predictions: Path, other: Path | None = None) -> BenchScores:
    """Returns every figure of a model on a bench.

    Args:
        bench: the bench.
        predictions: folder of the model's predictions.
        other: folder of a second model's, for the paired comparison.

    Raises:
        BenchError: predictions that do not fit the bench, or cannot be read.
    """
    table = bench_table(bench)
    own = read_answers(bench, table, predictions)
    others = None if other is None else read_answers(bench, table, other)
    drawn = resampling(len(table.patients))
    graded = Graded(table, own.answers, baseline_grades(table, bench.baselines), drawn)
    located = _located(bench, table, own)
    return BenchScores(
        scores_version=SCORES_VERSION,
        bench=bench.manifest,
        run=own.run,
        items=counts_of(own.answers.status, len(table.patients)),
        n_resamples=N_RESAMPLES,
        headlines=tuple(headlines(graded)),
        grading=tuple(grade_rows(graded)),
        ambiguous=tuple(ambiguous_rows(graded)),
        localisation=_box_rows(table, located, drawn),
        gains=baseline_gains(graded, located),
        reasoning=_reasoning(own.answers),
        readers=bench.readers,
        notes=(*bench.manifest.statements, *_notes(own)),
        comparison=None if others is None else _comparison(bench, table, own, others, located),
    )


def _located(bench: Bench, table: BenchTable, answered: Answered) -> Located | None:
    if answered.run.setting is not Setting.LOCALISE:
        return None
    return locate(table, answered.answers, bench.baselines)


def _box_rows(table: BenchTable, located: Located | None, drawn: Resampling) -> tuple[BoxRow, ...]:
    return () if located is None else tuple(box_rows(table, located, drawn))


def _reasoning(answers: AnswerTable) -> ReasoningScore:
    found = answers.reasoning
    return ReasoningScore(
        n_chosen=found.n_chosen,
        n_checked=found.n_checked,
        n_sound=found.n_sound,
        codes=dict(sorted(found.codes.items(), key=lambda entry: (-entry[1], entry[0]))),
    )


def _notes(answered: Answered) -> list[str]:
    run, answers = answered.run, answered.answers
    notes: list[str] = []
    if run.control is not BenchControl.NONE:
        notes.append(
            f"Control {run.control.value!r}: the model was not shown the knee asked about."
        )
    if run.setting in (Setting.REGION_CROP, Setting.GIVEN_BOX):
        notes.append(
            f"Setting {run.setting.value!r}: the boxes of extrusion and effusion follow the "
            "finding and may tell of its grade; those of all other features do not (RULES 12)."
        )
    if run.limited_to is not None:
        notes.append(
            f"The run was limited to {run.limited_to}: every other item of the bench counts as "
            "failed in the primary form."
        )
    n_missing = counts_of(answers.status, 0).n_missing
    if n_missing:
        notes.append(f"{n_missing} of {len(answers.status)} item(s) were never answered: failed.")
    if answers.torn:
        notes.append(f"The last line of {PREDICTIONS!r} was cut off and is passed over.")
    return notes


def _comparison(
    bench: Bench, table: BenchTable, own: Answered, other: Answered, located: Located | None
) -> Comparison:
    second = _located(bench, table, other)
    boxes = () if located is None or second is None else compare_boxes(table, located, second)
    return Comparison(
        other=other.run,
        grading=compare_grades(table, own.answers, other.answers),
        localisation=boxes,
    )
