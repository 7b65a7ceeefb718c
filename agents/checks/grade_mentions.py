"""Finds the grades that a text names, and of which component."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from agents.checks.numerals import WORD_VALUES
from agents.checks.screening import ScreenedPattern
from knee.moaks import Component

_NAMES: dict[Component, str] = {
    Component.SIZE: r"size",
    Component.NUMBER: r"number",
    Component.PERCENT_BML: r"(?:percent(?:age)?|%)[ -]?bml|bml percent(?:age)?"
    r"|share of (?:the )?lesion",
    Component.FULL_THICKNESS: r"full[ -]thickness|depth",
    Component.MORPHOLOGY: r"morphology",
    Component.PRESENCE: r"presence",
    Component.TEAR_LOCATION: r"tear location",
    Component.COMPLETE_TEAR: r"complete tear",
    Component.BML_CYST: r"bml[ /-](?:or )?cyst",
    Component.REPAIR: r"repair",
    Component.SIGNAL_ABNORMALITY: r"signal abnormality",
}
_DIGIT = re.compile(r"\d")
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}
_VALUE = rf"-?\d+|{'|'.join(WORD_VALUES)}|iii|ii|iv|i|v"
_NO_UNIT = r"(?![\w%]|\.\d|\s*(?:%|mm|ml|percent|per cent|lesions?|bmls?|foci))"
_COMPONENT = "|".join(f"(?P<c{n}>{pattern})" for n, pattern in enumerate(_NAMES.values()))
_COMPONENT_GROUPS = tuple((component, f"c{n}") for n, component in enumerate(_NAMES))
_FILL = (
    r"(?:[\s,:=(-]+(?:loss|score|scores|scored|component|is|as|at|gets|get|receives|has|of|the|this|lesions?|are"
    r"|falls|fall|in|into|to|given|rated|graded|cartilage|defect|share))*[\s,:=(-]*"
)
# "grade 2 for size, grade 0 for …": a component that a preposition ties to what stands before it
# does not belong to the grade behind it.
_LEAD = rf"(?:(?<!for )(?<!for the )(?<!by )(?<!\w)(?:{_COMPONENT}){_FILL})?"
_GRADE = re.compile(
    rf"{_LEAD}\bgrade[sd]?\b\s*(?:is|are|of|as|at|=|:)?\s*\(?(?P<value>{_VALUE}){_NO_UNIT}"
    rf"(?P<more>(?:\s*(?:,|and|/|, and)\s*(?:\d+){_NO_UNIT}(?!\s*(?:to|-|<)\s*<?\d))*)"
)
_DIRECT = ScreenedPattern(
    rf"(?<!\w)(?:{_COMPONENT})(?:\s+(?:loss|score|share))?\s*(?:is|=|:|as|gets|scores?)?\s*"
    rf"(?P<value>-?\d+){_NO_UNIT}"
)
_REVERSED = ScreenedPattern(rf"(?<![\w.])(?P<value>\d)\s+for\s+(?:the\s+)?(?:{_COMPONENT})\b")
_FOR = re.compile(rf"\s*\(?(?:for|by)\s+(?:the\s+)?(?:{_COMPONENT})\b")
_AFTER = re.compile(rf"\s*\(?(?:in\s+|on\s+|of\s+)?(?:the\s+)?(?:{_COMPONENT})\b(?!{_FILL}\bgrade)")
_REACH = 100
"""Longer than what `_SCALE_BEFORE` takes where words stand one space apart."""
_GAP = re.compile(r"\s\s")
_SCALE_BEFORE = re.compile(
    r"(?:(?:cut-?offs?|thresholds?|limits?|edges?|range|interval|band|criteri(?:on|a)|definition|bounds?)"
    r"\s+(?:of|for|to)|not|than|below|beyond|above|short of|reach(?:es|ing)?|between|next to"
    r"|neither|nor"
    r"|(?:needed|required|necessary|enough|sufficient|reserved|much|little|large|small|high"
    r"|low|big|far) for"
    r"|rul(?:es|ed|ing) out|exclud(?:es|ed|ing)|would (?:be|give|mean|make)|far from"
    r"|\d\s*(?:%|mm|ml) for|(?:^|[.;:,]\s)for)"
    r"\s+(?:the\s+|a\s+)?$"
)
_SCALE_AFTER = re.compile(
    r"\s*(?:,?\s*which\s+)?(?:starts?|begins?|ends?|stops?|applies (?:from|up to|below|above)"
    r"|requires?|needs?|would|covers?|spans?|means"
    r"|stands? for|holds|runs|if\b"
    r"|is (?:defined|for|from|reserved|less|more|at least|below|above|\d|exceeded|passed|far"
    r"|ruled out"
    r"|excluded|not |too |out of reach)|isn't|(?:up to|from|below|above|under|over|<|>|≤"
    r"|≥)\s*\d|none\b)"
)


class GradeMention(NamedTuple):
    """One grade named in a text."""

    component: Component | None
    """Which component, None where the text does not say."""
    values: tuple[int, ...]
    """One, or several of a list such as `grades 2 and 1`."""
    of_scale: bool
    """True where the text speaks of the scale, not of this knee: "grade 3 begins at"."""
    start: int
    """Where it begins."""
    end: int
    """Where it ends."""


def find_grade_mentions(prose: str, asked: Sequence[Component]) -> tuple[GradeMention, ...]:
    """Returns the grades that a folded text names, in order.

    Args:
        prose: text with component keys opened to words (`StepProse.prose`).
        asked: the asked components; "grade" is the component itself where it is asked.
    """
    return _find(prose, tuple(asked))


@lru_cache(maxsize=1024)
def _find(prose: str, asked: tuple[Component, ...]) -> tuple[GradeMention, ...]:
    # Several checks read the same sentences, and most steps name no grade.
    found: list[GradeMention] = []
    if "grade" in prose:
        found += [_mention(match, prose, asked) for match in _GRADE.finditer(prose)]
    if _DIGIT.search(prose) is None:
        return tuple(sorted(found, key=lambda mention: mention.start))
    for match in (*_DIRECT.finditer(prose), *_REVERSED.finditer(prose)):
        if all(m.end <= match.start() or match.end() <= m.start for m in found):
            found.append(
                GradeMention(_component(match), (int(match["value"]),), False, *match.span())
            )
    return tuple(sorted(found, key=lambda mention: mention.start))


def _mention(match: re.Match[str], prose: str, asked: Sequence[Component]) -> GradeMention:
    component = _component(match)
    after = _FOR.match(prose, match.end()) or _AFTER.match(prose, match.end())
    if component is None and after is not None:
        component = _component(after)
    if component is None and len(asked) == 1:
        component = asked[0]
    more = tuple(int(n) for n in re.findall(r"\d+", match["more"] or ""))
    of_scale = _scale_stands_before(prose, match.start()) or bool(
        _SCALE_AFTER.match(prose, match.end())
    )
    return GradeMention(component, (_value(match["value"]), *more), of_scale, *match.span())


def _scale_stands_before(prose: str, end: int) -> bool:
    """Whether the words before `end` speak of the scale; they end in white space if they do."""
    if not prose[end - 1 : end].isspace():
        return False
    start = max(0, end - _REACH)
    if start and _GAP.search(prose, start, end):
        start = 0
    return _SCALE_BEFORE.search(prose, start, end) is not None


def _component(match: re.Match[str]) -> Component | None:
    for component, name in _COMPONENT_GROUPS:
        if match[name] is not None:
            return component
    return None


def _value(text: str) -> int:
    if text in WORD_VALUES:
        return WORD_VALUES[text]
    return _ROMAN[text] if text in _ROMAN else int(text)
