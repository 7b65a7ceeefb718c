"""Right or left knee, medial or lateral: a text never names the other one."""

import re

from agents.checks.context import Material, StepProse, issue, quote
from agents.checks.screening import ScreenedPattern
from agents.checks.sites import site_of
from knee.anatomy import ExtrusionSite
from knee.moaks import Feature
from knee.records import CheckIssue

_SIDE = ScreenedPattern(r"\b(right|left)(?:-sided|-hand)?\b")
_LEFT_OVER = ScreenedPattern(
    r"\b(?:is|are|was|were|remains?|cartilage|tissue|bone|nothing|none|little|much|some|what's)\s+left\b"
    r"(?!\s+(?:knee|side|leg|limb|femur|tibia|patella|medial|lateral|femoral|tibial|meniscus))"
    r"|\bleft\s+(?:over|out|behind|intact|uncovered|bare|aside)\b"
    r"|\bright\s+(?:angles?|at|above|below|up|beside|next|through|down)\b|\bright-angled\b"
)
_ABBREVIATED = re.compile(r"(?<![\w-])(r|l)t?\.?\s+(?:knee|leg)\b")
_BY_ANATOMY = {
    "lateral": r"fibula\w*|peroneal|popliteus|iliotibial|biceps femoris|little[ -]toe|\blcl\b",
    "medial": r"\bmcl\b|tibial collateral|pes anserin\w+|semimembranosus|gracilis|sartorius"
    r"|(?:great|big)[ -]toe",
}
"""Structures that lie on one side of the knee only."""
_BY_SIDE_WORD = {
    "lateral": r"outer (?:compartment|condyle|plateau|side of the knee)|outside of the knee",
    "medial": r"inner (?:compartment|condyle|plateau|side of the knee)|inside of the knee",
}
_OPPOSITE = {"medial": "lateral", "lateral": "medial"}
_FOREIGN_SIDE = {
    side: ScreenedPattern(
        rf"\b(?:{_BY_ANATOMY[other]}|{_BY_SIDE_WORD[other]})|away from the (?:{_BY_ANATOMY[side]})"
    )
    for side, other in _OPPOSITE.items()
}
_AWAY = re.compile(r"(?:away from|opposite|far from|not (?:on|at|near))\s+(?:to\s+)?(?:the\s+)?$")
_WIDTH = ScreenedPattern(
    r"\bmedio-?lateral(?:ly)?\b|\bmedial[- ](?:to[- ])?lateral\b|\blateral[- ](?:to[- ])?medial\b"
)
_COMPARTMENT = ScreenedPattern(r"\b(medial|lateral)(?:ly|-sided)?\b")
_MARGIN = ScreenedPattern(
    r"\b(medial|lateral|anterior|posterior)\s+(?:outer\s+)?(?:margins?|edges?|borders?|rims?|extrusion)\b"
    r"|\b(medial|lateral|anterior|posterior)ly\b"
)


def check_laterality(material: Material) -> list[CheckIssue]:
    """Returns an issue for each step that names the other knee, compartment or margin."""
    found: list[CheckIssue] = []
    for step in material.steps:
        found += _knee_side(step, material.context.side)
        found += _compartment(step, material)
        if material.context.question.feature is Feature.EXTRUSION:
            found += _margin(step, material.context.question.site)
    return found


def _knee_side(step: StepProse, side: str) -> list[CheckIssue]:
    for match in _SIDE.finditer(_LEFT_OVER.sub(" ", step.prose)):
        if match[1] != side:
            message = f"{step.name.value}: {quote(match[0])} is not the side of this knee"
            return [issue("laterality", "wrong_side", message)]
    for match in _ABBREVIATED.finditer(step.prose):
        if match[1] != side[0]:
            message = f"{step.name.value}: {quote(match[0])} is not the side of this knee"
            return [issue("laterality", "wrong_side", message)]
    return []


def _compartment(step: StepProse, material: Material) -> list[CheckIssue]:
    allowed = site_of(material.context.question.question_id).compartments
    if not allowed:
        return []  # regions on neither side name both; `region` looks at bone sites among them
    for match in _COMPARTMENT.finditer(_WIDTH.sub(" ", step.prose)):
        if match[1] not in allowed:
            message = f"{step.name.value}: {quote(match[0])} is not where this region lies"
            return [issue("laterality", "wrong_compartment", message)]
    return _by_anatomy(step, allowed)


def _by_anatomy(step: StepProse, allowed: frozenset[str]) -> list[CheckIssue]:
    """A structure of the other side, named as lying beside the region."""
    for side in allowed if len(allowed) == 1 else ():
        for match in _FOREIGN_SIDE[side].finditer(step.prose):
            if _AWAY.search(step.prose[: match.start()]) is None:
                message = f"{step.name.value}: {quote(match[0])} lies on the other side of the knee"
                return [issue("laterality", "wrong_compartment", message)]
    return []


def _margin(step: StepProse, site: str) -> list[CheckIssue]:
    direction = ExtrusionSite(site).value.rsplit("_", 1)[1]
    for match in _MARGIN.finditer(step.prose):
        if (match[1] or match[2]) != direction:
            message = f"{step.name.value}: {quote(match[0])} is not the margin asked about"
            return [issue("laterality", "wrong_margin", message)]
    return []
