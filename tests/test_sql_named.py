"""Named queries, named parameters, and a user's own table beside the store."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from knee.errors import InputError
from run_pipeline import main
from stages.query import QueryOptions, query
from store.connection import open_store
from store.named_queries import load_named_queries, named_query
from store.sql import run_sql
from store.user_tables import parse_with
from tests.export_cases import NEW, make_store

GIVEN = {"feature": "bml", "volume": "9104001/V00/right/dess", "patient": "9104001"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("named") / "knees.duckdb")


def rows(capsys: pytest.CaptureFixture[str], options: QueryOptions) -> list[dict[str, object]]:
    assert query(options) == 0
    return json.loads(capsys.readouterr().out)


def named(store: Path, name: str, *values: str) -> QueryOptions:
    return QueryOptions(store, None, named=name, named_values=values, output_format="json")


@pytest.mark.parametrize("name", [one.name for one in load_named_queries()])
def test_every_named_query_runs_and_says_what_it_takes(
    store: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    one = named_query(name)
    assert one.words.endswith(".")
    assert set(one.bind({p.name: "x" for p in one.parameters})) == {p.name for p in one.parameters}
    values = [f"{p.name}={GIVEN[p.name]}" for p in one.parameters if p.required]
    found = rows(capsys, named(store, name, *values))
    assert found or name in {"review_queue"}


EARLIER_TEXT = {
    "patient": """
SELECT visit, side, sequence, run_id, question_id, feature, region_name, grades, clinician_grades,
    status
FROM v_quintuples WHERE volume_id IN (SELECT volume_id FROM volumes WHERE patient = $patient)
ORDER BY visit, side, sequence, question_id, run_id""",
    "accepted_by_clinician_grade": """
SELECT feature, component, clinician_grade,
    sum(accepted)::BIGINT AS accepted, sum(rejected)::BIGINT AS rejected,
    sum(disagrees)::BIGINT AS disagrees, sum(failed)::BIGINT AS failed,
    round(sum(accepted) / sum(drafted), 4) AS acceptance
FROM v_acceptance WHERE run_id = coalesce($run, (SELECT run_id FROM runs
    WHERE kind = 'production' ORDER BY started_at DESC, run_id DESC LIMIT 1))
