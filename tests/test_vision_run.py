"""`generate` with slices: what is refused before the first call, and the way through real vLLM."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from agents import vllm_server
from knee.run_config import load_run_config
from tests.demo_run import CHECKOUT, free_port, run_command
from tests.prepared_store import prepare_phantoms, stub_process

VLLM_PYTHON = CHECKOUT / ".venv-vllm" / "bin" / "python"
SETTINGS = """name = "vision-tiny"
[drafter]
base_url = "http://127.0.0.1:{port}/v1"
model = "{model}"
prompt_id = "draft-images"
prompt_version = 1
timeout_s = 120
licence = "none"
[drafter.sampling]
max_tokens = 64
[drafter.images]
n_slices = 2
max_pixels = 128
[batch]
concurrency = 4
max_revisions = 1
[serve]
model_path = "{folder}"
device = "cpu"
port = {port}
max_model_len = 6144
max_num_seqs = 4
ready_timeout_s = 240
extra_args = ["--enforce-eager", "--limit-mm-per-prompt", '{{"image": 6}}']
[serve.env]
OMP_NUM_THREADS = "1"
"""
PARSE_FLAGS = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser
for argv in json.loads(sys.argv[1]):
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(argv)
    validate_parsed_serve_args(args)
    print(json.dumps([args.model, args.limit_mm_per_prompt, args.enable_prefix_caching]))
"""


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of two phantoms and their cohort, moved after it was prepared."""
    folder = tmp_path_factory.mktemp("vision")
    prepare_phantoms(folder, 2)
    (folder / "cohort").rename(folder / "moved")
    return folder


def write_settings(path: Path, port: int, *, model: str = "stub", folder: str = "none") -> Path:
    path.write_text(SETTINGS.format(port=port, model=model, folder=folder), encoding="utf-8")
    return path


def changed(settings: Path, old: str, new: str) -> Path:
    text = settings.read_text()
    assert old in text
    settings.write_text(text.replace(old, new))
    return settings


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ('prompt_id = "draft-images"', 'prompt_id = "draft"', "says nothing of them", "leave"),
        (
            "[drafter.images]\nn_slices = 2\nmax_pixels = 128\n",
            "",
            "speaks of slices",
            "add [drafter.images]",
        ),
        ("n_slices = 2", 'planes = ["axial"]', "without a slice", "features.toml"),
        ("n_slices = 2", "n_slices = 0\npercentiles = [9, 3]", "2 problem(s)", "hint:"),
        ("n_slices = 2", 'planes = ["oblique"]', "drafter.images.planes.0", "hint:"),
        ("n_slices = 2", "n_slices = 2", "none of 2 volume(s) has its image", "--cohort-root"),
    ],
)
def test_what_would_fail_every_item_is_refused_and_nothing_is_written(
    phantoms: Path, tmp_path: Path, old: str, new: str, message: str, hint: str
):
    store = phantoms / "knees.duckdb"
    config = changed(write_settings(tmp_path / "vision.toml", 9), old, new)
    refused = run_command("generate", "--store", str(store), "--config", str(config))
    assert refused.code == 2
    assert message in refused.err
    assert hint in refused.err
    assert "Traceback" not in refused.err
    with duckdb.connect(str(store), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_dry_run_names_the_slices_and_one_missing_image_fails_only_its_items(
    phantoms: Path, tmp_path: Path
):
    store, cohort = tmp_path / "knees.duckdb", tmp_path / "cohort"
    shutil.copy(phantoms / "knees.duckdb", store)
    shutil.copytree(phantoms / "moved", cohort)
    config = write_settings(tmp_path / "vision.toml", 9)
    common = ("generate", "--store", str(store), "--cohort-root", str(cohort))
    dry = run_command(*common, "--config", str(config), "--questions", "26", "--dry-run")
    assert dry.code == 0, dry.err
    assert dry.err.count("; PNG of ") == 6
    with duckdb.connect(str(store), read_only=True) as con:
        volume, image = con.execute("SELECT volume_id, image FROM volumes ORDER BY ALL").fetchall()[
            0
        ]
    (cohort / image).unlink()
    answers = tmp_path / "answers.json"
    answers.write_text("{}")
    with stub_process(answers, 0.0) as port:
        config = write_settings(tmp_path / "vision.toml", port)
        done = run_command(*common, "--config", str(config), "--questions", "48-53", "--json")
    assert done.code == 1, done.err
    assert f"1 of 2 volume(s) have no image at hand, their items will fail: {volume}" in done.err
    with duckdb.connect(str(store), read_only=True) as con:
        rows = con.execute(
            "SELECT DISTINCT volume_id = ?, state, codes[1], n_attempts > 0 FROM outcomes", [volume]
        ).fetchall()
        shown = con.execute(
            "SELECT count(*), count(DISTINCT sha256) FROM v_shown_slices"
        ).fetchone()
    failed = [row for row in rows if row[0]]
    assert failed == [(True, "failed", "image_missing", False)]
    assert {row[1] for row in rows if not row[0]} == {"rejected"}
    assert shown is not None
    assert shown[0] > shown[1] > 8, "questions share slices, volumes do not"


@pytest.mark.vllm
def test_tiny_vision_model_drafts_from_slices_through_real_vllm(phantoms: Path, tmp_path: Path):
    made = subprocess.run(
        [str(VLLM_PYTHON), "-m", "tests.tiny_vision_model", "--out", str(tmp_path / "model")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    store = tmp_path / "knees.duckdb"
    shutil.copy(phantoms / "knees.duckdb", store)
    settings = write_settings(
        tmp_path / "vision.toml", free_port(), model="tiny-vision", folder=str(tmp_path / "model")
    )
    common = ("generate", "--store", str(store), "--config", str(settings))
    common += ("--cohort-root", str(phantoms / "moved"), "--questions", "26,48-53", "--json")
    done = run_command(*common, "--limit", "4", "--serve")
    assert done.code == 0, done.err[-3000:]
    figures = json.loads(done.out)
    assert figures["states"]["rejected"] == 4
    assert figures["states"]["failed"] == 0
    report = Path(figures["report"]).read_text(encoding="utf-8")
    assert "tiny-vision" in report
    with duckdb.connect(str(store), read_only=True) as con:
        run = con.execute("SELECT images FROM runs").fetchone()
        tokens = con.execute("SELECT min(prompt_tokens), count(*) FROM attempts").fetchone()
        levels = con.execute(
            "SELECT DISTINCT evidence FROM outcome_components WHERE status = 'graded'"
        ).fetchall()
        slices = con.execute("SELECT count(*) FROM v_shown_slices").fetchone()
    assert run is not None
    assert json.loads(run[0])["n_slices"] == 2
    assert tokens is not None
    assert tokens[0] > 1000
    assert tokens[1] == 8, "each was revised once, with its slices"
    assert ("image",) in levels
    assert slices is not None
    assert slices[0] >= 4 * 4


@pytest.mark.vllm
def test_vllms_own_parser_takes_the_flags_of_the_gpu_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_server, "interpreter", lambda _: Path(sys.executable))
    commands: list[list[str]] = []
    for name in ("gpu", "gpu-vision"):
        config = load_run_config(CHECKOUT / "configs" / f"{name}.toml")
        assert config.serve is not None
        commands.append(vllm_server.server_command(config.serve, config.drafter)[3:])
    parsed = subprocess.run(
        [str(VLLM_PYTHON), "-c", PARSE_FLAGS, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert parsed.returncode == 0, parsed.stderr[-2000:]
    lines = [json.loads(line) for line in parsed.stdout.splitlines() if line.startswith("[")]
    assert [line[0] for line in lines] == [
        "Qwen/Qwen2.5-7B-Instruct",
        "Qwen/Qwen2.5-VL-7B-Instruct",
    ]
    vision = load_run_config(CHECKOUT / "configs" / "gpu-vision.toml").drafter.images
    assert vision is not None
    assert lines[1][1] == {"image": vision.n_slices * len(vision.planes)}
    assert all(line[2] for line in lines)
