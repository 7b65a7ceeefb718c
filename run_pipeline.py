"""The command line: parses options and calls a stage. Nothing else happens here.

Exit codes: 0 done (rejected drafts are a normal outcome), 1 finished but some volumes or items
failed, 2 bad input, 3 stopped early and resumable. stdout is data, stderr is talk and progress.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from knee.errors import KneeError

Command = Callable[[argparse.Namespace], int]
STOPPED_EARLY = 3
EPILOG = """\
Start here:
  run_pipeline.py demo --out demo                        the whole pipeline on phantoms
  run_pipeline.py prepare COHORT --store knees.duckdb    boxes and findings of your volumes
  run_pipeline.py generate --store knees.duckdb --config configs/gpu.toml
  run_pipeline.py sql --store knees.duckdb "SELECT * FROM v_quintuples LIMIT 5"
"""


class _Commands(Protocol):
    """What `add_subparsers` returns, as far as it is used here."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:  # noqa: A002
        """Adds one command."""
        ...


def _phantom(options: argparse.Namespace) -> int:
    from stages.phantom import make_phantom_cohort

    return make_phantom_cohort(options.out, options.knees, options.seed, options.grid, options.json)


def _prepare(options: argparse.Namespace) -> int:
    from stages.prepare import prepare

    return prepare(
        options.cohort,
        options.store,
        moaks=options.moaks,
        calibration=options.calibration,
        workers=options.workers,
        as_json=options.json,
    )


def _serve(options: argparse.Namespace) -> int:
    from stages.serve import serve

    return serve(options.config, options.log)


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
            serve=options.serve,
            dry_run=options.dry_run,
            cohort_root=options.cohort_root,
            as_json=options.json,
        )
    )


def _status(options: argparse.Namespace) -> int:
    from stages.status import status

    return status(options.store, options.run, as_json=options.json)


def _sql(options: argparse.Namespace) -> int:
    from stages.query import query

    return query(options.store, options.query, options.format, options.out, options.param)


def _export(options: argparse.Namespace) -> int:
    from stages.export import export

    return export(
        options.store,
        options.out,
        runs=options.run,
        where=options.where,
        synthetic=options.synthetic,
        as_json=options.json,
    )


def _report(options: argparse.Namespace) -> int:
    from stages.report import report

    return report(options.store, options.run, options.cohort_root, as_json=options.json)


def _graph(_options: argparse.Namespace) -> int:
    from stages.graph import graph

    return graph()


def _prompts(options: argparse.Namespace) -> int:
    from stages.prompts import list_or_show

    return list_or_show(options.prompt, as_json=options.json)


def _demo(options: argparse.Namespace) -> int:
    from stages.demo import demo

    return demo(
        options.out,
        knees=options.knees,
        seed=options.seed,
        config_path=options.config,
        as_json=options.json,
    )


def _store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, required=True, help="the DuckDB file")


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the answer as JSON on stdout")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def _add_making_commands(commands: _Commands) -> None:
    """`phantom`, `prepare`, `demo`: what fills a store before a model is called."""
    parser = commands.add_parser("demo", help="the whole pipeline on phantom knees, on any machine")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to make (demo)")
    parser.add_argument("--knees", type=_positive, default=2, help="phantom knees (2)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the phantoms (7)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("configs/demo.toml"),
        help="settings (configs/demo.toml)",
    )
    _json_option(parser)
    parser.set_defaults(run_command=_demo)

    parser = commands.add_parser("phantom", help="make a cohort of procedural knees")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--knees", type=_positive, default=2, help="how many (2)")
    parser.add_argument("--seed", type=int, default=7, help="seed (7)")
    parser.add_argument(
        "--grid", choices=("coarse", "dess"), default="coarse", help="voxel grid (coarse)"
    )
    _json_option(parser)
    parser.set_defaults(run_command=_phantom)

    parser = commands.add_parser(
        "prepare", help="volumes, boxes, findings and clinicians' grades into the store"
    )
    parser.add_argument("cohort", type=Path, help="folder with cohort.csv")
    _store_option(parser)
    parser.add_argument(
        "--moaks",
        type=Path,
        nargs="+",
        default=None,
        help="MOAKS tables (default: kMRI_*MOAKS*.txt in the cohort folder)",
    )
    parser.add_argument("--calibration", type=Path, help="TOML file with fitted cut-offs")
    parser.add_argument("--workers", type=_positive, default=2, help="volumes at once (2)")
    _json_option(parser)
    parser.set_defaults(run_command=_prepare)


