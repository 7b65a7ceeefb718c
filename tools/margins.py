"""Articular margins without osteophytes: 2D outlines opened with a disc.

What a disc of some 14 mm does not fit into juts out of the margin: an osteophyte. The tibia's
outline seen from above serves both extrusion and the tibial osteophyte sites.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from knee.anatomy import Bone
from tools.anatomical_frame import BoolArray, FloatArray, Knee

MARGIN_RADIUS_MM = 14.0
"""Radius of the disc for the tibia, whose margin bends with radii of 18 mm and more."""
PATELLA_RADIUS_MM = 12.0
"""Radius of the disc for the patella seen from behind, a smaller bone."""
_TIBIA_DEPTH_MM = 8.0
"""Depth below the plates in which bone counts for the tibial margin."""


@dataclass(frozen=True)
class OpenedOutline:
    """A 2D outline and what its opening left; arrays of one shape.

    Attributes:
        opened: the outline without what juts out.
        beyond: mm from the opened outline, for what juts out; 0 elsewhere.
        edge: the outermost cells of the opened outline.
    """

    opened: BoolArray
    beyond: FloatArray
    edge: BoolArray


def tibial_outline(knee: Knee, level_mm: float) -> OpenedOutline:
    """Returns the tibia's margin: bone from the plates' height to 8 mm below, seen from above."""
    step = knee.spacing[2]
    low = max(0, int((level_mm - _TIBIA_DEPTH_MM) / step))
    top = max(low + 1, int(level_mm / step) + 1)
    outline = knee.bone(Bone.TIBIA)[:, :, low:top].any(axis=2)
    return open_outline(outline, (knee.spacing[0], knee.spacing[1]), MARGIN_RADIUS_MM)


def open_outline(mask: BoolArray, step: tuple[float, float], radius: float) -> OpenedOutline:
    """Returns a 2D outline opened with a disc of `radius` mm; `step` is the cell size in mm."""
    pad = tuple(int(np.ceil(radius / s)) + 1 for s in step)
    padded = np.pad(mask, ((pad[0], pad[0]), (pad[1], pad[1])), mode="edge")
    # Half a step is taken off: the distance to the nearest cell outside is to its centre.
    inner = ndimage.distance_transform_edt(padded, sampling=step) > radius - min(step) / 2
    if not inner.any():
        return OpenedOutline(mask, np.zeros(mask.shape, np.float32), np.zeros_like(mask))
    away = ndimage.distance_transform_edt(~inner, sampling=step)
    opened = padded & (away <= radius + min(step) / 2)
    distance = ndimage.distance_transform_edt(~opened, sampling=step)
    beyond = np.where(padded & ~opened, distance, 0).astype(np.float32)
    edge = opened & ~ndimage.binary_erosion(opened)
    cut = (slice(pad[0], -pad[0]), slice(pad[1], -pad[1]))
    return OpenedOutline(opened[cut], beyond[cut], edge[cut])
