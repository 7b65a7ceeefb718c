"""Label maps: volumes of label numbers with their scheme (`tools.label_scheme`) and side.

A label map is one file, or a folder of single-structure masks (`tools.mask_folder`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from knee.anatomy import Side, Structure
from knee.errors import InputError
from tools.grids import check_same_grid, is_same_grid, resample_nearest
from tools.label_scheme import (
    MAX_LABEL,
    SCHEMES_FOLDER,
    Scheme,
    load_scheme,
    scheme_names,
)
from tools.mask_folder import read_mask_folder
from tools.volumes import Volume, load_volume

__all__ = [
    "SCHEMES_FOLDER",
    "LabelMap",
    "Scheme",
    "check_same_grid",
    "count_labels",
    "label_map_from_volume",
    "load_label_map",
    "load_scheme",
    "on_image_grid",
    "scheme_names",
]

_KEPT_SHARE = 0.95
"""A resampled label map that keeps less of its volume than this lies partly outside the image."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """A volume of label numbers with their meaning and the declared side.

    Attributes:
        volume: integer label numbers, axes as stored (or canonical, after `canonical`).
        scheme: what the numbers stand for on this side.
        side: which knee it is said to be; see `tools.side_check`.
        counts: label number to voxels, background left out; counted when not given.
        notes: what was decided in making it (overlapping masks, resampling), for people.
    """

    volume: Volume
    scheme: Scheme
    side: Side
    counts: Mapping[int, int] = field(default_factory=dict[int, int])
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", self.scheme.for_side(self.side))
        if not self.counts:
            object.__setattr__(self, "counts", count_labels(self.volume.array))

    def canonical(self) -> "LabelMap":
        """Returns the label map with its volume in canonical (closest RAS) axes; a view."""
        return replace(self, volume=self.volume.to_canonical())

    def mask(self, structure: Structure) -> npt.NDArray[np.bool_]:
        """Returns where a structure is, in the volume's own axes; all False when it is nowhere.

        Whether the structure is absent or only not in the scheme is told by `in_scheme`.
        """
        array = self.volume.array
        numbers = [n for n in self.scheme.numbers(structure) if n in self.counts]
        if not numbers:
            return np.zeros(array.shape, dtype=np.bool_)
        if len(numbers) == 1:
            return array == numbers[0]
        return np.isin(array, numbers)

    def present(self) -> set[Structure]:
        """Returns the structures with at least one voxel."""
        return {self.scheme.labels[number] for number in self.counts}

    def n_voxels(self, structure: Structure) -> int:
        """Returns how many voxels a structure has."""
        return sum(self.counts.get(n, 0) for n in self.scheme.numbers(structure))

    def in_scheme(self, structure: Structure) -> bool:
        """Returns whether the scheme has a label for the structure."""
        return structure in self.scheme.labels.values()


def load_label_map(path: Path, scheme: Scheme, side: Side) -> LabelMap:
    """Returns the label map in a file, or in a folder of single-structure masks.

    Args:
        path: a volume file; or a folder, for a scheme that says what its files are (`masks`).
        scheme: what the numbers, or the files, stand for.
        side: the declared side.

    Raises:
        InputError: not a volume (`load_volume`), values that are not whole numbers, no label at
            all, labels outside the scheme (named with their voxel counts), or a folder whose
            files do not make one label map (`read_mask_folder`).
    """
    if path.is_dir():
        masks = read_mask_folder(path, scheme)
        label_map = label_map_from_volume(masks.volume, masks.scheme, side)
        return replace(label_map, notes=masks.notes)
    return label_map_from_volume(load_volume(path), scheme, side)


def on_image_grid(image: Volume, label_map: LabelMap, *, resample: bool) -> LabelMap:
    """Returns the label map on the image's grid: itself, if it is on it already.

    A resampled one says so: in its scheme's name, its hash and its notes, and so in the findings.

    Args:
        image: never changed.
        label_map: resampled by nearest neighbour if it must be and may be.
        resample: whether it may be.

    Raises:
        InputError: the grids differ and `resample` is false, or nothing of the label map lies in
            the image.
    """
    if is_same_grid(image, label_map.volume):
        return label_map
    if not resample:
        check_same_grid(image, label_map.volume)
    volume = resample_nearest(label_map.volume, image)
    counts = count_labels(volume.array)
    if not counts:
        raise InputError(
            f"{str(label_map.volume.path)!r} has no label within {str(image.path)!r}",
            "the two do not belong together, or one of the affines is wrong",
        )
    scheme = label_map.scheme.model_copy(update={"name": f"{label_map.scheme.name} (resampled)"})
    note = _resampling_note(label_map, volume, counts)
    return LabelMap(volume, scheme, label_map.side, counts, (*label_map.notes, note))


def _resampling_note(label_map: LabelMap, onto: Volume, counts: Mapping[int, int]) -> str:
    """Says that a label map was resampled, and what was lost by it."""
    note = "label map resampled onto the image's grid by nearest neighbour"
    before = sum(label_map.counts.values()) * label_map.volume.voxel_volume
    kept = sum(counts.values()) * onto.voxel_volume / before
    if kept < _KEPT_SHARE:
        note += f"; the image holds {100 * kept:.0f} % of what is labelled"
    lost = [
        f"{structure.value} ({label_map.n_voxels(structure)} voxels)"
        for structure in sorted(label_map.present())
        if not any(n in counts for n in label_map.scheme.numbers(structure))
    ]
    return f"{note}; lost: {', '.join(lost)}" if lost else note


def label_map_from_volume(volume: Volume, scheme: Scheme, side: Side) -> LabelMap:
    """Returns a checked label map; whole numbers stored as floats become integers.

    Raises:
        InputError: see `load_label_map`.
    """
    shown = str(volume.path)
    scheme = scheme.for_side(side)
    array = volume.array
    if array.dtype.kind == "f":
        array = _as_integers(array, shown)
    counts = count_labels(array, shown)
    if not counts:
        raise InputError(
            f"label map {shown!r} is empty: all {array.size} voxels are background",
            "check that it is the label map and not another file",
        )
    unknown = {n: count for n, count in counts.items() if n not in scheme.labels}
    if unknown:
        listed = ", ".join(f"{n} ({count} voxels)" for n, count in sorted(unknown.items())[:20])
        more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        raise InputError(
            f"label map {shown!r} holds labels outside the scheme {scheme.name!r}: {listed}{more}",
            f"the scheme has {sorted(scheme.labels)!r}; choose another scheme or write your own",
        )
    whole = Volume(array, volume.affine, volume.path, volume.sha256)
    return LabelMap(whole, scheme, side, counts)


def count_labels(array: npt.NDArray[np.integer], shown: str = "label map") -> dict[int, int]:
    """Returns label number to number of voxels, without background.

    Counted slab by slab, so that no wide copy of the array is made.

    Raises:
        InputError: a label is negative or above 100,000.
    """
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > MAX_LABEL:
        raise InputError(
            f"{shown!r} holds the value {low if low < 0 else high!r}, which cannot be a label",
            f"labels are whole numbers from 0 to {MAX_LABEL}; is this an image?",
        )
    totals = np.zeros(high + 1, dtype=np.int64)
    slowest = int(np.argmax(np.abs(array.strides)))
    for slab in np.moveaxis(array, slowest, 0):
        totals += np.bincount(slab.ravel(order="K"), minlength=high + 1)
    return {int(n): int(totals[n]) for n in np.flatnonzero(totals) if n != 0}


def _as_integers(array: npt.NDArray[np.floating], shown: str) -> npt.NDArray[np.integer]:
    if not np.isfinite(array).all():
        raise InputError(f"label map {shown!r} holds NaN or infinity", "labels are whole numbers")
    whole = np.rint(array)
    off = array != whole
    if off.any():
        raise InputError(
            f"label map {shown!r} holds values that are not whole numbers: "
            f"{float(array[off][0])!r} and {int(off.sum()) - 1} more",
            "is this an image, or a label map resampled with interpolation?",
        )
    if abs(whole).max() > MAX_LABEL:
        raise InputError(
            f"label map {shown!r} holds the value {float(whole.max())!r}",
            f"labels are whole numbers from 0 to {MAX_LABEL}; is this an image?",
        )
    return whole.astype(np.int32)
