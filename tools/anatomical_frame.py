"""The knee in its own axes: medial, anterior, superior.

Everything that measures works in one array whose axes are

    axis 0   medial    (+ towards the other knee)
    axis 1   anterior
    axis 2   superior

It is the canonical (closest-RAS) array, turned round along axis 0 for a right knee, and cropped
to the labelled structures. So a right and a left knee run through the same code, and copies of
one knee stored RAS, LAS or PIR give the same array and hence the same numbers.

A volume's axes are taken for the knee's as long as its bones say so: to within 3 degrees about the
leg's long axis and 10 about the others. A volume that lies further off is turned first, each voxel
taking the nearest one's label: about the long axis alone where that is enough, for it keeps axial
slices apart.

Coordinates inside are voxel indices of that cropped array, or millimetres = index x spacing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knee.anatomy import Bone, Side, Structure, medial_sign
from knee.errors import InputError
from tools.bone_axes import Turn, needed_turn, turn_upright
from tools.bounds import Box, label_boxes
from tools.crop_frame import AnatomicalFrame, IntArray
from tools.field_of_view import cut_faces
from tools.label_scheme import UNSIDED
from tools.segmentation import LabelMap
from tools.side_split import knee_midline, split_sides
from tools.volumes import Volume

BoolArray = NDArray[np.bool_]
"""A mask, shape of the cropped anatomical array unless said otherwise."""

_CROP_MARGIN_MM = 12.0
"""Kept around the labelled structures; at least the 8 mm that a box may reach beyond them."""
_CODES = {structure: code for code, structure in enumerate(Structure, start=1)}
_BONE_PARTS: dict[Bone, tuple[Structure, ...]] = {
    Bone.FEMUR: (Structure.FEMUR, Structure.FEMORAL_BML),
    Bone.TIBIA: (Structure.TIBIA, Structure.TIBIAL_BML),
    Bone.PATELLA: (Structure.PATELLA, Structure.PATELLAR_BML),
}


class Presence(StrEnum):
    """Why a structure has voxels, or has none (RULES 4)."""

    PRESENT = "present"
    ABSENT = "absent"
    NOT_IN_SCHEME = "not_in_scheme"
    OUTSIDE_FIELD_OF_VIEW = "outside_field_of_view"


@dataclass(frozen=True)
class Knee:
    """A label map in the anatomical frame.

    Attributes:
        frame: where the array lies.
        side: which knee.
        codes: uint8, shape `frame.shape`; 0 is nothing, else the code of a structure.
        schemed: structures that the scheme has a label for.
        lesion_sequence: sequence that the lesion labels were drawn on; None when not known.
        cut: faces of the volume that cut a bone off near the joint; nothing for a whole bone.
    """

    frame: AnatomicalFrame
    side: Side
    codes: NDArray[np.uint8]
    schemed: frozenset[Structure]
    lesion_sequence: str | None
    cut: dict[Bone, tuple[str, ...]]
    _bones: dict[Bone, BoolArray] = field(default_factory=dict[Bone, BoolArray], repr=False)
    _boxes: dict[Structure, Box | None] = field(
        default_factory=dict[Structure, "Box | None"], repr=False
    )

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along medial, anterior, superior."""
        return self.frame.spacing

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.frame.spacing))

    def mask(self, *structures: Structure) -> BoolArray:
        """Returns the union of structures, in the crop; all False when none has voxels."""
        union = np.zeros(self.frame.shape, np.bool_)
        for structure in structures:
            box = self._box(structure)
            if box is not None:
                union[box] |= self.codes[box] == _CODES[structure]
        return union

    def bone(self, bone: Bone) -> BoolArray:
        """Returns a bone with the lesions inside it: bone label, BML label, cysts next to it.

        Lesions of a bone that is not labelled are no bone.
        """
        if bone not in self._bones:
            labelled = self.has(Structure(bone.value))
            whole = self.mask(*(_BONE_PARTS[bone] if labelled else ()))
            for box, cyst in self._cysts_of(bone) if labelled else ():
                whole[box] |= cyst
            self._bones[bone] = whole
        return self._bones[bone]

    def has(self, structure: Structure) -> bool:
        """Returns whether a structure has voxels."""
        return self._box(structure) is not None

    def within(self, structure: Structure) -> tuple[Box, BoolArray] | None:
        """Returns the bounding slices of a structure and its mask inside them.

        None without a voxel. For structures that are small in the crop: nothing of the crop's
        size is made.
        """
        box = self._box(structure)
        return None if box is None else (box, self.codes[box] == _CODES[structure])

    def shows(self, structure: Structure, index: tuple[IntArray, IntArray, IntArray]) -> BoolArray:
        """Returns whether voxels, by their indices in the crop, are of a structure."""
        return np.asarray(self.codes[index] == _CODES[structure], np.bool_)

    def n_voxels(self, structure: Structure) -> int:
        """Returns how many voxels a structure has."""
        found = self.within(structure)
        return 0 if found is None else int(np.count_nonzero(found[1]))

    def _box(self, structure: Structure) -> Box | None:
        if not self._boxes:
            found = label_boxes(self.codes, len(_CODES))
            self._boxes.update(dict(zip(Structure, found, strict=True)))
        return self._boxes[structure]

    def _cysts_of(self, bone: Bone) -> list[tuple[Box, BoolArray]]:
        """Cysts that touch this bone (with its lesions) more than any other bone."""
        around = self._box(Structure.SUBCHONDRAL_CYST)
        if around is None:
            return []
        labels, _ = ndimage.label(self.codes[around] == _CODES[Structure.SUBCHONDRAL_CYST])
        owned: list[tuple[Box, BoolArray]] = []
        for index, local in enumerate(ndimage.find_objects(labels), start=1):
            box = _shifted(local, around)
            grown = tuple(slice(max(0, axis.start - 1), axis.stop + 1) for axis in box)
            one = np.zeros(self.codes[grown].shape, np.bool_)
            inner = _shifted(box, grown, sign=-1)
            one[inner] = labels[local] == index
            rim = self.codes[grown][ndimage.binary_dilation(one) & ~one]
            contact = {
                b: int(np.isin(rim, [_CODES[s] for s in parts]).sum())
                for b, parts in _BONE_PARTS.items()
            }
            # One that touches no bone is none's: its bone is not labelled.
            if contact[bone] and max(contact, key=lambda other: contact[other]) is bone:
                owned.append((box, one[inner]))
        return owned

    def presence(self, structure: Structure) -> Presence:
        """Returns why a soft structure has voxels or none; fields of view are judged elsewhere."""
        if structure not in self.schemed:
            return Presence.NOT_IN_SCHEME
        return Presence.PRESENT if self.has(structure) else Presence.ABSENT


