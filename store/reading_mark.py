"""The mark of long readers, as a writer sees it (`store.long_reading` says why there is one)."""

import fcntl
import os
from pathlib import Path


def mark_of(store: Path) -> Path:
    """Returns where the mark of a store's long readers is."""
    return store.with_name(store.name + ".reading")


def log_of(store: Path) -> Path:
    """Returns where DuckDB has the write-ahead log of a store."""
    return store.with_name(store.name + ".wal")


def is_marked(store: Path) -> bool:
    """Returns whether a long reader is at work; one that was killed is not.

    For a process that has the store open for writing: readers come and go only while nobody has,
    so the answer holds until the file is closed.
    """
    mark = mark_of(store)
    try:
        descriptor = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        mark.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
