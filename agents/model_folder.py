"""A model's folder, looked at before a server reads it: is it whole, and how large is it?

What is read are `config.json`, the tokenizer's settings and the headers of the weights, never the
weights: a shard that was cut off in a download is found by its header, which says how long the file
is. A hub name is looked up in the local cache; what is not there yet cannot be looked at.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from knee.errors import InputError
from knee.serve_settings import ServeSettings

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")
"""Any one of them holds a tokenizer."""
_INDEX = "model.safetensors.index.json"
_MAX_HEADER_BYTES = 100_000_000
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""Bytes of a stored weight by safetensors' type; every other type has 1 or less."""
_RUN_TIME_BYTES = {"float32": 4, "float": 4, "bfloat16": 2, "float16": 2, "half": 2}
"""Bytes of a weight that is held in full floats, by vLLM's `--dtype`."""
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


class _Config(BaseModel):
    """The parts of `config.json` that decide context and memory."""

    model_config = ConfigDict(extra="ignore")

    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    hidden_size: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int | None = None
    kv_lora_rank: int | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    text_config: "_Config | None" = None

    @property
    def text(self) -> Self | "_Config":
        """The language model's own part; of a vision-language model it is nested."""
        return self.text_config or self

    @property
    def is_stretched(self) -> bool:
        """Whether positions are scaled beyond what the model was trained with."""
        kind = (self.rope_parameters or {}).get("rope_type", "default")
        return self.rope_scaling is not None or kind != "default"

    @property
    def kv_values_per_token(self) -> int | None:
        """Keys and values that one token leaves; None when the file does not tell.

        2 x layers x key-value heads x head size. Attention with a latent (MLA) is not of that form.
        """
        heads = self.num_key_value_heads or self.num_attention_heads
        size = self.head_dim
        if size is None and self.hidden_size and self.num_attention_heads:
            size = self.hidden_size // self.num_attention_heads
        if self.kv_lora_rank or not (self.num_hidden_layers and heads and size):
            return None
        return 2 * self.num_hidden_layers * heads * size


class _Tensor(BaseModel):
    """One tensor in the header of a file of safetensors."""

    model_config = ConfigDict(extra="ignore")

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_Header: TypeAdapter[dict[str, _Tensor | dict[str, str]]] = TypeAdapter(
    dict[str, _Tensor | dict[str, str]]
)
"""Tensors by name, and `__metadata__`, which holds text."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A whole model."""

    folder: Path
    """Where it lies."""
    weight_bytes: int | None
    """Bytes of the weights at run time, in `serve.dtype`; quantised ones as they are stored; None
    when vLLM is told to quantise them on the way."""
    kv_bytes_per_token: int | None
    """Bytes of keys and values that one token takes; None when config.json does not tell."""
    max_context: int | None
    """Longest context that the model was made for; None when unknown, or when it is stretched."""


def find_model_folder(settings: ServeSettings, checkout: Path) -> Path | None:
    """Returns the folder of `serve.model_path`; None for a hub name not wholly in the cache.

    Raises:
        InputError: the setting is a path, and nothing is there.
    """
    folder = checkout / settings.model_path
    if folder.is_dir():
        return folder
    if settings.model_path.startswith((".", "/")) or settings.model_path.count("/") != 1:
        raise InputError(
            f"model folder not found: {settings.model_path!r}",
            "serve.model_path is a folder (relative to the checkout) or a hub name",
        )
    return _cached(settings)


def _cached(settings: ServeSettings) -> Path | None:
    """Returns the snapshot of a hub name in the local cache; None for a download that broke off.

    vLLM goes on with such a one where it ended.
    """
    variables = {**os.environ, **settings.env}
    home = variables.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    hub = Path(variables.get("HF_HUB_CACHE") or Path(home) / "hub")
    repository = hub / f"models--{settings.model_path.replace('/', '--')}"
    try:
        commit = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() and not _missing(snapshot, settings) else None


def check_model_folder(settings: ServeSettings, folder: Path) -> ModelFolder:
    """Returns what a model folder holds.

    Raises:
        InputError: a file is missing or cut off, or the tokenizer has no chat template.
    """
    shards = _shards(folder)
    missing = _missing(folder, settings)
    if missing:
        raise InputError(
            f"model folder {settings.model_path!r} is incomplete: no {', '.join(missing)}",
            "download or save the model anew, with tokenizer and weights, into that folder",
        )
    if not _is_of_mistral(folder, settings):
        _check_template(settings, folder)
    config = _read_config(folder)
    weight_bytes: int | None = sum(_weight_bytes(folder / n, settings.dtype) for n in shards)
    if settings.flag("--quantization") is not None:
        weight_bytes = None
    values = config.text.kv_values_per_token
    per_value = 1 if (settings.flag("--kv-cache-dtype") or "").startswith("fp8") else 2
    if settings.flag("--kv-cache-dtype") is None:
        per_value = _RUN_TIME_BYTES.get(settings.dtype, 2)
    stretched = config.text.is_stretched or settings.flag("--hf-overrides") is not None
    return ModelFolder(
        folder,
        weight_bytes,
        None if values is None else values * per_value,
        None if stretched else config.text.max_position_embeddings,
    )


