"""Hoffa-synovitis: how much of the fat pad is bright.

`hoffa.signal@1`  share of the fat pad's voxels that are brighter than halfway between marrow
                  (`signal.marrow@1`, fat) and cartilage (`signal.cartilage@1`, water): nearer to
                  water than to fat. MOAKS grades the hyperintensity by eye, on fluid-sensitive
                  fat-suppressed images, and gives no share: a grade from it is `calibrated`. On
                  DESS, which readers do not grade it on (RULES 9), it is weak evidence.

Its SD is half the difference between the shares at 40 and at 60 % of the way: what the choice of
the reference makes.
"""

from dataclasses import dataclass

import numpy as np

from knee.anatomy import Structure
from tools.anatomical_frame import Knee
from tools.signal import KneeSignal, NotMeasured

HOFFA_DEFINITION = "hoffa.signal@1"
_HALFWAY, _BEFORE, _BEYOND = 0.5, 0.4, 0.6
_LEAST_CONTRAST = 1.2
"""Cartilage must be this much brighter than marrow: else the image tells fat from water badly."""
_LEAST_ML = 1.0
"""A healthy fat pad has 20 mL or more; of a remnant no share is taken."""


@dataclass(frozen=True)
class HoffaSignal:
    """Share of the fat pad that is bright, its SD (both percent), and the intensity it is above."""

    share: float
    sd: float
    threshold: float


def hoffa_signal(knee: Knee, signal: KneeSignal | None) -> HoffaSignal | NotMeasured:
    """Returns the bright share of the fat pad, or why there is none."""
    if Structure.HOFFA_FAT_PAD not in knee.schemed:
        return NotMeasured("not_in_scheme: no label for hoffa_fat_pad")
    if signal is None:
        return NotMeasured(
            "no image: hyperintensity of the fat pad is a matter of signal, a mask holds none"
        )
    found = knee.within(Structure.HOFFA_FAT_PAD)
    if found is None or float(found[1].sum()) * knee.voxel_mm3 < 1000 * _LEAST_ML:
        return NotMeasured(f"absent: the fat pad's label has less than {_LEAST_ML:g} mL")
    marrow, cartilage = signal.marrow, signal.cartilage
    if marrow is None or cartilage is None:
        return NotMeasured("no reference: the signal of marrow and of cartilage is needed")
    if not 0 < _LEAST_CONTRAST * marrow.median <= cartilage.median:
        return NotMeasured("no contrast: cartilage is not brighter than marrow in this image")
    box, mask = found
    values = signal.image[box][mask]
    way = cartilage.median - marrow.median
    before, halfway, beyond = (
        100 * float(np.count_nonzero(values > marrow.median + part * way)) / values.size
        for part in (_BEFORE, _HALFWAY, _BEYOND)
    )
    return HoffaSignal(halfway, abs(before - beyond) / 2, marrow.median + _HALFWAY * way)
