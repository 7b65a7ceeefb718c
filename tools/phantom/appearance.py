"""From tissue codes to a DESS-like image: signal, partial volume, bias field, Rician noise."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knee.errors import InputError
from tools.phantom.grid import Grid
from tools.phantom.shape import FloatArray
from tools.phantom.tissues import signal_lookup

NOISE_SD = 9.0
"""Standard deviation of the noise in either channel, in image units (cartilage about 190)."""

_MOST_NOISE, _MOST_BIAS = 200.0, 0.5
_BLUR_VOXELS = 0.5
_TEXTURE_MM = 0.8
BIAS = 0.12
"""How far the coil's sensitivity departs from 1 along each axis."""


def _texture(rng: np.random.Generator, grid: Grid) -> FloatArray:
    """Smooth noise of unit standard deviation, about `_TEXTURE_MM` coarse."""
    spacing = np.linalg.norm(grid.affine[:3, :3], axis=0)
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    sigma = _TEXTURE_MM / spacing
    smooth = ndimage.gaussian_filter(noise, sigma, truncate=2.5)
    return (smooth / max(float(smooth.std()), 1e-6)).astype(np.float32)


def _bias_field(rng: np.random.Generator, shape: tuple[int, int, int], bias: float) -> FloatArray:
    """A product of three slow curves around 1, like the sensitivity of a knee coil."""
    field = np.ones(shape, np.float32)
    for axis, size in enumerate(shape):
        t = np.linspace(-1.0, 1.0, size, dtype=np.float32)
        slope, bend = rng.uniform(-1.0, 1.0, 2) * bias
        curve = (1.0 + slope * t - abs(bend) * t * t).astype(np.float32)
        field *= curve.reshape([-1 if a == axis else 1 for a in range(3)])
    return field


def paint_image(
    tissue: NDArray[np.uint8],
    grid: Grid,
    rng: np.random.Generator,
    noise_sd: float = NOISE_SD,
    bias: float = BIAS,
) -> NDArray[np.int16]:
    """Returns the image of a tissue volume, int16, arbitrary units from 0.

    Args:
        tissue: codes of `tissues.Tissue`.
        grid: the volume's grid, for the size of the texture.
        rng: stream of texture, bias field and noise.
        noise_sd: of either channel, image units.
        bias: strength of the bias field, 0 for none.

    Raises:
        InputError: noise or bias are out of range.
    """
    if not 0.0 <= noise_sd <= _MOST_NOISE:
        raise InputError(f"noise out of range: {noise_sd!r}", f"give 0 to {_MOST_NOISE:g}")
    if not 0.0 <= bias <= _MOST_BIAS:
        raise InputError(f"bias out of range: {bias!r}", f"give 0 to {_MOST_BIAS:g}")
    signal, spread = signal_lookup()
    image = signal[tissue]
    image += _texture(rng, grid) * spread[tissue]
    ndimage.gaussian_filter(image, _BLUR_VOXELS, output=image, truncate=3.0)
    image *= _bias_field(rng, grid.shape, bias)
    image += noise_sd * rng.standard_normal(grid.shape, dtype=np.float32)
    other = noise_sd * rng.standard_normal(grid.shape, dtype=np.float32)
    np.hypot(image, other, out=image)
    return np.rint(image).astype(np.int16)
