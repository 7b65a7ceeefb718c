"""The report of a run: one self-contained HTML file, and `report`, which writes it again.

`<store>.reports/<run_id>/index.html`: states, acceptance by clinician grade, reasons, and a handful
of quintuples with the slices through their box. Pictures need the volumes' files; where those are
away, the report says so instead.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from knee.anatomy import Side
from knee.errors import KneeError
from knee.geometry import Box3D, voxel_box
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Wording
from prompts.question_text import question_text
from stages.console import emit_json, percent, say
from stages.status import pick_run
from stages.summary import (
    ACCEPTANCE_COLUMNS,
    RunSummary,
    acceptance_rows,
    cost_line,
    grade_columns,
    grade_rows,
    load_summary,
    state_rows,
)
from store.connection import open_store
from store.items import rows_of
from store.queries import Acceptance
from tools.segmentation import LabelMap, load_label_map, load_scheme
from tools.slices import sheet_png
from tools.volumes import Volume, load_volume

_TEMPLATES = Path(__file__).parent / "templates"
_PER_FEATURE = 2
_MAX_EXAMPLES = 12
_MAX_CODES = 12
_PANEL_MM = 130.0

_EXAMPLES = """
WITH shown AS (
    SELECT o.run_id, o.volume_id, o.question_id, o.state, q.feature, a.steps, a.grades, g.box,
        v.side, v.sequence, v.visit, v.image, v.label_map, v.cohort_root, v.scheme, v.synthetic,
        g.box_source, a.model, a.attempt_no,
        row_number() OVER (
            PARTITION BY q.feature, o.state ORDER BY highest DESC, o.volume_id, o.question_id
        ) AS place
    FROM outcomes o
    JOIN attempts a ON a.run_id = o.run_id AND a.volume_id = o.volume_id
        AND a.question_id = o.question_id AND a.attempt_no = o.n_attempts
    JOIN questions q ON q.question_id = o.question_id
    JOIN volumes v ON v.volume_id = o.volume_id
    LEFT JOIN regions g ON g.volume_id = o.volume_id AND g.findings_id = o.findings_id
        AND g.question_id = o.question_id
    JOIN (
        SELECT run_id, volume_id, question_id, max(clinician_grade) AS highest
        FROM outcome_components GROUP BY ALL
    ) c ON c.run_id = o.run_id AND c.volume_id = o.volume_id AND c.question_id = o.question_id
    WHERE o.run_id = $run AND o.state = $state AND a.steps IS NOT NULL
)
SELECT * FROM shown WHERE place <= $per_feature ORDER BY place, question_id LIMIT $n
"""
_GRADES = """
SELECT component, status, draft_grade, clinician_grade, clinician_status FROM outcome_components
WHERE run_id = ? AND volume_id = ? AND question_id = ? ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one volume, or why they cannot be shown."""

    image: Volume | None
    label_map: LabelMap | None
    trouble: str | None


class _Pictures:
    """Draws sheets; keeps the volume drawn last, for examples come volume by volume."""

    def __init__(self, cohort_root: Path | None) -> None:
        self._root = cohort_root
        self._loaded: dict[str, _Files] = {}

    def draw(self, row: dict[str, Any], box: Box3D | None) -> tuple[str | None, str]:
        """Returns a base64 PNG of an example, or None and the reason."""
        if row["volume_id"] not in self._loaded:
            self._loaded = {row["volume_id"]: self._load(row)}
        files = self._loaded[row["volume_id"]]
        if files.trouble is not None:
            return None, files.trouble
        title = f"{row['volume_id']}   {QUESTIONS[row['question_id']].region_name}"
        png = sheet_png(
            files.image, files.label_map, box, title=title, panel_mm=_PANEL_MM, panel_pixels=390
        )
        return base64.b64encode(png).decode(), ""

    def _load(self, row: dict[str, Any]) -> _Files:
        root = self._root or Path(row["cohort_root"])
        try:
            image = None if row["image"] is None else load_volume(root / row["image"])
            scheme = str(row["scheme"])
            reference = str(root / scheme) if scheme.endswith(".toml") else scheme
            label_map = load_label_map(
                root / row["label_map"], load_scheme(reference), Side(row["side"])
            )
        except KneeError as error:
            return _Files(None, None, error.message)
        return _Files(image, label_map, None)


def _examples(store: Path, run_id: str, cohort_root: Path | None) -> list[dict[str, Any]]:
    """Returns accepted items, highest grades first; of a run that accepted none, others."""
    pictures = _Pictures(cohort_root)
    with open_store(store, read_only=True) as con:
        rows: list[dict[str, Any]] = []
        for state in ("accepted", "disagrees", "rejected"):
            result = con.execute(
                _EXAMPLES,
                {"run": run_id, "state": state, "per_feature": _PER_FEATURE, "n": _MAX_EXAMPLES},
            )
            rows = list(rows_of(result))
            if rows:
                break
        graded = [
            con.execute(_GRADES, [run_id, row["volume_id"], row["question_id"]]).fetchall()
            for row in rows
        ]
    order = sorted(range(len(rows)), key=lambda n: (rows[n]["volume_id"], rows[n]["question_id"]))
    return [_example(rows[n], graded[n], pictures) for n in order]


def _example(
    row: dict[str, Any], graded: list[tuple[Any, ...]], pictures: _Pictures
) -> dict[str, Any]:
    question = QUESTIONS[row["question_id"]]
    box = None if row["box"] is None else voxel_box(*row["box"].values())
    picture, trouble = pictures.draw(row, box)
    asked = tuple(Component(entry[0]) for entry in graded if entry[1] == "graded")
    return {
        "title": f"Q{question.question_id} {question.feature.value.replace('_', ' ')}: "
        f"{question.region_name}",
        "state": row["state"],
        "meta": f"{row['volume_id']} · box {list(box.indices) if box else 'none'} "
        f"({row['box_source']}) · model {row['model']} · attempt {row['attempt_no']}"
        + (" · synthetic" if row["synthetic"] else ""),
        "question": question_text(
            question.question_id, Wording.GUIDED, asked or question.components
        ),
        "picture": picture,
        "picture_alt": f"Sagittal, coronal and axial slice through the {question.region_name}",
        "no_picture": trouble,
        "steps": [
            {"name": step["name"].replace("_", " "), "text": step["text"]} for step in row["steps"]
        ],
        "grades": [
            {
                "component": component.replace("_", " "),
                "draft": draft,
                "clinician": clinician if clinician is not None else (status or "not in a table"),
            }
            for component, _, draft, clinician, status in graded
        ],
    }


def _tables(summary: RunSummary) -> Iterator[dict[str, Any]]:
    yield {"title": "Items by state", "columns": ["state", "items"], "rows": state_rows(summary)}
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
        warnings=list(_warnings(run, n_synthetic, n_volumes)),
        cards=_cards(summary),
        tables=list(_tables(summary)),
        examples=examples,
        examples_title="A handful of quintuples"
        if not examples or examples[0]["state"] == "accepted"
        else "Nothing was accepted; some drafts",
        provenance=f"{cost_line(summary)}. Code {run['provenance'].get('code', 'unknown')}.",
    )
    path = reports_folder(store) / run_id / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(html, encoding="utf-8")
    half.replace(path)
    return path


def _warnings(run: dict[str, Any], n_synthetic: int, n_volumes: int) -> Iterator[str]:
    if n_synthetic:
        yield (
            f"Synthetic: {percent(n_synthetic, n_volumes)} of the volumes are phantoms or painted; "
            "these figures say that the pipeline works, nothing about patients."
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
