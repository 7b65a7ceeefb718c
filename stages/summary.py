"""The numbers of a run, gathered once and shown on the screen, as JSON and in the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from knee.keys import JsonValue
from knee.records import ItemState
from stages.chance import ChanceRow, chance_rows
from stages.console import percent, say, show_table
from stages.quota_plan import QUOTA_COLUMNS, QUOTA_TITLE, quota_rows
from store.connection import open_store
from store.items import Selection
from store.queries import (
    Acceptance,
    CodeCount,
    Coverage,
    GradeAcceptance,
    RunCost,
    acceptance,
    acceptance_by_clinician_grade,
    acceptance_by_feature,
    code_counts,
    component_grades,
    coverage,
    run_cost,
    selection_states,
    state_table,
)
from store.quota_rows import QuotaProgress, quota_progress

_MAX_CODES = 12


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run amounts to."""

    run_id: str
    """The run."""
    states: dict[ItemState, int]
    """Items by state; all eight."""
    acceptance: list[Acceptance]
    """Of all items, of grade 0, of grade >= 1."""
    by_feature: list[Acceptance]
    """By feature."""
    by_grade: list[GradeAcceptance]
    """By feature, component and clinician grade."""
    chance: list[ChanceRow]
    """Observed and chance acceptance by component."""
    coverage: Coverage
    """Drafted of all."""
    codes: list[CodeCount]
    """Reasons, most frequent first."""
    cost: RunCost
    """Tokens and seconds."""
    quotas: Sequence[QuotaProgress] = ()
    """What became of the quotas by which items were chosen; empty without any."""

    @property
    def macro_over_grades(self) -> float | None:
        """Mean over clinician grades 0-3 of the acceptance of components with that grade.

        Pooled over features; None unless something was drafted. Plain acceptance is dominated by
        grade 0 (RULES 17).
        """
        totals: dict[int, list[int]] = {}
        for row in self.by_grade:
            entry = totals.setdefault(row.clinician_grade, [0, 0])
            entry[0] += row.items.accepted
            entry[1] += row.items.drafted
        shares = [accepted / drafted for accepted, drafted in totals.values() if drafted]
        return sum(shares) / len(shares) if shares else None

    def as_json(self) -> dict[str, JsonValue]:
        """Returns the numbers for `--json`; a share of nothing is null."""
        return {
            "run_id": self.run_id,
            "states": {state.value: n for state, n in self.states.items()},
            "acceptance": [acceptance_json(row) for row in self.acceptance],
            "acceptance_macro_over_grades": self.macro_over_grades,
            "acceptance_by_feature": [acceptance_json(row) for row in self.by_feature],
            "acceptance_by_clinician_grade": [
                {
                    "feature": row.feature.value,
                    "component": row.component.value,
                    "clinician_grade": row.clinician_grade,
                    **acceptance_json(row.items),
                }
                for row in self.by_grade
            ],
            "acceptance_and_chance_by_component": [
                {
                    **row._asdict(),
                    "feature": row.feature.value,
                    "component": row.component.value,
                }
                for row in self.chance
            ],
            "coverage": {"drafted": self.coverage.drafted, "all": self.coverage.all},
            "codes": [{"state": c.state.value, "code": c.code, "n": c.items} for c in self.codes],
            "cost": dict(self.cost._asdict()),
            "quotas": [dict(row._asdict()) for row in self.quotas],
        }


def acceptance_json(row: Acceptance) -> dict[str, JsonValue]:
    """Returns one acceptance with its counts."""
    return {**row._asdict(), "drafted": row.drafted, "share": row.share}


def load_summary(store: Path, run_id: str) -> RunSummary:
    """Returns the numbers of a run."""
    with open_store(store, read_only=True) as con:
        by_grade = acceptance_by_clinician_grade(con, run_id)
        return RunSummary(
            run_id=run_id,
            states=state_table(con, run_id),
            acceptance=acceptance(con, run_id),
            by_feature=acceptance_by_feature(con, run_id),
            by_grade=by_grade,
            chance=chance_rows(by_grade, component_grades(con, run_id)),
            coverage=coverage(con, run_id),
            codes=code_counts(con, run_id),
            cost=run_cost(con, run_id),
            quotas=quota_progress(con, run_id),
        )