GROUP BY ALL ORDER BY min(question_id), component, clinician_grade""",
}
"""As they were before they were made fast."""


def test_rewritten_queries_give_what_they_gave(store: Path):
    with open_store(store, read_only=True) as con:
        patients = con.execute("SELECT DISTINCT patient FROM volumes").fetchall()
        runs = con.execute("SELECT run_id FROM runs UNION ALL SELECT NULL").fetchall()
        asked = [("patient", {"patient": str(row[0])}) for row in [*patients, ("910",)]]
        asked += [("accepted_by_clinician_grade", {"run": row[0]}) for row in runs]
        n_rows = 0
        for name, values in asked:
            was = con.execute(EARLIER_TEXT[name], values)
            columns, rows = was.description, was.fetchall()
            now = con.execute(named_query(name).sql, values)
            assert (now.description, now.fetchall()) == (columns, rows)
            n_rows += len(rows)
    assert n_rows > 12


def test_their_figures_are_those_of_the_store(store: Path, capsys: pytest.CaptureFixture[str]):
    by_question = rows(capsys, named(store, "accepted_by_question", f"run={NEW}"))
    assert [(r["question_id"], r["accepted"], r["rejected"]) for r in by_question] == [
        (1, 5, 0),
        (16, 1, 1),
    ]
    assert by_question[1]["acceptance"] == 0.5
    codes = rows(capsys, named(store, "reject_codes_by_prompt"))
    assert [(r["code"], r["items"]) for r in codes] == [("number_not_in_findings", 1)]
    confusion = rows(capsys, named(store, "confusion", "feature=bml", f"run={NEW}"))
    assert {(r["clinician_grade"], r["draft_grade"], r["items"]) for r in confusion} == {(1, 1, 5)}
    left = rows(capsys, named(store, "items_left", f"run={NEW}"))
    assert sum(int(str(r["items"])) for r in left) == 5 * 3 - 7
    assert len(rows(capsys, named(store, "patient", "patient=9104001"))) == 6


def test_a_named_query_tells_what_is_missing_or_strange(store: Path):
    with pytest.raises(InputError, match="needs 'volume'"):
        query(named(store, "volume"))
    with pytest.raises(InputError, match="no parameter 'patient'"):
        query(named(store, "volume", "patient=1"))
    with pytest.raises(InputError, match="no query is named 'nope'"):
        query(named(store, "nope"))
    with pytest.raises(InputError, match="not key=value"):
        query(named(store, "volume", "volume"))
    with pytest.raises(InputError, match="a query, or the name"):
        query(QueryOptions(store, "SELECT 1", named="volume"))
    with pytest.raises(InputError, match="use one of the two"):
        query(QueryOptions(store, "SELECT ?", values=("1",), named_values=("a=1",)))


def test_a_users_table_is_joined_by_keys_that_stay_text(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "kl.csv").write_text("patient,side,kl\n9104001,right,3\n0009,left,\n")
    text = (
        "SELECT patient, kl, count(*) AS n FROM v_quintuples JOIN kl USING (patient, side) "
        "WHERE kl >= $least GROUP BY ALL"
    )
    options = QueryOptions(
        store,
        text,
        output_format="json",
        named_values=("least=2",),
        tables=(f"kl={tmp_path / 'kl.csv'}",),
    )
    assert rows(capsys, options) == [{"patient": "9104001", "kl": 3, "n": 6}]
    run_sql(
        store, "FROM kl ORDER BY patient LIMIT 1", None, "json", None, {"kl": tmp_path / "kl.csv"}
    )
    assert json.loads(capsys.readouterr().out) == [{"patient": "0009", "side": "left", "kl": None}]
    pq.write_table(pa.table({"ID": [9104001], "bmi": [27.5]}), tmp_path / "bmi.parquet")
    run_sql(
        store,
        "SELECT DISTINCT bmi FROM v_quintuples JOIN bmi ON patient = id",
        None,
        "csv",
        None,
        {"bmi": tmp_path / "bmi.parquet"},
    )
    assert capsys.readouterr().out.split() == ["bmi", "27.5"]


def test_a_users_table_opens_no_other_file(store: Path, tmp_path: Path):
    file = tmp_path / "kl.csv"
    file.write_text("patient,kl\n9104001,3\n")
    for text in (f"SELECT * FROM read_csv('{file}')", f"SELECT * FROM '{file}'"):
        with pytest.raises(InputError, match=r"disabled by configuration|does not exist"):
            run_sql(store, text, None, "csv", None, {"kl": file})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("kl", "not name=file"),
        ("k l=x.csv", "not name=file"),
        ("kl=nowhere.csv", "table not found"),
        ("volumes={file}", "has a table 'volumes' already"),
        ("V_Quintuples={file}", "has a table 'v_quintuples' already"),
        ("kl={bad}", "cannot be read"),
    ],
)
def test_a_wrong_table_is_one_message(store: Path, tmp_path: Path, word: str, message: str):
    file, bad = tmp_path / "kl.csv", tmp_path / "bad.parquet"
    file.write_text("patient,kl\n1,3\n")
    bad.write_text("no parquet")
    with pytest.raises(InputError, match=message):
        query(QueryOptions(store, "SELECT 1", tables=(word.format(file=file, bad=bad),)))
    with pytest.raises(InputError, match="twice"):
        parse_with(["kl=a.csv", "KL=b.csv"])


def test_the_list_needs_no_store(capsys: pytest.CaptureFixture[str]):
    assert main(["sql", "--list"]) == 0
    out = capsys.readouterr().out
    assert "accepted_by_question\n    Acceptance of each question" in out
    assert "$feature: feature, e.g. bml; `FROM questions` lists them [required]" in out
    assert main(["sql", "SELECT 1"]) == 2
