"""The release's masks: where they are, and the boxes that verify and place the released ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import aff2axcodes

from knee.errors import InputError
from knee.geometry import Box3D, voxel_box
from knee.released import ReleasedVolume
from tools.release_boxes import (
    BoxSample,
    VerifiedOrder,
    place_box,
    verify_order,
)
from tools.release_files import assumption_fails
from tools.release_layout import load_layout
from tools.volumes import load_volume


class MaskGrid(NamedTuple):
    """The array of a volume's masks."""

    shape: tuple[int, int, int]
    """As stored."""
    orientation: str
    """Axis codes, e.g. `PIR`."""


class BoxCandidate(NamedTuple):
    """A released box that a mask may verify."""

    volume: ReleasedVolume
    """The volume."""
    question_id: int
    """1-69."""
    values: tuple[int, ...]
    """Six numbers."""


class ReleaseMasks:
    """Masks of a release, looked up once for each volume."""

    def __init__(self, root: Path, subregions: dict[int, tuple[str, ...]]) -> None:
        self._root = root
        self._subregions = subregions
        self._grids: dict[str, MaskGrid | None] = {}

    def paths(self, volume: ReleasedVolume, question_id: int) -> list[Path]:
        """Returns the masks of a question's subregions; empty unless every one is there."""
        names = self._subregions.get(question_id, ())
        found = [self._find(volume, name) for name in names]
        paths = [path for path in found if path is not None]
        return paths if len(paths) == len(names) else []

    def grid(self, volume: ReleasedVolume) -> MaskGrid | None:
        """Returns the array of a volume's masks, None when it has none."""
        if volume.volume_id not in self._grids:
            names = dict.fromkeys(name for some in self._subregions.values() for name in some)
            found = (self._find(volume, name) for name in names)
            first = next((path for path in found if path is not None), None)
            self._grids[volume.volume_id] = None if first is None else _grid(first)
        return self._grids[volume.volume_id]

    def sample(self, candidate: BoxCandidate) -> BoxSample | None:
        """Returns a box beside its mask; None without a mask, or when that is empty."""
        box: Box3D | None = None
        shape = (0, 0, 0)
        for path in self.paths(candidate.volume, candidate.question_id):
            volume = load_volume(path)
            shape = volume.shape
            box = _united(box, _tight_box(volume.array))
        return None if box is None else BoxSample(candidate.values, shape, box)

    def _find(self, volume: ReleasedVolume, subregion: str) -> Path | None:
        masks = load_layout().masks
        if not volume.label_map:
            return None
        name = masks.file.format(label_map=volume.label_map, subregion=subregion)
        for folder in masks.folders:
            path = self._root / folder / name.lstrip("/")
            inside = path.resolve().is_relative_to(self._root.resolve())
            if inside and path.is_file():
                return path
        return None


class BoxPlacer:
    """Places released boxes in the arrays of the masks, by verified orders."""

    def __init__(
        self, masks: ReleaseMasks | None, orders: dict[tuple[str, str], VerifiedOrder]
    ) -> None:
        self._masks = masks
        self.orders = orders
        """(orientation, side) to what was verified."""

    def place(
        self, volume: ReleasedVolume, values: tuple[int, ...] | None
    ) -> tuple[Box3D | None, str | None]:
        """Returns a box, or why there is none."""
        if values is None:
            return None, "the answer has no box"
        grid = None if self._masks is None else self._masks.grid(volume)
        if not self.orders:
            return None, "the order of the boxes was not verified"
        if grid is None:
            return None, "the volume has no mask to place the box by"
        verified = self.orders.get((grid.orientation, volume.side))
        if verified is None:
            return None, f"not verified for {grid.orientation} arrays of {volume.side} knees"
        box = place_box(values, verified.order, grid.shape)
        return (box, None) if box is not None else (None, f"outside of the array {grid.shape!r}")


def verify_boxes(masks: ReleaseMasks, candidates: Iterable[BoxCandidate]) -> BoxPlacer:
    """Returns a placer with the order of each orientation and side, verified against masks.

    Args:
        masks: of the release.
        candidates: boxes, spread over the volumes; at most `sample` of them are compared.

    Raises:
        InputError: no box has a mask, or the boxes of a group do not fit; with the figures.
    """
    boxes = load_layout().boxes
    groups: dict[tuple[str, str], list[BoxSample]] = {}
    n_tried = n_samples = 0
    for candidate in candidates:
        n_tried += 1
        grid = masks.grid(candidate.volume)
        sample = None if grid is None else masks.sample(candidate)
        if grid is None or sample is None:
            continue
        groups.setdefault((grid.orientation, candidate.volume.side), []).append(sample)
        n_samples += 1
        if n_samples >= boxes.sample:
            break
    if not n_tried:
        return BoxPlacer(masks, {})
    if not groups:
        raise assumption_fails(
            f"none of the {n_tried} boxes tried has a mask", "[masks] and [files] subregions"
        )
    orders = {
        (orientation, side): verify_order(
            samples, boxes.min_overlap, f"{side} knees in {orientation} arrays"
        )
        for (orientation, side), samples in groups.items()
        if len(samples) >= boxes.min_sample
    }
    if not orders:
        raise InputError(
            f"only {n_samples} boxes have masks, and no orientation and side has "
            f"{boxes.min_sample}: their order cannot be verified",
            "--without-boxes imports the rest",
        )
    return BoxPlacer(masks, orders)


def _grid(path: Path) -> MaskGrid:
    """Shape and orientation from the header alone."""
    try:
        image = cast("Any", nib).load(path)
        i, j, k = (int(n) for n in image.shape)
        codes = aff2axcodes(image.affine)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"mask {str(path)!r} cannot be read: {error}", "check it") from error
    return MaskGrid((i, j, k), "".join(str(code) for code in codes))


def _tight_box(array: "np.typing.NDArray[Any]") -> Box3D | None:
    bounds: list[int] = []
    mask = array != 0
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(mask.any(axis=others))
        if not there.size:
            return None
        bounds += [int(there[0]), int(there[-1]) + 1]
    return voxel_box(*bounds)


def _united(first: Box3D | None, second: Box3D | None) -> Box3D | None:
    if first is None or second is None:
        return first or second
    (a0, a1, b0, b1, c0, c1), (d0, d1, e0, e1, f0, f1) = first.indices, second.indices
    return voxel_box(min(a0, d0), max(a1, d1), min(b0, e0), max(b1, e1), min(c0, f0), max(c1, f1))
