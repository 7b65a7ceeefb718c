"""Label maps and their schemes (label number -> structure).

A scheme is a data file: `tools/schemes/<name>.toml`, or a user's own file of the same form::

    name = "phantom"
    source = "where the numbers come from"
    sided = true                                  # menisci and tibial cartilages have a side
    lesion_source_sequence = "SAG IW TSE FS"      # optional: what lesion labels were drawn on
    [labels]
    1 = "femur"                                   # a value of knee.anatomy.Structure

0 is background and is not listed. Several numbers may name one structure. A number that is in
the map and not in the scheme is an error, never background: it may be the lesion.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from knee.anatomy import Side, Structure
from knee.errors import InputError
from tools.volumes import Volume, load_volume

SCHEMES_FOLDER = Path(__file__).parent / "schemes"
"""Where the schemes that come with the pipeline are."""
UNSIDED = frozenset({Structure.TIBIAL_CARTILAGE, Structure.MENISCUS})
"""Structures whose label does not tell medial from lateral."""
_MAX_LABEL = 100_000
"""Largest label number that is believed; label maps of knees have tens of labels."""
_AFFINE_TOLERANCE_MM = 1e-2
"""Two grids are the same when no corner voxel is further apart than this; headers round."""


class Scheme(BaseModel):
    """What the numbers of a label map stand for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the scheme, e.g. `oaizib-cm`."""
    source: str
    """Where the numbers come from, for people."""
    sided: bool
    """False where menisci or tibial cartilages carry one label for both sides."""
    lesion_source_sequence: str | None = None
    """MRI sequence that the lesion labels were drawn on; None when unknown or without lesions."""
    labels: dict[int, Structure]
    """Label number (1 and above) to structure."""

    @model_validator(mode="after")
    def validate_labels(self) -> Self:
        """Refuses background, numbers out of range, and a wrong `sided`."""
        if not self.labels:
            raise ValueError("a scheme has at least one label")
        bad = sorted(n for n in self.labels if not 0 < n <= _MAX_LABEL)
        if bad:
            raise ValueError(f"label numbers must be 1 to {_MAX_LABEL} (0 is background): {bad!r}")
        unsided = sorted(UNSIDED.intersection(self.labels.values()))
        if self.sided == bool(unsided):
            raise ValueError(f"sided = {self.sided!r}, but the unsided structures are {unsided!r}")
        return self

    def numbers(self, structure: Structure) -> tuple[int, ...]:
        """Returns the label numbers of a structure, ascending; empty when not in the scheme."""
        return tuple(sorted(n for n, s in self.labels.items() if s is structure))


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """A volume of label numbers with their meaning and the declared side.

    Attributes:
        volume: integer label numbers, axes as stored (or canonical, after `canonical`).
        scheme: what the numbers stand for.
        side: which knee it is said to be; see `tools.side_check`.
        counts: label number to voxels, background left out; counted when not given.
    """

    volume: Volume
    scheme: Scheme
    side: Side
    counts: Mapping[int, int] = field(default_factory=dict[int, int])

    def __post_init__(self) -> None:
        if not self.counts:
            object.__setattr__(self, "counts", count_labels(self.volume.array))

    def canonical(self) -> "LabelMap":
        """Returns the label map with its volume in canonical (closest RAS) axes; a view."""
        return LabelMap(self.volume.to_canonical(), self.scheme, self.side, self.counts)

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


def scheme_names() -> tuple[str, ...]:
    """Returns the names of the schemes that come with the pipeline, in alphabetical order."""
    return tuple(sorted(path.stem for path in SCHEMES_FOLDER.glob("*.toml")))


def load_scheme(name_or_path: str) -> Scheme:
    """Returns a scheme by its name, or from a user's own TOML file.

    Raises:
        InputError: there is no such scheme, or the file does not hold one.
    """
    is_path = name_or_path.endswith(".toml") or "/" in name_or_path
    path = Path(name_or_path) if is_path else SCHEMES_FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        raise InputError(
            f"there is no scheme {name_or_path!r}",
            f"schemes are {', '.join(scheme_names())}, or the path of a TOML file",
        )
    try:
        return Scheme.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"scheme {str(path)!r} is not TOML: {error}", "mend the file") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()[:5]
        )
        raise InputError(
            f"scheme {str(path)!r} does not hold a scheme: {problems}",
            f"structures are {', '.join(Structure)}",
        ) from error


def load_label_map(path: Path, scheme: Scheme, side: Side) -> LabelMap:
    """Returns the label map in a file.

    Raises:
        InputError: not a volume (`load_volume`), values that are not whole numbers, no label at
            all, or labels outside the scheme (named with their voxel counts).
    """
    return label_map_from_volume(load_volume(path), scheme, side)


def label_map_from_volume(volume: Volume, scheme: Scheme, side: Side) -> LabelMap:
    """Returns a checked label map; whole numbers stored as floats become integers.

    Raises:
        InputError: see `load_label_map`.
    """
    shown = str(volume.path)
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
    if low < 0 or high > _MAX_LABEL:
        raise InputError(
            f"{shown!r} holds the value {low if low < 0 else high!r}, which cannot be a label",
            f"labels are whole numbers from 0 to {_MAX_LABEL}; is this an image?",
        )
    totals = np.zeros(high + 1, dtype=np.int64)
    slowest = int(np.argmax(np.abs(array.strides)))
    for slab in np.moveaxis(array, slowest, 0):
        totals += np.bincount(slab.ravel(order="K"), minlength=high + 1)
    return {int(n): int(totals[n]) for n in np.flatnonzero(totals) if n != 0}


def check_same_grid(image: Volume, label_map: Volume) -> None:
    """Refuses an image and a label map whose voxels are not at the same places.

    The two may be stored in different axis orders as long as their canonical forms coincide.

    Raises:
        InputError: names both shapes and both affines.
    """
    first, second = image.to_canonical(), label_map.to_canonical()
    if first.shape == second.shape:
        corners = np.array(
            [[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64
        ) * [*(np.array(first.shape) - 1), 1]
        apart = np.abs(corners @ (first.affine - second.affine).T)[:, :3].max()
        if apart <= _AFFINE_TOLERANCE_MM:
            return
    raise InputError(
        f"{str(label_map.path)!r} is not on the grid of {str(image.path)!r}: "
        f"label map {_grid(label_map)}; image {_grid(image)}",
        "give the label map that was drawn on this image, or resample it to the image's grid",
    )


def _grid(volume: Volume) -> str:
    rows = np.round(volume.affine[:3], 4).tolist()
    return f"shape {volume.shape!r} {volume.orientation}, affine {rows!r}"


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
    if abs(whole).max() > _MAX_LABEL:
        raise InputError(
            f"label map {shown!r} holds the value {float(whole.max())!r}",
            f"labels are whole numbers from 0 to {_MAX_LABEL}; is this an image?",
        )
    return whole.astype(np.int32)
