"""Findings of training phantoms, one volume a line: `python -m agents.demo_model.phantom_findings`.

Runs in the pipeline's environment (numpy, scipy). Training seeds start at `FIRST_TRAINING_SEED`;
demo and tests stay below `DEMO_SEED_LIMIT`, so no knee is ever in both.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from knee.calibration import Calibration, load_calibration
from knee.errors import InputError, exit_code_of
from knee.findings import VolumeFindings
from tools.cohort import load_cohort
from tools.describe import describe_volume
from tools.phantom.cohort import write_cohort
from tools.segmentation import load_label_map, load_scheme
from tools.volumes import load_volume

FIRST_TRAINING_SEED = 100_000
"""Cohort seeds from here on are the demo model's: 100,000 trains it, 200,000 and 300,000 validate,
400,000 and more are held out for its card (`corpus.FIRST_HELD_OUT_SEED`)."""
DEMO_SEED_LIMIT = 10_000
"""Demo and tests use cohort seeds below."""
CALIBRATION = Path(__file__).parents[2] / "configs" / "calibration-demo.toml"
"""The phantom's own cut-offs."""
_LOG = logging.getLogger(__name__)


def describe_phantoms(
    seed: int, n_knees: int, calibration: Calibration
) -> Iterator[VolumeFindings]:
    """Yields the findings of a freshly drawn cohort with severities spread evenly.

    Args:
        seed: cohort seed, at least `FIRST_TRAINING_SEED`.
        n_knees: how many knees.
        calibration: cut-offs for what MOAKS gives no number for.

    Raises:
        InputError: the seed belongs to demo and tests.
    """
    if seed < FIRST_TRAINING_SEED:
        raise InputError(
            f"seed {seed!r} is not a training seed", f"use {FIRST_TRAINING_SEED} or more"
        )
    with tempfile.TemporaryDirectory() as folder:
        write_cohort(Path(folder), n_knees, seed, severity="balanced")
        cohort = load_cohort(Path(folder))
        for volume in cohort.volumes:
            scheme = load_scheme(cohort.scheme_reference(volume))
            label_map = load_label_map(cohort.label_map_path(volume), scheme, volume.key.side)
            path = cohort.image_path(volume)
            image = None if path is None else load_volume(path)
            yield describe_volume(image, label_map, volume.volume_id, calibration=calibration)


def main() -> None:
    """Writes the findings file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file to write")
    parser.add_argument("--seed", type=int, default=FIRST_TRAINING_SEED)
    parser.add_argument("--knees", type=int, default=24)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    calibration = load_calibration(CALIBRATION)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    # A file that is there is whole.
    draft = chosen.out.with_name(f".{chosen.out.name}.part")
    with ExitStack() as stack:
        stack.callback(draft.unlink, missing_ok=True)
        lines = stack.enter_context(draft.open("w", encoding="utf-8"))
        for findings in describe_phantoms(chosen.seed, chosen.knees, calibration):
            lines.write(findings.model_dump_json() + "\n")
            lines.flush()
            _LOG.info("%s", findings.volume_id)
        draft.replace(chosen.out)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
