"""Commands that show one thing: `look`, `explain`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, positive, store_option


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


def _explain(options: argparse.Namespace) -> int:
    from stages.explain import ExplainOptions, explain

    return explain(
        ExplainOptions(
            item=tuple(options.item),
            store=options.store,
            run=options.run,
            out=options.out,
            config=options.config,
            cohort_root=options.cohort_root,
            as_json=options.json,
        )
    )


def add_commands(commands: Commands) -> None:
    """`look`: what one knee or one item looks like; `explain`: how an item came to its verdict."""
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

    parser = commands.add_parser(
        "explain",
        help="one item: image, findings, prompts, attempts, verdicts; not for blind readers",
    )
    parser.add_argument(
        "item",
        nargs="+",
        metavar="ITEM",
        help="<volume_id>#<question>, or volume and question; a volume's beginning will do",
    )
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest run)")
    parser.add_argument("--out", type=Path, default=None, help="HTML page to write")
    parser.add_argument(
        "--config",
        type=Path,
        default=None,
        help="settings whose calibration the run's prompts were rendered with",
    )
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    json_option(parser)
    parser.set_defaults(run_command=_explain)
