"""The settings files in configs/bench: each loads, and all compare the same pictures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agents import vllm_server
from eval.bench_config import is_bench_config, load_bench_config
from knee.run_config import ServeSettings
from tests.demo_run import CHECKOUT
from tests.test_vision_run import PARSE_FLAGS, VLLM_PYTHON

PATHS = sorted((CHECKOUT / "configs" / "bench").glob("*.toml"))
NAMES = {"medgemma-1.5-4b", "o1", "qwen2.5-vl-3b", "qwen2.5-vl-3b-lora", "qwen2.5-vl-7b", "tiny"}


def test_every_model_of_the_issue_has_its_file():
    assert {path.stem for path in PATHS} == NAMES


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_file_loads_and_its_fullest_prompt_fits(path: Path):
    config = load_bench_config(path)
    assert is_bench_config(path)
    assert config.name == f"bench-{path.stem}"
    n_images = config.pictures.n_slices * config.pictures.max_planes
    model = config.model
    assert config.context is not None
    # 2,500 tokens of text are more than the longest prompt has.
    room = config.context - model.sampling.max_tokens - 2500
    assert n_images * model.tokens_per_image <= room
    assert model.max_images is None or n_images <= model.max_images
    if config.serve is not None:
        limit = config.serve.extra_args[config.serve.extra_args.index("--limit-mm-per-prompt") + 1]
        assert json.loads(limit) == {"image": n_images}
        assert str(config.serve.port) in model.base_url
    assert (config.serve is None) is (path.stem == "o1")
    assert config.allow_remote is (path.stem == "o1")


def test_all_models_that_are_compared_are_shown_the_same_pictures():
    shown = {load_bench_config(path).pictures.identity for path in PATHS if path.stem != "tiny"}
    assert len(shown) == 1


def test_a_hosted_model_is_sent_the_bound_alone_and_under_its_name():
    o1 = load_bench_config(CHECKOUT / "configs" / "bench" / "o1.toml").model
    assert o1.sampling.as_sent() == {"max_completion_tokens": 8192}
    qwen = load_bench_config(CHECKOUT / "configs" / "bench" / "qwen2.5-vl-7b.toml").model
    assert qwen.sampling.as_sent() == {"temperature": 0.0, "top_p": 1.0, "max_tokens": 512}


@pytest.mark.vllm
def test_vllms_own_parser_takes_the_flags_and_the_adapter_has_a_name_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
):
    def this_python(_: ServeSettings) -> Path:
        return Path(sys.executable)

    def any_folder(settings: ServeSettings) -> str:
        return settings.model_path

    monkeypatch.setattr(vllm_server, "interpreter", this_python)
    monkeypatch.setattr(vllm_server, "check_model_folder", any_folder)
    configs = [c for p in PATHS if (c := load_bench_config(p)).serve is not None]
    commands = [
        vllm_server.server_command(config.serve, config.model)[3:]
        for config in configs
        if config.serve is not None
    ]
    script = PARSE_FLAGS.replace(
        "args.limit_mm_per_prompt, args.enable_prefix_caching",
        "args.limit_mm_per_prompt, args.served_model_name, bool(args.enable_lora), "
        "[module.name for module in args.lora_modules or []]",
    )
    parsed = subprocess.run(
        [str(VLLM_PYTHON), "-c", script, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert parsed.returncode == 0, parsed.stderr[-2000:]
    lines = [json.loads(line) for line in parsed.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(configs) == len(NAMES) - 1
    for config, (_, limit, served, has_lora, adapters) in zip(configs, lines, strict=True):
        assert limit == {"image": config.pictures.n_slices}
        assert (adapters == [config.model.model]) is has_lora
        # vLLM looks among the served names first: the base must not answer for its adapter.
        assert (served == [config.model.model]) is not has_lora
