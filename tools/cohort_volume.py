"""One row of the cohort manifest: its columns, its meaning, and everything that can be wrong.

Needed columns are `patient`, `visit`, `side`, `label_map` and `scheme`. The others may be left out,
or their cells empty:

===============  ==================================================================================
sequence         `dess`
image            none: a label map alone
mask_source      not known (`manual`, a model, a data set)
segmenter        not known (who or what drew the masks, with its version)
licence          not known; of the masks, and of the image too unless `image_licence` says else
image_source     not known (where the image comes from, e.g. `OAI`)
image_licence    as `licence`
synthetic        `false`; an empty cell is refused, for phantoms must never pass as patients
restricted       `true` for patients, `false` for synthetic volumes: restricted data may not leave
                 the machine (RULES 25), and that is switched off by name alone
split            not assigned
===============  ==================================================================================
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from knee.errors import InputError
from knee.keys import VolumeKey, parse_volume_id
from knee.splits import Split
from tools.segmentation import scheme_names

REQUIRED_COLUMNS = ("patient", "visit", "side", "label_map", "scheme")
"""Columns that a manifest must have."""
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
    "image_source",
    "image_licence",
    "synthetic",
    "restricted",
    "split",
)
"""All columns of a manifest, in the order in which we write them."""
MASK_FOLDER_SCHEME = "masks"
"""Scheme of a label map that is a folder with one binary mask a structure."""
_ABSENT = {"synthetic": "false"}
"""What a column that is not there stands for; every other one is empty."""
_BOOLEANS = {"true": True, "false": False}


class CohortVolume(BaseModel):
    """One row of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: VolumeKey
    """Patient, visit, side, sequence."""
    image: str | None
    """Path relative to the root, as written; None for a label map without an image."""
    label_map: str
    """File, or folder of masks, relative to the root, as written."""
    scheme: str
    """Name of the scheme, or path of a `.toml` file relative to the root."""
    mask_source: str | None
    """Where the masks come from (`manual`, a model, a data set); None when not known."""
    segmenter: str | None
    """Who or what drew the masks, with version; None when not known."""
    licence: str | None
    """Licence of the masks, and of the image when that has none; None when not known."""
    image_source: str | None
    """Where the image comes from; None when not known."""
    image_licence: str | None
    """Licence of the image; None when not known."""
    synthetic: bool
    """True for phantoms and for anything else that is no patient's."""
    restricted: bool
    """True where the data may not leave the machine."""
    split: Split | None
    """Split that the patient is in, where the cohort says so."""
    line: int
    """1-based line of the manifest."""

    @property
    def volume_id(self) -> str:
        """`<patient>/<visit>/<side>/<sequence>`."""
        return self.key.volume_id

    @property
    def knee_visit(self) -> tuple[str, str, str]:
        """Patient, visit and side: what a label map or an image belongs to."""
        return (self.key.patient, self.key.visit, self.key.side.value)

    @property
    def is_mask_folder(self) -> bool:
        """True where the label map is a folder of masks."""
        return self.scheme == MASK_FOLDER_SCHEME


def read_volume(
    line: int, row: Mapping[str, str], root: Path
) -> tuple[CohortVolume | None, list[str]]:
    """Returns the volume of a row, or None with all that is wrong; each problem names its line.

    Args:
        line: 1-based line of the manifest.
        row: column to stripped cell; columns may be missing.
        root: the cohort's root, for paths and scheme files.
    """
    cells = {column: row.get(column, _ABSENT.get(column, "")) for column in COLUMNS}
    problems: list[str] = []
    key: VolumeKey | None = None
    try:
        parts = (cells["patient"], cells["visit"], cells["side"], cells["sequence"] or "dess")
        key = parse_volume_id("/".join(parts))
    except InputError as error:
        problems.append(error.message)
    problems += [
        problem
        for column in ("image", "label_map")
        if (problem := path_problem(column, cells[column], root)) is not None
    ]
    if not cells["label_map"]:
        problems.append("label_map is empty")
    elif PurePosixPath(cells["label_map"]) == PurePosixPath(cells["image"]):
        problems.append(f"image and label_map are the same file: {cells['image']!r}")
    problems += _scheme_problems(cells["scheme"], root)
    synthetic = _BOOLEANS.get(cells["synthetic"].lower())
    if synthetic is None:
        problems.append(f"synthetic {cells['synthetic']!r} is neither true nor false")
    restricted = _BOOLEANS.get((cells["restricted"] or str(not synthetic)).lower())
    if restricted is None:
        problems.append(f"restricted {cells['restricted']!r} is neither true nor false, nor empty")
    elif restricted and synthetic:
        problems.append("restricted is true of a synthetic volume: there is no patient to protect")
    if cells["split"] not in ("", *Split):
        problems.append(f"split {cells['split']!r} is none of {', '.join(Split)}, and not empty")
    if problems or key is None or synthetic is None or restricted is None:
        return None, [f"line {line}: {problem}" for problem in problems]
    volume = CohortVolume(
        key=key,
        image=cells["image"] or None,
        label_map=cells["label_map"],
        scheme=cells["scheme"],
        mask_source=cells["mask_source"] or None,
        segmenter=cells["segmenter"] or None,
        licence=cells["licence"] or None,
        image_source=cells["image_source"] or None,
        image_licence=cells["image_licence"] or cells["licence"] or None,
        synthetic=synthetic,
        restricted=restricted,
        split=Split(cells["split"]) if cells["split"] else None,
        line=line,
    )
    return volume, []


def is_scheme_file(scheme: str) -> bool:
    """Returns whether a scheme is named by its file."""
    return scheme.endswith(".toml")


def path_problem(column: str, value: str, root: Path) -> str | None:
    """Returns why a path may not be used, None when it lies in the root.

    `..` is refused as written, and a link that leads out of the root is refused too: what lies
    outside is not part of the cohort, and is neither copied nor protected with it.
    """
    if not value:
        return None
    if "\\" in value:
        return f"{column} {value!r} has a backslash; write paths with '/'"
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        return f"{column} {value!r} may lead outside of the cohort's root"
    try:
        resolved = (root / value).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        return f"{column} {value!r} is no usable path: {error}"
    if not resolved.is_relative_to(root.resolve()):
        return f"{column} {value!r} leads outside of the cohort's root by a link: {str(resolved)!r}"
    return None


def _scheme_problems(scheme: str, root: Path) -> list[str]:
    if not is_scheme_file(scheme):
        known = sorted({*scheme_names(), MASK_FOLDER_SCHEME})
        if scheme in known:
            return []
        return [f"scheme {scheme!r} is none of {', '.join(known)}, and no .toml file"]
    problem = path_problem("scheme", scheme, root)
    if problem is None and not (root / scheme).is_file():
        problem = f"scheme file {scheme!r} does not exist"
    return [] if problem is None else [problem]
