"""What a run produces as Arrow tables, and attempts back from their rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from knee.answers import Draft, Step
from knee.keys import content_hash
from knee.moaks import Component
from knee.records import (
    Attempt,
    CheckIssue,
    ComponentStatus,
    ItemOutcome,
    ItemState,
    PromptRef,
    Usage,
)
from store.answer_text import TextForm, text_form, write_answer
from store.arrow_rows import (
    BOX,
    GRADES,
    SAMPLING,
    TEXT,
    Row,
    Table,
    arrow,
    box_value,
    sampling_columns,
    sampling_of,
    utc_now,
)
from store.judgement_rows import judgement_tables
from store.shown_image_rows import shown_images_table

_KEY: dict[str, Any] = {"run_id": TEXT, "volume_id": TEXT, "question_id": pa.int16()}
OUTCOMES = pa.schema(
    {
        **_KEY,
        "findings_id": TEXT,
        "state": TEXT,
        "codes": pa.list_(TEXT),
        "gates": pa.list_(TEXT),
        "complete": pa.bool_(),
        "error": TEXT,
        "n_attempts": pa.int16(),
        "content_sha256": TEXT,
        "recorded_at": pa.timestamp("us"),
    }
)
OUTCOME_COMPONENTS = pa.schema(
    {
        **_KEY,
        "position": pa.int16(),
        "component": TEXT,
        "status": TEXT,
        "draft_grade": pa.int16(),
        "clinician_grade": pa.int16(),
        "clinician_status": TEXT,
        "evidence": TEXT,
    }
)
STEP = pa.struct([("name", TEXT), ("text", TEXT), ("box", BOX), ("cites", pa.list_(TEXT))])
ISSUE = pa.struct(
    [
        ("check", TEXT),
        ("version", pa.int32()),
        ("code", TEXT),
        ("severity", TEXT),
        ("message", TEXT),
    ]
)
ATTEMPTS = pa.schema(
    {
        **_KEY,
        "attempt_no": pa.int16(),
        "prompt_id": TEXT,
        "prompt_version": pa.int32(),
        "prompt_sha256": TEXT,
        "prompt_text_sha256": TEXT,
        "model": TEXT,
        **SAMPLING,
        "prompt_tokens": pa.int32(),
        "completion_tokens": pa.int32(),
        "latency_s": pa.float64(),
        "finish_reason": TEXT,
        "parsed": pa.bool_(),
        "text": TEXT,
        "text_form": TEXT,
        "steps": pa.list_(STEP),
        "grades": GRADES,
        "issues": pa.list_(ISSUE),
        "passed": pa.bool_(),
        "grade_changed": pa.bool_(),
    }
)
QUINTUPLES = pa.schema(
    {
        **_KEY,
        "attempt_no": pa.int16(),
        "findings_id": TEXT,
        "components_scored": pa.list_(TEXT),
        "complete": pa.bool_(),
        "synthetic": pa.bool_(),
        "recorded_at": pa.timestamp("us"),
    }
)


def outcome_hash(outcome: ItemOutcome) -> str:
    """Returns the hash over everything in an outcome."""
    # Without them as it was before there were any: a journal of then still replays.
    left_out = {name for name in ("judgement", "images") if getattr(outcome, name) is None}
    return content_hash(outcome.model_dump_json(exclude=left_out))


def outcome_table(outcomes: Iterable[ItemOutcome]) -> Table:
    """Returns the rows of `outcomes`."""
    now = utc_now()
    rows: list[Row] = [
        _key(outcome)
        | {
            "findings_id": outcome.findings_id,
            "state": outcome.state.value,
            "codes": list(outcome.codes),
            "gates": list(outcome.gates),
            "complete": outcome.complete,
            "error": outcome.error,
            "n_attempts": len(outcome.attempts),
            "content_sha256": outcome_hash(outcome),
            "recorded_at": now,
        }
        for outcome in outcomes
    ]
    return arrow(rows, OUTCOMES)


def outcome_child_tables(
    outcomes: Sequence[ItemOutcome], synthetic: Mapping[str, bool]
) -> dict[str, Table]:
    """Returns components, attempts, slices, quintuples and judgements of outcomes, by table name.

    Args:
        outcomes: finished items.
        synthetic: volume id to whether it is a phantom or painted.
    """
    components: list[Row] = []
    attempts: list[Row] = []
    quintuples: list[Row] = []
    now = utc_now()
    for outcome in outcomes:
        key = _key(outcome)
        components += [
            {**key, "position": position, **component.model_dump()}
            for position, component in enumerate(outcome.components)
        ]
        attempts += [key | attempt_row(a, outcome.question_id) for a in outcome.attempts]
        if outcome.state is ItemState.ACCEPTED:
            scored = [c for c in outcome.components if c.status is ComponentStatus.GRADED]
            quintuples.append(
                {
                    **key,
                    "attempt_no": outcome.attempts[-1].attempt_no,
                    "findings_id": outcome.findings_id,
                    "components_scored": [c.component.value for c in scored],
                    "complete": outcome.complete,
                    "synthetic": synthetic[outcome.volume_id],
                    "recorded_at": now,
                }
            )
    judged = ((_key(o) | {"verdict_no": 1}, o.judgement) for o in outcomes if o.judgement)
    return {
        "outcome_components": arrow(components, OUTCOME_COMPONENTS),
        "attempts": arrow(attempts, ATTEMPTS),
        "quintuples": arrow(quintuples, QUINTUPLES),
        "shown_images": shown_images_table((_key(o), o.images) for o in outcomes if o.images),
        **judgement_tables(judged),
    }


def attempt_row(attempt: Attempt, question_id: int) -> Row:
    """Returns the row of an attempt without its item's key; the inverse of `attempt_of`."""
    form = text_form(attempt.text, attempt.draft, question_id)
    draft = attempt.draft
    return {
        "attempt_no": attempt.attempt_no,
        "prompt_id": attempt.prompt.prompt_id,
        "prompt_version": attempt.prompt.version,
        "prompt_sha256": attempt.prompt.sha256,
        "prompt_text_sha256": attempt.prompt_text_sha256,
        "model": attempt.model,
        **sampling_columns(attempt.sampling),
        **attempt.usage.model_dump(),
        "finish_reason": attempt.finish_reason,
        "parsed": draft is not None,
        "text": attempt.text if form is TextForm.VERBATIM else None,
        "text_form": form.value,
        "steps": [_step_value(step) for step in draft.steps] if draft is not None else None,
        "grades": dict(draft.grades) if draft is not None else None,
        "issues": [issue.model_dump() for issue in attempt.issues],
        "passed": attempt.passed,
        "grade_changed": attempt.grade_changed,
    }


