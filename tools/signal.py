"""The image's signal in the knee's own frame, and the tissues that it is held against.

MR intensities have no unit: only ratios to a tissue of the same image say anything. Two references
are taken, both as medians, so that an unlabelled lesion or vessel moves them little:

`signal.marrow@1`     femoral and tibial bone (without labelled lesions), at least 3 mm inside the
                      bone and within 30 mm above and below the tibial plateau, each bone apart;
                      the reference is the mean of the two. On fat- or water-excited sequences it
                      is the signal of fat, dark on DESS.
`signal.cartilage@1`  all labelled cartilage: tissue full of water, bright on DESS.

A coil's sensitivity varies over the knee; half the difference between femur and tibia is taken for
the uncertainty that this leaves. No copy of the image is made: only labelled voxels are read.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, Structure
from knee.errors import InputError
from tools.anatomical_frame import BoolArray, Knee
from tools.articular_surface import CARTILAGES
from tools.frame_sampling import crop_of
from tools.subregions import Partition
from tools.volumes import Volume

MARROW_DEFINITION = "signal.marrow@1"
CARTILAGE_SIGNAL_DEFINITION = "signal.cartilage@1"
_INSIDE_MM = 3.0
"""Cortex, cartilage and their partial volume are left out of the marrow."""
_REACH_MM = 30.0
"""Marrow near the joint line: a coil's sensitivity falls off along the bones."""
_STRIDE = 2
"""Every second voxel along each axis is read of a bone: some 50,000 of them are plenty."""
_LEAST_VOXELS = 200
"""Fewer voxels than this are no reference."""
_MAD_TO_SD = 1.4826
"""Median absolute deviation of a normal distribution to its SD."""


@dataclass(frozen=True)
class NotMeasured:
    """What could not be measured, and why, in words."""

    reason: str


@dataclass(frozen=True)
class TissueSignal:
    """Signal of one tissue: median, robust SD (1.4826 x MAD), and number of voxels read."""

    median: float
    sd: float
    n_voxels: int


@dataclass(frozen=True)
class KneeSignal:
    """The image and its reference tissues; a reference is None where there is too little of it.

    Attributes:
        image: intensities in the crop's axes, a view of the volume's array.
        sequence: MRI sequence as the volume's id names it.
        marrow: fat marrow, mean of femur and tibia.
        marrow_difference: half the difference between the two bones, 0 with only one of them.
        cartilage: all labelled cartilage.
    """

    image: NDArray[Any]
    sequence: str
    marrow: TissueSignal | None
    marrow_difference: float
    cartilage: TissueSignal | None


def check_intensities(image: Volume) -> None:
    """Refuses an image that shows nothing: it would count as evidence that a reader can look at.

    Raises:
        InputError: all voxels have one value, or none of them is finite.
    """
    low, high = float(image.array.min()), float(image.array.max())
    if not math.isfinite(low + high):
        finite = image.array[np.isfinite(image.array)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        what = "has no finite value but one" if finite.size else "is NaN or infinite throughout"
    else:
        what = f"has the value {low!r} in all of its {image.array.size} voxels"
    if not low < high:
        raise InputError(
            f"image {str(image.path)!r} shows nothing: it {what}",
            "it is damaged, or not the image; convert it again, or leave the image out",
        )


def read_signal(image: Volume, knee: Knee, partition: Partition, sequence: str) -> KneeSignal:
    """Returns the image in the knee's frame with its reference tissues.

    Args:
        image: on the label map's grid; its axes may be stored in another order.
        knee: the label map in its anatomical frame.
        partition: for the height of the tibial plateau.
        sequence: MRI sequence of the image.
    """
    view = crop_of(image.to_canonical().array, knee.frame)
    level = None if partition.tibia is None else max(partition.tibia.level_s.values())
    bones = [
        signal
        for bone in (Bone.FEMUR, Bone.TIBIA)
        if (signal := _marrow(view, knee, bone, level)) is not None
    ]
    marrow = None
    if bones:
        marrow = TissueSignal(
            median=math.fsum(b.median for b in bones) / len(bones),
            sd=math.fsum(b.sd for b in bones) / len(bones),
            n_voxels=sum(b.n_voxels for b in bones),
        )
    apart = abs(bones[0].median - bones[1].median) / 2 if len(bones) == 2 else 0.0
    return KneeSignal(view, sequence, marrow, apart, _cartilage(view, knee))


def tissue_signal(values: NDArray[Any]) -> TissueSignal | None:
    """Returns median and robust SD of intensities; None when too few of them are finite."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size < _LEAST_VOXELS:
        return None
    median = float(np.median(finite))
    spread = _MAD_TO_SD * float(np.median(np.abs(finite - np.float32(median))))
    return TissueSignal(median, spread, int(finite.size))


def median_error(tissue: TissueSignal) -> float:
    """Returns the standard error of a tissue's median: 1.25 SD / sqrt(n), noise alone."""
    return 1.2533 * tissue.sd / math.sqrt(tissue.n_voxels)


def inside(mask: BoolArray, steps: tuple[int, int, int]) -> BoolArray:
    """Returns the voxels whose neighbours at `steps` along each axis, both ways, are in the mask.

    A cheap erosion with a cross; an axis with step 0 is left out.
    """
    kept = mask.copy()
    for axis, step in enumerate(steps):
        if step == 0:
            continue
        ahead = np.zeros_like(mask)
        behind = np.zeros_like(mask)
        n = mask.shape[axis]
        if n > step:
            head, tail = _along(axis, 0, n - step), _along(axis, step, n)
            ahead[head] = mask[tail]
            behind[tail] = mask[head]
        kept &= ahead & behind
    return kept


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))


def _marrow(
    view: NDArray[Any], knee: Knee, bone: Bone, level_mm: float | None
) -> TissueSignal | None:
    found = knee.within(Structure(bone.value))
    if found is None:
        return None
    box, mask = found
    step = knee.spacing[2]
    start = 0
    if level_mm is not None:
        low = max(box[2].start, int((level_mm - _REACH_MM) / step))
        high = min(box[2].stop, int((level_mm + _REACH_MM) / step) + 1)
        if low >= high:
            return None
        start = low - box[2].start
        mask = mask[:, :, start : start + high - low]
        box = (box[0], box[1], slice(low, high))
    thin = (slice(None, None, _STRIDE),) * 3
    coarse = mask[thin]
    steps = tuple(max(1, math.ceil(_INSIDE_MM / (s * _STRIDE))) for s in knee.spacing)
    kept = inside(coarse, (steps[0], steps[1], steps[2]))
    return tissue_signal(view[box][thin][kept])


def _cartilage(view: NDArray[Any], knee: Knee) -> TissueSignal | None:
    values = [
        view[box][mask]
        for structures in CARTILAGES.values()
        for structure in structures
        if (found := knee.within(structure)) is not None
        for box, mask in (found,)
    ]
    return tissue_signal(np.concatenate(values)) if values else None
