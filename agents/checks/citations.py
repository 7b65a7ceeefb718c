"""Evidence is cited by id, exists, carries the grades, and its value stands in `measure`."""

import re

from agents.checks.context import CheckContext, Material, issue, quote
from agents.checks.numbers import shows
from agents.checks.numerals import find_lists, find_numerals
from knee.answers import Draft, Step, StepName
from knee.findings import Measurement, Unit
from knee.records import CheckIssue

_ID = re.compile(r"(?<![\w:])[a-z0-9]+(?:_[a-z0-9]+)+(?![\w])")


def check_citations(material: Material) -> list[CheckIssue]:
    """Returns issues for cites that do not exist, are missing, or stand without their value."""
    context, draft = material.context, material.draft
    measure = draft.step(StepName.MEASURE)
    if measure is None:
        return []
    found = _unknown(measure, context) + _uncited(measure, context)
    found += _without_value(measure, material.step(StepName.MEASURE).spelled, context)
    return found + _unknown_ids_in_text(material)


def _unknown(measure: Step, context: CheckContext) -> list[CheckIssue]:
    found = [
        issue("citations", "unknown_finding", f"measure.cites: there is no finding {quote(name)}")
        for name in measure.cites
        if name not in context.measured
    ]
    if len(set(measure.cites)) != len(measure.cites):
        found.append(issue("citations", "cited_twice", "measure.cites names a finding twice"))
    return found


def _uncited(measure: Step, context: CheckContext) -> list[CheckIssue]:
    carriers = {c: context.carrier(c) for c in context.asked}
    return [
        issue(
            "citations",
            "evidence_not_cited",
            f"measure.cites: cite {carrier.name.value}, which {component.value} is graded by",
        )
        for component, carrier in carriers.items()
        if carrier is not None and carrier.name.value not in measure.cites
    ]


def _without_value(measure: Step, text: str, context: CheckContext) -> list[CheckIssue]:
    numerals = find_numerals(text)
    listed = {value for run in find_lists(text) for value in run.values}
    found: list[CheckIssue] = []
    for name in dict.fromkeys(measure.cites):
        measurement = context.measured.get(name)
        if measurement is None:
            continue
        stated = any(
            shows(n, measurement.shown) and n.unit in _units_of(measurement) for n in numerals
        )
        in_list = measurement.unit is Unit.COUNT and int(float(measurement.shown)) in listed
        if not stated and not in_list and not _in_words(measurement, text):
            message = f"measure: state the value of {name} as given, with its unit"
            found.append(issue("citations", "cited_value_missing", message))
    return found


def _units_of(measurement: Measurement) -> tuple[str | None, ...]:
    unitless = measurement.unit in (Unit.COUNT, Unit.RATIO)
    return (measurement.unit.value, None) if unitless else (measurement.unit.value,)


def _in_words(measurement: Measurement, text: str) -> bool:
    """A count may be written as a word: "two lesions", "no lesion"."""
    if measurement.unit is not Unit.COUNT:
        return False
    words = {0: "no|zero|none", 1: "one|a|single", 2: "two", 3: "three", 4: "four", 5: "five"}
    pattern = words.get(int(float(measurement.shown)))
    return pattern is not None and re.search(rf"\b(?:{pattern})\b", text) is not None


def _unknown_ids_in_text(material: Material) -> list[CheckIssue]:
    written = [step for step in material.steps if "_" in step.text]
    known = _known_ids(material.draft, material.context) if written else frozenset[str]()
    for step in written:
        for match in _ID.finditer(step.text):
            if match[0] not in known:
                message = f"{step.name.value}: there is no finding {quote(match[0])}"
                return [issue("citations", "unknown_finding", message)]
    return []


def _known_ids(draft: Draft, context: CheckContext) -> set[str]:
    question = context.question
    components = {c.value for c in question.components}
    rules = {rule.measurement for rule in context.rules.values()}
    steps = {step.name.value for step in draft.steps}
    return {*context.measured, *components, *rules, *steps, question.site, question.feature.value}
