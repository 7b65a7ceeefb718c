"""`store verify`: whether the store holds what its own keys, counts and hashes say."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import duckdb

from knee.errors import StoreError
from knee.keys import ItemKey, content_hash
from store.arrow_rows import findings_set_row
from store.loading import load_findings, load_outcomes
from store.outcome_rows import outcome_hash


class Problem(NamedTuple):
    """Something that does not fit."""

    kind: str
    """`key`, `orphan`, `count` or `hash`."""
    where: str
    """Table, and what about it."""
    rows: int
    """How many."""
    example: str
    """The key of one of them."""


_ITEM: Final = ("run_id", "volume_id", "question_id")
_FINDING: Final = ("volume_id", "findings_id", "question_id")
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "attempts": (*_ITEM, "attempt_no"),
    "clinician_grades": (*("patient", "visit", "side", "question_id", "component", "revision"),),
    "evidence": (*_FINDING, "component"),
    "findings_sets": ("volume_id", "findings_id"),
    "judge_calls": (*_ITEM, "verdict_no", "call_no"),
    "judgements": (*_ITEM, "verdict_no"),
    "measurements": (*_FINDING, "name"),
    "outcome_components": (*_ITEM, "component"),
    "outcomes": _ITEM,
    "quintuples": _ITEM,
    "regions": _FINDING,
    "reviews": ("review_no",),
    "run_items": _ITEM,
    "verdicts": (*_ITEM, "verdict_no"),
    "volumes": ("volume_id",),
}
"""What is unique in each table, whether or not an index says so."""
_NO_RECORD: Final = (StoreError, ValueError, TypeError, AttributeError)
"""What a record raises that is made of damaged rows, NULL where there is a value among them."""
_PARENTS: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    ("regions", ("volume_id", "findings_id"), "findings_sets"),
    ("measurements", _FINDING, "regions"),
    ("evidence", _FINDING, "regions"),
    ("findings_sets", ("volume_id",), "volumes"),
    ("volumes", ("volume_id", "findings_id"), "findings_sets"),
    ("run_items", ("run_id",), "runs"),
    ("run_items", ("volume_id", "findings_id"), "findings_sets"),
    ("run_items", ("question_id",), "questions"),
    ("outcomes", _ITEM, "run_items"),
    ("outcome_components", _ITEM, "outcomes"),
    ("attempts", _ITEM, "outcomes"),
    ("quintuples", (*_ITEM, "attempt_no"), "attempts"),
    ("judgements", (*_ITEM, "attempt_no"), "attempts"),
    ("judge_calls", (*_ITEM, "verdict_no"), "judgements"),
    ("shown_images", _ITEM, "outcomes"),
    ("rechecks", ("run_id",), "runs"),
    ("verdicts", _ITEM, "outcomes"),
    ("verdicts", ("recheck_id",), "rechecks"),
    ("reviews", (*_ITEM, "attempt_no"), "attempts"),
    ("run_quotas", ("run_id",), "runs"),
    ("run_quota_items", _ITEM, "run_items"),
    ("run_questions", ("run_id",), "runs"),
    ("run_questions", ("question_id",), "questions"),
    ("frozen_rows", ("name",), "frozen_releases"),
)
"""Child, the columns that name its parent, and the parent; a child with a NULL there has none."""
_COUNTS: Final[dict[str, str]] = {
    "outcomes: n_attempts is not the number of its attempts": """
        SELECT o.run_id, o.volume_id, o.question_id FROM outcomes o LEFT JOIN (
            SELECT run_id, volume_id, question_id, count(*) AS n FROM attempts GROUP BY ALL
        ) a USING (run_id, volume_id, question_id) WHERE o.n_attempts <> coalesce(a.n, 0)""",
    "attempts: not numbered 1, 2, … within their item": """
        SELECT run_id, volume_id, question_id FROM attempts GROUP BY ALL
        HAVING min(attempt_no) <> 1 OR max(attempt_no) <> count(*)""",
    "attempts: a text beside the steps that write it": """
        SELECT run_id, volume_id, question_id FROM attempts
        WHERE (text_form = 'verbatim') <> (text IS NOT NULL)""",
    "attempts: passed is not what its issues say": """
        SELECT run_id, volume_id, question_id FROM attempts WHERE passed <> (
            parsed AND len(list_filter(issues, lambda issue: issue.severity = 'fail')) = 0)""",
    "outcomes: complete is not what its components say": """
        SELECT o.run_id, o.volume_id, o.question_id FROM outcomes o LEFT JOIN (
            SELECT run_id, volume_id, question_id, bool_and(status = 'graded') AS complete
            FROM outcome_components GROUP BY ALL
        ) c USING (run_id, volume_id, question_id)
        WHERE o.complete <> coalesce(c.complete, true)""",
    "quintuples: not of the volume, findings, attempt and components of the accepted item": """
        SELECT z.run_id, z.volume_id, z.question_id FROM quintuples z
        JOIN volumes v USING (volume_id)
        JOIN outcomes o USING (run_id, volume_id, question_id) LEFT JOIN (
            SELECT run_id, volume_id, question_id, list(component ORDER BY position) AS scored
            FROM outcome_components WHERE status = 'graded' GROUP BY ALL
        ) c USING (run_id, volume_id, question_id)
        WHERE z.findings_id <> o.findings_id OR z.synthetic <> v.synthetic OR (
            o.state = 'accepted' AND (z.attempt_no <> o.n_attempts OR z.complete <> o.complete
            OR z.components_scored <> c.scored))""",
    "outcomes: accepted, and no verdict before or after made a quintuple": """
        SELECT run_id, volume_id, question_id FROM v_outcomes
        ANTI JOIN quintuples USING (run_id, volume_id, question_id) WHERE state = 'accepted'""",
    "quintuples: no verdict ever accepted the item": """
        SELECT run_id, volume_id, question_id FROM quintuples ANTI JOIN (
            SELECT * FROM v_verdicts WHERE state = 'accepted'
        ) w USING (run_id, volume_id, question_id)""",
    "run_items: a volume is not bound with all questions of the catalogue": """
        SELECT run_id, volume_id, count(*) FROM run_items GROUP BY ALL
        HAVING count(*) <> (SELECT count(*) FROM questions)""",
    "clinician_grades: not exactly one revision is the current one": """
        SELECT patient, visit, side, question_id, component FROM clinician_grades GROUP BY ALL
        HAVING count(*) FILTER (is_current) <> 1""",
    "clinician_grades: a grade that was not read, or read without a grade": """
        SELECT patient, visit, side, question_id, component FROM clinician_grades
        WHERE (status = 'read') <> (grade IS NOT NULL)""",
    "verdicts: not numbered 2, 3, … within their item": """
        SELECT run_id, volume_id, question_id FROM verdicts GROUP BY ALL
        HAVING min(verdict_no) <> 2 OR max(verdict_no) <> count(*) + 1""",
}
"""What must find nothing."""


def structure_problems(con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    """Yields what is double, without a parent, or counted wrongly."""
    for table, columns in _KEYS.items():
        names = ", ".join(columns)
        query = f"SELECT {names} FROM {table} GROUP BY ALL HAVING count(*) > 1"
        yield from _found(con, "key", f"{table}: ({names}) is not unique", query)
    for child, columns, parent in _PARENTS:
        names = ", ".join(columns)
        given = " AND ".join(f"{name} IS NOT NULL" for name in columns)
        query = f"SELECT {names} FROM {child} ANTI JOIN {parent} USING ({names}) WHERE {given}"
        yield from _found(con, "orphan", f"{child}: ({names}) is not in {parent}", query)
    for words, query in _COUNTS.items():
        yield from _found(con, "count", words, query)


def read_everything(con: duckdb.DuckDBPyConnection) -> None:
    """Reads every value of every table, also those that no check looks at.

    DuckDB holds each block against its checksum when it is read, and not before.

    Raises:
        duckdb.Error: a block is damaged.
    """
    tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
    for (name,) in tables:
        con.execute(f'SELECT bit_xor(hash(rows)) FROM "{name}" rows').fetchall()


def prompt_hash_problems(con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    """Yields templates whose text is not what their hash says."""
    rows = con.execute("SELECT prompt_id, version, sha256, text FROM prompts").fetchall()
    wrong = [f"{name} v{version}" for name, version, sha, text in rows if content_hash(text) != sha]
    if wrong:
        yield Problem("hash", "prompts: the text is not the hashed one", len(wrong), wrong[0])


def findings_hash_problem(
    con: duckdb.DuckDBPyConnection, volume_id: str, findings_id: str
) -> str | None:
    """Returns what is wrong with one set of findings, None when its hash is the stored one."""
    row = con.execute(
        "SELECT content_sha256 FROM findings_sets WHERE volume_id = ? AND findings_id = ?",
        [volume_id, findings_id],
    ).fetchone()
    try:
        found = findings_set_row(load_findings(con, volume_id, findings_id))
    except _NO_RECORD as error:
        return f"{volume_id} {findings_id}: {error}"
    same = row is not None and found["content_sha256"] == row[0]
    return None if same else f"{volume_id} {findings_id}"


def outcome_hash_problems(con: duckdb.DuckDBPyConnection, run_id: str, volume_id: str) -> list[str]:
    """Returns the outcomes of a volume in a run whose content is not the hashed one."""
    rows = con.execute(
        "SELECT question_id, content_sha256 FROM outcomes WHERE run_id = ? AND volume_id = ?",
        [run_id, volume_id],
    ).fetchall()
    stored = {int(question): str(sha) for question, sha in rows}
    try:
        keys = [ItemKey(volume_id, question) for question in stored]
        found = {o.question_id: outcome_hash(o) for o in load_outcomes(con, run_id, keys)}
    except _NO_RECORD as error:
        return [f"{run_id} {volume_id}: {error}"]
    return [
        f"{run_id} {volume_id}#{question}"
        for question, sha in stored.items()
        if found.get(question) != sha
    ]


def _found(con: duckdb.DuckDBPyConnection, kind: str, where: str, query: str) -> Iterator[Problem]:
    rows = con.execute(f"SELECT count(*) OVER (), * FROM ({query}) LIMIT 1").fetchall()
    for total, *key in rows:
        yield Problem(kind, where, int(total), " ".join(str(part) for part in key))
