"""Opening and creating the store file, and what can be wrong with it.

DuckDB locks a file for one writing process, and a process that writes keeps every other one out.
So nobody keeps the file open: a writer opens it for one transaction and closes it, a reader opens
it for its query, and both wait a moment where they meet. Who reads for longer lets writers in
(`store.long_reading`).

Nothing here reads the file's bytes directly: POSIX drops all of a process's locks on a file as
soon as the process closes any descriptor of it, which would let a second writer in.
"""

import errno
import os
import re
import time
from pathlib import Path
from typing import Any, Final

import duckdb

from knee.errors import InputError, KneeError, StoreError
from store.migrations import SCHEMA_VERSION, apply_migrations, is_ours, schema_version
from store.reading_mark import is_marked, log_of

READ_WAIT_S: Final = 2.0
"""How long a reader waits for a writer's commit."""
STORAGE_VERSION: Final = "v2.0.0"
"""Asked for by name, so that every DuckDB 2 can read the file, not only the one that wrote it."""
POLL_S: Final = 0.02
"""Seconds between two tries of a reader or writer that waits for the file."""
READ_MEMORY: Final = "600MB"
"""What DuckDB keeps in memory for a reader, blocks of the file among it; left to itself it takes
four fifths of the machine beside a batch. Sorts and joins go on in `<store>.tmp`."""
_SAFE: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
# DuckDB would otherwise try to download an extension for a SQLite file.
_CLOSED: Final[dict[str, Any]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
# Until it is known whether somebody is reading beside it; see `_spare_readers`.
_NO_CHECKPOINT: Final[dict[str, Any]] = {"checkpoint_threshold": "1TB"}
_CHECKPOINT_THRESHOLD = "16MiB"
# Merging small groups writes their drafts anew, twice or more often in the end, for up to seconds
# in which nobody can read, and leaves a third of the file free. One is merged when a writer ends.
_NO_MERGE: Final[dict[str, Any]] = {"max_vacuum_tasks": "0"}
_MERGES_AT_THE_END = 1
COMMIT_MEMORY: Final = "512MB"
"""What DuckDB may keep in memory for a batch's commit; binding 8,000 volumes takes more."""
ROW_GROUP_ROWS: Final = 8192
"""Rows that lie together in the file. What DuckDB holds in memory while it writes, and what it
writes anew when it merges groups, are a few of them; its own 122,880 rows are 350 MB of drafts."""
_ATTACHED: Final = "store"
# Left to itself DuckDB takes DICT_FSST for every string: drafts are 1.8 times as long as with zstd.
# What is better off with it, ids and words that repeat, says so in its table (migration 12).
_WRITING: Final[dict[str, Any]] = {"force_compression": "zstd"}
_HOLDER = re.compile(r"Conflicting lock is held in (?P<command>.+?) \(PID (?P<pid>\d+)\)")
_BUSY = (
    "Could not set lock on file",
    "different configuration than existing connections",
    "Unique file handle conflict",
)
_FULL = ("No space left on device", "File too large", "Disk quota exceeded", "Out of disk")
_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_FOREIGN = ("not a valid DuckDB database file", "is an existing extension", "Is a directory")
_NEWER = ("version number", "newer version of DuckDB", "can only read version")
_UNREADABLE = ("Corrupt database file", "Could not read", "Failed to load", "Serialization Error")


def create_store(path: Path) -> None:
    """Makes a new, empty store with the current schema; a failed creation leaves nothing.

    Raises:
        InputError: something is at `path` already, or its folder is missing.
        StoreError: it cannot be written.
    """
    if path.exists():
        raise InputError(f"there is a file at {str(path)!r} already", "name another store file")
    if not path.parent.is_dir():
        raise InputError(f"folder not found: {str(path.parent)!r}", "make the folder first")
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    config = {**_SAFE, "storage_compatibility_version": STORAGE_VERSION}
    try:
        with duckdb.connect(str(draft), config=config) as con:
            apply_migrations(con)
        # A hard link never replaces: of two creations at once, one is refused.
        os.link(draft, path)
    except FileExistsError:
        raise InputError(f"there is a file at {str(path)!r} already", "it was just made") from None
    except (duckdb.Error, OSError) as error:
        raise translate(error, path) from error
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(draft.name + ".wal").unlink(missing_ok=True)


def open_store(
    path: Path,
    read_only: bool,
    *,
    wait_s: float = READ_WAIT_S,
    closed: bool = False,
    known: bool = False,
    memory: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Returns an open connection to an existing store; close it soon, others wait for it.

    Args:
        path: the store file; never created here.
        read_only: many processes may read at once; writing is for `StoreWriter`.
        wait_s: seconds to wait for another process that has the file open.
        closed: no file or network access from SQL, and the configuration locked.
        known: this process has checked the file and holds the writer lock since.
        memory: what DuckDB may use, such as `1GB`; None is `READ_MEMORY` for a reader, and DuckDB's
            own share for a writer.

    Raises:
        InputError: no file at `path`.
        StoreError: not a store, corrupt, of a newer program, or held by another process.
    """
    if not path.exists():
        raise InputError(
            f"store not found: {str(path)!r}", "run `run_pipeline.py prepare` to make one"
        )
    memory = READ_MEMORY if memory is None and read_only else memory
    limit = {} if memory is None else {"memory_limit": memory}
    config = {**_SAFE, **(_CLOSED if closed else {}), **limit}
    con = _connect(path, read_only, wait_s, config)
    try:
        if not read_only:
            _spare_readers(con, path)
        if not known:
            _check(con, path, migrates=not read_only)
    except duckdb.Error as error:
        con.close()
        raise translate(error, path) from error
    except KneeError:
        con.close()
        raise
    return con


def check_store(path: Path, *, wait_s: float = READ_WAIT_S) -> None:
    """Refuses a file that cannot be written as a store later; one of an older schema can.

    Raises:
        InputError: no file at `path`.
        StoreError: as of `open_store`, but for an older schema: writing brings it up to date.
    """
    with open_store(path, read_only=True, wait_s=wait_s, known=True) as con:
        try:
            _refuse_foreign(con, path)
        except duckdb.Error as error:
            raise translate(error, path) from error


def keep_log(con: duckdb.DuckDBPyConnection) -> None:
    """Leaves in the log what a connection commits, beside the file, until the log is long.

    A run commits every other second. Whoever opens the file reads the log as well, which takes a
    tenth of a second at most; rewriting the file for each commit takes longer, and every small
    group of rows in it takes blocks of its own.
    """
    con.execute("PRAGMA disable_checkpoint_on_shutdown")


def put_log_away(path: Path, *, wait_s: float) -> None:
    """Writes what is in a store's log into its file, unless a long reader needs it as it is.

    Raises:
        StoreError: as of `open_store`; what was committed stays in the log then.
    """
    if not log_of(path).exists():
        return
    with open_store(path, read_only=False, wait_s=wait_s, known=True, memory=COMMIT_MEMORY) as con:
        if is_marked(path):
            return
        try:
            con.execute(f"SET max_vacuum_tasks = {_MERGES_AT_THE_END}")
            con.execute("CHECKPOINT")
        except duckdb.Error as error:
            raise translate(error, path) from error


def translate(error: duckdb.Error | OSError, path: Path) -> StoreError:
    """Returns the StoreError for what DuckDB or the system said about the store at `path`."""
    text = str(error)
    name = repr(str(path))
    if is_full_disk(error):
        return StoreError(
            f"no space to write the store {name}: {_first_line(text)}",
            "free some space and run the same command again; nothing is half-written",
            exit_code=3,
        )
    if any(mark in text for mark in _BUSY):
        holder = _HOLDER.search(text)
        who = f"process {holder['pid']} ({holder['command']})" if holder else "this process"
        return StoreError(f"store {name} is held by {who}", "wait until it is done, or end it")
    if any(mark in text for mark in _FOREIGN):
        return StoreError(f"{name} is not a DuckDB file", "give the path of a store file")
    if any(mark in text for mark in _NEWER):
        return StoreError(
            f"store {name} was written by another DuckDB: {_first_line(text)}",
            f"this program has DuckDB {duckdb.__version__}",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return StoreError(
            f"the store {name} wants more memory than it is given: {_first_line(text)}",
            "ask for fewer rows or columns at a time; sorts and joins also need space beside it",
        )
    if any(mark in text for mark in _UNREADABLE):
        return StoreError(
            f"store {name} is corrupt: {_first_line(text)}", "restore it from a backup"
        )
    return StoreError(f"store {name}: {text}")


def is_full_disk(error: duckdb.Error | OSError) -> bool:
    """Returns whether an error says that there is no space left."""
    system = error.errno if isinstance(error, OSError) else None
    return system in _FULL_ERRNOS or any(mark in str(error) for mark in _FULL)


def is_store_trouble(error: duckdb.Error) -> bool:
    """Returns whether an error met in a query is about file or machine, not about the query."""
    return isinstance(error, duckdb.OutOfMemoryException) or any(
        mark in str(error) for mark in (*_UNREADABLE[:2], *_FULL)
    )


def _connect(
    path: Path, read_only: bool, wait_s: float, config: dict[str, Any]
) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            if read_only:
                return duckdb.connect(str(path), read_only=True, config=dict(config))
            return _attach(path, config)
        except duckdb.Error as error:
            busy = any(mark in str(error) for mark in _BUSY)
            if not busy or time.monotonic() >= deadline:
                raise translate(error, path) from error
        time.sleep(POLL_S)


def _attach(path: Path, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Opens a file for writing; only a file that is attached can be told its row groups' size."""
    writing = {"temp_directory": f"{path}.tmp"}
    con = duckdb.connect(config={**_WRITING, **_NO_MERGE, **_NO_CHECKPOINT, **writing, **config})
    quoted = str(path).replace("'", "''")
    try:
        con.execute(f"ATTACH '{quoted}' AS {_ATTACHED} (ROW_GROUP_SIZE {ROW_GROUP_ROWS})")
        con.execute(f"USE {_ATTACHED}")
    except duckdb.Error:
        con.close()
        raise
    return con


def _spare_readers(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Commits go into the log alone where a long reader needs the file as it is."""
    if is_marked(path):
        con.execute("PRAGMA disable_checkpoint_on_shutdown")
    else:
        con.execute(f"SET checkpoint_threshold = '{_CHECKPOINT_THRESHOLD}'")


def _check(con: duckdb.DuckDBPyConnection, path: Path, *, migrates: bool) -> None:
    version = _refuse_foreign(con, path)
    if version < SCHEMA_VERSION:
        if not migrates:
            raise StoreError(
                f"store {str(path)!r} has schema {version}, this program reads {SCHEMA_VERSION}",
                "run `run_pipeline.py prepare` or `generate` on it: writing brings it up to date",
            )
        apply_migrations(con)


def _refuse_foreign(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Returns the schema's version, this program's or an older one."""
    if not is_ours(con):
        raise StoreError(
            f"{str(path)!r} is a DuckDB file of another program, not a store",
            "give the path of a store file",
        )
    version = schema_version(con)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"store {str(path)!r} has schema {version}, this program knows {SCHEMA_VERSION}",
            "update this program",
        )
    return version


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]
