"""Quoted keys in text with what stands behind them: JSON that need not be whole.

`"key": {…}` and `'key': value` are found wherever they stand, in prose and in JSON with braces
missing or too many.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tools.release_layout import plain

_KEY = re.compile(r"""(["'])([^"'{}\[\]\n]{1,80})\1\s*:\s*""")
_BARE = re.compile(r"[^,}\]\n]*")


class QuotedEntry(NamedTuple):
    """One quoted key and its value."""

    name: str
    """The key, as `plain` writes it."""
    raw: str
    """The value as it stands; a quoted text without its quotes."""
    body: str | None
    """What is inside of the braces; None when the value is no object."""
    is_balanced: bool
    """False where an object's closing brace is missing."""
    start: int
    """Where the key stands in the text."""


def quoted_entries(text: str) -> Iterator[QuotedEntry]:
    """Yields quoted keys with their values, nested ones too, in the order of the text."""
    for match in _KEY.finditer(text):
        start = match.end()
        name = plain(match[2])
        if text.startswith("{", start):
            end = _closing_brace(text, start)
            body = text[start + 1 : end] if end is not None else text[start + 1 :]
            yield QuotedEntry(
                name, text[start : end and end + 1], body, end is not None, match.start()
            )
        else:
            yield QuotedEntry(name, _scalar(text, start), None, True, match.start())


def quoted_names(text: str) -> Iterator[str]:
    """Yields the quoted keys of a text, as `plain` writes them."""
    return (plain(match[2]) for match in _KEY.finditer(text))


def _closing_brace(text: str, start: int) -> int | None:
    """Where the object that starts at `start` ends; None when it never does."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    return None


def _scalar(text: str, start: int) -> str:
    """The value at `start`: a quoted text without its quotes, else up to the next separator."""
    quote = text[start : start + 1]
    if quote in ('"', "'"):
        end = text.find(quote, start + 1)
        return text[start + 1 : end] if end >= 0 else text[start + 1 :]
    if quote == "[":
        end = text.find("]", start)
        return text[start : end + 1] if end >= 0 else text[start:]
    match = _BARE.match(text, start)
    return "" if match is None else match[0].strip()
