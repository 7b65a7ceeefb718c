"""Bone and part: `locate` names the region, and no step claims a neighbour as the place."""

import re
from functools import lru_cache

from agents.checks.context import Material, StepProse, issue, quote
from agents.checks.sites import Phrase, Site, find_phrases, site_of
from knee.anatomy import Compartment
from knee.answers import StepName
from knee.moaks import Feature
from knee.records import CheckIssue

_NEXT_TO = re.compile(
    r"(?:opposite|opposing|facing|adjacent|next|against|towards?|articulat\w+|neighbou?ring|near"
    r"|contact with|beside|excluding|outside|covered by|above)\s+(?:to\s+|of\s+"
    r"|with\s+)?(?:the\s+)?$"
    r"|\bbetween\s+(?:the\s+)?(?:[^.;,]{0,40}\band\s+(?:the\s+)?)?$"
)
_BOTH_SIDES = re.compile(r"\bmedial and (?:the )?lateral\b|\blateral and (?:the )?medial\b")
_MIDLINE = Compartment.MIDLINE
_BONE_FEATURES = frozenset({Feature.BML, Feature.CARTILAGE, Feature.OSTEOPHYTE})


def check_region(material: Material) -> list[CheckIssue]:
    """Returns issues for a region that `locate` does not name and for a neighbour claimed."""
    question = material.context.question
    site = site_of(question.question_id)
    found: list[CheckIssue] = []
    locate = material.step(StepName.LOCATE).prose
    if not all(_any_of(words).search(locate) for words in site.required):
        message = f"locate: name the region: {question.region_name}"
        found.append(issue("region", "region_not_named", message))
    for step in material.steps:
        found += _neighbour(step, site, material)
    return found


@lru_cache(maxsize=256)
def _any_of(words: frozenset[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(words)))})\b")


def _neighbour(step: StepProse, site: Site, material: Material) -> list[CheckIssue]:
    question = material.context.question
    is_bone = question.feature in _BONE_FEATURES
    # Text on a midline site may say "between the medial and lateral spines".
    prose = _BOTH_SIDES.sub(" ", step.prose) if question.compartment is _MIDLINE else step.prose
    for phrase in find_phrases(prose):
        if _NEXT_TO.search(prose[: phrase.start]):
            continue
        wrong = _wrong_structure(phrase, site) or _wrong_part(phrase, site)
        if is_bone and question.compartment is _MIDLINE and phrase.compartments:
            wrong = wrong or bool(phrase.structures or phrase.parts)
        if wrong:
            message = f"{step.name.value}: {quote(phrase.text)} is not the region asked about"
            return [issue("region", "other_region", message)]
    return []


def _wrong_structure(phrase: Phrase, site: Site) -> bool:
    return bool(phrase.structures - site.structures - site.also)


def _wrong_part(phrase: Phrase, site: Site) -> bool:
    """A part word counts only beside another anatomical word: "a central defect" is no region."""
    if site.any_part or len(phrase.words) < 2:
        return False
    if phrase.structures and not phrase.structures & site.structures:
        return False  # a part of a structure that is only named beside the region
    return bool(phrase.parts - site.parts)
