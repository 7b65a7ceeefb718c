"""The rows of an export: chosen once, checked as a whole, and read in a fixed order.

The same store and request give the same rows in the same order. A stretch of volumes is read at a
time, so memory does not grow with the store. What the files look
like is the business of the stages.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import duckdb
import pyarrow.compute

from knee.errors import InputError
from knee.records import Grounding, RunKind
from store.connection import is_damage, translate
from store.export_checks import check_licences, check_runs, check_selected, check_splits
from store.export_columns import kept_without_grades
from store.export_flow import make_flow, make_weights
from store.long_reading import long_reading
from store.where import check_condition

_COMPUTE: Any = pyarrow.compute  # its functions are made when it is imported
Table: TypeAlias = Any
"""A pyarrow.Table; pyarrow ships no types."""
Schema: TypeAlias = Any
"""A pyarrow.Schema."""
_CHUNK_ROWS: Final = 10_000
"""Rows that are read at a time, about."""
_MEMORY: Final = "500MB"
"""What DuckDB may keep in memory; more is put on the disk beside the store."""
UNASSIGNED: Final = "unassigned"
"""Where phantoms without a split go; patients without one are refused."""
_CHOICE = (
    "q.run_id, q.volume_id, q.question_id, q.patient, q.split, q.feature, q.synthetic, "
    "q.restricted, q.licence, q.image_licence, q.model_licence, q.grounding, q.wording, "
    "q.components_scored, q.findings_id, r.started_at"
)
_NEWEST = (
    "row_number() OVER (PARTITION BY volume_id, question_id "
    "ORDER BY grounding = 'blind' DESC, started_at DESC, run_id DESC) = 1"
)
STEPS_SHA256: Final = "'sha256:' || sha256(to_json(q.steps)::VARCHAR)"
"""Hash of the steps of a row `q`, by which a text is known again."""
_EXTRA: Final = {
    "question": "x.question",
    "slice_axis": "f.slice_axis",
    "steps_sha256": STEPS_SHA256,
    "readprj": "p.readprj",
    "selection_weight": "w.selection_weight",
}
"""Columns beside those of the view, unless the view has them."""
_SLICES: Final = {
    "orientation": "f.orientation",
    "shape": "f.shape",
    "shown_slices": "list_transform(s.slices, lambda e: struct_pack(plane := e.plane, "
    'axis := e.axis, "index" := e."index", "left" := e."left", "right" := e."right", '
    "box_pixels := e.box_pixels))",
    "shown_sha256": "list_transform(s.slices, lambda e: e.sha256)",
    "shown_window": "[s.window_low, s.window_high]",
    "shown_box_drawn": "s.box_drawn",
}
"""Columns for chats: the volume's axes, and what the drafter was shown of it (NULL: nothing)."""
_SLICE_AXIS = (
    "(SELECT volume_id, findings_id, orientation, shape, "
    "list_position(list_transform(string_split(orientation, ''), lambda c: c IN "
    "('L', 'R')), true)::SMALLINT - 1 AS slice_axis FROM findings_sets)"
)


class ExportRequest(NamedTuple):
    """Which quintuples, and which mixtures are wanted."""

    run_ids: tuple[str, ...] | None = None
    """These runs, every valid item of them; None takes each item's newest blind production run."""
    where: str | None = None
    """SQL condition over the columns of `v_quintuples`."""
    label_given: bool = False
    """Without run ids: items without a blind quintuple may come from a `label_given` run."""
    synthetic: bool = False
    """Phantom rows, and only those: they are never pooled with patients (RULES 26)."""
    licences: tuple[str, ...] = ()
    """Licences that are named: a selection with several values needs them all (RULES 26)."""
    reference_grades: bool = True
    """Whether clinicians' grades, and what they follow from, go out (RULES 25)."""
    slices: bool = False
    """Whether rows say what their drafter was shown of the image."""


QuestionText: TypeAlias = Callable[[int, str, tuple[str, ...]], str]
"""(question id, wording, components) to the question's text."""


