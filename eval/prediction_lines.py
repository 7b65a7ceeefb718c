"""Reading what a model answered: the run's identity, and its append-only lines, one at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from eval.bench_files import check_version
from eval.bench_records import BenchManifest, Prediction, PredictionRun
from knee.errors import BenchError

RUN: Final = "run.json"
PREDICTIONS: Final = "predictions.jsonl"


class NumberedPrediction(NamedTuple):
    """A prediction and the line that it stands on."""

    line: int
    """1-based."""
    prediction: Prediction
    """What was answered."""


def read_run(folder: Path, manifest: BenchManifest) -> PredictionRun:
    """Returns what was asked of which model, if it answers this bench.

    Raises:
        BenchError: no predictions, another format version, or of another bench.
    """
    path = folder / RUN
    if not path.is_file():
        raise BenchError(
            f"no predictions at {str(folder)!r}: {RUN!r} is not there",
            "give the folder that `bench run` made",
        )
    data = path.read_bytes()
    check_version(data, path)
    try:
        run = PredictionRun.model_validate_json(data)
    except ValidationError as error:
        raise BenchError(f"{str(path)!r}: {_first(error)}", "let `bench run` write it") from None
    if run.bench_id != manifest.bench_id:
        raise BenchError(
            f"{str(folder)!r} answers the bench {run.bench_id!r}, not {manifest.bench_id!r} "
            f"({manifest.name!r})",
            "a bench that was built anew with other content has another id: run the model again",
        )
    return run


class PredictionLines:
    """The lines of `predictions.jsonl`; after reading, `torn` tells whether the last was cut off.

    Raises, while reading:
        BenchError: a line that is no prediction, but for a last one without its end.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PREDICTIONS
        self.torn = False

    def __iter__(self) -> Iterator[NumberedPrediction]:
        if not self.path.is_file():
            return  # a run that was stopped before its first answer
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    prediction = Prediction.model_validate_json(line)
                except ValidationError as error:
                    if not line.endswith(b"\n"):
                        self.torn = True
                        return
                    raise BenchError(
                        f"{str(self.path)!r} line {number} is no prediction: {_first(error)}",
                        "only a last line that was cut off is passed over",
                    ) from None
                yield NumberedPrediction(number, prediction)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])
