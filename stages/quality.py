"""`reads quality`: what the clinicians' grades in a store are worth, as one HTML file and as CSV.

`<store>.reports/quality/index.html` is self-contained; the CSV files beside it hold the same
numbers and the whole lists. Phantoms and patients are never pooled: phantoms are shown only where
there is nobody else.
"""

from pathlib import Path
from typing import Any

import duckdb
import jinja2

from knee.errors import InputError
from knee.grades import GradeStatus
from knee.keys import JsonValue
from knee.questions import QUESTIONS
from stages.console import emit_json, percent, say
from stages.pictures import Pictures
from stages.quality_numbers import LabelQuality, gather_quality
from stages.quality_tables import html_tables, write_csv_files
from stages.reads import chosen_kind, make_folder
from stages.report import reports_folder
from store.connection import open_store
from store.loading import load_volume
from store.reads import MeasuredGrade, synthetic_kinds

_TEMPLATES = Path(__file__).parent / "templates"
FOLDER = "quality"
"""Folder of the report beside those of the runs."""


def quality(
    store: Path, cohort_root: Path | None, *, out: Path | None, pictures: int, as_json: bool
) -> int:
    """Writes the label quality report of a store; its path is the last line on stderr.

    Args:
        store: a store with clinicians' grades.
        cohort_root: where the images lie now; None takes the place at which they were prepared.
        out: folder for the report; None is `<store>.reports/quality`.
        pictures: how many discordant items are drawn.
        as_json: print the path and the main counts on stdout.

    Raises:
        InputError: the store has no clinicians' grades.
        StoreError: the store cannot be read.
    """
    with open_store(store, read_only=True) as con:
        kinds = synthetic_kinds(con)
        if not kinds:
            raise InputError(
                f"store {str(store)!r} has no clinicians' grades",
                "`run_pipeline.py prepare COHORT --moaks TABLE…` loads them",
            )
        found = gather_quality(con, synthetic=chosen_kind(kinds))
        drawn = _drawn(con, found.discordant[:pictures], cohort_root)
    folder = out or reports_folder(store) / FOLDER
    make_folder(folder)
    write_csv_files(folder, found)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("quality.html.jinja2").render(
        store=store.name,
        warnings=_warnings(found, kinds),
        cards=_cards(found),
        sections=html_tables(found),
        drawn=drawn,
        n_discordant=len(found.discordant),
    )
    path = folder / "index.html"
    half = path.with_suffix(".part")
    half.write_text(html, encoding="utf-8")
    half.replace(path)
    if as_json:
        emit_json(_as_json(path, found))
    say(str(path))
    return 0


def _drawn(
    con: duckdb.DuckDBPyConnection, rows: list[MeasuredGrade], root: Path | None
) -> list[dict[str, Any]]:
    """Cards of discordant items with their slices; volume by volume."""
    pictures = Pictures(root)
    cards: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (r.volume_id, r.question_id, r.component)):
        question = QUESTIONS[row.question_id]
        title = f"{row.volume_id}   {question.region_name}"
        picture, trouble = pictures.draw(load_volume(con, row.volume_id), row.box, title)
        cards.append(
            {
                "title": f"Q{row.question_id} {row.feature.value.replace('_', ' ')}, "
                f"{row.component.value.replace('_', ' ')}: {question.region_name}",
                "meta": f"{row.volume_id} · READPRJ {', '.join(row.readprj) or '–'} · rule basis "
                f"{row.basis} · evidence {row.level}" + (" · borderline" if row.borderline else ""),
                "clinician": row.clinician,
                "rule": row.rule,
                "measured": measured_text(row),
                "picture": picture,
                "trouble": trouble,
                "alt": f"Sagittal, coronal and axial slice through the {question.region_name}",
            }
        )
    return cards


def measured_text(row: MeasuredGrade) -> str:
    """Returns `surface loss share 12.3 ± 1.2 %`; a dash where the measurement is not known."""
    if row.value is None or row.measurement is None:
        return "–"
    spread = "" if row.sd is None else f" ± {row.sd:.2g}"
    return f"{row.measurement.replace('_', ' ')} {row.value:.3g}{spread} {row.unit}"


def _warnings(found: LabelQuality, kinds: dict[bool, int]) -> list[str]:
    lines: list[str] = []
    if found.synthetic:
        lines.append(
            "Synthetic: these are phantoms' tables and masks. The figures are self-consistency and "
            "say nothing about patients or readers."
        )
    elif kinds.get(True):
        lines.append(f"{kinds[True]} phantom knee-visit(s) of the store are left out.")
    lines.append(
        "Not a population sample: reading projects were chosen by outcome; compare within READPRJ."
    )
    return lines


def _cards(found: LabelQuality) -> list[dict[str, str]]:
    counts = found.counts
    n_read = sum(row.n_read for row in found.by_feature)
    n_compared = sum(row.n for row in found.discordance)
    return [
        {"value": f"{counts.knee_visits}", "label": f"knee-visits of {counts.patients} patient(s)"},
        {"value": percent(n_read, counts.components), "label": "components with a grade"},
        {
            "value": percent(counts.ambiguous, counts.multiple),
            "label": "of the components that several reads graded: different grades",
        },
        {"value": f"{len(found.illegal)}", "label": "combinations of grades that cannot be"},
        {
            "value": percent(len(found.discordant), n_compared),
            "label": "of the grades with a measured one beside: discordant",
        },
    ]


def _as_json(path: Path, found: LabelQuality) -> dict[str, JsonValue]:
    statuses = {
        status.value: sum(row.statuses.get(status, 0) for row in found.by_feature)
        for status in GradeStatus
    }
    return {
        "report": str(path),
        "synthetic": found.synthetic,
        **found.counts._asdict(),
        "statuses": statuses,
        "illegal_combinations": len(found.illegal),
        "discordant": len(found.discordant),
        "compared": sum(row.n for row in found.discordance),
    }
