"""A comparison of two trials as tables for people, and as JSON."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eval.agreement import LEVEL, MIN_FOR_INTERVAL, Statistic
from eval.paired import PairedFigure
from knee.keys import JsonValue
from stages.comparison import Comparison, ControlLine
from stages.console import emit, percent, show_table
from stages.trial_figures import ALL, KINDS, FigureKind, GroupFigures

_FEWER = f", fewer than {MIN_FOR_INTERVAL}"
_FEW = f"fewer than {MIN_FOR_INTERVAL} patients"


class ShownTable(NamedTuple):
    """One table, for the screen and for the page."""

    title: str
    """What it shows."""
    columns: Sequence[str]
    """Head."""
    rows: Sequence[Sequence[object]]
    """Cells; None is a dash."""
    note: str = ""
    """What is to be known of it."""


def comparison_tables(comparison: Comparison) -> Iterator[ShownTable]:
    """Yields every table of a comparison."""
    yield ShownTable("what differs", ["", "A", "B"], [list(row) for row in comparison.differences])
    for kind in KINDS:
        yield _figure_table(kind, comparison.groups)
    yield ShownTable(
        "faults of first drafts, of 100 items",
        ["code", "A", "B", "B − A"],
        [[rate.code, rate.a, rate.b, _signed(rate.b - rate.a)] for rate in comparison.codes],
    )
    yield ShownTable(
        "cost of the drafter, mean an item",
        ["", "A", "B", "B − A"],
        [[row.name, row.a, row.b, _signed(row.b - row.a)] for row in comparison.costs],
    )
    yield ShownTable(
        "controls: what each trial accepted, beside controls of the same items",
        ["run", "items accepted", "components accepted", "by chance"],
        [_control_row(line, comparison) for line in comparison.controls],
        "`prompts try PROMPT --control shuffled-findings` adds one: at or below chance is expected",
    )


def _figure_table(kind: FigureKind, groups: Sequence[GroupFigures]) -> ShownTable:
    return ShownTable(
        f"{kind.title}; n = {kind.unit}",
        ["", "n", "A, %", "B, %", "B − A", "differ", "p", "Holm"],
        [_figure_row(group, group.figures[kind.key], kind) for group in groups],
        _why_not(group.figures[kind.key] for group in groups),
    )


def _figure_row(group: GroupFigures, figure: PairedFigure, kind: FigureKind) -> list[object]:
    adjusted = group.holm_p[kind.key]
    return [
        group.group,
        figure.n,
        _share(figure.a),
        _share(figure.b),
        _share(figure.difference, signed=True),
        f"{figure.test.n_differing} of {figure.test.n_patients}",
        None if figure.test.p is None else _p(figure.test.p),
        None if adjusted is None else _p(adjusted),
    ]


def _why_not(figures: Iterator[PairedFigure]) -> str:
    """Returns the reasons of every NA in a table, each once."""
    reasons = {
        _FEW if reason.endswith(_FEWER) else reason
        for figure in figures
        for statistic in (figure.a, figure.b, figure.difference)
        if (reason := statistic.reason or statistic.no_interval)
    }
    differ = "differ: patients whose figures differ, on whom alone p rests; Holm: over features"
    return f"{differ}. NA: {'; '.join(sorted(reasons))}" if reasons else differ


def _share(statistic: Statistic, *, signed: bool = False) -> str:
    """Returns `41.7 [30.0, 52.1]`, with NA for what is not defined."""
    if statistic.value is None:
        return "NA"
    sign = "+" if signed else ""
    value = f"{100 * statistic.value:{sign}.1f}"
    if statistic.low is None or statistic.high is None:
        return f"{value} [NA]"
    return f"{value} [{100 * statistic.low:{sign}.1f}, {100 * statistic.high:{sign}.1f}]"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.1f}"


def _control_row(line: ControlLine, comparison: Comparison) -> list[object]:
    letter = "A" if line.trial == comparison.run_a.run_id else "B"
    return [
        letter if line.control is None else f"{letter}, {line.control.value}",
        percent(line.accepted, line.drafted),
        percent(line.components_accepted, line.components_drafted),
        None if line.chance is None else f"{100 * line.chance:.1f} %",
    ]


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yields what is said before the tables."""
    a, b = comparison.run_a, comparison.run_b
    for letter, run in (("A", a), ("B", b)):
        prompt = run.prompts[0]
        yield (
            f"{letter}: {prompt.prompt_id}@{prompt.version} ({prompt.sha256[:19]}…), run "
            f"{run.run_id}, {run.drafter_model}"
        )
    out = comparison.left_out
    n_patients = comparison.groups[0].n_patients
    yield (
        f"{len(comparison.pairs)} items of {n_patients} patients compared; left out: "
        f"{out.only_a} in A alone, {out.only_b} in B alone, {out.changed} with other findings or "
        f"grades, {out.failed} failed in one of them"
    )
    others = [name for name, _, _ in comparison.differences if name != "drafter's prompt"]
    if others:
        yield f"not the prompt alone differs: {', '.join(others)}"
    if comparison.n_synthetic:
        yield (
            f"{comparison.n_synthetic} items are of phantoms: self-consistency, nothing about "
            "patients"
        )
    yield verdict(comparison)


