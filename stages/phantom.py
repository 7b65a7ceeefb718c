"""`phantom`: a cohort of procedural knees with a MOAKS table, for trying the pipeline."""

import time
from pathlib import Path

from stages.console import emit_json, say
from tools.phantom.cohort import write_cohort
from tools.phantom.grid import DEMO_GRID, DESS_GRID

_GRIDS = {"coarse": DEMO_GRID, "dess": DESS_GRID}


def make_phantom_cohort(out: Path, n_knees: int, seed: int, grid: str, as_json: bool) -> int:
    """Writes the cohort folder.

    Args:
        out: folder to make; must not hold anything.
        n_knees: how many knees.
        seed: same seed, same bytes.
        grid: `coarse` or `dess`.
        as_json: print where it is on stdout.

    Raises:
        InputError: the folder holds something.
    """
    started = time.monotonic()
    write_cohort(out, n_knees, seed, grid=_GRIDS[grid], severity="balanced")
    say(f"{n_knees} phantom knee(s) in {out}, {time.monotonic() - started:.1f} s")
    if as_json:
        emit_json({"cohort": str(out), "knees": n_knees, "seed": seed, "synthetic": True})
    return 0
