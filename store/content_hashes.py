"""Hashes of many outcomes and findings at once, made by the database.

A hash here is over the JSON that the records write, put together by SQL. Where it is the stored one
the content is the hashed one, for no other content has that hash. Where it is not, nothing is
proven: a record may hold what is written here in another way (a judgement, shown slices, escaped
letters, very small numbers), and `store.verifying` makes the record itself and hashes that.
"""

from typing import Final

import duckdb

from knee.moaks import Component

OutcomeKey = tuple[str, str, int]
"""(run id, volume id, question id)."""
FindingsKey = tuple[str, str]
"""(volume id, findings id)."""

_BOX: Final = ("i0", "i1", "j0", "j1", "k0", "k1")


def _object(*fields: tuple[str, str]) -> str:
    """SQL of a JSON object: names, and expressions that are JSON already."""
    parts: list[str] = []
    for number, (name, expression) in enumerate(fields):
        parts += [f"""'{"," if number else "{"}"{name}":'""", expression]
    # One call makes one string; a chain of `||` would copy long texts a dozen times.
    return f"concat({', '.join(parts)}, '}}')"


def _text(column: str) -> str:
    return f"to_json({column})::VARCHAR"


def _null(expression: str) -> str:
    return f"coalesce({expression}, 'null')"


def _number(column: str) -> str:
    return f"{column}::VARCHAR"


def _list(column: str, entry: str, separator: str = ",") -> str:
    """SQL of a JSON list; `entry` is an expression over `x`."""
    made = f"list_transform({column}, lambda x: {entry})"
    return f"('[' || coalesce(array_to_string({made}, '{separator}'), '') || ']')"


def _grades(column: str, separator: str = ",", colon: str = ":") -> str:
    parts = ", ".join(f'\'"{c.value}"{colon}\' || {column}."{c.value}"::VARCHAR' for c in Component)
    return f"('{{' || concat_ws('{separator}', {parts}) || '}}')"


def _answer(comma: str, colon: str) -> str:
    """SQL of the raw answer, as `store.answer_text.write_answer` writes it."""
    box = f"concat_ws('{comma}', {', '.join(f'x.box.{name}' for name in _BOX)})"
    cites = _list("x.cites", "to_json(x)::VARCHAR", comma).replace("lambda x: to_json(x)", _INNER)
    step = (
        f'concat(to_json(x.name)::VARCHAR, \'{colon}{{"text"{colon}\', to_json(x."text")::VARCHAR, '
        f"CASE WHEN x.box IS NULL THEN '' ELSE concat('{comma}\"box\"{colon}[', {box}, ']') END, "
        f"CASE WHEN len(x.cites) = 0 AND x.name <> 'measure' THEN '' "
        f"ELSE concat('{comma}\"cites\"{colon}', {cites}) END, '}}')"
    )
    steps = f"array_to_string(list_transform(steps, lambda x: {step}), '{comma}')"
    grades = _grades("grades", comma, colon)
    return f"concat('{{', {steps}, '{comma}\"grades\"{colon}', {grades}, '}}')"


