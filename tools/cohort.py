"""The cohort manifest: which volumes there are, and what is known of their files.

`cohort.csv` lies in the cohort's root; its columns (any order) are those of `tools.cohort_volume`.
Paths are relative to the root, written with `/`, and never lead out of it. `scheme` is the name of
a scheme, `masks` where `label_map` is a folder of masks, or the path of a `.toml` file in the root.

The manifest is validated as a whole: all problems are listed at once. That a file is missing is no
fault of the manifest for `prepare` (that volume fails, the others go on) unless every one is
missing; `cohort check` (`tools.cohort_check`) lists missing files too.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from knee.errors import InputError
from tools.cohort_volume import (
    COLUMNS,
    REQUIRED_COLUMNS,
    CohortVolume,
    is_scheme_file,
    read_volume,
)

MANIFEST_NAME = "cohort.csv"
"""File name of the manifest in the cohort's root."""
MAX_PROBLEMS = 20
"""Problems listed in one message; the rest is counted."""


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
        """Returns where a volume's label map, or folder of masks, is."""
        return self.root / volume.label_map

    def scheme_reference(self, volume: CohortVolume) -> str:
        """Returns what `tools.segmentation.load_scheme` takes for a volume."""
        return str(self.root / volume.scheme) if is_scheme_file(volume.scheme) else volume.scheme


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it stands, with everything that is wrong with it.

    Attributes:
        path: the file.
        header: its columns, in their order.
        rows: (1-based line, column to stripped cell) of each row of the right length.
        volumes: the rows that can be used.
        problems: in words, by line; what is about one row, then what is about several.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    volumes: tuple[CohortVolume, ...]
    problems: tuple[str, ...]

    def refuse_problems(self, further: Iterable[str] = ()) -> None:
        """Raises an InputError that lists all problems, if there are any."""
        problems = [*self.problems, *further]
        if not problems and not self.volumes:
            problems = ["it lists no volume"]
        if problems:
            raise InputError(
                f"{str(self.path)!r} has {list_problems(problems)}",
                f"columns are {','.join(COLUMNS)}; paths are relative to the manifest's folder; "
                "all volumes of a patient have one split (`splits assign` fills it in)",
            )


def load_cohort(root: Path) -> Cohort:
    """Returns the cohort in a folder.

    Raises:
        InputError: there is no manifest, or it has problems (the first 20 and their number), or
            none of its label maps exists.
    """
    manifest = read_manifest(root)
    manifest.refuse_problems(split_leaks(manifest.volumes))
    volumes = manifest.volumes
    cohort = Cohort(root=root, volumes=volumes)
    if not any(cohort.label_map_path(volume).exists() for volume in volumes):
        raise InputError(
            f"none of the {len(volumes)} label maps of {str(manifest.path)!r} exists; the first is "
            f"{volumes[0].label_map!r}",
            "check that the cohort was copied with its files, and the root",
        )
    return cohort


def read_manifest(root: Path) -> Manifest:
    """Returns the manifest of a folder with its problems; leaks of splits are not among them.

    Raises:
        InputError: there is none, it is not UTF-8 or not CSV, or its columns are not ours.
    """
    path = root / MANIFEST_NAME
    header, rows, problems = _read_rows(path)
    volumes: list[CohortVolume] = []
    for line, row in rows:
        volume, row_problems = read_volume(line, row, root)
        problems += row_problems
        if volume is not None:
            volumes.append(volume)
    problems += _duplicates(volumes, root)
    return Manifest(path, header, tuple(rows), tuple(volumes), tuple(problems))


def list_problems(problems: list[str]) -> str:
    """Returns `n problem(s):` with the first 20, one on each line, and how many more there are."""
    lines = [f"  {problem}" for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"  … and {len(problems) - MAX_PROBLEMS} more")
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}:\n" + "\n".join(lines)


def split_leaks(volumes: Iterable[CohortVolume]) -> list[str]:
    """Returns patients in more than one split (RULES 19): knees, visits, sequences go together.

    A volume without a split beside one with a split is a leak as well: nobody would hold it back.
    """
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


def _read_rows(path: Path) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]], list[str]]:
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[str] = []
    try:
        header = tuple(cell.strip() for cell in next(reader, []))
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
    return header, rows, problems


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"there is no {MANIFEST_NAME} in {str(path.parent)!r}",
            "give the cohort's root folder; `phantom OUT` makes one to look at",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is not UTF-8: {error}", "save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}", "check it") from error


def _check_header(header: tuple[str, ...], path: Path) -> None:
    missing = [column for column in REQUIRED_COLUMNS if column not in header]
    extra = [column for column in header if column not in COLUMNS]
    twice = sorted({column for column in header if header.count(column) > 1})
    if missing or extra or twice:
        parts = [("missing", missing), ("unknown", extra), ("repeated", twice)]
        shown = "; ".join(f"{word} columns {names!r}" for word, names in parts if names)
        raise InputError(
            f"{str(path)!r} has {shown}; found {list(header)!r}",
            f"needed are {','.join(REQUIRED_COLUMNS)}; possible are {','.join(COLUMNS)}",
        )


def _duplicates(volumes: Iterable[CohortVolume], root: Path) -> list[str]:
    """Volumes listed twice, and one file given to two knees or visits (links are followed)."""
    problems: list[str] = []
    seen: dict[str, int] = {}
    owners: dict[tuple[str, Path], CohortVolume] = {}
    for volume in volumes:
        first = seen.setdefault(volume.volume_id, volume.line)
        if first != volume.line:
            problems.append(
                f"line {volume.line}: volume {volume.volume_id!r} is there already, line {first}"
            )
            continue
        for column, name in (("label map", volume.label_map), ("image", volume.image)):
            if name is None:
                continue
            owner = owners.setdefault((column, (root / name).resolve()), volume)
            if owner.knee_visit != volume.knee_visit:
                problems.append(
                    f"line {volume.line}: {column} {name!r} belongs to "
                    f"{owner.volume_id!r} already, line {owner.line}"
                )
    return problems
