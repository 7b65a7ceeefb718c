"""The report of a run: one self-contained HTML file, and `report`, which writes it again.

`<store>.reports/<run_id>/index.html`: states, acceptance by clinician grade, reasons, and a handful
of quintuples with the slices through their box. Pictures need the volumes' files; where those are
away, the report says so instead.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from knee.errors import InputError
from knee.questions import QUESTIONS
from knee.records import ComponentComparison, ComponentStatus, ItemState, Wording
from prompts.question_text import question_text
from stages.console import emit_json, percent, say
from stages.pictures import Pictures
from stages.quota_plan import QUOTA_COLUMNS, QUOTA_TITLE, quota_rows
from stages.status import pick_run
from stages.summary import (
    ACCEPTANCE_COLUMNS,
    CHANCE_COLUMNS,
    RunSummary,
    acceptance_rows,
    chance_table,
    cost_line,
    grade_columns,
    grade_rows,
    load_summary,
    state_rows,
)
from store.connection import open_store
from store.items import rows_of
from store.loading import OutcomeExample, outcome_examples
from store.queries import Acceptance

_TEMPLATES = Path(__file__).parent / "templates"
_MAX_EXAMPLES = 12
_MAX_CODES = 12


def _examples(store: Path, run_id: str, cohort_root: Path | None) -> list[dict[str, Any]]:
    """Returns accepted items, highest grades first; of a run that accepted none, others."""
    pictures = Pictures(cohort_root)
    found: list[OutcomeExample] = []
    with open_store(store, read_only=True) as con:
        for state in (ItemState.ACCEPTED, ItemState.DISAGREES, ItemState.REJECTED):
            found = outcome_examples(con, run_id, _MAX_EXAMPLES, state=state)
            if found:
                break
    found.sort(key=lambda example: (example.outcome.volume_id, example.outcome.question_id))
    return [_example(example, pictures) for example in found]


def _example(example: OutcomeExample, pictures: Pictures) -> dict[str, Any]:
    outcome, draft = example.outcome, example.last.draft
    question = QUESTIONS[outcome.question_id]
    title = f"{outcome.volume_id}   {question.region_name}"
    picture, trouble = pictures.draw(example.volume, example.box, title)
    asked = tuple(c.component for c in outcome.components if c.status is ComponentStatus.GRADED)
    box = "none" if example.box is None else list(example.box.indices)
    return {
        "title": f"Q{question.question_id} {_spoken(question.feature.value)}: "
        f"{question.region_name}",
        "state": outcome.state.value,
        "meta": f"{outcome.volume_id} · box {box} · model {example.last.model} · attempt "
        f"{example.last.attempt_no}" + (" · synthetic" if example.volume.synthetic else ""),
        "question": question_text(
            question.question_id, Wording.GUIDED, asked or question.components
        ),
        "picture": picture,
        "picture_alt": f"Sagittal, coronal and axial slice through the {question.region_name}",
        "no_picture": trouble,
        "steps": [
            {"name": _spoken(step.name.value), "text": step.text}
            for step in (draft.steps if draft else ())
        ],
        "grades": [
            {
                "component": _spoken(c.component.value),
                "draft": c.draft_grade,
                "clinician": _clinician(c),
            }
            for c in outcome.components
        ],
    }


def _clinician(compared: ComponentComparison) -> str:
    """Returns the clinician's grade, or why there is none: missing is never 0."""
    if compared.clinician_grade is not None:
        return str(compared.clinician_grade)
    return compared.clinician_status.value if compared.clinician_status else "not in a table"


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _tables(summary: RunSummary) -> Iterator[dict[str, Any]]:
    yield {"title": "Items by state", "columns": ["state", "items"], "rows": state_rows(summary)}
    if summary.quotas:
        yield {
            "title": QUOTA_TITLE.capitalize(),
            "columns": QUOTA_COLUMNS,
            "rows": quota_rows(summary.quotas),
        }
    yield {
        "title": "Acceptance",
        "columns": ACCEPTANCE_COLUMNS,
        "rows": [*acceptance_rows(summary.acceptance), *acceptance_rows(summary.by_feature)],
    }
    yield {
        "title": "Acceptance by clinician grade (components)",
        "columns": grade_columns(summary),
        "rows": grade_rows(summary),
    }
    yield {
        "title": "Acceptance and agreement by component, beside chance",
        "columns": CHANCE_COLUMNS,
        "rows": chance_table(summary),
    }
    yield {
        "title": "Reasons of the others",
        "columns": ["state", "code", "items"],
        "rows": [[c.state.value, c.code, c.items] for c in summary.codes[:_MAX_CODES]],
    }


