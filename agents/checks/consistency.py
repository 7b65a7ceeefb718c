"""What the text says and what `grades` says are the same, and no step denies another."""

import re

from agents.checks.context import Material, StepProse, issue, quote
from agents.checks.grade_mentions import GradeMention, find_grade_mentions
from agents.checks.numbers import is_shown_value
from agents.checks.numerals import find_numerals, spell_digits
from agents.checks.screening import ScreenedPattern
from agents.checks.terms import NOUNS, SIZE_WORDS, SOUND, Polarity, clauses, polarity
from knee.answers import StepName
from knee.moaks import Component, Feature, ScaleType
from knee.records import CheckIssue

_SOUND_WORDS = r"normal|intact|unremarkable|preserved|healthy|physiologic(?:al)?|smooth"
_NOUNS = {key: ScreenedPattern(rf"\b(?:{pattern})") for key, pattern in NOUNS.items()}
_SOUND = {
    key: ScreenedPattern(
        r"(?<!most of the )(?<!much of the )(?<!rest of the )(?<!remaining )(?<!some of the )"
        rf"\b(?:{pattern})\s+(?:is|are|appears?|looks?|remains?)\s+(?:\w+ly\s+)?(?:{_SOUND_WORDS})\b"
        r"(?!\s+(?:in (?:most|part|much|some|the rest|places)|over (?:most|much)|elsewhere"
        r"|outside|apart))"
        r"|(?<!not )(?<!from )(?<!than )(?<!than the )(?<!than a )\b(?:intact|unremarkable"
        r"|preserved|healthy|physiologic(?:al)?)"
        rf"\s+(?:{pattern})\b"
    )
    for key, pattern in SOUND.items()
}
_LOOKED_AT = (StepName.OBSERVE, StepName.MEASURE, StepName.CONCLUDE)
"""`apply_scale` explains the scale and may speak of grades that do not apply."""
_REASONS = {
    "grade_not_asked": "is not asked",
    "grade_text_mismatch": "is not what `grades` says",
}
_PARTS = re.compile(r"[.;,:](?:\s|$)|\b(?:and|but|while|whereas|so|hence)\b")
_BEFORE = re.compile(r"([\w-]+)(?:-sized|\s+(?:bony|marginal|joint|in size))?\s+$")
_AFTER = re.compile(r"\s+(?:is|appears|looks)\s+([\w-]+)\b")
_MARKED = re.compile(r"\b(?:significant|pathologic\w*|marked|severe|definite|large)\s+$")
_SLIGHT = re.compile(
    r"\b(?:trace|physiologic\w*|minimal\w*|minor|tiny|slight\w*|little|insignificant|negligible|equivocal"
    r"|questionable|possible|incipient|minute|faint|subtle|doubtful|borderline|only|merely|barely|hardly"
    r"|below|under|less than|short of|normal|amount of)\b|\d"
)
"""Beside these a word for the finding means something below the first cut-off."""
_SENTENCES = re.compile(r"[.;](?:\s|$)")
_HEDGED_BEHIND = re.compile(
    r"\b(?:but|though|although|yet|however)\b[^.;]*\b(?:tiny|minimal|minor|slight|trace|physiologic\w*"
    r"|negligible|below|under|less than|not (?:definite|relevant|significant))\b"
)
_FOUND = re.compile(
    r"\s+(?:is|are)\s+(?:\w+ly\s+)?(?:found|present|seen|visible|evident|noted|identified|there)\b"
)
_PATTERNS = (
    (re.compile(r"\btears?\b"), range(2, 6)),
    (re.compile(r"\bmaceration\b"), range(6, 9)),
)
_WHOLE = r"(?:the\s+)?(?:whole|entire|full)\b"
_SAYS_NONE: dict[Feature, ScreenedPattern] = {
    Feature.CARTILAGE: ScreenedPattern(
        rf"\bcartilage(?: layer| cover)?\s+(?:\w+ly\s+)?(?:covers|lines|overlies)\s+{_WHOLE}"
        r"|\b(?:free of|without) (?:any )?(?:cartilage )?(?:loss|thinning)\b(?! (?:of|to|reaching))"
    ),
}
"""Clauses that say that nothing is there, without a noun of the finding."""
_SAYS_SOME: dict[Feature, ScreenedPattern] = {
    Feature.CARTILAGE: ScreenedPattern(
        r"\bcartilage(?: layer| cover)?\s+(?:does not|no longer|only partly"
        r"|incompletely)\s+(?:\w+ly\s+)?"
        r"(?:covers?|lines?)\b"
    ),
}
"""Clauses that say that something is there, without a noun of the finding."""


