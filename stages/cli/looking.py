"""Commands that draw: `look`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, positive


def _look(options: argparse.Namespace) -> int:
    from stages.look import LookOptions, look

    return look(
        LookOptions(
            source=options.source,
            volume=options.volume,
            question=options.question,
            out=options.out,
            cohort_root=options.cohort_root,
            calibration=options.calibration,
            grades=options.grades,
            as_json=options.json,
        )
    )


def add_commands(commands: Commands) -> None:
    """`look`: what one knee or one item looks like."""
    parser = commands.add_parser(
        "look", help="a sheet of one knee or one item: planes, subregions, box, findings"
    )
    parser.add_argument("source", type=Path, help="cohort folder, or the DuckDB file")
    parser.add_argument(
        "volume", help="<patient>/<visit>/<side>/<sequence>, or a beginning that fits only one"
    )
    parser.add_argument(
        "--question", type=positive, help="1-62; without it the whole knee is shown"
    )
    parser.add_argument("--out", type=Path, help="PNG to write (named after the volume)")
    parser.add_argument(
        "--cohort-root", type=Path, help="where a store's images lie now (where they were prepared)"
    )
    parser.add_argument("--calibration", type=Path, help="fitted cut-offs for a cohort's volume")
    parser.add_argument(
        "--grades",
        action="store_true",
        help="name the rule-based grades: not for blind readers",
    )
    json_option(parser)
    parser.set_defaults(run_command=_look)
