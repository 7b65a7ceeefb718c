"""`release freeze`, `release diff`, `release list`: selections under a name, and what changed."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from knee.errors import InputError
from knee.keys import JsonValue
from stages.console import emit_json, say, show_table
from stages.export import question_words
from stages.export_folder import export_folder, write_json
from stages.release_diff import ReleaseDiff, compare
from store.export import ExportRequest, Table, open_export
from store.export_facts import load_facts
from store.freezing import (
    Header,
    load_frozen,
    put_frozen,
    read_rows,
    read_selection,
    write_rows,
)
from store.freezing import list_frozen as frozen_headers
from store.writer import StoreWriter

MANIFEST = "release.json"
"""The header of a release, in the folder that `freeze --out` makes."""
ROWS = "rows.parquet"
"""Its rows: keys, grades, boxes and hashes, without texts."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_SHOWN = 30


def freeze(
    store: Path, name: str, request: ExportRequest, out: Path | None, *, as_json: bool
) -> int:
    """Records a selection under a name, for good; returns 0.

    The same checks as for an export hold. A name that is there with the same content is no error.

    Args:
        store: the DuckDB file.
        name: of the release.
        request: which rows.
        out: folder for a manifest that another machine can compare; None writes none.
        as_json: print name, rows and checksum on stdout.

    Raises:
        InputError: the name is not legal or taken by other content, or nothing can be selected.
        StoreError: another command is writing the store, or the disk is full.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"release name {name!r} is not legal", "letters, digits, `.`, `_`, `-`")
    # The writer first: it brings an older schema up to date, and nobody writes in between.
    with StoreWriter(store) as writer:
        with open_export(store, request, question_words) as rows:
            header, table = read_selection(rows, load_facts(rows))
        if out is None:
            is_new = put_frozen(writer, name, header, table)
        else:
            with export_folder(out) as folder:
                write_json(folder / MANIFEST, {"name": name, **header})
                write_rows(folder / ROWS, table)
                is_new = put_frozen(writer, name, header, table)
    if as_json:
        emit_json({"name": name, "rows": header["n_rows"], "sha256": header["content_sha256"]})
    before = "" if is_new else " (it was frozen before, the same)"
    say(f"release {name}{before}: {header['n_rows']} row(s), {header['content_sha256']}")
    return 0


def list_frozen(store: Path, *, as_json: bool) -> int:
    """Shows the frozen releases of a store; returns 0."""
    headers = frozen_headers(store)
    columns = ("name", "n_rows", "content_sha256", "condition", "frozen_at")
    if as_json:
        emit_json([{name: _plain(header[name]) for name in columns} for header in headers])
        return 0
    show_table(
        "frozen releases", columns, [[header[name] for name in columns] for header in headers]
    )
    return 0


def diff(store: Path | None, first: str, second: str, *, as_json: bool) -> int:
    """Shows what differs between two frozen releases; returns 0, also when nothing does.

    Args:
        store: where names are looked up; not needed for two folders.
        first: a name, or a folder that `freeze --out` made.
        second: the other one.
        as_json: print everything on stdout.

    Raises:
        InputError: there is no such release.
    """
    found = compare(_load(store, first), _load(store, second))
    if as_json:
        emit_json(found.as_json())
        return 0
    _show(found, first, second)
    return 0


def _load(store: Path | None, name: str) -> tuple[Header, Table]:
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        try:
            header: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{str(folder / MANIFEST)!r} cannot be read: {error}") from error
        return header, read_rows(folder / ROWS)
    if store is None:
        raise InputError(
            f"{name!r} is no folder with a {MANIFEST}",
            "a name needs the store that it is frozen in: --store",
        )
    return load_frozen(store, name)


def _show(found: ReleaseDiff, first: str, second: str) -> None:
    if found.is_same:
        say(f"{first} and {second} hold the same")
        return
    say(
        f"{first}: {found.n_first} row(s); {second}: {found.n_second}; added {found.n_added}, "
        f"removed {found.n_removed}, changed {found.n_changed}, same {found.n_same}"
    )
    if found.by_feature:
        show_table(
            "rows by feature",
            ["feature", "added", "removed", "changed"],
            [[row.feature, row.added, row.removed, row.changed] for row in found.by_feature],
        )
    if found.by_grade:
        show_table(
            "rows by grade (– : not graded)",
            ["feature", "component", "grade", first, second],
            [list(row) for row in found.by_grade],
        )
    if found.changes:
        show_table(
            "what changed in rows that both have",
            ["what", "rows"],
            [list(r) for r in found.changes],
        )
    for name, (gone, new) in found.lists.items():
        say(f"{name}: gone {gone or 'none'}; new {new or 'none'}")
    for kind, keys in (
        ("added", found.added),
        ("removed", found.removed),
        ("changed", found.changed),
    ):
        for volume_id, question_id in keys[:_MAX_SHOWN]:
            say(f"  {kind}: {volume_id} question {question_id}")
        if len(keys) > _MAX_SHOWN:
            say(f"  ... and {len(keys) - _MAX_SHOWN} more {kind}; --json has all")


def _plain(value: str | int | datetime | None) -> JsonValue:
    return value if isinstance(value, str | int | type(None)) else value.isoformat()
