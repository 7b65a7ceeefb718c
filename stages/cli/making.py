"""Commands that fill a store before a model is called: `demo`, `phantom`, `prepare`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, positive, store_option
from stages.cli.reads import reads_options


def _phantom(options: argparse.Namespace) -> int:
    from stages.phantom import make_phantom_cohort

    return make_phantom_cohort(options.out, options.knees, options.seed, options.grid, options.json)


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


def add_commands(commands: Commands) -> None:
    """`phantom`, `prepare`, `demo`: what fills a store before a model is called."""
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
    json_option(parser)
    parser.set_defaults(run_command=_phantom)

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
    json_option(parser)
    parser.set_defaults(run_command=_prepare)
