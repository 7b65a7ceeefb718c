"""What is looked at before a server starts: one message, one hint, exit 2, nothing started."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import serve_checks
from agents.free_memory import GpuMemory, available_memory, gpu_memory
from agents.model_folder import check_model_folder, find_model_folder
from agents.serve_checks import check_cpu_memory, check_gpu_memory
from knee.errors import InputError
from knee.run_config import load_run_config
from knee.serve_settings import ServeSettings
from run_pipeline import main
from stages.phantom_items import phantom_items
from stages.serve_prompts import check_prompts_fit
from stages.settings import load_settings
from stages.token_ratio import token_ratio
from tests.demo_run import CHECKOUT, free_port
from tests.fake_vllm import write_fake_vllm
from tests.serve_cases import server_processes, write_model, write_serve_settings, write_shard

GIB = 2**30
Refuse = Callable[..., str]


@pytest.fixture
def refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a command that must be refused; returns what it said."""

    def run(config: Path, *command: str) -> str:
        command = command or ("serve", "--config", str(config))
        capsys.readouterr()
        assert main(list(command)) == 2
        said = capsys.readouterr().err
        assert "error: " in said
        assert "hint: " in said
        ports = [server.settings.port for server in load_run_config(config).servers]
        assert not any(server_processes(port) for port in ports)
        return said

    return run


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def settings(**values: object) -> ServeSettings:
    given = {"model_path": "m", "port": 8000, "max_model_len": 4096, **values}
    return ServeSettings.model_validate(given)


def test_a_taken_port_names_who_listens(tmp_path: Path, refuse: Refuse):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = write_serve_settings(tmp_path, port=port)
        said = refuse(config)
    assert f"port {port} on '127.0.0.1' is taken by process {os.getpid()}" in said


def test_a_port_that_one_may_not_take_and_a_foreign_address(tmp_path: Path, refuse: Refuse):
    config = write_serve_settings(tmp_path, more='host = "127.255.255.254"')
    changed(config, "127.255.255.254", "192.0.2.1")
    changed(config, 'licence = "none"', 'licence = "none"\napi_key_env = "PATH"')
    assert "cannot listen on '192.0.2.1'" in refuse(config)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer.json"),
        ("tokenizer_config.json", "no tokenizer_config.json"),
        ("model-2.safetensors", "no model-2.safetensors"),
    ],
)
def test_an_incomplete_model_folder(tmp_path: Path, refuse: Refuse, missing: str, named: str):
    config = write_serve_settings(tmp_path)
    (tmp_path / "model" / missing).unlink()
    said = refuse(config)
    assert "is incomplete" in said
    assert named in said


def test_a_shard_that_a_download_cut_off(tmp_path: Path, refuse: Refuse):
    config = write_serve_settings(tmp_path)
    write_shard(tmp_path / "model" / "model-2.safetensors", n_missing=1)
    assert "model-2.safetensors' are cut off" in refuse(config)
    (tmp_path / "model" / "model-2.safetensors").write_bytes(b"abc")
    assert "cut off: 3 bytes" in refuse(config)
    (tmp_path / "model" / "model-2.safetensors").write_bytes(b"\x07" + bytes(7) + b'{"a":1}')
    assert "the header of the weights" in refuse(config)


def test_a_model_folder_that_is_not_there(tmp_path: Path, refuse: Refuse):
    config = changed(write_serve_settings(tmp_path), "/model", "/modle")
    assert "model folder not found" in refuse(config)


def test_a_tokenizer_without_a_chat_template(tmp_path: Path, refuse: Refuse):
    config = write_serve_settings(tmp_path)
    (tmp_path / "model" / "tokenizer_config.json").write_text("{}")
    assert "has no chat template" in refuse(config)
    (tmp_path / "model" / "chat_template.jinja").write_text("{{ messages }}")
    assert main(["serve", "check", "--config", str(config)]) == 0


