"""Tables of the label quality report, for the HTML file and as CSV files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from eval.agreement import MIN_FOR_INTERVAL
from knee.grades import GradeStatus
from knee.questions import QUESTIONS
from stages.console import percent
from stages.quality_numbers import LabelQuality
from stages.reads import (
    AGREEMENT_COLUMNS,
    AGREEMENT_HEADER,
    CONFLICT_COLUMNS,
    agreement_csv_row,
    agreement_row,
    conflict_row,
    statistic_text,
    write_csv,
)
from store.reads import StatusCounts

_GRADES = range(9)
"""Every grade of any scale."""
_SHOWN = 40
"""Rows of a long list in the HTML file; the CSV file has all."""


class Bar(NamedTuple):
    """Shares of the grades, drawn as one bar."""

    parts: tuple[tuple[int, int, float], ...]
    """(grade, count, percent)."""


class HtmlTable(NamedTuple):
    """One table of the report."""

    title: str
    """Its heading."""
    note: str
    """What the numbers are; may be empty."""
    columns: Sequence[str]
    """Column names."""
    rows: Sequence[Sequence[object]]
    """Cells; None is a dash."""
    folded: bool = False
    """Whether it is shown only on demand."""


def html_tables(found: LabelQuality) -> list[HtmlTable]:
    """Returns the tables in the order of the report."""
    return [
        _distribution(found),
        _majority(found),
        _missing(found),
        HtmlTable(
            "By subregion or site",
            "Grades as joined by the policy.",
            ["feature", "component", "site", "components", "read", "grades", *_grade_names()],
            [[*_names(row), row.n, row.n_read, _bar(row), *_counts(row)] for row in found.by_site],
            folded=True,
        ),
        HtmlTable(
            "By reading project (READPRJ)",
            "Single reads. Projects chose knees by outcome: differences between them are no "
            "difference between readers.",
            ["feature", "component", "READPRJ", "reads", "with a grade", "grade ≥ 1", "grades"],
            [
                [*_names(row), row.n, percent(row.n_read, row.n), _positives(row), _bar(row)]
                for row in found.by_project
            ],
            folded=True,
        ),
        HtmlTable(
            "Several reads of one component",
            "Pairs enter in both orders; intervals by bootstrap over patients, none under "
            f"{MIN_FOR_INTERVAL} pairs or patients. Published: between-reader κ of Hunter et al. "
            "2011. No model can be expected to agree better than readers do.",
            AGREEMENT_HEADER,
            [agreement_row(row) for row in found.agreement],
        ),
        _illegal(found),
        HtmlTable(
            "Measured against clinicians' grades",
            "Discordant: they differ beyond the measurement's uncertainty. Basis `calibrated`: the "
            "cut-offs were fitted, MOAKS has none; on phantoms this is self-consistency.",
            ["feature", "component", "rule basis", "evidence", "compared", "equal", "discordant",
             "measured higher", "measured lower"],
            [
                [d.feature.value, d.component.value, d.basis, d.level, d.n,
                 percent(d.n_equal, d.n), percent(d.n_discordant, d.n), d.n_higher, d.n_lower]
                for d in found.discordance
            ],
        ),
    ]  # fmt: skip


def _distribution(found: LabelQuality) -> HtmlTable:
    return HtmlTable(
        "Distribution of grades",
        "Grades as joined by the policy. Share of grades ≥ 1 with its 95 % interval over patients; "
        f"none under {MIN_FOR_INTERVAL} of either kind, or patients. For nominal scales a grade is "
        "a kind, not a size.",
        ["feature", "component", "read", "grades", "grade ≥ 1", "share", *_grade_names()],
        [
            [
                *_names(row)[:2],
                row.n_read,
                _bar(row),
                _positives(row),
                statistic_text(found.positive[row.group]) if row.group in found.positive else None,
                *_counts(row),
            ]
            for row in found.by_feature
        ],
    )


def _majority(found: LabelQuality) -> HtmlTable:
    return HtmlTable(
        "What always answering the most frequent grade reaches",
        "Any accuracy has to be held against this one. MAE: mean distance in grades; nominal "
        "scales have none.",
        ["feature", "component", "read", "majority", "accuracy", "MAE", "macro recall"],
        [
            [
                group.feature.value,
                group.component.value,
                base.n,
                base.majority,
                f"{base.accuracy:.4f}",
                None if base.mae is None else f"{base.mae:.3f}",
                f"{base.macro_recall:.3f}",
            ]
            for group, base in found.majority.items()
        ],
    )


def _missing(found: LabelQuality) -> HtmlTable:
    return HtmlTable(
        "What is known of each component",
        "A prosthesis is not missing, and nothing but the code 0 is grade 0.",
        ["feature", "component", "components", *(s.value.replace("_", " ") for s in GradeStatus)],
        [
            [*_names(row)[:2], row.n, *(row.statuses.get(status, 0) for status in GradeStatus)]
            for row in found.by_feature
        ],
    )


def _illegal(found: LabelQuality) -> HtmlTable:
    more = len(found.illegal) - _SHOWN
    return HtmlTable(
        "Combinations of grades that cannot be",
        f"{len(found.illegal)} found" + (f", the first {_SHOWN}" if more > 0 else "") + ".",
        ["knee-visit", "question", "region", "problem"],
        [
            [
                f"{row.patient}/{row.visit}/{row.side}",
                row.question_id,
                QUESTIONS[row.question_id].region,
                row.problem,
            ]
            for row in found.illegal[:_SHOWN]
        ],
    )


def write_csv_files(folder: Path, found: LabelQuality) -> None:
    """Writes the numbers and the whole lists beside the HTML file."""
    statuses = [status.value for status in GradeStatus]
    counted = ["n", *statuses, *(f"grade_{grade}" for grade in _GRADES)]
    for name, label, rows in (
        ("distribution_by_site", "site", found.by_site),
        ("distribution_by_readprj", "readprj", found.by_project),
    ):
        write_csv(
            folder / f"{name}.csv",
            ["feature", "component", label, *counted],
            [_csv_counts(row) for row in rows],
        )
    write_csv(folder / "agreement.csv", AGREEMENT_COLUMNS, map(agreement_csv_row, found.agreement))
    write_csv(folder / "conflicts.csv", CONFLICT_COLUMNS, map(conflict_row, found.differing))
    write_csv(
        folder / "illegal_combinations.csv",
        ["patient", "visit", "side", "question_id", "problem"],
        found.illegal,
    )
    write_csv(
        folder / "majority.csv",
        ["feature", "component", "n", "majority", "accuracy", "mae", "macro_recall"],
        [[g.feature.value, g.component.value, *base] for g, base in found.majority.items()],
    )
    write_csv(
        folder / "discordant.csv",
        ["volume_id", "question_id", "feature", "site", "component", "clinician_grade",
         "rule_grade", "rule_basis", "evidence", "borderline", "measurement", "value", "unit", "sd",
         "readprj", "box", "decision"],
        [
            [d.volume_id, d.question_id, d.feature.value, d.site, d.component.value, d.clinician,
             d.rule, d.basis, d.level, d.borderline, d.measurement, d.value, d.unit, d.sd,
             " ".join(d.readprj), None if d.box is None else list(d.box.indices), None]
            for d in found.discordant
        ],
    )  # fmt: skip


def _names(row: StatusCounts) -> list[str]:
    return [row.group.feature.value, row.group.component.value, row.group.label or "–"]


def _grade_names() -> list[str]:
    return [str(grade) for grade in _GRADES]


def _counts(row: StatusCounts) -> list[int | None]:
    return [row.grades.get(grade) for grade in _GRADES]


def _positives(row: StatusCounts) -> int:
    return sum(n for grade, n in row.grades.items() if grade >= 1)


def _bar(row: StatusCounts) -> Bar:
    return Bar(
        tuple((grade, n, round(100 * n / row.n_read, 2)) for grade, n in sorted(row.grades.items()))
    )


def _csv_counts(row: StatusCounts) -> list[object]:
    return [
        row.group.feature.value,
        row.group.component.value,
        row.group.label,
        row.n,
        *(row.statuses.get(status, 0) for status in GradeStatus),
        *(row.grades.get(grade, 0) for grade in _GRADES),
    ]
