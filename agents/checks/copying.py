"""No instructions of the prompt in the draft, and no sign of a known label."""

import re
from functools import lru_cache

from agents.checks.context import Material, fold, issue, quote
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import CheckIssue

WINDOW_WORDS = 14
"""A run this long of the prompt's own words is copied, scale wording and findings aside."""
_STRIDE = 2
_WORD = re.compile(r"[^\W]+")
_LEAK = re.compile(
    r"(?:clinician|radiologist|reader|expert|annotator|rater)s?'?s?\s+(?:grades?|graded|scores?|scored|reads?"
    r"|label|assessment|reading|opinion|says|gave)"
    r"|(?:graded|scored|read|assigned|labelled|labeled|given)\s+by\s+(?:the\s+|an?\s+)?"
    r"(?:clinician|radiologist|reader|expert|annotator|rater)"
    r"|according to (?:the |a )?(?:reference|label|clinician|reader|radiologist|answer|expert"
    r"|ground|annotation|table)"
    r"|ground[- ]truth|gold standard|reference (?:grade|standard|label|read|answer|score)"
    r"|(?:correct|expected|true|target|known|official|actual|right) (?:grade|answer|label|score)"
    r"|answer key|rule[- ]based grade|\blabell?ed (?:as )?grade|the label (?:is|says)"
    r"|as an ai\b|language model|(?:the|this|my) (?:prompt|instructions?)\b"
    r"|previous (?:answer|attempt|draft)"
    r"|moaks (?:table|read)\b"
)


def check_prompt_copy(material: Material) -> list[CheckIssue]:
    """Returns an issue when a step holds a long run of the prompt's own words.

    The wording of the grades and the lines of measurements may be repeated: they are what a draft
    is meant to cite.
    """
    context = material.context
    if not context.prompt_text:
        return []
    haystack = _haystack(context.prompt_text, tuple(context.measured))
    allowed_words = _allowed(context.question.question_id, context.asked)
    for step in material.steps:
        text = step.text
        for allowed in allowed_words:
            text = text.replace(allowed, " \n ")
        for line in text.split("\n"):
            words = _WORD.findall(line)
            copied = _copied_run(words, haystack)
            if copied is not None:
                message = f"{step.name.value}: {quote(copied)} is copied from the prompt"
                return [issue("prompt_copy", "prompt_copied", f"{message}; use your own words")]
    return []


def check_leak(material: Material) -> list[CheckIssue]:
    """Returns an issue for each step that speaks of a label, a reader's grade or the prompt."""
    found: list[CheckIssue] = []
    for step in material.steps:
        match = _LEAK.search(step.prose)
        if match is not None:
            message = f"{step.name.value}: {quote(match[0])}: reason from the findings alone"
            found.append(issue("leak", "label_leak", message))
    return found


@lru_cache(maxsize=256)
def _haystack(prompt_text: str, measured: tuple[str, ...]) -> str:
    """The prompt's words in one run, broken where a line states a measurement."""
    lines = fold(prompt_text).splitlines()
    names = frozenset(measured)
    words = ["|" if _first_word(line) in names else " ".join(_WORD.findall(line)) for line in lines]
    return f" {' '.join(words)} "


def _first_word(line: str) -> str:
    match = _WORD.search(line)
    return "" if match is None else match[0]


@lru_cache(maxsize=512)
def _allowed(question_id: int, asked: tuple[Component, ...]) -> tuple[str, ...]:
    question = QUESTIONS[question_id]
    wordings = [fold(text) for c in asked for text in question.scale(c).wording.values()]
    # One-word wordings ("none") are no run, and taking them out would break runs that are copied.
    phrases = {text for text in wordings if " " in text}
    return tuple(sorted(phrases, key=len, reverse=True))


def _copied_run(words: list[str], haystack: str) -> str | None:
    last = len(words) - WINDOW_WORDS
    for n in sorted({*range(0, last + 1, _STRIDE), max(last, 0)}) if last >= 0 else ():
        window = " ".join(words[n : n + WINDOW_WORDS])
        if f" {window} " in haystack:
            return window
    return None