_INNER: Final = "lambda y: to_json(y)"
_STEP: Final = _object(
    ("name", _text("x.name")),
    ("text", _text('x."text"')),
    (
        "box",
        "CASE WHEN x.box IS NULL THEN 'null' ELSE '[' || concat_ws(',', "
        + ", ".join(f"x.box.{name}" for name in _BOX)
        + ") || ']' END",
    ),
    ("cites", _list("x.cites", _text("x")).replace("lambda x: to_json(x)", _INNER)),
)
_ISSUE: Final = _object(
    ("check", _text('x."check"')),
    ("version", _number('x."version"')),
    ("code", _text("x.code")),
    ("severity", _text("x.severity")),
    ("message", _text("x.message")),
)
_SAMPLING: Final = (
    "'{' || concat_ws(',', "
    + ", ".join(
        f"'\"{name}\":' || {name}::VARCHAR"
        for name in ("temperature", "top_p", "max_tokens", "seed")
    )
    + ", nullif(array_to_string(list_transform(map_entries(sampling_other), "
    "lambda x: to_json(x.key)::VARCHAR || ':' || x.value), ','), '')) || '}'"
)
_RAW: Final = (
    "CASE text_form WHEN 'verbatim' THEN text "
    f"WHEN 'spaced' THEN {_answer(', ', ': ')} WHEN 'spaced_ascii' THEN {_answer(', ', ': ')} "
    f"ELSE {_answer(',', ':')} END"
)
_ATTEMPT: Final = _object(
    ("attempt_no", _number("attempt_no")),
    (
        "prompt",
        _object(
            ("prompt_id", _text("prompt_id")),
            ("version", _number("prompt_version")),
            ("sha256", _text("prompt_sha256")),
        ),
    ),
    ("prompt_text_sha256", _text("prompt_text_sha256")),
    ("model", _text("model")),
    ("sampling", _SAMPLING),
    (
        "usage",
        _object(
            ("prompt_tokens", _number("prompt_tokens")),
            ("completion_tokens", _number("completion_tokens")),
            ("latency_s", _number("latency_s")),
        ),
    ),
    ("finish_reason", _text("finish_reason")),
    ("text", f"to_json({_RAW})::VARCHAR"),
    (
        "draft",
        "CASE WHEN parsed THEN "
        + _object(("steps", _list("steps", _STEP)), ("grades", _grades("grades")))
        + " ELSE 'null' END",
    ),
    ("issues", _list("issues", _ISSUE)),
    ("grade_changed", _number("grade_changed")),
)
_COMPONENT: Final = _object(
    ("component", _text("component")),
    ("status", _text("status")),
    ("draft_grade", _null(_number("draft_grade"))),
    ("clinician_grade", _null(_number("clinician_grade"))),
    ("clinician_status", _null(_text("clinician_status"))),
    ("evidence", _text("evidence")),
)
_OUTCOME: Final = _object(
    ("run_id", _text("o.run_id")),
    ("volume_id", _text("o.volume_id")),
    ("question_id", _number("o.question_id")),
    ("findings_id", _text("o.findings_id")),
    ("state", _text("o.state")),
    ("codes", _list("o.codes", _text("x"))),
    ("attempts", "'[' || coalesce(a.made, '') || ']'"),
    ("components", "'[' || coalesce(c.made, '') || ']'"),
    ("gates", _list("o.gates", _text("x"))),
    ("error", _null(_text("o.error"))),
)
_STRETCH: Final = "volume_id BETWEEN $first AND $last"
_OUTCOMES: Final = f"""
SELECT o.run_id, o.volume_id, o.question_id FROM outcomes o
LEFT JOIN (
    SELECT run_id, volume_id, question_id, string_agg({_ATTEMPT}, ',' ORDER BY attempt_no) AS made
    FROM attempts WHERE {_STRETCH} GROUP BY ALL
) a USING (run_id, volume_id, question_id)
LEFT JOIN (
    SELECT run_id, volume_id, question_id, string_agg({_COMPONENT}, ',' ORDER BY position) AS made
    FROM outcome_components WHERE {_STRETCH} GROUP BY ALL
) c USING (run_id, volume_id, question_id)
WHERE o.{_STRETCH} AND ('sha256:' || sha256({_OUTCOME}) IS DISTINCT FROM o.content_sha256
    OR EXISTS (SELECT 1 FROM judgements j WHERE j.run_id = o.run_id AND j.verdict_no = 1
        AND j.volume_id = o.volume_id AND j.question_id = o.question_id)
    OR EXISTS (SELECT 1 FROM shown_images s WHERE s.run_id = o.run_id
        AND s.volume_id = o.volume_id AND s.question_id = o.question_id))
ORDER BY ALL
"""
"""What a record holds beside this, a judgement or shown slices, is never taken for proven."""

_WORLD: Final = ("x0", "y0", "z0"), ("x1", "y1", "z1")
_VOXEL: Final = ("i0", "j0", "k0"), ("i1", "j1", "k1")


