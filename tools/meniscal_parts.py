"""Anterior horn, body and posterior horn of a meniscus: volume, height, signal.

`meniscus.height@1`  95th percentile, over the columns seen from above, of the labelled height in
                     the column: the height of the outer rim, without single high columns.
`meniscus.signal@1`  median intensity of the part's inner voxels (neighbours within the sagittal
                     slice are labelled too) over that of marrow (`signal.marrow@1`). Muscle, which
                     readers would look at, is not labelled. A healthy meniscus is dark; degenerated
                     or torn ones are brighter. Weak: a ratio shows no pattern, and MOAKS has no
                     number for it.
"""

import math
from dataclasses import dataclass

import numpy as np

from knee.anatomy import Compartment, MeniscusPart
from tools.anatomical_frame import BoolArray, Box
from tools.knee_parts import KneeParts
from tools.landmarks import MENISCI
from tools.menisci import part_within
from tools.signal import KneeSignal, NotMeasured, inside, median_error, tissue_signal

HEIGHT_DEFINITION = "meniscus.height@1"
SIGNAL_DEFINITION = "meniscus.signal@1"
_HEIGHT_PERCENTILE = 95.0


@dataclass(frozen=True)
class SignalRatio:
    """Signal over that of marrow, with its SD (noise and the coil's sensitivity)."""

    value: float
    sd: float


@dataclass(frozen=True)
class PartNumbers:
    """What was measured of one part, or of a whole meniscus.

    Attributes:
        height_mm: None without a voxel.
        signal: over marrow, or why not.
    """

    height_mm: float | None
    signal: SignalRatio | NotMeasured


def whole_numbers(parts: KneeParts, side: Compartment, signal: KneeSignal | None) -> PartNumbers:
    """Returns height and signal of a whole meniscus."""
    found = parts.knee.within(MENISCI[side])
    if found is None:
        return PartNumbers(None, _gone())
    return _numbers(parts, found[0], found[1], signal)


def part_numbers(
    parts: KneeParts, site: MeniscusPart, signal: KneeSignal | None
) -> PartNumbers | None:
    """Returns height and signal of one part; None without a tibia, which divides the meniscus."""
    marks = parts.partition.tibia
    if marks is None:
        return None
    found = part_within(parts.knee, marks, site)
    if found is None or not found[1].any():
        return PartNumbers(None, _gone())
    return _numbers(parts, found[0], found[1], signal)


def _gone() -> NotMeasured:
    return NotMeasured("absent: no voxel is left of it")


def _numbers(parts: KneeParts, box: Box, mask: BoolArray, signal: KneeSignal | None) -> PartNumbers:
    columns = np.count_nonzero(mask, axis=2)
    used = columns[columns > 0]
    if used.size == 0:
        return PartNumbers(None, _gone())
    height = float(np.percentile(used, _HEIGHT_PERCENTILE)) * parts.knee.spacing[2]
    return PartNumbers(height, _ratio(box, mask, signal))


def _ratio(box: Box, mask: BoolArray, signal: KneeSignal | None) -> SignalRatio | NotMeasured:
    if signal is None:
        return NotMeasured("no image")
    marrow = signal.marrow
    if marrow is None or marrow.median <= 0:
        return NotMeasured("no reference: the signal of marrow is needed")
    part = tissue_signal(signal.image[box][inside(mask, (0, 1, 1))])
    if part is None:
        return NotMeasured("too little of it is left to read a signal from")
    ratio = part.median / marrow.median
    noise = math.hypot(median_error(part), ratio * median_error(marrow)) / marrow.median
    return SignalRatio(ratio, math.hypot(noise, ratio * signal.marrow_difference / marrow.median))