def test_vllm_that_is_not_installed_and_the_command_that_installs_it(
    tmp_path: Path, refuse: Refuse
):
    config = write_serve_settings(tmp_path)
    write_fake_vllm(tmp_path, vllm=None)
    said = refuse(config)
    assert "vLLM is not installed" in said
    assert "`make setup-vllm` installs" in said
    write_fake_vllm(tmp_path, xgrammar=False)
    assert "lacks xgrammar" in refuse(config)
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    assert "does not run" in refuse(config)
    (tmp_path / "python").unlink()
    assert "`make setup-vllm` makes it" in refuse(config)


def test_a_gpu_config_without_a_gpu(refuse: Refuse, monkeypatch: pytest.MonkeyPatch):
    def none(_: object) -> None:
        return None

    monkeypatch.setattr(serve_checks, "gpu_memory", none)
    for name in ("gpu", "gpu-vision", "gpu-judge"):
        config = CHECKOUT / "configs" / f"{name}.toml"
        for command in (("serve", "--config"), ("serve", "check", "--config")):
            said = refuse(config, *command, str(config))
            assert "ask for device 'gpu' and no NVIDIA device was found" in said
            assert "configs/demo.toml" in said


def test_too_little_memory(tmp_path: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serve_checks, "available_memory", lambda: 2 * GIB)
    said = refuse(write_serve_settings(tmp_path))
    assert "too little memory" in said
    assert "2.5 GiB, and 2.0 GiB are available" in said


def test_a_prompt_that_does_not_fit_is_told_before_the_start(tmp_path: Path):
    config = load_settings(CHECKOUT / "configs" / "demo.toml")
    path = CHECKOUT / "configs" / "demo.toml"
    (server, *_) = config.servers
    items = phantom_items(sees_images=False)
    line = check_prompts_fit(server, config, path, items)
    assert line.startswith("the longest prompt of the drafter has ")
    small = server._replace(settings=server.settings.model_copy(update={"max_model_len": 700}))
    with pytest.raises(InputError, match=r"serve.max_model_len 700 holds them not") as refused:
        check_prompts_fit(small, config, path, items)
    assert "raise it to" in str(refused.value)
    # Without the model's tokenizer nothing is refused: characters a token are assumed.
    unknown = small._replace(
        settings=small.settings.model_copy(update={"model_path": "a/b", "max_model_len": 650})
    )
    assert "may not fit" in check_prompts_fit(unknown, config, path, items)


def test_the_judges_prompts_are_held_against_its_own_server():
    path = CHECKOUT / "configs" / "gpu-judge.toml"
    config = load_settings(path)
    drafter, judge = config.servers
    items = phantom_items(sees_images=False)
    assert "of the judge" in check_prompts_fit(judge, config, path, items)
    assert "of the drafter" in check_prompts_fit(drafter, config, path, items)


def test_a_judge_on_the_drafters_server_is_held_against_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    port = free_port()
    judge = f'[judge]\nbase_url = "http://127.0.0.1:{port}/v1"\nmodel = "fake"\nlicence = "none"\n'
    config = changed(write_serve_settings(tmp_path, port=port), "[serve]\n", f"{judge}[serve]\n")
    assert main(["serve", "check", "--config", str(config)]) == 0
    assert "the longest prompt of the judge has about" in capsys.readouterr().out


def test_the_tokenizer_of_a_cached_hub_model_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = cached_model(tmp_path, "some/model")
    serve = settings(model_path="some/model", python=str(write_counter(tmp_path)))
    assert "measured with the model's own tokenizer" in token_ratio(serve, ["four"]).method
    (snapshot / "model-2.safetensors").unlink()
    assert "not on this machine" in token_ratio(serve, ["four"]).method


def test_a_download_that_broke_off_is_left_to_vllm_to_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = cached_model(tmp_path, "some/model")
    served = settings(model_path="some/model")
    assert find_model_folder(served, CHECKOUT) == snapshot
    (snapshot / "model-1.safetensors").unlink()
    assert find_model_folder(served, CHECKOUT) is None


def test_a_folder_of_mistrals_own_format_is_whole(tmp_path: Path):
    folder = write_model(tmp_path / "model")
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer.json").rename(folder / "tekken.json")
    with pytest.raises(InputError, match=r"incomplete: no tokenizer_config\.json"):
        check_model_folder(settings(), folder)
    told = settings(extra_args=["--tokenizer-mode", "mistral"])
    assert check_model_folder(told, folder).max_context == 4096
    write_shard(folder / "consolidated.safetensors")
    assert check_model_folder(settings(), folder).max_context == 4096


