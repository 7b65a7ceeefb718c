"""Words by which a text names a feature's finding, and whether it affirms or denies it."""

import re
from enum import StrEnum
from functools import lru_cache

from agents.checks.screening import ScreenedPattern
from knee.moaks import Component, Feature

OWN_TERMS: dict[Feature, str] = {
    Feature.BML: r"marrow lesions?|marrow o?edema|\bbmls?\b",
    Feature.CARTILAGE: r"cartilage|chondral",
    Feature.OSTEOPHYTE: r"osteophytes?|osteophytic|bony spurs?|bone spurs?",
    Feature.HOFFA_SYNOVITIS: r"hoffa|infrapatellar fat",
    Feature.EFFUSION_SYNOVITIS: r"effusion|joint fluid|\bfluid\b|synovitis",
    Feature.EXTRUSION: r"extru(?:sion|ded|des?)\b|protru(?:sion|des?)\b|overhang",
    Feature.MORPHOLOGY: r"menisc|tear|macerat",
    Feature.MENISCAL_CYST: r"cyst",
    Feature.HYPERTROPHY: r"hypertroph",
    Feature.ROOT_TEAR: r"root",
    Feature.ACL: r"\bacl\b|anterior cruciate",
    Feature.PCL: r"\bpcl\b|posterior cruciate",
    Feature.PATELLAR_TENDON: r"patellar (?:tendon|ligament)",
    Feature.PERIARTICULAR: r"burs|band|cyst|bod(?:y|ies)|ganglion",
}
"""Words of which a draft on the feature holds at least one."""

FOREIGN_TERMS: dict[Feature, str] = {
    Feature.BML: r"marrow lesions?|marrow o?edema|\bbmls?\b",
    Feature.CARTILAGE: r"cartilage (?:loss|lesions?|defects?|thinning|damage|erosion)"
    r"|chondral (?:loss|lesions?|defects?)|loss of cartilage|denuded",
    Feature.OSTEOPHYTE: r"osteophytes?|osteophytic|bony spurs?|bone spurs?",
    Feature.HOFFA_SYNOVITIS: r"hoffa-?\s?synovitis",
    Feature.EFFUSION_SYNOVITIS: r"effusion",
    Feature.EXTRUSION: r"extru(?:sion|ded|des?)\b",
    Feature.MORPHOLOGY: r"macerat\w+|\btears?\b|\btorn\b",
    Feature.MENISCAL_CYST: r"(?:para)?meniscal cysts?",
    Feature.HYPERTROPHY: r"hypertroph\w+",
    Feature.ROOT_TEAR: r"root tears?",
    Feature.ACL: r"\bacl\b|anterior cruciate",
    Feature.PCL: r"\bpcl\b|posterior cruciate",
    Feature.PATELLAR_TENDON: r"patellar tend(?:on|in)(?:itis|osis|opathy)",
    Feature.PERIARTICULAR: r"bursitis|popliteal cyst|loose bod(?:y|ies)|ganglion",
}
"""Words that claim the feature's finding; in a draft on another feature they are out of place."""

NAMED_BESIDE: dict[Feature, frozenset[Feature]] = {
    Feature.EXTRUSION: frozenset({Feature.OSTEOPHYTE, Feature.ROOT_TEAR, Feature.MORPHOLOGY}),
    Feature.MORPHOLOGY: frozenset({Feature.EXTRUSION, Feature.ROOT_TEAR}),
    Feature.MENISCAL_CYST: frozenset({Feature.MORPHOLOGY}),
    Feature.HYPERTROPHY: frozenset({Feature.MORPHOLOGY}),
    Feature.ROOT_TEAR: frozenset({Feature.MORPHOLOGY, Feature.EXTRUSION}),
    Feature.ACL: frozenset({Feature.BML, Feature.MORPHOLOGY}),
    Feature.PCL: frozenset({Feature.BML, Feature.MORPHOLOGY}),
    Feature.PATELLAR_TENDON: frozenset({Feature.MORPHOLOGY}),
    Feature.PERIARTICULAR: frozenset({Feature.EFFUSION_SYNOVITIS}),
}
"""Features whose words a draft on the key may use."""

