"""Settings files: the shipped ones load, wrong ones are told whole."""

from pathlib import Path

import pytest

from knee.calibration import load_calibration
from knee.errors import InputError
from knee.run_config import load_run_config
from knee.toml_lines import key_lines, line_of
from stages.settings import load_settings

CONFIGS = sorted(
    path for path in Path("configs").glob("*.toml") if not path.name.startswith("calibration")
)
MINIMAL = """
name = "x"
[drafter]
base_url = "{url}"
model = "m"
prompt_id = "draft"
prompt_version = 1
licence = "Apache-2.0"
"""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_settings_load_and_stay_on_this_machine(path: Path):
    config = load_run_config(path)
    assert config.drafter.is_local
    assert not config.allow_remote
    assert config.serve is not None
    assert f":{config.serve.port}/" in config.drafter.base_url
    if config.calibration is not None:
        assert load_calibration(path.parent / config.calibration).rules


def test_all_problems_are_named_at_once(tmp_path: Path):
    path = tmp_path / "wrong.toml"
    path.write_text('name = "x"\nwordng = 3\n[drafter]\nbase_url = 5\nmodel = "m"\n')
    with pytest.raises(InputError) as caught:
        load_run_config(path)
    text = str(caught.value)
    for expected in ("wordng", "drafter.base_url", "drafter.prompt_id", "drafter.licence", "hint:"):
        assert expected in text


WRONG = """\
name = "x"
wordng = 3
grounding = "label_given"
calibration = "nope.toml"

[drafter]
base_url = 5
model = "m"
prompt_id = "drft"
prompt_version = 3
licence = "none"
[drafter.sampling]
temperature = 7

[judge]
base_url = "http://127.0.0.1:1/v1"
model = "j"
rubric_prompt_id = "draft"

[checks]
warn_only = [
  "lateralty",
]
"""


def test_every_problem_is_told_at_once_with_its_line(tmp_path: Path):
    """Wrong types, missing keys, and what is not there: prompts, checks, calibration."""
    path = tmp_path / "wrong.toml"
    path.write_text(WRONG)
    with pytest.raises(InputError) as caught:
        load_settings(path)
    lines = caught.value.message.splitlines()
    assert lines[0].endswith("has 8 problem(s):")
    told = [line.split(": ")[:2] for line in lines[1:]]
    assert told == [
        ["  line 2", "wordng"],
        ["  line 4", "calibration"],
        ["  line 7", "drafter.base_url"],
        ["  line 9", "drafter.prompt_id"],
        ["  line 13", "drafter.sampling.temperature"],
        ["  line 15", "judge.licence"],
        ["  line 18", "judge.rubric_prompt_id"],
        ["  line 21", "checks.warn_only"],
    ]
    assert "no prompt 'drft' version 3 (there are: demo-draft v1" in lines[4]
    assert "names no check: ['lateralty']; the checks are" in lines[8]


