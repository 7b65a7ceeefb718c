"""Finds the numbers of a text with their units. What they mean is `numbers.py`'s business."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

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
    rf"\b({'|'.join(_WORDS)})\b"
    r"(?=[ \-](?:percent|per cent|%|mm|millimet|ml|millilit|cubic|square|cm))"
)


@dataclass(frozen=True)
class Numeral:
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


@dataclass(frozen=True)
class IndexList:
    """A run of whole numbers: brackets, commas, or six in a row."""

    values: tuple[int, ...]
    """In the order written."""
    start: int
    """Where it begins in the text."""
    end: int
    """Where it ends."""


def spell_digits(text: str) -> str:
    """Returns `text` with number words before a unit turned into digits: `ten percent`."""
    return _WORD_WITH_UNIT.sub(lambda match: _WORDS[match[1]], text)


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
    blanked = _LIST.sub(lambda match: " " * len(match[0]), text)
    found: list[Numeral] = []
    for match in _NUMBER.finditer(blanked):
        if not _SKIP.match(blanked, match.end()):
            found.append(_numeral(match, blanked))
    return tuple(_carry_units(found, blanked))


def _numeral(match: re.Match[str], text: str) -> Numeral:
    digits = match["number"].replace(",", "")
    unit = next(
        (name for n, (name, _) in enumerate(_KNOWN_UNITS) if match[f"u{n}"] is not None), None
    )
    # Letters glued to a number are a unit that nobody measured in.
    if unit is None and (match["foreign"] or _GLUED.match(text, match.end())):
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
                carried[n] = replace(here, unit=there.unit)
    return carried