def cached_model(cache: Path, name: str) -> Path:
    """Writes a whole model where the hub's cache has it; returns its snapshot."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    return write_model(repository / "snapshots" / "abc")


def write_counter(folder: Path) -> Path:
    """Writes an interpreter that counts two tokens, whatever it is asked."""
    path = folder / "counter"
    path.write_text("#!/bin/sh\ncat > /dev/null\necho 2\n")
    path.chmod(0o755)
    return path


def test_weights_and_cache_are_counted_from_the_folder(tmp_path: Path):
    folder = write_model(tmp_path / "m")
    model = check_model_folder(settings(), folder)
    assert model.weight_bytes == 2 * 100 * 2
    assert model.kv_bytes_per_token == 2 * 2 * 2 * 16 * 2, "2 x layers x heads x size x bytes"
    assert model.max_context == 4096
    assert check_model_folder(settings(dtype="float32"), folder).weight_bytes == 2 * 100 * 4
    fp8 = settings(extra_args=["--kv-cache-dtype", "fp8"])
    assert check_model_folder(fp8, folder).kv_bytes_per_token == 128
    quantised = settings(extra_args=["--quantization=fp8"])
    assert check_model_folder(quantised, folder).weight_bytes is None
    nested = write_model(
        tmp_path / "n",
        num_hidden_layers=None,
        text_config={
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "hidden_size": 64,
        },
    )
    assert check_model_folder(settings(), nested).kv_bytes_per_token == 2 * 3 * 4 * 16 * 2
    stretched = write_model(tmp_path / "s", rope_scaling={"rope_type": "yarn", "factor": 4.0})
    assert check_model_folder(settings(), stretched).max_context is None


def test_a_context_beyond_the_models_own(tmp_path: Path, refuse: Refuse):
    config = changed(write_serve_settings(tmp_path), "max_model_len = 4096", "max_model_len = 9000")
    assert "9000 is more than the model's own context, 4096" in refuse(config)


def test_a_cache_too_small_for_one_sequence(tmp_path: Path):
    model = check_model_folder(settings(), write_model(tmp_path / "m", num_hidden_layers=4000))
    with pytest.raises(InputError, match="one sequence of 4096 tokens needs"):
        check_cpu_memory(settings(), model, None)
    more = settings(env={"VLLM_CPU_KVCACHE_SPACE": "2"})
    assert "of an unknown amount" in check_cpu_memory(more, model, None)
    with pytest.raises(InputError, match="no whole number"):
        check_cpu_memory(settings(env={"VLLM_CPU_KVCACHE_SPACE": "many"}), model, None)


def test_gpu_memory_by_arithmetic(tmp_path: Path):
    folder = write_model(tmp_path / "m", num_hidden_layers=4000)
    gpu = settings(device="gpu")
    model = check_model_folder(gpu, folder)
    card = GpuMemory(0, 24 * GIB, 24 * GIB)
    assert "room for" in check_gpu_memory(gpu, model, (card,))
    with pytest.raises(InputError, match=r"GPU 0 has 12.0 GiB free, and .* asks for 22.1 GiB"):
        check_gpu_memory(gpu, model, (card._replace(free=12 * GIB),))
    half = settings(device="gpu", extra_args=["--gpu-memory-utilization", "0.45"])
    assert "in 10.8 GiB" in check_gpu_memory(half, model, (card._replace(free=12 * GIB),))
    with pytest.raises(InputError, match="too little GPU memory"):
        check_gpu_memory(gpu, model, (GpuMemory(0, 2 * GIB, 2 * GIB),))
    two = settings(device="gpu", extra_args=["--tensor-parallel-size", "2"])
    with pytest.raises(InputError, match="asks for more GPUs than there are: 1"):
        check_gpu_memory(two, model, (card,))
    for short in (["-tp", "2"], ["-tp=2"]):
        with pytest.raises(InputError, match="asks for more GPUs than there are: 1"):
            check_gpu_memory(settings(device="gpu", extra_args=short), model, (card,))
    odd = settings(device="gpu", extra_args=["--gpu-memory-utilization", "much"])
    with pytest.raises(InputError, match="--gpu-memory-utilization is 'much'"):
        check_gpu_memory(odd, model, (card,))


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, 24576, 24000'\necho '1, 81920, 100'\n")
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/bin:/usr/bin"}
    assert gpu_memory(env) == (
        GpuMemory(0, 24 * GIB, 24000 * 2**20),
        GpuMemory(1, 80 * GIB, 100 * 2**20),
    )
    second = gpu_memory({**env, "CUDA_VISIBLE_DEVICES": "1"})
    assert second is not None
    assert [gpu.number for gpu in second] == [1]
    assert gpu_memory({**env, "CUDA_VISIBLE_DEVICES": ""}) is None
    program.write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    assert gpu_memory(env) is None


def test_the_smaller_of_the_machines_and_the_containers_memory(tmp_path: Path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n")
    assert available_memory(meminfo, tmp_path / "none") == 4 * GIB
    group = tmp_path / "cgroup"
    group.mkdir()
    (group / "memory.max").write_text(f"{3 * GIB}\n")
    (group / "memory.current").write_text(f"{2 * GIB}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 2}\n")
    assert available_memory(meminfo, group) == GIB + GIB // 2
    (group / "memory.max").write_text("max\n")
    assert available_memory(meminfo, group) == 4 * GIB


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ('extra_args = ["--api-key", "x"]', "--api-key would show the key"),
        ('extra_args = ["--api_key=x"]', "--api-key would show the key"),
        ('env = { VLLM_API_KEY = "x" }', "does not belong into a settings file"),
        ('extra_args = ["--port", "1"]', "--port is set by port"),
        ('extra_args = ["--hos", "0.0.0.0"]', "--host is set by host"),
        ('extra_args = ["--api=x"]', "--api-key would show the key"),
        ('extra_args = ["--uds", "/tmp/x"]', "--uds is not to be set"),
        ('host = "0.0.0.0"', "'0.0.0.0' lets other machines ask the server"),
    ],
)
def test_settings_that_would_open_the_server_or_show_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, named: str
):
    config = write_serve_settings(tmp_path, more=more)
    assert main(["serve", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "line " in said
    assert "hint:" in said


def test_an_endpoint_that_asks_another_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    port = free_port()
    config = changed(
        write_serve_settings(tmp_path, port=port), f"127.0.0.1:{port}/v1", "127.0.0.1:1/v1"
    )
    assert main(["serve", "--config", str(config)]) == 2
    assert f"asks another port than the server listens on, serve.port {port}" in (
        capsys.readouterr().err
    )


def test_commands_without_what_they_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["serve"]) == 2
    assert "serve needs a settings file" in capsys.readouterr().err
    config = write_serve_settings(tmp_path)
    assert main(["serve", "--config", str(config), "--only", "judge"]) == 2
    assert "no [judge.serve] part" in capsys.readouterr().err
    text = config.read_text()
    config.write_text(text[: text.index("[serve]")])
    assert main(["serve", "--config", str(config)]) == 2
    assert "no [serve] part" in capsys.readouterr().err
    assert main(["serve", "measure", "--config", str(config)]) == 2
    assert "no model server answers" in capsys.readouterr().err


def test_the_phantoms_items_hold_every_measured_feature():
    features = {item.question.feature.value for item in phantom_items(sees_images=False)}
    assert {"bml", "cartilage", "osteophyte", "extrusion", "effusion_synovitis"} <= features
    assert len(phantom_items(sees_images=True)) > len(phantom_items(sees_images=False))
    assert all(item.synthetic for item in phantom_items(sees_images=True))


def test_the_demo_is_refused_before_it_makes_anything(
    tmp_path: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(serve_checks, "available_memory", lambda: GIB)
    config = CHECKOUT / "configs" / "demo.toml"
    out = tmp_path / "demo"
    port = load_run_config(config).servers[0].settings.port
    if server_processes(port):
        pytest.skip(f"the demo's own port {port} is in use")
    assert "too little memory" in refuse(config, "demo", "--out", str(out), "--config", str(config))
    assert not out.exists()
