"""Commands that draft and check: `generate`, `recheck`, `graph`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, positive, store_option


def _generate(options: argparse.Namespace) -> int:
    from stages.generate import GenerateOptions, generate

    return generate(
        GenerateOptions(
            store=options.store,
            config=options.config,
            questions=options.questions,
            visit=options.visit,
            limit=options.limit,
            control=options.control,
            quota=tuple(options.quota),
            serve=options.serve,
            dry_run=options.dry_run,
            cohort_root=options.cohort_root,
            as_json=options.json,
        )
    )


def _recheck(options: argparse.Namespace) -> int:
    from stages.recheck import recheck

    return recheck(
        options.store, options.run, options.config, dry_run=options.dry_run, as_json=options.json
    )


def _graph(_options: argparse.Namespace) -> int:
    from stages.graph import graph

    return graph()


def add_commands(commands: Commands) -> None:
    """`generate`, `recheck`, `graph`: what drafts and checks."""
    parser = commands.add_parser("generate", help="draft, check, compare and judge; resumable")
    store_option(parser)
    parser.add_argument("--config", type=Path, required=True, help="settings file")
    parser.add_argument("--questions", help="ids and ranges, e.g. 1-29,44 (the settings file's)")
    parser.add_argument("--visit", default=None, help="only this visit, e.g. V00")
    parser.add_argument("--limit", type=positive, default=None, help="items at most")
    parser.add_argument(
        "--quota",
        action="append",
        default=[],
        metavar="QUOTA",
        help='items to draft by clinician grade, e.g. "grade>=2:500,bml grade=3:40"; may be '
        "repeated; `none` lifts a run's quotas (docs/generating.md)",
    )
    parser.add_argument(
        "--control",
        choices=("shuffled-findings", "no-findings", "always-majority"),
        default=None,
        help="negative control: another knee's findings, none, or always the commonest grade",
    )
    parser.add_argument(
        "--serve", action="store_true", help="bring every server of the settings up and down"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="count, estimate tokens, render three prompts; call nobody, write nothing",
    )
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    json_option(parser)
    parser.set_defaults(run_command=_generate)

    parser = commands.add_parser(
        "recheck", help="present checks, or another judge, on stored attempts; generates nothing"
    )
    store_option(parser)
    parser.add_argument("--run", required=True, help="run id")
    parser.add_argument(
        "--config",
        type=Path,
        default=None,
        help="settings file: its [judge], calibration and warn_only are used",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would change, keep none")
    json_option(parser)
    parser.set_defaults(run_command=_recheck)

    parser = commands.add_parser("graph", help="print the graph of one item as Mermaid")
    parser.set_defaults(run_command=_graph)
