"""Commands that have to do with prompts: `prompts list | show | render | diff | try | compare`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stages.cli.options import Commands, json_option, positive, store_option

if TYPE_CHECKING:
    from stages.trial import TrialOptions

TEMPLATES = Path(__file__).parents[2] / "prompts" / "templates"
_PROMPT = "PROMPT, PROMPT@2 (the newest version unless named)"


def _list(options: argparse.Namespace) -> int:
    from stages.prompts import list_all

    return list_all(as_json=options.json)


def _show(options: argparse.Namespace) -> int:
    from stages.prompts import show

    return show(options.prompt, options.store, as_json=options.json)


def _render(options: argparse.Namespace) -> int:
    from stages.render_prompt import RenderOptions, render

    return render(
        RenderOptions(
            prompt=_named(options),
            store=options.store,
            volume=options.volume,
            question=options.question,
            config=options.config,
            out=options.out,
            cohort_root=options.cohort_root,
            as_json=options.json,
        )
    )


def _diff(options: argparse.Namespace) -> int:
    from stages.prompts import diff

    return diff(options.a, options.b, as_json=options.json)


def _try(options: argparse.Namespace) -> int:
    from stages.trial import try_prompt

    return try_prompt(_named(options), _trial_options(options))


def _compare(options: argparse.Namespace) -> int:
    from stages.prompt_compare import CompareOptions, compare

    return compare(
        options.a,
        options.b,
        CompareOptions(
            store=options.store,
            trial=None if options.config is None else _trial_options(options),
            seed=options.seed,
            html=options.html,
            as_json=options.json,
        ),
    )


def _named(options: argparse.Namespace) -> str:
    """Returns the prompt's name, or the template file's, made to end as one."""
    from knee.errors import InputError

    if (options.prompt is None) == (options.file is None):
        raise InputError(
            f"a prompt or a template file: got {options.prompt!r} and {options.file!r}",
            "name PROMPT, PROMPT@2 or --file my.jinja2",
        )
    if options.file is not None and options.file.suffix != ".jinja2":
        raise InputError(
            f"template file {str(options.file)!r} does not end in .jinja2", "rename it"
        )
    return options.prompt if options.file is None else str(options.file)


def _trial_options(options: argparse.Namespace) -> "TrialOptions":
    from stages.trial import TrialOptions

    return TrialOptions(
        store=options.store,
        config=options.config,
        n=options.n,
        seed=options.seed,
        questions=options.questions,
        visit=options.visit,
        control=getattr(options, "control", None),
        serve=options.serve,
        cohort_root=options.cohort_root,
        # Of `compare` the figures are the answer, not each trial's.
        as_json=options.json and options.action == "try",
    )


def add_commands(commands: Commands) -> None:
    """`prompts` and its actions."""
    parser = commands.add_parser(
        "prompts", help="list, show, render, diff, try and compare the prompts"
    )
    json_option(parser)
    parser.set_defaults(run_command=_list)
    actions = parser.add_subparsers(
        dest="action", metavar="list | show | render | diff | try | compare"
    )
    action = actions.add_parser("list", help="all prompts with version and hash")
    json_option(action)
    action.set_defaults(run_command=_list)

    action = actions.add_parser("show", help="the source of a prompt")
    action.add_argument("prompt", help=f"{_PROMPT}, a .jinja2 file, or sha256:… of a store")
    action.add_argument("--store", type=Path, default=None, help="where sha256:… is looked up")
    json_option(action)
    action.set_defaults(run_command=_show)
    # `prompts PROMPT` was the command before there were actions.
    for path in sorted(TEMPLATES.glob("*/v*.jinja2")):
        prompt_id, version = path.parent.name, path.stem[1:]
        for name in (prompt_id, f"{prompt_id}@{version}")[version != "1" :]:
            old = actions.add_parser(name)
            json_option(old)
            old.set_defaults(run_command=_show, prompt=name, store=None)

    _add_render(actions.add_parser("render", help="a prompt for one item, as it would be sent"))
    action = actions.add_parser("diff", help="what changed between two prompts or versions")
    action.add_argument("a", help=f"{_PROMPT}, or a .jinja2 file")
    action.add_argument("b", help="the other one")
    json_option(action)
    action.set_defaults(run_command=_diff)

    _add_trials(actions)


def _add_trials(actions: Commands) -> None:
    action = actions.add_parser("try", help="a trial on a stratified sample without test patients")
    _prompt_options(action)
    store_option(action)
    action.add_argument("--config", type=Path, required=True, help="settings file")
    _sample_options(action)
    action.add_argument(
        "--control",
        choices=("shuffled-findings", "no-findings", "always-majority"),
        default=None,
        help="negative control on the same items",
    )
    json_option(action)
    action.set_defaults(run_command=_try)

    action = actions.add_parser(
        "compare", help="two trials, or two prompts tried on the same items, with intervals"
    )
    action.add_argument("a", help=f"run id of a trial, {_PROMPT}, or a .jinja2 file")
    action.add_argument("b", help="the other one")
    store_option(action)
    action.add_argument("--config", type=Path, default=None, help="settings file, to try prompts")
    _sample_options(action)
    action.add_argument("--html", type=Path, default=None, help="the drafts that differ, a page")
    json_option(action)
    action.set_defaults(run_command=_compare)


def _add_render(action: argparse.ArgumentParser) -> None:
    _prompt_options(action)
    action.add_argument(
        "--store", type=Path, default=None, help="the item's store (an invented item)"
    )
    action.add_argument("--volume", default=None, help="volume id (the first)")
    action.add_argument("--question", type=int, default=None, help="question id (the first; 19)")
    action.add_argument(
        "--config", type=Path, default=None, help="its wording, calibration, images"
    )
    action.add_argument("--out", type=Path, default=None, help="new folder for the slices, as PNG")
    action.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
    json_option(action)
    action.set_defaults(run_command=_render)


def _prompt_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("prompt", nargs="?", default=None, help=_PROMPT)
    action.add_argument("--file", type=Path, default=None, help="an unsaved template, my.jinja2")


def _sample_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("--n", type=positive, default=60, help="items at most (60)")
    action.add_argument("--seed", type=int, default=0, help="of the sample and of resampling (0)")
    action.add_argument("--questions", help="ids and ranges, e.g. 1-29,44 (the settings file's)")
    action.add_argument("--visit", default=None, help="only this visit, e.g. V00")
    action.add_argument("--serve", action="store_true", help="bring the server up and down as well")
    action.add_argument("--cohort-root", type=Path, default=None, help="where the images lie now")
