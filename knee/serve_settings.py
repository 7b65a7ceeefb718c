"""How a model server is started: the `[serve]` and `[judge.serve]` parts of a settings file.

None of it is a run's identity. A key never stands here: a settings file is shared and versioned, so
it names the environment variable that holds the key (`api_key_env` beside `base_url`).
"""

import ipaddress
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, field_validator

_OWN_FLAGS = {
    "--model": "model_path",
    "--served-model-name": "the endpoint's `model`",
    "--host": "host",
    "--port": "port",
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--dtype": "dtype",
}
"""Flags that this part's own settings give, and which of them does."""
_FOREIGN_FLAGS = {"--uds": "drafter and judge are asked over a port"}
"""Flags that would get around this part's own settings."""
_SHORT_NAMES = {"-tp": "--tensor-parallel-size", "-q": "--quantization"}
"""vLLM's short names of the flags that are looked at before a start."""
_KEY_FLAG = "--api-key"
_KEY_VARIABLE = "VLLM_API_KEY"


def is_loopback(host: str) -> bool:
    """Returns whether a host names this machine alone.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _whole_name(name: str) -> str:
    """Returns the flag of ours that a name begins: vLLM's parser takes `--hos` for `--host`."""
    ours = (*_OWN_FLAGS, *_FOREIGN_FLAGS, _KEY_FLAG)
    begun = [flag for flag in ours if len(name) > len("--") and flag.startswith(name)]
    return begun[0] if begun and name not in ours else name


class ServeSettings(BaseModel):
    """How `serve` starts vLLM. `python` is the interpreter of vLLM's own environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: str = ".venv-vllm/bin/python"
    """Relative paths are relative to the checkout."""
    model_path: str
    """Folder or hub name given to --model."""
    base_name: str | None = Field(default=None, min_length=1)
    """Name of the weights themselves where the endpoint's `model` is an adapter of theirs
    (`--lora-modules`): under one name vLLM would answer with the base. None: the endpoint's."""
    device: str = Field(default="cpu", pattern="^(cpu|gpu)$")
    """`cpu` adds the settings that vLLM's CPU build needs."""
    host: str = "127.0.0.1"
    """Address to listen on; another than this machine's own needs a key (`api_key_env`)."""
    port: int = Field(ge=1, le=65535)
    """Port to listen on."""
    max_model_len: int = Field(ge=128)
    """Context in tokens."""
    max_num_seqs: int = Field(default=64, ge=1)
    """Sequences in a batch."""
    dtype: str = "bfloat16"
    """Weights' type at run time."""
    ready_timeout_s: float = Field(default=300.0, gt=0)
    """Longest wait for the server's health."""
    extra_args: tuple[str, ...] = ()
    """Further vLLM flags, as written."""
    env: dict[str, str] = Field(default_factory=dict)
    """Further environment variables; no keys, which do not belong into a file."""

    @field_validator("extra_args")
    @classmethod
    def validate_extra_args(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuses flags that other settings give, and a key that every user could read in `ps`."""
        for flag in value:
            name = _whole_name(flag.split("=", 1)[0].replace("_", "-"))
            if name in _FOREIGN_FLAGS:
                raise ValueError(f"{name} is not to be set: {_FOREIGN_FLAGS[name]}")
            if name == _KEY_FLAG:
                raise ValueError(
                    f"{_KEY_FLAG} would show the key in the list of processes: name the "
                    "environment variable that holds it, `api_key_env` beside `base_url`"
                )
            if name in _OWN_FLAGS:
                raise ValueError(f"{name} is set by {_OWN_FLAGS[name]}")
        return value

    @field_validator("env")
    @classmethod
    def validate_env(cls, value: dict[str, str]) -> dict[str, str]:
        """Refuses a key in the file."""
        if _KEY_VARIABLE in value:
            raise ValueError(
                f"{_KEY_VARIABLE} does not belong into a settings file: name the environment "
                "variable that holds the key, `api_key_env` beside `base_url`"
            )
        return value

    @property
    def is_local(self) -> bool:
        """True when only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def own_url(self) -> str:
        """How this machine reaches the server: `http://127.0.0.1:8765`, without a path."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def flag(self, name: str) -> str | None:
        """Returns the value of a further vLLM flag, None where it is not set."""
        return flag_value(self.extra_args, name)


def flag_value(arguments: Sequence[str], name: str) -> str | None:
    """Returns the value of `--name value` or `--name=value`, the last one as vLLM takes it.

    Example:
        >>> flag_value(["--dtype", "auto", "--seed=3"], "--seed")
        '3'
    """
    found = None
    for number, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        key = key.replace("_", "-")
        if _SHORT_NAMES.get(key, key) != name:
            continue
        if equals:
            found = value
        elif number + 1 < len(arguments):
            found = arguments[number + 1]
    return found
