"""The rows of `make bench-store` are the rows that the writer makes, and hash as they should."""

from pathlib import Path

import duckdb
import pytest

from knee.records import ItemState
from store.connection import open_store
from store.content_hashes import unproven_findings, unproven_outcomes
from store.inserting import insert
from store.writer import StoreWriter
from tests.bench_store import line_of, page_of
from tests.bench_store_cohort import EARLIER, RUN, make_cohort, volume_ids
from tests.bench_store_parts import Bench, Figure, queries
from tests.bench_store_rows import DRAFTED, drafted_items, outcome_of, tables_of

N_VOLUMES = 2
TABLES = ("outcomes", "outcome_components", "attempts", "quintuples")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes drafted through the writer, 30 that are not."""
    path = tmp_path_factory.mktemp("bench") / "bench.duckdb"
    make_cohort(path, volume_ids(N_VOLUMES + 30), n_earlier=1)
    with StoreWriter(path) as writer:
        for run_id, n, accepted in ((EARLIER, 1, False), (RUN, N_VOLUMES, True)):
            items = drafted_items(run_id, volume_ids(n), accepted=accepted)
            writer.put_outcomes(run_id, [outcome_of(item) for item in items])
    return path


def test_rows_made_as_tables_are_those_of_the_records(store: Path):
    earlier = list(drafted_items(EARLIER, volume_ids(1), accepted=False))
    assert {item.state for item in earlier} >= {ItemState.REJECTED, ItemState.DISAGREES}
    items = [*earlier, *drafted_items(RUN, volume_ids(N_VOLUMES))]
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{store}' AS made (READ_ONLY)")
        for table, rows in tables_of(items).items():
            con.execute(f"CREATE TABLE {table} AS FROM made.{table} LIMIT 0")
            insert(con, table, rows)
            assert con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] > 0
            mine, made = (
                f"SELECT COLUMNS(lambda c: c <> 'recorded_at') FROM {name}"
                for name in (table, f"made.{table}")
            )
            differing = con.execute(
                f"SELECT count(*) FROM (({mine} EXCEPT ALL {made}) UNION ALL "
                f"({made} EXCEPT ALL {mine}))"
            ).fetchall()
            assert differing == [(0,)], table


def test_the_database_proves_what_is_whole_and_only_that(store: Path):
    with open_store(store, read_only=True) as con:
        assert unproven_outcomes(con, "", "~") == []
        assert unproven_findings(con, "", "~") == []
        first = volume_ids(1)[0]
        con.execute("CREATE TEMP TABLE attempts AS FROM knees.attempts".replace("knees", "bench"))
        con.execute(
            "UPDATE temp.attempts SET latency_s = latency_s + 1 WHERE run_id = ? "
            "AND volume_id = ? AND question_id = 5 AND attempt_no = 1",
            [RUN, first],
        )
        con.execute("SET search_path = 'temp,bench'")
        assert unproven_outcomes(con, "", "~") == [(RUN, first, 5)]
        assert unproven_outcomes(con, f"{first}0", "~") == []


def test_the_named_queries_of_the_bench_answer(store: Path):
    figures = queries(Bench(store, N_VOLUMES, 0))
    names = {figure.name for figure in figures}
    assert {"accepted by question", "resume plan: what is left"} <= names
    assert len(DRAFTED) == 62


def test_a_missed_bar_is_told():
    slow = Figure("export", 61.0, "s", 60)
    fast = Figure("import", 12_345.6, "rows/s", 10_000, True)
    assert line_of(slow) == "| export | 61.00 s | <= 60 s | **miss** |  |"
    assert line_of(fast) == "| import | 12,346 rows/s | >= 10,000 rows/s | pass |  |"
    page = page_of(Bench(Path("x"), 7970, 0), [slow, fast], 9.0)
    assert "Bars missed: export." in page
    assert page.startswith("**On a loaded machine**")