def _box(column: str, frame: str, corners: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    lower, upper = (
        "'[' || concat_ws(',', "
        + ", ".join(f"{column}.{name}::DOUBLE::VARCHAR" for name in corner)
        + ") || ']'"
        for corner in corners
    )
    made = _object(("frame", f"'\"{frame}\"'"), ("lower", lower), ("upper", upper))
    return f"CASE WHEN {column} IS NULL THEN 'null' ELSE {made} END"


_MEASUREMENT: Final = _object(
    ("name", _text("name")),
    ("value", _number("value")),
    ("unit", _text("unit")),
    ("sd", _null(_number("sd"))),
    ("method", _text("method")),
    ("definition_id", _text("definition_id")),
)
_EVIDENCE: Final = _object(
    ("component", _text("component")),
    ("level", _text("level")),
    ("reason", _text("reason")),
    ("measurement", _null(_text("measurement"))),
    ("rule_grade", _null(_number("rule_grade"))),
    ("rule_basis", _text("rule_basis")),
    ("margin", _null(_number("margin"))),
    ("borderline", _number("borderline")),
)
_FINDING: Final = _object(
    ("question_id", _number("r.question_id")),
    ("region", _text("r.region")),
    ("box", _box("r.box", "voxel_ijk", _VOXEL)),
    ("box_world", _box("r.box_world", "world_ras_mm", _WORLD)),
    ("box_source", _null(_text("r.box_source"))),
    ("box_reason", _null(_text("r.box_reason"))),
    ("truncated", _number("r.truncated")),
    ("definition_id", _text("r.definition_id")),
    ("measurements", "'[' || coalesce(m.made, '') || ']'"),
    ("evidence", "'[' || coalesce(e.made, '') || ']'"),
)
_SET: Final = _object(
    ("volume_id", _text("s.volume_id")),
    ("findings_id", _text("s.findings_id")),
    ("scheme", _text("s.scheme")),
    ("tools_version", _text("s.tools_version")),
    ("side_check", _text("s.side_check")),
    ("shape", _list("s.shape", _number("x"))),
    (
        "affine",
        _list("s.affine", _list("x", _number("x"))).replace(
            "list_transform(x, lambda x: x", "list_transform(x, lambda y: y"
        ),
    ),
    ("orientation", _text("s.orientation")),
    ("image_sha256", _text("s.image_sha256")),
    ("label_map_sha256", _text("s.label_map_sha256")),
    ("findings", "'[' || coalesce(f.made, '') || ']'"),
)
_FINDINGS: Final = f"""
SELECT s.volume_id, s.findings_id FROM findings_sets s
LEFT JOIN (
    SELECT r.volume_id, r.findings_id, string_agg({_FINDING}, ',' ORDER BY r.question_id) AS made
    FROM regions r
    LEFT JOIN (
        SELECT volume_id, findings_id, question_id,
            string_agg({_MEASUREMENT}, ',' ORDER BY position) AS made
        FROM measurements WHERE {_STRETCH} GROUP BY ALL
    ) m USING (volume_id, findings_id, question_id)
    LEFT JOIN (
        SELECT volume_id, findings_id, question_id,
            string_agg({_EVIDENCE}, ',' ORDER BY position) AS made
        FROM evidence WHERE {_STRETCH} GROUP BY ALL
    ) e USING (volume_id, findings_id, question_id)
    WHERE r.{_STRETCH} GROUP BY ALL
) f USING (volume_id, findings_id)
WHERE s.{_STRETCH} AND 'sha256:' || sha256({_SET}) IS DISTINCT FROM s.content_sha256
ORDER BY ALL
"""


def unproven_outcomes(con: duckdb.DuckDBPyConnection, first: str, last: str) -> list[OutcomeKey]:
    """Returns the outcomes of a stretch of volumes that must be hashed record by record."""
    return con.execute(_OUTCOMES, {"first": first, "last": last}).fetchall()


def unproven_findings(con: duckdb.DuckDBPyConnection, first: str, last: str) -> list[FindingsKey]:
    """Returns the findings of a stretch of volumes that must be hashed record by record."""
    return con.execute(_FINDINGS, {"first": first, "last": last}).fetchall()
