"""Every command of the README runs, in order, against the demo's own store."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from agents.graph import draw_mermaid
from tests.demo_run import CHECKOUT, DemoRun, run_command

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
PROGRAM = ".venv/bin/python run_pipeline.py "


def test_the_readme_has_commands():
    assert sum(line.startswith(PROGRAM) for line in LINES) >= 10
    assert all(line.startswith((PROGRAM, "make ")) for line in LINES)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_targets_exist(line: str):
    done = subprocess.run(
        ["make", "-n", *shlex.split(line)[1:]], cwd=CHECKOUT, capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.mark.vllm
def test_every_command_runs_in_order(demo_run: DemoRun, tmp_path: Path):
    (tmp_path / "configs").mkdir()
    for name in ("demo.toml", "calibration-demo.toml"):
        (tmp_path / "configs" / name).symlink_to(demo_run.config.parent / name)
    (tmp_path / "demo").symlink_to(demo_run.folder)
    for line in (line for line in LINES if line.startswith(PROGRAM)):
        done = run_command(*shlex.split(line.removeprefix(PROGRAM)), cwd=tmp_path)
        assert done.code == 0, f"{line}\n{done.err[-2000:]}"


def test_the_picture_of_the_graph_is_the_compiled_graph():
    assert draw_mermaid().strip() in README


def test_pictures_and_links_are_there():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (CHECKOUT / target).exists(), target
