"""A reader's sheet: what is shown of an item, and what comes back.

Shown are place, picture file and the first three steps, in which grades and cut-offs are masked as
they are for the judge. Not shown: the clinician's grade, the draft's, the verdict, the stratum.
"""

import csv
import hashlib
from pathlib import Path
from typing import Final

import duckdb

from agents.checks.context import CheckContext
from agents.graph import BASELINE_VISIT
from agents.masking import mask_steps
from knee.errors import InputError
from knee.questions import QUESTIONS
from knee.review import ReviewReason
from store.items import Selection, load_items
from store.loading import load_outcomes, load_volume
from store.review_samples import Read, Sample, SampleItem

SHOWN: Final = (
    *("item", "image", "label_map", "side", "visit", "region", "components", "box"),
    *("locate", "observe", "measure"),
)
"""What the sheet says."""
FILLED: Final = ("verdict", "reason", "grades", "note")
"""What the reader writes: `ok` or `wrong`; why; own grades as `size=1; number=2`; words."""
VERDICTS: Final = ("ok", "wrong")
"""A reader's verdict on the text."""


def sheet_rows(
    con: duckdb.DuckDBPyConnection, items: tuple[SampleItem, ...], reader: str
) -> list[dict[str, str]]:
    """Returns a reader's rows, in an order of the reader's own."""

    def place(item: SampleItem) -> str:
        return hashlib.sha256(f"{reader} {item.code}".encode()).hexdigest()

    return [_row(con, item) for item in sorted(items, key=place)]


def write_sheet(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes a sheet; what is there already is never replaced, for it may be filled in.

    Raises:
        InputError: there is a file of that name, or it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, (*SHOWN, *FILLED))
            writer.writeheader()
            writer.writerows(rows)
    except FileExistsError:
        raise InputError(
            f"there is a sheet {str(path)!r} already", "it may be filled in: move it away first"
        ) from None
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror}") from error


def read_sheet(path: Path, sample: Sample, reader: str, *, adjudicates: bool) -> list[Read]:
    """Returns what a reader filled in; rows without a verdict are not read yet.

    Raises:
        InputError: the file is no sheet of this sample, or a row is not as asked (with its line).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"sheet {str(path)!r} cannot be read: {error}") from error
    items = {item.code: item for item in sample.items}
    reads: list[Read] = []
    for line, row in enumerate(rows, 2):
        code, verdict = (row.get("item") or "").strip(), (row.get("verdict") or "").strip().lower()
        where = f"{str(path)!r} line {line}"
        if code not in items:
            raise InputError(f"{where}: {code!r} is no item of sample {sample.name!r}")
        if not verdict:
            continue
        if any(read.code == code for read in reads):
            raise InputError(f"{where}: {code!r} stands twice")
        reads.append(_read(row, items[code], (reader, adjudicates, verdict), where))
    return reads


def _read(row: dict[str, str], item: SampleItem, who: tuple[str, bool, str], where: str) -> Read:
    reader, adjudicates, verdict = who
    reason, note = (row.get("reason") or "").strip(), (row.get("note") or "").strip()
    if verdict not in VERDICTS:
        raise InputError(f"{where}: verdict {verdict!r}", "ok or wrong")
    if reason and reason not in list(ReviewReason):
        raise InputError(f"{where}: reason {reason!r}", f"one of {', '.join(ReviewReason)}")
    if (verdict == "wrong") != bool(reason):
        raise InputError(f"{where}: verdict {verdict!r} with reason {reason!r}", "wrong has one")
    grades = _grades(row.get("grades") or "", item, where)
    return Read(item.code, reader, adjudicates, verdict, reason or None, grades, note or None)


def _grades(text: str, item: SampleItem, where: str) -> dict[str, int]:
    question = QUESTIONS[item.text.key.question_id]
    legal = {component.value: question.scale(component).grades for component in question.components}
    grades: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, found, value = (word.strip() for word in part.partition("="))
        known = found and name in legal and value.isdigit() and int(value) in legal[name]
        if not known or name in grades:
            raise InputError(f"{where}: grades {text!r}", f"like size=1; of {', '.join(legal)}")
        grades[name] = int(value)
    return grades


def _row(con: duckdb.DuckDBPyConnection, sampled: SampleItem) -> dict[str, str]:
    key, run_id = sampled.text.key, sampled.text.run_id
    volume = load_volume(con, key.volume_id)
    chosen = Selection((key.volume_id,), (key.question_id,), pending_only=False)
    item = next(iter(load_items(con, chosen, run_id=run_id)))
    outcome = next(iter(load_outcomes(con, run_id, [key])))
    draft = outcome.attempts[sampled.text.attempt_no - 1].draft
    if draft is None:
        raise InputError(f"{key.volume_id}#{key.question_id} has no text")
    context = CheckContext(
        question=item.question,
        finding=item.finding,
        asked=tuple(draft.grades),
        side=item.side,
        is_follow_up=item.visit != BASELINE_VISIT,
        shape=item.shape,
        slice_axis=item.slice_axis,
        calibration=None,
        prompt_text="",
        sequence=item.sequence,
    )
    box = item.finding.box
    return {
        "item": sampled.code,
        "image": volume.image or "",
        "label_map": volume.label_map,
        "side": str(volume.side),
        "visit": volume.visit,
        "region": item.question.region_name,
        "components": "; ".join(component.value for component in draft.grades),
        "box": "" if box is None else " ".join(f"{v:.0f}" for v in (*box.lower, *box.upper)),
        **{step.name: step.text for step in mask_steps(draft, context).steps},
    }
