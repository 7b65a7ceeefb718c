"""What a text says of a value and a cut-off is true, and the value is the measured one.

A sentence such as "3.4 mm is 5 mm or more, hence grade 3" is false whatever the scale says, and in
"5 mm lies in the range 3 to less than 5 mm" a cut-off stands where the measurement should. Read are
a number, the words that tie it to a comparison (`_TIE`), and the comparison; everything else is
left alone. A comparison holds when it holds of the value as shown or as measured before rounding.
"""

import re
from dataclasses import dataclass

from agents.checks.context import CheckContext, Material, StepProse, issue, quote
from agents.checks.numbers import is_claimed, is_shown_value, names_grade
from agents.checks.numerals import Numeral, find_numerals
from agents.checks.screening import ScreenedPattern
from knee.answers import StepName
from knee.moaks import Component
from knee.records import CheckIssue

_WORDS = (
    r"which|that|it|value|is|are|lies|lie|falls|fall|sits|stays|remains|comes|being|measured|thus"
    r"|therefore|hence|so|still|only|just|well|clearly|far|safely|comfortably|slightly|somewhat"
    r"|in|into|inside|within|from|between|the|a|of|range|interval|band"
)
_TIE = re.compile(
    rf"(?:\s*\((?:sd|±)[^)]*\))?(?:,\s+(?=(?:which|that|thus|hence|so)\b)|\s*)"
    rf"(?:(?:{_WORDS})\s+)*"
)
_N = r"(\d+(?:\.\d+)?)"
_UNIT = r"(?:\s?(?:%|percent|per cent|mm3|mm2|mm|millimet(?:er|re)s?|ml|millilit(?:er|re)s?))?"
_BELOW = r"(?:less|smaller|lower|fewer) than|below|under|short of|<"
_ABOVE = r"(?:more|greater|larger|higher) than|above|over|beyond|past|exceed(?:s|ing)|>"
_THE = r"\s*(?:the\s+)?"
_COMPARISON = re.compile(
    rf"(?P<least>(?:at least|no less than|≥|>=){_THE}{_N}{_UNIT})"
    rf"|(?P<most>(?:at most|no more than|not more than|up to|≤|<=){_THE}{_N}{_UNIT})"
    rf"|(?P<below>(?:{_BELOW}){_THE}{_N}{_UNIT})"
    rf"|(?P<above>(?:{_ABOVE}){_THE}{_N}{_UNIT})"
    rf"|(?P<span>{_N}{_UNIT}\s*(?:to|-|and)\s*(?:(?:less than|below|under)\s+)?{_N}{_UNIT})"
    rf"|(?P<more>{_N}{_UNIT}\s+(?:or|and) (?:more|above|over))"
    rf"|(?P<less>{_N}{_UNIT}\s+or less)"
)
_OPEN_END = re.compile(r"less than|below|under")
_STOP = re.compile(r"[.;:]\s")
_AND = re.compile(r",?\s*(?:and|but|yet)\s+(?:still\s+|is\s+|also\s+)*")
_GRADE = re.compile(
    r"\s*(?:gives|means|equals|is|makes|yields|,\s*which (?:gives|is|means)|,\s*(?:hence|so)|:)\s+"
    r"(?:[a-z_%]+[ -]){0,2}?grade \d"
    r"|\s+(?:is|lies|falls|sits)\s+(?:within (?:one|1) (?:standard deviation|sd)|borderline)"
    r"|\s+(?:is|lies|falls|sits|stays)\s+(?:in|within|inside) (?:the|that|this) (?:interval"
    r"|range|band|bracket)"
    r"|\s+(?:surpasses|exceeds|belongs|sits|fits|meets|satisfies|is covered)\b"
)
_AS_VALUE = re.compile(
    r"(?:\b(?:with|since|as|because|the measured|an?|a (?:value|share|volume|protrusion|loss"
    r"|depth) of))\s+$"
)
_AS_LIMIT = re.compile(
    r"\s+(?:as|being|is (?:the|an?|where|not)|(?:not )?(?:reached|exceeded|passed|attained)"
    r"|forms?|marks?|separat\w+|divid\w+|or|and|to|limit|cut-?off|threshold|mark|edge|bound\w*)\b"
    r"|\s*-"
)
_COUNT = ScreenedPattern(
    r"(?:^|[.;]\s+|,\s+|\band\s+)(?P<count>\d+)(?:\s+(?:lesions?|bmls?))?\s+"
    r"(?:gives|means|is|equals|makes)\s+(?:\d+(?:\s+lesions?)? or more\b|(?:the\s+)?number grade)"
)
_PASSED_OVER = re.compile(r"\b(?:not|never|nor|neither|would|if|when|whether|were)\b")