def attempt_of(row: Mapping[str, Any]) -> Attempt:
    """Returns the attempt of a row of `attempts`, the raw answer restored byte for byte."""
    draft = draft_of(row["steps"], row["grades"]) if row["parsed"] else None
    text = row["text"]
    if draft is not None and row["text_form"] != TextForm.VERBATIM:
        text = write_answer(draft, row["question_id"], TextForm(row["text_form"]))
    return Attempt(
        attempt_no=row["attempt_no"],
        prompt=PromptRef(
            prompt_id=row["prompt_id"], version=row["prompt_version"], sha256=row["prompt_sha256"]
        ),
        prompt_text_sha256=row["prompt_text_sha256"],
        model=row["model"],
        sampling=sampling_of(row),
        usage=Usage(
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            latency_s=row["latency_s"],
        ),
        finish_reason=row["finish_reason"],
        text=text,
        draft=draft,
        issues=tuple(CheckIssue(**issue) for issue in row["issues"]),
        grade_changed=row["grade_changed"],
    )


def draft_of(steps: Sequence[Mapping[str, Any]], grades: Mapping[str, int | None]) -> Draft:
    """Returns the draft of the `steps` and `grades` columns."""
    return Draft(
        steps=tuple(
            Step(
                name=step["name"],
                text=step["text"],
                box=tuple(step["box"].values()) if step["box"] is not None else None,
                cites=tuple(step["cites"]),
            )
            for step in steps
        ),
        grades=grades_of(grades),
    )


def grades_of(grades: Mapping[str, int | None]) -> dict[Component, int]:
    """Returns the components that have a grade in a `grades` column."""
    return {Component(name): grade for name, grade in grades.items() if grade is not None}


def _key(outcome: ItemOutcome) -> Row:
    return {
        "run_id": outcome.run_id,
        "volume_id": outcome.volume_id,
        "question_id": outcome.question_id,
    }


def _step_value(step: Step) -> Row:
    return {
        "name": step.name.value,
        "text": step.text,
        "box": box_value(step.box),
        "cites": list(step.cites),
    }
