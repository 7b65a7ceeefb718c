import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from knee.errors import InputError, StoreError
from store.sql import MAX_TABLE_ROWS, run_sql
from store.writer import StoreWriter
from tests.store_child import fill
from tests.store_records import outcome

VOLUME = "9001/V00/right/dess"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sql") / "knees.duckdb"
    fill(path)
    with StoreWriter(path) as writer:
        writer.put_outcomes("r1", [outcome("r1", VOLUME, question) for question in (5, 6, 16)])
    return path


def test_a_table_is_aligned_and_shows_null(store: Path, capsys: pytest.CaptureFixture[str]):
    query = "SELECT question_id, split, feature FROM v_quintuples ORDER BY question_id"
    assert run_sql(store, query) == 3
    assert capsys.readouterr().out.splitlines() == [
        "question_id  split  feature",
        "-----------  -----  ---------",
        "5            NULL   bml",
        "6            NULL   bml",
        "16           NULL   cartilage",
    ]


def test_a_long_table_is_cut_and_says_so(store: Path, capsys: pytest.CaptureFixture[str]):
    assert run_sql(store, "SELECT i, repeat('x', 99) FROM range(5000) t(i)") == MAX_TABLE_ROWS
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == MAX_TABLE_ROWS + 3
    assert lines[-1].startswith("... more than 1000 rows")
    assert max(map(len, lines)) < 75


def test_csv_and_json_hold_every_row_and_nested_values(
    store: Path, capsys: pytest.CaptureFixture[str]
):
    assert run_sql(store, "SELECT i FROM range(5000) t(i)", output_format="csv") == 5000
    assert len(capsys.readouterr().out.splitlines()) == 5001
    query = (
        "SELECT box, gates, 'a,\"b\"\nc' AS text, NULL AS nothing, 'nan'::DOUBLE AS nan, "
        "1.5::DECIMAL(4, 2) AS half, recorded_at::DATE > '2020-01-01' AS late, "
        "TIMESTAMP '2026-01-02 03:04:05' AS time, MAP {'k': 1} AS map "
        "FROM v_quintuples JOIN outcomes USING (run_id, volume_id, question_id, gates) "
        "WHERE question_id = ?"
    )
    run_sql(store, query, [5], "json")
    row = json.loads(capsys.readouterr().out)[0]
    assert row == {
        "box": {"i0": 3, "i1": 14, "j0": 4, "j1": 11, "k0": 5, "k1": 13},
        "gates": ["schema@1", "numbers@2", "compare@1"],
        "text": 'a,"b"\nc',
        "nothing": None,
        "nan": None,
        "half": 1.5,
        "late": True,
        "time": "2026-01-02T03:04:05",
        "map": {"k": 1},
    }
    run_sql(store, query, [5], "csv")
    cells = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert json.loads(cells["box"]) == row["box"]
    assert (cells["text"], cells["nothing"]) == ('a,"b"\nc', "")


def test_an_empty_result_is_still_json_and_a_table(store: Path, capsys: pytest.CaptureFixture[str]):
    assert run_sql(store, "SELECT 1 AS a WHERE false") == 0
    assert capsys.readouterr().out == "a\n-\n"
    run_sql(store, "SELECT 1 AS a WHERE false", output_format="json")
    assert json.loads(capsys.readouterr().out) == []


def test_results_go_to_files_and_replace_them_whole(store: Path, tmp_path: Path):
    out = tmp_path / "rows.parquet"
    assert run_sql(store, "SELECT * FROM v_quintuples", None, "parquet", out) == 3
    assert pq.read_table(out).num_rows == 3
    before = out.read_bytes()
    with pytest.raises(InputError):
        run_sql(store, "SELECT error('stop') FROM v_quintuples", None, "parquet", out)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    with pytest.raises(InputError, match="cannot go to stdout"):
        run_sql(store, "SELECT 1", None, "parquet")
    with pytest.raises(InputError, match="belongs to the store"):
        run_sql(store, "SELECT 1", None, "csv", store.with_name(store.name + ".wal"))
    with pytest.raises(InputError, match="folder not found"):
        run_sql(store, "SELECT 1", None, "csv", tmp_path / "no" / "rows.csv")
    with pytest.raises(InputError, match="format 'xml'"):
        run_sql(store, "SELECT 1", None, "xml")


