"""What keeps reading cheap in a large store: stretches, and conditions that reach the tables."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import BaseModel, JsonValue, TypeAdapter

from knee.errors import InputError, StoreError
from run_pipeline import main
from store.connection import open_store
from store.export import ExportRequest, open_export
from store.migrations import MIGRATIONS
from store.named_queries import named_query
from store.volume_stretches import VolumeStretch, volume_stretches
from tests.export_cases import NEW, OLD, bare_question, make_store, volume_id

BY_VOLUME = {"attempts", "outcomes", "outcome_components", "quintuples", "regions"}
"""Tables that grow with the quintuples and know the volume."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a text that was rejected, one that was accepted after a rejection, and a bare note."""
    path = make_store(tmp_path_factory.mktemp("size") / "knees.duckdb")
    for verdict, item, run_id, more in (
        ("reject", "9104001/V00/right/dess#1", NEW, ["--reason", "wrong_place"]),
        ("reject", "9104002/V00/right/dess#1", NEW, ["--reason", "other", "--note", "no"]),
        ("accept", "9104002/V00/right/dess#1", NEW, []),
        ("note", "9104003/V00/right/dess#1", NEW, ["--note", "well"]),
    ):
        command = ["review", verdict, item, "--store", str(path), "--run", run_id, "--by", "AB"]
        assert main([*command, *more]) == 0
    return path


def made(store: Path, **changes: object) -> dict[str, list[tuple[Any, ...]]]:
    """All that an export makes before it writes, and its rows."""
    wanted = ExportRequest(where="NOT synthetic AND len(feature) > 0")._replace(**changes)
    with open_export(store, wanted, bare_question) as rows:
        tables = ("eligible", "chosen", "statuses", "flow", "weights", "projects")
        found = {name: rows.fetch(f"FROM {name} ORDER BY ALL") for name in tables}
        texts = [str(row) for _, table in rows.tables() for row in table.to_pylist()]
        # Of as many stretches as it was made in.
        found["statuses"] = rows.fetch(
            "SELECT run_id, status, sum(n) FROM statuses GROUP BY ALL ORDER BY ALL"
        )
    return {**found, "rows": [(text,) for text in sorted(texts)]}


@pytest.mark.parametrize(
    "changes", [{}, {"where": None, "synthetic": True}, {"run_ids": (NEW, OLD)}], ids=str
)
def test_an_export_is_the_same_in_stretches_of_one_volume(
    store: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
):
    whole = made(store, **changes)
    assert all(whole.values())
    with open_store(store, read_only=True) as con:
        assert len(volume_stretches(con, "quintuples", 10**9)) == 1
        assert len(volume_stretches(con, "quintuples", 1)) > 3
    for name in ("store.export_choice._STRETCH_ROWS", "store.export_flow._STRETCH_ROWS"):
        monkeypatch.setattr(name, 1)
    monkeypatch.setattr("store.export._PROJECT_ROWS", 1)
    monkeypatch.setattr("store.export._CHUNK_ROWS", 1)
    assert made(store, **changes) == whole


def test_stretches_hold_each_volume_once_in_order():
    con = duckdb.connect()
    con.execute("CREATE TABLE t (volume_id VARCHAR)")
    ids = ["a'{}", "a'{}", "b", "c", "c", "c", "d"]
    con.executemany("INSERT INTO t VALUES (?)", [[one] for one in ids])
    stretches = volume_stretches(con, "t", 3)
    assert stretches == [
        VolumeStretch("a'{}", "b"),
        VolumeStretch("c", "c"),
        VolumeStretch("d", "d"),
    ]
    held = [
        [str(row[0]) for row in con.execute(f"FROM t WHERE {s.holds('volume_id')}").fetchall()]
        for s in stretches
    ]
    assert [one for part in held for one in part] == ids
    assert volume_stretches(con, "(FROM t WHERE false)", 3) == []


def test_the_status_of_a_text_is_as_the_form_of_migration_8_has_it(store: Path):
    text = next(one.sql for one in MIGRATIONS if one.version == 8)
    (old,) = re.findall(
        r"CREATE VIEW v_review_status AS [^\n]*\n(.*?GROUP BY ALL);", text, re.DOTALL
    )
    with open_store(store, read_only=True) as con:
        before = con.execute(f"FROM ({old}) ORDER BY ALL").fetchall()
        now = con.execute("FROM v_review_status ORDER BY ALL").fetchall()
    assert now == before
    # Both runs wrote the same text about the first two; of the third there is a note alone.
    assert [(row[1], row[5], row[8]) for row in now if row[0] == NEW] == [
        (volume_id("9104001"), "reject", 1),
        (volume_id("9104002"), "accept", 2),
        (volume_id("9104003"), None, 1),
    ]


@pytest.mark.parametrize("name", ["volume", "patient"])
def test_a_condition_on_volume_or_patient_reaches_every_large_table(store: Path, name: str):
    query = named_query(name)
    values = {"volume": volume_id("9104002"), "patient": "9104002"}
    bound = query.bind({key: values[key] for key in (name,)})
    with open_store(store, read_only=True) as con:
        plan = con.execute(f"EXPLAIN (FORMAT json) {query.sql}", bound).fetchall()[0][1]
        n_rows = len(con.execute(query.sql, bound).fetchall())
    nodes = TypeAdapter(list[_PlanNode]).validate_json(plan)
    scans = [scan for node in nodes for scan in node.scans()]
    assert {table for table, _ in scans} >= BY_VOLUME
    assert not [scan for scan in scans if scan[0] in BY_VOLUME and "volume_id" not in scan[1]]
    assert n_rows > 1


class _PlanNode(BaseModel):
    """A node of DuckDB's plan as JSON, as far as it is looked at."""

    children: list["_PlanNode"] = []
    extra_info: dict[str, JsonValue] = {}

    def scans(self) -> Iterator[tuple[str, str]]:
        """Yields tables with the conditions that are part of their scan."""
        for child in self.children:
            yield from child.scans()
        if "Table" in self.extra_info:
            filters = str(self.extra_info.get("Filters", ""))
            yield str(self.extra_info["Table"]).rpartition(".")[2], filters


def test_too_little_memory_is_told_as_such_and_a_wrong_condition_as_that(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(InputError, match="Could not convert") as wrong:
        made(store, where="CAST(patient || 'x' AS INTEGER) > 0")
    assert "--where" in str(wrong.value)
    monkeypatch.setattr("store.export._MEMORY", "1MB")
    with pytest.raises(StoreError, match="more memory than it is given") as short:
        made(store)
    assert "--where" not in str(short.value)


def test_a_reader_has_a_limit_and_sorts_on_the_disk_in_a_closed_connection(tmp_path: Path):
    path = make_store(tmp_path / "knees.duckdb")
    with open_store(path, read_only=True, closed=True) as con:
        (limit,) = con.execute("SELECT current_setting('memory_limit')").fetchall()[0]
    assert limit.endswith("MiB")
    with open_store(path, read_only=True, closed=True, memory="120MB") as con:
        rows = con.sql(
            "SELECT i, repeat(md5(i::VARCHAR), 6) AS word FROM range(700_000) r(i) ORDER BY word"
        ).to_arrow_reader(1000)
        first = rows.read_next_batch().to_pylist()
        spilt = list(path.with_name(path.name + ".tmp").iterdir())
        words = [row["word"] for row in first]
        assert words == sorted(words)
    assert spilt
