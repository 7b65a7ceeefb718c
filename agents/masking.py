"""What a judge is shown of a draft: quoted, without orders, and for the re-answer without grades.

Pure and versioned. `mask_steps` gives the first three steps with every grade, grade word and
cut-off masked; measured values, standard deviations, counts and places stay. Numbers are kept by a
list of what may stay, not by one of what must go: a number that is no measurement is masked,
whatever it stands for. `quote_steps` gives all five with nothing masked. Both take out sentences
that speak to a reader, and every character with which a text could close its own quotation.
"""

import re
from functools import lru_cache

from agents.checks.box import slice_spans
from agents.checks.context import CheckContext, fold
from agents.checks.grade_mentions import find_grade_mentions
from agents.checks.numbers import is_box_list, is_measured
from agents.checks.numerals import WORD_VALUES, find_lists, find_numerals, spell_digits
from agents.checks.terms import SIZE_WORDS
from agents.injections import speaks_to_reader, split_sentences
from knee.answers import Draft, Step, StepName
from knee.findings import MeasurementName
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from knee.records import Record
from prompts.judging import QuotedStep
from prompts.neutral import neutralise

MASKING_VERSION = 1
"""A change of what is masked or taken out raises it."""
MASK = "[masked]"
"""Stands for a grade, a grade word or a number that is no measurement."""
REMOVED = "[a sentence was taken out]"
"""Stands for a sentence that spoke to the reader."""
SHOWN_STEPS = (StepName.LOCATE, StepName.OBSERVE, StepName.MEASURE)
"""The steps that the blind re-answer sees."""
_LIMIT = 1500
"""Characters of a quoted step: what 600 can become by spelling out."""
_MOAKS_WORDS = ("none", "small", "medium", "large", "mild", "moderate", "severe")
_RANK = (
    r"grad(?:e|es|ed|ing)|scor(?:e|es|ed|ing)|categor(?:y|ies)|class|level|stage|rank|rating|moaks"
)
_RANKED = re.compile(
    rf"\b(?:{_RANK})\b(?:\s+(?:is|of|as|at|a|an|the|to|number|component))*\s*[=:(-]*\s*"
    rf"(?P<value>{'|'.join(WORD_VALUES)}|i{{1,3}}|iv|v)\b"
    rf"|\b(?P<ordinal>first|second|third|fourth|lowest|highest|middle|top|bottom|next|maximum|minimum)\s+(?:{_RANK})\b"
)
_NUMBER_WORD = re.compile(
    rf"\b(?P<word>{'|'.join(w for w in WORD_VALUES if w not in ('one', 'single'))}"
    r"|one(?=\s*(?:[.,;:!?)]|$)))\b"
    r"(?P<counted>(?:\s+[a-z-]+){0,2}?\s+(?:lesions?|bmls?|foci|focus))?"
    r"(?P<place>(?:\s+[a-z-]+){0,2}?\s+(?:planes?|slices?|views?|images?|parts?|areas?|sites?|margins?"
    r"|surfaces?|horns?|spines?|standard|sds?))?"
)
"""A number in words, with what it counts where that is a lesion or a place; within a clause `one`
is a pronoun."""
_COMPONENT_WORD = re.compile(
    rf"\b(?P<name>size|number|depth|thickness|morphology|presence)\s+(?:loss\s+)?"
    rf"(?P<value>{'|'.join(WORD_VALUES)})\b"
)
_LESS, _MORE = re.compile(r"\s*(?:<=|≤)\s*(?=[\d\[])"), re.compile(r"\s*(?:>=|≥)\s*(?=[\d\[])")
_BELOW, _ABOVE = re.compile(r"\s*<\s*(?=[\d\[])"), re.compile(r"\s*>\s*(?=[\d\[])")


class QuotedDraft(Record):
    """A draft as a judge may see it."""

    steps: tuple[QuotedStep, ...]
    """In the order written."""
    n_masked: int
    """Grades, grade words and numbers that were masked."""
    injections: tuple[str, ...]
    """Sentences that were taken out, as the draft had them."""


def mask_steps(draft: Draft, context: CheckContext) -> QuotedDraft:
    """Returns the first three steps in lower case, grades and cut-offs masked.

    Args:
        draft: a draft that passed the checks.
        context: what it was held against; says which numbers are measured.
    """
    steps: list[QuotedStep] = []
    injections: list[str] = []
    n_masked = 0
    for step in draft.steps:
        if step.name not in SHOWN_STEPS:
            continue
        text, removed = _without_injections(step.text)
        masked = mask_text(text, step.name, context)
        n_masked += masked.count(MASK)
        injections += removed
        steps.append(QuotedStep(name=step.name.value, text=_quoted(masked)))
    return QuotedDraft(steps=tuple(steps), n_masked=n_masked, injections=tuple(injections))


