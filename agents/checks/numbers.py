"""Every number of a draft is a measurement as shown, a cut-off, a grade, a count or an index.

Nothing is computed by a drafter: a number that was not shown has no source (RULES, "nothing is
made up"). What a slice number may be is `box.py`'s business; those are passed over here.
"""

import re
from collections.abc import Sequence

from agents.checks.box import slice_spans
from agents.checks.context import CheckContext, Material, StepProse, issue, quote
from agents.checks.numerals import (
    FOREIGN,
    WORD_VALUES,
    Numeral,
    find_lists,
    find_numerals,
)
from agents.checks.screening import ScreenedPattern
from knee.answers import StepName
from knee.findings import Measurement, Unit
from knee.records import CheckIssue

_ENDS = re.compile(r"\d|[.;!?](?:\s|$)")
_WORDS = re.compile(r"[a-z0-9_]+")
_SCALE_STEPS = frozenset({StepName.APPLY_SCALE, StepName.CONCLUDE})
_REACH = 90
"""Characters before a number that are looked at."""
_DIGIT = re.compile(r"\d")
_SD_BEFORE = ScreenedPattern(
    r"(?:\bsd|standard deviation|±|plus or minus|uncertainty|give or take)"
    r"(?:\s+(?:is|of|about))?\s*[=:,]?\s*$"
)
_SD_AFTER = re.compile(r"\s*(?:sd\b|standard deviation\b)")
_COMPARED = re.compile(
    r"(?:\b(?:above|below|over|under|than|least|most|exceed(?:s|ing)?|reach(?:es|ing)?|between"
    r"|within|from|beyond|up to|short of)|[<>≤≥]=?|between [^.;]{1,20} and"
    r"|\d\s*(?:%|mm|ml)?\s*(?:to|-)"
    r"|(?:cut-?offs?|thresholds?|limits?|edges?|bounds?)(?:\s+(?:of|at|is|are|and|,))?)"
    r"\s*(?:the\s+)?$"
)
_CUT_AFTER = re.compile(
    r"\s*(?:(?:cut-?off|threshold|limit|edge|bound|or more|band|range|interval)"
    r"|(?:%|mm|ml)?\s*(?:to|-)\s*(?:(?:less|more) than\s+)?\d)"
)
_GRADE_BEFORE = re.compile(
    r"(?:grades?|graded|size|number|thickness|depth|bml|morphology|presence|location|tear|cyst"
    r"|repair|abnormality|score[ds]?)(?:\s+(?:is|are|of|as|at|grade|loss))*\s*[=:]?\s*$"
    r"|grades?\s+\d\s*(?:,|and|/|or|to|-)\s*$"
)
_JUST_GRADE = ScreenedPattern(r"\b(?:grade[sd]?|score[sd]?)\s+(?:as\s+)?$")
_LESION_COUNT = ScreenedPattern(
    rf"\b(\d+|{'|'.join(WORD_VALUES)})\s+(?!or\b|of\b)(?:[a-z\-]+\s+){{0,2}}?"
    r"(?:lesions?|bmls?|foci|focus)\b"
)
_COUNT_IS_CUT = re.compile(r"(?:at least|more than|fewer than|less than|or more)\s*$")


def check_numbers(material: Material) -> list[CheckIssue]:
    """Returns an issue for each number without a source."""
    found: list[CheckIssue] = []
    for step in material.steps:
        text = step.spelled
        if _DIGIT.search(text) is None:
            found += _lesion_counts(step, text, material.context)
            continue
        found += _lists(step, text, material.context)
        found += _lesion_counts(step, text, material.context)
        skipped = slice_spans(text)
        for numeral in find_numerals(text):
            if not any(low <= numeral.start < high for low, high in skipped):
                found += _judge(numeral, step, text, material.context)
    return found


def shows(numeral: Numeral, shown: str) -> bool:
    """Returns whether a number is what was shown, trailing zeros aside."""
    return numeral.value == float(shown)


def is_shown_value(numeral: Numeral, context: CheckContext) -> bool:
    """Returns whether a number with unit is a measurement's value, as shown or soundly rounded."""
    for measurement, unit, value in context.shown:
        if unit == numeral.unit and (
            numeral.value == value or _is_value(numeral, measurement, context)
        ):
            return True
    return False


def _just_before(text: str, numeral: Numeral) -> str:
    """The words that may tie a number: patterns that end at it look no further back."""
    return text[max(0, numeral.start - _REACH) : numeral.start]


