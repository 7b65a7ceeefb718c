"""Grades and steps of exported rows, found again in a store."""

from typing import Any, Protocol

import duckdb

from knee.errors import InputError
from knee.keys import parse_volume_id
from store.export import STEPS_SHA256

_DRAFTS = (
    "SELECT z.run_id, z.question_id, q.steps, q.grades, "
    f"{STEPS_SHA256} FROM quintuples z "
    "JOIN attempts q USING (run_id, volume_id, question_id, attempt_no) WHERE z.volume_id = ?"
)
_GRADES = (
    "SELECT g.question_id, g.component, g.grade FROM clinician_grades g "
    "WHERE g.patient = ? AND g.visit = ? AND g.side = ? AND g.is_current AND g.status = 'read'"
)


class Names(Protocol):
    """Pseudonyms, where an export has them."""

    def volume(self, volume_id: str) -> str:
        """Returns a volume's name."""
        ...

    def run(self, run_id: str) -> str:
        """Returns a run's name."""
        ...

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any value of a column
        """Returns a value without what can tell a patient."""
        ...


class StoreGrades:
    """Looks rows up in an open store, a volume at a time; rows of a volume come together."""

    def __init__(self, con: duckdb.DuckDBPyConnection, names: Names | None) -> None:
        self._con = con
        self._names = names
        rows = con.execute("SELECT volume_id FROM volumes").fetchall()
        ids = [str(row[0]) for row in rows]
        self._volumes = {v if names is None else names.volume(v): v for v in ids}
        self._seen = ""
        self._drafts: dict[tuple[str, int], tuple[Any, Any, str]] = {}
        self._grades: dict[int, dict[str, int]] = {}

    def complete(self, row: dict[str, Any]) -> dict[str, Any]:
        """Returns steps, grades and clinician's grades of an exported row.

        Raises:
            InputError: the store does not hold the quintuple, or another text of it.
        """
        name, number = str(row["volume_id"]), int(row["question_id"])
        if name != self._seen:
            self._load(name)
        draft = self._drafts.get((str(row["run_id"]), number))
        what = f"question {number} of {name!r} in run {row['run_id']!r}"
        if draft is None:
            raise InputError(f"the store has no quintuple for {what}", "it is another store")
        steps, grades, digest = draft
        if digest != row["steps_sha256"]:
            raise InputError(
                f"{what}: the store has another text than was exported", "it is another store"
            )
        shown = steps if self._names is None else self._names.value(steps)
        return {"steps": shown, "grades": grades, "clinician_grades": self._grades.get(number, {})}

    def _load(self, name: str) -> None:
        volume_id = self._volumes.get(name)
        if volume_id is None:
            raise InputError(f"the store has no volume {name!r}", "it is another store")
        key = parse_volume_id(volume_id)
        self._seen, self._grades = name, {}
        self._drafts = {
            (str(run) if self._names is None else self._names.run(str(run)), int(question)): (
                steps,
                grades,
                str(digest),
            )
            for run, question, steps, grades, digest in self._con.execute(
                _DRAFTS, [volume_id]
            ).fetchall()
        }
        for question, component, grade in self._con.execute(
            _GRADES, [key.patient, key.visit, key.side.value]
        ).fetchall():
            self._grades.setdefault(int(question), {})[str(component)] = int(grade)
