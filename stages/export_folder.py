"""A folder that is complete or not there: written beside its place, checked, then renamed."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from knee.errors import InputError
from knee.keys import JsonValue
from stages.console import say
from store.connection import is_full_disk, translate

CHECKSUMS: Final = "SHA256SUMS"
"""Checksums of every other file, as `sha256sum -c` reads them."""

_PARTIAL: Final = re.compile(r"\..+\.(\d+)\.export\.partial")


@contextmanager
def export_folder(out: Path) -> Generator[Path]:
    """Yields a folder to fill; it becomes `out` when all of it is on the disk.

    After any failure nothing is left. A kill leaves a hidden
    `.<name>.<pid>.export.partial`, which the next export into the same parent folder removes.

    Args:
        out: must not be there, or be an empty folder.

    Raises:
        InputError: `out` holds something, or its parent folder is missing.
        StoreError: it cannot be written; exit code 3 when the disk is full.
    """
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise InputError(f"{str(out)!r} is there and not an empty folder", "name another one")
    if not out.absolute().parent.is_dir():
        raise InputError(f"folder not found: {str(out.parent)!r}", "make the folder first")
    _remove_stale(out.absolute().parent)
    draft = out.absolute().with_name(f".{out.name}.{os.getpid()}.export.partial")
    lock: int | None = None
    try:
        draft.mkdir()
        lock = _lock(draft)
        yield draft
        _write_checksums(draft)
        # Renaming a folder onto an empty one replaces it at once.
        draft.replace(out)
    except OSError as error:
        raise _told(error, out) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_stale(parent: Path) -> None:
    """Removes what killed exports left in a folder.

    Left alone is a draft whose process number is alive here, or whose lock is held: by an export on
    another machine, or in another container.
    """
    for draft in sorted(parent.glob(".*.export.partial")):
        match = _PARTIAL.fullmatch(draft.name)
        if match is None or draft.is_symlink() or not draft.is_dir() or _is_alive(int(match[1])):
            continue
        try:
            descriptor = _lock(draft)
        except OSError:
            continue  # another user's, or another export removed it just now
        if descriptor is None:
            continue
        try:
            shutil.rmtree(draft, ignore_errors=True)
        finally:
            os.close(descriptor)
        if not draft.exists():
            say(f"removed {str(draft)!r}, left by an export that was killed")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _lock(folder: Path) -> int | None:
    """Returns the descriptor that holds a folder's lock; the kernel drops it when a process ends.

    None where another process holds it, or the file system has no locks for folders.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def write_json(path: Path, value: JsonValue) -> None:
    """Writes one JSON document for people and programs, keys in the order given."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _told(error: OSError, out: Path) -> Exception:
    """What the system said, as our error; what is not about the folder goes on unchanged."""
    if is_full_disk(error):
        told = translate(error, out)
        told.message = f"no space to write {str(out)!r}: {error}"
        return told
    if error.errno is None:
        return error
    return InputError(f"{str(out)!r} cannot be written: {error}", "name another folder")


def _write_checksums(folder: Path) -> None:
    lines: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
            os.fsync(data.fileno())
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    with (folder / CHECKSUMS).open("w", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