def check_consistency(material: Material) -> list[CheckIssue]:
    """Returns issues for grades in the text that are not `grades`', and for contradictions."""
    found = _mentions(material) + _not_stated(material)
    for step in material.steps:
        if step.name in _LOOKED_AT:
            found += _contradictions(step, material)
    return found


def _mentions(material: Material) -> list[CheckIssue]:
    asked, grades = material.context.asked, material.draft.grades
    found: list[CheckIssue] = []
    for step in material.steps:
        for mention in find_grade_mentions(step.prose, asked):
            explains = mention.of_scale or (
                step.name is StepName.APPLY_SCALE and _explains_scale(mention, step, material)
            )
            code = None if explains else _mention_problem(mention, grades)
            if code is not None:
                words = quote(step.prose[mention.start : mention.end])
                reason = _REASONS[code]
                found.append(issue("consistency", code, f"{step.name.value}: {words} {reason}"))
                break
    return found


def _explains_scale(mention: GradeMention, step: StepProse, material: Material) -> bool:
    """Whether the part of a sentence that names a grade holds cut-offs and no measured value.

    "Up to 10 % is grade 1, up to 75 % grade 2" tells what the scale says; `cutoffs.py` holds it
    against the scale.
    """
    context = material.context
    low = max((m.end() for m in _PARTS.finditer(step.prose, 0, mention.start)), default=0)
    after = _PARTS.search(step.prose, mention.end)
    part = step.prose[low : len(step.prose) if after is None else after.start()]
    numerals = [n for n in find_numerals(spell_digits(part)) if n.unit is not None]
    edges = {edge for rule in context.rules.values() for edge in rule.edges}
    return any(n.value in edges for n in numerals) and not any(
        is_shown_value(n, context) for n in numerals
    )


def _mention_problem(mention: GradeMention, grades: dict[Component, int]) -> str | None:
    if mention.component is not None and mention.component not in grades:
        return "grade_not_asked"
    named = list(mention.values)
    if len(named) > 1 and len(named) == len(grades):
        right = named == list(grades.values())
    elif mention.component is not None and len(named) == 1:
        right = named == [grades[mention.component]]
    else:
        right = set(named) <= set(grades.values())
    return None if right else "grade_text_mismatch"


def _not_stated(material: Material) -> list[CheckIssue]:
    """Ordinal and counted grades are named in `conclude`; yes/no and named ones may be in words."""
    question, asked = material.context.question, material.context.asked
    mentions = find_grade_mentions(material.step(StepName.CONCLUDE).prose, asked)
    named = [m for m in mentions if not m.of_scale]
    listed = any(len(m.values) == len(asked) and len(asked) > 1 for m in named)
    missing = [
        c.value
        for c in asked
        if question.scale(c).scale_type in (ScaleType.ORDINAL, ScaleType.COUNT)
        and not listed
        and not any(m.component is c for m in named)
    ]
    if not missing:
        return []
    message = f"conclude: name the grade of {', '.join(missing)}, as in `grades`"
    return [issue("consistency", "grade_not_stated", message)]


def _contradictions(step: StepProse, material: Material) -> list[CheckIssue]:
    feature = material.context.question.feature
    for component, grade in _settled(material).items():
        key = (feature, component)
        if not _may_speak_of(step.prose, key):
            continue
        for sentence in _SENTENCES.split(step.prose):
            for clause in clauses(sentence):
                code = _clause_problem(clause, key, grade)
                # "Extrusion is present but tiny": the hedge stands in the next clause.
                if code == "asserts_finding" and _HEDGED_BEHIND.search(sentence):
                    continue
                if code is not None:
                    message = f"{step.name.value}: {quote(clause)} contradicts `grades`"
                    return [issue("consistency", code, message)]
    return []


