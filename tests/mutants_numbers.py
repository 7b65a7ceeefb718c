"""Drafts spoiled in a number, a unit, a citation or a grade."""

import copy
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Any

from agents.checks.grades import following_grades
from agents.demo_model import phrases
from knee.findings import Measurement, MeasurementName, Unit
from knee.moaks import Component, Feature, RuleBasis, illegal_combinations
from tests.mutants_places import with_text
from tests.mutation_bases import Base

_UNIT = r"%|per ?cent|mm³|mm²|mm|millimet(?:re|er)s|mL|millilit(?:re|er)s"
_OTHER_UNITS = {
    Unit.PERCENT: ("mm", "cm", "mL", "mm²"),
    Unit.MM: ("%", "cm", "mL", "mm²"),
    Unit.MM2: ("mm", "cm²", "%", "mm³"),
    Unit.MM3: ("mm", "mL", "%", "mm²"),
    Unit.ML: ("mm", "cm", "mm³", "%"),
}


def stated(base: Base, step: str) -> Iterator[tuple[Measurement, re.Match[str]]]:
    """Yields where a step states a measurement as shown, with its unit."""
    for m in base.context.finding.measurements:
        if m.unit in _OTHER_UNITS:
            pattern = rf"(?<![\d.,]){re.escape(m.shown)}(?=\s?(?P<unit>{_UNIT})(?![\w²³]))"
            for match in re.finditer(pattern, base.text(step)):
                yield m, match


def is_right(base: Base, value: str, unit: Unit) -> bool:
    """Returns whether a number is a measurement's value, also rounded: then nothing is wrong."""
    number, decimals = float(value), len(value.partition(".")[2])
    return any(
        m.unit is unit and round(float(m.shown), decimals) == number
        for m in base.context.finding.measurements
    )


def _spoiled_digits(shown: str) -> Iterator[str]:
    """Yields other numbers made from one: a digit changed, two swapped, the point moved."""
    digits = [n for n, c in enumerate(shown) if c.isdigit()]
    for n in digits:
        yield f"{shown[:n]}{(int(shown[n]) + 3) % 10}{shown[n + 1 :]}"
        yield f"{shown[:n]}{(int(shown[n]) + 9) % 10}{shown[n + 1 :]}"
    for a, b in pairwise(digits):
        letters = list(shown)
        letters[a], letters[b] = letters[b], letters[a]
        yield "".join(letters)
    value, decimals = float(shown), len(shown.partition(".")[2])
    yield f"{value * 10:.{decimals}f}"
    yield f"{value + 13:.{decimals}f}"
    yield f"1{shown}"


def changed_number(base: Base) -> Iterator[object]:
    """A stated measurement, or its standard deviation, with other digits."""
    for step in ("observe", "measure", "apply_scale", "conclude"):
        text = base.text(step)
        for m, match in stated(base, step):
            for other in _spoiled_digits(m.shown):
                if not is_right(base, other, m.unit):
                    yield with_text(base, step, text[: match.start()] + other + text[match.end() :])
        for match in re.finditer(r"(?:\bsd |± )(\d+(?:\.\d+)?)", text):
            shown = {m.shown_sd for m in base.context.finding.measurements}
            for other in _spoiled_digits(match[1]):
                if all(sd is None or float(other) != float(sd) for sd in shown):
                    start, end = match.span(1)
                    yield with_text(base, step, text[:start] + other + text[end:])


def number_as_cut_off(base: Base) -> Iterator[object]:
    """A stated measurement replaced by a cut-off of its scale, the step left as it is else."""
    for component, rule in base.context.rules.items():
        m = base.context.measured.get(rule.measurement)
        if m is None or component is Component.NUMBER:
            continue
        for step in ("measure", "apply_scale"):
            for found, match in stated(base, step):
                for edge in rule.edges if found == m else ():
                    if not is_right(base, f"{edge:g}", m.unit):
                        text = base.text(step)
                        yield with_text(
                            base, step, f"{text[: match.start()]}{edge:g}{text[match.end() :]}"
                        )


