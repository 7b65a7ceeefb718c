"""`convert`: a DICOM series (or another volume) into one NIfTI file."""

from pathlib import Path

import numpy as np

from knee.errors import InputError
from knee.keys import JsonValue, content_hash
from stages.console import emit_json, say
from tools.nifti import write_nifti
from tools.volumes import Volume, load_volume

_SUFFIXES = (".nii", ".nii.gz")


def convert(
    source: Path, out: Path, *, series_number: int | None, force: bool, as_json: bool
) -> int:
    """Writes a volume as NIfTI; returns 0.

    The voxels are stored as they are: same axes, same type. The file holds geometry and voxels
    only; no name, date or number of a patient goes into it.

    Args:
        source: folder of one DICOM series, or a volume file.
        out: `.nii` or `.nii.gz`; its folder must be there.
        series_number: the series to take where the folder holds several.
        force: replace `out` if it is there.
        as_json: print what was written on stdout.

    Raises:
        InputError: the source is no volume, or `out` cannot be written or is there already.
    """
    _check_target(out, force)
    volume = load_volume(source, series_number=series_number)
    write_nifti(volume.array, volume.affine, out)
    summary = _summary(source, out, volume)
    shape = " x ".join(str(n) for n in volume.shape)
    spacing = " x ".join(f"{size:.4g}" for size in volume.spacing)
    side = "" if volume.named_side is None else f", {volume.named_side.value} by its Laterality"
    say(f"{out}: {shape} voxels of {spacing} mm, {volume.orientation}, {volume.array.dtype}{side}")
    for note in volume.notes:
        say(f"note: {note}")
    if as_json:
        emit_json(summary)
    return 0


def _summary(source: Path, out: Path, volume: Volume) -> dict[str, JsonValue]:
    return {
        "source": str(source),
        "source_sha256": volume.sha256,
        "out": str(out),
        "out_sha256": content_hash(out.read_bytes()),
        "shape": list(volume.shape),
        "spacing_mm": [round(size, 6) for size in volume.spacing],
        "orientation": volume.orientation,
        "affine": [list(row) for row in volume.affine_rows],
        "type": str(volume.array.dtype),
        "named_side": None if volume.named_side is None else volume.named_side.value,
        "notes": list(volume.notes),
        "range": [_number(volume.array.min()), _number(volume.array.max())],
    }


def _number(value: np.generic) -> JsonValue:
    number: int | float = value.item()
    return number if np.isfinite(number) else None


def _check_target(out: Path, force: bool) -> None:
    """Before anything is read: a long conversion must not fail at its end."""
    if not out.name.endswith(_SUFFIXES):
        raise InputError(f"{str(out)!r} is no name of a NIfTI file", "end it in .nii.gz (or .nii)")
    if not out.parent.is_dir():
        raise InputError(f"there is no folder {str(out.parent)!r}", "make it first")
    if out.is_dir():
        raise InputError(f"{str(out)!r} is a folder", "give the name of a file")
    if out.exists() and not force:
        raise InputError(f"{str(out)!r} is there already", "--force replaces it")
