"""Commands that look after a store: `store verify`, `store backup`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, store_option


def _verify(options: argparse.Namespace) -> int:
    from stages.store_care import verify

    return verify(
        options.store,
        contents=not options.quick,
        prompts=options.prompts,
        config=options.config,
        as_json=options.json,
    )


def _backup(options: argparse.Namespace) -> int:
    from stages.store_care import backup

    return backup(options.store, options.file)


def add_commands(commands: Commands) -> None:
    """`store`: verify and backup."""
    family = commands.add_parser("store", help="look after a store: verify, backup")
    actions = family.add_subparsers(dest="action", metavar="ACTION", required=True)

    parser = actions.add_parser("verify", help="keys, parents, counts, hashes; 1 if one is wrong")
    store_option(parser)
    parser.add_argument("--quick", action="store_true", help="do not hash every text again")
    parser.add_argument(
        "--prompts", action="store_true", help="render every prompt again, against its hash"
    )
    parser.add_argument(
        "--config", type=Path, default=None, help="settings whose calibration prompts show"
    )
    json_option(parser)
    parser.set_defaults(run_command=_verify)

    parser = actions.add_parser("backup", help="copy a store, also while a batch runs")
    store_option(parser)
    parser.add_argument("file", type=Path, help="the new file")
    parser.set_defaults(run_command=_backup)
