"""Which weights a model's name stands for: a hash of its folder, so that a run knows them again.

A name such as `reasonknee-demo` outlives the weights that it is served with. Two runs under one
name with other weights are two runs, or the second would be taken for the first and resumed.
"""

import hashlib
from pathlib import Path
from typing import Final

from agents.vllm_server import CHECKOUT
from knee.keys import content_hash
from knee.serve_settings import ServeSettings

_WHOLE_BYTES: Final = 32 << 20
"""Files up to this size are read whole."""
_BLOCKS: Final = 256
"""Blocks that are read of a larger file, evenly spread from its first to its last byte: training
moves all weights, and 15 GB read whole are a minute before every command."""
_BLOCK_BYTES: Final = 1 << 14
_OF_THE_MODEL: Final = (".safetensors", ".bin", ".gguf", ".json", ".jinja", ".model", ".txt")
"""Endings of the files that decide what a served model answers: weights, tokenizer, template. A log
that ends like them counts too: one run too many is better than two taken for one."""


def served_weights(settings: ServeSettings | None) -> str | None:
    """Returns the hash of the folders that a server is started from: the model's, and adapters'.

    Returns:
        `sha256:` over names, sizes and contents (large files by blocks); None where the settings
        start no server, or name a model of the hub: its name is all that is known then.
    """
    if settings is None:
        return None
    # `--lora-modules name=path …`, and any other flag that names a folder in this way.
    named = [argument.partition("=")[2] for argument in settings.extra_args]
    folders = [CHECKOUT / name for name in (settings.model_path, *filter(None, named))]
    hashes = [hash_folder(folder) for folder in folders if folder.is_dir()]
    return content_hash("\n".join(hashes)) if hashes else None


def hash_folder(folder: Path) -> str:
    """Returns `sha256:` over the files of a model folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in _OF_THE_MODEL or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                digest.update(file.read())
                continue
            for number in range(_BLOCKS):
                file.seek((size - _BLOCK_BYTES) * number // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return f"sha256:{digest.hexdigest()}"