def quote_steps(draft: Draft) -> QuotedDraft:
    """Returns all steps as written, without sentences that speak to the reader."""
    steps: list[QuotedStep] = []
    injections: list[str] = []
    for step in draft.steps:
        text, removed = _without_injections(step.text)
        injections += removed
        steps.append(QuotedStep(name=step.name.value, text=_quoted(_spell_comparisons(text))))
    return QuotedDraft(steps=tuple(steps), n_masked=0, injections=tuple(injections))


def find_injections(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Returns the sentences of a draft that speak to the reader, in order."""
    return tuple(s for step in steps for s in split_sentences(step.text) if speaks_to_reader(s))


def mask_text(text: str, step: StepName, context: CheckContext) -> str:
    """Returns one step's text in lower case with grades, grade words and cut-offs masked."""
    plain = spell_digits(fold(text))
    plain = _mask_mentions(plain, context)
    plain = _RANKED.sub(_mask_rank, plain)
    plain = _COMPONENT_WORD.sub(_mask_rank, plain)
    plain = _NUMBER_WORD.sub(lambda match: _mask_number_word(match, context), plain)
    plain = _grade_words(context.question.question_id, context.asked).sub(MASK, plain)
    return _spell_comparisons(_mask_numbers(plain, step, context))


def _mask_mentions(text: str, context: CheckContext) -> str:
    # Component keys are read as words, as the checks do; one character for another.
    readable = re.sub(r"(?<=[a-z0-9])_(?=[a-z0-9])", " ", _hide_ids(text))
    for mention in reversed(find_grade_mentions(readable, context.asked)):
        text = f"{text[: mention.start]}{MASK}{text[mention.end :]}"
    return text


def _hide_ids(text: str) -> str:
    return _IDS.sub(lambda match: "·" * len(match[0]), text)


_IDS = re.compile("|".join(sorted((n.value for n in MeasurementName), key=len, reverse=True)))


def _mask_number_word(match: re.Match[str], context: CheckContext) -> str:
    counted = context.measured.get(MeasurementName.BML_COUNT.value)
    is_count = counted is not None and WORD_VALUES[match["word"]] == float(counted.shown)
    is_place = match["place"] is not None and match["counted"] is None
    if (match["counted"] is not None and is_count) or is_place:
        return match[0]
    if match["word"] == "one" and is_count:
        return match[0]
    return MASK + match[0][len(match["word"]) :]


def _mask_rank(match: re.Match[str]) -> str:
    group = "value" if match["value"] is not None else "ordinal"
    start, end = match.start(group) - match.start(), match.end(group) - match.start()
    return f"{match[0][:start]}{MASK}{match[0][end:]}"


@lru_cache(maxsize=512)
def _grade_words(question_id: int, asked: tuple[Component, ...]) -> re.Pattern[str]:
    """MOAKS' grade words of a question: those that its scale is written in, and `none`."""
    question = QUESTIONS[question_id]
    wording = " ".join(w for c in asked for w in question.scale(c).wording.values()).lower()
    words = {word for word in _MOAKS_WORDS if re.search(rf"\b{word}\b", wording)}
    words |= {"none", *SIZE_WORDS.get(Feature(question.feature), {})}
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})(?:-sized|ly)?\b")


def _mask_numbers(text: str, step: StepName, context: CheckContext) -> str:
    """Masks every number that is no measurement, no standard deviation and no place."""
    slices = slice_spans(text)
    spans: list[tuple[int, int]] = []
    for run in find_lists(text):
        in_slices = any(low <= run.start < high for low, high in slices)
        if not (in_slices or is_box_list(run.values, step, context)):
            spans.append((run.start, run.end))
    for numeral in find_numerals(text):
        if any(low <= numeral.start < high for low, high in slices):
            continue
        if not is_measured(numeral, step, text, context):
            spans.append((numeral.start, numeral.end))
    for start, end in sorted(spans, reverse=True):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def _without_injections(text: str) -> tuple[str, list[str]]:
    kept: list[str] = []
    removed: list[str] = []
    for sentence in split_sentences(text):
        if speaks_to_reader(sentence):
            removed.append(sentence)
            if kept[-1:] != [REMOVED]:
                kept.append(REMOVED)
        else:
            kept.append(sentence)
    return " ".join(kept), removed


def _spell_comparisons(text: str) -> str:
    """Writes `<` and its kin before a number in words: the quotation marks are angle brackets."""
    for pattern, words in (
        (_LESS, " at most "),
        (_MORE, " at least "),
        (_BELOW, " less than "),
        (_ABOVE, " more than "),
    ):
        text = pattern.sub(words, text)
    return text


def _quoted(text: str) -> str:
    return neutralise(text, _LIMIT)
