"""The main job, end to end: a real vLLM server, the bundled model, phantom knees."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.demo_run import DemoRun, run_command

pytestmark = pytest.mark.vllm


def share(figures: dict[str, Any], group: str) -> float:
    """Returns accepted / drafted of a group, with its counts checked."""
    row = next(row for row in figures["acceptance"] if row["group"] == group)
    assert row["drafted"] == sum(
        row[state] for state in ("accepted", "rejected", "disagrees", "failed")
    )
    return row["accepted"] / row["drafted"]


def test_the_demo_ends_well_and_names_its_report_last(demo_run: DemoRun):
    assert demo_run.result.code == 0, demo_run.result.err[-3000:]
    report = Path(demo_run.result.err.strip().splitlines()[-1])
    assert report.is_file()
    assert demo_run.figures["report"] == str(report)


def test_the_first_accepted_quintuple_is_on_the_screen_before_the_run_ends(demo_run: DemoRun):
    said = demo_run.result.err
    assert said.count("first accepted quintuple, after ") == 1, (
        "of the real run, not of the control"
    )
    shown = said[said.index("first accepted quintuple, after ") :]
    for part in ("volume ", "question ", "box ", "locate ", "conclude ", "grades ", "gates "):
        assert f"\n  {part}" in shown
    assert shown.index("gates ") < shown.index("control: findings of another knee")


def test_at_least_two_knees_and_all_questions_have_a_state(demo_run: DemoRun):
    figures = demo_run.figures["own_findings"]
    assert sum(figures["states"].values()) >= 2 * 69
    assert figures["states"]["pending"] == 0
    assert figures["states"]["failed"] == 0


def test_the_demo_model_reaches_its_bars_and_beats_exchanged_findings(demo_run: DemoRun):
    own, exchanged = demo_run.figures["own_findings"], demo_run.figures["exchanged_findings"]
    assert share(own, "all") >= 0.70
    assert share(own, "grade >= 1") >= 0.65
    assert share(own, "all") > share(exchanged, "all")
    assert share(own, "grade >= 1") > share(exchanged, "grade >= 1")
    assert own["acceptance_macro_over_grades"] > exchanged["acceptance_macro_over_grades"]


def test_what_is_accepted_was_judged_and_most_of_what_is_judged_passes(demo_run: DemoRun):
    with duckdb.connect(str(demo_run.store), read_only=True) as con:
        gates = con.execute(
            "SELECT count(*), count(*) FILTER (array_to_string(gates, ' ') LIKE "
            "'%judge:reasonknee-demo@judge-reanswer-demo/1+judge-rubric-demo/2%') "
            "FROM outcomes WHERE state = 'accepted'"
        ).fetchone()
        judged = con.execute(
            "SELECT count(*), count(*) FILTER (passed) FROM judgements j "
            "JOIN runs r USING (run_id) WHERE r.control = 'none'"
        ).fetchone()
    assert gates is not None
    assert judged is not None
    assert gates[0] == gates[1] > 0
    assert judged[1] >= 0.85 * judged[0] > 0


@pytest.mark.parametrize(
    "feature", ["bml", "cartilage", "osteophyte", "extrusion", "effusion_synovitis"]
)
def test_something_is_accepted_in_each_measured_feature(demo_run: DemoRun, feature: str):
    rows = demo_run.figures["own_findings"]["acceptance_by_feature"]
    assert next(row for row in rows if row["group"] == feature)["accepted"] >= 1


def test_every_attempt_is_a_row_with_prompt_model_and_tokens(demo_run: DemoRun):
    with duckdb.connect(str(demo_run.store), read_only=True) as con:
        counts = con.execute(
            "SELECT count(*), count(*) FILTER (prompt_sha256 LIKE 'sha256:%' AND prompt_tokens > 0 "
            "AND completion_tokens > 0 AND model = 'reasonknee-demo') FROM attempts"
        ).fetchone()
        accepted = con.execute(
            "SELECT count(*) FROM quintuples q LEFT JOIN attempts a "
            "USING (run_id, volume_id, question_id, attempt_no) WHERE NOT coalesce(a.passed, false)"
        ).fetchone()
        unsynthetic = con.execute(
            "SELECT count(*) FROM v_quintuples WHERE NOT synthetic"
        ).fetchone()
    assert counts is not None
    assert counts[0] == counts[1] > 0
    assert accepted == (0,)
    assert unsynthetic == (0,)


def test_a_second_demo_in_the_same_folder_has_nothing_left_to_draft(demo_run: DemoRun):
    with duckdb.connect(str(demo_run.store), read_only=True) as con:
        before = con.execute("SELECT count(*) FROM attempts").fetchone()
    again = run_command(
        "generate", "--store", str(demo_run.store), "--config", str(demo_run.config), "--json"
    )
    assert again.code == 0, again.err
    assert json.loads(again.out)["run_id"] == demo_run.figures["own_findings"]["run_id"]
    with duckdb.connect(str(demo_run.store), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM attempts").fetchone() == before


def test_the_report_holds_pictures_and_nothing_from_elsewhere(demo_run: DemoRun):
    html = Path(demo_run.figures["report"]).read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") >= 4
    assert "Synthetic" in html
    assert "http://" not in html.replace("http://127.0.0.1", "")
    assert "https://" not in html


def test_no_server_process_is_left(demo_run: DemoRun):
    port = demo_run.config.read_text(encoding="utf-8").split("port = ")[1].split()[0]
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if _holds(path, b"vllm") and _holds(path, port.encode())
    ]
    assert not left


def _holds(path: Path, text: bytes) -> bool:
    try:
        return text in path.read_bytes()
    except OSError:
        return False
