"""A tibia of known numbers: a flat plateau with two plates, menisci, lesions and bumps at will.

Anatomical millimetres: m medial, a anterior, s up, origin in the plateau's middle at its surface.
The bone is 76 mm wide, 46 mm deep and 30 mm high, its outline between an ellipse and a rectangle.
Each plate is an ellipse 2 mm thick on top of it, 26 mm wide and 40 mm long (lateral: 34 mm), its
inner edge 7 mm from the middle; so healthy proportions hold and every length is known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from knee.anatomy import Side, Structure
from tools.anatomical_frame import Knee, anatomical_knee
from tools.segmentation import LabelMap, label_map_from_volume, load_scheme
from tools.volumes import make_volume

Field = npt.NDArray[np.floating]
Shape = Callable[[Field, Field, Field], npt.NDArray[np.bool_]]
"""Which points (m, a, s in mm) a shape holds."""
HALF_WIDTH, HALF_DEPTH, HEIGHT = 38.0, 23.0, 30.0
THICKNESS = 2.0
BLUNTNESS = 2.5
_SCHEME = load_scheme("phantom")


@dataclass(frozen=True)
class Plateau:
    """What is painted, in this order: later ones win."""

    paint: tuple[tuple[Structure, Shape], ...] = ()
    erase: tuple[Shape, ...] = ()
    plates: bool = True

    def label_map(
        self,
        side: Side = Side.RIGHT,
        spacing: tuple[float, float, float] = (0.7, 0.7, 0.5),
    ) -> LabelMap:
        """Returns the knee in RAS; for a right knee medial is at small x."""
        half = np.array([52.0, 36.0])
        size = [int(2 * half[0] / spacing[0]), int(2 * half[1] / spacing[1]), int(46 / spacing[2])]
        m = ((np.arange(size[0]) + 0.5) * spacing[0] - half[0])[:, None, None]
        a = ((np.arange(size[1]) + 0.5) * spacing[1] - half[1])[None, :, None]
        s = ((np.arange(size[2]) + 0.5) * spacing[2] - HEIGHT)[None, None, :]
        numbers = self._numbers(m, a, s, (size[0], size[1], size[2]))
        if side is Side.RIGHT:
            numbers = numbers[::-1].copy()
        affine = np.diag([*spacing, 1.0])
        volume = make_volume(numbers, affine, Path("plateau.nii"), "sha256:plateau")
        return label_map_from_volume(volume, _SCHEME, side)

    def knee(self, side: Side = Side.RIGHT) -> Knee:
        """Returns the knee in its anatomical frame."""
        return anatomical_knee(self.label_map(side))

    def _numbers(
        self, m: Field, a: Field, s: Field, shape: tuple[int, int, int]
    ) -> npt.NDArray[np.uint8]:
        numbers = np.zeros(shape, np.uint8)
        layers: list[tuple[Structure, Shape]] = [(Structure.TIBIA, bone)]
        if self.plates:
            layers.append((Structure.MEDIAL_TIBIAL_CARTILAGE, medial_plate))
            layers.append((Structure.LATERAL_TIBIAL_CARTILAGE, lateral_plate))
        for structure, inside in (*layers, *self.paint):
            numbers[np.broadcast_to(inside(m, a, s), shape)] = _SCHEME.numbers(structure)[0]
        cartilage = np.isin(numbers, [4, 5])
        for inside in self.erase:
            numbers[cartilage & np.broadcast_to(inside(m, a, s), shape)] = 0
        return numbers


def bone(m: Field, a: Field, s: Field) -> npt.NDArray[np.bool_]:
    """The rounded block below the surface."""
    outline = np.abs(m / HALF_WIDTH) ** BLUNTNESS + np.abs(a / HALF_DEPTH) ** BLUNTNESS <= 1
    return outline & (s < 0) & (s > -HEIGHT)


def medial_plate(m: Field, a: Field, s: Field) -> npt.NDArray[np.bool_]:
    """26 x 40 mm, 2 mm thick."""
    return (((m - 20) / 13) ** 2 + (a / 20) ** 2 <= 1) & (s >= 0) & (s < THICKNESS)


def lateral_plate(m: Field, a: Field, s: Field) -> npt.NDArray[np.bool_]:
    """26 x 34 mm, its back where the medial one's is."""
    return (((m + 20) / 13) ** 2 + ((a + 3) / 17) ** 2 <= 1) & (s >= 0) & (s < THICKNESS)


def ball(m0: float, a0: float, s0: float, radius: float) -> Shape:
    """A ball, mm."""
    return lambda m, a, s: (m - m0) ** 2 + (a - a0) ** 2 + (s - s0) ** 2 <= radius**2


def post(m0: float, a0: float, radius: float) -> Shape:
    """A vertical cylinder without end, mm."""
    return lambda m, a, s: ((m - m0) ** 2 + (a - a0) ** 2 <= radius**2) & (s > -1e9)


def block(m: tuple[float, float], a: tuple[float, float], s: tuple[float, float]) -> Shape:
    """A box, mm."""
    return lambda x, y, z: (
        (x > m[0]) & (x < m[1]) & (y > a[0]) & (y < a[1]) & (z > s[0]) & (z < s[1])
    )
