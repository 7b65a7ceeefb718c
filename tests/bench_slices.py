"""`make bench-slices`: drawing 32 slices of a DESS volume against encoding the 32 finished arrays.

    python -m tests.bench_slices [--write]

A volume of 384 x 384 x 160 voxels stored as PIR, as DESS is, with bands of tissue and noise.
Measured is processor time, the least of several rounds, both sides in the same run; the exit status
is 1 when the bar is missed.
"""

import argparse
import base64
import io
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from eval.bench_config import PictureSettings
from eval.pictures import PictureSeries, draw_series
from knee.anatomy import Side
from knee.shown_images import PlaneName
from tests.benchmark_page import write_section
from tests.small_knee import stored_as
from tools.planes import PLANES, default_window
from tools.volumes import Volume, make_volume

BAR, N_SLICES, ROUNDS = 2.0, 32, 5
SHAPE = (160, 384, 384)
SPACING = np.diag([0.7, 0.365, 0.365, 1.0])


class Measured(NamedTuple):
    """CPU seconds of one plane."""

    plane: str
    drawing: float
    encoding: float
    encoding_default: float

    @property
    def ratio(self) -> float:
        """Drawing against encoding with Pillow's own settings."""
        return self.drawing / self.encoding_default


def dess_volume() -> Volume:
    """Returns bands of tissue with noise, int16, stored as PIR."""
    rng = np.random.default_rng(0)
    x, y, z = (np.arange(n) for n in SHAPE)
    bands = 300 + 150 * np.sin(x / 19)[:, None, None] + 120 * np.sin(y / 31)[None, :, None]
    tissue = bands + 100 * np.sin(z / 23)[None, None, :] + rng.normal(0, 12, SHAPE)
    array, affine = stored_as(tissue.astype(np.int16), SPACING, "PIR")
    return make_volume(array, affine, Path("dess.nii.gz"), "sha256:0")


def cpu_seconds(work: Callable[[], object]) -> float:
    """Returns the least processor time of some rounds."""
    found: list[float] = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def measure(volume: Volume, plane: PlaneName) -> Measured:
    """Returns what drawing and encoding 32 slices of a plane take."""
    settings = PictureSettings(n_slices=N_SLICES)
    window = default_window(volume, settings.percentiles)

    def draw() -> PictureSeries:
        series = draw_series(volume, Side.RIGHT, (plane,), window, settings)
        for image in series.images:
            _ = f"data:image/png;base64,{base64.b64encode(image.png).decode('ascii')}"
        return series

    finished = [np.asarray(Image.open(io.BytesIO(image.png))) for image in draw().images]
    assert len(finished) == N_SLICES

    def encode(level: int) -> None:
        for array in finished:
            Image.fromarray(array).save(io.BytesIO(), format="PNG", compress_level=level)

    return Measured(
        plane, cpu_seconds(draw), cpu_seconds(lambda: encode(4)), cpu_seconds(lambda: encode(6))
    )


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args()
    volume = dess_volume()
    rows = [measure(volume, plane) for plane in PLANES]
    lines = [
        f"{N_SLICES} slices of a volume of 384 × 384 × 160 voxels (int16, stored as PIR) to PNG "
        "data URLs with `eval.pictures.draw_series`, against Pillow encoding the same finished "
        f"arrays. Processor seconds, least of {ROUNDS} rounds, one process; bar: at most {BAR:g} × "
        "Pillow at its own compression level.",
        "",
        "| plane | drawing, s | encoding at level 4, s | at Pillow's own 6, s | ratio to level 4 | "
        "ratio to level 6 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.plane} | {r.drawing:.3f} | {r.encoding:.3f} | {r.encoding_default:.3f} | "
        f"{r.drawing / r.encoding:.2f} | {r.ratio:.2f} |"
        for r in rows
    ]
    lines += ["", f"Python {platform.python_version()}, Pillow {PIL.__version__}."]
    text = "\n".join(lines)
    print(text)  # noqa: T201
    if options.write:
        write_section("bench-slices", "Slices for ReasonKnee-Bench", text)
    return 0 if max(row.ratio for row in rows) <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
