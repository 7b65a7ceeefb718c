"""A folder of single-structure masks, one file a structure, as one array of label numbers.

Which file is which structure is told by its name (`[files]` of the scheme). A structure without a
file is not in the scheme of this volume; a file without voxels says that the structure is absent.

Masks that were drawn or predicted one by one overlap. A voxel can carry one number, so the masks
are painted in a fixed order, and the later one keeps what both claim: fat, fluid, tendons and
ligaments, bones, lesions in them, cysts, menisci, cartilage. Cartilage and menisci are thin and are
what thickness is measured on; a bone mask that runs into them loses nothing that is measured.
What was shared is counted in notes. Two masks of one kind (two bones, two menisci) may share a
hundredth of the smaller one, which stays with the first; more is an error.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from knee.anatomy import Structure
from knee.errors import InputError
from knee.keys import content_hash
from tools.grids import check_same_grid
from tools.label_scheme import UNSIDED, Scheme
from tools.volumes import Volume, load_volume

_LAYERS: tuple[tuple[Structure, ...], ...] = (
    (Structure.OTHER,),
    (Structure.HOFFA_FAT_PAD,),
    (Structure.JOINT_FLUID,),
    (Structure.QUADRICEPS_TENDON, Structure.PATELLAR_TENDON),
    (Structure.ACL, Structure.PCL, Structure.MCL, Structure.LCL),
    (Structure.FEMUR, Structure.TIBIA, Structure.PATELLA, Structure.FIBULA),
    (Structure.FEMORAL_BML, Structure.TIBIAL_BML, Structure.PATELLAR_BML),
    (Structure.SUBCHONDRAL_CYST,),
    (Structure.MENISCUS, Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS),
    (
        Structure.FEMORAL_CARTILAGE,
        Structure.TIBIAL_CARTILAGE,
        Structure.MEDIAL_TIBIAL_CARTILAGE,
        Structure.LATERAL_TIBIAL_CARTILAGE,
        Structure.PATELLAR_CARTILAGE,
    ),
)
"""In the order of painting; what stands in one row is of one kind."""
_LAYER_OF = {structure: n for n, row in enumerate(_LAYERS) for structure in row}
_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
_COMPANIONS = frozenset({".txt", ".json", ".csv", ".tsv", ".xml", ".md", ".toml", ".png", ".log"})
_MAX_SHARED = 0.01
"""Share of the smaller of two masks of one kind that both may claim: rims of two predictions."""


@dataclass(frozen=True, slots=True)
class PaintedMasks:
    """What a folder of masks came to.

    Attributes:
        volume: label numbers of the scheme, axes of the first mask painted; its hash is over all
            files with their structures.
        scheme: the scheme, left with the structures that have a file.
        notes: overlaps, for people.
    """

    volume: Volume
    scheme: Scheme
    notes: tuple[str, ...]


def read_mask_folder(folder: Path, scheme: Scheme) -> PaintedMasks:
    """Returns the masks of a folder as one array of label numbers.

    Raises:
        InputError: the scheme tells nothing of files, a name stands for no structure, two files
            stand for one, there is none; a mask is no volume, not of one value, on another grid
            than the others; masks of one kind overlap, or one covers another wholly.
    """
    files = _structure_files(folder, scheme)
    painter: _Painter | None = None
    hashes: list[str] = []
    for structure in sorted(files, key=lambda s: (_LAYER_OF[s], list(Structure).index(s))):
        mask = load_volume(files[structure])
        hashes.append(f"{structure.value} {mask.sha256}")
        if painter is None:
            painter = _Painter(mask, scheme)
        painter.paint(structure, mask)
    assert painter is not None
    kept = {n: s for n, s in scheme.labels.items() if s in files}
    own = scheme.model_copy(
        update={
            "labels": kept,
            "files": {},
            "sided": not UNSIDED.keys() & files.keys(),
        }
    )
    volume = Volume(painter.array, painter.grid.affine, folder, content_hash("\n".join(hashes)))
    return PaintedMasks(volume, own, painter.notes(folder))


def _structure_files(folder: Path, scheme: Scheme) -> dict[Structure, Path]:
    if not scheme.files:
        raise InputError(
            f"label map {str(folder)!r} is a folder, and the scheme {scheme.name!r} does not say "
            "what its files are",
            "the scheme for a folder of single-structure masks is 'masks', or your own with a "
            "[files] table",
        )
    found: dict[Structure, Path] = {}
    unknown: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() in _COMPANIONS:
            continue
        structure = scheme.files.get(_stem(path.name))
        if structure is None or path.is_dir():
            unknown.append(path.name)
        elif structure in found:
            raise InputError(
                f"folder {str(folder)!r} has two masks of {structure.value!r}: "
                f"{found[structure].name!r} and {path.name!r}",
                "leave one",
            )
        else:
            found[structure] = path
    if unknown:
        raise InputError(
            f"folder {str(folder)!r} holds files that stand for no structure: {unknown!r}",
            f"rename them, move them away, or name them in the [files] of a scheme of your own; "
            f"{scheme.name!r} knows {', '.join(sorted(scheme.files))}",
        )
    if not found:
        raise InputError(f"folder {str(folder)!r} holds no mask", "give one file a structure")
    for unsided, sided in UNSIDED.items():
        both = [s.value for s in sided if s in found]
        if unsided in found and both:
            raise InputError(
                f"folder {str(folder)!r} has a mask of {unsided.value!r} and of {both!r}",
                "move the unsided one away: the sided ones say more",
            )
    return found


def _stem(name: str) -> str:
    """File name as the scheme writes it: lower case, underscores, no suffix."""
    lower = name.lower()
    for suffix in _SUFFIXES:
        if lower.endswith(suffix):
            return lower.removesuffix(suffix).strip().replace(" ", "_").replace("-", "_")
    return lower


class _Painter:
    """Paints masks one after another into one array, and counts what they share."""

    def __init__(self, grid: Volume, scheme: Scheme) -> None:
        self.grid = grid
        self._scheme = scheme
        self.array = np.zeros_like(grid.array, dtype=np.uint8)
        painted = Volume(self.array, grid.affine, grid.path, grid.sha256)
        # A view: masks stored in another axis order are painted where they belong.
        self._canonical = painted.to_canonical().array
        self._n_voxels: dict[Structure, int] = {}
        self._shared: dict[tuple[Structure, Structure], int] = {}

    def paint(self, structure: Structure, mask: Volume) -> None:
        """Paints one mask over those before it."""
        check_same_grid(self.grid, mask)
        where = _as_mask(mask).to_canonical().array
        n_voxels = int(where.sum())
        self._n_voxels[structure] = n_voxels
        below = np.bincount(self._canonical[where], minlength=256)
        for other in list(self._n_voxels):
            n_shared = int(below[self._number(other)]) if other is not structure else 0
            if n_shared == 0:
                continue
            self._shared[other, structure] = n_shared
            if _LAYER_OF[other] == _LAYER_OF[structure]:
                self._check_kind(other, structure, n_shared, mask.path)
                where &= self._canonical != self._number(other)
        self._canonical[where] = self._number(structure)

    def notes(self, folder: Path) -> tuple[str, ...]:
        """Says what was shared and who kept it.

        Raises:
            InputError: a mask that had voxels has none left.
        """
        left = np.bincount(self.array.ravel(order="K"), minlength=256)
        for structure, n_voxels in self._n_voxels.items():
            if n_voxels and not left[self._number(structure)]:
                over = [b.value for a, b in self._shared if a is structure]
                raise InputError(
                    f"in folder {str(folder)!r} the mask of {structure.value!r} ({n_voxels} "
                    f"voxels) is wholly covered by {over!r}",
                    "two files may hold the same mask; check what they are",
                )
        return tuple(
            f"{n} voxels of {a.value} are {b.value} too: counted as "
            f"{(a if _LAYER_OF[a] == _LAYER_OF[b] else b).value}"
            for (a, b), n in self._shared.items()
        )

    def _number(self, structure: Structure) -> int:
        return self._scheme.numbers(structure)[0]

    def _check_kind(self, first: Structure, second: Structure, n_shared: int, path: Path) -> None:
        smaller = min(self._n_voxels[first], self._n_voxels[second])
        if n_shared > _MAX_SHARED * smaller:
            raise InputError(
                f"in folder {str(path.parent)!r} the masks of {first.value!r} and "
                f"{second.value!r} share {n_shared} voxels of {smaller}",
                "two structures of one kind cannot be at one place; check the masks",
            )


def _as_mask(mask: Volume) -> Volume:
    """The mask as booleans; 0 and one other value."""
    low, high = mask.array.min(), mask.array.max()
    is_set = mask.array != 0
    if not np.isfinite([low, high]).all() or low < 0 or not _is_one_value(mask.array, high, is_set):
        raise InputError(
            f"{str(mask.path)!r} is not the mask of one structure: besides 0 it holds several "
            f"values from {low.item()!r} to {high.item()!r}",
            "a mask is 0 and 1; for a label map of several numbers give the file and its scheme",
        )
    return Volume(is_set, mask.affine, mask.path, mask.sha256)


def _is_one_value(
    array: npt.NDArray[np.generic], value: np.generic, is_set: npt.NDArray[np.bool_]
) -> bool:
    return int((array == value).sum()) == int(is_set.sum()) or not is_set.any()
