"""`bench report`: scored runs of a bench as Markdown and as a self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import jinja2
from pydantic import ValidationError

from eval.bench_files import Bench, read_bench
from eval.bench_records import Setting
from eval.score_records import SCORES_VERSION, BenchScores
from knee.errors import BenchError, InputError
from stages.bench_examples import ANSWER_COLOUR, TRUE_COLOUR, Example, examples
from stages.bench_gain_tables import comparison_tables, gain_tables
from stages.bench_report_tables import (
    Confusion,
    ReportTable,
    as_markdown,
    box_table,
    confusions,
    feature_tables,
    histograms,
    model_table,
    run_name,
)
from stages.bench_score import SCORES
from stages.console import say

_TEMPLATES: Final = Path(__file__).parent / "templates"
_PAGE: Final = "index.html"
_MARKDOWN: Final = "report.md"


@dataclass(frozen=True, slots=True)
class BenchReportOptions:
    """What the command line says."""

    bench: Path
    """Folder of the bench."""
    predictions: tuple[Path, ...]
    """Folders of predictions, each with its scores."""
    out: Path
    """Folder of the report."""
    cohort_root: Path | None = None
    """Where the images lie; None shows no pictures."""
    n_examples: int = 6
    """Examples of each localising run at most."""


class RunMatrices(NamedTuple):
    """The confusion matrices of one run."""

    name: str
    """The run."""
    matrices: list[Confusion]
    """A component each."""


class ReportSection(NamedTuple):
    """Tables of one kind, one for each run."""

    title: str
    """Heading."""
    tables: list[ReportTable]
    """At least one."""


class RunExamples(NamedTuple):
    """The examples of one run."""

    name: str
    """The run."""
    examples: list[Example]
    """From the worst IoU to the best."""


def bench_report(options: BenchReportOptions) -> int:
    """Writes `report.md` and `index.html` and returns 0.

    Raises:
        BenchError: no bench, a run without scores or of another bench.
        InputError: the folder cannot be written.
    """
    bench = read_bench(options.bench)
    runs = [read_scores(folder, bench) for folder in options.predictions]
    shown = [
        RunExamples(
            run_name(scores),
            examples(bench, scores.run, folder, options.cohort_root, options.n_examples),
        )
        for scores, folder in zip(runs, options.predictions, strict=True)
        if scores.run.setting is Setting.LOCALISE and options.n_examples > 0
    ]
    boxes = box_table(runs)
    tables = [model_table(runs), *([boxes] if boxes else [])]
    sections = [
        ReportSection("Against the baselines", list(gain_tables(runs))),
        ReportSection("Two models", list(comparison_tables(runs))),
        ReportSection("Features", list(feature_tables(runs))),
    ]
    sections = [section for section in sections if section.tables]
    page = _page(bench, runs, tables, sections, shown)
    markdown = _markdown(bench, runs, tables, sections, shown)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / _MARKDOWN).write_text(markdown, encoding="utf-8")
        (options.out / _PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the report cannot be written to {str(options.out)!r}: {error.strerror}",
            "name another folder with --out",
        ) from error
    say(str(options.out / _PAGE))
    return 0


def read_scores(folder: Path, bench: Bench) -> BenchScores:
    """Returns the scores that lie beside predictions.

    Raises:
        BenchError: there are none, of another version, damaged, or of another bench.
    """
    path = folder / SCORES
    hint = f"score it first: run_pipeline.py bench score {bench.folder} {folder}"
    if not path.is_file():
        raise BenchError(f"{str(folder)!r} has no {SCORES!r}", hint)
    try:
        scores = BenchScores.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BenchError(f"{str(path)!r} cannot be read: {where}: {first['msg']}", hint) from None
    if scores.scores_version != SCORES_VERSION:
        raise BenchError(
            f"{str(path)!r} has version {scores.scores_version!r}, this program reads "
            f"{SCORES_VERSION}",
            hint,
        )
    if scores.bench.bench_id != bench.manifest.bench_id:
        raise BenchError(
            f"{str(path)!r} is of the bench {scores.bench.name!r} ({scores.bench.bench_id!r}), "
            f"not of {bench.manifest.name!r} ({bench.manifest.bench_id!r})",
            "report the runs of one bench together",
        )
    return scores


def _facts(bench: Bench) -> list[tuple[str, str]]:
    manifest = bench.manifest
    parts = ", ".join(f"{name} {n}" for name, n in manifest.n_components.items())
    return [
        ("patients", str(manifest.n_patients)),
        ("volumes", str(manifest.n_volumes)),
        ("items", str(manifest.n_items)),
        ("components", parts),
    ]


def _notes(bench: Bench, runs: Sequence[BenchScores]) -> list[str]:
    """Every note once, in order; what is not said of all runs names the run."""
    everywhere = set[str].intersection(*(set(scores.notes) for scores in runs))
    notes = [note for note in runs[0].notes if note in everywhere]
    for scores in runs:
        own = (note for note in scores.notes if note not in everywhere)
        notes += [f"{run_name(scores)}: {note}" for note in own]
    kinds = {scores.run.images for scores in runs}
    if len(kinds) > 1:
        notes.append(
            f"The runs were shown {len(kinds)} different kinds of pictures: their figures do not "
            "compare models alone."
        )
    if any(volume.restricted is not False for volume in bench.volumes.values()):
        notes.append("Restricted data: this page and its pictures may not be passed on.")
    return list(dict.fromkeys(notes))


def _markdown(
    bench: Bench,
    runs: Sequence[BenchScores],
    tables: Sequence[ReportTable],
    sections: Sequence[ReportSection],
    shown: Sequence[RunExamples],
) -> str:
    lines = [f"# ReasonKnee-Bench: {bench.manifest.name}", ""]
    lines += [f"`{bench.manifest.bench_id}`: "]
    lines[-1] += ", ".join(f"{value} {name}" for name, value in _facts(bench)[:3]) + "."
    lines += ["", *(f"- {note}" for note in _notes(bench, runs)), ""]
    lines += [as_markdown(table) for table in tables]
    for section in sections:
        lines += [f"# {section.title}", "", *(as_markdown(table) for table in section.tables)]
    for run in shown:
        lines += [f"## Examples: {run.name}", ""]
        lines += [f"- {one.title}: IoU {one.overlap:.3f}; {one.grades}" for one in run.examples]
        lines.append("")
    return "\n".join(lines)


def _page(
    bench: Bench,
    runs: Sequence[BenchScores],
    tables: Sequence[ReportTable],
    sections: Sequence[ReportSection],
    shown: Sequence[RunExamples],
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("bench.html.jinja2").render(
        bench=bench.manifest,
        facts=_facts(bench),
        notes=_notes(bench, runs),
        tables=tables,
        sections=sections,
        histograms=histograms(runs),
        matrices=[RunMatrices(run_name(scores), confusions(scores)) for scores in runs],
        examples=shown,
        true_colour=_css(TRUE_COLOUR),
        answer_colour=_css(ANSWER_COLOUR),
    )


def _css(colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    return f"rgb({red}, {green}, {blue})"
