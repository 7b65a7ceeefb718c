"""How many characters make a token, for an estimate before any server is asked.

The tokenizer of the model that `serve` would start is used where it is on this machine: the file
`tokenizer.json` of `serve.model_path`, a folder or a hub name in the local cache, read by the
interpreter of vLLM's own environment, which has the `tokenizers` package; ours does without. Else a
stated ratio stands in for it.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agents.model_folder import find_model_folder
from agents.vllm_server import CHECKOUT
from knee.errors import InputError
from knee.run_config import ServeSettings

ASSUMED_RATIO = 3.0
"""Characters a token without a tokenizer. Assumed, on the low side so that costs are rather over-
than underestimated: prompts are full of numbers, of which tokenizers split every digit off."""
_TIMEOUT_S = 60
_COUNT = """\
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
texts = json.load(sys.stdin)
encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
print(json.dumps(sum(len(entry.ids) for entry in encoded)))
"""


class TokenRatio(NamedTuple):
    """Characters a token, and where the number comes from."""

    characters: float
    """Characters of text that make one token."""
    method: str
    """How it was found, in words."""

    def tokens(self, n_characters: float) -> int:
        """Returns how many tokens so many characters are."""
        return round(n_characters / self.characters)


def token_ratio(serve: ServeSettings | None, texts: Sequence[str]) -> TokenRatio:
    """Returns the ratio for some prompts.

    Args:
        serve: how the model's server is started; None when somebody else does.
        texts: rendered prompts, a few hundred at most.
    """
    n_characters = sum(len(text) for text in texts)
    file = None if serve is None else _tokenizer(serve)
    if serve is None or file is None or not file.is_file():
        why = "the model's tokenizer is not on this machine"
    elif n_characters == 0:
        why = "there is no prompt to measure"
    else:
        n_tokens = _count(CHECKOUT / serve.python, file, texts)
        if n_tokens:
            ratio = n_characters / n_tokens
            return TokenRatio(
                ratio,
                f"characters / {ratio:.2f}, measured with the model's own tokenizer "
                f"({serve.model_path}) on {len(texts)} of these prompts; what the chat template "
                "adds to each message is not counted",
            )
        why = f"{serve.python} could not read the model's tokenizer"
    return TokenRatio(ASSUMED_RATIO, f"characters / {ASSUMED_RATIO:g}, assumed: {why}")


def _tokenizer(serve: ServeSettings) -> Path | None:
    try:
        folder = find_model_folder(serve, CHECKOUT)
    except InputError:
        return None  # There is no such folder: an estimate does without.
    return None if folder is None else folder / "tokenizer.json"


def _count(python: Path, file: Path, texts: Sequence[str]) -> int | None:
    try:
        done = subprocess.run(
            [str(python), "-c", _COUNT, str(file)],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0 or not done.stdout.strip().isdecimal():
        return None
    return int(done.stdout)
