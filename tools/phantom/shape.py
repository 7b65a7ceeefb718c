"""Size, proportions and pose of one knee, drawn from its seed.

Everything anatomical is modelled in the *knee frame*: a right knee in its own millimetres, x to
lateral, y to the front, z up, origin between the tibial plateaus. `Pose` carries knee-frame points
to RAS: scale, mirror (left knees), small rotation, shift. Proportions follow one real 3D DESS
label map of an adult right knee (pymskt's example) to a few millimetres.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Side, medial_sign

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class KneeShape:
    """Proportions in knee-frame mm (before `Pose.scale`)."""

    condyle_x: float = 21.5
    """Distance of either condyle's crest from the midline."""
    femur_half_width: float = 37.0
    medial_gain: float = 0.0
    """Added to the medial condyle's posterior radius."""
    lateral_gain: float = 0.0
    groove_depth: float = 5.5
    notch_half_width: float = 9.5
    notch_roof_radius: float = 9.0
    tibia_half_width: float = 36.5
    tibia_half_depth: float = 23.0
    spine_height: float = 7.0
    patella_x: float = 2.0
    patella_z: float = 36.0
    patella_half_width: float = 20.5
    patella_half_height: float = 19.0
    femoral_cartilage: float = 2.2
    tibial_cartilage: float = 2.4
    patellar_cartilage: float = 3.0


@dataclass(frozen=True, eq=False)
class Pose:
    """Similarity transform from the knee frame to RAS mm: `ras = matrix @ knee + shift`."""

    matrix: NDArray[np.float64]
    """3 x 3: rotation, mirror for a left knee, and scale."""
    shift: NDArray[np.float64]
    scale: float
    """Knee-frame mm times this are real mm."""

    def to_knee(self, points_ras_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns RAS points of shape (n, 3) in the knee frame."""
        return (points_ras_mm - self.shift) @ np.linalg.inv(self.matrix).T

    def to_ras(self, points_knee: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns knee-frame points of shape (n, 3) in RAS mm."""
        return points_knee @ self.matrix.T + self.shift


def draw_shape(rng: np.random.Generator) -> KneeShape:
    """Returns proportions that vary by a few per cent around the mean knee."""

    def around(value: float, spread: float) -> float:
        return float(value + spread * rng.uniform(-1.0, 1.0))

    mean = KneeShape()
    half_width = around(mean.femur_half_width, 1.0)
    return KneeShape(
        condyle_x=around(mean.condyle_x, 0.6),
        femur_half_width=half_width,
        medial_gain=around(0.4, 0.5),
        lateral_gain=around(-0.3, 0.5),
        groove_depth=around(mean.groove_depth, 0.9),
        notch_half_width=around(mean.notch_half_width, 0.7),
        notch_roof_radius=around(mean.notch_roof_radius, 0.8),
        tibia_half_width=half_width - 0.5 + around(0.0, 0.4),
        tibia_half_depth=around(mean.tibia_half_depth, 0.7),
        spine_height=around(mean.spine_height, 0.8),
        patella_x=around(mean.patella_x, 1.5),
        patella_z=around(mean.patella_z, 1.5),
        patella_half_width=around(mean.patella_half_width, 1.0),
        patella_half_height=around(mean.patella_half_height, 1.0),
        femoral_cartilage=around(mean.femoral_cartilage, 0.2),
        tibial_cartilage=around(mean.tibial_cartilage, 0.25),
        patellar_cartilage=around(mean.patellar_cartilage, 0.35),
    )


def draw_pose(rng: np.random.Generator, side: Side) -> Pose:
    """Returns a pose: scale within 8 %, rotations within 4°, shift within 4 mm."""
    scale = float(rng.uniform(0.92, 1.08))
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-4.0, 4.0, 3))):
        first, second = [a for a in range(3) if a != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    # The mirror comes last, so that the left knee of a seed is the right one's mirror image.
    mirror = np.diag([-float(medial_sign(side)), 1.0, 1.0])
    shift = mirror @ rng.uniform(-4.0, 4.0, 3)
    return Pose(mirror @ turn * scale, shift, scale)
