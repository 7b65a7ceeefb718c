"""Commands about clinicians' reads: `reads check`, `reads conflicts`, `reads quality`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, positive, store_option

POLICY_HELP = (
    "several reads of one knee-visit: agree_or_conflict, most_complete, or "
    "project_priority:22,30,63*,* with the most trusted project first (agree_or_conflict)"
)


def reads_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--reads-policy` and `--variables`: how MOAKS tables are read."""
    parser.add_argument("--reads-policy", default="agree_or_conflict", help=POLICY_HELP)
    parser.add_argument(
        "--variables",
        type=Path,
        default=None,
        help="TOML file with your names of unconfirmed columns (form: tools/moaks_variables.toml)",
    )


def _check(options: argparse.Namespace) -> int:
    from stages.reads import check

    return check(options.tables, options.variables, as_json=options.json)


def _conflicts(options: argparse.Namespace) -> int:
    from knee.grades import parse_reads_policy
    from stages.reads import conflicts

    return conflicts(
        options.tables,
        options.store,
        variables=options.variables,
        policy=parse_reads_policy(options.reads_policy),
        out=options.out,
        as_json=options.json,
    )


def _quality(options: argparse.Namespace) -> int:
    from stages.quality import quality

    return quality(
        options.store,
        options.cohort_root,
        out=options.out,
        pictures=options.pictures,
        as_json=options.json,
    )


def add_commands(commands: Commands) -> None:
    """`reads`: what clinicians read, before anything is drafted."""
    family = commands.add_parser("reads", help="clinicians' reads: check, conflicts, quality")
    actions = family.add_subparsers(dest="action", metavar="ACTION", required=True)

    parser = actions.add_parser("check", help="what MOAKS tables hold, and what does not match")
    parser.add_argument("tables", type=Path, nargs="+", help="MOAKS tables")
    parser.add_argument("--variables", type=Path, default=None, help="TOML file of column names")
    json_option(parser)
    parser.set_defaults(run_command=_check)

    parser = actions.add_parser("conflicts", help="where reads of one component disagree; kappas")
    parser.add_argument("tables", type=Path, nargs="*", help="MOAKS tables (or --store)")
    parser.add_argument("--store", type=Path, default=None, help="the DuckDB file (or tables)")
    reads_options(parser)
    parser.add_argument("--out", type=Path, default=None, help="folder for two CSV files")
    json_option(parser)
    parser.set_defaults(run_command=_conflicts)

    parser = actions.add_parser(
        "quality",
        help="label quality as HTML and CSV: distributions, missing, conflicts, discordant",
    )
    store_option(parser)
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    parser.add_argument("--out", type=Path, default=None, help="folder (<store>.reports/quality)")
    parser.add_argument("--pictures", type=positive, default=24, help="discordant items drawn (24)")
    json_option(parser)
    parser.set_defaults(run_command=_quality)
