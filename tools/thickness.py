"""Percentiles of cartilage thickness on one subregion.

`cartilage.percentiles@1`  10th, 50th and 90th percentile of the thickness along the normal over
                           the covered interface of the subregion, each ray weighted by the surface
                           that it stands for.
"""

from typing import NamedTuple

import numpy as np

from knee.anatomy import Subregion
from tools.cartilage import Plate

PERCENTILES_DEFINITION = "cartilage.percentiles@1"
_PERCENTS = (10.0, 50.0, 90.0)


class ThicknessPercentiles(NamedTuple):
    """Thickness in mm that 10, 50 and 90 % of the covered surface stay below."""

    p10: float
    median: float
    p90: float


def thickness_percentiles(plate: Plate, subregion: Subregion) -> ThicknessPercentiles | None:
    """Returns the percentiles, None where no cartilage covers the subregion."""
    covered = plate.rays(subregion) & plate.chart.covered
    weights = plate.chart.area[covered].astype(np.float64)
    if not weights.sum() > 0:
        return None
    thickness = plate.chart.thickness[covered]
    order = np.argsort(thickness)
    reached = (np.cumsum(weights[order]) - weights[order] / 2) * 100 / weights.sum()
    low, middle, high = np.interp(_PERCENTS, reached, thickness[order])
    return ThicknessPercentiles(float(low), float(middle), float(high))