def is_claimed(numeral: Numeral, text: str) -> bool:
    """Returns whether a number stands as a value of its own, not as one that is compared with."""
    before = _just_before(text, numeral)
    return _COMPARED.search(before) is None and _SD_BEFORE.search(before) is None


def names_grade(numeral: Numeral, text: str) -> bool:
    """Returns whether a number is a grade: in "grade 2 and 5 mm" the unit is the next number's."""
    is_bare = text[numeral.end - 1].isdigit()
    return is_bare and _JUST_GRADE.search(_just_before(text, numeral)) is not None


def is_measured(numeral: Numeral, step: StepName, text: str, context: CheckContext) -> bool:
    """Returns whether a number is measured or a place in the box, and no grade or cut-off.

    Stricter than the check: a measured value that is compared with a cut-off of its own size
    ("above 10 %") is taken for the cut-off.

    Args:
        numeral: a number of `text` outside slice numbers and lists.
        step: the step that the text is of.
        text: folded (`context.fold`) and spelled (`spell_digits`).
        context: the finding.
    """
    before = text[: numeral.start]
    if _SD_BEFORE.search(before):
        return _is_sd(numeral, context)
    if numeral.value in _edges(context, numeral.unit) and (
        _COMPARED.search(before) or _CUT_AFTER.match(text, numeral.end)
    ):
        return False
    if numeral.unit is None:
        return _is_count_or_place(numeral, step, context)
    return is_shown_value(numeral, context)


def _is_count_or_place(numeral: Numeral, step: StepName, context: CheckContext) -> bool:
    if step is StepName.LOCATE and numeral.is_whole and numeral.value in _box_numbers(context):
        return True
    return any(
        m.unit in (Unit.COUNT, Unit.RATIO) and shows(numeral, m.shown)
        for m in context.finding.measurements
    )


def is_box_list(values: Sequence[int], step: StepName, context: CheckContext) -> bool:
    """Returns whether a run of whole numbers in a step names the box, in whole or in part."""
    box = context.finding.box
    if box is None or step is not StepName.LOCATE:
        return False
    return tuple(values) == box.indices or set(values) <= _box_numbers(context)


def _judge(numeral: Numeral, step: StepProse, text: str, context: CheckContext) -> list[CheckIssue]:
    code = _problem(numeral, step.name, text, context)
    if code is None:
        return []
    words = quote(text[max(0, numeral.start - 20) : numeral.end + 12])
    reason = {
        "number_not_in_findings": "is neither a measurement as shown nor a cut-off",
        "unit_mismatch": "has another unit than the measurement",
        "number_without_unit": "has no unit",
        "number_unexplained": "is no grade, count, cut-off or slice",
        "number_of_other_measurement": "is not the value shown for that measurement",
        "sd_not_in_findings": "is not the standard deviation shown",
    }[code]
    return [issue("numbers", code, f"{step.name.value}: the number in {words} {reason}")]


def _problem(numeral: Numeral, step: StepName, text: str, context: CheckContext) -> str | None:
    before = _just_before(text, numeral)
    if _SD_BEFORE.search(before) or _SD_AFTER.match(text, numeral.end):
        return None if _is_sd(numeral, context) else "sd_not_in_findings"
    if numeral.unit is None and _GRADE_BEFORE.search(before) and _is_grade(numeral, context):
        return None
    if names_grade(numeral, text) and _is_grade(numeral, context):
        return None
    is_cut = _is_cut(numeral, step, text, context)
    named = _named_before(before, context)
    if named is not None and not is_cut:
        return _problem_of_named(numeral, named)
    if numeral.unit is None:
        return _problem_without_unit(numeral, step, context)
    if is_cut or is_shown_value(numeral, context):
        return None
    same = any(numeral.value == value for _, _, value in context.shown)
    return "unit_mismatch" if same or numeral.unit == FOREIGN else "number_not_in_findings"


def _problem_of_named(numeral: Numeral, measurement: Measurement) -> str | None:
    """Judges the number that follows a measurement's id: exactly what was shown, with its unit."""
    if not shows(numeral, measurement.shown):
        return "number_of_other_measurement"
    if numeral.unit is None:
        unitless = measurement.unit in (Unit.COUNT, Unit.RATIO)
        return None if unitless else "number_without_unit"
    return None if numeral.unit == measurement.unit.value else "unit_mismatch"


