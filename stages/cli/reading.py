"""Commands that read a store: `status`, `sql`, `report`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, store_option


def _status(options: argparse.Namespace) -> int:
    from stages.status import status

    return status(options.store, options.run, as_json=options.json)


def _sql(options: argparse.Namespace) -> int:
    from stages.query import query

    return query(options.store, options.query, options.format, options.out, options.param)


def _report(options: argparse.Namespace) -> int:
    from stages.report import report

    return report(options.store, options.run, options.cohort_root, as_json=options.json)


def add_commands(commands: Commands) -> None:
    """`status`, `sql`, `report`: what reads a store."""
    parser = commands.add_parser("status", help="runs, states and acceptance")
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    json_option(parser)
    parser.set_defaults(run_command=_status)

    parser = commands.add_parser("sql", help="read-only SQL; `SHOW TABLES` lists what there is")
    store_option(parser)
    parser.add_argument("query", help="one SELECT, SHOW, DESCRIBE or the like")
    parser.add_argument(
        "--format", choices=("table", "csv", "json", "parquet"), default="table", help="(table)"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="file for parquet, or instead of stdout"
    )
    parser.add_argument("--param", action="append", default=[], help="value for a ? in the query")
    parser.set_defaults(run_command=_sql)

    parser = commands.add_parser("report", help="write a run's HTML report again")
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    json_option(parser)
    parser.set_defaults(run_command=_report)
