"""The cohort manifest: which volumes there are, and what is known of their files.

`cohort.csv` lies in the cohort's root and has exactly these columns (any order)::

    patient,visit,side,sequence,image,label_map,scheme,mask_source,segmenter,licence,synthetic,split

Paths are relative to the root and written with `/`. `image` may be empty (label map only),
`sequence` defaults to `dess`, `split` is `train`, `val`, `test` or empty. `scheme` is the name of a
scheme, or the path of a `.toml` file in the root. An empty `mask_source`, `segmenter` or `licence`
means that it is not known.

The manifest is validated as a whole: all problems are listed at once. That a file is missing is no
fault of the manifest (that volume fails later, the others go on) unless every one is missing.
"""

import csv
import io
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from knee.errors import InputError
from knee.keys import VolumeKey, parse_volume_id
from tools.segmentation import scheme_names

MANIFEST_NAME = "cohort.csv"
"""File name of the manifest in the cohort's root."""
COLUMNS = (
    "patient",
    "visit",
    "side",
    "sequence",
    "image",
    "label_map",
    "scheme",
    "mask_source",
    "segmenter",
    "licence",
    "synthetic",
    "split",
)
"""The manifest's columns."""
MAX_PROBLEMS = 20
"""Problems listed in one message; the rest is counted."""


class Split(StrEnum):
    """What a patient's volumes are for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class CohortVolume(BaseModel):
    """One row of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: VolumeKey
    """Patient, visit, side, sequence."""
    image: str | None
    """Path relative to the root, as written; None for a label map without an image."""
    label_map: str
    """Path relative to the root, as written."""
    scheme: str
    """Name of the scheme, or path of a `.toml` file relative to the root."""
    mask_source: str | None
    """Where the masks come from (`manual`, a model, a data set); None when not known."""
    segmenter: str | None
    """Who or what drew the masks, with version; None when not known."""
    licence: str | None
    """Licence of image and masks; None when not known."""
    synthetic: bool
    """True for phantoms and for anything else that is no patient's."""
    split: Split | None
    """Split that the patient is in, where the cohort says so."""
    line: int
    """1-based line of the manifest."""

    @property
    def volume_id(self) -> str:
        """`<patient>/<visit>/<side>/<sequence>`."""
        return self.key.volume_id


class Cohort(BaseModel):
    """A folder of volumes with its manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    """The folder that holds `cohort.csv`; all paths are relative to it."""
    volumes: tuple[CohortVolume, ...]
    """In the order of the manifest."""

    def image_path(self, volume: CohortVolume) -> Path | None:
        """Returns where a volume's image is, None when it has none."""
        return None if volume.image is None else self.root / volume.image

    def label_map_path(self, volume: CohortVolume) -> Path:
        """Returns where a volume's label map is."""
        return self.root / volume.label_map

    def scheme_reference(self, volume: CohortVolume) -> str:
        """Returns what `tools.segmentation.load_scheme` takes for a volume."""
        return str(self.root / volume.scheme) if _is_file_name(volume.scheme) else volume.scheme


def load_cohort(root: Path) -> Cohort:
    """Returns the cohort in a folder.

    Raises:
        InputError: there is no manifest, or it has problems (the first 20 and their number), or
            none of its files exists.
    """
    path = root / MANIFEST_NAME
    rows, problems = _read_rows(path)
    volumes: list[CohortVolume] = []
    for line, row in rows:
        volume, row_problems = _read_volume(line, row, root)
        problems += row_problems
        if volume is not None:
            volumes.append(volume)
    problems += [*_duplicates(volumes), *_split_leaks(volumes)]
    if not problems and not volumes:
        problems = ["it lists no volume"]
    if problems:
        raise InputError(
            f"{str(path)!r} has {list_problems(problems)}",
            f"columns are {','.join(COLUMNS)}; paths are relative to the manifest's folder",
        )
    cohort = Cohort(root=root, volumes=tuple(volumes))
    if not any(cohort.label_map_path(volume).is_file() for volume in volumes):
        raise InputError(
            f"none of the {len(volumes)} label maps of {str(path)!r} exists; the first is "
            f"{volumes[0].label_map!r}",
            "check that the cohort was copied with its files, and the root",
        )
    return cohort


def list_problems(problems: list[str]) -> str:
    """Returns `n problem(s):` with the first 20, one on each line, and how many more there are."""
    lines = [f"  {problem}" for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"  … and {len(problems) - MAX_PROBLEMS} more")
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}:\n" + "\n".join(lines)


def _read_rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {MANIFEST_NAME} in {str(path.parent)!r}",
            "give the cohort's root folder; `phantom OUT` makes one to look at",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is not UTF-8: {error}", "save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}", "check it") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[str] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(header, path)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problems.append(
                    f"line {reader.line_num}: {len(cells)} cells, the header has {len(header)}"
                )
                continue
            values = (cell.strip() for cell in cells)
            rows.append((reader.line_num, dict(zip(header, values, strict=True))))
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} line {reader.line_num} is not CSV: {error}", "check its quotes"
        ) from error
    return rows, problems


