"""Whose knees an export holds: no model is scored on patients that it was trained on."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from knee.errors import InputError
from knee.keys import parse_volume_id
from knee.splits import Split
from tools.release_layout import load_layout

MANIFEST: Final = "manifest.json"
_HINT: Final = "give the folder that `export` made"


def training_patients(folder: Path) -> dict[str, frozenset[str]]:
    """Returns the patients of an export by split: `train`, `val`, `test` or `unassigned`.

    Args:
        folder: an export in the format parquet, jsonl, sft-chat or release.

    Raises:
        InputError: no export, a file that is missing or cannot be read, or pseudonyms, under which
            nobody can tell who is in it.
    """
    manifest = _manifest(folder)
    if manifest.get("pseudonym_key") is not None:
        raise InputError(
            f"the export {str(folder)!r} is pseudonymised: its patients cannot be compared",
            "give the export before pseudonymisation, from the same store and selection",
        )
    splits: dict[str, Any] = manifest["splits"]
    found: dict[str, frozenset[str]] = {}
    for split, entry in splits.items():
        names: list[str] = entry["files"]
        patients: set[str] = set()
        for name in names:
            patients.update(_patients_of(folder / name, str(split)))
        found[str(split)] = frozenset(patients)
    return found


def fitted_on(by_split: dict[str, frozenset[str]]) -> frozenset[str]:
    """Returns the patients of all splits but `test`, on which nobody trains."""
    kept = (patients for split, patients in by_split.items() if split != Split.TEST.value)
    return frozenset[str]().union(*kept)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"no export at {str(folder)!r}: {MANIFEST!r} is not there", _HINT)
    try:
        document: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON: {error}", _HINT) from None
    if not isinstance(document, dict) or "splits" not in document:
        raise InputError(f"{str(path)!r} is not the manifest of an export", _HINT)
    return document  # pyright: ignore[reportUnknownVariableType]


def _patients_of(path: Path, split: str) -> Iterator[str]:
    if not path.is_file():
        raise InputError(f"the export has no {str(path)!r}", "copy the whole export anew")
    try:
        if path.suffix == ".parquet":
            column = pq.read_table(path, columns=["volume_id"]).column("volume_id").unique()
            yield from (parse_volume_id(value).patient for value in column.to_pylist())
        elif path.suffix == ".jsonl":
            yield from _of_lines(path)
        else:
            yield from _of_release(path, split)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(path)!r} cannot be read: {error}", "copy the whole export anew"
        ) from error


def _of_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for line in file:
            yield parse_volume_id(json.loads(line)["volume_id"]).patient


def _of_release(path: Path, split: str) -> Iterator[str]:
    """Items of the released layout name image files; the split's table names the patients."""
    layout = load_layout()
    # data/generate_data/train.json lies beside data/split_files/train_split.csv.
    folder = path.parents[len(Path(layout.folders.items).parts)]
    table = folder / layout.folders.splits / layout.files.splits[Split(split)]
    with table.open(encoding="utf-8", newline="") as file:
        yield from (row[layout.split_columns.patient] for row in csv.DictReader(file))
