"""Commands about ReasonKnee-Bench: `bench build`, `bench score`."""

import argparse
from pathlib import Path

from stages.cli import bench_running
from stages.cli.options import Commands, json_option, store_option


def _build(options: argparse.Namespace) -> int:
    from stages.bench_build import BenchOptions, build

    return build(
        BenchOptions(
            store=options.store,
            out=options.out,
            name=options.name,
            seed=options.seed,
            as_json=options.json,
        )
    )


def _score(options: argparse.Namespace) -> int:
    from stages.bench_score import ScoreOptions, score

    return score(
        ScoreOptions(
            bench=options.bench,
            predictions=options.predictions,
            other=options.other,
            training_exports=tuple(options.training_export),
            out=options.out,
            as_json=options.json,
        )
    )


def add_commands(commands: Commands) -> None:
    """`bench`: how well models find and grade what clinicians read."""
    family = commands.add_parser("bench", help="ReasonKnee-Bench: build, run, score, report")
    actions = family.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_build(actions)
    _add_score(actions)
    bench_running.add_actions(actions)


def _add_build(actions: Commands) -> None:
    parser = actions.add_parser("build", help="every read of a store's test patients as a bench")
    store_option(parser)
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--name", default=None, help="name of the bench (the folder's)")
    parser.add_argument("--seed", type=int, default=0, help="of the grade-balanced part (0)")
    json_option(parser)
    parser.set_defaults(run_command=_build)


def _add_score(actions: Commands) -> None:
    parser = actions.add_parser("score", help="score a model's predictions, or two models'")
    parser.add_argument("bench", type=Path, help="folder of the bench")
    parser.add_argument("predictions", type=Path, help="folder of the predictions")
    parser.add_argument(
        "--other", type=Path, default=None, help="predictions of a second model, compared in pairs"
    )
    parser.add_argument(
        "--training-export",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="export that the model was trained on: its patients must not be in the bench",
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="file of the scores (PREDICTIONS/scores.json)"
    )
    json_option(parser)
    parser.set_defaults(run_command=_score)
