"""Phantoms for `tests.bench_tools`: drawn without an image, and kept between runs.

How the extents are drawn:

    clear       as the demo's cohorts: away from every threshold
    continuous  every grade equally likely at every site, the extent uniform over all of the grade's
                interval, so that thresholds are approached without limit; every fourth knee has
                macerated parts of its menisci

Seeds 1000-1999 are for tuning and calibration, seeds from 9000 on for figures.
"""

import hashlib
import pickle
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from knee.anatomy import ExtrusionSite, OsteophyteSite, Side, Subregion
from tools.phantom.build import build_knee
from tools.phantom.grid import DEMO_GRID, DESS_GRID, Grid
from tools.phantom.pathology import (
    CartilageDefect,
    MarrowLesion,
    Pathology,
    draw_pathology,
)
from tools.phantom.raster import rasterise
from tools.phantom.sick_knee import SickKnee
from tools.phantom.tissues import label_lookup
from tools.phantom.truth import TruthRecord, measure_truth

CACHE = Path(".cache/bench_tools")
"""Where phantoms and results are kept; `make clean` takes it away."""
TRAINING_SEEDS = range(1000, 2000)
"""Seeds that measuring code may be tuned on."""
HELD_OUT_SEED = 9000
"""First seed of the held-out phantoms."""
GRIDS: dict[str, Grid] = {"dess": DESS_GRID, "coarse": DEMO_GRID}
"""OAI's DESS grid (0.7 x 0.36 x 0.36 mm), and one of twice its voxel size."""

_DRAWN_BY = ("tools/phantom", "knee/anatomy.py", "knee/moaks.py", "tests/bench_phantoms.py")
"""The code that decides what a phantom looks like."""
_BML = {1: (0.01, 0.33), 2: (0.33, 0.66), 3: (0.66, 0.92)}
_OF_LESION = {0: (0.0, 0.0), 1: (0.05, 0.33), 2: (0.33, 0.66), 3: (0.66, 0.95)}
_LOSS = {1: (0.01, 0.10), 2: (0.10, 0.75), 3: (0.75, 0.97)}
_SPUR_MM = {1: (1.0, 3.0), 2: (3.0, 5.0), 3: (5.0, 8.5)}
_EXTRUSION_MM = {0: (-1.5, 2.0), 1: (2.0, 3.0), 2: (3.0, 5.0), 3: (5.0, 8.5)}
_EFFUSION_ML = {0: (1.0, 3.0), 1: (3.0, 7.0), 2: (7.0, 13.0), 3: (13.0, 17.0)}


class Draw(StrEnum):
    """How extents are drawn; see the module docstring."""

    CLEAR = "clear"
    CONTINUOUS = "continuous"


@dataclass(frozen=True)
class BenchKnee:
    """What identifies one phantom of the bench."""

    seed: int
    side: Side
    grid: str
    draw: Draw

    @property
    def name(self) -> str:
        """Name in tables and of files."""
        return f"{self.seed}-{self.side.value}-{self.grid}-{self.draw.value}"

    def pathology(self) -> Pathology:
        """Returns what is wrong with it."""
        drawn = draw_pathology(self.seed, "balanced")
        return drawn if self.draw is Draw.CLEAR else _continuous(drawn, self.seed)

    def build(self) -> SickKnee:
        """Returns its shapes."""
        return build_knee(self.seed, self.side, self.pathology())


@dataclass(frozen=True)
class DrawnKnee:
    """One phantom's voxels and truth."""

    knee: BenchKnee
    labels: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]
    truth: tuple[TruthRecord, ...]


def plan(n_knees: int, first_seed: int, grid: str, draw: Draw) -> tuple[BenchKnee, ...]:
    """Returns phantoms of consecutive seeds; sides alternate.

    Args:
        n_knees: how many.
        first_seed: of the first one.
        grid: `dess`, `coarse`, or `both`: half of the knees on either.
        draw: how extents are drawn.
    """
    sides = (Side.RIGHT, Side.LEFT)
    return tuple(
        BenchKnee(
            seed=first_seed + index,
            side=sides[index % 2],
            grid=("dess" if index % 4 < 2 else "coarse") if grid == "both" else grid,
            draw=draw,
        )
        for index in range(n_knees)
    )


def draw_knee(knee: BenchKnee) -> DrawnKnee:
    """Returns a phantom, from the cache when the phantom's code has not changed."""
    path = CACHE / "phantoms" / source_hash(*_DRAWN_BY)[:12] / f"{knee.name}.npz"
    truth_path = path.with_suffix(".pickle")
    if truth_path.is_file():
        kept: DrawnKnee = pickle.loads(truth_path.read_bytes())
        return replace(kept, labels=np.load(path)["labels"])
    grid = GRIDS[knee.grid]
    sick = knee.build()
    labels = label_lookup()[rasterise(sick, grid)]
    drawn = DrawnKnee(knee, labels, np.asarray(grid.affine), measure_truth(sick))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, labels=labels)
    truth_path.write_bytes(pickle.dumps(replace(drawn, labels=labels[:0])))
    return drawn


def source_hash(*sources: str) -> str:
    """Returns a hash over Python files: those named, and those directly in folders named."""
    digest = hashlib.sha256()
    for source in sources:
        path = Path(source)
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _continuous(drawn: Pathology, seed: int) -> Pathology:
    """Redraws every extent over its grade's whole interval."""
    rng = np.random.default_rng([seed, 20])

    def extent(intervals: dict[int, tuple[float, float]], grade: int) -> float:
        return float(rng.uniform(*intervals[grade]))

    def grade() -> int:
        return int(rng.integers(0, 4))

    bml: dict[Subregion, MarrowLesion] = {}
    cartilage: dict[Subregion, CartilageDefect] = {}
    for subregion in Subregion:
        if (size := grade()) > 0:
            count = int(rng.integers(1, 4))
            kind = grade()
            whole = kind == 3 and rng.random() < 0.5
            share = 1.0 if whole else extent(_OF_LESION, kind)
            bml[subregion] = MarrowLesion(extent(_BML, size), count, share)
        if subregion.is_articular and (size := grade()) > 0:
            loss = extent(_LOSS, size)
            depth = int(rng.integers(0, size + 1))
            full = min(extent(_LOSS, depth), loss) if depth else 0.0
            cartilage[subregion] = CartilageDefect(loss, full, float(rng.uniform(0.3, 0.48)))
    spurs = {s: extent(_SPUR_MM, g) for s in OsteophyteSite if (g := grade()) > 0}
    return replace(
        drawn,
        bml=bml,
        cartilage=cartilage,
        osteophyte_mm=spurs,
        extrusion_mm={s: extent(_EXTRUSION_MM, grade()) for s in ExtrusionSite},
        effusion_ml=extent(_EFFUSION_ML, grade()),
        morphology=drawn.morphology if seed % 4 == 3 else {},
    )