def _is(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _is_of_mistral(folder: Path, settings: ServeSettings) -> bool:
    """Returns whether vLLM takes tokenizer and chat format from Mistral's own `tekken.json`.

    Some of their folders (Devstral, Magistral) hold no other tokenizer, and no template. vLLM 0.32
    does so by itself where `consolidated*.safetensors` lies beside it.
    """
    mode = settings.flag("--tokenizer-mode") or "auto"
    consolidated = any(folder.glob("consolidated*.safetensors"))
    return _is(folder, "tekken.json") and (mode == "mistral" or (mode == "auto" and consolidated))


def _missing(folder: Path, settings: ServeSettings) -> list[str]:
    """Returns what a whole model has and this folder has not."""
    needed = ["config.json", "tokenizer_config.json"]
    if _is_of_mistral(folder, settings):
        needed = ["config.json"]
    missing = [name for name in needed if not _is(folder, name)]
    if not any(_is(folder, name) for name in _TOKENIZERS):
        missing.append(_TOKENIZERS[0])
    shards = _shards(folder)
    missing += [name for name in shards if not _is(folder, name)]
    return missing if shards else [*missing, "*.safetensors"]


def _shards(folder: Path) -> list[str]:
    """Returns the names of the weights' files: those of the index, else those that are there."""
    if _is(folder, _INDEX):
        places = _read_json(folder / _INDEX).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise InputError(
                f"weights' index {str(folder / _INDEX)!r} names no file", "download it anew"
            )
        return sorted({str(name) for name in places.values()})
    found: Iterable[Path] = folder.glob("*.safetensors")
    return sorted(path.name for path in found) or sorted(p.name for p in folder.glob("*.bin"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}", "download it anew") from error
    if not isinstance(value, dict):
        raise InputError(f"{str(path)!r} holds no JSON object", "download it anew")
    return value


def _read_config(folder: Path) -> _Config:
    path = folder / "config.json"
    try:
        return _Config.model_validate(_read_json(path))
    except ValidationError as error:
        issue = error.errors()[0]
        raise InputError(
            f"{str(path)!r}: {'.'.join(map(str, issue['loc']))} is {issue['input']!r}",
            "it should be the model's own config.json",
        ) from error


def _check_template(settings: ServeSettings, folder: Path) -> None:
    has_one = (
        settings.flag("--chat-template") is not None
        or any(_is(folder, name) for name in ("chat_template.jinja", "chat_template.json"))
        or bool(_read_json(folder / "tokenizer_config.json").get("chat_template"))
    )
    if not has_one:
        raise InputError(
            f"the tokenizer of {settings.model_path!r} has no chat template",
            "take the instruct model instead of the base model, or add chat_template.jinja: "
            "drafter and judge are asked through the chat API",
        )


def _weight_bytes(path: Path, dtype: str) -> int:
    """Returns what one file's weights take at run time.

    Raises:
        InputError: the file is shorter than its header says.
    """
    size = path.stat().st_size
    if path.suffix != ".safetensors":
        return size
    cut_off = InputError(
        f"weights {str(path)!r} are cut off: {size} bytes are there", "download them anew"
    )
    with path.open("rb") as handle:
        n_header = int.from_bytes(handle.read(8), "little")
        if not 2 <= n_header <= min(_MAX_HEADER_BYTES, size - 8):
            raise cut_off
        try:
            tensors = _Header.validate_json(handle.read(n_header))
        except ValidationError as error:
            raise InputError(
                f"the header of the weights {str(path)!r} cannot be read", "download them anew"
            ) from error
    total, end = 0, 0
    for name, tensor in tensors.items():
        if name == "__metadata__" or not isinstance(tensor, _Tensor):
            continue
        end = max(end, tensor.data_offsets[1])
        per_weight = _BYTES.get(tensor.dtype, 1)
        if tensor.dtype in _FLOATS:
            per_weight = _RUN_TIME_BYTES.get(dtype, per_weight)
        total += prod(tensor.shape) * per_weight
    if size < 8 + n_header + end:
        raise cut_off
    return total