def _problem_without_unit(numeral: Numeral, step: StepName, context: CheckContext) -> str | None:
    measurements = context.finding.measurements
    # "0.0" is no way to write a count: a share that lost its unit must not pass as one.
    if any(
        (m.unit is Unit.RATIO or (m.unit is Unit.COUNT and numeral.is_whole))
        and shows(numeral, m.shown)
        for m in measurements
    ):
        return None
    if not numeral.is_whole or numeral.value < 0:
        return "number_without_unit"
    if context.images is not None:
        return None  # A count of what is seen: with images only units tie a number to findings.
    value = int(numeral.value)
    if step is StepName.LOCATE and value in _box_numbers(context):
        return None
    legal = _is_grade(numeral, context) or value in _edges(context, None)
    if step in _SCALE_STEPS and legal:
        return None
    return "number_unexplained"


def _is_grade(numeral: Numeral, context: CheckContext) -> bool:
    return numeral.is_whole and any(
        numeral.value in context.question.scale(c).grades for c in context.asked
    )


def _is_value(numeral: Numeral, measurement: Measurement, context: CheckContext) -> bool:
    """Whether a number is a measurement's value, as shown or rounded within the same grade."""
    shown = measurement.shown
    if shows(numeral, shown):
        return True
    decimals = len(shown.partition(".")[2])
    if numeral.decimals >= decimals or numeral.value <= 0:
        return False
    if numeral.value != round(float(shown), numeral.decimals):
        return False
    rules = [r for r in context.rules.values() if r.measurement == measurement.name.value]
    return all(rule.grade(numeral.value) == rule.grade(measurement.value) for rule in rules)


def _is_sd(numeral: Numeral, context: CheckContext) -> bool:
    return any(
        m.shown_sd is not None
        and shows(numeral, m.shown_sd)
        and numeral.unit in (None, m.unit.value)
        for m in context.finding.measurements
    )


def _is_cut(numeral: Numeral, step: StepName, text: str, context: CheckContext) -> bool:
    """Whether a number with unit is a cut-off where one may be named.

    Outside `apply_scale` and `conclude` it must be compared with, or else a changed measurement
    that happens to equal a cut-off would pass.
    """
    if numeral.unit is None or numeral.value not in _edges(context, numeral.unit):
        return False
    before = _just_before(text, numeral)
    if _COMPARED.search(before) or _CUT_AFTER.match(text, numeral.end):
        return True
    return step in _SCALE_STEPS and _named_before(before, context) is None


def _edges(context: CheckContext, unit: str | None) -> frozenset[float]:
    return context.edges.get(unit, frozenset())


def _named_before(before: str, context: CheckContext) -> Measurement | None:
    """Returns the measurement whose id stands shortly before, without a number or stop between."""
    tail = _ENDS.split(before[-80:])[-1]
    names = [word for word in _WORDS.findall(tail) if word in context.measured]
    return context.measured[names[-1]] if names else None


def _box_numbers(context: CheckContext) -> set[int]:
    if context.finding.box is None:
        return set()
    box = context.finding.box.indices
    return set(box) | {box[n] - 1 for n in (1, 3, 5)}


def _lists(step: StepProse, text: str, context: CheckContext) -> list[CheckIssue]:
    box = None if context.finding.box is None else context.finding.box.indices
    allowed = set() if box is None else _box_numbers(context)
    slices = slice_spans(text)
    for run in find_lists(text):
        in_slices = any(low <= run.start < high for low, high in slices)
        if in_slices or _GRADE_BEFORE.search(text[: run.start]):
            continue
        wrong = run.values != box if len(run.values) == 6 else not set(run.values) <= allowed
        if wrong:
            message = f"{step.name.value}: the numbers {quote(text[run.start : run.end])}"
            return [issue("box", "box_text_mismatch", f"{message} are not the box's")]
    return []


def _lesion_counts(step: StepProse, text: str, context: CheckContext) -> list[CheckIssue]:
    counted = context.measured.get("bml_count")
    if counted is None:
        return []
    for match in _LESION_COUNT.finditer(text):
        if _COUNT_IS_CUT.search(text[: match.start()]):
            continue
        value = WORD_VALUES.get(match[1]) if not match[1].isdecimal() else int(match[1])
        if value != int(float(counted.shown)):
            message = f"{step.name.value}: {quote(match[0])} is not the number of lesions shown"
            return [issue("numbers", "count_mismatch", message)]
    return []
