"""Commands of people: `review list`, `show`, `accept`, `reject`, `note`, `sample`."""

import argparse
from pathlib import Path

from knee.review import ReviewReason, ReviewVerdict
from stages.cli.options import Commands, json_option, positive, store_option


def _list(options: argparse.Namespace) -> int:
    from stages.review import list_items

    return list_items(
        options.store,
        options.run,
        state=options.state,
        reviewed={"open": False, "done": True, "all": None}[options.show],
        page=options.page,
        as_json=options.json,
    )


def _show(options: argparse.Namespace) -> int:
    from stages.review import show

    return show(options.store, options.item, options.run, as_json=options.json)


def _review(options: argparse.Namespace) -> int:
    from stages.review import review

    return review(
        options.store,
        options.item,
        options.run,
        verdict=ReviewVerdict(options.action),
        by=options.by,
        reason=None if options.reason is None else ReviewReason(options.reason),
        note=options.note,
    )


def _draw(options: argparse.Namespace) -> int:
    from stages.review_sample import draw

    return draw(
        options.store,
        options.name,
        options.run,
        readers=(options.readers[0], options.readers[1]),
        size=options.size,
        refused=options.refused,
        seed=options.seed,
        out=options.out,
    )


def _read(options: argparse.Namespace) -> int:
    from stages.review_sample import read

    return read(
        options.store,
        options.name,
        options.reader,
        options.sheet,
        adjudicates=options.adjudicates,
    )


def _disputes(options: argparse.Namespace) -> int:
    from stages.review_sample import disputes

    return disputes(options.store, options.name, options.out)


def _result(options: argparse.Namespace) -> int:
    from stages.review_sample import result

    return result(options.store, options.name, as_json=options.json)


def add_commands(commands: Commands) -> None:
    """`review`: what people say of texts."""
    family = commands.add_parser("review", help="people's verdicts on texts: list, show, reject…")
    actions = family.add_subparsers(dest="action", metavar="ACTION", required=True)

    parser = actions.add_parser("list", help="items that wait for a person, 50 a page")
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    parser.add_argument(
        "--state",
        choices=("accepted", "disagrees", "rejected"),
        default="accepted",
        help="state of the items (accepted)",
    )
    parser.add_argument(
        "--show", choices=("open", "done", "all"), default="open", help="not yet decided (open)"
    )
    parser.add_argument("--page", type=positive, default=1, help="page, from 1")
    json_option(parser)
    parser.set_defaults(run_command=_list)

    parser = actions.add_parser("show", help="one item as `explain` shows it, and its reviews")
    _item_options(parser)
    json_option(parser)
    parser.set_defaults(run_command=_show)

    for verdict, words in (
        ("accept", "the text holds"),
        ("reject", "the text is wrong: it is never exported again"),
        ("note", "a remark, or the reason of a discordance; changes nothing"),
    ):
        parser = actions.add_parser(verdict, help=words)
        _item_options(parser)
        parser.add_argument("--by", required=True, help="who says so: name or initials")
        parser.add_argument(
            "--reason", choices=[str(r) for r in ReviewReason], default=None, help="what is wrong"
        )
        parser.add_argument("--note", default=None, help="in your own words")
        parser.set_defaults(run_command=_review)
    _add_sample(actions)


def _add_sample(actions: Commands) -> None:
    parser = actions.add_parser("sample", help="a blinded sample for two readers (RULES 21)")
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)

    parser = steps.add_parser("draw", help="draw it, and write a sheet for each reader")
    _sample_options(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
    parser.add_argument("--readers", nargs=2, required=True, metavar="NAME", help="two readers")
    parser.add_argument("--size", type=positive, default=200, help="accepted items (200)")
    parser.add_argument(
        "--refused", type=positive, default=50, help="items that the judge refused, mixed in (50)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    parser.set_defaults(run_command=_draw)

    parser = steps.add_parser("read", help="record a filled sheet")
    _sample_options(parser)
    parser.add_argument("sheet", type=Path, help="the CSV file")
    parser.add_argument("--reader", required=True, help="whose sheet it is")
    parser.add_argument(
        "--adjudicates", action="store_true", help="it settles what the two readers differ about"
    )
    parser.set_defaults(run_command=_read)

    parser = steps.add_parser("disputes", help="a sheet of what the two readers differ about")
    _sample_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write")
    parser.set_defaults(run_command=_disputes)

    parser = steps.add_parser("result", help="error rate, kappa, the judge's sensitivity")
    _sample_options(parser)
    json_option(parser)
    parser.set_defaults(run_command=_result)


def _sample_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the sample")
    store_option(parser)


def _item_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", nargs="+", help="<volume>#<question>, or volume and question")
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
