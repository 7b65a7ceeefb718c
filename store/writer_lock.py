"""One writing command per store: a lock file beside it that says who holds it.

The kernel drops the lock when the process ends, however it ends; a stale file blocks nobody.
"""

import fcntl
import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from knee.errors import StoreError


class WriterLock:
    """Holds `<store>.lock` from `acquire` to `release`."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.path = store.with_name(store.name + ".lock")
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            StoreError: another command holds it (named), or the lock file cannot be written.
        """
        while self._descriptor is None:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise StoreError(
                    f"cannot write beside the store: {str(self.path)!r}: {error.strerror}",
                    "the store's folder must be writable",
                ) from error
            self._descriptor = self._lock(descriptor)
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(sys.argv),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)

    def release(self) -> None:
        """Gives the lock back and removes its file."""
        if self._descriptor is not None:
            # Removed while still held: nobody can be waiting on a file that is about to go.
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self, descriptor: int) -> int | None:
        """Returns the locked descriptor; None when the file was removed meanwhile (try again)."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 65536, 0).decode(errors="replace")
            os.close(descriptor)
            raise StoreError(
                f"store {str(self._store)!r} is being written by {_describe(holder)}",
                "wait until it is done, or end it; reading works meanwhile",
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        try:
            same = os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            same = False
        if not same:
            os.close(descriptor)
            return None
        return descriptor


def _describe(holder: str) -> str:
    try:
        who = json.loads(holder)
        return f"process {who['pid']} on {who['host']} since {who['since']}: {who['command']!r}"
    except (ValueError, KeyError, TypeError):
        return "another process"
