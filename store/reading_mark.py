"""The mark of long readers, as a writer sees it (`store.long_reading` says why there is one)."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def mark_of(store: Path) -> Path:
    """Returns where the mark of a store's long readers is."""
    return store.with_name(store.name + ".reading")


def log_of(store: Path) -> Path:
    """Returns where DuckDB has the write-ahead log of a store."""
    return store.with_name(store.name + ".wal")


def open_mark(mark: Path, flags: int = 0) -> int:
    """Returns a descriptor of a mark, for reading alone where it is another user's.

    Args:
        mark: as of `mark_of`.
        flags: more flags of `os.open`.

    Raises:
        OSError: there is none, or it cannot be opened.
    """
    flags |= os.O_CLOEXEC
    try:
        return os.open(mark, os.O_RDWR | flags, 0o644)
    except PermissionError:
        # Enough for a lock, but on NFS.
        return os.open(mark, os.O_RDONLY | flags, 0o644)


def is_marked(store: Path) -> bool:
    """Returns whether a long reader is at work; one that was killed is not.

    For a process that has the store open for writing: readers come and go only while nobody has,
    so the answer holds until the file is closed.
    """
    mark = mark_of(store)
    try:
        descriptor = open_mark(mark)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # another user's; that it is there is all that can be known
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True  # held; or no lock can be had on it, and the careful answer is the safe one
    else:
        with suppress(OSError):  # it says nothing, whether it goes or stays
            mark.unlink()
        return False
    finally:
        os.close(descriptor)
