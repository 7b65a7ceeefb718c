"""A folder that is complete or not there: written beside its place, checked, then renamed."""

import hashlib
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from knee.errors import InputError
from knee.keys import JsonValue
from store.connection import is_full_disk, translate

CHECKSUMS: Final = "SHA256SUMS"
"""Checksums of every other file, as `sha256sum -c` reads them."""


@contextmanager
def export_folder(out: Path) -> Generator[Path]:
    """Yields a folder to fill; it becomes `out` when all of it is on the disk.

    After any failure nothing is left. After a kill a hidden `.<name>.<pid>.partial` may be.

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
    draft = out.absolute().with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        draft.mkdir()
        yield draft
        _write_checksums(draft)
        # Renaming a folder onto an empty one replaces it at once.
        draft.replace(out)
    except OSError as error:
        raise _told(error, out) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


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
