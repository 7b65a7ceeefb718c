"""Writes what a scan found: a manifest to be completed, and the list of all series."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from knee.errors import InputError
from tools.cohort import MANIFEST_NAME
from tools.cohort_scan import ScannedSeries, ScanStatus
from tools.cohort_volume import COLUMNS

SCAN_NAME = "scan.csv"
"""File name of the list of all series, with reasons."""


class Skeleton(NamedTuple):
    """What is filled in for every volume."""

    label_map: str = ""
    """Path with `{patient}`, `{visit}`, `{side}`, `{sequence}`; empty leaves it to the user."""
    scheme: str = ""
    """Scheme of the label maps; empty leaves it to the user."""


def write_skeleton(
    root: Path, out: Path, scanned: Sequence[ScannedSeries], skeleton: Skeleton
) -> Path:
    """Writes `cohort.csv` and `scan.csv`; returns the folder that the paths are relative to.

    Paths are relative to `out` where the tree lies in it, else to `root`: a manifest has to lie in
    a folder above its files.

    Raises:
        InputError: one of the files is there already, cannot be written, or the pattern of the
            label maps has an unknown name in braces.
    """
    inside = root.resolve().is_relative_to(out.resolve())
    above = root.resolve().relative_to(out.resolve()).parts if inside else ()
    rows = [_row(e, above, skeleton) for e in scanned if e.status is ScanStatus.LISTED]
    listing = [
        {k: "" if v is None else str(v) for k, v in e.model_dump(mode="json").items()}
        for e in scanned
    ]
    for name in (MANIFEST_NAME, SCAN_NAME):
        if (out / name).exists():
            raise InputError(
                f"there is a {name} in {str(out)!r} already", "move it away, or name another folder"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        # The manifest last: where it is, its list is too.
        _write(out / SCAN_NAME, tuple(ScannedSeries.model_fields), listing)
        _write(out / MANIFEST_NAME, COLUMNS, rows)
    except OSError as error:
        raise InputError(
            f"{str(out)!r} cannot be written to: {error.strerror}", "check rights and free space"
        ) from error
    return out if inside else root


def _row(entry: ScannedSeries, above: Sequence[str], skeleton: Skeleton) -> dict[str, str]:
    key = {
        "patient": entry.patient or "",
        "visit": entry.visit or "",
        "side": entry.side.value if entry.side else "",
        "sequence": entry.sequence or "",
    }
    try:
        label_map = skeleton.label_map.format_map(key)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"label map pattern {skeleton.label_map!r} cannot be filled in: {error}",
            "names in braces are {patient}, {visit}, {side} and {sequence}",
        ) from error
    return {
        **key,
        "image": PurePosixPath(*above, entry.path).as_posix(),
        "label_map": label_map,
        "scheme": skeleton.scheme,
        "synthetic": "false",
        "restricted": "true",
    }


def _write(path: Path, header: Iterable[str], rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, tuple(header), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