def _cards(summary: RunSummary) -> list[dict[str, str]]:
    groups = {row.group: row for row in summary.acceptance}
    cards = [
        {"value": _share(groups[name].share), "label": label + _of(groups[name])}
        for name, label in (
            ("all", "of drafted items accepted"),
            ("grade 0", "where the clinician gave 0"),
            ("grade >= 1", "where the clinician gave ≥ 1"),
        )
    ]
    macro = summary.macro_over_grades
    cover = summary.coverage
    return [
        *cards,
        {"value": _share(macro), "label": "acceptance, macro over clinician grades"},
        {
            "value": _share(cover.share),
            "label": f"coverage: {cover.drafted} drafted of {cover.all} (69 questions a volume)",
        },
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _of(row: Acceptance) -> str:
    return f" ({row.accepted}/{row.drafted})"


def write_report(store: Path, run_id: str, cohort_root: Path | None) -> Path:
    """Writes the report of a run and returns its path.

    Args:
        store: the store.
        run_id: a run of it.
        cohort_root: where the images lie now; None takes the place at which they were prepared.

    Raises:
        InputError: the report cannot be written.
        StoreError: the store cannot be read.
    """
    summary = load_summary(store, run_id)
    with open_store(store, read_only=True) as con:
        run = next(rows_of(con.execute("SELECT * FROM runs WHERE run_id = ?", [run_id])))
        row = con.execute(
            "SELECT count(DISTINCT volume_id), count(DISTINCT volume_id) FILTER (synthetic) "
            "FROM v_item_states WHERE run_id = ?",
            [run_id],
        ).fetchone()
    n_volumes, n_synthetic = (0, 0) if row is None else row
    examples = _examples(store, run_id, cohort_root)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("report.html.jinja2").render(
        run={
            **run,
            "prompts": [f"{p['prompt_id']}@{p['version']}" for p in run["prompts"]],
        },
        warnings=list(_warnings(run, summary, n_synthetic, n_volumes)),
        cards=_cards(summary),
        tables=list(_tables(summary)),
        examples=examples,
        examples_title="A handful of quintuples"
        if not examples or examples[0]["state"] == "accepted"
        else "Nothing was accepted; some drafts",
        provenance=f"{cost_line(summary)}. Code {run['provenance'].get('code', 'unknown')}.",
    )
    path = reports_folder(store) / run_id / "index.html"
    half = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(html, encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write the report {str(path)!r}: {error.strerror}",
            "the store has everything; `report` writes it again once the folder can be written",
        ) from error
    return path


def _warnings(
    run: dict[str, Any], summary: RunSummary, n_synthetic: int, n_volumes: int
) -> Iterator[str]:
    if n_synthetic:
        yield (
            f"Synthetic: {percent(n_synthetic, n_volumes)} of the volumes are phantoms or painted; "
            "these figures say that the pipeline works, nothing about patients."
        )
    if summary.quotas:
        yield (
            "Items were chosen by quota, by the clinician's grade: their mix of grades is not that "
            "of the patients, and figures of all items together depend on the quotas."
        )
    if run["kind"] == "control":
        yield "A negative control: what is accepted here was accepted by chance."
    if run["grounding"] == "label_given":
        yield "The drafter was shown the clinician's grade."


def reports_folder(store: Path) -> Path:
    """Returns `<store>.reports`, beside the store."""
    return store.with_name(store.name + ".reports")


def report(store: Path, run_id: str | None, cohort_root: Path | None, *, as_json: bool) -> int:
    """Writes a run's report again (the newest run unless named)."""
    path = write_report(store, pick_run(store, run_id), cohort_root)
    if as_json:
        emit_json({"report": str(path)})
    say(str(path))
    return 0