def _check_header(header: list[str], path: Path) -> None:
    missing = [column for column in COLUMNS if column not in header]
    extra = [column for column in header if column not in COLUMNS]
    twice = sorted({column for column in header if header.count(column) > 1})
    if missing or extra or twice:
        parts = [("missing", missing), ("unknown", extra), ("repeated", twice)]
        shown = "; ".join(f"{word} columns {names!r}" for word, names in parts if names)
        raise InputError(
            f"{str(path)!r} has {shown}; found {header!r}",
            f"the header is {','.join(COLUMNS)}",
        )


def _read_volume(
    line: int, row: dict[str, str], root: Path
) -> tuple[CohortVolume | None, list[str]]:
    """The row's volume, or None with what is wrong; every problem names its line."""
    problems: list[str] = []
    key: VolumeKey | None = None
    try:
        parts = (row["patient"], row["visit"], row["side"], row["sequence"] or "dess")
        key = parse_volume_id("/".join(parts))
    except InputError as error:
        problems.append(error.message)
    problems += [
        problem
        for column in ("image", "label_map")
        if (problem := _path_problem(column, row[column])) is not None
    ]
    if not row["label_map"]:
        problems.append("label_map is empty")
    problems += _scheme_problems(row["scheme"], root)
    synthetic = {"true": True, "false": False}.get(row["synthetic"].lower())
    if synthetic is None:
        problems.append(f"synthetic {row['synthetic']!r} is neither true nor false")
    if row["split"] not in ("", *Split):
        problems.append(f"split {row['split']!r} is none of {', '.join(Split)}, and not empty")
    if problems or key is None or synthetic is None:
        return None, [f"line {line}: {problem}" for problem in problems]
    volume = CohortVolume(
        key=key,
        image=row["image"] or None,
        label_map=row["label_map"],
        scheme=row["scheme"],
        mask_source=row["mask_source"] or None,
        segmenter=row["segmenter"] or None,
        licence=row["licence"] or None,
        synthetic=synthetic,
        split=Split(row["split"]) if row["split"] else None,
        line=line,
    )
    return volume, []


def _is_file_name(scheme: str) -> bool:
    return scheme.endswith(".toml")


def _path_problem(column: str, value: str) -> str | None:
    """Paths are judged as written: a link in the root may lead out of it, `..` may not."""
    if not value:
        return None
    if "\\" in value:
        return f"{column} {value!r} has a backslash; write paths with '/'"
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        return f"{column} {value!r} may lead outside of the cohort's root"
    return None


def _scheme_problems(scheme: str, root: Path) -> list[str]:
    if not _is_file_name(scheme):
        if scheme in scheme_names():
            return []
        return [f"scheme {scheme!r} is none of {', '.join(scheme_names())}, and no .toml file"]
    problem = _path_problem("scheme", scheme)
    if problem is None and not (root / scheme).is_file():
        problem = f"scheme file {scheme!r} does not exist"
    return [] if problem is None else [problem]


def _duplicates(volumes: Iterable[CohortVolume]) -> list[str]:
    """Volumes listed twice, and one label map given to two knees or visits."""
    problems: list[str] = []
    seen: dict[str, int] = {}
    owners: dict[str, CohortVolume] = {}
    for volume in volumes:
        first = seen.setdefault(volume.volume_id, volume.line)
        if first != volume.line:
            problems.append(
                f"line {volume.line}: volume {volume.volume_id!r} is there already, line {first}"
            )
            continue
        owner = owners.setdefault(str(PurePosixPath(volume.label_map)), volume)
        if _knee_visit(owner) != _knee_visit(volume):
            problems.append(
                f"line {volume.line}: label map {volume.label_map!r} belongs to "
                f"{owner.volume_id!r} already, line {owner.line}"
            )
    return problems


def _knee_visit(volume: CohortVolume) -> tuple[str, str, str]:
    return (volume.key.patient, volume.key.visit, volume.key.side.value)


def _split_leaks(volumes: Iterable[CohortVolume]) -> list[str]:
    """Patients in more than one split (RULES 19): both knees and all visits go together."""
    problems: list[str] = []
    first: dict[str, CohortVolume] = {}
    for volume in volumes:
        other = first.setdefault(volume.key.patient, volume)
        if other.split is not volume.split:
            here = volume.split.value if volume.split else ""
            there = other.split.value if other.split else ""
            problems.append(
                f"line {volume.line}: patient {volume.key.patient!r} is in split {here!r}, but in "
                f"{there!r} on line {other.line}"
            )
    return problems
