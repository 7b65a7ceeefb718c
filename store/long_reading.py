"""Long readers beside a batch: they give DuckDB's lock up, and writers leave alone what they read.

DuckDB lets no process write while another one reads. A query of a second does not matter; an export
or a user's query of minutes would keep a batch waiting all that time. So a reader that stays longer
than `STEP_ASIDE_S` steps aside:

1. It leaves a mark beside the store (`<store>.reading`, locked by `flock`: a killed reader's mark
   counts for nothing) and lets go of the lock on the file. POSIX drops a process's lock as soon as
   the process closes any descriptor of that file, so opening and closing it is enough.
2. A writer that finds the mark commits into DuckDB's write-ahead log alone and makes no checkpoint.
   Blocks that are in use are overwritten by checkpoints only, so the reader still finds all that
   it saw when it opened the file.
3. When it is done the reader compares the file's headers with those that it began with. A
   checkpoint changes them; if they are the same, what was read is one state of the store, exactly.

The log is replayed by whoever opens the store, about a second for 130 MB. At `MAX_LOG_BYTES` the
reader gives up rather than make the batch wait.
"""

import fcntl
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from knee.errors import KneeError, StoreError
from store.connection import READ_WAIT_S, open_store
from store.reading_mark import log_of, mark_of, open_mark

STEP_ASIDE_S: Final = 1.0
"""Seconds after which a reader lets writers in."""
MAX_LOG_BYTES: Final = 128 * 2**20
"""Log beside the store at which a long reader gives up."""
_HEADER_BYTES: Final = 3 * 4096
"""DuckDB's main header and its two database headers, of which a checkpoint writes one."""
_LOOK_S: Final = 0.25


@contextmanager
def long_reading(
    path: Path,
    *,
    closed: bool = False,
    memory: str | None = None,
    wait_s: float = READ_WAIT_S,
    after_s: float = STEP_ASIDE_S,
) -> Generator[duckdb.DuckDBPyConnection]:
    """Opens a store to read from it for as long as it takes; writers wait about a second.

    All that is read is one state of the store, that of the opening. Not for a process that has the
    same file open elsewhere: that lock would be lost as well.

    Args:
        path: the store.
        closed: as of `open_store`.
        memory: as of `open_store`.
        wait_s: seconds to wait for a commit.
        after_s: seconds after which writers are let in; 0 lets them in before anything is read.

    Raises:
        InputError: no such store.
        StoreError: as of `open_store`; or the batch wrote too much meanwhile.
    """
    with open_store(path, read_only=True, wait_s=wait_s, closed=closed, memory=memory) as con:
        reader = SteppingAside(path)
        if after_s <= 0:
            reader.step_aside()
        over = threading.Event()
        watch = threading.Thread(target=_watch, args=(reader, con, over, after_s), daemon=True)
        watch.start()
        try:
            yield con
        except (duckdb.Error, KneeError):
            _stop(over, watch)
            reader.check()
            raise
        else:
            _stop(over, watch)
            reader.check_same()
        finally:
            _stop(over, watch)
            reader.leave()


class SteppingAside:
    """A reader's mark; for one that has the store open for reading in this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: int | None = None
        self._headers = b""
        self._gave_up = False

    @property
    def is_aside(self) -> bool:
        """Whether writers are let in."""
        return self._mark is not None

    def step_aside(self) -> None:
        """Lets writers in; where no mark can be made nobody can write, and the lock stays."""
        try:
            self._mark = _take_mark(mark_of(self._path))
        except OSError:
            return
        # Read while the lock still holds; closing the file lets go of it.
        self._headers = _headers(self._path)

    def log_is_long(self) -> bool:
        """Returns whether the log is as long as it may get, and notes that the reader gives up."""
        try:
            self._gave_up = log_of(self._path).stat().st_size > MAX_LOG_BYTES
        except FileNotFoundError:
            return False
        return self._gave_up

    def check(self) -> None:
        """Checks that nothing was overwritten, and that the reader did not give up.

        Raises:
            StoreError: one of the two.
        """
        self.check_same()
        if self._gave_up:
            raise StoreError(
                f"stopped: beside it {MAX_LOG_BYTES // 2**20} MB were written into "
                f"{str(self._path)!r}, and the batch shall not wait",
                "copy the store with `store backup` and read from the copy",
            )

    def check_same(self) -> None:
        """Checks that no checkpoint was made since the reader stepped aside.

        Raises:
            StoreError: one was.
        """
        if self.is_aside and _headers(self._path) != self._headers:
            raise StoreError(
                f"store {str(self._path)!r} was rewritten while it was read",
                "run the same command again; `store backup` makes a copy that rests",
            )

    def leave(self) -> None:
        """Takes the mark away."""
        if self._mark is None:
            return
        mark = mark_of(self._path)
        try:
            fcntl.flock(self._mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark.unlink(missing_ok=True)
        except OSError:
            pass  # another reader has it still, or the folder is closed by now
        os.close(self._mark)
        self._mark = None


def _watch(
    reader: SteppingAside,
    con: duckdb.DuckDBPyConnection,
    over: threading.Event,
    after_s: float,
) -> None:
    if not reader.is_aside:
        if over.wait(after_s):
            return
        reader.step_aside()
    while reader.is_aside and not over.wait(_LOOK_S):
        if reader.log_is_long():
            # Again and again: between two queries there is nothing to interrupt.
            con.interrupt()


def _stop(over: threading.Event, watch: threading.Thread) -> None:
    over.set()
    watch.join()


def _take_mark(mark: Path) -> int:
    """Returns a descriptor of the mark that is there, locked together with other readers."""
    while True:
        descriptor = open_mark(mark, os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:
            # A file system without such locks: a mark that stays would count for ever.
            mark.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        try:
            if os.path.samestat(os.fstat(descriptor), mark.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # the reader before us took it away meanwhile
        os.close(descriptor)


def _headers(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, _HEADER_BYTES, 0)
    finally:
        os.close(descriptor)