class ExportRows:
    """A selection in an open store; made by `open_export`."""

    def __init__(self, con: duckdb.DuckDBPyConnection, request: ExportRequest) -> None:
        self.con = con
        self.request = request
        self.total = self._number("SELECT count(*) FROM chosen")
        rows = con.execute(
            "SELECT coalesce(split, ?), count(*) FROM chosen GROUP BY ALL ORDER BY ALL",
            [UNASSIGNED],
        ).fetchall()
        self.splits: dict[str, int] = {str(split): int(n) for split, n in rows}
        self.run_ids = tuple(
            str(row[0])
            for row in con.execute("SELECT DISTINCT run_id FROM chosen ORDER BY 1").fetchall()
        )
        described = con.execute("DESCRIBE v_quintuples").fetchall()
        self._view = tuple(str(row[0]) for row in described)
        self._extra = {**_EXTRA, **(_SLICES if request.slices else {})}
        self.columns = self._columns()
        self._schema: Schema | None = None

    @property
    def schema(self) -> Schema:
        """The Arrow schema of every table."""
        if self._schema is None:
            self._schema = self._read("", "").schema
        return self._schema

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Yields splits with some of their rows, in the order of volume, question and run.

        Tables are as long as they come; `regroup` makes them even.
        """
        for first, last in self._stretches():
            table = self._read(first, last)
            if len(self.splits) == 1:
                yield next(iter(self.splits)), table
                continue
            labels = table.column("split").fill_null(UNASSIGNED)
            for split in self.splits:
                part = table.filter(_COMPUTE.equal(labels, split))
                if part.num_rows:
                    yield split, part

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a query that may name the tables of this selection.

        They are `chosen` and `eligible` (a row a quintuple, with and before the condition),
        `flow` (a row a component of the runs' knees) and `weights`.
        """
        return self.con.execute(query).fetchall()

    def _stretches(self) -> Iterator[tuple[str, str]]:
        """Yields first and last volume of stretches of about `_CHUNK_ROWS` rows."""
        rows = self.con.execute(
            "SELECT volume_id, count(*) FROM chosen GROUP BY ALL ORDER BY volume_id"
        ).fetchall()
        first, n_rows = "", 0
        for volume_id, n in rows:
            first = first or str(volume_id)
            n_rows += int(n)
            if n_rows >= _CHUNK_ROWS:
                yield first, str(volume_id)
                first, n_rows = "", 0
        if first:
            yield first, str(rows[-1][0])

    def _columns(self) -> tuple[str, ...]:
        names = [*self._view, *(name for name in self._extra if name not in self._view)]
        if self.request.reference_grades:
            return tuple(name for name in names if name != "steps_sha256")
        return tuple(name for name in names if kept_without_grades(name))

    def _read(self, first: str, last: str) -> Table:
        """Reads the chosen rows of a stretch of volumes, in order."""
        columns = ", ".join(
            f'q."{name}"' if name in self._view else f'{self._extra[name]} AS "{name}"'
            for name in self.columns
        )
        # A range of literals is carried down to the tables, where it skips what cannot match; a
        # list of volumes is not, and costs six times as much.
        return self.con.sql(
            f"SELECT {columns} FROM v_quintuples q "
            "JOIN chosen c USING (run_id, volume_id, question_id) "
            "LEFT JOIN question_texts x ON x.question_id = q.question_id "
            "AND x.wording = q.wording AND x.components = c.components_scored "
            "LEFT JOIN shown_images s ON s.run_id = q.run_id AND s.volume_id = q.volume_id "
            "AND s.question_id = q.question_id AND s.image_volume_id = q.volume_id "
            f"LEFT JOIN {_SLICE_AXIS} f "
            "ON f.volume_id = q.volume_id AND f.findings_id = q.findings_id "
            "LEFT JOIN weights w ON w.run_id = q.run_id AND w.volume_id = q.volume_id "
            "AND w.question_id = q.question_id "
            "LEFT JOIN projects p ON p.volume_id = q.volume_id AND p.question_id = q.question_id "
            f"WHERE q.volume_id BETWEEN {_quoted(first)} AND {_quoted(last)} "
            "ORDER BY q.volume_id, q.question_id, q.run_id"
        ).to_arrow_table()

    def _number(self, query: str) -> int:
        return int(self.con.execute(query).fetchall()[0][0])


