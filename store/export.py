"""The rows of an export: chosen once, checked as a whole, and read in a fixed order.

The same store and request give the same rows in the same order. A stretch of volumes is read at a
time, so memory does not grow with the store. What the files look
like is the business of the stages.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import duckdb
import pyarrow.compute

from store.connection import translate
from store.export_checks import check_licences, check_runs, check_selected, check_splits
from store.export_choice import ExportRequest, choose_rows
from store.export_columns import kept_without_grades
from store.export_flow import make_flow, make_weights
from store.long_reading import long_reading
from store.volume_stretches import NOTHING, VolumeStretch, volume_stretches

_COMPUTE: Any = pyarrow.compute  # its functions are made when it is imported
Table: TypeAlias = Any
"""A pyarrow.Table; pyarrow ships no types."""
Schema: TypeAlias = Any
"""A pyarrow.Schema."""
_CHUNK_ROWS: Final = 10_000
"""Rows that are read at a time, about."""
_PROJECT_ROWS: Final = 100_000
"""Rows whose reading projects are looked up at a time."""
_MEMORY: Final = "400MB"
"""What DuckDB may keep in memory; more is put on the disk beside the store."""
UNASSIGNED: Final = "unassigned"
"""Where phantoms without a split go; patients without one are refused."""
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
            self._schema = self._read(NOTHING).schema
        return self._schema

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Yields splits with some of their rows, in the order of volume, question and run.

        Tables are as long as they come; `regroup` makes them even.
        """
        for stretch in volume_stretches(self.con, "chosen", _CHUNK_ROWS):
            table = self._read(stretch)
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

    def _columns(self) -> tuple[str, ...]:
        names = [*self._view, *(name for name in self._extra if name not in self._view)]
        if self.request.reference_grades:
            return tuple(name for name in names if name != "steps_sha256")
        return tuple(name for name in names if kept_without_grades(name))

    def _read(self, stretch: VolumeStretch) -> Table:
        """Reads the chosen rows of a stretch of volumes, in order."""
        columns = ", ".join(
            f'q."{name}"' if name in self._view else f'{self._extra[name]} AS "{name}"'
            for name in self.columns
        )
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
            f"WHERE {stretch.holds('q.volume_id')} "
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
        StoreError: the store cannot be opened or read, or the memory or disk does not suffice.
    """
    try:
        with long_reading(path, closed=True, memory=_MEMORY) as con:
            check_runs(con, request.run_ids or ())
            choose_rows(con, path, request)
            check_selected(con, synthetic=request.synthetic)
            check_licences(con, request.licences)
            check_splits(con)
            make_flow(con)
            make_weights(con)
            _make_names(con, question_text)
            yield ExportRows(con, request)
    except duckdb.Error as error:
        raise translate(error, path) from error


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
        "CREATE TEMP TABLE projects (volume_id VARCHAR, question_id SMALLINT, readprj VARCHAR[])"
    )
    for stretch in volume_stretches(con, "chosen", _PROJECT_ROWS):
        con.execute(
            "INSERT INTO projects SELECT v.volume_id, g.question_id, "
            "list_sort(list_distinct(flatten(list(g.readprj)))) "
            "FROM (SELECT DISTINCT volume_id FROM chosen) c JOIN volumes v USING (volume_id) "
            "JOIN clinician_grades g USING (patient, visit, side) "
            f"WHERE g.is_current AND {stretch.holds('v.volume_id')} GROUP BY ALL"
        )
