"""`generate` with slices: what is refused before the first call, and the way through real vLLM."""

import json
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from knee.errors import InputError
from knee.records import ItemState
from run_pipeline import main
from stages.generate import GenerateOptions, generate
from stages.recheck import recheck
from store.connection import open_store
from store.items import Selection, load_items
from store.loading import load_outcomes, load_run
from store.queries import newest_run
from tests.demo_run import CHECKOUT, DemoRun, free_port, run_command
from tests.image_items import image_item, image_store
from tests.prepared_store import stub_process
from tools.volumes import load_volume

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
ready_timeout_s = 600
extra_args = ["--enforce-eager", "--limit-mm-per-prompt", '{{"image": 6}}']
[serve.env]
OMP_NUM_THREADS = "1"
"""


def write_settings(path: Path, port: int, *, model: str = "stub", folder: str = "none") -> Path:
    path.write_text(SETTINGS.format(port=port, model=model, folder=folder), encoding="utf-8")
    return path


def changed(settings: Path, old: str, new: str) -> Path:
    text = settings.read_text()
    assert old in text
    settings.write_text(text.replace(old, new))
    return settings


def n_runs(store: Path) -> int:
    with duckdb.connect(str(store), read_only=True) as con:
        return con.execute("SELECT count(*) FROM runs").fetchall()[0][0]


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
        (
            "n_slices = 2",
            'n_slices = 0\npercentiles = [9, 3]\nplanes = ["oblique"]',
            "3 problem(s)",
            "hint",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_and_nothing_is_written(
    tmp_path: Path, old: str, new: str, message: str, hint: str
):
    store = image_store(tmp_path, 1)
    config = changed(write_settings(tmp_path / "vision.toml", 9), old, new)
    with pytest.raises(InputError) as caught:
        generate(GenerateOptions(store, config))
    assert message in caught.value.message
    assert hint in str(caught.value)
    assert n_runs(store) == 0


def test_images_that_are_away_or_damaged_are_told_before_the_first_call(tmp_path: Path):
    store = image_store(tmp_path)
    config = write_settings(tmp_path / "vision.toml", 9)
    cohort = tmp_path / "cohort"
    cohort.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"none of 2 volume\(s\) has its image") as caught:
        generate(GenerateOptions(store, config))
    assert "--cohort-root" in (caught.value.hint or "")
    for path in (tmp_path / "moved").iterdir():
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"no slice of 2 volume\(s\) can be drawn.*NIfTI"):
        generate(GenerateOptions(store, config, cohort_root=tmp_path / "moved"))
    assert n_runs(store) == 0


def test_a_dry_run_names_its_slices_and_calls_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = image_store(tmp_path, 1)
    config = write_settings(tmp_path / "vision.toml", 9)
    assert generate(GenerateOptions(store, config, dry_run=True)) == 0
    told = capsys.readouterr().out
    assert told.count("; PNG of ") == 4
    assert "[sagittal slice 7 (axis i); left edge: anterior" in told
    options = GenerateOptions(store, config, dry_run=True, as_json=True, quota=("grade>=0:1",))
    assert generate(options) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["to_draft"] == figures["states"]["pending"] == 1
    assert len(figures["prompts"][0]["messages"][-1]["images"]) == 4
    assert "are not in the estimate" in " ".join(figures["notes"])
    assert n_runs(store) == 0


def test_a_trial_refuses_planes_that_leave_its_items_without_a_slice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = image_store(tmp_path, 1)
    with duckdb.connect(str(store)) as con:
        con.execute("UPDATE volumes SET split = 'train'")
        con.execute("UPDATE patient_splits SET split = 'train'")
    config = write_settings(tmp_path / "vision.toml", 9)
    changed(config, "n_slices = 2", 'planes = ["axial"]')
    arguments = ["prompts", "try", "draft-images", "--store", str(store), "--config", str(config)]
    assert main(arguments) == 2
    assert "without a slice" in capsys.readouterr().err


def test_one_missing_image_fails_only_its_items_and_the_rest_is_kept_with_its_slices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = image_store(tmp_path)
    (tmp_path / "cohort" / "1.nii.gz").unlink()
    answers = tmp_path / "answers.json"
    answers.write_text("{}")
    with stub_process(answers, 0.0) as port:
        config = write_settings(tmp_path / "vision.toml", port)
        assert generate(GenerateOptions(store, config)) == 1
        again = [generate(GenerateOptions(store, config)) for _ in range(3)]
    assert again == [1, 1, 0], "what failed is tried three times in all"
    missing, there = image_item(1), image_item(2)
    told = capsys.readouterr().err
    assert (
        f"1 of 2 volume(s) have no image at hand, their items will fail: {missing.volume_id}"
        in told
    )
    with open_store(store, read_only=True) as con:
        run_id = str(newest_run(con))
        run = load_run(con, run_id)
        first, second = load_outcomes(con, run_id)
        items = list(load_items(con, Selection(pending_only=False), run_id=run_id))
        shown = con.execute(
            "SELECT plane, slice_index, image, sha256 FROM v_shown_slices ORDER BY position"
        ).fetchall()
        evidence = con.execute("SELECT sum(n_evidence) FROM v_selection").fetchone()
    assert n_runs(store) == 1
    assert run.images is not None
    assert json.loads(run.images)["max_pixels"] == 128
    assert (first.state, first.codes, first.attempts) == (
        ItemState.FAILED,
        ("image_missing", "retried.2"),
        (),
    )
    assert second.state is ItemState.REJECTED
    assert len(second.attempts) == 2
    assert second.images is not None
    assert second.images.image_sha256 == load_volume(tmp_path / "cohort" / "2.nii.gz").sha256
    kept = [(s.plane, s.index, "2.nii.gz", s.sha256) for s in second.images.slices]
    assert shown == kept
    assert [s[:2] for s in shown] == [
        ("sagittal", 7),
        ("sagittal", 10),
        ("coronal", 13),
        ("coronal", 19),
    ]
    assert all(item.sees_images for item in items)
    assert evidence == (2,)
    assert there.volume_id == second.volume_id
    assert main(["explain", f"{there.volume_id}#50", "--store", str(store), "--json"]) == 0
    sent = json.loads(capsys.readouterr().out)["attempts"][0]["sent"]
    assert sent["warning"] is None
    assert len(sent["messages"][-1]["images"]) == 4
    told = run_recheck(store, run_id)
    assert told == {"rejected": 1}


def run_recheck(store: Path, run_id: str) -> dict[str, int]:
    """Checks the stored attempts again, without images at hand; returns verdicts by state."""
    assert recheck(store, run_id, None, dry_run=False, as_json=False) == 0
    with duckdb.connect(str(store), read_only=True) as con:
        return dict(con.execute("SELECT state, count(*) FROM verdicts GROUP BY ALL").fetchall())


@pytest.mark.vllm
def test_tiny_vision_model_drafts_from_slices_through_real_vllm(demo_run: DemoRun, tmp_path: Path):
    made = subprocess.run(
        [str(VLLM_PYTHON), "-m", "tests.tiny_vision_model", "--out", str(tmp_path / "model")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    store = tmp_path / "knees.duckdb"
    shutil.copy(demo_run.store, store)
    settings = write_settings(
        tmp_path / "vision.toml", free_port(), model="tiny-vision", folder=str(tmp_path / "model")
    )
    common = ("generate", "--store", str(store), "--config", str(settings))
    common += ("--cohort-root", str(demo_run.folder / "cohort"), "--json")
    done = run_command(*common, "--questions", "26,48-53", "--limit", "4", "--serve")
    assert done.code == 0, done.err[-3000:]
    figures = json.loads(done.out)
    assert figures["states"]["rejected"] == 4
    assert figures["states"]["failed"] == 0
    report = Path(figures["report"]).read_text(encoding="utf-8")
    assert "tiny-vision" in report
    with duckdb.connect(str(store), read_only=True) as con:
        own = [figures["run_id"]]
        run = con.execute("SELECT images FROM runs WHERE run_id = ?", own).fetchone()
        tokens = con.execute(
            "SELECT min(prompt_tokens), count(*) FROM attempts WHERE run_id = ?", own
        ).fetchone()
        levels = con.execute(
            "SELECT DISTINCT evidence FROM outcome_components "
            "WHERE status = 'graded' AND run_id = ?",
            own,
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
