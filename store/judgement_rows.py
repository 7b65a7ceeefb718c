"""Judgements as Arrow tables, and back from their rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from knee.calls import PromptRef, Usage
from knee.judgement import JudgeCall, Judgement, RubricMark
from knee.moaks import Component
from store.arrow_rows import (
    GRADES,
    SAMPLING,
    TEXT,
    Row,
    Table,
    arrow,
    sampling_columns,
    sampling_of,
    utc_now,
)

_KEY: dict[str, Any] = {
    "run_id": TEXT,
    "volume_id": TEXT,
    "question_id": pa.int16(),
    "verdict_no": pa.int16(),
}
PROMPTS = pa.list_(pa.struct([("prompt_id", TEXT), ("version", pa.int32()), ("sha256", TEXT)]))
JUDGEMENTS = pa.schema(
    {
        **_KEY,
        "attempt_no": pa.int16(),
        "judge_model": TEXT,
        "prompts": PROMPTS,
        "versions": pa.map_(TEXT, pa.int32()),
        "grades": GRADES,
        "marks": pa.list_(
            pa.struct(
                [("item", TEXT), ("essential", pa.bool_()), ("holds", pa.bool_()), ("reason", TEXT)]
            )
        ),
        "codes": pa.list_(TEXT),
        "passed": pa.bool_(),
        "recorded_at": pa.timestamp("us"),
    }
)
JUDGE_CALLS = pa.schema(
    {
        **_KEY,
        "call_no": pa.int16(),
        "task": TEXT,
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
        "text": TEXT,
    }
)


def judgement_tables(judged: Iterable[tuple[Row, Judgement]]) -> dict[str, Table]:
    """Returns the rows of judgements and their calls, by table name; nothing without any.

    Args:
        judged: item key with `verdict_no`, and the judgement.
    """
    rows: list[Row] = []
    calls: list[Row] = []
    now = utc_now()
    for key, judgement in judged:
        rows.append(key | _judgement_row(judgement) | {"recorded_at": now})
        calls += [key | _call_row(call) for call in judgement.calls]
    tables: dict[str, Table] = {}
    if rows:
        tables["judgements"] = arrow(rows, JUDGEMENTS)
    if calls:
        tables["judge_calls"] = arrow(calls, JUDGE_CALLS)
    return tables


def judgement_of(row: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> Judgement:
    """Returns the judgement of a row of `judgements` and its rows of `judge_calls`, in order."""
    grades = row["grades"]
    return Judgement(
        attempt_no=row["attempt_no"],
        model=row["judge_model"],
        prompts=tuple(PromptRef(**prompt) for prompt in row["prompts"]),
        versions=dict(row["versions"]),
        calls=tuple(_call_of(call) for call in calls),
        grades=None
        if grades is None
        else {Component(name): grade for name, grade in grades.items() if grade is not None},
        marks=tuple(RubricMark(**mark) for mark in row["marks"]),
        codes=tuple(row["codes"]),
    )


def _judgement_row(judgement: Judgement) -> Row:
    return {
        "attempt_no": judgement.attempt_no,
        "judge_model": judgement.model,
        "prompts": [prompt.model_dump() for prompt in judgement.prompts],
        "versions": list(judgement.versions.items()),
        "grades": None
        if judgement.grades is None
        else {component.value: grade for component, grade in judgement.grades.items()},
        "marks": [mark.model_dump() for mark in judgement.marks],
        "codes": list(judgement.codes),
        "passed": judgement.passed,
    }


def _call_row(call: JudgeCall) -> Row:
    return {
        "call_no": call.call_no,
        "task": call.task.value,
        "prompt_id": call.prompt.prompt_id,
        "prompt_version": call.prompt.version,
        "prompt_sha256": call.prompt.sha256,
        "prompt_text_sha256": call.prompt_text_sha256,
        "model": call.model,
        **sampling_columns(call.sampling),
        **call.usage.model_dump(),
        "finish_reason": call.finish_reason,
        "text": call.text,
    }


def _call_of(row: Mapping[str, Any]) -> JudgeCall:
    return JudgeCall(
        call_no=row["call_no"],
        task=row["task"],
        prompt=PromptRef(
            prompt_id=row["prompt_id"], version=row["prompt_version"], sha256=row["prompt_sha256"]
        ),
        prompt_text_sha256=row["prompt_text_sha256"],
        model=row["model"],
        sampling=sampling_of(row),
        usage=Usage(**{name: row[name] for name in Usage.model_fields}),
        finish_reason=row["finish_reason"],
        text=row["text"],
    )
