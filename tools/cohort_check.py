"""`cohort check`: the manifest, its files and its patients, all problems at once.

Beyond `load_cohort` this says which files are missing or of the wrong kind, which volumes are
copies of each other under other names (a copy in another split is a leak), and which patients may
be one person written in two ways.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tools.cohort import Cohort, read_manifest, split_leaks
from tools.cohort_volume import CohortVolume
from tools.segmenters import load_training_patients

_HEAD_BYTES = 1 << 20
"""Files of one size whose first MiB differs are not copies; only the others are read whole."""


def check_cohort(root: Path) -> Cohort:
    """Returns the cohort in a folder when nothing is wrong with it.

    Raises:
        InputError: there is no manifest, or it has problems: those of `load_cohort`, missing files,
            a folder where a file belongs (or the reverse), two knees with the same bytes,
            patient ids that differ in case or leading zeros alone. First 20 and their number.
    """
    manifest = read_manifest(root)
    cohort = Cohort(root=root, volumes=manifest.volumes)
    manifest.refuse_problems(
        [
            *split_leaks(manifest.volumes),
            *file_problems(cohort),
            *copies(cohort),
            *look_alike_patients(volume.key.patient for volume in manifest.volumes),
        ]
    )
    load_training_patients(root)
    return cohort


def file_problems(cohort: Cohort) -> Iterator[str]:
    """Yields files that are missing, empty or of the wrong kind."""
    for volume in cohort.volumes:
        image = cohort.image_path(volume)
        if image is not None:
            # A folder is a DICOM series.
            problem = _file_problem(image, is_folder=image.is_dir())
            if problem is not None:
                yield f"line {volume.line}: image {volume.image!r} {problem}"
        label_map = cohort.label_map_path(volume)
        problem = _file_problem(label_map, is_folder=volume.is_mask_folder)
        if problem is not None:
            yield f"line {volume.line}: label_map {volume.label_map!r} {problem}"


def copies(cohort: Cohort) -> Iterator[str]:
    """Yields images and label maps of different knee-visits that hold the same bytes."""
    for column in ("image", "label_map"):
        files: dict[Path, CohortVolume] = {}
        for volume in cohort.volumes:
            name = volume.image if column == "image" else volume.label_map
            if name is not None and (path := cohort.root / name).is_file():
                files.setdefault(path.resolve(), volume)
        for same in _same_bytes(files):
            first, *others = (files[path] for path in same)
            for other in others:
                if other.knee_visit != first.knee_visit:
                    yield (
                        f"line {other.line}: {column} of {other.volume_id!r} holds the same bytes "
                        f"as that of {first.volume_id!r}, line {first.line}"
                    )


def look_alike_patients(patients: Iterable[str]) -> Iterator[str]:
    """Yields patient ids that differ from an earlier one in case or leading zeros alone."""
    written: dict[str, str] = {}
    for patient in dict.fromkeys(patients):
        plain = patient.casefold().lstrip("0") or "0"
        other = written.setdefault(plain, patient)
        if other != patient:
            yield f"patients {other!r} and {patient!r} may be one person written in two ways"


def _file_problem(path: Path, *, is_folder: bool) -> str | None:
    if not path.exists():
        return "does not exist"
    if is_folder:
        if not path.is_dir():
            return "is a file; the scheme 'masks' takes a folder of masks"
        return None if any(path.iterdir()) else "is an empty folder"
    if path.is_dir():
        return "is a folder, where a file belongs (a folder of masks has the scheme 'masks')"
    return None if path.stat().st_size else "is an empty file"


def _same_bytes(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same bytes, in the order given."""
    groups = _grouped(list(paths), lambda path: str(path.stat().st_size))
    groups = [part for group in groups for part in _grouped(group, _head_hash)]
    return [part for group in groups for part in _grouped(group, _hash)]


def _grouped(paths: list[Path], key: Callable[[Path], str]) -> list[list[Path]]:
    by_key: dict[str, list[Path]] = {}
    for path in paths:
        by_key.setdefault(key(path), []).append(path)
    return [group for group in by_key.values() if len(group) > 1]


def _head_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