@contextmanager
def open_export(
    path: Path,
    request: ExportRequest,
    question_text: QuestionText,
) -> Generator[ExportRows]:
    """Opens a store and chooses the rows of an export.

    A writer waits about a second at most, and all rows are of one moment (`long_reading`).

    Args:
        path: the store.
        request: which rows.
        question_text: the text of a question, by wording and components.

    Raises:
        InputError: the condition is not SQL, a run is not in the store, nothing is selected, or
            a mixture is selected that the request does not name.
        StoreError: the store cannot be opened.
    """
    try:
        with long_reading(path, closed=True, memory=_MEMORY) as con:
            check_runs(con, request.run_ids or ())
            if request.where is not None:
                check_condition(con, path, request.where, subqueries=request.reference_grades)
            _choose(con, request)
            check_selected(con, synthetic=request.synthetic)
            check_licences(con, request.licences)
            check_splits(con)
            make_flow(con)
            make_weights(con)
            _make_names(con, question_text)
            yield ExportRows(con, request)
    except duckdb.Error as error:
        if is_damage(error):
            raise translate(error, path) from error
        raise InputError(str(error), "--where is a condition on v_quintuples") from error


def _choose(con: duckdb.DuckDBPyConnection, request: ExportRequest) -> None:
    """Makes `eligible`, the valid rows of the runs, and `chosen`, those that the condition takes.

    Stale rows, and rows that a later verdict refuses, are never among them (RULES 27).
    """
    if request.run_ids is not None:
        runs, newest = "r.run_id IN (SELECT unnest($runs))", ""
        values: dict[str, object] = {"runs": list(request.run_ids)}
    else:
        groundings = [Grounding.BLIND.value]
        groundings += [Grounding.LABEL_GIVEN.value] if request.label_given else []
        runs = "r.kind = $kind AND list_contains($groundings, r.grounding)"
        newest = f"QUALIFY {_NEWEST}"
        values = {"kind": RunKind.PRODUCTION.value, "groundings": groundings}
    kind = "AND q.synthetic" if request.synthetic else ""
    con.execute(
        f"CREATE TEMP TABLE eligible AS SELECT * FROM (SELECT {_CHOICE} FROM v_quintuples q "
        f"JOIN runs r USING (run_id) WHERE q.status = 'valid' AND {runs} {kind}) {newest}",
        values,
    )
    if request.where is None:
        con.execute("CREATE TEMP TABLE chosen AS SELECT * FROM eligible")
        return
    con.execute(
        "CREATE TEMP TABLE condition_holds "
        "(run_id VARCHAR, volume_id VARCHAR, question_id SMALLINT)"
    )
    con.execute(
        f"INSERT INTO condition_holds SELECT run_id, volume_id, question_id FROM "
        f"(SELECT {_visible(con, request)} FROM v_quintuples q "
        "SEMI JOIN eligible USING (run_id, volume_id, question_id)) v_quintuples "
        # The line break ends a comment that the condition may close with.
        f"WHERE (\n{request.where}\n)"
    )
    con.execute(
        "CREATE TEMP TABLE chosen AS SELECT * FROM eligible "
        "SEMI JOIN condition_holds USING (run_id, volume_id, question_id)"
    )


def _visible(con: duckdb.DuckDBPyConnection, request: ExportRequest) -> str:
    """The columns that a condition may name: what it selects by is told by what it selects."""
    if request.reference_grades:
        return "q.*"
    names = [str(row[0]) for row in con.execute("DESCRIBE v_quintuples").fetchall()]
    return ", ".join(f'q."{name}"' for name in names if kept_without_grades(name))


def _make_names(con: duckdb.DuckDBPyConnection, question_text: QuestionText) -> None:
    """Makes `question_texts` and `projects`."""
    con.execute(
        "CREATE TEMP TABLE question_texts "
        "(question_id SMALLINT, wording VARCHAR, components VARCHAR[], question VARCHAR)"
    )
    asked = con.execute("SELECT DISTINCT question_id, wording, components_scored FROM chosen")
    texts = [
        [number, wording, components, question_text(number, wording, tuple(components))]
        for number, wording, components in asked.fetchall()
    ]
    con.executemany("INSERT INTO question_texts VALUES (?, ?, ?, ?)", texts)
    con.execute(
        "CREATE TEMP TABLE projects AS SELECT v.volume_id, g.question_id, "
        "list_sort(list_distinct(flatten(list(g.readprj)))) AS readprj "
        "FROM (SELECT DISTINCT volume_id FROM chosen) c JOIN volumes v USING (volume_id) "
        "JOIN clinician_grades g USING (patient, visit, side) WHERE g.is_current GROUP BY ALL"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
