"""What the tests of `serve` share: a small whole model, settings, processes to look for."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.demo_run import free_port
from tests.fake_vllm import ENGINE_MARK, write_fake_vllm

CONFIG = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 64,
    "max_position_embeddings": 4096,
}
"""A model of which a token takes 2 x 2 x 2 x 16 values."""


def write_shard(path: Path, n_weights: int = 100, dtype: str = "BF16", n_missing: int = 0) -> None:
    """Writes a file of safetensors with one tensor of two-byte weights."""
    header = {"w": {"dtype": dtype, "shape": [n_weights], "data_offsets": [0, 2 * n_weights]}}
    text = json.dumps(header).encode()
    path.write_bytes(
        len(text).to_bytes(8, "little") + text + bytes(max(0, 2 * n_weights - n_missing))
    )


def write_model(folder: Path, **config: Any) -> Path:  # noqa: ANN401 - what config.json may hold
    """Writes a whole model folder with two shards; returns it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    (folder / "tokenizer.json").write_text("{}")
    names = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    for name in names.values():
        write_shard(folder / name)
    return folder


def write_serve_settings(
    folder: Path,
    *,
    port: int | None = None,
    judge_port: int | None = None,
    more: str = "",
    drafter: str = "",
) -> Path:
    """Writes a settings file whose servers are the fake one; returns its path.

    Args:
        folder: where it, the model and the fake interpreter go.
        port: the drafter's; a free one unless given.
        judge_port: the judge's; no judge without.
        more: further lines of `[serve]`, which is the file's last part.
        drafter: further lines of `[drafter]`.
    """
    port = free_port() if port is None else port
    model = folder / "model"
    if not model.exists():
        write_model(model)
    python = write_fake_vllm(folder)
    served = f'python = "{python}"\nmodel_path = "{model}"\nmax_model_len = 4096\n'
    judge = ""
    if judge_port is not None:
        judge = (
            f'[judge]\nbase_url = "http://127.0.0.1:{judge_port}/v1"\nmodel = "judge"\n'
            f'licence = "none"\n[judge.serve]\n{served}port = {judge_port}\n'
        )
    path = folder / "served.toml"
    path.write_text(
        f'name = "served"\n'
        f'[drafter]\nbase_url = "http://127.0.0.1:{port}/v1"\nmodel = "fake"\n'
        f'prompt_id = "demo-draft"\nprompt_version = 1\nlicence = "none"\n{drafter}\n'
        f"[drafter.sampling]\nmax_tokens = 256\n"
        f"{judge}[serve]\n{served}port = {port}\n{more}\n",
        encoding="utf-8",
    )
    return path


def server_processes(port: int) -> list[int]:
    """Returns supervisor, server and engine processes of a port that live."""
    marks = (f"{ENGINE_MARK}-{port}", f"\0--port\0{port}\0", f"/{port}.json")
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace") + "\0"
        except OSError:
            continue
        if any(mark in text for mark in marks):
            found.append(int(path.parent.name))
    return sorted(found)


def wait_until(true: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Returns whether something came true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return true()
