"""Finds the numbers of a text with their units. What they mean is `numbers.py`'s business."""

import re
from functools import lru_cache
from typing import NamedTuple

from knee.findings import Unit

_KNOWN_UNITS: tuple[tuple[str, str], ...] = (
    (Unit.PERCENT.value, r"%|percent|per cent"),
    (Unit.MM3.value, r"mm\^?3|cubic mm|cubic millimet(?:er|re)s?"),
    (Unit.MM2.value, r"mm\^?2|square mm|square millimet(?:er|re)s?"),
    (Unit.MM.value, r"mm|millimet(?:er|re)s?"),
    (Unit.ML.value, r"ml|millilit(?:er|re)s?"),
    (Unit.COUNT.value, r"counts?"),
    (Unit.RATIO.value, r"ratio"),
)
_FOREIGN_UNITS = (
    r"cm\^?[23]|cm|centimet(?:er|re)s?|cubic cm|square cm|μm|um|micromet(?:er|re)s?|nm|m"
    r"|met(?:er|re)s?|l|lit(?:er|re)s?|cc|dl|μl|cl|inch(?:es)?|degrees?|°|voxels?|pixels?"
    r"|years?|months?|weeks?|days?"
    r"|mg|g|kg|hu|ms|tesla|points?|fold|times|‰|permille|kpa|hz"
)
FOREIGN = "?"
"""The unit of a number whose unit no measurement has."""
_LARGEST = 1e300
"""A run of hundreds of digits must not become infinite."""
_UNIT_OF = {f"u{n}": name for n, (name, _) in enumerate(_KNOWN_UNITS)} | {"foreign": FOREIGN}
_UNIT = "|".join(f"(?P<u{n}>{pattern})" for n, (_, pattern) in enumerate(_KNOWN_UNITS))
_NUMBER = re.compile(
    r"(?P<sign>(?:(?<=[\s(=:<>])|^)[-+])?(?<![\w.])"
    r"(?P<number>\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    rf"(?:[ \-]?(?:(?:{_UNIT})|(?P<foreign>{_FOREIGN_UNITS}))(?![a-z0-9^]))?"
)
_SKIP = re.compile(r"(?:d|st|nd|rd|th)\b")
"""`3d`, `2nd`: no number is claimed."""
_LIST = re.compile(
    r"[\[(]\s*\d+(?:\s*[,;]\s*\d+)+\s*[\])]"
    r"|(?<![\w.,])\d+(?:(?:\s*,\s*\d+){2,}|(?:\s+\d+){5})(?![\w%]|\.\d| ?(?:%|mm|ml))"
)
_IN_WORD = re.compile(r"\w")
_DIGITS = re.compile(r"\d+")
_GLUED = re.compile(r"[^\W\d_]")
_JOIN = re.compile(
    r"\s*(?:,?\s*\(?sd(?: of)?|±|to|-|,?\s*and|,?\s*or|,|up to|<=|>=|<|>|≤|≥)\s*"
    r"(?:(?:less|more|fewer) than|below|above|under|over|at least|at most|up to|<|>|<=|>=|≤|≥)?\s*"
)
_UNITS_AND_TEENS = "zero one two three four five six seven eight nine ten eleven twelve"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_WORDS = {word: str(n) for n, word in enumerate(_UNITS_AND_TEENS.split())} | {
    word: str(10 * n) for n, word in enumerate(_TENS.split(), start=2)
}
WORD_VALUES: dict[str, int] = {w: int(n) for w, n in _WORDS.items()} | {"single": 1}
"""Number words and their values."""
_WORD_WITH_UNIT = re.compile(
    rf"({'|'.join(_WORDS)})\b"
    r"(?=[ \-](?:percent|per cent|%|mm|millimet|ml|millilit|cubic|square|cm))"
)


class Numeral(NamedTuple):
    """One number of a text."""

    value: float
    """As written, with its sign."""
    decimals: int
    """Digits behind the point."""
    unit: str | None
    """A unit of `Unit`, `FOREIGN`, or None when none is written or can be carried over."""
    start: int
    """Where it begins in the text."""
    end: int
    """Where it ends, unit included."""

    @property
    def is_whole(self) -> bool:
        """True for a number written without a point."""
        return self.decimals == 0


class IndexList(NamedTuple):
    """A run of whole numbers: brackets, commas, or six in a row."""

    values: tuple[int, ...]
    """In the order written."""
    start: int
    """Where it begins in the text."""
    end: int
    """Where it ends."""


def spell_digits(text: str) -> str:
    """Returns `text` with number words before a unit turned into digits: `ten percent`."""
    return _WORD_WITH_UNIT.sub(_digits_of_word, text)


def _digits_of_word(match: re.Match[str]) -> str:
    before = match.string[match.start() - 1 : match.start()]
    # The end of a longer word ("bone") is none; tested here, for `re` looks words up by their
    # first letter only where nothing stands before them.
    return match[1] if _IN_WORD.match(before) else _WORDS[match[1]]


@lru_cache(maxsize=256)
def find_lists(text: str) -> tuple[IndexList, ...]:
    """Returns the runs of whole numbers of a text."""
    return tuple(
        IndexList(tuple(int(n) for n in _DIGITS.findall(match[0])), match.start(), match.end())
        for match in _LIST.finditer(text)
    )


@lru_cache(maxsize=256)
def find_numerals(text: str) -> tuple[Numeral, ...]:
    """Returns the numbers of a text outside lists, units carried over ranges and `±`.

    Args:
        text: folded (`context.fold`) and spelled (`spell_digits`).

    Example:
        >>> [(n.value, n.unit) for n in find_numerals("10 to 75 %, 3.4 mm")]
        [(10.0, '%'), (75.0, '%'), (3.4, 'mm')]
    """
    if _DIGITS.search(text) is None:
        return ()
    blanked = _LIST.sub(lambda match: " " * len(match[0]), text)
    found: list[Numeral] = []
    end = 0
    for digits in _DIGITS.finditer(blanked):
        match = _number_at(blanked, digits.start(), end)
        if match is not None:
            end = match.end()
            if not _SKIP.match(blanked, end):
                found.append(_numeral(match, blanked))
    return tuple(_carry_units(found, blanked))


def _number_at(text: str, start: int, at_least: int) -> re.Match[str] | None:
    """Returns the number whose first digit is at `start`: only a sign and a point stand before it.

    Looking at digits alone finds the same numbers as a search, five times faster.
    """
    for begin in range(max(at_least, start - 2), start + 1):
        match = _NUMBER.match(text, begin)
        if match is not None:
            return match
    return None


def _numeral(match: re.Match[str], text: str) -> Numeral:
    digits = match["number"].replace(",", "")
    # The last group that took part is the unit's, where there is one.
    unit = _UNIT_OF.get(match.lastgroup or "")
    # Letters glued to a number are a unit that nobody measured in.
    if unit is None and _GLUED.match(text, match.end()):
        unit = FOREIGN
    return Numeral(
        value=min(float(digits), _LARGEST) * (-1 if match["sign"] == "-" else 1),
        decimals=len(digits.partition(".")[2]),
        unit=unit,
        start=match.start(),
        end=match.end(),
    )


def _carry_units(numerals: list[Numeral], text: str) -> list[Numeral]:
    carried = list(numerals)
    for n in range(len(carried) - 2, -1, -1):
        here, there = carried[n], carried[n + 1]
        if here.unit is None and there.unit is not None:
            between = text[here.end : there.start]
            if _JOIN.fullmatch(between):
                carried[n] = here._replace(unit=there.unit)
    return carried
