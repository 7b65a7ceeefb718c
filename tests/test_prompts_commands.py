"""`prompts list | show | render | diff | try | compare` as a user runs them, with a stub server."""

import contextlib
import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from knee.records import Item
from prompts.registry import TEMPLATES, load_prompt, load_prompt_file
from run_pipeline import main
from tests.prepared_store import stub_process, write_config
from tests.sampled_store import (
    make_sampled_store,
    patient_of,
    sound_answers,
    write_answers_file,
)

N_ITEMS = 33
_SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a prompt file, and answers: B's are off where `_spoil` says so."""
    folder = tmp_path_factory.mktemp("prompts")
    make_sampled_store(folder / "s.duckdb")
    source = (TEMPLATES / "demo-draft" / "v1.jinja2").read_text(encoding="utf-8")
    (folder / "mine.jinja2").write_text(source.replace("\nplanes ", "\nlook at "), encoding="utf-8")
    settings = (TEMPLATES / "demo-draft" / "v1.toml").read_text(encoding="utf-8")
    (folder / "mine.toml").write_text(settings, encoding="utf-8")
    store, mine = folder / "s.duckdb", load_prompt_file(folder / "mine.jinja2")
    write_answers_file(
        folder / "answers.json",
        sound_answers(store, load_prompt("demo-draft", 1)),
        sound_answers(store, mine, _spoil),
    )
    return folder


def _spoil(item: Item, answer: dict[str, Any]) -> None:
    """Extrusion drafts of patients 0 to 7 are no drafts in B; patient 9's holds mark-up."""
    if item.question_id == 45 and patient_of(item) < 8:
        answer["grades"] = {}
    if item.question_id == 30 and patient_of(item) == 9:
        answer["observe"]["text"] = _SCRIPT


@pytest.fixture(scope="module")
def config(folder: Path) -> Generator[Path]:
    with stub_process(folder / "answers.json", 0.0) as port:
        yield write_config(folder, port, concurrency=16)


@pytest.fixture(scope="module")
def compared(folder: Path, config: Path) -> dict[str, Any]:
    """What `prompts compare` says of demo-draft and the file."""
    out = folder / "figures.json"
    figures = _main_json(
        "prompts",
        "compare",
        "demo-draft",
        str(folder / "mine.jinja2"),
        "--store",
        str(folder / "s.duckdb"),
        "--config",
        str(config),
        "--n",
        str(N_ITEMS),
        "--html",
        str(folder / "compare.html"),
        out=out,
    )
    assert figures["compared"] == N_ITEMS
    return figures


def _main_json(*arguments: str, out: Path) -> dict[str, Any]:
    """Runs a command in this process; module fixtures have no capsys."""
    with out.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        assert main([*arguments, "--json"]) == 0
    return json.loads(out.read_text(encoding="utf-8"))


def _query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "s.duckdb"), read_only=True) as con:
        return con.execute(sql).fetchall()


def _group(figures: dict[str, Any], name: str) -> dict[str, Any]:
    return next(group for group in figures["groups"] if group["group"] == name)


def test_both_trials_have_the_same_items_and_no_test_patient(
    folder: Path, compared: dict[str, Any]
):
    runs = (compared["a"]["run_id"], compared["b"]["run_id"])
    keys = [
        _query(
            folder,
            f"SELECT volume_id, question_id FROM outcomes WHERE run_id = '{run}' ORDER BY ALL",
        )
        for run in runs
    ]
    assert keys[0] == keys[1]
    assert len(keys[0]) == N_ITEMS
    assert compared["left_out"] == {"only_a": 0, "only_b": 0, "changed": 0, "failed": 0}
    bound = _query(folder, "SELECT DISTINCT split FROM run_items JOIN volumes USING (volume_id)")
    assert {split for (split,) in bound} <= {"train", "val"}
    kinds = _query(folder, "SELECT DISTINCT kind FROM runs WHERE control = 'none'")
    assert kinds == [("trial",)]


