"""The views for analysis hold the figures that the store's rows give."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from knee.questions import QUESTIONS
from knee.records import Wording
from prompts.question_text import question_text
from stages.question_words import question_words_of
from store.connection import open_store
from store.question_rows import put_question_words
from store.writer import StoreWriter
from tests.export_cases import NEW, OLD, make_store, volume_id


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    path = make_store(tmp_path_factory.mktemp("views") / "knees.duckdb")
    with open_store(path, read_only=True) as opened:
        yield opened


def test_a_row_a_knee_visit_and_component_read_or_not(con: duckdb.DuckDBPyConnection):
    n_knees, n_components = 5, con.execute("SELECT count(*) FROM components").fetchall()[0][0]
    total, read, made = con.execute(
        "SELECT count(*), count(grade), count(DISTINCT (patient, question_id)) "
        "FILTER (n_quintuples > 0) FROM v_knee_components"
    ).fetchall()[0]
    assert total == n_knees * n_components
    assert read == con.execute("SELECT count(*) FROM clinician_grades").fetchall()[0][0]
    # Question 1 of five knees, 2 of two (one of them by the label-given run), 16 of one.
    assert made == 8


def test_agreement_knows_no_steps_on_scales_without_them(con: duckdb.DuckDBPyConnection):
    rows = con.execute(
        "SELECT sum(n), sum(n_same), bool_and((n_within_one IS NULL) = (scale_type "
        "NOT IN ('ordinal', 'count'))) FROM v_agreement WHERE run_id = ?",
        [NEW],
    ).fetchall()
    counted = con.execute(
        "SELECT count(*) FROM outcome_components WHERE run_id = ? AND status = 'graded'", [NEW]
    ).fetchall()[0][0]
    assert rows == [(counted, counted, True)]


def test_acceptance_by_prompt_and_what_checks_found(con: duckdb.DuckDBPyConnection):
    (row,) = con.execute(
        "SELECT sum(accepted), sum(rejected), sum(drafted) FROM v_acceptance_by_prompt "
        "WHERE run_id = ? AND prompt_id = 'draft'",
        [NEW],
    ).fetchall()
    assert row == (6, 1, 7)
    assert con.execute(
        "SELECT check_name, code, items, accepted, rejected FROM v_checks WHERE run_id = ?", [NEW]
    ).fetchall() == [("numbers", "number_not_in_findings", 7, 6, 1)]


def test_costs_are_the_sums_of_the_calls(con: duckdb.DuckDBPyConnection):
    assert con.execute(
        "SELECT items, accepted, calls, prompt_tokens, completion_tokens, judge_calls, "
        "tokens_per_accepted FROM v_run_costs WHERE run_id = ?",
        [OLD],
    ).fetchall() == [(2, 2, 4, 2800, 840, 0, 1820.0)]
    assert con.execute(
        "SELECT calls, tokens_per_accepted FROM v_run_costs WHERE run_id = 'trial'"
    ).fetchall() == [(0, None)]


def test_stale_counts_and_weights(con: duckdb.DuckDBPyConnection):
    assert con.execute(
        "SELECT status, quintuples FROM v_stale_counts WHERE run_id = ?", [NEW]
    ).fetchall() == [("valid", 6)]
    read, accepted, weight = con.execute(
        "SELECT n_read, n_accepted, weight FROM v_selection_weight WHERE run_id = ? "
        "AND feature = 'bml' AND component = 'size' AND clinician_grade = 1 AND NOT synthetic",
        [NEW],
    ).fetchall()[0]
    # Of 8 BML sizes of patients 7 have grade 1, and 4 were accepted, all of them grade 1.
    assert (read, accepted) == (7, 4)
    assert weight == pytest.approx((7 + 10) / (4 + 10 * 4 / 8))


def test_selection_is_by_all_that_the_rules_name_and_carries_its_weight(
    con: duckdb.DuckDBPyConnection,
):
    rows = con.execute(
        "SELECT clinician_grade, attempts, readprj, visit, mask_source, sum(n_read), "
        "sum(n_accepted), min(weight), max(weight) FROM v_selection WHERE run_id = ? "
        "AND feature = 'bml' AND component = 'size' AND NOT synthetic AND n_read > 0 "
        "GROUP BY ALL ORDER BY ALL",
        [NEW],
    ).fetchall()
    common, rare = (7 + 10) / (4 + 10 * 4 / 8), (1 + 10) / (0 + 10 * 4 / 8)
    assert [row[:7] for row in rows] == [
        (1, 2, "15", "V00", "phantom", 4, 4),
        (1, None, "15", "V00", "phantom", 3, 0),
        (2, None, "15", "V00", "phantom", 1, 0),
    ]
    assert [row[7] for row in rows] == [row[8] for row in rows]
    assert [row[7] for row in rows] == pytest.approx([common, common, rare])
    unread = con.execute(
        "SELECT count(*) FROM v_selection WHERE weight IS NOT NULL "
        "AND clinician_status IS DISTINCT FROM 'read'"
    ).fetchall()
    assert unread == [(0,)]


def test_the_flat_view_has_the_words_of_the_question_and_the_reading_projects(tmp_path: Path):
    store = make_store(tmp_path / "knees.duckdb")
    with StoreWriter(store) as writer:
        put_question_words(writer, NEW, question_words_of(Wording.GUIDED))
        put_question_words(writer, NEW, question_words_of(Wording.ZERO_SHOT))
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT volume_id, question, readprj, steps[5].text, status FROM v_flat "
            "WHERE run_id = ? AND question_id = 16",
            [NEW],
        ).fetchall()
        texts = con.execute("SELECT count(*), count(DISTINCT text) FROM run_questions").fetchall()
        same = con.execute(
            "SELECT (SELECT count(*) FROM v_flat) = (SELECT count(*) FROM v_quintuples)"
        ).fetchall()
    (row,) = rows
    asked = question_text(16, Wording.GUIDED, QUESTIONS[16].components)
    assert row == (volume_id("9104001"), asked, ["15"], "Grade 1.", "valid")
    assert texts[0][0] == texts[0][1] > 150
    assert same == [(True,)]


def test_a_row_a_knee_visit_has_every_component_in_a_column(con: duckdb.DuckDBPyConnection):
    names = [str(row[0]) for row in con.execute("DESCRIBE v_knees").fetchall()]
    assert names[6:] == [
        f"q{q.question_id:02d}_{c}" for q in QUESTIONS.values() for c in q.components
    ]
    rows = con.execute(
        "SELECT patient, q01_size, q02_number, q16_full_thickness, q30_grade, n_read, n_quintuples "
        "FROM v_knees WHERE NOT synthetic ORDER BY patient"
    ).fetchall()
    # Of 9104001: question 1 in two blind runs and a label-given one, 2 in that, 16 in one.
    assert rows[:2] == [("9104001", 1, 1, 1, None, 8, 5), ("9104002", 1, 2, 1, None, 8, 2)]
    assert len(rows) == 4
