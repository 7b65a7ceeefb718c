"""`serve`: model servers from a settings file; check, status, stop, measure."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, positive

_CONFIG_HELP = "settings file"


def _serve(options: argparse.Namespace) -> int:
    from knee.errors import InputError
    from stages.serve import serve

    if options.config is None:
        raise InputError(
            "serve needs a settings file", "serve --config configs/demo.toml, or serve status"
        )
    return serve(options.config, options.log, only=options.only, detach=options.detach)


def _check(options: argparse.Namespace) -> int:
    from stages.serve_checking import check

    return check(options.config, store=options.store, only=options.only)


def _status(options: argparse.Namespace) -> int:
    from stages.serve_control import status

    return status(as_json=options.json)


def _stop(options: argparse.Namespace) -> int:
    from stages.serve_control import stop

    return stop(options.port, options.config, all_of_them=options.all)


def _measure(options: argparse.Namespace) -> int:
    from stages.serve_measure import MeasureOptions, measure

    return measure(
        MeasureOptions(
            config=options.config,
            store=options.store,
            cohort_root=options.cohort_root,
            items=options.items,
            concurrency=tuple(options.concurrency or ()),
            for_items=options.for_items,
            as_json=options.json,
        )
    )


def _role_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", choices=("drafter", "judge"), default=None, help="this one of two servers"
    )


def add_commands(commands: Commands) -> None:
    """`serve`, and its `check`, `status`, `stop` and `measure`."""
    family = commands.add_parser(
        "serve", help="start vLLM with the right flags (Ctrl-C stops it); check, status, stop"
    )
    family.add_argument("--config", type=Path, default=None, help=_CONFIG_HELP)
    family.add_argument("--log", type=Path, default=None, help="log file (.cache/serve/<name>.log)")
    family.add_argument("--detach", action="store_true", help="return once it is ready; see stop")
    _role_option(family)
    family.set_defaults(run_command=_serve)
    actions = family.add_subparsers(dest="action", metavar="ACTION", required=False)

    parser = actions.add_parser("check", help="everything that is looked at before a start")
    parser.add_argument("--config", type=Path, required=True, help=_CONFIG_HELP)
    parser.add_argument("--store", type=Path, default=None, help="its prompts, not the examples")
    _role_option(parser)
    parser.set_defaults(run_command=_check)

    parser = actions.add_parser("status", help="the servers that this checkout started")
    json_option(parser)
    parser.set_defaults(run_command=_status)

    parser = actions.add_parser("stop", help="end servers, and every process of theirs")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--config", type=Path, default=None, help="those of a settings file")
    which.add_argument("--port", type=positive, default=None, help="the one on this port")
    which.add_argument("--all", action="store_true", help="all that this checkout started")
    parser.set_defaults(run_command=_stop)

    parser = actions.add_parser(
        "measure", help="items a second of the running server, at several concurrencies"
    )
    parser.add_argument("--config", type=Path, required=True, help=_CONFIG_HELP)
    parser.add_argument("--store", type=Path, default=None, help="its prompts, not the examples")
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    parser.add_argument(
        "--items", type=positive, default=None, help="items at each (three a place, 8 or more)"
    )
    parser.add_argument(
        "--concurrency",
        type=positive,
        action="append",
        default=None,
        metavar="N",
        help="items in flight; may be repeated (1, 8, 32 and batch.concurrency)",
    )
    parser.add_argument(
        "--for-items", type=positive, default=10_000, help="tell the hours for so many (10,000)"
    )
    json_option(parser)
    parser.set_defaults(run_command=_measure)
