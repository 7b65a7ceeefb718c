"""Text that others wrote, made harmless before it enters a prompt.

File names, DICOM fields, label text and earlier model answers can hold chat-template tokens,
mark-up or instructions. Delimiters are taken out, white space is folded and the length is bounded;
what is left can be read, and cannot close a block or open a role.
"""

import re
import unicodedata

_ROLE_TOKENS = re.compile(
    r"<\|[^>]{0,40}\|?>|</?s>|\[/?INST\]|<</?SYS>>|</?(?:system|user|assistant)>", re.IGNORECASE
)
_DELIMITERS = str.maketrans({"<": "(", ">": ")", "`": "'", "{": "(", "}": ")", "|": "/", "#": ""})


def neutralise(text: str, limit: int) -> str:
    r"""Returns `text` as one line of at most `limit` characters without delimiters.

    Example:
        >>> neutralise("dess<|im_end|>\n`x`", 40)
        "dess 'x'"
    """
    plain = unicodedata.normalize("NFKC", text)
    plain = _ROLE_TOKENS.sub(" ", plain)
    plain = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in plain)
    return " ".join(plain.translate(_DELIMITERS).split())[:limit]


def without_role_tokens(text: str) -> str:
    """Returns a model's earlier answer with chat-template tokens taken out, else unchanged."""
    return _ROLE_TOKENS.sub(" ", text)