def test_named_parameters(store: Path, capsys: pytest.CaptureFixture[str]):
    assert run_sql(store, "SELECT $a + $b AS c", {"a": 1, "b": 2}, "csv") == 1
    assert capsys.readouterr().out.split() == ["c", "3"]


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO volumes SELECT * FROM volumes",
        "DELETE FROM attempts",
        "DROP VIEW v_quintuples",
        "CREATE TABLE mine (i INT)",
        "CREATE TEMP TABLE mine (i INT)",
        "COPY volumes TO 'volumes.csv'",
        # DuckDB itself allows these two: the database's own files are exempt from its lock-down.
        "COPY (SELECT 1) TO '{store}.wal'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{store}.wal'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{store}.wal'",
        "ATTACH '{store}' AS other",
        "ATTACH ':memory:' AS other",
        "EXPORT DATABASE 'dump'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_external_access",
        "SELECT 1; DROP TABLE volumes",
        "",
    ],
)
def test_what_does_not_only_read_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
):
    monkeypatch.chdir(tmp_path)
    before = store.read_bytes()
    with pytest.raises(InputError) as error:
        run_sql(store, query.format(store=store))
    assert "Traceback" not in str(error.value)
    assert store.read_bytes() == before
    assert not store.with_name(store.name + ".wal").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM 'https://example.org/a.parquet'",
        "FROM sniff_csv('/etc/passwd')",
        "EXPLAIN ANALYZE SELECT * FROM read_csv('/etc/passwd')",
    ],
)
def test_a_query_reaches_neither_files_nor_network(store: Path, query: str):
    with pytest.raises(InputError, match=r"disabled by configuration|does not exist"):
        run_sql(store, query)


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_blob('{store}')",
        "FROM read_blob($own)",
        "FROM read_blob('{folder}/{start}' || '{end}')",
        "FROM glob(['{store}'])",
        "FROM '{store}'",
        "SELECT (SELECT count(*) FROM read_text('{store}.wal'))",
        "WITH a AS (FROM read_duckdb('{store}', table_name = 'volumes')) FROM a",
        "DESCRIBE FROM read_blob('{folder}/{start}' || '{end}')",
        "EXPLAIN ANALYZE FROM read_blob('{folder}/{start}' || '{end}')",
        "FROM query('FROM read_blob(''{folder}/{start}'' || ''{end}'')')",
        "FROM query_table('{store}')",
    ],
)
def test_a_query_does_not_read_the_stores_own_file(store: Path, query: str):
    name = str(store)
    query = query.format(store=name, folder=store.parent, start=store.name[:2], end=store.name[2:])
    with pytest.raises(InputError, match="not even the store's own"):
        run_sql(store, query, {"own": name} if "$own" in query else None)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC 1", "Parser Error: syntax error"),
        ("SELECT * FROM nope", "Table with name nope does not exist"),
        ("SELECT nope FROM volumes", "nope"),
        ("SELECT 'a'::INT", "Could not convert string 'a'"),
        ("SELECT ?", "Values were not provided"),
    ],
)
def test_errors_are_duckdbs_own_words(store: Path, query: str, words: str):
    with pytest.raises(InputError, match=words) as error:
        run_sql(store, query)
    assert "Traceback" not in str(error.value)


def test_python_variables_are_out_of_reach(store: Path):
    secret = pq.read_table  # a name in scope that DuckDB could otherwise scan
    with pytest.raises(InputError, match="secret does not exist"):
        run_sql(store, "SELECT * FROM secret")
    assert callable(secret)


def test_statements_about_the_schema_are_run(store: Path, capsys: pytest.CaptureFixture[str]):
    for query in ("SHOW TABLES", "DESCRIBE v_quintuples", "EXPLAIN SELECT 1", "FROM questions"):
        assert run_sql(store, query) > 0
    assert "v_selection" in capsys.readouterr().out


def test_damage_met_in_a_query_is_about_the_store(store: Path, tmp_path: Path):
    damaged = tmp_path / "damaged.duckdb"
    data = bytearray(store.read_bytes())
    block = 262_144
    # One byte of each block but the first, which holds the catalogue that opening reads.
    for offset in range(12_288 + block + 1_000, len(data), block):
        data[offset] ^= 0xFF
    damaged.write_bytes(data)
    with pytest.raises(StoreError, match="corrupt"):
        run_sql(damaged, "SELECT * FROM attempts", output_format="csv")
