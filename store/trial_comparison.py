"""What is compared of a trial: each item's end, its first draft's grades, its faults, its cost."""

from collections.abc import Mapping
from typing import NamedTuple

import duckdb

from knee.keys import ItemKey
from knee.moaks import Component, Feature, ScaleType
from knee.records import Control, ItemState
from store.items import rows_of

_ITEMS = """
SELECT o.volume_id, o.question_id, o.findings_id, o.state, v.patient, v.synthetic, q.feature,
    f.grades, coalesce([i.code FOR i IN f.issues], []) AS codes,
    coalesce(t.n, 0) AS n, coalesce(t.prompt_tokens, 0) AS prompt_tokens,
    coalesce(t.completion_tokens, 0) AS completion_tokens, coalesce(t.seconds, 0) AS seconds
FROM v_outcomes o
JOIN volumes v USING (volume_id)
JOIN questions q USING (question_id)
LEFT JOIN attempts f ON f.run_id = o.run_id AND f.volume_id = o.volume_id
    AND f.question_id = o.question_id AND f.attempt_no = 1
LEFT JOIN (
    SELECT volume_id, question_id, count(*) AS n, sum(prompt_tokens)::BIGINT AS prompt_tokens,
        sum(completion_tokens)::BIGINT AS completion_tokens, sum(latency_s) AS seconds
    FROM attempts WHERE run_id = $run GROUP BY ALL
) t ON t.volume_id = o.volume_id AND t.question_id = o.question_id
WHERE o.run_id = $run
"""
_COMPONENTS = """
SELECT c.volume_id, c.question_id, c.component, c.clinician_grade, k.scale_type
FROM outcome_components c
JOIN components k USING (question_id, component)
WHERE c.run_id = ? AND c.status = 'graded' AND c.clinician_grade IS NOT NULL
ORDER BY ALL
"""
_CONTROLS = """
SELECT c.control, c.run_id FROM runs c, runs r
WHERE r.run_id = ? AND c.kind = 'control' AND c.prompts = r.prompts
    AND (c.drafter_model = r.drafter_model OR c.control = 'always-majority')
    AND c.judge_model IS NOT DISTINCT FROM r.judge_model AND c.wording = r.wording
    AND c.provenance['trial.sample'] IS NOT DISTINCT FROM r.provenance['trial.sample']
    AND c.checks = r.checks
ORDER BY c.control, c.started_at
"""


class ComparedComponent(NamedTuple):
    """One asked component of an item."""

    component: Component
    """The component."""
    clinician_grade: int
    """The clinician's grade."""
    is_nominal: bool
    """Whether its grades are names, not steps (RULES 2)."""


class TrialItem(NamedTuple):
    """One finished item of a run."""

    key: ItemKey
    """The item."""
    patient: str
    """Whose knee."""
    feature: Feature
    """What is graded."""
    findings_id: str
    """The findings that the drafter saw."""
    synthetic: bool
    """True for phantoms."""
    state: ItemState
    """How it ended, by its newest verdict."""
    components: tuple[ComparedComponent, ...]
    """The asked components that a clinician graded."""
    first_grades: Mapping[Component, int]
    """The first draft's grades; empty when it could not be read."""
    codes: tuple[str, ...]
    """What the checks found in the first draft, warnings included."""
    attempts: int
    """Answers of the drafter."""
    prompt_tokens: int
    """Tokens sent, all attempts."""
    completion_tokens: int
    """Tokens generated, all attempts."""
    seconds: float
    """From sending to the last byte, all attempts."""


def load_trial_items(con: duckdb.DuckDBPyConnection, run_id: str) -> dict[ItemKey, TrialItem]:
    """Returns the finished items of a run, ascending by key."""
    components: dict[ItemKey, list[ComparedComponent]] = {}
    for volume, question, component, grade, scale in con.execute(_COMPONENTS, [run_id]).fetchall():
        components.setdefault(ItemKey(volume, question), []).append(
            ComparedComponent(Component(component), grade, scale == ScaleType.NOMINAL.value)
        )
    items: list[TrialItem] = []
    for row in rows_of(con.execute(_ITEMS, {"run": run_id})):
        key = ItemKey(row["volume_id"], row["question_id"])
        grades = row["grades"] or {}
        items.append(
            TrialItem(
                key=key,
                patient=row["patient"],
                feature=Feature(row["feature"]),
                findings_id=row["findings_id"],
                synthetic=row["synthetic"],
                state=ItemState(row["state"]),
                components=tuple(components.get(key, ())),
                first_grades={Component(c): g for c, g in grades.items() if g is not None},
                codes=tuple(dict.fromkeys(row["codes"])),
                attempts=row["n"],
                prompt_tokens=row["prompt_tokens"],
                completion_tokens=row["completion_tokens"],
                seconds=row["seconds"],
            )
        )
    return {item.key: item for item in sorted(items, key=lambda item: item.key)}


def control_runs_of(con: duckdb.DuckDBPyConnection, run_id: str) -> dict[Control, str]:
    """Returns the newest control of each sort with a run's prompts, model, checks and items."""
    rows = con.execute(_CONTROLS, [run_id]).fetchall()
    return {Control(control): str(control_run) for control, control_run in rows}


def stored_prompt_text(con: duckdb.DuckDBPyConnection, sha256: str) -> str | None:
    """Returns the text of a prompt as it was hashed, template first; None when not stored."""
    row = con.execute("SELECT text FROM prompts WHERE sha256 = ? LIMIT 1", [sha256]).fetchone()
    return None if row is None else str(row[0])
