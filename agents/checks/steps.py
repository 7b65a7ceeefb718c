"""Each step says something, and nothing over and over. Their order is checked while parsing."""

import re
from collections import Counter

from agents.checks.context import Material, issue, quote
from knee.records import CheckIssue

MIN_WORDS = 2
"""Words (numbers included) below which a step says nothing."""
MAX_REPEATS = 2
"""How often one sentence may stand in a draft; a degenerate model repeats without end."""
MIN_REPEATED_WORDS = 4
"""Shorter sentences may recur."""
MIN_LOOP_WORDS = 16
"""A sentence shorter than four runs of four words cannot loop."""
_SAID = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
"""The words of an id count one by one: "signal_ratio: 1.52" says all that there is to say."""
_SENTENCES = re.compile(r"[.;!?](?:\s|$)")
_WORD = re.compile(r"[^\W_]+(?:[._'][^\W_]+)*")


def check_steps(material: Material) -> list[CheckIssue]:
    """Returns an issue for each step that is empty or too short."""
    found: list[CheckIssue] = []
    for step in material.steps:
        n_words = len(_SAID.findall(step.text))
        if n_words == 0:
            found.append(issue("steps", "empty_step", f"{step.name.value} is empty"))
        elif n_words < MIN_WORDS:
            message = f"{step.name.value} is too short: write at least {MIN_WORDS} words"
            found.append(issue("steps", "step_too_short", message))
    return found


def check_length(material: Material) -> list[CheckIssue]:
    """Returns an issue for a sentence, or a run of words, that is there too often."""
    sentences: Counter[str] = Counter()
    for step in material.steps:
        for sentence in _SENTENCES.split(step.text):
            words = _WORD.findall(sentence)
            if len(words) >= MIN_REPEATED_WORDS:
                sentences[" ".join(words)] += 1
            if _loops(words):
                message = f"{step.name.value} repeats itself: {quote(sentence)}"
                return [issue("length", "repetition", message)]
    worst = max(sentences.items(), key=lambda entry: entry[1], default=("", 0))
    if worst[1] > MAX_REPEATS:
        return [issue("length", "repetition", f"this stands {worst[1]} times: {quote(worst[0])}")]
    return []


def _loops(words: list[str]) -> bool:
    """Whether four words recur more than three times within one sentence."""
    if len(words) < MIN_LOOP_WORDS:
        return False
    runs = Counter(tuple(words[n : n + 4]) for n in range(len(words) - 3))
    return max(runs.values(), default=0) > 3
