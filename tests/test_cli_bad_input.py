"""Every bad input gets one message, a hint, exit code 2, and leaves nothing behind."""

import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knee.errors import InputError
from run_pipeline import main
from stages.demo import demo
from stages.report import write_report
from store.connection import create_store
from store.writer import StoreWriter
from tests.demo_run import CHECKOUT, run_command
from tests.store_records import run

DEMO_TOML = CHECKOUT / "configs" / "demo.toml"

HEADER = (
    "patient,visit,side,sequence,image,label_map,scheme,mask_source,segmenter,licence,synthetic,"
    "split\n"
)


def write_label_map(path: Path, labels: list[int]) -> None:
    """Writes a small label map that holds the given numbers."""
    array = np.zeros((12, 12, 12), np.uint8)
    for number, label in enumerate(labels):
        array[number] = label
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)  # pyright: ignore[reportPrivateImportUsage]


def one_volume_cohort(folder: Path, label_map: str = "map.nii.gz", image: str = "") -> Path:
    """Writes a manifest of one volume."""
    row = f"P1,V00,right,dess,{image},{label_map},oaizib-cm,test,test,CC0-1.0,true,train\n"
    (folder / "cohort.csv").write_text(HEADER + row)
    return folder


def refused(store: Path, *arguments: str) -> str:
    """Runs a command that must be refused; returns what it said."""
    done = run_command(*arguments)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert "hint:" in done.err
    assert not store.exists()
    return done.err


def test_help_is_quick():
    started = time.monotonic()
    done = run_command("--help")
    assert done.code == 0
    assert "generate" in done.out
    # A wide bound: the figure itself (0.04 s) is in the docs, not in a timed test.
    assert time.monotonic() - started < 5


def test_a_missing_file_is_named(tmp_path: Path):
    store = tmp_path / "s.duckdb"
    text = refused(store, "prepare", str(one_volume_cohort(tmp_path)), "--store", str(store))
    assert "map.nii.gz" in text


def test_what_is_no_volume_is_refused(tmp_path: Path):
    (tmp_path / "map.nii.gz").write_text("not a volume")
    store = tmp_path / "s.duckdb"
    text = refused(store, "prepare", str(one_volume_cohort(tmp_path)), "--store", str(store))
    assert "map.nii.gz" in text


def test_labels_outside_the_scheme_are_named(tmp_path: Path):
    write_label_map(tmp_path / "map.nii.gz", [1, 3, 77])
    store = tmp_path / "s.duckdb"
    text = refused(store, "prepare", str(one_volume_cohort(tmp_path)), "--store", str(store))
    assert "77" in text


def test_another_grid_is_named(tmp_path: Path):
    write_label_map(tmp_path / "map.nii.gz", [1, 2, 3])
    image = np.zeros((10, 12, 12), np.int16)
    nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / "image.nii.gz")  # pyright: ignore[reportPrivateImportUsage]
    store = tmp_path / "s.duckdb"
    cohort = one_volume_cohort(tmp_path, image="image.nii.gz")
    text = refused(store, "prepare", str(cohort), "--store", str(store))
    assert "(10, 12, 12)" in text
    assert "(12, 12, 12)" in text


@pytest.mark.parametrize("header", ["ID|READPRJ|V00MBMSFMA", "SIDE|READPRJ|V00MBMSFMA"])
def test_a_table_without_id_or_side_is_refused(tmp_path: Path, header: str):
    write_label_map(tmp_path / "map.nii.gz", [1, 2, 3])
    table = tmp_path / "kMRI_SQ_MOAKS_BICL00.txt"
    table.write_text(header + "\n9000001|15|0: None\n")
    store = tmp_path / "s.duckdb"
    text = refused(store, "prepare", str(one_volume_cohort(tmp_path)), "--store", str(store))
    assert table.name in text


def test_a_file_that_is_no_store_is_left_as_it_is(tmp_path: Path):
    foreign = tmp_path / "notes.duckdb"
    foreign.write_text("these are notes")
    for command in (["status"], ["sql", "SELECT 1"], ["report"], ["export", str(tmp_path / "o")]):
        done = run_command(command[0], *command[1:], "--store", str(foreign))
        assert done.code == 2, done.err
        assert "notes.duckdb" in done.err
        assert "Traceback" not in done.err
    assert foreign.read_text() == "these are notes"


def test_one_bad_volume_fails_and_the_others_go_on(tmp_path: Path):
    made = run_command("phantom", str(tmp_path / "cohort"), "--knees", "2", "--seed", "4")
    assert made.code == 0, made.err
    victim = sorted((tmp_path / "cohort" / "labels").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:5000])
    store = tmp_path / "s.duckdb"
    done = run_command("prepare", str(tmp_path / "cohort"), "--store", str(store), "--json")
    assert done.code == 1, done.err
    assert "Traceback" not in done.err
    status = run_command("status", "--store", str(store))
    assert "1 volume(s) ready, 1 failed" in status.err


def test_settings_without_a_server_part_or_with_nothing_matching(tmp_path: Path):
    done = run_command("serve", "--config", str(tmp_path / "none.toml"))
    assert done.code == 2
    assert "none.toml" in done.err
    gpu = run_command("serve", "--config", "configs/gpu.toml")
    assert gpu.code == 2
    assert "hint:" in gpu.err


def test_a_pipe_that_breaks_inside_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def broken(*_: object, **__: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("stages.prepare.prepare", broken)
    with capfd.disabled(), pytest.raises(BrokenPipeError):
        main(["prepare", str(tmp_path), "--store", str(tmp_path / "s.duckdb")])


def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path):
    store = tmp_path / "s.duckdb"
    create_store(store)
    command = [sys.executable, "run_pipeline.py", "sql", "--store", str(store)]
    process = subprocess.Popen(
        [*command, "--format", "csv", "SELECT * FROM range(200000)"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert told == b""


@pytest.mark.parametrize("command", ["report", "demo"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, command: str):
    (tmp_path / "file").write_text("in the way")
    if command == "demo":
        with pytest.raises(InputError, match="file"):
            demo(tmp_path / "file" / "demo", knees=2, seed=1, config_path=DEMO_TOML, as_json=False)
        return
    store = tmp_path / "s.duckdb"
    with StoreWriter(store, create=True) as writer:
        writer.put_catalogue()
        run_id, _ = writer.start_or_resume_run(run())
    (tmp_path / "s.duckdb.reports").write_text("in the way")
    with pytest.raises(InputError, match="reports"):
        write_report(store, run_id, None)


def test_a_demo_that_was_killed_early_can_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class ReachedTheServerError(Exception):
        pass

    def reached(*_: object) -> None:
        raise ReachedTheServerError

    monkeypatch.setattr("stages.demo._server_meanwhile", reached)
    (tmp_path / "vllm.log").touch()
    (tmp_path / ".cohort.0a1b.partial").mkdir()
    with pytest.raises(ReachedTheServerError):
        demo(tmp_path, knees=2, seed=1, config_path=DEMO_TOML, as_json=False)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="no demo"):
        demo(tmp_path, knees=2, seed=1, config_path=DEMO_TOML, as_json=False)
