"""The settings files of the project: loaded, and their flags read by vLLM's own parser."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents import vllm_server
from eval.bench_config import BenchConfig, load_bench_config
from knee.run_config import DescribedServer, RunConfig, ServeSettings
from stages.settings import load_settings
from tests.demo_run import CHECKOUT
from tools.slice_images import STRIP_PIXELS

VLLM_PYTHON = CHECKOUT / ".venv-vllm" / "bin" / "python"
SETTINGS = sorted(
    path
    for path in (CHECKOUT / "configs").glob("*.toml")
    if not path.name.startswith("calibration")
)
BENCHES = sorted((CHECKOUT / "configs" / "bench").glob("*.toml"))
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.config.multimodal import MultiModalConfig
from vllm.config.quantization import ONLINE_QUANT_SHORTHAND_NAMES
from vllm.utils.argparse_utils import FlexibleArgumentParser
for argv in json.loads(sys.argv[1]):
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(argv)
    validate_parsed_serve_args(args)
    print(json.dumps({name: getattr(args, name) for name in (
        "model", "served_model_name", "host", "port", "max_model_len", "max_num_seqs", "dtype",
        "limit_mm_per_prompt", "enable_prefix_caching", "gpu_memory_utilization", "quantization",
        "structured_outputs_config", "api_key", "enforce_eager", "enable_lora")}
        | {"adapters": [module.name for module in args.lora_modules or []],
           "limits": {name: vars(limit) for name, limit in MultiModalConfig(
               limit_per_prompt=args.limit_mm_per_prompt).limit_per_prompt.items()},
           "quantises_by_itself": args.quantization in ONLINE_QUANT_SHORTHAND_NAMES},
        default=str))
"""


def described() -> list[tuple[Path, RunConfig, DescribedServer]]:
    """Returns every server of every file."""
    configs = [(path, load_settings(path)) for path in SETTINGS]
    return [(path, config, server) for path, config in configs for server in config.servers]


def test_there_is_a_file_for_each_of_the_four_ways():
    assert {path.stem for path in SETTINGS} >= {"demo", "gpu", "gpu-vision", "gpu-judge"}
    servers = [(path.stem, server.role) for path, _, server in described()]
    assert ("gpu-judge", "judge") in servers
    assert ("gpu-judge", "drafter") in servers
    vision = load_settings(CHECKOUT / "configs" / "gpu-vision.toml")
    assert vision.drafter.images is not None
    judged = load_settings(CHECKOUT / "configs" / "gpu-judge.toml")
    assert judged.judge is not None
    assert judged.judge.model != judged.drafter.model
    assert judged.judge.base_url != judged.drafter.base_url


def test_nothing_listens_beyond_this_machine_and_every_answer_has_room():
    for path, config, server in described():
        assert server.settings.is_local, path
        assert server.endpoint.is_local, path
        assert not config.allow_remote, path
        assert server.endpoint.licence, path
        assert server.endpoint.sampling.max_tokens * 2 < server.settings.max_model_len, path


@pytest.mark.vllm
def test_vllms_own_parser_takes_every_servers_flags(monkeypatch: pytest.MonkeyPatch):
    def this_python(_: ServeSettings) -> Path:
        return Path(sys.executable)

    def any_folder(settings: ServeSettings, _: Path) -> Path:
        # The tiny model is made by a script, and may not be there.
        return Path(settings.model_path)

    monkeypatch.setattr(vllm_server, "interpreter", this_python)
    monkeypatch.setattr(vllm_server, "find_model_folder", any_folder)
    servers = described()
    benches = [c for p in BENCHES if (c := load_bench_config(p)).serve is not None]
    commands = [vllm_server.server_command(s.settings, s.endpoint)[3:] for _, _, s in servers]
    commands += [vllm_server.server_command(c.serve, c.model)[3:] for c in benches if c.serve]
    # One process for all: importing vLLM takes its time. An unknown flag ends it with code 2.
    parsed = subprocess.run(
        [str(VLLM_PYTHON), "-c", PARSE, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert parsed.returncode == 0, parsed.stderr[-2000:]
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in parsed.stdout.splitlines() if line.startswith("{")
    ]
    assert len(servers) >= 5
    assert len(lines) == len(servers) + len(benches)
    of_benches = lines[len(servers) :]
    lines = lines[: len(servers)]
    for line, (path, config, server) in zip(lines, servers, strict=True):
        settings, where = server.settings, f"{path.name}, {server.role}"
        assert line["model"].endswith(settings.model_path), where
        assert line["served_model_name"] == [server.endpoint.model], where
        assert (line["host"], line["port"]) == ("127.0.0.1", settings.port), where
        assert line["max_model_len"] == settings.max_model_len, where
        assert line["max_num_seqs"] == settings.max_num_seqs, where
        assert line["dtype"] == settings.dtype, where
        assert line["api_key"] is None, where
        assert "disable_any_whitespace=True" in str(line["structured_outputs_config"]), where
        if settings.device == "gpu":
            assert line["enable_prefix_caching"] is True, where
            assert line["gpu_memory_utilization"] == 0.92, where
        images = config.drafter.images
        if images is not None and server.role == "drafter":
            limit = line["limits"]["image"]
            assert limit["count"] == images.n_slices * len(images.planes), where
            assert line["limits"]["video"]["count"] == 0, where
            # What memory is kept for: the longer side, and with it the strip (docs/images.md).
            assert limit["width"] >= images.max_pixels, where
            assert limit["height"] >= images.max_pixels + STRIP_PIXELS, where
        # The folders hold bfloat16 weights; "fp8", a checkpoint's own, is deprecated for them.
        assert line["quantization"] is None or line["quantises_by_itself"], where
    by_role = {(p.stem, s.role): line for line, (p, _, s) in zip(lines, servers, strict=True)}
    assert by_role["gpu-judge", "judge"]["quantization"] == "fp8_per_tensor"
    assert by_role["demo", "drafter"]["enforce_eager"] is True
    assert_bench_flags(benches, of_benches)


def assert_bench_flags(configs: list[BenchConfig], lines: list[dict[str, Any]]) -> None:
    """As many images as an item may have, and an adapter with a name of its own."""
    assert [config.name for config in configs if config.name.endswith("lora")]
    for config, line in zip(configs, lines, strict=True):
        assert line["limit_mm_per_prompt"] == {"image": config.pictures.n_slices}, config.name
        has_lora = bool(line["enable_lora"])
        assert has_lora is config.name.endswith("lora"), config.name
        assert (line["adapters"] == [config.model.model]) is has_lora, config.name
        # vLLM looks among the served names first: the base must not answer for its adapter.
        assert (line["served_model_name"] == [config.model.model]) is not has_lora, config.name