def _may_speak_of(prose: str, key: tuple[Feature, Component]) -> bool:
    """Returns False only where no clause can be a problem (`_clause_problem`)."""
    if key[1] is Component.MORPHOLOGY:
        return True
    patterns = (_SOUND.get(key), _SAYS_NONE.get(key[0]), _SAYS_SOME.get(key[0]), _NOUNS.get(key))
    return any(pattern is not None and pattern.may_match(prose) for pattern in patterns)


def _settled(material: Material) -> dict[Component, int]:
    """The draft's grades, and for components that are not asked what MOAKS' rule says of them.

    A text on full-thickness loss alone may still not deny a loss that was measured.
    """
    context = material.context
    settled = dict(material.draft.grades)
    for component in context.question.components:
        rule = context.question.scale(component).rule
        found = None if rule is None else context.measured.get(rule.measurement)
        if component not in settled and rule is not None and found is not None:
            settled[component] = rule.grade(found.value)
    if settled.get(Component.FULL_THICKNESS, 0) > 0:
        # What is lost to the bone is lost, though size is neither asked nor measured.
        settled.setdefault(Component.SIZE, settled[Component.FULL_THICKNESS])
    return settled


def _clause_problem(clause: str, key: tuple[Feature, Component], grade: int) -> str | None:
    sound = _SOUND.get(key)
    if sound is not None and grade > 0 and sound.search(clause):
        return "denies_finding"
    said = None if key[1] is Component.FULL_THICKNESS else _said_outright(clause, key[0], grade)
    if said is not None:
        return said
    if key[1] is Component.MORPHOLOGY:
        return _pattern_problem(clause, grade)
    noun = _NOUNS.get(key)
    if noun is None:
        return None
    for match in noun.finditer(clause):
        said = polarity(clause, match)
        if said is Polarity.DENIED and grade > 0:
            return "denies_finding"
        if said is Polarity.AFFIRMED and grade == 0 and _claims_grade(clause, match, key[0]):
            return "asserts_finding"
        if said is not Polarity.DENIED and _size_word_differs(clause, match, key[0], grade):
            return "size_word_mismatch"
    return None


def _said_outright(clause: str, feature: Feature, grade: int) -> str | None:
    none, some = _SAYS_NONE.get(feature), _SAYS_SOME.get(feature)
    if none is not None and grade > 0 and none.search(clause):
        return "denies_finding"
    if some is not None and grade == 0 and some.search(clause):
        return "asserts_finding"
    return None


def _pattern_problem(clause: str, grade: int) -> str | None:
    """Tears and maceration against the nominal scale of the meniscus: 2-5 are tears, 6-8 not."""
    for pattern, grades in _PATTERNS:
        for match in pattern.finditer(clause):
            said = polarity(clause, match)
            if said is Polarity.DENIED and grade in grades:
                return "denies_finding"
            if said is Polarity.AFFIRMED and grade < grades.start:
                return "asserts_finding"
    return None


def _claims_grade(clause: str, match: re.Match[str], feature: Feature) -> bool:
    """Whether an affirmed noun means a grade above 0: some are measured below the first cut-off."""
    if feature not in (Feature.EXTRUSION, Feature.OSTEOPHYTE, Feature.EFFUSION_SYNOVITIS):
        return True
    if _MARKED.search(clause[: match.start()]) is not None:
        return True
    if _SLIGHT.search(clause) is not None:
        return False
    # "An extrusion" may be one of 1 mm, "extrusion is found" means that there is one to grade.
    is_found = _FOUND.match(clause, match.end()) is not None or clause[match.end() :].strip() == ""
    return feature is not Feature.EXTRUSION or is_found


def _size_word_differs(clause: str, match: re.Match[str], feature: Feature, grade: int) -> bool:
    words = SIZE_WORDS.get(feature)
    if words is None:
        return False
    before = _BEFORE.search(clause[: match.start()])
    after = _AFTER.match(clause, match.end())
    said = [words[m[1]] for m in (before, after) if m is not None and m[1] in words]
    return any(value != grade for value in said)