OWN_MATTER: dict[Feature, frozenset[Feature]] = {
    Feature.MORPHOLOGY: frozenset({Feature.ROOT_TEAR}),
    Feature.MENISCAL_CYST: frozenset({Feature.MORPHOLOGY}),
    Feature.ROOT_TEAR: frozenset({Feature.MORPHOLOGY}),
    Feature.ACL: frozenset({Feature.BML, Feature.MORPHOLOGY}),
    Feature.PCL: frozenset({Feature.BML, Feature.MORPHOLOGY}),
    Feature.PATELLAR_TENDON: frozenset({Feature.MORPHOLOGY}),
    Feature.PERIARTICULAR: frozenset({Feature.EFFUSION_SYNOVITIS}),
}
"""Of `NAMED_BESIDE` those whose words are also the key's own: a tear of a ligament or a root."""

_BML = r"(?:bone[- ])?marrow lesions?|bmls?|lesions?|marrow o?edema"
_CARTILAGE = r"cartilage loss|cartilage (?:lesions?|defects?|thinning)|loss of cartilage"
_FULL = r"full[- ]thickness(?: cartilage)? (?:loss|lesions?|defects?)|denuded(?: \w+)?|bare bone"
NOUNS: dict[tuple[Feature, Component], str] = {
    (Feature.BML, Component.SIZE): _BML,
    (Feature.BML, Component.NUMBER): _BML,
    (Feature.CARTILAGE, Component.SIZE): _CARTILAGE,
    (Feature.CARTILAGE, Component.FULL_THICKNESS): _FULL,
    (Feature.OSTEOPHYTE, Component.GRADE): r"osteophytes?|bony (?:spurs?|outgrowths?)|bone spurs?",
    (Feature.HOFFA_SYNOVITIS, Component.GRADE): r"hoffa-?\s?synovitis|hyperintensity|synovitis",
    (Feature.EFFUSION_SYNOVITIS, Component.GRADE): r"effusion(?:-?\s?synovitis)?|excess fluid",
    (Feature.EXTRUSION, Component.GRADE): r"extrusion",
    (Feature.MENISCAL_CYST, Component.PRESENCE): r"(?:para)?(?:meniscal )?cysts?",
    (Feature.HYPERTROPHY, Component.PRESENCE): r"hypertrophy",
    (Feature.ROOT_TEAR, Component.PRESENCE): r"(?:root )?tears?",
    (Feature.ACL, Component.COMPLETE_TEAR): r"(?:complete )?tears?|rupture",
    (Feature.PCL, Component.COMPLETE_TEAR): r"(?:complete )?tears?|rupture",
    (Feature.PATELLAR_TENDON, Component.SIGNAL_ABNORMALITY): r"signal abnormality|abnormal signal",
}
"""Nouns whose denial or affirmation settles whether a grade may be 0."""

SOUND: dict[tuple[Feature, Component], str] = {
    (Feature.BML, Component.SIZE): r"marrow(?: signal)?",
    (Feature.CARTILAGE, Component.SIZE): r"cartilage(?: surface| cover| layer)?",
    (Feature.OSTEOPHYTE, Component.GRADE): r"(?:joint |bone |bony )?margins?|contour",
    (Feature.EFFUSION_SYNOVITIS, Component.GRADE): r"(?:amount of |joint )?fluid|amount",
    (Feature.HOFFA_SYNOVITIS, Component.GRADE): r"fat pad|signal",
    (Feature.MORPHOLOGY, Component.MORPHOLOGY): r"menisc(?:us|al (?:signal|morphology))|morphology",
    (Feature.ROOT_TEAR, Component.PRESENCE): r"root",
    (Feature.ACL, Component.COMPLETE_TEAR): r"ligament|acl|fib(?:er|re)s",
    (Feature.PCL, Component.COMPLETE_TEAR): r"ligament|pcl|fib(?:er|re)s",
    (Feature.PATELLAR_TENDON, Component.SIGNAL_ABNORMALITY): r"tendon",
}
"""Structures of which "is intact" or "normal" says that the grade is 0."""

SIZE_WORDS: dict[Feature, dict[str, int]] = {
    Feature.OSTEOPHYTE: {"small": 1, "medium": 2, "moderate": 2, "medium-sized": 2, "large": 3},
    Feature.HOFFA_SYNOVITIS: {"mild": 1, "moderate": 2, "severe": 3},
    Feature.EFFUSION_SYNOVITIS: {"small": 1, "medium": 2, "moderate": 2, "large": 3},
}
"""Where MOAKS' grades are words, the words and their grades."""