def number_of_another_item(base: Base, others: Sequence[Base] = ()) -> Iterator[object]:
    """The value of the same measurement in another item."""
    for step in ("measure", "apply_scale"):
        for m, match in stated(base, step):
            for other in others:
                value = other.context.measured.get(m.name.value)
                if value is not None and not is_right(base, value.shown, m.unit):
                    text = base.text(step)
                    changed = text[: match.start()] + value.shown + text[match.end() :]
                    yield with_text(base, step, changed)


def swapped_values(base: Base) -> Iterator[object]:
    """Two measurements of one unit with their values exchanged, in one step."""
    for step in ("measure", "apply_scale"):
        text = base.text(step)
        found = sorted(stated(base, step), key=lambda pair: pair[1].start())
        for n, (a, one) in enumerate(found):
            for b, two in found[n + 1 :]:
                if a.unit is b.unit and float(a.shown) != float(b.shown):
                    between = text[one.end() : two.start()]
                    changed = text[: one.start()] + two[0] + between + one[0] + text[two.end() :]
                    yield with_text(base, step, changed)


def swapped_unit(base: Base) -> Iterator[object]:
    """A stated measurement with another unit."""
    for step in ("measure", "apply_scale"):
        text = base.text(step)
        for m, match in stated(base, step):
            end = match.end("unit")
            for unit in _OTHER_UNITS[m.unit]:
                yield with_text(base, step, f"{text[: match.end()]} {unit}{text[end:]}")


def dropped_unit(base: Base) -> Iterator[object]:
    """A stated measurement without its unit."""
    text = base.text("measure")
    for _, match in stated(base, "measure"):
        rest = text[match.end("unit") :]
        # "6.1 ± 0.3 mm" writes one unit for both; a carried unit is not dropped.
        if not re.match(r",?\s?(?:\(?sd|±|,? (?:to|and|or)\b)", rest, re.IGNORECASE):
            yield with_text(base, "measure", text[: match.end()] + rest)


def unknown_finding(base: Base) -> Iterator[object]:
    """An id that no measurement of the finding has, cited or in a text."""
    measured = base.context.measured
    absent = [n.value for n in MeasurementName if n.value not in measured]
    rules = {rule.measurement for rule in base.context.rules.values()}
    made_up = ["lesion_area", "t2_value", "defect_depth_mm", *(f"{name}_2" for name in measured)]
    for name in (*made_up, *absent[:6]):
        answer = copy.deepcopy(base.answer)
        answer["measure"]["cites"].append(name)
        yield answer
        answer = copy.deepcopy(base.answer)
        if answer["measure"]["cites"]:
            answer["measure"]["cites"][0] = name
            yield answer
        if "_" in name and name not in rules:
            yield with_text(base, "measure", f"{base.text('measure')} The {name} agrees.")


def evidence_not_cited(base: Base) -> Iterator[object]:
    """The measurement that a grade rests on, not cited."""
    context = base.context
    for name in {c.name.value for k in context.asked if (c := context.carrier(k)) is not None}:
        answer = copy.deepcopy(base.answer)
        answer["measure"]["cites"] = [n for n in answer["measure"]["cites"] if n != name]
        yield answer


def off_scale(base: Base) -> Iterator[object]:
    """A grade that the scale does not have, or of another type."""
    for key in base.grades:
        for wrong in (9, -1, 2.5, 1.0, "1", None, True, 10**20, [1]):
            answer = copy.deepcopy(base.answer)
            answer["grades"][key] = wrong
            yield answer


def illegal_combination(base: Base) -> Iterator[object]:
    """Every set of legal grades that MOAKS does not allow together."""
    keys = [Component(key) for key in base.grades]
    scales = [base.question.scale(key).grades for key in keys]
    for grades in product(*scales):
        chosen = dict(zip(keys, grades, strict=True))
        if illegal_combinations(base.feature, chosen):
            answer = copy.deepcopy(base.answer)
            answer["grades"] = {key.value: grade for key, grade in chosen.items()}
            yield answer


def _neighbours(base: Base, key: str) -> list[int]:
    legal = base.question.scale(Component(key)).grades
    return [g for g in (base.grades[key] - 1, base.grades[key] + 1) if g in legal]