def anatomical_knee(label_map: LabelMap) -> Knee:
    """Returns a label map in its anatomical frame, cropped to what is labelled.

    The unsided labels `tibial_cartilage` and `meniscus` are split (`tools.side_split`).

    Raises:
        InputError: none of the structures that a question is about has a voxel.
    """
    codes, spacing = _structure_codes(label_map)
    canonical_shape = (codes.shape[0], codes.shape[1], codes.shape[2])
    flipped = medial_sign(label_map.side) < 0
    if flipped:
        codes = codes[::-1]
    shown = str(label_map.volume.path)
    boxes = label_boxes(codes, len(_CODES))
    cut = _cut_bones(label_map, codes, boxes, spacing)
    crop, low = _cropped(codes, boxes, spacing, shown)
    turn = None
    bones = [_bone_table(label_map, bone)[crop] for bone in (Bone.FEMUR, Bone.TIBIA)]
    cysts = crop == _CODES[Structure.SUBCHONDRAL_CYST]
    axes, lean = needed_turn(bones[0], bones[1], cysts, spacing)
    if axes is not None:
        middle = (np.asarray(low) + (np.asarray(crop.shape) - 1) / 2) * np.asarray(spacing)
        turned, start = turn_upright(crop, spacing, axes)
        turn = Turn(axes, middle, start)
        crop, low = _cropped(turned, label_boxes(turned, len(_CODES)), spacing, shown)
    frame = AnatomicalFrame(
        canonical_shape=canonical_shape,
        spacing=spacing,
        flipped=flipped,
        offset=low,
        shape=(crop.shape[0], crop.shape[1], crop.shape[2]),
        turn=turn,
        lean_rad=lean,
    )
    schemed = {s for s in Structure if label_map.in_scheme(s)}
    unsided = schemed.intersection(UNSIDED)
    if unsided:
        schemed |= _split_unsided(crop, spacing, unsided)
    return Knee(
        frame=frame,
        side=label_map.side,
        codes=crop,
        schemed=frozenset(schemed),
        lesion_sequence=label_map.scheme.lesion_source_sequence,
        cut=cut,
    )


