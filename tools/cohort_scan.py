"""From an OAI-style folder tree to a manifest skeleton; what cannot be told is listed.

The tree is `<release>/<patient>/<date>/<series>` with DICOM files in the series' folder. Patient
and release come from the folders (visit from the release, `oai_tree.toml`), sequence and side from
the header's SeriesDescription. Nothing is guessed: a series without a side, of an unknown release,
whose header names another patient, or one of two DESS series of one knee-visit, stays out of the
manifest and is listed with its reason. Visits must follow the dates.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from knee.anatomy import Side
from knee.errors import InputError

_LAYOUT_FILE = Path(__file__).parent / "oai_tree.toml"
_DEEPEST = 6
"""Folders below the root in which series are looked for: the root may lie above the releases."""
_WORDS = re.compile(r"[\s_/-]+")


class ScanStatus(StrEnum):
    """What became of a series."""

    LISTED = "listed"
    """It is in the manifest."""
    OTHER_SEQUENCE = "other_sequence"
    """Its description is of a sequence that was not wanted."""
    UNCLEAR = "unclear"
    """It may be wanted, but something cannot be told; see `reason`."""


class ScannedSeries(BaseModel):
    """One series folder, and what could be told of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Folder relative to the root that was scanned, written with `/`."""
    patient: str | None = None
    """From the folder."""
    visit: str | None = None
    """From the release."""
    date: str | None = None
    """From the folder, `YYYYMMDD`."""
    barcode: str | None = None
    """From the series number."""
    description: str | None = None
    """The header's SeriesDescription."""
    sequence: str | None = None
    """From the description."""
    side: Side | None = None
    """From the description."""
    n_files: int = 0
    """Files in the folder."""
    status: ScanStatus = ScanStatus.UNCLEAR
    """What became of it."""
    reason: str | None = None
    """Why it is not listed."""


class _Sequence(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    all: tuple[str, ...]
    none: tuple[str, ...] = ()


class _Layout(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str
    patient: str
    date: str
    series: str
    barcode_prefix: str
    visits: dict[int, str]
    sides: dict[str, Side]
    sequences: dict[str, _Sequence]


class SeriesHeader(BaseModel):
    """What is read of the first file of a series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    """SeriesDescription, empty when there is none."""
    patient: str
    """PatientID, empty when there is none."""
    laterality: str
    """ImageLaterality or Laterality, empty when there is none."""


def scan_tree(root: Path) -> tuple[ScannedSeries, ...]:
    """Returns every series folder below a root, in the order of their paths.

    Raises:
        InputError: the root is no folder, or there is no series in it.
    """
    if not root.is_dir():
        raise InputError(f"{str(root)!r} is no folder", "give the folder that holds the releases")
    folders = list(_folders_with_files(root))
    scanned = [_scan(folder, files, root) for folder, files in folders]
    if not any(series.patient for series in scanned):
        raise InputError(
            f"{str(root)!r} holds no <release>/<patient>/<date>/<series> folder",
            f"{len(folders)} folder(s) with files were looked at; the names are in oai_tree.toml",
        )
    return tuple(_refuse_disorder(_refuse_repeats(scanned)))


def read_header(path: Path) -> SeriesHeader:
    """Returns the header of a DICOM file; the pixels are not read.

    Raises:
        InputError: it is not DICOM.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = ["SeriesDescription", "PatientID", "ImageLaterality", "Laterality"]
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(tags))
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path.name!r} is not DICOM: {error}", "check the file") from error
    description, patient, image_side, side = (str(header.get(tag, "") or "") for tag in tags)
    return SeriesHeader(
        description=description.strip(),
        patient=patient.strip(),
        laterality=(image_side or side).strip().upper(),
    )


def side_of(description: str) -> Side | None:
    """Returns the side that a SeriesDescription names; None when it names none, or both.

    Example:
        >>> side_of("SAG_3D_DESS_LEFT"), side_of("SAG_3D_DESS")
        (<Side.LEFT: 'left'>, None)
    """
    sides = _layout().sides
    found = {sides[word] for word in _words(description) if word in sides}
    return found.pop() if len(found) == 1 else None


def sequence_of(description: str) -> str | None:
    """Returns the sequence that a SeriesDescription names, None when it is not one of ours."""
    words = set(_words(description))
    for name, rule in _layout().sequences.items():
        if words.issuperset(rule.all) and words.isdisjoint(rule.none):
            return name
    return None


def _words(text: str) -> list[str]:
    return [word for word in _WORDS.split(text.upper()) if word]


