"""`schema` shows every table, view and column with what it is."""

import json
from pathlib import Path

import pytest

from run_pipeline import main
from store.connection import create_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "knees.duckdb"
    create_store(path)
    return path


def shown(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert main(["schema", "--json", *more]) == 0
    return {table["name"]: table for table in json.loads(capsys.readouterr().out)["tables"]}


def test_nothing_is_without_its_description_and_a_store_says_what_the_program_does(
    store: Path, capsys: pytest.CaptureFixture[str]
):
    tables = shown(capsys, "--store", str(store))
    assert tables == shown(capsys)
    assert tables["runs"]["kind"] == "table"
    assert tables["v_selection"]["kind"] == "view"
    assert tables["attempts"]["key"] == ["run_id", "volume_id", "question_id", "attempt_no"]
    for name, table in tables.items():
        assert str(table["comment"] or "").strip(), name
        columns = table["columns"]
        assert isinstance(columns, list)
        assert columns, name
        for column in columns:
            assert (column["comment"] or "").strip(), (name, column)


def test_one_table_for_people(store: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["schema", "measurements", "--store", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("measurements (table): One number in one region")
    place = lines.index("  value DOUBLE NOT NULL")
    assert lines[place + 1].strip() == "In `unit`; what could not be measured has no row."
    assert main(["schema", "measurement", "--store", str(store)]) == 2
    assert "no table or view 'measurement'" in capsys.readouterr().err
    assert main(["schema", "--store", str(store.parent / "none.duckdb")]) == 2