@dataclass(frozen=True)
class _Compared:
    """One comparison behind a number: the interval that it puts the number into."""

    low: float
    high: float
    open_low: bool
    open_high: bool
    end: int


def check_comparisons(material: Material) -> list[CheckIssue]:
    """Returns an issue for each step that compares falsely, or compares a number of no source."""
    found: list[CheckIssue] = []
    for step in material.steps:
        if step.name is not StepName.LOCATE:
            found += _of_step(step, material.context)
    return found


def _of_step(step: StepProse, context: CheckContext) -> list[CheckIssue]:
    text = step.spelled
    for numeral in find_numerals(text):
        if numeral.unit is None or not is_claimed(numeral, text) or names_grade(numeral, text):
            continue
        code = _problem(numeral, text, context)
        if code is not None:
            words = quote(text[max(0, numeral.start - 8) : numeral.end + 40])
            reason = {
                "false_comparison": "compares falsely",
                "number_not_in_findings": "holds a number that was not measured against the scale",
            }[code]
            return [issue("numbers", code, f"{step.name.value}: {words} {reason}")]
    return _counts(step, text, context)


def _problem(numeral: Numeral, text: str, context: CheckContext) -> str | None:
    tied = _TIE.match(text, numeral.end)
    start = numeral.end if tied is None else tied.end()
    compared = _comparisons(text, start)
    if not (compared or _GRADE.match(text, numeral.end) or _is_value(numeral, text)):
        return None
    if _PASSED_OVER.search(_clause_before(text, numeral.start)):
        return None
    if not is_shown_value(numeral, context):
        # "10 % < 23.4 %": the cut-off stands first and the value behind it.
        shown = {float(m.shown) for m in context.finding.measurements} - context.edges[None]
        if not any(n in shown for c in compared for n in (c.low, c.high)):
            return "number_not_in_findings"
    values = {numeral.value} | {
        m.value
        for m in context.finding.measurements
        if m.unit.value == numeral.unit and float(m.shown) == numeral.value
    }
    true = all(any(_holds(value, c) for value in values) for c in compared)
    return None if true else "false_comparison"


def _is_value(numeral: Numeral, text: str) -> bool:
    """Whether a number is brought in as the value: "with 3.4 mm the second limit is passed"."""
    brought_in = _AS_VALUE.search(text[max(0, numeral.start - 40) : numeral.start])
    return brought_in is not None and _AS_LIMIT.match(text, numeral.end) is None


def _clause_before(text: str, end: int) -> str:
    return _STOP.split(text[max(0, end - 60) : end])[-1]


def _comparisons(text: str, start: int) -> list[_Compared]:
    """Returns the comparisons from `start` on, chained by `and` or `but`."""
    found: list[_Compared] = []
    match = _COMPARISON.match(text, start)
    while match is not None:
        found.append(_compared(match))
        joint = _AND.match(text, match.end())
        match = None if joint is None else _COMPARISON.match(text, joint.end())
    return found


def _compared(match: re.Match[str]) -> _Compared:
    kind = str(match.lastgroup)
    numbers = [float(n) for n in re.findall(r"(?<![a-z\d.])\d+(?:\.\d+)?", match[0])]
    low, high = numbers[0], numbers[-1]
    if kind in ("least", "above", "more"):
        return _Compared(low, float("inf"), kind == "above", False, match.end())
    if kind in ("most", "below", "less"):
        return _Compared(float("-inf"), high, False, kind == "below", match.end())
    return _Compared(low, high, False, _OPEN_END.search(match[0]) is not None, match.end())


def _holds(value: float, compared: _Compared) -> bool:
    above = value > compared.low if compared.open_low else value >= compared.low
    below = value < compared.high if compared.open_high else value <= compared.high
    return above and below


def _counts(step: StepProse, text: str, context: CheckContext) -> list[CheckIssue]:
    """A number of lesions that is held against the scale is the one counted."""
    counted = context.measured.get("bml_count")
    if counted is None or Component.NUMBER not in context.asked:
        return []
    for match in _COUNT.finditer(text):
        if int(match["count"]) != int(float(counted.shown)):
            words = quote(match[0])
            message = f"{step.name.value}: {words} does not start from the number of lesions shown"
            return [issue("numbers", "count_mismatch", message)]
    return []
