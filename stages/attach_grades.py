"""`attach-grades`: completes an export without reference grades from the reader's own data.

From a store come clinicians' grades, drafts' grades and steps, the text proved by its hash; from
MOAKS tables the grades alone: an accepted draft's grades are the clinician's. A row that cannot be
completed stops it, and nothing is written.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from knee.errors import InputError
from knee.grades import ClinicianGrade, GradeStatus
from knee.keys import parse_volume_id
from stages.console import emit_json, say
from stages.export_folder import CHECKSUMS, export_folder, write_json
from stages.export_writers import GROUP_ROWS, Row
from stages.pseudonyms import Pseudonyms, read_key
from store.arrow_rows import BOX, GRADES, TEXT
from store.attaching import StoreGrades
from store.export_facts import known_ids
from store.long_reading import long_reading
from tools.moaks_table import MoaksTable, read_moaks_tables

_STEPS: Final = pa.list_(
    pa.struct([("name", TEXT), ("text", TEXT), ("box", BOX), ("cites", pa.list_(TEXT))])
)
_ADDED: Final = {"grades": GRADES, "clinician_grades": GRADES}
_NOTE = (
    "\n## Grades were put back\n\n`attach-grades` took them from {source} and checked that each "
    "scored component was read there{text}. What this card says of left-out grades is of the "
    "export before. The result falls under the terms of those data.\n"
)


class _TableGrades:
    """Grades from MOAKS tables."""

    def __init__(self, table: MoaksTable, names: Pseudonyms | None) -> None:
        self._table = table
        self._knees = {
            (patient if names is None else names.patient(patient), visit, side.value): (
                patient,
                visit,
                side,
            )
            for patient, visit, side in table.knee_visits()
        }
        self._seen: tuple[str, dict[int, list[ClinicianGrade]]] = ("", {})

    def complete(self, row: Row) -> Row:
        """Returns grade columns of a row; a component that was not read is None."""
        volume_id = str(row["volume_id"])
        if self._seen[0] != volume_id:
            key = parse_volume_id(volume_id)
            knee = self._knees.get((key.patient, key.visit, key.side.value))
            found: dict[int, list[ClinicianGrade]] = {}
            for grade in () if knee is None else self._table.grades_for(*knee):
                found.setdefault(grade.question_id, []).append(grade)
            self._seen = (volume_id, found)
        read = {
            grade.component.value: grade.grade
            for grade in self._seen[1].get(int(row["question_id"]), [])
            if grade.status is GradeStatus.READ
        }
        scored = {name: read.get(name) for name in row["components_scored"]}
        return {"grades": scored, "clinician_grades": read}


def attach_grades(
    export: Path,
    out: Path,
    *,
    store: Path | None,
    moaks: Sequence[Path] | None,
    key_file: Path | None,
    as_json: bool,
) -> int:
    """Writes a completed copy of an export and returns 0.

    Args:
        export: folder of an export without reference grades, Parquet or JSON lines.
        out: folder to make.
        store: the reader's store; or
        moaks: the reader's MOAKS tables.
        key_file: the key, where the export is pseudonymised.
        as_json: print counts on stdout.

    Raises:
        InputError: it is no such export, it was changed, the key is another one, or a row cannot
            be completed.
        StoreError: the store cannot be read, or the disk is full.
    """
    manifest = _read_manifest(export)
    key = _key(manifest, key_file)
    n_rows = 0
    with export_folder(out) as folder:
        if store is not None:
            with long_reading(store) as con:
                names = None if key is None else Pseudonyms(key, *known_ids(con))
                source: StoreGrades | _TableGrades = StoreGrades(con, names)
                n_rows = _copy(export, folder, manifest, source)
        else:
            table = read_moaks_tables(list(moaks or ()))
            names = None if key is None else Pseudonyms(key)
            n_rows = _copy(export, folder, manifest, _TableGrades(table, names))
        where = "a store" if store is not None else "MOAKS tables"
        changed = {**manifest, "reference_grades": True, "attached_from": where}
        changed["columns"] = [*manifest["columns"], *_added(store is not None)]
        write_json(folder / "manifest.json", changed)
        text = ", and that each text is the one that was exported" if store is not None else ""
        card = (export / "README.md").read_text(encoding="utf-8")
        note = _NOTE.format(source=where, text=text)
        (folder / "README.md").write_text(card + note, encoding="utf-8")
    if as_json:
        emit_json({"folder": str(out), "rows": n_rows, "source": where})
    say(f"{n_rows} quintuple(s) in {out}, grades from {where}")
    return 0


def _added(with_steps: bool) -> dict[str, Any]:
    return {**({"steps": _STEPS} if with_steps else {}), **_ADDED}


def _copy(
    export: Path, folder: Path, manifest: dict[str, Any], source: StoreGrades | _TableGrades
) -> int:
    n_rows = 0
    added = _added(isinstance(source, StoreGrades))
    for entry in manifest["files"]:
        target = folder / entry["name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if manifest["format"] == "parquet":
            file = pq.ParquetFile(export / entry["name"])
            schema = file.schema_arrow
            for name, kind in added.items():
                schema = schema.append(pa.field(name, kind))
            with pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for batch in file.iter_batches(GROUP_ROWS):
                    rows = [_complete(row, source) for row in batch.to_pylist()]
                    table = pa.Table.from_pylist(rows, schema=schema)
                    writer.write_table(table, row_group_size=GROUP_ROWS)
                    n_rows += len(rows)
        else:
            with target.open("w", encoding="utf-8", newline="\n") as lines:
                for row in _lines(export / entry["name"]):
                    whole = _complete(row, source)
                    lines.write(json.dumps(whole, ensure_ascii=False, allow_nan=False) + "\n")
                    n_rows += 1
    return n_rows


def _lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _complete(row: Row, source: StoreGrades | _TableGrades) -> Row:
    """A row with its grades; every scored component must be read, and agree with the draft."""
    found = source.complete(row)
    grades, read = found["grades"], found["clinician_grades"]
    for component in row["components_scored"]:
        where = f"{component!r} of question {row['question_id']} in {row['volume_id']!r}"
        if read.get(component) is None:
            raise InputError(
                f"{where} was read for the export, and has no single read grade here",
                "tables or store are not those that the export was made from, or were joined by "
                "another policy",
            )
        if grades.get(component) != read[component]:
            raise InputError(
                f"{where}: the draft's grade is {grades.get(component)!r}, the clinician's "
                f"{read[component]!r}",
                "the table changed since the export; `status` counts such rows as stale",
            )
    names = [field.name for field in GRADES]
    filled = {key: {name: found[key].get(name) for name in names} for key in _ADDED}
    return {**row, **({"steps": found["steps"]} if "steps" in found else {}), **filled}


def _read_manifest(export: Path) -> dict[str, Any]:
    """Returns the manifest of an export whose files are as they were written."""
    hint = "give a folder that `export --no-reference-grades` made"
    try:
        manifest = json.loads((export / "manifest.json").read_text(encoding="utf-8"))
        sums = (export / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{str(export)!r} is not an export: {error}", hint) from error
    known = isinstance(manifest, dict) and manifest.get("format") in ("parquet", "jsonl")
    if not known or manifest.get("reference_grades") is not False:
        raise InputError(f"{str(export)!r} is not an export without reference grades", hint)
    for line in sums:
        digest, _, name = line.partition("  ")
        path = export / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise InputError(
                f"{name!r} of {str(export)!r} is not the file that was exported", "get it again"
            )
    return manifest


def _key(manifest: dict[str, Any], key_file: Path | None) -> bytes | None:
    wanted = manifest.get("pseudonym_key")
    if wanted is None:
        return None
    if key_file is None:
        raise InputError(
            f"the export is pseudonymised with the key {wanted!r}", "name its file: --pseudonyms"
        )
    key = read_key(key_file)
    found = Pseudonyms(key).key_name
    if found != wanted:
        raise InputError(
            f"key file {str(key_file)!r} is {found!r}, the export was made with {wanted!r}",
            "take the key that it was made with",
        )
    return key