@lru_cache(maxsize=1)
def _layout() -> _Layout:
    return _Layout.model_validate(tomllib.loads(_LAYOUT_FILE.read_text(encoding="utf-8")))


def _folders_with_files(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders that hold files, sorted; links are not followed, hidden files do not count."""
    for folder, names, files in os.walk(root):
        names.sort()
        here = Path(folder)
        if len(here.relative_to(root).parts) >= _DEEPEST:
            names.clear()
        kept = sorted(name for name in files if not name.startswith("."))
        if kept and here != root:
            yield here, kept


def _scan(folder: Path, files: list[str], root: Path) -> ScannedSeries:
    path = folder.relative_to(root).as_posix()
    layout = _layout()
    parts = (*root.resolve().parts, *folder.relative_to(root).parts)[-4:]
    patterns = (layout.release, layout.patient, layout.date, layout.series)
    seen = ScannedSeries(path=path, n_files=len(files))
    if len(parts) < 4 or not all(map(re.fullmatch, patterns[1:], parts[1:])):
        return _unclear(seen, "the path is not <release>/<patient>/<date>/<series>")
    release, patient, date, series = parts
    found = re.fullmatch(layout.release, release)
    seen = seen.model_copy(
        update={
            "patient": patient,
            "date": date if _is_date(date) else None,
            "barcode": layout.barcode_prefix + series,
            "visit": layout.visits.get(int(found[1])) if found else None,
        }
    )
    try:
        header = read_header(folder / files[0])
    except InputError as error:
        return _unclear(seen, error.message)
    seen = seen.model_copy(
        update={
            "description": header.description or None,
            "sequence": sequence_of(header.description),
            "side": side_of(header.description),
        }
    )
    return _judge(seen, header, release)


def _judge(seen: ScannedSeries, header: SeriesHeader, release: str) -> ScannedSeries:
    if seen.description is None:
        return _unclear(seen, "the header has no SeriesDescription")
    if seen.sequence is None:
        return seen.model_copy(update={"status": ScanStatus.OTHER_SEQUENCE})
    other_side = {"R": Side.LEFT, "L": Side.RIGHT}.get(header.laterality)
    reasons = (
        (seen.side is None, f"description {seen.description!r} does not name one side"),
        (seen.visit is None, f"release {release!r} is not one whose visit is known"),
        (seen.date is None, "the date folder is not a date"),
        (
            header.patient not in ("", seen.patient),
            f"the header is of patient {header.patient!r}",
        ),
        (
            seen.side is not None and seen.side is other_side,
            f"the header's laterality is {header.laterality!r}",
        ),
    )
    reason = next((text for is_wrong, text in reasons if is_wrong), None)
    if reason is not None:
        return _unclear(seen, reason)
    return seen.model_copy(update={"status": ScanStatus.LISTED})


def _unclear(seen: ScannedSeries, reason: str) -> ScannedSeries:
    return seen.model_copy(update={"status": ScanStatus.UNCLEAR, "reason": reason})


def _is_date(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - a day, no time
    except ValueError:
        return False
    return True


def _refuse_repeats(scanned: Iterable[ScannedSeries]) -> list[ScannedSeries]:
    """Takes back all of several series of one volume: which one is meant cannot be told."""
    series = list(scanned)
    by_volume: dict[tuple[str | None, ...], list[ScannedSeries]] = {}
    for entry in series:
        if entry.status is ScanStatus.LISTED:
            key = (entry.patient, entry.visit, entry.side, entry.sequence)
            by_volume.setdefault(key, []).append(entry)
    repeats = {e.path: len(same) for same in by_volume.values() if len(same) > 1 for e in same}
    return [
        _unclear(e, f"one of {repeats[e.path]} series of this knee, visit and sequence")
        if e.path in repeats
        else e
        for e in series
    ]


def _refuse_disorder(scanned: list[ScannedSeries]) -> list[ScannedSeries]:
    """Takes back all series of patients whose visits do not follow their dates."""
    dates: dict[str, dict[str, set[str]]] = {}
    for entry in scanned:
        listed = entry.status is ScanStatus.LISTED
        if listed and entry.patient and entry.visit and entry.date:
            dates.setdefault(entry.patient, {}).setdefault(entry.visit, set()).add(entry.date)
    disorderly: set[str] = set()
    for patient, by_visit in dates.items():
        visits = sorted(by_visit)
        for earlier, later in pairwise(visits):
            if max(by_visit[earlier]) >= min(by_visit[later]):
                disorderly.add(patient)
    return [
        _unclear(e, "the patient's visits do not follow the dates of the folders")
        if e.status is ScanStatus.LISTED and e.patient in disorderly
        else e
        for e in scanned
    ]
