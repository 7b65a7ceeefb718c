"""Splits on disk: the record beside a manifest, and filling in the manifest's column.

`splits.csv` in the cohort's root has a row for each patient who ever got a split, with how it came
about; rows are added, never changed. The manifest's `split` column is what everything else reads.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from knee.errors import InputError
from knee.splits import PatientSplit, Split, SplitSource
from tools.cohort import Manifest, list_problems

RECORD_NAME = "splits.csv"
"""File name of the record in the cohort's root."""
_RECORD_COLUMNS = tuple(PatientSplit.model_fields)
_PATIENT_COLUMNS = ("patient", "patient_id")
"""How a file of released splits may name the patient."""


def read_record(root: Path) -> dict[str, PatientSplit]:
    """Returns the recorded splits of a cohort, empty when there is no record yet.

    Raises:
        InputError: the record is not of our form, or has a patient twice.
    """
    path = root / RECORD_NAME
    if not path.exists():
        return {}
    records: dict[str, PatientSplit] = {}
    problems: list[str] = []
    for line, row in _rows(path, _RECORD_COLUMNS):
        values = {name: cell or None for name, cell in row.items()}
        try:
            record = PatientSplit.model_validate(values)
        except ValidationError as error:
            problem = error.errors()[0]
            problems.append(f"line {line}: {problem['loc'][0]} {problem['input']!r} is not legal")
            continue
        if record.patient in records:
            problems.append(f"line {line}: patient {record.patient!r} is there already")
        records[record.patient] = record
    if problems:
        raise InputError(
            f"{str(path)!r} has {list_problems(problems)}",
            f"`splits assign` writes it; its columns are {','.join(_RECORD_COLUMNS)}",
        )
    return records


def known_splits(manifest: Manifest, record: Mapping[str, PatientSplit]) -> dict[str, PatientSplit]:
    """Returns the record, and what the manifest alone says.

    Raises:
        InputError: the manifest contradicts the record or itself; all are listed.
    """
    known = dict(record)
    problems: list[str] = []
    for volume in manifest.volumes:
        if volume.split is None:
            continue
        patient = volume.key.patient
        written = PatientSplit(patient=patient, split=volume.split, source=SplitSource.MANIFEST)
        recorded = known.setdefault(patient, written)
        if recorded.split is not volume.split:
            where = f"recorded ({RECORD_NAME})" if patient in record else "on an earlier line"
            problems.append(
                f"line {volume.line}: patient {patient!r} is in split {volume.split.value!r}, "
                f"but {recorded.split.value!r} {where}"
            )
    if problems:
        raise InputError(
            f"{str(manifest.path)!r} has {list_problems(problems)}",
            "all volumes of a patient have one split, and it never changes",
        )
    return known


def write_splits(manifest: Manifest, records: Mapping[str, PatientSplit]) -> None:
    """Adds records to `splits.csv`, and fills in the manifest's `split` column.

    Each file is replaced as a whole; the record comes first, so that a kill in between loses none.

    Args:
        manifest: a manifest without problems.
        records: every patient of the manifest, and all earlier records.
    """
    root = manifest.path.parent
    rows = [
        {k: "" if v is None else str(v) for k, v in records[p].model_dump(mode="json").items()}
        for p in sorted(records)
    ]
    _replace(root / RECORD_NAME, _RECORD_COLUMNS, rows)
    header = manifest.header if "split" in manifest.header else (*manifest.header, "split")
    filled = [{**row, "split": records[row["patient"]].split.value} for _, row in manifest.rows]
    _replace(manifest.path, header, filled)


def read_split_list(path: Path) -> dict[str, Split]:
    """Returns the splits in a CSV file with the columns `patient` (or `patient_id`) and `split`.

    Raises:
        InputError: it cannot be read, lacks a column, names an unknown split, or a patient in two.
    """
    splits: dict[str, Split] = {}
    problems: list[str] = []
    for line, row in _rows(path, ("split",)):
        patient = next((row[name] for name in _PATIENT_COLUMNS if row.get(name)), None)
        if patient is None:
            problems.append(f"line {line}: no patient")
        elif row["split"] not in tuple(Split):
            problems.append(f"line {line}: split {row['split']!r} is none of {', '.join(Split)}")
        elif splits.setdefault(patient, Split(row["split"])) != row["split"]:
            problems.append(f"line {line}: patient {patient!r} is in two splits")
    if not splits and not problems:
        problems = ["it lists no patient"]
    if problems:
        raise InputError(
            f"{str(path)!r} has {list_problems(problems)}", "its columns are patient and split"
        )
    return splits


def _rows(path: Path, needed: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their lines; further columns are let through."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f"{str(path)!r} has no column {missing[0]!r}; found {reader.fieldnames!r}",
                "check that it is the right file",
            )
        rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}", "check it") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{str(path)!r} is not CSV in UTF-8: {error}", "mend the file") from error
    return [
        (line, {name: (cell or "").strip() for name, cell in row.items() if isinstance(name, str)})
        for line, row in rows
    ]


def _replace(path: Path, header: Iterable[str], rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, tuple(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_text(text.getvalue(), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be written: {error.strerror}", "check rights and free space"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
