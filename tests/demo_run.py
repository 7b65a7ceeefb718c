"""One real demo for the whole test session: phantoms, the real vLLM server, the bundled model."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
"""Root of the checkout."""
_ENDED = "ended.json"


@dataclass
class CommandResult:
    """How a command ended."""

    code: int
    out: str
    err: str


def run_command(*arguments: str, cwd: Path = CHECKOUT, timeout_s: float = 600) -> CommandResult:
    """Runs `run_pipeline.py` in a process of its own, as a user does."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "run_pipeline.py"), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "COLUMNS": "160"},
        check=False,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def free_port() -> int:
    """Returns a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def config_on_free_port(folder: Path) -> Path:
    """Writes configs/demo.toml with another port; returns the new file."""
    text = (CHECKOUT / "configs" / "demo.toml").read_text(encoding="utf-8")
    calibration = (CHECKOUT / "configs" / "calibration-demo.toml").read_text(encoding="utf-8")
    (folder / "calibration-demo.toml").write_text(calibration, encoding="utf-8")
    path = folder / "demo.toml"
    path.write_text(text.replace("8765", str(free_port())), encoding="utf-8")
    return path


@dataclass
class DemoRun:
    """A finished demo."""

    folder: Path
    """What `--out` named."""
    config: Path
    """The settings used."""
    result: CommandResult
    """How the command ended."""

    @classmethod
    def of(cls, folder: Path) -> "DemoRun":
        """Returns the demo that was run in a folder."""
        kept = json.loads((folder / _ENDED).read_text(encoding="utf-8"))
        return cls(folder / "demo", folder / "demo.toml", CommandResult(**kept))

    @property
    def store(self) -> Path:
        """The DuckDB file."""
        return self.folder / "knees.duckdb"

    @cached_property
    def figures(self) -> dict[str, Any]:
        """What `--json` printed."""
        return json.loads(self.result.out)


def run_demo(folder: Path) -> None:
    """Runs the demo with a real vLLM server in a folder, and keeps there how it ended."""
    config = config_on_free_port(folder)
    arguments = ("demo", "--out", str(folder / "demo"), "--config", str(config), "--json")
    result = run_command(*arguments)
    (folder / _ENDED).write_text(json.dumps(asdict(result)), encoding="utf-8")
