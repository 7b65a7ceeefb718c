"""Commands that read a store: `status`, `sql`, `schema`, `report`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, store_option


def _status(options: argparse.Namespace) -> int:
    from stages.status import status

    return status(options.store, options.run, as_json=options.json)


def _sql(options: argparse.Namespace) -> int:
    from stages.query import QueryOptions, list_queries, query

    if options.list:
        return list_queries()
    return query(
        QueryOptions(
            store=options.store,
            text=options.query,
            named=options.named,
            output_format=options.format,
            out=options.out,
            values=tuple(options.param),
            named_values=tuple(options.params),
            tables=tuple(options.tables),
        )
    )


def _schema(options: argparse.Namespace) -> int:
    from stages.schema import schema

    return schema(options.store, tuple(options.names), as_json=options.json)


def _report(options: argparse.Namespace) -> int:
    from stages.report import report

    return report(options.store, options.run, options.cohort_root, as_json=options.json)


def add_commands(commands: Commands) -> None:
    """`status`, `sql`, `schema`, `report`: what reads a store."""
    parser = commands.add_parser("status", help="runs, states and acceptance")
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    json_option(parser)
    parser.set_defaults(run_command=_status)

    _add_sql(commands)

    parser = commands.add_parser("schema", help="tables, views and columns, and what they are")
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables and views (all)")
    parser.add_argument(
        "--store", type=Path, default=None, help="the DuckDB file (the schema of this program)"
    )
    json_option(parser)
    parser.set_defaults(run_command=_schema)

    parser = commands.add_parser("report", help="write a run's HTML report again")
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    json_option(parser)
    parser.set_defaults(run_command=_report)


def _add_sql(commands: Commands) -> None:
    parser = commands.add_parser("sql", help="read-only SQL; `schema` lists what there is")
    parser.add_argument("--store", type=Path, default=None, help="the DuckDB file")
    parser.add_argument("query", nargs="?", help="one SELECT, SHOW, DESCRIBE or the like")
    parser.add_argument("--named", default=None, metavar="NAME", help="run a query of --list")
    parser.add_argument("--list", action="store_true", help="list the named queries")
    parser.add_argument(
        "--with",
        dest="tables",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a CSV or Parquet file of yours to join, as table NAME; may be repeated",
    )
    parser.add_argument(
        "--format", choices=("table", "csv", "json", "parquet"), default="table", help="(table)"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="file for parquet, or instead of stdout"
    )
    parser.add_argument("--param", action="append", default=[], help="value for a ? in the query")
    parser.add_argument(
        "--params",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="value for $KEY in the query; may be repeated",
    )
    parser.set_defaults(run_command=_sql)
