"""Grades said in prose, read only where one thing can be meant.

A digit counts behind the component's name or behind "grade". A range, a choice, a fraction, a
negation or a second value beside it leaves nothing to read: a model that repeats the scale has not
answered. Words count where the final part is one of them and nothing else.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from knee.moaks import Component, Feature, ScaleType
from knee.questions import Question

_NAMES: dict[Component, str] = {
    Component.SIZE: r"size",
    Component.NUMBER: r"number",
    Component.PERCENT_BML: r"(?:%|percent(?:age)?)[ _]?(?:of (?:the )?lesion that is )?bml",
    Component.FULL_THICKNESS: r"full[-_ ]thickness|depth",
    Component.GRADE: r"(?!)",
    Component.MORPHOLOGY: r"morphology",
    Component.PRESENCE: r"presence",
    Component.TEAR_LOCATION: r"tear[_ ]location",
    Component.COMPLETE_TEAR: r"complete[_ ]tear",
    Component.BML_CYST: r"bml[_ /]?cyst",
    Component.REPAIR: r"repair",
    Component.SIGNAL_ABNORMALITY: r"signal[_ ]abnormality",
}
"""How prose names a component; `grade` has no name beside the word itself."""
_LINK = r"[\s\"'*_`()]*(?:grade|score)?[\s\"'*_`()]*(?:is|of|was|:|=|at)?[\s\"'*_`(]*(?:grade\s*)?"
_GRADE_WORD = (
    r"(?:\b(?:grade|score)|\bMOAKS_(?:grade|scores?))\b[\s\"'*_`]*(?:is|of|was|:|=)?[\s\"'*_`(]*"
)
_DIGIT = (
    r"(?P<digit>\d{1,4})(?![\d%])"
    r"(?![^\S\n]*(?:[.,]\d|,[^\S\n]*\d|%|mm|[-–/]\s*\d|to\s+\d|or\s+\d|and\s+\d|through))"
)
_DIGIT_ALONE = re.compile(r"[\s*_`\"'(]*(?:\\boxed\{)?\s*(\d{1,4})\s*\}?[\s*_`\"').]*")
"""A digit and nothing else, in the marks that models put around an answer."""
_ANY_DIGIT = r"(?P<digit>\d{1,4})"
_NEGATED = re.compile(
    r"\b(?:not|no|never|cannot|can't|isn't|neither|nor|without|rather than|instead of|unlike|"
    r"if|between|would|could|might|either|from|scale)\b[^.;:\n]{0,40}$|"
    r"\b(?:(?:less|more|greater|higher|lower|worse|milder|other) than|at (?:least|most)|up to|"
    r"below|above|beyond|exceed(?:s|ing)?|under|over|compared (?:with|to)|previous(?:ly)?|prior)\s+"
    r"(?:an?\s+)?$",
    re.IGNORECASE,
)
_WORDS: dict[Feature, dict[str, int]] = {
    Feature.OSTEOPHYTE: {"none": 0, "small": 1, "medium": 2, "large": 3},
    Feature.HOFFA_SYNOVITIS: {"normal": 0, "mild": 1, "moderate": 2, "severe": 3},
    Feature.EFFUSION_SYNOVITIS: {"physiologic": 0, "small": 1, "medium": 2, "large": 3},
}
"""Words of MOAKS' own scale that mean one grade."""
_YES_NO = {"absent": 0, "no": 0, "present": 1, "yes": 1}
_ALONE = re.compile(
    r"[\W_]*(?:(?:it|the answer|grade|finding) (?:is )?)?([a-z]+)[\W_]*", re.IGNORECASE
)


class ProseGrade(NamedTuple):
    """A grade that prose states, or why it states none."""

    grade: int | None
    """The grade; None when none or several are stated."""
    reason: str | None
    """`code: detail`; None with a grade, and where nothing of the kind stands there."""


def prose_grade(text: str, question: Question, component: Component) -> ProseGrade:
    """Returns the grade of a component that a text states in words.

    Args:
        text: the final part of an answer.
        question: what was asked.
        component: one of its components.

    Example:
        >>> from knee.questions import QUESTIONS
        >>> prose_grade("This is grade 2.", QUESTIONS[42], Component.GRADE).grade
        2
        >>> prose_grade("Grade 2 or 3.", QUESTIONS[42], Component.GRADE).reason
        "ambiguous: 'Grade 2'"
    """
    alone = _alone(text, question, component)
    if alone is not None:
        return ProseGrade(alone, None)
    stated: set[int] = set()
    for match in _statements(text, question, component):
        shown = repr(match[0].strip()[-40:])
        before, behind = text[: match.start()], text[match.start("digit") :]
        if _NEGATED.search(before[-60:]) or not re.match(_DIGIT, behind):
            return ProseGrade(None, f"ambiguous: {shown}")
        grade = int(match["digit"])
        if grade not in question.scale(component).wording:
            return ProseGrade(None, f"off_scale: {shown}")
        stated.add(grade)
    if len(stated) > 1:
        return ProseGrade(None, f"ambiguous: several values, grades {sorted(stated)!r}")
    return ProseGrade(stated.pop(), None) if stated else ProseGrade(None, None)


def _statements(text: str, question: Question, component: Component) -> Iterator[re.Match[str]]:
    patterns = [rf"(?<!\w)(?:{_NAMES[component]})(?!\w){_LINK}{_ANY_DIGIT}"]
    if len(question.components) == 1:
        patterns.append(_GRADE_WORD + _ANY_DIGIT)
    for pattern in patterns:
        yield from re.finditer(pattern, text, re.IGNORECASE)


def _alone(text: str, question: Question, component: Component) -> int | None:
    """The grade of a text that is one digit or word of the scale and nothing else."""
    if len(question.components) != 1:
        return None
    digit = _DIGIT_ALONE.fullmatch(text)
    if digit is not None and int(digit[1]) in question.scale(component).wording:
        return int(digit[1])
    match = _ALONE.fullmatch(text)
    if match is None:
        return None
    word = match[1].casefold()
    if question.scale(component).scale_type is ScaleType.BINARY:
        return _YES_NO.get(word)
    return _WORDS.get(question.feature, {}).get(word)
