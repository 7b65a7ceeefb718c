"""Regular expressions of many words that first ask whether one of the words is there.

Most drafts hold none of what such an expression looks for, and Python's engine tries every branch
at every character. Each match holds one of a few literals that follow from the expression itself
(as in RE2's `FilteredRE2`); where a text holds none of them there is no match, and a test for a
substring takes nanoseconds. What matches is decided by the expression alone, as before.
"""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

_parser: Any = import_module("re._parser")
"""The parser of `re`; it has no public name. Without a literal every text is searched."""
_MOST_JOINED = 64
"""Strings that one stretch of an expression may stand for, before it is cut there."""

_Words = frozenset[str]


class ScreenedPattern:
    """A compiled expression with the literals of which each of its matches holds at least one."""

    __slots__ = ("literals", "pattern")

    def __init__(self, source: str) -> None:
        self.pattern = re.compile(source)
        self.literals = needed_literals(source)
        """Empty when nothing is known: then every text is searched."""

    def may_match(self, text: str) -> bool:
        """Returns False only where nothing can match."""
        for literal in self.literals:
            if literal in text:
                return True
        return not self.literals

    def search(self, text: str) -> re.Match[str] | None:
        """Returns the first match."""
        return self.pattern.search(text) if self.may_match(text) else None

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Returns all matches."""
        return self.pattern.finditer(text) if self.may_match(text) else iter(())

    def sub(self, replacement: str, text: str) -> str:
        """Returns the text with each match replaced."""
        return self.pattern.sub(replacement, text) if self.may_match(text) else text


def needed_literals(source: str) -> tuple[str, ...]:
    r"""Returns literals of which each match of an expression holds at least one.

    None are returned where they cannot be told, or where a match may be empty.

    Example:
        >>> needed_literals(r"\b(?:surg(?:ery|ical\w*)|treat(?:ed|ment))\b")
        ('surg', 'treated', 'treatment')
    """
    parsed = _parser.parse(source)
    if parsed.state.flags & (re.IGNORECASE | re.VERBOSE):
        return ()
    found = _of_sequence(list(parsed))[1] or frozenset()
    # "x in text" follows from "xy in text": the longer one asks for nothing more.
    least = [w for w in found if not any(other in w for other in found if other != w)]
    return tuple(sorted(least, key=lambda word: (len(word), word)))


def _of_sequence(items: Sequence[tuple[Any, Any]]) -> tuple[_Words | None, _Words | None]:
    """Returns (all strings that it matches when they are few, words of which a match holds one)."""
    candidates: list[_Words] = []
    run: _Words = frozenset({""})
    is_exact = True
    for item in items:
        exact, needed = _of_item(item)
        if needed is not None:
            candidates.append(needed)
        if exact is not None and len(run) * len(exact) <= _MOST_JOINED:
            run = frozenset(left + right for left in run for right in exact)
            continue
        candidates.append(run)
        run = frozenset({""}) if exact is None else exact
        is_exact = False
    candidates.append(run)
    told = [words for words in candidates if words and "" not in words]
    best = max(told, key=lambda words: (min(map(len, words)), -len(words)), default=None)
    return (run if is_exact else None), best


def _of_item(item: tuple[Any, Any]) -> tuple[_Words | None, _Words | None]:
    kind, value = str(item[0]), item[1]
    if kind == "LITERAL":
        letter = frozenset({chr(value)})
        return letter, letter
    if kind == "IN":
        letters = [chr(v) for k, v in value if str(k) == "LITERAL"]
        exact = frozenset(letters) if len(letters) == len(value) <= 4 else None
        return exact, exact
    if kind == "SUBPATTERN":
        _, flags_on, flags_off, inner = value
        return (None, None) if flags_on or flags_off else _of_sequence(list(inner))
    if kind == "BRANCH":
        return _of_branches([_of_sequence(list(branch)) for branch in value[1]])
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = value
        exact, needed = _of_sequence(list(inner))
        if least == 0:
            return (exact | {""} if exact is not None and most == 1 else None), None
        return (exact if least == most == 1 else None), needed
    if kind in ("AT", "ASSERT", "ASSERT_NOT"):
        return frozenset({""}), None  # takes no character: what stands around it stays together
    return None, None


def _of_branches(
    branches: Sequence[tuple[_Words | None, _Words | None]],
) -> tuple[_Words | None, _Words | None]:
    exacts = [exact for exact, _ in branches if exact is not None]
    neededs = [needed for _, needed in branches if needed is not None]
    exact = frozenset[str]().union(*exacts) if len(exacts) == len(branches) else None
    needed = frozenset[str]().union(*neededs) if len(neededs) == len(branches) else None
    return exact if exact is not None and len(exact) <= _MOST_JOINED else None, needed