def grade_in_object_only(base: Base) -> Iterator[object]:
    """One grade moved in `grades`, the text as it was: only where the text names a number."""
    for key, grade in base.grades.items():
        if re.search(rf"\b{grade}\b", base.text("conclude")):
            for other in _neighbours(base, key):
                answer = copy.deepcopy(base.answer)
                answer["grades"][key] = other
                yield answer


def grade_in_text_only(base: Base) -> Iterator[object]:
    """One grade moved in `conclude`, `grades` as they were."""
    text = base.text("conclude")
    for match in re.finditer(r"\bgrade (\d)\b(?! would)", text):
        changed = text[: match.start(1)] + str((int(match[1]) + 1) % 4) + text[match.end(1) :]
        yield with_text(base, "conclude", changed)


def _everywhere(base: Base, key: str, other: int, apply_scale: str | None) -> dict[str, Any] | None:
    """The draft moved to another grade: object, conclusion, scale; None where it cannot be."""
    answer = copy.deepcopy(base.answer)
    answer["grades"][key] = other
    grade = base.grades[key]
    name = "grade" if key == "grade" else f"{key} grade"
    conclude = base.text("conclude").replace(f"{name} {grade}", f"{name} {other}", 1)
    scale = apply_scale or base.text("apply_scale").replace(f"{name} {grade}", f"{name} {other}", 1)
    if conclude == base.text("conclude") or scale == base.text("apply_scale"):
        return None
    answer["conclude"]["text"], answer["apply_scale"]["text"] = conclude, scale
    return answer


def _is_moaks(base: Base, component: Component) -> bool:
    rule = base.context.rules.get(component)
    measured = rule is not None and rule.measurement in base.context.measured
    evidence = base.context.finding.evidence_for(component)
    bases = (evidence.rule_basis, None if rule is None else rule.basis)
    return measured and RuleBasis.CALIBRATED not in bases


def _follows(base: Base, component: Component, grade: int) -> bool:
    rule = base.context.rules[component]
    borderline = base.context.finding.evidence_for(component).borderline
    return grade in following_grades(rule, base.context.measured[rule.measurement], borderline)


def grade_off_by_one(base: Base) -> Iterator[object]:
    """A grade next to the one that MOAKS gives to the cited measurement, said alike everywhere."""
    for key in base.grades:
        component = Component(key)
        if _is_moaks(base, component):
            for other in _neighbours(base, key):
                moved = _everywhere(base, key, other, None)
                if moved is not None and not _follows(base, component, other):
                    yield moved


def grade_with_false_interval(base: Base) -> Iterator[object]:
    """The same with the interval of the wrong grade named beside the value: false arithmetic."""
    for key, grade in base.grades.items():
        rule = base.context.rules.get(Component(key))
        if rule is None or rule.measurement not in base.context.measured:
            continue
        right = next(i for i in rule.intervals if i.grade == grade)
        m = base.context.measured[rule.measurement]
        text = base.text("apply_scale")
        for other in _neighbours(base, key):
            wrong = next(i for i in rule.intervals if i.grade == other)
            named = phrases.interval_text(right, rule.unit)
            if named in text and not (wrong.holds(m.value) or wrong.holds(float(m.shown))):
                name = "grade" if key == "grade" else f"{key} grade"
                changed = text.replace(named, phrases.interval_text(wrong, rule.unit), 1)
                moved = _everywhere(
                    base, key, other, changed.replace(f"{name} {grade}", f"{name} {other}", 1)
                )
                if moved is not None:
                    yield moved


def count_changed(base: Base) -> Iterator[object]:
    """Another number of lesions than was counted."""
    m = base.context.measured.get(MeasurementName.BML_COUNT.value)
    if m is None or base.feature is not Feature.BML:
        return
    for step in ("measure", "apply_scale"):
        text = base.text(step)
        before = r"(?:(?<=lesions is )|(?<=count is )|^|(?<=\. ))"
        pattern = rf"{before}{m.shown}\b(?=[,.]| and| gives| means| is)"
        for match in re.finditer(pattern, text):
            for other in {int(m.shown) + 1, int(m.shown) + 2, max(int(m.shown) - 1, 0)}:
                if other != int(m.shown):
                    yield with_text(
                        base, step, f"{text[: match.start()]}{other}{text[match.end() :]}"
                    )
