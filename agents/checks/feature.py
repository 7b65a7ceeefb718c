"""A draft is about the feature asked, and claims no other."""

import re

from agents.checks.context import Material, StepProse, issue, quote
from agents.checks.screening import ScreenedPattern
from agents.checks.terms import (
    FOREIGN_TERMS,
    NAMED_BESIDE,
    OWN_MATTER,
    OWN_TERMS,
    Polarity,
    clauses,
    polarity,
)
from knee.moaks import Feature
from knee.records import CheckIssue

_SENTENCES = re.compile(r"[.;](?:\s|$)")
_OWN = {feature: re.compile(pattern) for feature, pattern in OWN_TERMS.items()}
_SET_ASIDE = ScreenedPattern(
    r"\b(?:excluding|excluded|exclude|left out|not counted|without counting|other than|rather than"
    r"|instead of|not an?|apart from|disregard\w*|ignor\w*)\b"
)


def _foreign_pattern(feature: Feature) -> ScreenedPattern:
    beside = NAMED_BESIDE.get(feature, frozenset())
    others = [
        p for other, p in FOREIGN_TERMS.items() if other is not feature and other not in beside
    ]
    structures = [p for other, p in _STRUCTURES.items() if other is not feature]
    return ScreenedPattern("|".join(f"(?:{pattern})" for pattern in (*others, *structures)))


def _beside_pattern(feature: Feature) -> ScreenedPattern | None:
    """Words of features that may be named beside this one, but are not its finding."""
    beside = NAMED_BESIDE.get(feature, frozenset()) - OWN_MATTER.get(feature, frozenset())
    patterns = [FOREIGN_TERMS[other] for other in beside]
    return ScreenedPattern("|".join(f"(?:{p})" for p in patterns)) if patterns else None


_GRADED = r"(?:\s+\w+){0,2}\s+grade\b"
_STRUCTURES = {
    Feature.PATELLAR_TENDON: rf"patellar (?:tendon|ligament){_GRADED}|labell?ed as patellar tendon",
    Feature.HOFFA_SYNOVITIS: rf"hoffa's? fat pad{_GRADED}",
}
"""Structures that any text may name as a landmark, and none but their own may grade."""
_FOR = re.compile(r"^\s*for (?:the |this )?$")
_IS_GRADED = re.compile(_GRADED)
_BESIDE = {feature: _beside_pattern(feature) for feature in Feature}
_FOREIGN = {feature: _foreign_pattern(feature) for feature in Feature}


def check_feature(material: Material) -> list[CheckIssue]:
    """Returns issues for a draft that never names its feature or names another as its finding."""
    feature = material.context.question.feature
    found: list[CheckIssue] = []
    if not any(_OWN[feature].search(step.prose) for step in material.steps):
        message = f"the text never names what is graded: {feature.value.replace('_', ' ')}"
        found.append(issue("feature", "feature_not_named", message))
    for step in material.steps:
        found += _other(step, feature)
    return found


def _other(step: StepProse, feature: Feature) -> list[CheckIssue]:
    foreign = _FOREIGN[feature]
    for sentence in _SENTENCES.split(step.prose) if foreign.may_match(step.prose) else ():
        match = foreign.search(sentence)
        if match is not None and not _SET_ASIDE.search(sentence):
            message = f"{step.name.value}: {quote(match[0])} is not what is graded here"
            return [issue("feature", "other_feature", message)]
    return _affirmed_beside(step, feature)


def _affirmed_beside(step: StepProse, feature: Feature) -> list[CheckIssue]:
    """Osteophytes may be left out of an extrusion; that there is one is not what was asked."""
    pattern = _BESIDE[feature]
    if pattern is None or not pattern.may_match(step.prose):
        return []
    for clause in clauses(step.prose):
        if _SET_ASIDE.search(clause):
            continue
        for match in pattern.finditer(clause):
            graded = _FOR.search(clause[: match.start()]) or _IS_GRADED.match(clause, match.end())
            if graded or polarity(clause, match) is Polarity.AFFIRMED:
                message = f"{step.name.value}: {quote(clause)} is about another finding"
                return [issue("feature", "other_feature", message)]
    return []
