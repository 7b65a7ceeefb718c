"""A negative control beside the real run, and whether what is expected of it is met (RULES 7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knee.keys import JsonValue
from knee.records import Control
from stages.chance import accepted_share, expected_by_chance
from stages.console import percent, say, show_table
from stages.summary import RunSummary, load_summary
from store.connection import open_store
from store.controls import accepted_without_evidence, zeros_on_findings
from store.queries import Acceptance

MAX_MAJORITY_SHARE = 0.02
"""Acceptance of a drafter that says 0, on grades >= 1, at most (RULES 7)."""
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
    left_out: Mapping[str, int]
    """Items that the control cannot draft, by reason; they stay pending."""


def load_control_report(
    store: Path,
    control: Control,
    figures: RunSummary,
    beside: str | None,
    left_out: Mapping[str, int] | None = None,
) -> ControlReport:
    """Returns a control beside the real run.

    Args:
        store: the store.
        control: which control.
        figures: the control's.
        beside: the production run with the same settings; None without one.
        left_out: items that the control could not draft, by reason.
    """
    with open_store(store, read_only=True) as con:
        unfounded = accepted_without_evidence(con, figures.run_id)
        zeros = zeros_on_findings(con, figures.run_id)
    return ControlReport(
        control=control,
        figures=figures,
        real=None if beside is None else load_summary(store, beside),
        expectations=tuple(_expectations(control, figures, zeros, unfounded)),
        left_out={} if left_out is None else dict(left_out),
    )


def _expectations(
    control: Control, figures: RunSummary, zeros: Acceptance, unfounded: tuple[int, int]
) -> list[Expectation]:
    expected = [_at_chance(control, figures)]
    if control is Control.ALWAYS_MAJORITY:
        expected += [_zeros_on_findings(zeros), _unfounded(unfounded)]
    return expected


def _at_chance(control: Control, figures: RunSummary) -> Expectation:
    chance = expected_by_chance(figures.chance)
    seen = accepted_share(figures.chance)
    text = (
        f"{control.value}: components accepted {percent(seen.accepted, seen.drafted)}, at or below "
        f"chance ({'–' if chance is None else f'{100 * chance:.1f} %'})"
    )
    return Expectation(text, None if chance is None or seen.share is None else seen.share <= chance)


def _zeros_on_findings(row: Acceptance) -> Expectation:
    text = (
        f"always 0 where the clinician gave >= 1: {percent(row.accepted, row.drafted)} accepted, "
        f"at most {100 * MAX_MAJORITY_SHARE:.0f} %"
    )
    return Expectation(text, None if row.share is None else row.share <= MAX_MAJORITY_SHARE)


def _unfounded(unfounded: tuple[int, int]) -> Expectation:
    without, accepted = unfounded
    text = (
        "accepted although no measurement gives the grade (missing evidence): "
        f"{without} of {accepted} accepted, none expected"
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
    if report.real is not None and not _same_items(report.real, report.figures):
        say("the items of the real run were chosen by other quotas: the two are not of the same")
    for reason, n in report.left_out.items():
        say(f"{n} item(s) stay pending, {reason}")
    for expectation in report.expectations:
        say(f"{expectation.text}: {_met(expectation.met)}")


def _same_items(real: RunSummary, control: RunSummary) -> bool:
    """Returns whether both runs were asked for the same quotas, or both for none."""
    asked = [{(q.quota, q.questions, q.visit) for q in run.quotas} for run in (real, control)]
    return asked[0] == asked[1]


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
        "left_out": dict(report.left_out),
        "expectations": [{"text": e.text, "met": e.met} for e in report.expectations],
    }
