"""The views for analysis hold the figures that the store's rows give."""

from collections.abc import Iterator

import duckdb
import pytest

from store.connection import open_store
from tests.export_cases import NEW, OLD, make_store


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
