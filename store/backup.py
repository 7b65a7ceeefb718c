"""A copy of a store, also while a batch writes it.

While it is copied writers commit into the write-ahead log alone (`store.long_reading`), so the
bytes that count do not change and a batch does not wait. They are copied by another process: POSIX
drops this process's lock on the file as soon as it closes any descriptor of it.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb

from knee.errors import InputError, StoreError
from store.connection import READ_WAIT_S, is_full_disk, open_store, translate
from store.long_reading import SteppingAside
from store.reading_mark import log_of

_COPY: Final = """
import os, shutil, sys
try:
    for source, target in zip(sys.argv[1::2], sys.argv[2::2]):
        if os.path.exists(source):
            shutil.copyfile(source, target)
            with open(target, "rb+") as copied:
                os.fsync(copied.fileno())
except OSError as error:
    sys.exit(f"{error.errno}:{error.strerror}")
"""


def copy_store(path: Path, target: Path, *, wait_s: float = READ_WAIT_S) -> None:
    """Copies a store into a new file that is whole or not there.

    What is in the write-ahead log of a killed writer is part of the copy. What a running batch has
    in its journal and not yet committed is not: it stays with the original.

    Args:
        path: the store.
        target: the new file.
        wait_s: seconds to wait for a commit.

    Raises:
        InputError: no such store, something is at `target`, or its folder is missing.
        StoreError: the store cannot be read, or the copy not written (exit code 3: disk full).
    """
    if target.exists() or target.is_symlink():
        raise InputError(f"there is a file at {str(target)!r} already", "name another file")
    if not target.parent.is_dir():
        raise InputError(f"folder not found: {str(target.parent)!r}", "make the folder first")
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    reader = SteppingAside(path)
    try:
        with open_store(path, read_only=True, wait_s=wait_s):
            # The log first, while no one writes: what comes later is not part of the copy.
            _copy([log_of(path), log_of(draft)], target)
            reader.step_aside()
            _copy([path, draft], target)
            reader.check_same()
        # Opening it replays the log and proves that it is a store; closing it writes one file.
        open_store(draft, read_only=False).close()
        os.link(draft, target)
    except FileExistsError:
        raise InputError(
            f"there is a file at {str(target)!r} already", "it was just made"
        ) from None
    except (duckdb.Error, OSError) as error:
        raise translate(error, target) from error
    finally:
        reader.leave()
        for file in (draft, log_of(draft)):
            with suppress(OSError):
                file.unlink()


def _copy(files: list[Path], target: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _COPY, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    number, found, words = done.stderr.strip().rpartition("\n")[2].partition(":")
    if found and number.isdigit():
        error = OSError(int(number), words)
        if is_full_disk(error):
            raise translate(error, target)
        raise InputError(f"{str(target)!r} cannot be written: {words}", "name another file")
    raise StoreError(f"the store could not be copied to {str(target)!r}", done.stderr.strip())
