"""A negative control beside the real run, and whether what is expected of it is met (RULES 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knee.keys import JsonValue
from knee.records import Control
from stages.chance import accepted_share, expected_by_chance
from stages.console import percent, say, show_table
from stages.summary import RunSummary, load_summary
from store.connection import open_store
from store.queries import Acceptance, accepted_without_evidence

MAX_MAJORITY_SHARE = 0.02
"""Acceptance of the always-majority drafter on grades >= 1 at most (RULES 7)."""
_GROUPS = ("all", "grade 0", "grade >= 1")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that is expected of a control."""

    text: str
    """What is expected, with the figures seen."""
    met: bool | None
    """None where nothing was drafted that could show it."""


@dataclass(frozen=True, slots=True)
class ControlReport:
    """A control run, the real run with the same settings, and the expectations."""

    control: Control
    """Which control."""
    figures: RunSummary
    """The control's."""
    real: RunSummary | None
    """Of the production run with the same settings; None when there is none yet."""
    expectations: tuple[Expectation, ...]
    """What is expected of the control."""


def load_control_report(
    store: Path, control: Control, figures: RunSummary, beside: str | None
) -> ControlReport:
    """Returns a control beside the real run.

    Args:
        store: the store.
        control: which control.
        figures: the control's.
        beside: the production run with the same settings; None without one.
    """
    with open_store(store, read_only=True) as con:
        unfounded = accepted_without_evidence(con, figures.run_id)
    return ControlReport(
        control=control,
        figures=figures,
        real=None if beside is None else load_summary(store, beside),
        expectations=tuple(_expectations(control, figures, unfounded)),
    )


def _expectations(
    control: Control, figures: RunSummary, unfounded: tuple[int, int]
) -> list[Expectation]:
    if control is Control.ALWAYS_MAJORITY:
        return [_majority_on_findings(figures), _majority_on_zero(unfounded)]
    chance = expected_by_chance(figures.chance)
    seen = accepted_share(figures.chance)
    text = (
        f"{control.value}: components accepted {percent(seen.accepted, seen.drafted)}, at or below "
        f"chance ({'–' if chance is None else f'{100 * chance:.1f} %'})"
    )
    met = None if chance is None or seen.share is None else seen.share <= chance
    return [Expectation(text, met)]


def _majority_on_findings(figures: RunSummary) -> Expectation:
    row = _group(figures.acceptance, "grade >= 1")
    text = (
        f"always-majority on grades >= 1: {percent(row.accepted, row.drafted)}, "
        f"at most {100 * MAX_MAJORITY_SHARE:.0f} %"
    )
    return Expectation(text, None if row.share is None else row.share <= MAX_MAJORITY_SHARE)


def _majority_on_zero(unfounded: tuple[int, int]) -> Expectation:
    without, accepted = unfounded
    text = (
        "always-majority: accepted although the measurement does not give the grade: "
        f"{without} of {accepted} accepted"
    )
    return Expectation(text, without == 0)


def _group(rows: Sequence[Acceptance], name: str) -> Acceptance:
    return next((row for row in rows if row.group == name), Acceptance(name, 0, 0, 0, 0))


def show_control(report: ControlReport) -> None:
    """Draws the control beside the real run, macro over grades too, and what is expected."""
    show_table(
        f"control {report.control.value}: accepted of drafted items, beside the real run "
        f"{report.real.run_id if report.real else '(none with these settings yet)'}",
        ["items", "real", report.control.value],
        [[name, _shown(report.real, name), _shown(report.figures, name)] for name in _GROUPS]
        + [["macro over grades", _macro(report.real), _macro(report.figures)]],
    )
    for expectation in report.expectations:
        say(f"{expectation.text}: {_met(expectation.met)}")


def _met(met: bool | None) -> str:
    return {True: "met", False: "NOT met", None: "nothing drafted"}[met]


def _shown(figures: RunSummary | None, name: str) -> str | None:
    if figures is None:
        return None
    row = _group(figures.acceptance, name)
    return percent(row.accepted, row.drafted)


def _macro(figures: RunSummary | None) -> str | None:
    if figures is None or figures.macro_over_grades is None:
        return None
    return f"{100 * figures.macro_over_grades:.1f} %"


def control_json(report: ControlReport) -> dict[str, JsonValue]:
    """Returns the report for `--json`."""
    return {
        "control": report.control.value,
        "real_run": None if report.real is None else report.real.run_id,
        "real": None if report.real is None else report.real.as_json(),
        "expectations": [{"text": e.text, "met": e.met} for e in report.expectations],
    }