def test_figures_are_what_the_spoilt_answers_make_them(folder: Path, compared: dict[str, Any]):
    extrusion = _group(compared, "extrusion")["figures"]["acceptance"]
    drafted = _query(
        folder,
        "SELECT volume_id FROM outcomes WHERE question_id = 45 AND run_id = "
        f"'{compared['a']['run_id']}'",
    )
    spoilt = [volume for (volume,) in drafted if int(volume[1:3]) < 8]
    assert len(spoilt) >= 5
    assert extrusion["a"]["value"] == 1
    assert extrusion["b"]["value"] == pytest.approx(1 - len(spoilt) / len(drafted))
    assert extrusion["n_differing"] == len(spoilt)
    assert extrusion["p"] == pytest.approx(2 / 2 ** len(spoilt))
    assert extrusion["p_holm"] == pytest.approx(min(1, 3 * extrusion["p"]))
    cartilage = _group(compared, "cartilage")["figures"]["agreement"]
    assert (cartilage["a"]["value"], cartilage["difference"]["value"]) == (1, 0)
    assert cartilage["p"] == 1
    everything = _group(compared, "all")
    assert everything["patients"] == 12
    assert everything["figures"]["agreement"]["difference"]["low"] is not None
    assert "A agrees more often" in compared["verdict"]


def test_faults_of_b_are_counted(compared: dict[str, Any]):
    rates = {rate["code"]: rate for rate in compared["codes_per_100_items"]}
    assert max(rate["b"] for rate in rates.values()) > 100 * 5 / N_ITEMS
    assert all(rate["a"] == 0 for rate in rates.values())


def test_the_page_is_self_contained_and_what_a_model_wrote_is_escaped(
    folder: Path, compared: dict[str, Any]
):
    page = (folder / "compare.html").read_text(encoding="utf-8")
    assert _SCRIPT not in page
    assert not re.search(r"<(?:script|link|img|iframe)|https?://|url\(|@import", page)
    assert "&lt;script&gt;" in page
    assert "Accepted in A, not in B" in page
    assert "Accepted in B, not in A" not in page
    assert compared["a"]["run_id"] in page
    assert "phantoms: self-consistency" in page
    assert "-planes {{ planes" in page


