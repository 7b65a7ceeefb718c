"""Which patients a segmenter was trained on (RULES 19): `segmenters.toml` in the cohort's root.

A model's masks are better on the patients that it was trained on, so their volumes can be counted
and left out. The file is optional; a segmenter that it does not name has training patients that are
not known, which is not the same as none::

    [[segmenter]]
    name = "nnU-Net OAI-ZIB 1.0"                     # as in the manifest's column `segmenter`
    training_patients = ["9001104", "9002430"]       # or, one id a line, a file in the root:
    training_patients_file = "oai-zib-patients.txt"
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from knee.errors import InputError
from tools.cohort_volume import CohortVolume, path_problem

SEGMENTERS_NAME = "segmenters.toml"
"""File name in the cohort's root."""

TrainingPatients = Mapping[str, frozenset[str]]
"""Segmenter's name to its training patients."""


class _Segmenter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    training_patients: tuple[str, ...] = ()
    training_patients_file: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    segmenter: tuple[_Segmenter, ...]


def load_training_patients(root: Path) -> TrainingPatients:
    """Returns the training patients of each segmenter that `segmenters.toml` names.

    Raises:
        InputError: the file, or one that it names, cannot be read or is not of the form above.
    """
    path = root / SEGMENTERS_NAME
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{str(path)!r} is not TOML: {error}", "mend the file") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(
            f"{str(path)!r} does not list segmenters: {where}: {problem['msg']}",
            "see the docstring of tools/segmenters.py",
        ) from error
    names = [segmenter.name for segmenter in file.segmenter]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{str(path)!r} names segmenters twice: {twice!r}", "keep one of them")
    return {segmenter.name: _patients(segmenter, root) for segmenter in file.segmenter}


def trained_on(volume: CohortVolume, training: TrainingPatients) -> bool | None:
    """Returns whether a volume's segmenter was trained on its patient; None when not known."""
    if volume.segmenter is None or volume.segmenter not in training:
        return None
    return volume.key.patient in training[volume.segmenter]


def _patients(segmenter: _Segmenter, root: Path) -> frozenset[str]:
    if segmenter.training_patients_file is None:
        return frozenset(segmenter.training_patients)
    name = segmenter.training_patients_file
    problem = path_problem("training_patients_file", name, root)
    if problem is not None:
        raise InputError(f"{SEGMENTERS_NAME}: {problem}", "name a file in the cohort's root")
    try:
        lines = (root / name).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"training patients {name!r} of {segmenter.name!r} cannot be read: {error}",
            "one patient id a line, UTF-8",
        ) from error
    listed = (line.strip() for line in lines)
    return frozenset(segmenter.training_patients) | {line for line in listed if line}
