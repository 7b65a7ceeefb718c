"""Joint fluid: its volume, from the `joint_fluid` label.

`effusion.volume@1` is the labelled volume in mL. MOAKS grades by shape (a convex suprapatellar
bursa, a distended capsule) and gives no volume, so a grade from it is `calibrated`.
"""

from knee.anatomy import Structure
from tools.anatomical_frame import Knee

EFFUSION_DEFINITION = "effusion.volume@1"
"""Id of the definition in the module docstring."""


def effusion_ml(knee: Knee) -> float | None:
    """Returns the labelled joint fluid in mL; None when the scheme has no label for it."""
    if Structure.JOINT_FLUID not in knee.schemed:
        return None
    return float(knee.mask(Structure.JOINT_FLUID).sum()) * knee.voxel_mm3 / 1000
