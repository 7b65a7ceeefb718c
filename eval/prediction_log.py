"""The append-only predictions of one run: a row is synced before it counts, a torn one is dropped.

A folder holds one run: `run.json` says which, and only the same run goes on in it. Every item has
at most one row, whatever became of it; who wants to try failed ones again takes their rows out
first (`PredictionLog.drop_failed`: a new file takes the old one's place in one step), so that at
any moment each item has one row or none.
"""

import asyncio
import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from pydantic import ValidationError

from eval.bench_files import check_version
from eval.bench_records import AnswerStatus, Prediction, PredictionRun
from knee.errors import BenchError
from knee.keys import canonical_json

RUN: Final = "run.json"
PREDICTIONS: Final = "predictions.jsonl"
_NOT_IDENTITY: Final = {"provenance"}


class PredictionLog:
    """A run's predictions, open for appending; use as `with PredictionLog(...)`."""

    def __init__(self, folder: Path, run: PredictionRun) -> None:
        """Opens nothing yet.

        Args:
            folder: of the predictions; made where it is not there.
            run: which run goes on, or starts.
        """
        self._folder = folder
        self._run = run
        self._file: BinaryIO | None = None
        self.statuses: dict[str, AnswerStatus] = {}
        """Item id to what became of it, of every row that is there."""

    def check(self) -> None:
        """Refuses a folder that is not this run's; writes nothing.

        Raises:
            BenchError: the folder holds something else, or another run.
        """
        folder = self._folder
        if not folder.exists():
            return
        if not folder.is_dir():
            raise BenchError(f"{str(folder)!r} is no folder", "name another one with --out")
        path = folder / RUN
        if not path.is_file():
            if any(folder.iterdir()):
                raise BenchError(
                    f"{str(folder)!r} holds other files and no {RUN!r}",
                    "name an empty folder, or a new one, with --out",
                )
            return
        stored = read_run(folder)
        differing = _differences(stored, self._run)
        if differing:
            told = "; ".join(f"{name}: {old} there, {new} now" for name, old, new in differing)
            raise BenchError(
                f"{str(folder)!r} holds the predictions of another run ({told})",
                "name another folder with --out, or ask as before to go on with this one",
            )

    def __enter__(self) -> Self:
        """Locks the folder, reads what is there and cuts off a torn last line.

        Raises:
            BenchError: as `check`, a damaged file, or another process that writes here.
        """
        self.check()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / RUN
        if not path.is_file():
            text = json.dumps(self._run.model_dump(mode="json"), indent=2, ensure_ascii=False)
            _replace(path, (text + "\n").encode())
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file, which unlocks it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        path = self._folder / PREDICTIONS
        with ExitStack() as stack:
            file = stack.enter_context(path.open("ab"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BenchError(
                    f"another process is writing {str(path)!r}", "wait for it, or stop it"
                ) from None
            file.truncate(self._read(path))
            stack.pop_all()
        self._file = file

    def _read(self, path: Path) -> int:
        """Takes in the rows that are there; returns the byte behind the last whole one."""
        whole = 0
        self.statuses = {}
        for row, end in _whole_rows(path):
            if row.item_id in self.statuses:
                raise BenchError(
                    f"{str(path)!r} has two rows for {row.item_id!r}", "start a new folder"
                )
            self.statuses[row.item_id] = row.status
            whole = end
        return whole

    def append(self, rows: list[Prediction]) -> None:
        """Writes rows and returns once they are on the disk."""
        assert self._file is not None, "the log is open inside its `with` block"
        lines = [canonical_json(row.model_dump(mode="json")) + "\n" for row in rows]
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        for row in rows:
            self.statuses[row.item_id] = row.status

    def drop_failed(self) -> int:
        """Takes the rows of failed items out, in one step; returns how many."""
        path = self._folder / PREDICTIONS
        rows = [row for row, _ in _whole_rows(path)]
        kept = [row for row in rows if row.status is not AnswerStatus.FAILED]
        if len(kept) < len(rows):
            lines = [canonical_json(row.model_dump(mode="json")) + "\n" for row in kept]
            assert self._file is not None, "the log is open inside its `with` block"
            _replace(path, "".join(lines).encode())
            self._file.close()
            self._open()
        return len(rows) - len(kept)

    @property
    def counts(self) -> Counter[AnswerStatus]:
        """Rows by what became of them."""
        return Counter(self.statuses.values())


class PredictionKeeper:
    """Rows on their way to the disk: those that come together are synced together."""

    def __init__(self, log: PredictionLog) -> None:
        """Keeps nothing yet.

        Args:
            log: open.
        """
        self._log = log
        self._waiting: list[tuple[Prediction, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, row: Prediction) -> None:
        """Returns once a row is on the disk."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._log.append, [row for row, _ in batch])
            except OSError as error:
                for _, done in batch:
                    done.set_exception(_disk_trouble(error))
            else:
                for _, done in batch:
                    done.set_result(None)


def read_run(folder: Path) -> PredictionRun:
    """Returns what `run.json` of a predictions folder says.

    Raises:
        BenchError: it is not there, of another version, or damaged.
    """
    path = folder / RUN
    if not path.is_file():
        raise BenchError(f"no predictions at {str(folder)!r}: {RUN!r} is not there")
    data = path.read_bytes()
    check_version(data, path)
    try:
        return PredictionRun.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BenchError(
            f"{str(path)!r}: {where}: {first['msg']}", "start a new folder with --out"
        ) from None


def _whole_rows(path: Path) -> Iterator[tuple[Prediction, int]]:
    """Yields the rows with the byte behind each; a last line without its end is left out."""
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                yield Prediction.model_validate_json(line), end
            except ValidationError as error:
                raise BenchError(
                    f"{str(path)!r} line {number} is damaged: {error.errors()[0]['msg']}",
                    "restore the file, or start a new folder with --out",
                ) from None


def _differences(stored: PredictionRun, now: PredictionRun) -> list[tuple[str, str, str]]:
    old: Mapping[str, object] = stored.model_dump(mode="json", exclude=_NOT_IDENTITY)
    new: Mapping[str, object] = now.model_dump(mode="json", exclude=_NOT_IDENTITY)
    return [(name, repr(old[name]), repr(new[name])) for name in old if old[name] != new[name]]


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _disk_trouble(error: OSError) -> BenchError:
    trouble = BenchError(
        f"the predictions cannot be written: {error.strerror}", "make room, then resume"
    )
    trouble.exit_code = 3
    return trouble