def test_the_unsaved_template_is_in_the_store_under_its_hash(
    folder: Path, compared: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    prompt = compared["b"]["prompt"]
    assert (prompt["prompt_id"], prompt["version"]) == ("unsaved/mine", 0)
    store = ["--store", str(folder / "s.duckdb")]
    assert main(["prompts", "show", prompt["sha256"][:20], *store]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith((folder / "mine.jinja2").read_text(encoding="utf-8")[:200])
    used = _query(folder, "SELECT DISTINCT prompt_sha256 FROM attempts WHERE prompt_version = 0")
    assert used == [(prompt["sha256"],)]
    assert main(["prompts", "show", "sha256:0000", *store]) == 2
    assert main(["prompts", "show", "sha256:0000"]) == 2


def test_render_gives_what_was_sent(
    folder: Path, config: Path, compared: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    volume, question, sha256 = _query(
        folder,
        "SELECT volume_id, question_id, prompt_text_sha256 FROM attempts WHERE run_id = "
        f"'{compared['b']['run_id']}' ORDER BY ALL LIMIT 1",
    )[0]
    item = ["--store", str(folder / "s.duckdb"), "--volume", volume, "--question", str(question)]
    file = ["--file", str(folder / "mine.jinja2"), "--config", str(config)]
    assert main(["prompts", "render", *file, *item, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["prompt_text_sha256"] == sha256
    assert told["prompt"]["sha256"] == compared["b"]["prompt"]["sha256"]


def test_nothing_of_the_choice_reaches_the_prompt(folder: Path, compared: dict[str, Any]):
    """The same knees with every grade another give the same prompts to the byte."""
    other = folder / "other.duckdb"
    other.write_bytes((folder / "s.duckdb").read_bytes())
    with duckdb.connect(str(other)) as con:
        con.execute("UPDATE clinician_grades SET grade = (grade + 1) % 4")
    template = load_prompt("demo-draft", 1)
    assert (
        sound_answers(other, template).keys() == sound_answers(folder / "s.duckdb", template).keys()
    )


def test_the_same_trial_resumes_and_another_seed_is_another(
    folder: Path, config: Path, compared: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    common = ["--store", str(folder / "s.duckdb"), "--config", str(config), "--n", str(N_ITEMS)]
    assert main(["prompts", "try", "demo-draft", *common]) == 0
    assert f"run {compared['a']['run_id']}: resumed, 0 item(s)" in capsys.readouterr().err
    assert main(["prompts", "try", "demo-draft@1", *common, "--n", "5", "--seed", "9"]) == 0
    told = capsys.readouterr().err
    assert "5 item(s) to draft" in told
    assert "prompts compare" in told


def test_a_control_of_the_same_items_stands_beside_the_trial(
    folder: Path, config: Path, compared: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    common = ["--store", str(folder / "s.duckdb"), "--config", str(config)]
    control = ["--n", str(N_ITEMS), "--control", "no-findings"]
    assert main(["prompts", "try", "demo-draft", *common, *control]) == 0
    capsys.readouterr()
    runs = [compared["a"]["run_id"], compared["b"]["run_id"]]
    assert main(["prompts", "compare", *runs, "--store", common[1], "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    names = [(line["trial"], line["control"]) for line in figures["controls"]]
    assert names == [(runs[0], None), (runs[0], "no-findings"), (runs[1], None)]
    assert figures["controls"][1]["accepted"] < figures["controls"][0]["accepted"]
    assert figures["groups"] == compared["groups"], "the same figures, from the store alone"


def test_a_shuffled_trial_shows_no_test_patients_knee(
    folder: Path, config: Path, capsys: pytest.CaptureFixture[str]
):
    common = ["--store", str(folder / "s.duckdb"), "--config", str(config), "--seed", "4"]
    control = ["--n", str(N_ITEMS), "--control", "shuffled-findings"]
    assert main(["prompts", "try", "demo-draft", *common, *control]) == 0
    capsys.readouterr()
    shown = _query(
        folder,
        "SELECT v.split, count(*) FROM outcomes o JOIN runs r USING (run_id) JOIN volumes v "
        "ON v.findings_id = o.findings_id WHERE r.control = 'shuffled-findings' GROUP BY ALL",
    )
    assert {split for split, _ in shown} == {"train", "val"}


def test_a_run_and_a_prompt_are_compared_on_the_runs_items(
    folder: Path, config: Path, compared: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    arguments = [compared["a"]["run_id"], str(folder / "mine.jinja2")]
    store = ["--store", str(folder / "s.duckdb")]
    assert main(["prompts", "compare", *arguments, *store, "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["run_id"] == compared["b"]["run_id"]
    assert main(["prompts", "compare", *reversed(arguments), *store]) == 2
    assert "--config" in capsys.readouterr().err


def test_tables_for_people_say_na_and_why(
    folder: Path, compared: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    runs = [compared["a"]["run_id"], compared["b"]["run_id"]]
    assert main(["prompts", "compare", *runs, "--store", str(folder / "s.duckdb")]) == 0
    shown = capsys.readouterr().out
    assert "first-attempt blind agreement, macro over clinician grades" in shown
    assert "no difference is shown" in shown or "A agrees more often" in shown
    assert re.search(r"NA: .*no patient differs; the same in every patient", shown)


def test_the_old_way_to_show_a_prompt_still_works(capsys: pytest.CaptureFixture[str]):
    for name in ("demo-draft", "draft", "draft@2", "demo-draft@1"):
        assert main(["prompts", name]) == 0
        old = capsys.readouterr().out
        assert main(["prompts", "show", name]) == 0
        assert capsys.readouterr().out == old
    assert main(["prompts", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert main(["prompts", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == listed
    assert {("draft", 2), ("demo-draft", 1)} <= {(p["prompt_id"], p["version"]) for p in listed}


def test_diff_shows_template_settings_and_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prompts", "diff", "draft@1", "draft@2"]) == 0
    shown = capsys.readouterr().out
    assert "--- draft@1 template\n+++ draft@2 template" in shown
    assert "+++ draft@2 shows data/examples/bml.toml" in shown
    assert "protocols.toml" not in shown, "both show it"
    copy = tmp_path / "copy.jinja2"
    copy.write_bytes((TEMPLATES / "demo-draft" / "v1.jinja2").read_bytes())
    assert main(["prompts", "diff", "demo-draft@1", str(copy)]) == 0
    assert "-[measurements]" in capsys.readouterr().out
    copy.with_suffix(".toml").write_bytes((TEMPLATES / "demo-draft" / "v1.toml").read_bytes())
    assert main(["prompts", "diff", "demo-draft@1", str(copy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["identical"]
    assert told["b"]["prompt_id"] == "demo-draft", "the same text is the same prompt"


@pytest.mark.parametrize("question", [1, 19, 43, 45, 60, 66])
def test_render_shows_an_invented_item_of_any_question(
    question: int, capsys: pytest.CaptureFixture[str]
):
    assert main(["prompts", "render", "draft", "--question", str(question)]) == 0
    told = capsys.readouterr()
    assert "an invented knee" in told.err
    assert re.search(r"rendered text sha256:[0-9a-f]{64}", told.err)
    assert told.out.startswith("--- system\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "draught"], "no prompt 'draught'"),
        (["show", "draft@two"], "'two' is not a number"),
        (["show", "draft@7"], "version 7"),
        (["diff", "draft", "nowhere.jinja2"], "'nowhere.jinja2' cannot be read"),
        (["render"], "--file my.jinja2"),
        (["render", "draft", "--file", "x.jinja2"], "'draft' and"),
        (["render", "--file", "README.md"], "does not end in .jinja2"),
        (["render", "judge-rubric"], "is a judge's"),
        (["render", "bench-localise"], "is the benchmark's"),
        (["render", "draft", "--question", "70"], "no question 70"),
        (["render", "draft", "--volume", "a/V00/right"], "of which store"),
        (["render", "draft", "--store", "nowhere.duckdb"], "store not found"),
        (["render", "draft", "--config", "nowhere.toml"], "not found"),
        (["compare", "draft@1", "draft@2", "--store", "s"], "--config"),
        (["compare", "draft", "draft@2", "--store", "s", "--config", "c"], "are the same prompt"),
    ],
)
def test_bad_input_is_told_with_its_value_and_a_hint(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["prompts", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert "hint:" in told.err
    assert told.out == ""


def test_runs_that_cannot_be_compared_are_told(
    folder: Path, config: Path, compared: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    store = ["--store", str(folder / "s.duckdb")]
    run = compared["a"]["run_id"]
    for pair, said in (
        ((run, run), "compared with itself"),
        ((run, "20200101-000000-abcd"), "no run '20200101-000000-abcd'"),
    ):
        assert main(["prompts", "compare", *pair, *store]) == 2
        assert said in capsys.readouterr().err
    other = folder / "production.duckdb"
    other.write_bytes((folder / "s.duckdb").read_bytes())
    with duckdb.connect(str(other)) as con:
        con.execute(f"UPDATE runs SET kind = 'production' WHERE run_id = '{run}'")
    assert main(["prompts", "compare", run, compared["b"]["run_id"], "--store", str(other)]) == 2
    assert "of kind 'production', not a trial" in capsys.readouterr().err
    pair = [run, str(folder / "mine.jinja2"), "--config", str(config)]
    assert main(["prompts", "compare", *pair, "--store", str(other)]) == 2
    told = capsys.readouterr().err
    assert "not a trial" in told
    assert "trying" not in told, "nothing was spent"


def test_a_template_with_an_undeclared_variable_is_refused_before_anything_is_sent(
    folder: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    leaky = tmp_path / "leaky.jinja2"
    leaky.write_text(
        "{% block user %}{{ clinician_grade }}{% endblock %}{% block revise %}x{% endblock %}"
    )
    before = _query(folder, "SELECT count(*) FROM runs")
    store = ["--store", str(folder / "s.duckdb"), "--config", str(config)]
    assert main(["prompts", "try", "--file", str(leaky), *store]) == 2
    told = capsys.readouterr().err
    assert "undeclared variables: ['clinician_grade']" in told
    assert "declared are: " in told
    assert _query(folder, "SELECT count(*) FROM runs") == before


def test_prompts_that_grounding_refuses_cost_nothing(
    folder: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Neither the first of two prompts nor two trials whose agreement would mean nothing."""
    told_grades = config.with_name("told.toml")
    settings = config.read_text(encoding="utf-8").replace('"demo-draft"', '"draft-given"')
    told_grades.write_text('grounding = "label_given"\n' + settings, encoding="utf-8")
    other = tmp_path / "other.jinja2"
    source = (TEMPLATES / "draft-given" / "v1.jinja2").read_text(encoding="utf-8")
    other.write_text(source.replace("You write", "You now write"), encoding="utf-8")
    store = folder / "s.duckdb"
    before = _query(folder, "SELECT count(*) FROM runs")
    for pair, path, said in (
        (["demo-draft", "draft-given"], config, "tells the clinician's grades"),
        (["draft-given", str(other)], told_grades, "would be shown grades"),
    ):
        arguments = [*pair, "--store", str(store), "--config", str(path), "--n", "5"]
        assert main(["prompts", "compare", *arguments]) == 2
        told = capsys.readouterr().err
        assert said in told
        assert "hint:" in told
        assert "trying" not in told
    assert _query(folder, "SELECT count(*) FROM runs") == before