class Polarity(StrEnum):
    """What a clause says of a noun."""

    AFFIRMED = "affirmed"
    DENIED = "denied"
    NEUTRAL = "neutral"


_CLAUSES = re.compile(r"[.;:!?](?:\s|$)|,?\s+(?:but|although|though|however|while|whereas|yet)\s+")
_HYPOTHETICAL = ScreenedPattern(
    r"\b(?:if|whether|would|could|might|look(?:ed|ing)? for|search(?:ed|ing)?|assess\w*"
    r"|grade \d is|stands for)\b"
)
_NEGATION = ScreenedPattern(
    r"\b(?:no|not|without|never|neither|nor|none|lacks?|lacking|absence of|absent|free of|devoid of"
    r"|negative for|zero)\b[^,]*$"
)
_NOT_THE_FIRST = re.compile(
    r"\b(?:no|without|not)\s+(?:\w+\s+)?(?:an?)?(?:other|another|second|third|further|additional|more"
    r"|full|full-thickness|cystic|doubt)\b"
)
_DENIED_AFTER = re.compile(
    r"\s+(?:is|are|was|were|can|could|has|have)?\s*"
    r"(?:not(?!\s+(?:large|small|big|wide|extensive|severe|marked|very|yet|quite|fully|only|purely|full"
    r"|complete\w*|confined|limited))|never|n't|cannot|absent|excluded|ruled out|no longer|zero)\b"
)
_QUANTIFIED = re.compile(
    r"\b(?:an?|one|two|three|four|five|several|multiple|some|small|large|medium|moderate|mild|severe"
    r"|marked|definite|clear|visible|focal|extensive|obvious|substantial|widespread|the present)"
    r"\s+(?:[\w\-]+\s+){0,2}$"
)
_AS = ScreenedPattern(
    r"(?:labell?ed as|read as|seen as|consistent with|in keeping with|compatible with"
    r"|indicating|which is"
    r"|representing|amounts to|diagnostic of)\s+(?:an?\s+)?(?:\w+\s+)?$"
)
_PRESENT = re.compile(
    r"\s+(?:\w+\s+)?(?:(?:is|are|was|were)\s+(?:\w+ly\s+)?(?:seen|present|visible|found|there"
    r"|identified|evident|noted|detected|observed|shown|labell?ed)"
    r"|occup\w+|covers?|takes? up|protrudes?|extends?|measures?|reaches)\b"
)


_NONE_COUNTED = ScreenedPattern(r"(?<![\d.])0\s+(?:[\w-]+\s+){0,2}$")
_COMPOUND = re.compile(
    r"[\s-]+(?:share|part|portion|fraction|volume|count|number|grade|score|size|percentage|protrusion|depth"
    r"|free|map|label)\b"
)
_AROUND = re.compile(
    r"\s+(?:around|surrounding|next to|beside|elsewhere|besides|apart from|other than)\b"
)
_ZERO = re.compile(r"\s+(?:at\s+|of\s+)?0(?:\.0+)?(?![.\d])")


@lru_cache(maxsize=1024)
def clauses(prose: str) -> tuple[str, ...]:
    """Returns the clauses of a folded text, split at stops and at words of contrast."""
    return tuple(part for part in _CLAUSES.split(prose) if part.strip())


def polarity(clause: str, match: re.Match[str]) -> Polarity:
    """Returns what a clause says of the noun that `match` found in it."""
    before, after = clause[: match.start()], clause[match.end() :]
    if _HYPOTHETICAL.search(before):
        return Polarity.NEUTRAL
    near = " ".join(before.split()[-6:])
    if _NEGATION.search(near):
        is_other = _NOT_THE_FIRST.search(near) or _AROUND.match(after)
        return Polarity.NEUTRAL if is_other else Polarity.DENIED
    if _DENIED_AFTER.match(after) or _NONE_COUNTED.search(before):
        return Polarity.DENIED
    if _COMPOUND.match(after):
        return Polarity.NEUTRAL
    present = _PRESENT.match(after)
    if present is not None and _ZERO.match(after, present.end()):
        return Polarity.NEUTRAL
    if present is not None or _QUANTIFIED.search(before) or _AS.search(before):
        return Polarity.AFFIRMED
    return Polarity.NEUTRAL
