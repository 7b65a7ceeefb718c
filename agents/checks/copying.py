"""No instructions of the prompt in the draft, and no sign of a known label."""

import re
from functools import lru_cache

from agents.checks.context import Material, fold, issue, quote, without_sequence
from agents.checks.screening import ScreenedPattern
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import CheckIssue

WINDOW_WORDS = 14
"""A run this long of the prompt's own words is copied, scale wording and findings aside."""
_STRIDE = 2
_WORD = re.compile(r"[^\W]+")
_WHO = r"(?:clinician|radiologist|reader|expert|annotator|rater|observer|grader)s?"
_GRADING = (
    r"(?:grades?|graded|grading|scores?|scored|reads?|label|assessment|reading|opinion|says|gave"
    r"|called)"
)
_LEAK = ScreenedPattern(
    rf"\b{_WHO}(?:'s?)?\s+(?:(?:had|has|have|also|then|consensus|own|original)\s+){{0,2}}{_GRADING}"
    rf"|\b(?:graded|scored|read|assigned|labelled|labeled|given|provided|supplied|called)\s+by\s+(?:the\s+"
    rf"|an?\s+|another\s+|human\s+)?{_WHO}"
    r"|according to (?:the |a )?(?:reference|label(?!\s*map)|clinician|reader|radiologist"
    r"|answer|expert"
    r"|ground|annotation|table)"
    r"|ground[- ]truth|gold standard|reference (?:grade|standard|label|read|answer|score|grading)"
    r"|(?:correct|expected|true|target|known|official|actual|stored|released|recorded|published"
    r"|human|original) (?:grades?|answers?|labels?|scores?|reads?\b|readings?|readers?"
    r"|annotations?)"
    # Apart from the others, for "right" alone stands in most drafts (`screening`).
    r"|right (?:grades?|answers?|labels?|scores?|reads?\b|readings?|readers?|annotations?)"
    r"|answer key|rule[- ]based grade|\blabell?ed (?:as )?grade|the label (?:is"
    r"|says)\b(?! (?:of|a) )"
    r"|as an ai\b|language model|(?:the|this|my) (?:prompt|instructions?|system message|task)\b"
    r"|(?:system|user) (?:message|prompt)|(?:given|stated) in the (?:task|question|prompt)"
    r"|previous (?:answer|attempt|draft)|reading project|(?:grade|score|value) on record"
    r"|annotations? (?:in|of|from|is|are|says?)\b|\bdata ?set\b"
    r"|moaks (?:table|read\b|reader)"
    # Nobody reads, grades or asks in a draft: a person in it comes from what it should not know.
    r"|\b(?:radiologists?|clinicians?|experts?|readers?|doctors?|physicians?|annotators?|raters?|observers?"
    r"|humans?|users?)\b|\bconsensus\b|\b(?:the|ground) truth\b|\bscor(?:ing|e) sheet"
    r"|\bin the table\b"
    r"|\b(?:first|second|earlier|last) attempt\b|\bthe question (?:already )?(?:contains"
    r"|gives|says|states)"
)


def check_prompt_copy(material: Material) -> list[CheckIssue]:
    """Returns an issue when a step holds a long run of the prompt's own words.

    The wording of the grades and the lines of measurements may be repeated: they are what a draft
    is meant to cite.
    """
    context = material.context
    if not context.prompt_text:
        return []
    haystack = _haystack(context.prompt_text, tuple(context.measured), context.sequence)
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
    if not _LEAK.may_match(material.prose):
        return found
    for step in material.steps:
        match = _LEAK.pattern.search(step.prose)
        if match is not None:
            message = f"{step.name.value}: {quote(match[0])}: reason from the findings alone"
            found.append(issue("leak", "label_leak", message))
    return found


@lru_cache(maxsize=256)
def _haystack(prompt_text: str, measured: tuple[str, ...], sequence: str) -> str:
    """The prompt's words in one run, broken where a line states a measurement."""
    names = frozenset(measured)
    # Most lines of a prompt are every item's, and are folded once.
    lines = [_line_words(line, sequence) for line in prompt_text.splitlines()]
    words = ["|" if line.partition(" ")[0] in names else line for line in lines]
    return f" {' '.join(words)} "


@lru_cache(maxsize=2048)
def _line_words(line: str, sequence: str) -> str:
    return " ".join(_WORD.findall(without_sequence(fold(line), sequence)))


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
