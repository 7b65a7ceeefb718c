import sqlite3
from pathlib import Path

import duckdb
import pytest

from knee.errors import InputError, StoreError
from store.connection import STORAGE_VERSION, create_store, open_store, translate
from store.migrations import SCHEMA_VERSION
from store.writer import StoreWriter


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "knees.duckdb"
    create_store(path)
    return path


@pytest.mark.parametrize("read_only", [True, False])
def test_a_missing_store_is_an_error_and_nothing_is_made(tmp_path: Path, read_only: bool):
    with pytest.raises(InputError, match=r"store not found: .*none\.duckdb") as error:
        open_store(tmp_path / "none.duckdb", read_only)
    assert error.value.exit_code == 2
    with pytest.raises(InputError), StoreWriter(tmp_path / "none.duckdb"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_new_store_is_empty_and_readable_by_every_duckdb_2(store: Path):
    with open_store(store, read_only=True) as con:
        assert con.execute("SELECT count(*) FROM volumes").fetchall() == [(0,)]
        tags = con.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert tags == [({"storage_version": f"{STORAGE_VERSION}+"},)]
    assert [path.name for path in store.parent.iterdir()] == ["knees.duckdb"]


def test_creating_over_a_file_is_refused_and_leaves_it(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(InputError, match="already"):
        create_store(path)
    assert path.read_text() == "mine"
    with pytest.raises(InputError, match="folder not found"):
        create_store(tmp_path / "no" / "knees.duckdb")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: duckdb.DuckDBPyConnection) -> int:
        raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    monkeypatch.setattr("store.connection.apply_migrations", fail)
    with pytest.raises(StoreError, match="no space") as error:
        create_store(tmp_path / "knees.duckdb")
    assert error.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_stores_are_refused_and_left_alone(tmp_path: Path):
    text = tmp_path / "text.duckdb"
    text.write_text("hello\n" * 1000)
    empty = tmp_path / "empty.duckdb"
    empty.touch()
    lite = tmp_path / "lite.duckdb"
    with sqlite3.connect(lite) as other:
        other.execute("CREATE TABLE a (i INT)")
    other.close()
    for path in (text, empty, lite, tmp_path):
        before = path.read_bytes() if path.is_file() else None
        for read_only in (True, False):
            with pytest.raises(StoreError, match="is not a DuckDB file") as error:
                open_store(path, read_only)
            assert error.value.exit_code == 2
            assert error.value.hint is not None
        assert before is None or path.read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE volumes (volume_id VARCHAR)",
        "CREATE TABLE application (i INT)",
        "CREATE TABLE application (name VARCHAR); INSERT INTO application VALUES ('other')",
    ],
)
def test_a_duckdb_file_of_another_program_is_refused(tmp_path: Path, sql: str):
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(sql)
    for read_only in (True, False):
        with pytest.raises(StoreError, match="of another program"):
            open_store(path, read_only)
    with pytest.raises(StoreError, match="of another program"), StoreWriter(path, create=True):
        pass
    with duckdb.connect(str(path), read_only=True) as con:
        assert len(con.execute("SHOW TABLES").fetchall()) == 1


def test_a_damaged_store_is_called_corrupt(store: Path):
    whole = store.read_bytes()
    flipped = bytearray(whole)
    flipped[4096:8192] = bytes(byte ^ 0xFF for byte in flipped[4096:8192])
    for damaged in (bytes(flipped), whole[:100], whole[: len(whole) // 2]):
        store.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"corrupt|not a DuckDB file") as error:
            open_store(store, read_only=True)
        assert "Traceback" not in str(error.value)
        assert store.read_bytes() == damaged


def test_a_store_of_a_newer_program_is_refused(store: Path):
    with duckdb.connect(str(store)) as con:
        con.execute("INSERT INTO schema_migrations VALUES (99, 'later', now()::TIMESTAMP)")
    with pytest.raises(StoreError, match=f"schema 99, this program knows {SCHEMA_VERSION}"):
        open_store(store, read_only=True)


def test_a_file_of_a_newer_duckdb_is_named_so():
    words = duckdb.IOException(
        "IO Error: Trying to read a database file with version number 1100, "
        "but we can only read versions between 64 and 999."
    )
    assert "written by another DuckDB" in translate(words, Path("k.duckdb")).message


def test_closed_connections_reach_no_file(store: Path):
    with (
        open_store(store, read_only=True, closed=True) as con,
        pytest.raises(duckdb.PermissionException),
    ):
        con.execute("SELECT * FROM read_text('/etc/hostname')")
