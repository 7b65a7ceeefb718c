"""A knee with its pathology, as shapes: what is rasterised and what the truth is measured on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import MeniscusPart
from tools.phantom.hoffa import HoffaSynovitis
from tools.phantom.menisci import Menisci
from tools.phantom.meniscus_course import MeniscusState
from tools.phantom.model import KneeModel
from tools.phantom.plate import Plate
from tools.phantom.shape import FloatArray
from tools.phantom.soft_tissue import SoftTissue
from tools.phantom.spurs import Spur


@dataclass(frozen=True, eq=False)
class SickPlate:
    """A healthy plate and what became of it."""

    plate: Plate
    thickness: FloatArray
    """Cartilage that is left, knee-frame mm, over the plate's table."""
    lesions: NDArray[np.uint8]
    """`marrow.NO_LESION`, `BML` or `CYST` over (u, v, layer)."""


@dataclass(frozen=True, eq=False)
class SickKnee:
    """Everything that is drawn."""

    model: KneeModel
    femur: SickPlate
    tibia: SickPlate
    patella: SickPlate
    meniscus_state: MeniscusState
    menisci: Menisci
    morphology: dict[MeniscusPart, int]
    spurs: tuple[Spur, ...]
    tissue: SoftTissue
    synovitis: HoffaSynovitis | None
    acl_torn: bool

    @property
    def hoffa_percent(self) -> float:
        """Share of the fat pad with high signal, in per cent."""
        return 0.0 if self.synovitis is None else self.synovitis.percent

    def sick_plates(self) -> tuple[SickPlate, SickPlate, SickPlate]:
        """Returns femur, tibia and patella."""
        return self.femur, self.tibia, self.patella
