"""Reading what a model answered: the run's identity, and its append-only lines, one at a time.

The slices that were sent are the better half of a line, and the same in all lines of a volume and
plane: they are read once (`SliceLists`), which halves the time of a scoring.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from eval.bench_files import check_version
from eval.bench_records import BenchManifest, Prediction, PredictionRun, SentSlice
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


class SliceLists:
    """Lists of slices that were read before, the latest ones, by their bytes."""

    _KEY = re.compile(rb'"slices"\s*:\s*\[')
    _KEPT = 256

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[SentSlice, ...]] = OrderedDict()
        self._adapter = TypeAdapter(tuple[SentSlice, ...])

    def read(self, line: bytes) -> Prediction:
        """Returns the prediction of a line, as `Prediction.model_validate_json` does.

        The key cannot stand inside a string of JSON, whose quotes have a backslash before them. A
        line that is not as expected is read whole.

        Raises:
            ValidationError: it is none.
        """
        key = self._KEY.search(line)
        start = key.end() - 1 if key is not None else 0
        end = line.find(b"]", start) + 1
        if key is None or not end or self._KEY.search(line, end) is not None:
            return Prediction.model_validate_json(line)
        try:
            slices = self._slices(line[start:end])
            bare = Prediction.model_validate_json(line[:start] + b"[]" + line[end:])
        except ValidationError:
            return Prediction.model_validate_json(line)  # tells what is wrong, and where
        return bare.model_copy(update={"slices": slices})

    def _slices(self, text: bytes) -> tuple[SentSlice, ...]:
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._adapter.validate_json(text)
            if len(self._known) > self._KEPT:
                self._known.popitem(last=False)
        return known


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
        lists = SliceLists()
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    prediction = lists.read(line)
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
