"""The settings files in configs/bench: each loads, and all compare the same pictures."""

import json
from pathlib import Path

import pytest

from eval.bench_config import is_bench_config, load_bench_config
from tests.demo_run import CHECKOUT

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
