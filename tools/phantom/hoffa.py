"""Hoffa's fat pad: its outline and the bright part of it (Hoffa-synovitis, image only)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.phantom.femur import polar
from tools.phantom.model import KneeModel
from tools.phantom.plate import sample, smoothstep
from tools.phantom.shape import FloatArray
from tools.phantom.soft_tissue import SoftTissue
from tools.phantom.tibia import outline_depth

_NOTCH_Y = 8.0
"""How far back the intercondylar part reaches; on the SPL knee even further."""


def fat_pad(
    model: KneeModel, tissue: SoftTissue, x: FloatArray, y: FloatArray, z: FloatArray
) -> NDArray[np.bool_]:
    """Returns which points lie in the fat pad's outline (other structures are cut out later)."""
    top, bottom = tissue.patellar_tendon.course[0], tissue.patellar_tendon.course[-1]
    t = np.clip((top[2] - z) / (top[2] - bottom[2]), 0.0, 1.0)
    low, high = -22.0, model.shape.patella_z - 10.0
    # Rounded above and below, rounded to the sides.
    height = np.clip((z - low) / 10.0, 0.0, 1.0) * np.clip((high + 3.0 - z) / 6.0, 0.0, 1.0)
    width = (28.0 - 7.0 * t) * np.sqrt(height)
    across = np.clip(1.0 - (x / np.maximum(width, 1.0)) ** 2, 0.0, 1.0)
    front = top[1] + t * (bottom[1] - top[1])
    inner = 21.0 - 7.0 * smoothstep(z, 4.0, 9.0)
    # Between the condyles it reaches back to the anterior cruciate ligament.
    notch = (np.abs(x) < model.shape.notch_half_width) & (z > 0.0) & (z < 14.0)
    inner = np.where(notch, _NOTCH_Y, inner)
    reach = inner + (front - inner) * np.sqrt(across)
    return (across > 0.0) & (z > low) & (z < high + 3.0) & (y > inner) & (y < reach)


class HoffaSynovitis(NamedTuple):
    """The bright part: where a field of slow waves lies below a level."""

    waves: FloatArray
    """Wave vectors, shape (n, 3), rad per knee-frame mm."""
    phases: FloatArray
    level: float
    percent: float
    """Share of the fat pad that is bright, summed on a lattice."""

    def bright(self, x: FloatArray, y: FloatArray, z: FloatArray) -> NDArray[np.bool_]:
        """Returns which points are bright."""
        return self.field(x, y, z) < self.level

    def field(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Returns the sum of the waves at points."""
        total = np.zeros(x.shape, np.float32)
        for wave, phase in zip(self.waves, self.phases, strict=True):
            total += np.sin(x * wave[0] + y * wave[1] + z * wave[2] + phase)
        return total


def fat_pad_points(
    model: KneeModel, tissue: SoftTissue, step: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns x, y and z of lattice points in the fat pad, outside femur and tibia."""
    x, y, z = (
        a.astype(np.float32).ravel()
        for a in np.meshgrid(
            np.arange(-30.0, 30.1, step),
            np.arange(7.0, 66.1, step),
            np.arange(-24.0, 32.1, step),
            indexing="ij",
        )
    )
    inside = fat_pad(model, tissue, x, y, z)
    x, y, z = x[inside], y[inside], z[inside]
    angle, radius = polar(y, z)
    row, column = model.femur.index_of(x, angle)
    free = radius > sample(model.femur.surface + model.femur.cartilage, row, column)
    row, column = model.tibia.index_of(x, y)
    above = z > sample(model.tibia.surface + model.tibia.cartilage, row, column)
    free &= above | (outline_depth(model.shape, x, y, z) < 0.0)
    return x[free], y[free], z[free]


def build_synovitis(
    model: KneeModel, tissue: SoftTissue, share: float, rng: np.random.Generator
) -> HoffaSynovitis | None:
    """Returns the bright part with a share of the fat pad, None for none.

    Args:
        model: the healthy knee.
        tissue: its soft tissue, for the tendon in front.
        share: wanted share, 0–1.
        rng: stream of the pattern.
    """
    if share <= 0.0:
        return None
    directions = rng.normal(size=(6, 3))
    lengths = rng.uniform(9.0, 20.0, (6, 1))
    waves = 2.0 * np.pi * directions / np.linalg.norm(directions, axis=1, keepdims=True) / lengths
    phases = rng.uniform(0.0, 2.0 * np.pi, 6)
    pattern = HoffaSynovitis(waves.astype(np.float32), phases.astype(np.float32), 0.0, 0.0)
    level = float(np.quantile(pattern.field(*fat_pad_points(model, tissue, 1.0)), share))
    drawn = pattern._replace(level=level)
    percent = 100.0 * float(drawn.bright(*fat_pad_points(model, tissue, 0.7)).mean())
    return drawn._replace(percent=percent)
