"""What is wrong with a store or its disk, by the command line: message, hint, store unharmed."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from knee.keys import content_hash
from run_pipeline import main
from store.migrations import apply_migrations
from tests.export_cases import make_store
from tests.hand_made_store import write_settings

ITEM = "9104001/V00/right/dess#1"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "knees.duckdb")


def commands(store: Path, out: Path, settings: Path) -> dict[str, list[str]]:
    """Every kind of command that opens a store; those before `backup` only read."""
    at = ["--store", str(store)]
    return {
        "status": ["status", *at],
        "sql": ["sql", "SELECT count(*) FROM v_quintuples", *at],
        "schema": ["schema", "runs", *at],
        "verify": ["store", "verify", *at],
        "export": ["export", str(out / "export"), "--where", "NOT synthetic", *at],
        "releases": ["release", "list", *at],
        "queue": ["review", "list", *at],
        "backup": ["store", "backup", str(out / "copy.duckdb"), *at],
        "freeze": ["release", "freeze", "one", "--where", "NOT synthetic", *at],
        "review": ["review", "accept", ITEM, "--by", "AB", *at],
        "generate": ["generate", "--config", str(settings), *at],
    }


def refused(arguments: Sequence[str], capsys: pytest.CaptureFixture[str], *, code: int = 2) -> str:
    """Runs a command that must fail with a message and a hint; returns what it said."""
    capsys.readouterr()
    assert main(list(arguments)) == code, arguments
    told = capsys.readouterr().err
    assert told.count("error: ") == 1, told
    assert "hint: " in told, (arguments, told)
    assert "Traceback" not in told
    return told


def damaged(store: Path) -> None:
    data = bytearray(store.read_bytes())
    data[4096:12288] = bytes(byte ^ 0xFF for byte in data[4096:12288])
    store.write_bytes(data)


def cut_off(store: Path) -> None:
    store.write_bytes(store.read_bytes()[:100_000])


def foreign(store: Path) -> None:
    store.write_text("these are notes\n" * 2000)


def another_programs(store: Path) -> None:
    store.unlink()
    with duckdb.connect(str(store)) as con:
        con.execute("CREATE TABLE grades (patient VARCHAR)")


def another_programs_of_duckdb_1(store: Path) -> None:
    store.unlink()
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{store}' AS old (STORAGE_VERSION 'v1.0.0')")
        con.execute("CREATE TABLE old.grades (patient VARCHAR)")


def of_a_newer_program(store: Path) -> None:
    with duckdb.connect(str(store)) as con:
        con.execute("INSERT INTO schema_migrations VALUES (99, 'later', now()::TIMESTAMP)")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damaged, "is corrupt"),
        (cut_off, "is corrupt"),
        (foreign, "is not a DuckDB file"),
        (another_programs, "of another program"),
        (another_programs_of_duckdb_1, "of another program"),
        (of_a_newer_program, "has schema 99"),
    ],
)
def test_a_file_that_is_no_sound_store_is_refused_by_every_command_and_left_as_it_is(
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    words: str,
):
    spoil(store)
    before, settings = store.read_bytes(), write_settings(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    for arguments in commands(store, tmp_path, settings).values():
        assert words in refused(arguments, capsys), arguments
    assert store.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_store_in_the_format_of_duckdb_1_is_read_and_written(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    old = tmp_path / "old.duckdb"
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{old}' AS old (STORAGE_VERSION 'v1.0.0')")
        con.execute("USE old")
        apply_migrations(con)
        con.execute(f"ATTACH '{store}' AS new (READ_ONLY)")
        for (table,) in con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'new'"
        ).fetchall():
            con.execute(f"TRUNCATE {table}")
            con.execute(f"INSERT INTO {table} BY NAME FROM new.{table}")
    with duckdb.connect(str(old), read_only=True) as con:
        tags = con.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert tags == [({"storage_version": "v1.0.0+"},)]
    found = commands(old, tmp_path, tmp_path)
    for name in ("status", "sql", "verify", "export", "review", "backup"):
        assert main(found[name]) == 0, (name, capsys.readouterr().err)


@contextmanager
def small_files(n_bytes: int) -> Generator[None]:
    """No file may grow beyond a size: what a full disk is to the program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_code_3_and_leaves_the_store_and_nothing_else(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    settings = write_settings(tmp_path)
    before = store.read_bytes()
    found = commands(store, tmp_path, settings)
    found["rows"] = ["sql", "SELECT repeat('x', 99999) FROM attempts", "--store", str(store)]
    found["rows"] += ["--format", "csv", "--out", str(tmp_path / "rows.csv")]
    found["parquet"] = [*found["rows"][:-4], "--format", "parquet", "--out", str(tmp_path / "p")]
    found["parquet"][1] = "SELECT md5(i::VARCHAR) FROM range(99999) t(i)"
    names = sorted(path.name for path in tmp_path.iterdir())
    for name in ("export", "backup", "rows", "parquet"):
        with small_files(2_000):
            assert "no space" in refused(found[name], capsys, code=3), name
        assert sorted(path.name for path in tmp_path.iterdir()) == names, name
    assert store.read_bytes() == before
    for name in ("freeze", "review"):
        # What is written does not fit; the log of what was begun counts for nothing.
        with small_files(100):
            assert "no space" in refused(found[name], capsys, code=3), name
        assert main(["store", "verify", "--store", str(store)]) == 0
        assert sorted(path.name for path in tmp_path.iterdir() if ".wal" not in path.name) == names
    with duckdb.connect(str(store), read_only=True) as con:
        counts = con.execute(
            "SELECT (SELECT count(*) FROM reviews), (SELECT count(*) FROM frozen_releases)"
        ).fetchall()
    assert counts == [(0, 0)]


@pytest.fixture
def sealed(tmp_path: Path) -> Generator[Path]:
    """A folder with a store that nobody may write: a read-only mount, or no right to."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    make_store(folder / "knees.duckdb")
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "--bind", folder, folder], check=False).returncode:
        pytest.skip("root may write everywhere, and may not mount here")
    try:
        subprocess.run([mount, "-o", "remount,ro,bind", folder, folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_store_on_a_read_only_disk_is_read_and_refused_to_writers(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = sealed / "knees.duckdb"
    before, settings = content_hash(store.read_bytes()), write_settings(tmp_path)
    found = commands(store, tmp_path, settings)
    for name in ("status", "sql", "verify", "export", "queue", "backup"):
        assert main(found[name]) == 0, (name, capsys.readouterr().err)
    for name in ("freeze", "review", "generate"):
        assert "must be writable" in refused(found[name], capsys), name
    inside = str(sealed / "out")
    for arguments in (
        ["export", inside, "--where", "NOT synthetic", "--store", str(store)],
        ["store", "backup", inside, "--store", str(store)],
        ["sql", "SELECT 1", "--store", str(store), "--format", "csv", "--out", inside],
        ["release", "freeze", "one", "--store", str(sealed / "new.duckdb")],
    ):
        refused(arguments, capsys)
    assert [path.name for path in sealed.iterdir()] == ["knees.duckdb"]
    assert content_hash(store.read_bytes()) == before


def test_sql_that_writes_or_reads_files_and_a_full_folder_are_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before, outside = store.read_bytes(), tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    for query in (
        f"COPY (SELECT 1) TO '{tmp_path / 'made.csv'}'",
        f"COPY (SELECT 1) TO '{store}.wal'",
        "UPDATE volumes SET split = 'test'",
        f"ATTACH '{tmp_path / 'made.duckdb'}' AS mine",
        f"SELECT * FROM read_csv('{outside}')",
        f"FROM '{outside}'",
        f"SELECT * FROM read_blob('{store}')",
    ):
        capsys.readouterr()
        assert main(["sql", query, "--store", str(store)]) == 2
        told = capsys.readouterr()
        assert told.err.startswith("error: ")
        assert told.out == ""
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    arguments = ["export", str(folder), "--where", "NOT synthetic", "--store", str(store)]
    assert "is there and not an empty folder" in refused(arguments, capsys)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("full", "knees.duckdb", "outside.csv")
    ]
    assert store.read_bytes() == before


def test_a_damaged_block_that_only_a_query_meets_is_told_by_every_command(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with duckdb.connect(str(store), read_only=True) as con:
        blocks = con.execute(
            "SELECT DISTINCT block_id FROM pragma_storage_info('attempts') WHERE persistent "
            "UNION SELECT DISTINCT block_id FROM pragma_storage_info('volumes') WHERE persistent"
        ).fetchall()
    data = bytearray(store.read_bytes())
    for (block,) in blocks:
        start = 3 * 4096 + block * 262_144
        data[start : start + 262_144] = bytes(262_144)
    store.write_bytes(data)
    at = ["--store", str(store)]
    for arguments in (["status", *at], ["store", "verify", *at], ["sql", "FROM attempts", *at]):
        assert "is corrupt" in refused(arguments, capsys), arguments


def test_verify_reads_also_what_no_check_looks_at(store: Path, capsys: pytest.CaptureFixture[str]):
    with duckdb.connect(str(store)) as con:
        # Too long to share a block with what the checks read.
        con.execute("UPDATE volumes SET reason = repeat(hash(random())::VARCHAR, 100000)")
        con.execute("CHECKPOINT")
        rows = con.execute(
            "SELECT block_id, additional_block_ids FROM pragma_storage_info('volumes') "
            "WHERE column_name = 'reason' AND segment_type = 'VARCHAR'"
        ).fetchall()
    blocks = {block for _, more in rows for block in more or ()} or {rows[0][0]}
    data = bytearray(store.read_bytes())
    for block in blocks:
        start = 3 * 4096 + block * 262_144
        data[start : start + 262_144] = bytes(262_144)
    store.write_bytes(data)
    assert main(["store", "verify", "--quick", "--store", str(store)]) == 0
    assert "is corrupt" in refused(["store", "verify", "--store", str(store)], capsys)
