"""A grade named beside a cut-off lies on the side of it that the text says."""

import re
from functools import lru_cache

from agents.checks.context import Material, issue, quote
from agents.checks.grade_mentions import find_grade_mentions
from knee.answers import StepName
from knee.moaks import GradeRule
from knee.records import CheckIssue

_HEDGED = re.compile(r"\b(?:borderline|standard deviation|uncertain\w*|not|no|neither|nor|would)\b")
_BELOW = r"less than|below|under|short of|smaller than|lower than|<"
_ABOVE = r"more than|above|over|beyond|exceed(?:s|ing)?|at least|greater than|larger than|past|>"
_UNIT_WORDS = {"%": r"(?:%|percent|per cent)", "mm": r"mm", "mL": r"ml", "count": ""}


def check_cutoffs(material: Material) -> list[CheckIssue]:
    """Returns an issue for a sentence whose grade contradicts the cut-off it names.

    Looked at are sentences of `apply_scale` and `conclude` with one named grade of a component
    that has a rule; a sentence that says borderline, or denies something, is passed over.
    """
    context = material.context
    for name in (StepName.APPLY_SCALE, StepName.CONCLUDE):
        for sentence in material.step(name).prose_sentences:
            mentions = find_grade_mentions(sentence, context.asked)
            if len(mentions) != 1 or mentions[0].of_scale or _HEDGED.search(sentence):
                continue
            mention = mentions[0]
            rule = None if mention.component is None else context.rules.get(mention.component)
            if rule is None or len(mention.values) != 1:
                continue
            allowed = _allowed_grades(sentence, rule)
            if mention.values[0] not in allowed:
                message = f"{name.value}: {quote(sentence)} names a grade of another interval"
                return [issue("consistency", "scale_misquoted", message)]
    return []


def _allowed_grades(sentence: str, rule: GradeRule) -> set[int]:
    """Grades that every cut-off named in a sentence leaves open."""
    allowed = {interval.grade for interval in rule.intervals}
    for interval in rule.intervals:
        if interval.high is not None and interval.low > 0:
            pattern = _range_pattern(interval.low, interval.high, rule.unit)
            if pattern.search(sentence):
                allowed &= {interval.grade}
                sentence = pattern.sub(" ", sentence)
    for edge in rule.edges:
        below, above = _side_patterns(edge, rule.unit)
        if below.search(sentence):
            allowed &= {i.grade for i in rule.intervals if i.low < edge}
        if above.search(sentence):
            allowed &= {i.grade for i in rule.intervals if i.high is None or i.high > edge}
    return allowed


@lru_cache(maxsize=64)
def _range_pattern(low: float, high: float, unit: str) -> re.Pattern[str]:
    word = _UNIT_WORDS.get(unit, re.escape(unit.lower()))
    return re.compile(
        rf"(?<![\d.]){_number(low)}\s*(?:{word})?\s*(?:to|-|and)\s*(?:(?:{_BELOW})\s*)?"
        rf"{_number(high)}\s*{word}"
    )


@lru_cache(maxsize=64)
def _side_patterns(edge: float, unit: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    word = _UNIT_WORDS.get(unit, re.escape(unit.lower()))
    number = rf"(?:the\s+)?{_number(edge)}\s*{word}"
    return (
        re.compile(rf"(?:{_BELOW})\s*{number}"),
        re.compile(rf"(?:{_ABOVE})\s*{number}|(?<![\d.]){_number(edge)}\s*{word}\s+or more"),
    )


def _number(value: float) -> str:
    return rf"{re.escape(f'{value:g}')}(?:\.0+)?(?![\d.]*\d)"
