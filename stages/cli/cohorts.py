"""Commands about cohorts: `cohort`, `splits`, `import-release`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, store_option


def _check(options: argparse.Namespace) -> int:
    from stages.cohort import check

    return check(options.cohort, as_json=options.json)


def _summary(options: argparse.Namespace) -> int:
    from stages.cohort import summary

    return summary(options.cohort, as_json=options.json)


def _scan(options: argparse.Namespace) -> int:
    from stages.cohort import scan

    return scan(
        options.root,
        options.out,
        label_map=options.label_map,
        scheme=options.scheme,
        as_json=options.json,
    )


def _assign(options: argparse.Namespace) -> int:
    from stages.splits import assign_cohort, assign_store, shares_of

    shares = shares_of(options.shares)
    if options.store is not None:
        return assign_store(
            options.store,
            released=options.released,
            seed=options.seed,
            shares=shares,
            stratify=options.stratify,
            as_json=options.json,
        )
    return assign_cohort(
        options.cohort,
        moaks=options.moaks,
        released=options.released,
        seed=options.seed,
        shares=shares,
        stratify=options.stratify,
        as_json=options.json,
    )


def _check_splits(options: argparse.Namespace) -> int:
    from stages.splits import check_cohort_splits, check_store_splits

    if options.store is not None:
        return check_store_splits(options.store, as_json=options.json)
    return check_cohort_splits(options.cohort, as_json=options.json)


def _import_release(options: argparse.Namespace) -> int:
    from stages.import_release import import_release

    return import_release(
        options.folder, options.store, boxes=not options.without_boxes, as_json=options.json
    )


def _cohort_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, run, text in (
        ("check", _check, "manifest, files and patients: all problems at once"),
        ("summary", _summary, "counts by visit, side, scheme, mask source, licence, split, …"),
    ):
        action = commands.add_parser(name, help=text)
        action.add_argument("cohort", type=Path, help="folder with cohort.csv")
        json_option(action)
        action.set_defaults(run_command=run)
    action = commands.add_parser(
        "scan", help="a manifest skeleton from <release>/<patient>/<date>/<series> folders of DICOM"
    )
    action.add_argument("root", type=Path, help="folder above the releases")
    action.add_argument("--out", type=Path, required=True, help="folder for cohort.csv, scan.csv")
    action.add_argument(
        "--label-map",
        default="",
        metavar="PATTERN",
        help="path of the label maps, e.g. masks/{patient}_{visit}_{side}.nii.gz (left open)",
    )
    action.add_argument("--scheme", default="", help="scheme of the label maps (left open)")
    json_option(action)
    action.set_defaults(run_command=_scan)


def _cohort_or_store(parser: argparse.ArgumentParser) -> None:
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("cohort", type=Path, nargs="?", help="folder with cohort.csv")
    either.add_argument("--store", type=Path, default=None, help="or the DuckDB file")


def _splits_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    action = commands.add_parser("assign", help="give every patient without a split one, for good")
    _cohort_or_store(action)
    action.add_argument(
        "--released",
        type=Path,
        default=None,
        help="released splits to keep: a CSV with patient and split, or the release's folder",
    )
    action.add_argument("--seed", type=int, default=None, help="of the hash (the recorded one, 0)")
    action.add_argument(
        "--shares", default="0.7,0.1,0.2", help="train, val, test of new patients (0.7,0.1,0.2)"
    )
    action.add_argument(
        "--no-stratify",
        dest="stratify",
        action="store_false",
        help="hash alone, without regard to severity",
    )
    action.add_argument(
        "--moaks", type=Path, nargs="+", default=None, help="MOAKS tables of a cohort (as prepare)"
    )
    json_option(action)
    action.set_defaults(run_command=_assign)

    action = commands.add_parser("check", help="look for patients in two splits")
    _cohort_or_store(action)
    json_option(action)
    action.set_defaults(run_command=_check_splits)


def add_commands(commands: Commands) -> None:
    """`cohort`, `splits`, `import-release`: what a cohort is before it is prepared."""
    _cohort_commands(commands.add_parser("cohort", help="check, summarise or scan a cohort"))
    _splits_commands(commands.add_parser("splits", help="splits by patient: assign or check"))
    parser = commands.add_parser(
        "import-release", help="the released 3DReasonKnee data set into the store, kept apart"
    )
    parser.add_argument("folder", type=Path, help="folder of the release (it holds data/)")
    store_option(parser)
    parser.add_argument(
        "--without-boxes",
        action="store_true",
        help="keep the boxes as raw numbers: their order is not verified",
    )
    json_option(parser)
    parser.set_defaults(run_command=_import_release)