def show_states(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    """Shows in which state the items of a selection would start."""
    counts = selection_states(con, selection)
    show_table(
        "items of the selection",
        ["state", "items"],
        [[state.value, n] for state, n in counts.items()],
    )


def state_rows(summary: RunSummary) -> list[list[object]]:
    """Returns the state table."""
    return [[state.value, summary.states[state]] for state in ItemState]


def acceptance_rows(rows: Sequence[Acceptance]) -> list[list[object]]:
    """Returns group, acceptance with counts, and what became of the others."""
    return [
        [row.group, percent(row.accepted, row.drafted), row.rejected, row.disagrees, row.failed]
        for row in rows
    ]


ACCEPTANCE_COLUMNS = ("items", "accepted", "rejected", "disagrees", "failed")
"""Columns of `acceptance_rows`."""


def grade_rows(summary: RunSummary) -> list[list[object]]:
    """Returns acceptance by feature and clinician grade, components of a feature pooled."""
    totals: dict[tuple[str, int], list[int]] = {}
    for row in summary.by_grade:
        entry = totals.setdefault((row.feature.value, row.clinician_grade), [0, 0])
        entry[0] += row.items.accepted
        entry[1] += row.items.drafted
    features = list(dict.fromkeys(feature for feature, _ in totals))
    grades = sorted({grade for _, grade in totals})
    return [
        [
            feature,
            *(
                percent(*totals[feature, grade]) if (feature, grade) in totals else None
                for grade in grades
            ),
        ]
        for feature in features
    ]


def grade_columns(summary: RunSummary) -> list[str]:
    """Returns the columns of `grade_rows`."""
    grades = sorted({row.clinician_grade for row in summary.by_grade})
    return ["feature", *(f"grade {grade}" for grade in grades)]


CHANCE_COLUMNS = ("component", "accepted", "agreeing", "by chance")
"""Columns of `chance_table`."""


def chance_table(summary: RunSummary) -> list[list[object]]:
    """Returns by component: accepted, agreeing with the clinician, and the same by chance."""
    return [
        [
            f"{row.feature.value} {row.component.value}",
            percent(row.accepted, row.drafted),
            percent(row.agreeing, row.compared),
            None if row.chance is None else f"{100 * row.chance:.1f} %",
        ]
        for row in summary.chance
    ]


def cost_line(summary: RunSummary) -> str:
    """Returns tokens and seconds as a line."""
    cost = summary.cost
    seconds = "–" if cost.elapsed_s is None else f"{cost.elapsed_s:.1f} s"
    judged = (
        f"{cost.judge_calls} judge calls, {cost.judge_tokens} tokens, " if cost.judge_calls else ""
    )
    return (
        f"{cost.attempts} attempts, {cost.prompt_tokens} prompt tokens, "
        f"{cost.completion_tokens} generated, {judged}{seconds}"
    )


def show_summary(summary: RunSummary) -> None:
    """Draws the tables of a run for people, on stderr."""
    show_table(f"run {summary.run_id}: items by state", ["state", "items"], state_rows(summary))
    show_table(
        "acceptance = accepted / (accepted + rejected + disagrees + failed)",
        ACCEPTANCE_COLUMNS,
        [*acceptance_rows(summary.acceptance), *acceptance_rows(summary.by_feature)],
    )
    show_table(
        "acceptance by clinician grade (components)", grade_columns(summary), grade_rows(summary)
    )
    if summary.chance:
        show_table(
            "by component: acceptance, agreement of parsed drafts, and agreement by chance",
            CHANCE_COLUMNS,
            chance_table(summary),
        )
    if summary.codes:
        show_table(
            "reasons",
            ["state", "code", "items"],
            [[c.state.value, c.code, c.items] for c in summary.codes[:_MAX_CODES]],
        )
    if summary.quotas:
        show_table(QUOTA_TITLE, QUOTA_COLUMNS, quota_rows(summary.quotas))
    drafted = percent(summary.coverage.drafted, summary.coverage.all)
    macro = summary.macro_over_grades
    say(f"coverage (drafted of all 69 questions): {drafted}")
    say(f"acceptance macro over grades: {'–' if macro is None else f'{100 * macro:.1f} %'}")
    say(cost_line(summary))
