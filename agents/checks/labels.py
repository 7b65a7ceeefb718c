"""Which measurement a number in words is said to be: "the full-thickness loss comes to 8.1 %".

Ids are `numbers.py`'s business. Here the words before a number (in a sentence that puts the number
first: behind it) name a measurement of the finding; the number is then not the value of another one
of the same unit. Words that fit two measurements say nothing.
"""

import re

from agents.checks.context import CheckContext, Material, StepProse, issue, quote
from agents.checks.grade_mentions import find_grade_mentions
from agents.checks.numbers import is_claimed, is_shown_value, shows
from agents.checks.numerals import Numeral, find_numerals
from agents.checks.screening import ScreenedPattern
from knee.answers import StepName
from knee.findings import Measurement, MeasurementName
from knee.records import CheckIssue

_NAME = MeasurementName
_LABELS: dict[MeasurementName, str] = {
    _NAME.FULL_THICKNESS_SHARE: r"full[- ]thickness|denuded|bare bone"
    r"|expos(?:ed|es|ing) (?:the )?bone|down to (?:the )?bone"
    r"|to the bone",
    _NAME.SURFACE_LOSS_SHARE: r"any loss|any cartilage loss|surface loss"
    r"|loss of any (?:depth|degree)"
    r"|surface with (?:any )?loss|overall loss|any[- ]depth",
    _NAME.BML_VOLUME_SHARE: r"(?:of|subregion) (?:the )?(?:subregion|volume share)"
    r"|(?:lesion|volume) share of"
    r" the subregion|subregion(?:'s)? volume|(?:fills?|occup\w+|takes? up)",
    _NAME.BML_SHARE_OF_LESION: r"(?:share|part|portion|fraction|percentage)"
    r" of the (?:total )?lesion"
    r"|bml (?:share|part|portion)|of the lesion(?: volume)? is|non-?cystic",
    _NAME.MEAN_THICKNESS: r"mean (?:cartilage )?thickness|average thickness",
    _NAME.MIN_THICKNESS: r"(?:smallest|minimum|minimal|least) (?:cartilage )?thickness|thinnest",
    _NAME.MEDIAN_THICKNESS: r"median (?:cartilage )?thickness",
}
_PATTERNS = {name.value: ScreenedPattern(rf"\b(?:{pattern})") for name, pattern in _LABELS.items()}
_SENTENCES = re.compile(r"[.;](?:\s|$)")
_ID = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")


def check_labels(material: Material) -> list[CheckIssue]:
    """Returns an issue for each step that gives one measurement the value of another."""
    context = material.context
    known = [name for name in _PATTERNS if name in context.measured]
    if len(known) < 2:
        return []
    found: list[CheckIssue] = []
    for step in material.steps:
        if step.name is not StepName.LOCATE:
            found += _of_step(step, known, context)
            if "grade" in step.prose and not found:
                found += _of_grades(step, context)
    return found


def _of_grades(step: StepProse, context: CheckContext) -> list[CheckIssue]:
    """A sentence with one value and one graded component starts from that component's value."""
    for sentence in step.prose_sentences:
        mentions = find_grade_mentions(sentence, context.asked)
        component = mentions[0].component if len(mentions) == 1 else None
        rule = None if component is None else context.rules.get(component)
        carrier = None if rule is None else context.measured.get(rule.measurement)
        claimed = [
            n
            for n in (() if carrier is None else find_numerals(sentence))
            if n.unit is not None and is_claimed(n, sentence) and is_shown_value(n, context)
        ]
        if carrier is not None and len(claimed) == 1 and _is_another(claimed[0], carrier, context):
            words = quote(sentence)
            message = f"{step.name.value}: {words} starts from another measurement's value"
            return [issue("numbers", "number_of_other_measurement", message)]
    return []


def _of_step(step: StepProse, known: list[str], context: CheckContext) -> list[CheckIssue]:
    for sentence in _SENTENCES.split(step.spelled):
        numerals = [n for n in find_numerals(sentence) if n.unit is not None]
        claimed = [n for n in numerals if is_claimed(n, sentence)]
        if not claimed or _ID.search(sentence) is not None:
            continue
        bounds = [0, *(n.end for n in claimed)]
        # "0.0 % shows full-thickness loss": the words that name it stand behind.
        behind = not _names(sentence[: claimed[0].start], known)
        for n, numeral in enumerate(claimed):
            end = claimed[n + 1].start if n + 1 < len(claimed) else len(sentence)
            span = sentence[numeral.end : end] if behind else sentence[bounds[n] : numeral.start]
            names = _names(span, known)
            if len(names) == 1 and _is_another(numeral, context.measured[names[0]], context):
                words = quote(sentence[max(0, numeral.start - 30) : numeral.end])
                message = f"{step.name.value}: the number in {words} is another measurement's value"
                return [issue("numbers", "number_of_other_measurement", message)]
    return []


def _names(span: str, known: list[str]) -> list[str]:
    return [name for name in known if _PATTERNS[name].search(span)]


def _is_another(numeral: Numeral, named: Measurement, context: CheckContext) -> bool:
    if numeral.unit != named.unit.value or shows(numeral, named.shown):
        return False
    return any(
        m.unit is named.unit and m != named and shows(numeral, m.shown)
        for m in context.finding.measurements
    )
