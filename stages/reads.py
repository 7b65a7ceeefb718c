"""`reads check`: MOAKS tables looked at alone; `reads conflicts`: where reads disagree."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.agreement import Statistic, Weighting
from knee.errors import InputError
from knee.grades import ClinicianGrade, GradeStatus, ReadsPolicy
from knee.keys import JsonValue
from knee.questions import QUESTIONS
from stages.console import emit_json, say, show_table
from stages.read_agreement import FeatureAgreement, agreement_by_feature
from store.connection import open_store
from store.reads import grades_with_several_reads, synthetic_kinds
from tools.moaks_table import MoaksTable, read_moaks_tables
from tools.moaks_variables import StemStatus, load_variables

CONFLICT_COLUMNS = (
    "patient",
    "visit",
    "side",
    "question_id",
    "feature",
    "site",
    "component",
    "status",
    "grade",
    "policy",
    "grades_given",
    "reads",
)
AGREEMENT_COLUMNS = (
    "feature",
    "component",
    "part",
    "scale",
    "components",
    "conflicts",
    "pairs",
    "patients",
    "conflict_share",
    "conflict_share_low",
    "conflict_share_high",
    *(
        f"kappa_{weighting.value}{what}"
        for weighting in Weighting
        for what in ("", "_low", "_high", "_note")
    ),
    "published_kappa",
)
AGREEMENT_HEADER = (
    "feature",
    "component",
    "part",
    "components",
    "pairs",
    "patients",
    "conflicts",
    "κ unweighted",
    "κ linear",
    "κ quadratic",
    "published κ",
)
"""Columns of `agreement_row`."""
_SHOWN_CONFLICTS = 20


def check(tables: Sequence[Path], variables: Path | None, *, as_json: bool) -> int:
    """Shows what tables hold: columns and stems that do not match, projects, statuses.

    Raises:
        InputError: a table cannot be read; all problems are listed.
    """
    table = read_moaks_tables(tables, load_variables(variables))
    statuses = _single_statuses(table)
    unmatched: dict[str, JsonValue] = {
        "columns_without_variable": list(table.unknown_columns),
        "variables_without_column": list(table.absent_stems),
        "assumed_names_found": [
            stem
            for stem, variable in table.variables.items()
            if variable.status is StemStatus.ASSUMED and stem not in table.absent_stems
        ],
    }
    if as_json:
        emit_json(
            {
                "tables": [str(path) for path in tables],
                "rows": table.n_rows,
                "knee_visits": len(table.knee_visits()),
                "projects": list(table.projects),
                **unmatched,
                "component_reads": {s.value: statuses.get(s, 0) for s in GradeStatus},
            }
        )
        return 0
    show_table(
        f"{table.n_rows} reads of {len(table.knee_visits())} knee-visits, "
        f"projects {', '.join(repr(name) for name in table.projects)}",
        ["status of a component in a read", "n"],
        [[status.value, statuses.get(status, 0)] for status in GradeStatus],
        to_stdout=True,
    )
    for title, names in unmatched.items():
        listed = names if isinstance(names, list) else []
        say(f"{title.replace('_', ' ')}: {len(listed)}")
        for name in listed:
            say(f"  {name}")
    return 0


def _single_statuses(table: MoaksTable) -> dict[GradeStatus, int]:
    counts: dict[GradeStatus, int] = {}
    for column in table.decoded_columns():
        for cells in column.cells:
            for cell in cells:
                counts[cell.status] = counts.get(cell.status, 0) + 1
    return counts


def conflicts(
    tables: Sequence[Path],
    store: Path | None,
    *,
    variables: Path | None,
    policy: ReadsPolicy,
    out: Path | None,
    as_json: bool,
) -> int:
    """Shows how far several reads of one component agree, and lists those that do not.

    Args:
        tables: MOAKS tables; none when a store is given.
        store: a store whose grades were loaded by `prepare`; None when tables are given.
        variables: the user's file of column names, for tables.
        policy: how reads become one, for tables; a store has its own.
        out: folder for `conflicts.csv` and `agreement.csv`; None writes none.
        as_json: print the agreement and the number of conflicts on stdout.

    Raises:
        InputError: neither or both of tables and store, a table cannot be read, or `out` cannot be
            made.
    """
    if bool(tables) == (store is not None):
        raise InputError(
            "conflicts are of MOAKS tables or of a store, not of neither or both",
            "`reads conflicts TABLE…` or `reads conflicts --store F`",
        )
    if store is not None:
        several = list(_of_store(store))
    else:
        several = list(_of_tables(read_moaks_tables(tables, load_variables(variables), policy)))
    differing = [grade for grade in several if grade.reads_differ]
    agreement = agreement_by_feature(several)
    if out is not None:
        make_folder(out)
        write_csv(out / "conflicts.csv", CONFLICT_COLUMNS, map(conflict_row, differing))
        write_csv(out / "agreement.csv", AGREEMENT_COLUMNS, map(agreement_csv_row, agreement))
        say(f"written: {out / 'conflicts.csv'}, {out / 'agreement.csv'}")
    if as_json:
        emit_json(
            {
                "conflicts": len(differing),
                "agreement": [
                    dict(zip(AGREEMENT_COLUMNS, agreement_csv_row(row), strict=True))
                    for row in agreement
                ],
            }
        )
        return 0
    _show(agreement, differing)
    return 0


def _of_store(store: Path) -> Iterator[ClinicianGrade]:
    with open_store(store, read_only=True) as con:
        synthetic = chosen_kind(synthetic_kinds(con))
        yield from grades_with_several_reads(con, synthetic=synthetic)


def chosen_kind(kinds: dict[bool, int]) -> bool:
    """Returns whether phantoms are looked at: only where there are no patients (RULES 26)."""
    if kinds.get(False) and kinds.get(True):
        say(f"{kinds[True]} phantom knee-visit(s) are left out: never pooled with patients")
    return not kinds.get(False) and bool(kinds.get(True))


def _of_tables(table: MoaksTable) -> Iterator[ClinicianGrade]:
    for knee_visit in table.knee_visits():
        if table.n_reads_of(*knee_visit) > 1:
            for grade in table.grades_for(*knee_visit):
                if len(grade.raw) > 1:
                    yield grade


def _show(agreement: Sequence[FeatureAgreement], differing: Sequence[ClinicianGrade]) -> None:
    show_table(
        "agreement of several reads [95 % interval over patients]",
        AGREEMENT_HEADER,
        [agreement_row(row) for row in agreement],
        to_stdout=True,
    )
    if reasons := sorted(_reasons(agreement)):
        say("NA: " + "; ".join(reasons))
    show_table(
        f"{len(differing)} component(s) whose reads differ"
        + (f", the first {_SHOWN_CONFLICTS}" if len(differing) > _SHOWN_CONFLICTS else ""),
        ["knee-visit", "question", "feature", "site", "component", "status", "reads"],
        [
            [
                f"{grade.patient}/{grade.visit}/{grade.side}",
                grade.question_id,
                QUESTIONS[grade.question_id].feature.value,
                QUESTIONS[grade.question_id].site,
                grade.component.value,
                _outcome(grade),
                reads_text(grade),
            ]
            for grade in differing[:_SHOWN_CONFLICTS]
        ],
        to_stdout=True,
    )


def _reasons(agreement: Sequence[FeatureAgreement]) -> set[str]:
    kappas = (kappa for row in agreement for kappa in row.kappas.values())
    return {kappa.reason for kappa in kappas if kappa.reason is not None}


def _outcome(grade: ClinicianGrade) -> str:
    return grade.status.value if grade.grade is None else f"{grade.grade} taken"


def reads_text(grade: ClinicianGrade) -> str:
    """Returns what each read says: `22 SQ:22: 1; 65 SQ:65: 2 (taken)`."""
    parts: list[str] = []
    for number, project in enumerate(grade.readprj):
        status, given = grade.read_status[number], grade.read_grades[number]
        said = status.value if given is None else str(given)
        name = " ".join(text for text in (project, grade.version[number]) if text) or "read"
        parts.append(f"{name}: {said}" + (" (taken)" if grade.taken[number] else ""))
    return "; ".join(parts)


def conflict_row(grade: ClinicianGrade) -> list[object]:
    """Returns a component of which reads disagree as a row of `CONFLICT_COLUMNS`."""
    question = QUESTIONS[grade.question_id]
    places = zip(grade.read_files, grade.lines, grade.raw, strict=True)
    where = " | ".join(f"{file}:{line} {raw!r}" for file, line, raw in places)
    return [
        grade.patient,
        grade.visit,
        grade.side,
        grade.question_id,
        question.feature.value,
        question.site,
        grade.component.value,
        grade.status.value,
        grade.grade,
        grade.policy,
        " ".join(map(str, grade.distinct_grades)),
        f"{reads_text(grade)} | {where}",
    ]


def agreement_row(row: FeatureAgreement) -> list[object]:
    """Returns an agreement for people."""
    return [
        row.feature.value,
        row.component.value,
        row.part,
        row.n_components,
        row.n_pairs,
        row.n_patients,
        f"{_share(row)}{_interval(row.conflicts, 100, 0)}",
        *(statistic_text(row.kappas[weighting]) for weighting in Weighting),
        None if row.published is None else f"{row.published:.2f}",
    ]


def _share(row: FeatureAgreement) -> str:
    return f"{100 * row.n_conflicts / row.n_components:.1f} %"


def agreement_csv_row(row: FeatureAgreement) -> list[str | int | float | None]:
    """Returns an agreement as a row of `AGREEMENT_COLUMNS`; what is not defined is empty."""
    kappas: list[str | float | None] = []
    for weighting in Weighting:
        found = row.kappas[weighting]
        kappas += [found.value, found.low, found.high, found.reason or found.no_interval]
    return [
        row.feature.value,
        row.component.value,
        row.part,
        row.scale.value,
        row.n_components,
        row.n_conflicts,
        row.n_pairs,
        row.n_patients,
        row.conflicts.value,
        row.conflicts.low,
        row.conflicts.high,
        *kappas,
        row.published,
    ]


def statistic_text(found: Statistic) -> str:
    """Returns `0.61 [0.52, 0.70]`, the value alone without an interval, or `NA`."""
    if found.value is None:
        return "NA"
    return f"{found.value:.2f}{_interval(found, 1, 2)}"


def _interval(found: Statistic, scale: float, decimals: int) -> str:
    if found.low is None or found.high is None:
        return ""
    return f" [{scale * found.low:.{decimals}f}, {scale * found.high:.{decimals}f}]"


def make_folder(folder: Path) -> None:
    """Makes a folder for a report, where it is not there yet.

    Raises:
        InputError: there is a file, or no right to write.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"folder {str(folder)!r} cannot be made: {error.strerror}", "name another --out"
        ) from error


def write_csv(
    path: Path,
    columns: Sequence[str],
    rows: Iterator[Sequence[object]] | Sequence[Sequence[object]],
) -> None:
    """Writes a CSV file, whole or not at all; None is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    half = path.with_suffix(".part")
    half.write_text(buffer.getvalue(), encoding="utf-8")
    half.replace(path)
