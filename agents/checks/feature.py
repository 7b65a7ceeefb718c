"""A draft is about the feature asked, and claims no other."""

import re

from agents.checks.context import Material, StepProse, issue, quote
from agents.checks.terms import FOREIGN_TERMS, NAMED_BESIDE, OWN_TERMS
from knee.moaks import Feature
from knee.records import CheckIssue

_OWN = {feature: re.compile(pattern) for feature, pattern in OWN_TERMS.items()}
_SET_ASIDE = re.compile(
    r"\b(?:excluding|excluded|exclude|left out|not counted|without counting|other than|rather than"
    r"|instead of|not an?|apart from|disregard\w*|ignor\w*)\b"
)


def _foreign_pattern(feature: Feature) -> re.Pattern[str]:
    beside = NAMED_BESIDE.get(feature, frozenset())
    others = [
        p for other, p in FOREIGN_TERMS.items() if other is not feature and other not in beside
    ]
    return re.compile("|".join(f"(?:{pattern})" for pattern in others))


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
    for sentence in re.split(r"[.;](?:\s|$)", step.prose):
        match = _FOREIGN[feature].search(sentence)
        if match is not None and not _SET_ASIDE.search(sentence):
            message = f"{step.name.value}: {quote(match[0])} is not what is graded here"
            return [issue("feature", "other_feature", message)]
    return []
