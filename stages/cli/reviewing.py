"""Commands of people: `review list`, `show`, `accept`, `reject`, `note`."""

import argparse

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


def _item_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", nargs="+", help="<volume>#<question>, or volume and question")
    store_option(parser)
    parser.add_argument("--run", default=None, help="run id (the newest)")
