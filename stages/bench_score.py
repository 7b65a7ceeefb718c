"""`bench score`: a model's predictions against a bench, or two models' against each other."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eval.bench_files import Bench, read_bench
from eval.prediction_lines import read_run
from eval.score_records import BenchScores
from eval.scoring import score_bench
from knee.errors import BenchError, InputError
from stages.bench_gain_tables import show_gains
from stages.bench_tables import show_scores
from stages.console import emit, say
from stages.training_patients import fitted_on, training_patients

SCORES: Final = "scores.json"
"""What is written into the folder of the predictions."""
_MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What the command line says."""

    bench: Path
    """Folder of the bench."""
    predictions: Path
    """Folder of the predictions."""
    other: Path | None = None
    """Folder of a second model's predictions."""
    training_exports: tuple[Path, ...] = ()
    """Exports that the model was trained on."""
    out: Path | None = None
    """File of the scores; None is `scores.json` in the folder of the predictions."""
    as_json: bool = False
    """Print the scores on stdout."""


def score(options: ScoreOptions) -> int:
    """Writes the scores and returns 0.

    Raises:
        BenchError: bench, predictions and training export do not fit each other.
        InputError: an export that cannot be read, or no place to write to.
    """
    bench = read_bench(options.bench)
    # What is wrong with the folders is told before half a million lines are read.
    for folder in (options.predictions, options.other):
        if folder is not None:
            read_run(folder, bench.manifest)
    for folder in options.training_exports:
        refuse_trained_on(bench, folder)
    scores = score_bench(bench, options.predictions, options.other)
    out = options.predictions / SCORES if options.out is None else options.out
    text = scores.model_dump_json(indent=1)
    _write(out, text + "\n")
    if options.as_json:
        emit(text)
    show_scores(scores)
    show_gains(scores)
    _tell_failures(scores)
    say(f"scores: {out}")
    return 0


def refuse_trained_on(bench: Bench, folder: Path) -> None:
    """Refuses a bench that holds patients of an export's training, validation or unsplit rows.

    Raises:
        BenchError: names the first of them.
        InputError: the export cannot be read.
    """
    by_split = training_patients(folder)
    of_bench = {volume.patient for volume in bench.volumes.values()}
    seen = sorted(fitted_on(by_split) & of_bench)
    if seen:
        more = f" and {len(seen) - _MAX_NAMED} more" if len(seen) > _MAX_NAMED else ""
        raise BenchError(
            f"{len(seen)} of the bench's {len(of_bench)} patients are in the training export "
            f"{str(folder)!r}: {', '.join(map(repr, seen[:_MAX_NAMED]))}{more}",
            "a model is not scored on patients that it was trained on: train on an export of the "
            "same store's train split, or build the bench of other patients",
        )
    unused = by_split.get("test", frozenset()) & of_bench
    if unused:
        say(
            f"the training export {str(folder)!r} holds {len(unused)} of the bench's patients in "
            "its test split: whether that was left out of the training cannot be seen here"
        )


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be written: {error}", "name another file with --out"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _tell_failures(scores: BenchScores) -> None:
    counts = scores.items
    if counts.n_scored < counts.n_total:
        say(
            f"{counts.n_total - counts.n_scored} of {counts.n_total} item(s) have no answer that "
            "could be read: wrong in every primary figure"
        )
