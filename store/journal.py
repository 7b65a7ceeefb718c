"""The journal: finished items on disk before they count, until the store has committed them.

`<store>.journal/<run_id>.jsonl`, one `ItemOutcome` a line, appended and fsynced. Items are dropped
only after their commit, so that a kill between the two leaves them in both places; the store
ignores what it has already. A file is sealed as `<run_id>.<number>.jsonl` when it grows long, so
that committed items can be dropped while new ones keep arriving.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from knee.errors import InputError, StoreError
from knee.keys import ItemKey
from knee.records import ItemOutcome, ItemState
from store.connection import translate

SEAL_ITEMS: Final = 512
"""Lines after which a file is sealed."""
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Journal:
    """The journal of one run; safe to use from several threads.

    `replay()` before the first `append()` brings back what an earlier process left.
    """

    def __init__(self, store: Path, run_id: str) -> None:
        if not _RUN_ID.fullmatch(run_id):
            raise InputError(f"run id {run_id!r} is not legal", "use letters, digits, _ and -")
        self.run_id = run_id
        self._store = store
        self.folder = journal_folder(store)
        self.path = self.folder / f"{run_id}.jsonl"
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._end = 0
        self._pending: dict[Path, set[ItemKey]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, outcome: ItemOutcome) -> None:
        """Writes one outcome; it is on disk when this returns.

        Raises:
            StoreError: it could not be written (exit code 3 when the disk is full).
        """
        self.append_many((outcome,))

    def append_many(self, outcomes: Sequence[ItemOutcome]) -> None:
        """Writes several outcomes with one fsync; all are on disk when this returns."""
        if not outcomes:
            return
        if any(outcome.run_id != self.run_id for outcome in outcomes):
            raise StoreError(f"an outcome of another run in the journal of {self.run_id!r}")
        lines = "".join(outcome.model_dump_json() + "\n" for outcome in outcomes).encode()
        with self._lock:
            descriptor = self._open()
            try:
                _write_all(descriptor, lines, self._end)
                os.fsync(descriptor)
            except OSError as error:
                os.ftruncate(descriptor, self._end)
                raise translate(error, self.path) from error
            self._end += len(lines)
            keys = self._pending.setdefault(self.path, set())
            keys.update(item_key(outcome) for outcome in outcomes)
            if len(keys) >= SEAL_ITEMS:
                self._seal()

    def replay(self) -> Iterator[ItemOutcome]:
        """Yields every outcome that the files hold, oldest first; a torn last line is left out.

        Raises:
            StoreError: a line other than the last cannot be read.
        """
        for path in self._files():
            is_known = path in self._pending
            keys = self._pending.setdefault(path, set())
            for outcome, _ in _read(path):
                if not is_known:
                    keys.add(item_key(outcome))
                yield outcome

    def drop(self, committed: Iterable[ItemKey]) -> None:
        """Forgets outcomes that the store has committed; a file without others is removed."""
        done = set(committed)
        with self._lock:
            for path in list(self._pending):
                self._pending[path] -= done
                if not self._pending[path]:
                    del self._pending[path]
                    if path == self.path:
                        self._close()
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; what is in it stays."""
        with self._lock:
            self._close()

    def _files(self) -> list[Path]:
        sealed = re.compile(re.escape(self.run_id) + r"\.\d{6}\.jsonl")
        names = sorted(p for p in self.folder.glob("*.jsonl") if sealed.fullmatch(p.name))
        return [*names, *([self.path] if self.path.exists() else [])]

    def _open(self) -> int:
        if self._descriptor is None:
            try:
                self.folder.mkdir(exist_ok=True)
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                _sync_folder(self.folder)
                self._end = 0
                for outcome, end in _read(self.path):
                    self._end = end
                    self._pending.setdefault(self.path, set()).add(item_key(outcome))
                # A line torn by a kill must not become the beginning of the next one.
                os.ftruncate(self._descriptor, self._end)
            except OSError as error:
                raise translate(error, self.path) from error
        return self._descriptor

    def _seal(self) -> None:
        self._close()
        taken = [int(path.name.rsplit(".", 2)[1]) for path in self._files()[:-1]]
        sealed = self.folder / f"{self.run_id}.{max(taken, default=0) + 1:06d}.jsonl"
        self.path.rename(sealed)
        _sync_folder(self.folder)
        self._pending[sealed] = self._pending.pop(self.path)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def item_key(outcome: ItemOutcome) -> ItemKey:
    """Returns the (volume, question) of an outcome."""
    return ItemKey(outcome.volume_id, outcome.question_id)


def journal_folder(store: Path) -> Path:
    """Returns `<store>.journal`, beside the store."""
    return store.with_name(store.name + ".journal")


def journalled_runs(store: Path) -> list[str]:
    """Returns the runs that have journal files, ascending."""
    sealed = re.compile(r"\.\d{6}$")
    return sorted({sealed.sub("", p.stem) for p in journal_folder(store).glob("*.jsonl")})


def journalled_states(store: Path, run_id: str) -> dict[ItemKey, ItemState]:
    """Returns the finished items of a run that only its journal may hold; changes nothing.

    A file that its writer drops meanwhile has been committed: it is passed over.
    """
    states: dict[ItemKey, ItemState] = {}
    sealed = re.compile(re.escape(run_id) + r"(\.\d{6})?\.jsonl")
    for path in sorted(journal_folder(store).glob("*.jsonl")):
        if not sealed.fullmatch(path.name):
            continue
        try:
            states |= {item_key(outcome): outcome.state for outcome, _ in _read(path)}
        except FileNotFoundError:
            continue
    return states


def _read(path: Path) -> Iterator[tuple[ItemOutcome, int]]:
    """Yields each outcome with the offset behind its line; stops before a torn last line."""
    end = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                outcome = ItemOutcome.model_validate_json(line)
            except ValueError as error:
                if not lines.peek(1):
                    return
                raise StoreError(
                    f"journal {str(path)!r}, line {number} is not an outcome: "
                    f"{str(error).splitlines()[0]}",
                    "move the journal away; its items will be drafted again",
                ) from error
            end += len(line)
            yield outcome, end


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
