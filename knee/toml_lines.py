"""Where a key stands in a TOML file: `tomllib` reads values and forgets the lines."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

KeyPath = tuple[str | int, ...]
"""E.g. `("drafter", "sampling", "temperature")`; positions in lists are numbers."""


def key_lines(text: str) -> dict[KeyPath, int]:
    r"""Returns the line (from 1) of every key and table of a TOML text.

    Example:
        >>> key_lines('a = 1\n[b]\nc = [\n2]\n')
        {('a',): 1, ('b',): 2, ('b', 'c'): 3}
    """
    found: dict[KeyPath, int] = {}
    prefix: KeyPath = ()
    for number, statement in _statements(text):
        paths = list(_paths(tomllib.loads(statement)))
        if statement.lstrip().startswith("["):
            prefix = paths[-1]
            paths, above = [path[: i + 1] for path in paths[-1:] for i in range(len(path))], ()
        else:
            above = prefix
        for path in paths:
            found.setdefault((*above, *path), number)
    return found


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Returns the line of a key, or of the nearest table above one that is missing."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yields headers and assignments with their first line; values may span several lines."""
    statement, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not statement:
            start = number
        statement += line + "\n"
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # a value that is not closed yet
        if parsed:
            yield start, statement
        statement = ""


def _paths(value: Mapping[str, Any]) -> Iterator[KeyPath]:
    for key, inner in value.items():
        yield (key,)
        if isinstance(inner, list) and inner and isinstance(inner[-1], dict):
            inner = inner[-1]
        if isinstance(inner, dict):
            yield from ((key, *path) for path in _paths(inner))
