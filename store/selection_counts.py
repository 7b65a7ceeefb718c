"""What a selection holds before it is drafted, and what earlier items of a model cost."""

from typing import NamedTuple

import duckdb

from knee.moaks import Feature
from knee.records import ItemState, RunKind
from store.items import Selection, evidence_levels, select_volumes
from store.write_sql import STARTING_STATES


class FeatureState(NamedTuple):
    """Items of one feature in one state."""

    feature: Feature
    """The feature."""
    state: ItemState
    """As the run left them, else as they would start."""
    items: int
    """How many."""
    read: int
    """Of those, items of which a clinician read a component."""


class EarlierCost(NamedTuple):
    """What items of a model and a prompt took so far."""

    items: int
    """Drafted items with an answer."""
    attempts: int
    """Calls to the drafter."""
    prompt_tokens: int
    """Tokens sent to it."""
    completion_tokens: int
    """Tokens that it generated."""
    judge_calls: int
    """Calls to the judge."""
    judge_prompt_tokens: int
    """Tokens sent to it."""
    judge_completion_tokens: int
    """Tokens that it generated."""


def feature_states(
    con: duckdb.DuckDBPyConnection, selection: Selection, run_id: str | None
) -> list[FeatureState]:
    """Returns the items of a selection by feature and state, in the catalogue's order.

    Args:
        con: an open store.
        selection: volumes, questions and visit; its limit and chosen items are left aside.
        run_id: counts what this run finished under the state in which it ended; None for a new run.
    """
    rows = con.execute(
        f"""
        SELECT q.feature, coalesce(o.state, s.starting_state) AS state, count(*),
            count(*) FILTER (r.volume_id IS NOT NULL)
        FROM ({STARTING_STATES}) s
        JOIN questions q USING (question_id)
        LEFT JOIN (SELECT * FROM v_outcomes WHERE run_id = $run) o USING (volume_id, question_id)
        LEFT JOIN (
            SELECT DISTINCT v.volume_id, g.question_id
            FROM clinician_grades g JOIN volumes v USING (patient, visit, side)
            WHERE g.is_current AND g.status = 'read'
        ) r USING (volume_id, question_id)
        WHERE $questions IS NULL OR question_id IN (SELECT unnest($questions))
        GROUP BY ALL ORDER BY min(question_id), state
        """,
        {
            "run": run_id,
            "levels": evidence_levels(sees_images=selection.sees_images),
            "volumes": select_volumes(con, selection._replace(chosen=None)),
            "questions": None if selection.question_ids is None else list(selection.question_ids),
        },
    ).fetchall()
    return [FeatureState(Feature(f), ItemState(s), int(n), int(read)) for f, s, n, read in rows]


def earlier_cost(
    con: duckdb.DuckDBPyConnection,
    kind: RunKind,
    drafter_model: str,
    prompt_sha256: str,
    judge_model: str | None,
) -> EarlierCost | None:
    """Returns what the items of earlier runs with a model, prompt and judge took; None without."""
    row = con.execute(
        """
        WITH some_runs AS (
            SELECT run_id FROM runs WHERE kind = $kind AND drafter_model = $drafter
                AND judge_model IS NOT DISTINCT FROM $judge
        ), drafts AS (
            SELECT count(DISTINCT (run_id, volume_id, question_id)) AS items, count(*) AS attempts,
                sum(prompt_tokens) AS sent, sum(completion_tokens) AS made
            FROM attempts JOIN some_runs USING (run_id) WHERE prompt_sha256 = $prompt
        ), judged AS (
            SELECT count(*) AS calls, sum(c.prompt_tokens) AS sent, sum(c.completion_tokens) AS made
            FROM judge_calls c JOIN some_runs USING (run_id)
            SEMI JOIN (SELECT * FROM attempts WHERE prompt_sha256 = $prompt) a
                USING (run_id, volume_id, question_id)
            WHERE c.verdict_no = 1
        )
        SELECT d.items, d.attempts, d.sent, d.made, j.calls, coalesce(j.sent, 0),
            coalesce(j.made, 0) FROM drafts d, judged j WHERE d.items > 0
        """,
        {
            "kind": kind.value,
            "drafter": drafter_model,
            "judge": judge_model,
            "prompt": prompt_sha256,
        },
    ).fetchone()
    return None if row is None else EarlierCost(*(int(value) for value in row))
