"""Commands before a model is called: `demo`, `phantom`, `convert`, `prepare`."""

import argparse
from pathlib import Path
from typing import Literal

from stages.cli.options import Commands, json_option, positive, store_option
from stages.cli.reads import reads_options


def _phantom(options: argparse.Namespace) -> int:
    from stages.phantom import PhantomSettings, make_phantom_cohort
    from tools.phantom.pathology import Absence

    settings = PhantomSettings(
        grid=options.grid,
        orientation=options.orientation,
        obliquity_deg=options.obliquity,
        severity=options.severity,
        absent=tuple(Absence(name) for name in options.absent),
        near_thresholds=options.near_thresholds,
        noise_sd=options.noise,
        bias=options.bias,
    )
    return make_phantom_cohort(options.out, options.knees, options.seed, settings, options.json)


def _severity(text: str) -> float | Literal["balanced"]:
    return "balanced" if text == "balanced" else float(text)


_ABSENCES = (
    "acl",
    "medial_meniscus",
    "lateral_meniscus",
    "medial_tibial_cartilage",
    "lateral_tibial_cartilage",
    "femoral_cartilage",
    "patellar_cartilage",
)
"""Values of `tools.phantom.pathology.Absence`; a test holds the two together."""


def _convert(options: argparse.Namespace) -> int:
    from stages.convert import convert

    return convert(
        options.source,
        options.out,
        series_number=options.series,
        force=options.force,
        as_json=options.json,
    )


def _prepare(options: argparse.Namespace) -> int:
    from knee.grades import parse_reads_policy
    from stages.prepare import prepare

    return prepare(
        options.cohort,
        options.store,
        moaks=options.moaks,
        variables=options.variables,
        policy=parse_reads_policy(options.reads_policy),
        calibration=options.calibration,
        workers=options.workers,
        as_json=options.json,
        resample=options.resample,
    )


def _demo(options: argparse.Namespace) -> int:
    from stages.demo import demo

    return demo(
        options.out,
        knees=options.knees,
        seed=options.seed,
        config_path=options.config,
        as_json=options.json,
    )


def _phantom_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--orientation", default="RAS", help="axis letters of the stored arrays, e.g. PIR (RAS)"
    )
    parser.add_argument(
        "--obliquity",
        type=float,
        metavar="DEGREES",
        help="turn of the slices about the leg's long axis (0; 8 for dess)",
    )
    parser.add_argument(
        "--severity",
        type=_severity,
        default="balanced",
        help="0 (healthy) to 1 (end stage), or balanced: every grade alike (balanced)",
    )
    parser.add_argument(
        "--absent",
        nargs="+",
        choices=_ABSENCES,
        default=[],
        metavar="STRUCTURE",
        help=f"structures that every knee lacks: {', '.join(_ABSENCES)}",
    )
    parser.add_argument("--noise", type=float, metavar="SD", help="SD of the image's noise (9)")
    parser.add_argument("--bias", type=float, help="strength of the bias field, 0 to 0.5 (0.12)")
    parser.add_argument(
        "--near-thresholds",
        action="store_true",
        help="let extents come near the grades' borders, as in life",
    )


def add_commands(commands: Commands) -> None:
    """`demo`, `phantom`, `convert`, `prepare`: from files to a store, before a model is called."""
    parser = commands.add_parser("demo", help="the whole pipeline on phantom knees, on any machine")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to make (demo)")
    parser.add_argument("--knees", type=positive, default=2, help="phantom knees (2)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the phantoms (7)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("configs/demo.toml"),
        help="settings (configs/demo.toml)",
    )
    json_option(parser)
    parser.set_defaults(run_command=_demo)

    parser = commands.add_parser("phantom", help="make a cohort of procedural knees")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--knees", type=positive, default=2, help="how many (2)")
    parser.add_argument("--seed", type=int, default=7, help="seed (7)")
    parser.add_argument(
        "--grid", choices=("coarse", "dess"), default="coarse", help="voxel grid (coarse)"
    )
    _phantom_options(parser)
    json_option(parser)
    parser.set_defaults(run_command=_phantom)

    parser = commands.add_parser("convert", help="a DICOM series as one NIfTI file")
    parser.add_argument("source", type=Path, help="folder of one DICOM series, or a volume file")
    parser.add_argument("out", type=Path, help="file to write, .nii.gz or .nii")
    parser.add_argument("--series", type=int, help="series number, where the folder holds several")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    json_option(parser)
    parser.set_defaults(run_command=_convert)

    parser = commands.add_parser(
        "prepare", help="volumes, boxes, findings and clinicians' grades into the store"
    )
    parser.add_argument("cohort", type=Path, help="folder with cohort.csv")
    store_option(parser)
    parser.add_argument(
        "--moaks",
        type=Path,
        nargs="+",
        default=None,
        help="MOAKS tables (default: kMRI_*MOAKS_BICL*.txt, .csv, .sas7bdat in the cohort folder)",
    )
    reads_options(parser)
    parser.add_argument("--calibration", type=Path, help="TOML file with fitted cut-offs")
    parser.add_argument("--workers", type=positive, default=2, help="volumes at once (2)")
    parser.add_argument(
        "--resample",
        action="store_true",
        help="bring label maps on another grid onto their image's (nearest neighbour)",
    )
    json_option(parser)
    parser.set_defaults(run_command=_prepare)