def verdict(comparison: Comparison) -> str:
    """Returns what the agreement over all items says, in one sentence."""
    figure = comparison.groups[0].figures[KINDS[0].key]
    if figure.difference.value is None or figure.test.p is None:
        return "nothing could be compared"
    shown = f"B − A of agreement over all: {_share(figure.difference, signed=True)} points"
    tested = f"p = {_p(figure.test.p)}".replace("= <", "< ")
    if figure.test.p > 1 - LEVEL:
        said = "no difference is shown, which is not to say that there is none"
    else:
        said = f"{'B' if figure.difference.value > 0 else 'A'} agrees more often"
    where = f"{figure.test.n_differing} of {figure.test.n_patients} patients differ"
    return f"{shown}, {tested} ({where}): {said}"


def show_comparison(comparison: Comparison) -> None:
    """Draws a comparison on stdout."""
    for line in comparison_lines(comparison):
        emit(line)
    for table in comparison_tables(comparison):
        if table.rows:
            emit("")
            show_table(table.title, table.columns, table.rows, to_stdout=True)
            if table.note:
                emit(table.note)


def comparison_json(comparison: Comparison) -> dict[str, JsonValue]:
    """Returns a comparison for `--json`; what is not defined is null, with its reason."""
    return {
        "a": _run_json(comparison, "a"),
        "b": _run_json(comparison, "b"),
        "compared": len(comparison.pairs),
        "synthetic": comparison.n_synthetic,
        "left_out": dict(comparison.left_out._asdict()),
        "verdict": verdict(comparison),
        "differences": [
            {"what": name, "a": of_a, "b": of_b} for name, of_a, of_b in comparison.differences
        ],
        "groups": [_group_json(group) for group in comparison.groups],
        "codes_per_100_items": [dict(rate._asdict()) for rate in comparison.codes],
        "cost_per_item": [dict(row._asdict()) for row in comparison.costs],
        "controls": [
            {**line._asdict(), "control": None if line.control is None else line.control.value}
            for line in comparison.controls
        ],
    }


def _run_json(comparison: Comparison, letter: str) -> dict[str, JsonValue]:
    run = comparison.run_a if letter == "a" else comparison.run_b
    return {
        "run_id": run.run_id,
        "prompt": run.prompts[0].model_dump(),
        "model": run.drafter_model,
    }


def _group_json(group: GroupFigures) -> dict[str, JsonValue]:
    figures: dict[str, JsonValue] = {}
    for kind in KINDS:
        figure = group.figures[kind.key]
        figures[kind.key] = {
            "n": figure.n,
            "a": dict(figure.a._asdict()),
            "b": dict(figure.b._asdict()),
            "difference": dict(figure.difference._asdict()),
            **figure.test._asdict(),
            "p_holm": None if group.group == ALL else group.holm_p[kind.key],
        }
    return {
        "group": group.group,
        "items": group.n_items,
        "patients": group.n_patients,
        "figures": figures,
    }