def test_what_is_wrong_between_settings_is_told_beside_the_rest(tmp_path: Path):
    """A remote address and an answer without room are told though other settings are wrong."""
    path = tmp_path / "wrong.toml"
    remote = MINIMAL.format(url="https://models.example.org/v1")
    judge = '[judge]\nbase_url = "http://[::2]/v1"\nmodel = "j"\nlicence = "MIT"\n'
    serve = '[serve]\nmodel_path = "m"\nport = true\nmax_model_len = 1024\n'
    path.write_text('tracing = 1\nallow_remote = "yes"\n' + remote + judge + serve)
    with pytest.raises(InputError) as caught:
        load_settings(path)
    lines = caught.value.message.splitlines()[1:]
    assert [line.split(": ")[:2] for line in lines] == [
        ["  line 1", "tracing"],
        ["  line 2", "allow_remote"],
        ["  line 5", "drafter.sampling.max_tokens"],
        ["  line 6", "drafter.base_url"],
        ["  line 12", "judge.base_url"],
        ["  line 17", "serve.port"],
    ]
    assert "should be a valid boolean (got 1)" in lines[0]
    assert "'https://models.example.org/v1' is not this machine" in caught.value.message


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("tracing = 1", "tracing"),
        ('tracing = "true"', "tracing"),
        ("tracing = 2026-01-01", "tracing"),
        ("name = 2026-01-01", "name"),
        ("batch.concurrency = true", "batch.concurrency"),
        ('batch.concurrency = "4"', "batch.concurrency"),
        ("batch.server_wait_s = false", "batch.server_wait_s"),
    ],
)
def test_a_value_of_another_type_is_no_value(tmp_path: Path, line: str, place: str):
    path = tmp_path / "typed.toml"
    text = MINIMAL.format(url="http://localhost:1/v1")
    path.write_text(f"{line}\n" + (text.replace('name = "x"\n', "") if "name" in line else text))
    with pytest.raises(InputError, match=rf"1 problem\(s\):\n  line 1: {place}: "):
        load_run_config(path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_settings_name_what_there_is(path: Path):
    assert load_settings(path) == load_run_config(path)


def test_an_answer_that_fills_the_context_is_told_with_the_line_of_its_length(tmp_path: Path):
    path = tmp_path / "long.toml"
    sampling = "[drafter.sampling]\nmax_tokens = 512\n"
    serve = '[serve]\nmodel_path = "m"\nport = 1\nmax_model_len = '
    base = MINIMAL.format(url="http://localhost:1/v1") + sampling + serve
    path.write_text(base + "513\n")
    assert load_run_config(path).serve is not None
    path.write_text(base + "512\n")
    with pytest.raises(InputError, match=r"line 10: drafter\.sampling\.max_tokens: .* no room"):
        load_run_config(path)


def test_lines_are_found_in_any_toml(tmp_path: Path):
    text = """\
# a comment = 1
a.b = 1
"c d" = '''
e = 2
'''
f = { g = [1,
  2], h = { i = 1 } }

[ j . k ]  # [no.header]
l = [
  "]",  # m = 1
]
[[n]]
o = 1
[[n]]
p = 2
"""
    lines = key_lines(text)
    assert lines == {
        ("a",): 2,
        ("a", "b"): 2,
        ("c d",): 3,
        ("f",): 6,
        ("f", "g"): 6,
        ("f", "h"): 6,
        ("f", "h", "i"): 6,
        ("j",): 9,
        ("j", "k"): 9,
        ("j", "k", "l"): 10,
        ("n",): 13,
        ("n", "o"): 14,
        ("n", "p"): 16,
    }
    assert line_of(lines, ("j", "k", "missing", 3)) == 9
    assert line_of(lines, ("q",)) is None


def test_a_remote_server_needs_leave(tmp_path: Path):
    path = tmp_path / "remote.toml"
    path.write_text(MINIMAL.format(url="https://models.example.org/v1"))
    with pytest.raises(InputError, match="allow_remote") as caught:
        load_run_config(path)
    assert "prompt_id" not in str(caught.value), "it tells the problem, not all settings"
    path.write_text("allow_remote = true\n" + MINIMAL.format(url="https://models.example.org/v1"))
    assert not load_run_config(path).drafter.is_local


def test_the_fixed_checks_cannot_be_softened(tmp_path: Path):
    path = tmp_path / "soft.toml"
    text = MINIMAL.format(url="http://localhost:1/v1") + '\n[checks]\nwarn_only = ["schema"]\n'
    path.write_text(text)
    with pytest.raises(InputError, match="schema"):
        load_run_config(path)


def test_a_model_without_a_name_is_told(tmp_path: Path):
    path = tmp_path / "nameless.toml"
    path.write_text(MINIMAL.format(url="http://localhost:1/v1").replace('"m"', '""'))
    with pytest.raises(InputError, match=r"drafter\.model"):
        load_run_config(path)


def test_missing_and_broken_files_are_told(tmp_path: Path):
    with pytest.raises(InputError, match="not found"):
        load_run_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(InputError, match="not TOML"):
        load_run_config(broken)


def test_settings_may_name_the_questions_and_wrong_ones_are_told(tmp_path: Path):
    path = tmp_path / "some.toml"
    text = MINIMAL.format(url="http://localhost:1/v1")
    path.write_text('questions = "1-15,43"' + text)
    assert load_run_config(path).questions == "1-15,43"
    path.write_text('questions = "1-15,70"' + text)
    with pytest.raises(InputError, match="'70' is outside 1-69"):
        load_run_config(path)


def test_a_judge_has_its_own_endpoint_and_default_prompts(tmp_path: Path):
    path = tmp_path / "judge.toml"
    judge = '\n[judge]\nbase_url = "{url}"\nmodel = "j"\nlicence = "MIT"\n'
    base = MINIMAL.format(url="http://localhost:1/v1")
    path.write_text(base + judge.format(url="http://localhost:2/v1"))
    config = load_run_config(path)
    assert config.judge is not None
    assert (config.judge.prompt_id, config.judge.rubric_prompt_id) == (
        "judge-reanswer",
        "judge-rubric",
    )
    assert config.judge.sampling.temperature == 0
    path.write_text(base + judge.format(url="https://judge.example.org/v1"))
    with pytest.raises(InputError, match=r"judge\.base_url"):
        load_run_config(path)
    path.write_text(base)
    assert load_run_config(path).judge is None
