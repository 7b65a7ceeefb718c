"""What differs between two frozen releases, row by row and in what they rest on."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import duckdb

from knee.keys import JsonValue
from knee.questions import QUESTIONS
from store.export import Table
from store.freezing import LISTS, Header

_PARTS: Final = {
    "run": "run_id",
    "split": "split",
    "grades": "grades",
    "box": "box",
    "definition": "definition_id",
    "findings": "findings_id",
    "prompt": "prompt_sha256",
    "text": "steps_sha256",
}
"""What may have changed in a row, and the column that tells."""
# A release may hold an item once from each of several named runs; then it is told by its run too.
_PAIRS = """
CREATE TABLE pairs AS
SELECT coalesce(a.volume_id, b.volume_id) AS volume_id,
    coalesce(a.question_id, b.question_id) AS question_id, a.run_id AS first_run,
    b.run_id AS second_run, a.row_sha256 IS NOT DISTINCT FROM b.row_sha256 AS is_same, {parts}
FROM {a} a FULL JOIN {b} b ON a.volume_id = b.volume_id AND a.question_id = b.question_id {by_run}
"""
_TWICE = (
    "SELECT count(*) FROM (SELECT 1 FROM {} GROUP BY volume_id, question_id HAVING count(*) > 1)"
)
ItemKeys = tuple[tuple[str, int], ...]


class FeatureChange(NamedTuple):
    """Rows of one feature."""

    feature: str
    """The feature."""
    added: int
    """Only in the second."""
    removed: int
    """Only in the first."""
    changed: int
    """In both, not the same."""


class GradeChange(NamedTuple):
    """Rows with one grade of one component, where the two releases have another number of them."""

    feature: str
    """The feature."""
    component: str
    """The component."""
    grade: int
    """The grade."""
    first: int
    """Rows of the first."""
    second: int
    """Rows of the second."""


class ReleaseDiff(NamedTuple):
    """Everything that differs."""

    n_first: int
    """Rows of the first."""
    n_second: int
    """Rows of the second."""
    n_same: int
    """Rows that are the same."""
    added: ItemKeys
    """Items only in the second."""
    removed: ItemKeys
    """Items only in the first."""
    changed: ItemKeys
    """Items in both, not the same."""
    by_feature: tuple[FeatureChange, ...]
    """Features with a difference."""
    by_grade: tuple[GradeChange, ...]
    """Grades with a difference."""
    changes: tuple[tuple[str, int], ...]
    """What changed in rows of both, and how many."""
    lists: dict[str, tuple[list[str], list[str]]]
    """Of definitions, prompts, checks and the like: what is gone and what is new."""

    @property
    def n_added(self) -> int:
        """Items only in the second."""
        return len(self.added)

    @property
    def n_removed(self) -> int:
        """Items only in the first."""
        return len(self.removed)

    @property
    def n_changed(self) -> int:
        """Items in both, not the same."""
        return len(self.changed)

    @property
    def is_same(self) -> bool:
        """True when neither rows nor what they rest on differ."""
        return not (self.added or self.removed or self.changed or self.lists)

    def as_json(self) -> dict[str, JsonValue]:
        """Returns everything for `--json`."""
        return {
            "same": self.is_same,
            "rows": [self.n_first, self.n_second],
            "rows_same": self.n_same,
            **{
                name: [list(key) for key in keys]
                for name, keys in (
                    ("added", self.added),
                    ("removed", self.removed),
                    ("changed", self.changed),
                )
            },
            "by_feature": [dict(row._asdict()) for row in self.by_feature],
            "by_grade": [dict(row._asdict()) for row in self.by_grade],
            "changes": dict(self.changes),
            "lists": {name: {"gone": gone, "new": new} for name, (gone, new) in self.lists.items()},
        }


def compare(first: tuple[Header, Table], second: tuple[Header, Table]) -> ReleaseDiff:
    """Returns what differs between two releases, each with its header and rows."""
    with duckdb.connect() as con:
        con.register("first_rows", first[1])
        con.register("second_rows", second[1])
        twice = sum(_number(con, _TWICE.format(t)) for t in ("first_rows", "second_rows"))
        parts = ", ".join(
            f"a.{column} IS DISTINCT FROM b.{column} AS {name}_changed"
            for name, column in _PARTS.items()
        )
        by_run = "AND a.run_id = b.run_id" if twice else ""
        con.execute(_PAIRS.format(a="first_rows", b="second_rows", parts=parts, by_run=by_run))
        keys = {
            kind: _keys(con, condition)
            for kind, condition in (
                ("added", "first_run IS NULL"),
                ("removed", "second_run IS NULL"),
                ("changed", "first_run IS NOT NULL AND second_run IS NOT NULL AND NOT is_same"),
            )
        }
        return ReleaseDiff(
            n_first=first[1].num_rows,
            n_second=second[1].num_rows,
            n_same=_number(con, "SELECT count(*) FROM pairs WHERE is_same"),
            **keys,
            by_feature=_by_feature(keys),
            by_grade=tuple(_by_grade(con)),
            changes=_changes(con),
            lists=_lists(first[0], second[0]),
        )


def _keys(con: duckdb.DuckDBPyConnection, condition: str) -> ItemKeys:
    rows = con.execute(
        f"SELECT volume_id, question_id FROM pairs WHERE {condition} ORDER BY ALL"
    ).fetchall()
    return tuple((str(volume), int(question)) for volume, question in rows)


def _by_feature(keys: dict[str, ItemKeys]) -> tuple[FeatureChange, ...]:
    counts: dict[str, dict[str, int]] = {}
    for kind, found in keys.items():
        for _, question_id in found:
            entry = counts.setdefault(QUESTIONS[question_id].feature.value, dict.fromkeys(keys, 0))
            entry[kind] += 1
    return tuple(FeatureChange(feature, **counts[feature]) for feature in sorted(counts))


def _by_grade(con: duckdb.DuckDBPyConnection) -> Iterable[GradeChange]:
    counts: dict[tuple[str, str, int], list[int]] = {}
    for number, table in enumerate(("first_rows", "second_rows")):
        for question_id, grades, n in con.execute(
            f"SELECT question_id, grades, count(*) FROM {table} GROUP BY ALL"
        ).fetchall():
            feature = QUESTIONS[int(question_id)].feature.value
            for component, grade in (grades or {}).items():
                if grade is not None:
                    entry = counts.setdefault((feature, component, int(grade)), [0, 0])
                    entry[number] += int(n)
    for key in sorted(counts):
        if counts[key][0] != counts[key][1]:
            yield GradeChange(*key, *counts[key])


def _changes(con: duckdb.DuckDBPyConnection) -> tuple[tuple[str, int], ...]:
    counted = ", ".join(f"count(*) FILTER ({name}_changed)" for name in _PARTS)
    row = con.execute(
        f"SELECT {counted} FROM pairs WHERE first_run IS NOT NULL AND second_run IS NOT NULL "
        "AND NOT is_same"
    ).fetchall()[0]
    return tuple((name, int(n)) for name, n in zip(_PARTS, row, strict=True) if n)


def _lists(first: Header, second: Header) -> dict[str, tuple[list[str], list[str]]]:
    found: dict[str, tuple[list[str], list[str]]] = {}
    for name in LISTS:
        before, after = _words(first.get(name)), _words(second.get(name))
        if before != after:
            found[name] = (sorted(before - after), sorted(after - before))
    return found


def _words(value: Iterable[object] | None) -> set[str]:
    return {str(word) for word in value or ()}


def _number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])
