"""Commands that put out quintuples: `export`, `attach-grades`, `release`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from knee.errors import InputError
from stages.cli.options import Commands, json_option, store_option

if TYPE_CHECKING:  # DuckDB is imported by the command that needs it, not by `--help`
    from store.export import ExportRequest


def _export(options: argparse.Namespace) -> int:
    from stages.export import ExportOptions, export

    out = options.out if options.folder is None else options.folder
    if out is None or (options.out is not None and options.folder is not None):
        raise InputError("one folder to make is needed", "name it with --out")
    return export(
        ExportOptions(
            store=options.store,
            out=out,
            request=_request(options, reference_grades=not options.no_reference_grades),
            output_format=options.format,
            key_file=options.pseudonymise,
            with_images=options.with_images,
            cohort_root=options.cohort_root,
            as_json=options.json,
        )
    )


def _request(options: argparse.Namespace, *, reference_grades: bool = True) -> "ExportRequest":
    from store.export import ExportRequest

    return ExportRequest(
        run_ids=None if options.run is None else tuple(options.run),
        where=options.where,
        label_given=options.label_given,
        synthetic=options.synthetic,
        licences=tuple(options.licence),
        reference_grades=reference_grades,
    )


def _attach(options: argparse.Namespace) -> int:
    from stages.attach_grades import attach_grades

    return attach_grades(
        options.export,
        options.out,
        store=options.store,
        moaks=options.moaks,
        key_file=options.pseudonyms,
        as_json=options.json,
    )


def _freeze(options: argparse.Namespace) -> int:
    from stages.freeze import freeze

    return freeze(options.store, options.name, _request(options), options.out, as_json=options.json)


def _diff(options: argparse.Namespace) -> int:
    from stages.freeze import diff

    return diff(options.store, options.first, options.second, as_json=options.json)


def _list(options: argparse.Namespace) -> int:
    from stages.freeze import list_frozen

    return list_frozen(options.store, as_json=options.json)


def _selection_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", action="append", default=None, help="run id; may be repeated")
    parser.add_argument("--where", default=None, help="SQL condition over v_quintuples")
    parser.add_argument(
        "--label-given",
        action="store_true",
        help="take label_given drafts where an item has no blind one",
    )
    parser.add_argument(
        "--only-synthetic",
        "--synthetic",
        dest="synthetic",
        action="store_true",
        help="rows made from phantoms, and no others",
    )
    parser.add_argument(
        "--licence",
        action="append",
        default=[],
        metavar="L",
        help="a licence that may be among the rows; name them all; may be repeated",
    )


def _add_export(commands: Commands) -> None:
    parser = commands.add_parser("export", help="accepted quintuples for training")
    store_option(parser)
    parser.add_argument("folder", type=Path, nargs="?", default=None, help="folder to make")
    parser.add_argument("--out", type=Path, default=None, help="folder to make")
    parser.add_argument(
        "--format",
        choices=("parquet", "jsonl", "sft-chat", "release"),
        default="parquet",
        help="(parquet)",
    )
    _selection_options(parser)
    parser.add_argument(
        "--no-reference-grades",
        action="store_true",
        help="leave out clinicians' grades and what they follow from",
    )
    parser.add_argument(
        "--pseudonymise", type=Path, default=None, metavar="KEYFILE", help="rename what can tell"
    )
    parser.add_argument(
        "--with-images", action="store_true", help="sft-chat: draw the slices into the export"
    )
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    json_option(parser)
    parser.set_defaults(run_command=_export)


def _add_attach(commands: Commands) -> None:
    parser = commands.add_parser("attach-grades", help="complete an export without grades")
    parser.add_argument("export", type=Path, help="folder of the export")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--store", type=Path, default=None, help="your store: grades and texts")
    source.add_argument(
        "--moaks", type=Path, nargs="+", default=None, help="your MOAKS tables: grades alone"
    )
    parser.add_argument(
        "--pseudonyms", type=Path, default=None, metavar="KEYFILE", help="the export's key"
    )
    json_option(parser)
    parser.set_defaults(run_command=_attach)


def _add_release(commands: Commands) -> None:
    parser = commands.add_parser("release", help="freeze what is exported under a name")
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    freeze = tasks.add_parser("freeze", help="record a selection, for good")
    freeze.add_argument("name", help="letters, digits, `.`, `_`, `-`")
    store_option(freeze)
    _selection_options(freeze)
    freeze.add_argument("--out", type=Path, default=None, help="folder for its manifest")
    json_option(freeze)
    freeze.set_defaults(run_command=_freeze)
    diff = tasks.add_parser("diff", help="rows, definitions, prompts and checks that differ")
    diff.add_argument("first", help="a frozen name, or a folder that `freeze --out` made")
    diff.add_argument("second", help="the other one")
    diff.add_argument("--store", type=Path, default=None, help="where the names are")
    json_option(diff)
    diff.set_defaults(run_command=_diff)
    listing = tasks.add_parser("list", help="what is frozen")
    store_option(listing)
    json_option(listing)
    listing.set_defaults(run_command=_list)


def add_commands(commands: Commands) -> None:
    """`export`, `attach-grades`, `release`: what goes out."""
    _add_export(commands)
    _add_attach(commands)
    _add_release(commands)
