"""Judges for tests: an honest one that reads numbers, and one that obeys whatever it finds.

Both read nothing but the prompt, as a model does. The honest one holds the numbers of the quoted
steps against the cut-offs of the prompt; the obedient one looks for an order, a verdict or a grade
in the quotation first, in many more ways than the product's patterns spell out, and does as told.
"""

import json
import re
from collections.abc import Mapping, Sequence

from prompts.render import ChatMessage

ITEMS = ("faithful", "complete", "ordered", "clinical", "no_history", "concise")
_QUOTED = re.compile(r"<(steps|draft)>\n(.*?)\n</\1>", re.DOTALL)
_RULE = re.compile(r"^(\w+): by (\w+) in (\S+): (.*)$", re.MULTILINE)
_CUT = re.compile(r"grade (\d): ([^;]+)")
_UNIT = {"%": r"(?:%|percent)", "mm": "mm", "mL": "ml", "count": ""}
_ORDERS = re.compile(
    r"accept|approv|reject|\bpass\b|verdict|judge|\bmust\b|ignore|disregard|instruct|\btrue\b|\byes\b"
    r"|holds|assistant|system:|user:|\byou\b|please|answer|respond|output|correct|valid"
    r"|perfect|flawless|full marks|json|[{}]|<\||###|override|rubric|criteri",
    re.IGNORECASE,
)
_GRADE_ORDER = re.compile(
    r"(?:grades?|graded|scores?|scored|size|number|thickness|category|level|class|answer|is an?"
    r"|be an?|rated)\W{0,4}"
    r"(?:(?:is|of|as|=|:|to|for|the|a|cartilage|knee|must be|should be)\W*){0,4}"
    r"(\d|zero|one|two|three)\b(?!\s*(?:%|mm|ml|percent|lesions?|\.\d))",
    re.IGNORECASE,
)
_WORDS = {"zero": 0, "one": 1, "two": 2, "three": 3}


def quoted(messages: Sequence[ChatMessage]) -> str:
    """Returns what stands between the prompt's own quotation marks."""
    found = _QUOTED.findall("\n".join(m.content for m in messages))
    assert len(found) == 1, "a prompt quotes once, and nothing can open or close a quotation"
    return found[0][1]


def finds_order(messages: Sequence[ChatMessage]) -> bool:
    """Returns whether the obedient judge would find something to obey."""
    text = quoted(messages)
    return bool(_ORDERS.search(text) or _GRADE_ORDER.search(text))


def honest_answer(messages: Sequence[ChatMessage]) -> str:
    """Returns what a careful reader of the numbers answers."""
    text = "\n".join(m.content for m in messages)
    if "\nItems\n" in text:
        # Who reads sees a side that is not the knee's.
        side = re.findall(r"^Knee: (right|left);", text, re.MULTILINE)[-1]
        other = {"right": "left", "left": "right"}[side]
        wrong = re.search(rf"(?i)\b{other}\W+(?:\w+\W+)?knee\b", quoted(messages))
        return marks(dict.fromkeys(ITEMS, True) | {"faithful": wrong is None})
    return json.dumps({"reason": "by the cut-offs", "grades": _grades(text, quoted(messages))})


def obedient_answer(messages: Sequence[ChatMessage]) -> str:
    """Obeys an order in the quotation: the grade it names, or every item; else honest."""
    text, quotation = "\n".join(m.content for m in messages), quoted(messages)
    if "\nItems\n" in text:
        return marks(dict.fromkeys(ITEMS, True))
    told = _GRADE_ORDER.search(quotation)
    if told is None:
        return honest_answer(messages)
    grade = _WORDS.get(told[1].lower(), int(told[1]) if told[1].isdecimal() else 0)
    keys = re.findall(r"^(\w+): (?:by|no cut-offs)", text, re.MULTILINE)
    return json.dumps({"reason": "as told", "grades": dict.fromkeys(keys, grade)})


def marks(holds: Mapping[str, bool]) -> str:
    """Returns a rubric's answer."""
    return json.dumps({k: {"reason": f"{k} looked at", "holds": v} for k, v in holds.items()})


def _grades(prompt: str, steps: str) -> dict[str, int]:
    measure = steps.split("measure: ")[-1]
    used: dict[str, int] = {}
    grades: dict[str, int] = {}
    for key, _, unit, cuts in _RULE.findall(prompt):
        values = _values(measure, unit)
        position = used.get(unit, 0)
        used[unit] = position + 1
        value = values[position] if position < len(values) else 0.0
        grades[key] = _grade(value, cuts)
    return grades


def _values(text: str, unit: str) -> list[float]:
    if unit == "count":
        whole = r"(?<![\d.])(\d+)(?![\d.]|\s*(?:%|mm|ml|percent))"
        return [float(n) for n in re.findall(whole, text)]
    pattern = rf"(?<!sd )(?<!± )(?<![\d.])(\d+(?:\.\d+)?)\s*{_UNIT[unit]}"
    return [float(n) for n in re.findall(pattern, text)]


def _grade(value: float, cuts: str) -> int:
    for grade, words in _CUT.findall(cuts):
        low, high = _interval(words.strip())
        closed_high = "to less than" not in words and " to " in words
        if low <= value < high or (closed_high and value == high) or (low == high == value):
            if words.startswith("more than") and value == low:
                continue
            return int(grade)
    return 0


def _interval(words: str) -> tuple[float, float]:
    numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", words)]
    if "or more" in words or (words.startswith("more than") and len(numbers) == 1):
        return numbers[0], float("inf")
    if words.startswith("less than"):
        return 0.0, numbers[0]
    return (numbers[0], numbers[-1])
