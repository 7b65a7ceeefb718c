"""`phantom`: a cohort of procedural knees with a MOAKS table, for trying the pipeline."""

import time
from dataclasses import dataclass
from pathlib import Path

from stages.console import emit_json, say
from tools.phantom.appearance import BIAS, NOISE_SD
from tools.phantom.cohort import write_cohort
from tools.phantom.grid import make_grid
from tools.phantom.pathology import Absence, Severity

_GRIDS = {
    "coarse": ((1.4, 0.729, 0.729), (80, 192, 192), 0.0),
    "dess": ((0.7, 0.364583, 0.364583), (160, 384, 384), 8.0),
}
"""Spacing in mm, voxels and obliquity in degrees by name; `dess` is OAI's."""


@dataclass(frozen=True)
class PhantomSettings:
    """How the knees of a cohort are drawn and stored.

    Attributes:
        grid: `coarse` or `dess`.
        orientation: axis letters of the stored arrays, e.g. `PIR`.
        obliquity_deg: turn of the slab about the leg's long axis; None for the grid's own.
        severity: 0 to 1, or `balanced`.
        absent: structures that every knee lacks.
        noise_sd: of the image's noise, where cartilage is about 190; None for the usual.
        bias: strength of the bias field; None for the usual.
        near_thresholds: let extents come near the grades' borders.
    """

    grid: str = "coarse"
    orientation: str = "RAS"
    obliquity_deg: float | None = None
    severity: Severity = "balanced"
    absent: tuple[Absence, ...] = ()
    noise_sd: float | None = None
    bias: float | None = None
    near_thresholds: bool = False


def make_phantom_cohort(
    out: Path, n_knees: int, seed: int, settings: PhantomSettings, as_json: bool
) -> int:
    """Writes the cohort folder.

    Args:
        out: folder to make; must not hold anything.
        n_knees: how many knees.
        seed: same seed, same bytes.
        settings: how they are drawn.
        as_json: print where it is on stdout.

    Raises:
        InputError: the folder holds something, or a setting is out of range.
    """
    started = time.monotonic()
    spacing, counts, own = _GRIDS[settings.grid]
    turn = own if settings.obliquity_deg is None else settings.obliquity_deg
    write_cohort(
        out,
        n_knees,
        seed,
        grid=make_grid(spacing, counts, settings.orientation.upper(), turn),
        severity=settings.severity,
        clear_of_thresholds=not settings.near_thresholds,
        absent=settings.absent,
        noise_sd=NOISE_SD if settings.noise_sd is None else settings.noise_sd,
        bias=BIAS if settings.bias is None else settings.bias,
    )
    say(f"{n_knees} phantom knee(s) in {out}, {time.monotonic() - started:.1f} s")
    if as_json:
        emit_json({"cohort": str(out), "knees": n_knees, "seed": seed, "synthetic": True})
    return 0