def _add_drafting_commands(commands: _Commands) -> None:
    """`serve`, `generate`, `prompts`, `graph`: what has to do with models."""
    parser = commands.add_parser("serve", help="start vLLM with the right flags; Ctrl-C stops it")
    parser.add_argument("--config", type=Path, required=True, help="settings file")
    parser.add_argument("--log", type=Path, default=None, help="log file (.cache/serve/<name>.log)")
    parser.set_defaults(run_command=_serve)

    parser = commands.add_parser("generate", help="draft, check and compare; resumable")
    _store_option(parser)
    parser.add_argument("--config", type=Path, required=True, help="settings file")
    parser.add_argument("--questions", default="1-69", help="ids and ranges, e.g. 1-29,44 (all)")
    parser.add_argument("--visit", default=None, help="only this visit, e.g. V00")
    parser.add_argument("--limit", type=_positive, default=None, help="items at most")
    parser.add_argument(
        "--control",
        choices=("shuffled-findings",),
        default=None,
        help="negative control: drafts from another knee's findings",
    )
    parser.add_argument("--serve", action="store_true", help="bring the server up and down as well")
    parser.add_argument(
        "--dry-run", action="store_true", help="count, render one prompt, call nobody"
    )
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    _json_option(parser)
    parser.set_defaults(run_command=_generate)

    parser = commands.add_parser(
        "prompts", help="list the prompts, or show one (PROMPT or PROMPT@2)"
    )
    parser.add_argument("prompt", nargs="?", default=None, help="prompt id, optionally @version")
    _json_option(parser)
    parser.set_defaults(run_command=_prompts)

    parser = commands.add_parser("graph", help="print the graph of one item as Mermaid")
    parser.set_defaults(run_command=_graph)


def _add_reading_commands(commands: _Commands) -> None:
    """`status`, `sql`, `export`, `report`: what reads a store."""
    parser = commands.add_parser("status", help="runs, states and acceptance")
    _store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    _json_option(parser)
    parser.set_defaults(run_command=_status)

    parser = commands.add_parser("sql", help="read-only SQL; `SHOW TABLES` lists what there is")
    _store_option(parser)
    parser.add_argument("query", help="one SELECT, SHOW, DESCRIBE or the like")
    parser.add_argument(
        "--format", choices=("table", "csv", "json", "parquet"), default="table", help="(table)"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="file for parquet, or instead of stdout"
    )
    parser.add_argument("--param", action="append", default=[], help="value for a ? in the query")
    parser.set_defaults(run_command=_sql)

    parser = commands.add_parser("export", help="accepted quintuples for training")
    _store_option(parser)
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--format", choices=("parquet",), default="parquet", help="(parquet)")
    parser.add_argument("--run", action="append", default=None, help="run id; may be repeated")
    parser.add_argument("--where", default=None, help="SQL condition over v_quintuples")
    parser.add_argument("--synthetic", action="store_true", help="allow rows made from phantoms")
    _json_option(parser)
    parser.set_defaults(run_command=_export)

    parser = commands.add_parser("report", help="write a run's HTML report again")
    _store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    _json_option(parser)
    parser.set_defaults(run_command=_report)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py",
        description="Grounded reasoning data for knee MRI.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_making_commands(commands)
    _add_drafting_commands(commands)
    _add_reading_commands(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = build_parser().parse_args(arguments)
    command: Command = options.run_command
    try:
        return command(options)
    except KneeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED_EARLY
    except BrokenPipeError:
        # The reader of stdout went away (`| head`): nothing is wrong.
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
