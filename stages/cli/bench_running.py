"""Actions of `bench` that ask a model and show what came out: `run`, `report`."""

import argparse
from pathlib import Path

from stages.cli.options import Commands, json_option, positive

_SETTINGS = ("zero_shot", "guided", "region_crop", "given_box", "localise")
_CONTROLS = ("no_image", "other_patient_image")
_PARTS = ("balanced", "ambiguous")


def _run(options: argparse.Namespace) -> int:
    from stages.bench_run import BenchRunOptions, bench_run

    return bench_run(
        BenchRunOptions(
            bench=options.bench,
            config=options.config,
            out=options.out,
            setting=options.setting,
            control=options.control or "none",
            cohort_root=options.cohort_root,
            part=options.part,
            questions=options.questions,
            limit=options.limit,
            retry_failed=options.retry_failed,
            serve=options.serve,
            as_json=options.json,
        )
    )


def _report(options: argparse.Namespace) -> int:
    from stages.bench_report import BenchReportOptions, bench_report

    return bench_report(
        BenchReportOptions(
            bench=options.bench,
            predictions=tuple(options.predictions),
            out=options.out,
            cohort_root=options.cohort_root,
            n_examples=options.examples,
        )
    )


def add_actions(actions: Commands) -> None:
    """`bench run` and `bench report`."""
    _add_run(actions)
    _add_report(actions)


def _add_run(actions: Commands) -> None:
    parser = actions.add_parser("run", help="put a bench's items to a model; resumable")
    parser.add_argument("bench", type=Path, help="folder of the bench")
    parser.add_argument("--config", type=Path, required=True, help="settings, see configs/bench/")
    parser.add_argument(
        "--setting", choices=_SETTINGS, required=True, help="how items are put (a prompt each)"
    )
    parser.add_argument(
        "--control", choices=_CONTROLS, default=None, help="no pictures, or another patient's"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the predictions")
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie")
    parser.add_argument("--part", choices=_PARTS, default=None, help="only items of this part")
    parser.add_argument("--questions", default=None, help="ids and ranges, e.g. 1-29,44")
    parser.add_argument(
        "--limit", type=positive, default=None, help="items at most, evenly spaced over the bench"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="take failed rows out and ask those items again"
    )
    parser.add_argument("--serve", action="store_true", help="bring the server up and down as well")
    json_option(parser)
    parser.set_defaults(run_command=_run)


def _add_report(actions: Commands) -> None:
    parser = actions.add_parser("report", help="tables, histograms and examples of scored runs")
    parser.add_argument("bench", type=Path, help="folder of the bench")
    parser.add_argument(
        "predictions", type=Path, nargs="+", help="folders of predictions, each scored before"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--cohort-root", type=Path, default=None, help="where the images lie")
    parser.add_argument("--examples", type=int, default=6, help="examples with pictures (6)")
    parser.set_defaults(run_command=_report)
