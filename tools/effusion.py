"""Joint fluid: its volume and its depth, from the `joint_fluid` label.

`effusion.volume@1`  the labelled volume in mL.
`effusion.depth@1`   the anterior-posterior depth of the fluid in the retropatellar and
                     suprapatellar space (the box of the effusion question): labelled voxels
                     of each front-to-back line, and of the lines the depth that the deepest 50 mm²
                     of them reach. What a reader sees on axial slices, without single lines.

MOAKS grades by shape (a convex suprapatellar bursa, a distended capsule) and gives neither volume
nor depth, so a grade from them is `calibrated`.
"""

import numpy as np

from knee.anatomy import Structure
from tools.anatomical_frame import Knee
from tools.derived_regions import joint_cavity_box
from tools.knee_parts import KneeParts

EFFUSION_DEFINITION = "effusion.volume@1"
"""Id of the volume's definition."""
DEPTH_DEFINITION = "effusion.depth@1"
"""Id of the depth's definition."""
_DEEPEST_MM2 = 50.0


def effusion_ml(knee: Knee) -> float | None:
    """Returns the labelled joint fluid in mL; None when the scheme has no label for it."""
    if Structure.JOINT_FLUID not in knee.schemed:
        return None
    return knee.n_voxels(Structure.JOINT_FLUID) * knee.voxel_mm3 / 1000


def effusion_depth_mm(parts: KneeParts) -> float | None:
    """Returns the fluid's depth in mm, 0 when there is none in that space.

    None when the scheme has no label for it, or the space cannot be placed (no femur).
    """
    knee = parts.knee
    cavity = joint_cavity_box(parts)
    if Structure.JOINT_FLUID not in knee.schemed or cavity is None:
        return None
    found = knee.within(Structure.JOINT_FLUID)
    if found is None:
        return 0.0
    box, mask = found
    cut: list[slice] = []
    for axis, (own, step) in enumerate(zip(box, knee.spacing, strict=True)):
        low = max(own.start, int(np.ceil(cavity[0][axis] / step)))
        high = min(own.stop, int(cavity[1][axis] / step) + 1)
        cut.append(slice(low - own.start, max(low, high) - own.start))
    depths = np.sort(np.count_nonzero(mask[tuple(cut)], axis=1), axis=None)[::-1]
    # The line at which the deepest ones have covered the area.
    rank = int(_DEEPEST_MM2 / (knee.spacing[0] * knee.spacing[2]))
    return float(depths[rank]) * knee.spacing[1] if rank < depths.size else 0.0
