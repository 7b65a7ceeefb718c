"""Shares and multiples written in words: `two thirds`, `half of the surface`, `a dozen`.

A drafter computes nothing: a share has its source in a measurement and stands there with its unit.
Words that name a place (`the anterior third of the plate`) or an order (`the third slice`) claim no
share and are let through.
"""

import re

from agents.checks.context import Material, issue, quote
from agents.checks.screening import ScreenedPattern
from knee.records import CheckIssue

_PARTS = r"thirds?|quarters?|fourths?|fifths?|sixths?|eighths?|tenths?"
_COUNTED = (
    r"(?:an?|one|two|three|four|five|six|seven|eight|nine|about|nearly|almost|over|under"
    r"|roughly|around)"
)
_FRACTION = ScreenedPattern(
    rf"\b(?:{_COUNTED}[ \-]+)+(?:{_PARTS})\b(?!\s+(?:slices?|images?|planes?|knees?|lesions?))"
    r"|\b(?:one[ \-])?hal(?:f|ves)\b(?=\s+(?:of|the|an?|its|this|that|as)\b)"
    r"|\b(?:by|one|a|than|about|nearly|almost|over|roughly)[ \-]half\b"
    r"|\b(?:dozens?|twice|thrice|twofold|threefold|fourfold|tenfold)\b"
    r"|\b(?:doubled?|tripled?|halved)\b"
)
_PLACE = re.compile(
    r"\b(?:anterior|posterior|central|middle|medial|lateral|inner|outer|upper|lower|superior"
    r"|inferior|proximal|distal|front|back)\s+(?:one[ \-])?$"
)


def check_fractions(material: Material) -> list[CheckIssue]:
    """Returns an issue for each step that claims a share or a multiple in words."""
    found: list[CheckIssue] = []
    for step in material.steps:
        for match in _FRACTION.finditer(step.text):
            if _PLACE.search(step.text[: match.start()]):
                continue
            words = quote(step.text[max(0, match.start() - 12) : match.end() + 12])
            message = f"{step.name.value}: {words} is a share in words; give the measured value"
            found.append(issue("numbers", "fraction_in_words", message))
            break
    return found