def _structure_codes(label_map: LabelMap) -> tuple[NDArray[np.uint8], tuple[float, float, float]]:
    """Label numbers as structure codes, canonical axes, with the spacing along them."""
    volume = label_map.volume
    table = np.zeros(max(label_map.counts, default=0) + 1, np.uint8)
    for structure in Structure:
        if structure is Structure.OTHER:
            continue
        for number in label_map.scheme.numbers(structure):
            if number < table.size:
                table[number] = _CODES[structure]
    coded = Volume(table[volume.array], volume.affine, volume.path, volume.sha256)
    canonical = coded.to_canonical()
    return canonical.array, canonical.spacing


def _bone_table(label_map: LabelMap, bone: Bone) -> BoolArray:
    """Which codes are a bone's: none where the bone itself is not labelled."""
    labelled = label_map.n_voxels(Structure(bone.value))
    return _table([_CODES[s] for s in _BONE_PARTS[bone]] if labelled else [])


def _cut_bones(
    label_map: LabelMap,
    codes: NDArray[np.uint8],
    boxes: Sequence[Box | None],
    spacing: tuple[float, float, float],
) -> dict[Bone, tuple[str, ...]]:
    """Which faces of the volume cut a bone off near the joint; whole bones are left out."""
    cut: dict[Bone, tuple[str, ...]] = {}
    for bone, parts in _BONE_PARTS.items():
        mine = [box for part in parts if (box := boxes[_CODES[part] - 1]) is not None]
        if not label_map.n_voxels(Structure(bone.value)):
            continue
        heights = min(int(b[2].start) for b in mine), max(int(b[2].stop) for b in mine)
        faces = cut_faces(bone, codes, _bone_table(label_map, bone), heights, spacing)
        if faces:
            cut[bone] = faces
    return cut


def _table(codes: list[int]) -> BoolArray:
    """What a code is looked up in: one pass over an array, where a union of masks takes several."""
    table = np.zeros(len(_CODES) + 1, np.bool_)
    table[codes] = True
    return table


def _cropped(
    codes: NDArray[np.uint8],
    boxes: Sequence[Box | None],
    spacing: tuple[float, float, float],
    shown: str,
) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    low, high = _crop_bounds(codes.shape, boxes, spacing, shown)
    crop = codes[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    return np.ascontiguousarray(crop), low


def _crop_bounds(
    shape: tuple[int, ...],
    boxes: Sequence[Box | None],
    spacing: tuple[float, float, float],
    shown: str,
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    found = [box for box in boxes if box is not None]
    if not found:
        raise InputError(
            f"label map {shown!r} holds none of the structures that the questions are about",
            "check the scheme: bones, cartilages and menisci must be named in it",
        )
    low: list[int] = []
    high: list[int] = []
    for axis in range(3):
        margin = int(np.ceil(_CROP_MARGIN_MM / spacing[axis]))
        low.append(max(0, min(int(box[axis].start) for box in found) - margin))
        stop = max(int(box[axis].stop) for box in found) + margin
        high.append(min(shape[axis], stop))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _split_unsided(
    codes: NDArray[np.uint8], spacing: tuple[float, float, float], unsided: set[Structure]
) -> set[Structure]:
    """Recodes unsided structures in place, medial and lateral; returns the sided ones it made.

    Without anything that tells where the midline is, they stay unsided and nothing is returned.
    """
    masks = {structure: codes == _CODES[structure] for structure in unsided}
    midline = knee_midline(
        codes == _CODES[Structure.TIBIA],
        codes == _CODES[Structure.FEMUR],
        codes == _CODES[Structure.FEMORAL_CARTILAGE],
        masks.values(),
        spacing,
    )
    if midline is None:
        return set()
    made: set[Structure] = set()
    for structure, mask in masks.items():
        medial, lateral = UNSIDED[structure]
        is_medial = split_sides(mask, midline, spacing)
        codes[mask] = _CODES[lateral]
        codes[is_medial] = _CODES[medial]
        made |= {medial, lateral}
    return made


def _shifted(box: Box, by: Box, sign: int = 1) -> Box:
    """Moves a box by the start of another one: into its frame (-1) or out of it (1)."""
    return tuple(
        slice(axis.start + sign * other.start, axis.stop + sign * other.start)
        for axis, other in zip(box, by, strict=True)
    )
