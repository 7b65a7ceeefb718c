"""A cohort folder of phantoms: images, label maps, MOAKS table, manifest and truth."""

import csv
import gzip
import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from knee.anatomy import Side
from knee.errors import InputError
from tools.phantom.appearance import BIAS, NOISE_SD
from tools.phantom.build import Phantom, make_phantom
from tools.phantom.grid import DEMO_GRID, Grid
from tools.phantom.pathology import Absence, Severity
from tools.phantom.table import FILE_NAME, Read, format_table, write_cells
from tools.phantom.truth import TruthRecord

MANIFEST_COLUMNS = (
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

VISIT, SEQUENCE, SCHEME = "V00", "dess", "phantom"
MISSING_SHARE = 0.02
"""Share of cells that are missing in the table although the truth is known."""

_MOST_KNEES = 9999


class CohortKnee(NamedTuple):
    """One knee of a cohort, before it is drawn."""

    patient: str
    side: Side
    seed: int


def plan_cohort(n_knees: int, seed: int) -> tuple[CohortKnee, ...]:
    """Returns patients, sides and seeds of a cohort; right and left alternate.

    The patient's number holds the cohort's seed, so cohorts of different seeds never share one.

    Raises:
        InputError: the number of knees or the seed is out of range.
    """
    if not 1 <= n_knees <= _MOST_KNEES:
        raise InputError(f"cannot make {n_knees!r} knees", f"give 1 to {_MOST_KNEES}")
    if seed < 0:
        raise InputError(f"the seed is negative: {seed!r}", "give a seed of 0 or more")
    sides = (Side.RIGHT, Side.LEFT)
    return tuple(
        CohortKnee(
            patient=f"PH{seed:02d}{index:04d}",
            side=sides[(index + seed) % 2],
            seed=int(np.random.default_rng([seed, index]).integers(0, 2**31)),
        )
        for index in range(n_knees)
    )


def split_of(patient: str) -> str:
    """Returns train (70 %), val (10 %) or test (20 %) from a hash of the patient's id."""
    bucket = int(hashlib.sha256(patient.encode()).hexdigest(), 16) % 10
    return "train" if bucket < 7 else "val" if bucket < 8 else "test"


def compress_nifti(data: NDArray[np.generic], affine: NDArray[np.float64]) -> bytes:
    """Returns a gzipped NIfTI-1 file; the same voxels give the same bytes."""
    image = Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return gzip.compress(image.to_bytes(), compresslevel=3, mtime=0)


def _require_free(out: Path) -> None:
    if out.is_dir():
        if any(out.iterdir()):
            raise InputError(
                f"the folder is not empty: {str(out)!r}", "name a new folder for the cohort"
            )
    elif out.exists():
        raise InputError(f"not a folder: {str(out)!r}", "name a new folder for the cohort")


def _manifest_row(knee: CohortKnee, split: str | None) -> dict[str, str]:
    name = f"{knee.patient}_{VISIT}_{knee.side.value}.nii.gz"
    return {
        "patient": knee.patient,
        "visit": VISIT,
        "side": knee.side.value,
        "sequence": SEQUENCE,
        "image": f"images/{name}",
        "label_map": f"labels/{name}",
        "scheme": SCHEME,
        "mask_source": "phantom",
        "segmenter": "none (phantom)",
        "licence": "CC0-1.0",
        "synthetic": "true",
        "split": split_of(knee.patient) if split is None else split,
    }


def _csv_bytes(columns: tuple[str, ...], rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


class _Truth(NamedTuple):
    knee: CohortKnee
    records: tuple[TruthRecord, ...]


def _write_truth(folder: Path, truths: list[_Truth]) -> None:
    rows: list[dict[str, str]] = []
    for knee, records in truths:
        for record in records:
            values = record.model_dump(mode="json")
            cells = {name: "" if v is None else str(v) for name, v in values.items()}
            rows.append({"patient": knee.patient, "side": knee.side.value, **cells})
    columns = ("patient", "side", *TruthRecord.model_fields)
    (folder / "truth.csv").write_bytes(_csv_bytes(columns, rows))
    document = [
        {
            "patient": knee.patient,
            "side": knee.side.value,
            "seed": knee.seed,
            "records": [record.model_dump(mode="json") for record in records],
        }
        for knee, records in truths
    ]
    (folder / "truth.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _write_volumes(folder: Path, phantom: Phantom, row: dict[str, str]) -> None:
    for column, data in (("image", phantom.image), ("label_map", phantom.label_map)):
        path = folder / row[column]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(compress_nifti(data, phantom.affine))


def _fill(
    folder: Path,
    knees: tuple[CohortKnee, ...],
    draw: Callable[[CohortKnee], Phantom],
    split: str | None,
    on_knee: Callable[[CohortKnee], None] | None,
) -> None:
    rows: list[dict[str, str]] = []
    reads: list[Read] = []
    truths: list[_Truth] = []
    for knee in knees:
        phantom = draw(knee)
        row = _manifest_row(knee, split)
        _write_volumes(folder, phantom, row)
        cells = write_cells(phantom.truth, MISSING_SHARE, np.random.default_rng([knee.seed, 6]))
        rows.append(row)
        reads.append(Read(knee.patient, knee.side, cells))
        truths.append(_Truth(knee, phantom.truth))
        if on_knee is not None:
            on_knee(knee)
    (folder / FILE_NAME).write_bytes(format_table(reads))
    (folder / "cohort.csv").write_bytes(_csv_bytes(MANIFEST_COLUMNS, rows))
    _write_truth(folder, truths)


def write_cohort(
    out: Path,
    n_knees: int,
    seed: int,
    grid: Grid = DEMO_GRID,
    *,
    severity: Severity = None,
    clear_of_thresholds: bool = True,
    absent: Collection[Absence] = (),
    noise_sd: float = NOISE_SD,
    bias: float = BIAS,
    split: str | None = None,
    on_knee: Callable[[CohortKnee], None] | None = None,
) -> None:
    """Writes a cohort folder; the same arguments give the same bytes.

    The folder holds `images/`, `labels/`, `kMRI_SQ_MOAKS_BICL00.txt`, `cohort.csv` and, for tests
    and benchmarks only, `truth.json` and `truth.csv`. It appears at once when everything is
    written; a failure leaves nothing behind.

    Args:
        out: a folder that does not exist or is empty.
        n_knees: how many knees, one a patient.
        seed: of the cohort.
        grid: voxel grid of every knee.
        severity: see `pathology.Severity`.
        clear_of_thresholds: keep extents away from the grades' borders.
        absent: structures that every knee lacks.
        noise_sd: see `make_phantom`.
        bias: see `make_phantom`.
        split: the split of every knee; None hashes each patient.
        on_knee: called after each knee is written, for progress.

    Raises:
        InputError: the folder is not empty, cannot be written, or an argument is out of range.
    """
    out = out.absolute()
    knees = plan_cohort(n_knees, seed)
    _require_free(out)

    def draw(knee: CohortKnee) -> Phantom:
        return make_phantom(
            knee.seed,
            knee.side,
            grid,
            severity,
            clear_of_thresholds=clear_of_thresholds,
            absent=absent,
            noise_sd=noise_sd,
            bias=bias,
        )

    partial = out.with_name(f".{out.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        _fill(partial, knees, draw, split, on_knee)
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise InputError(
            f"cannot write the cohort to {str(out)!r}: {error.strerror}",
            "check the free space and the rights of the folder above",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
