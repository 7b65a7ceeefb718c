"""A screened expression finds what the bare one finds."""

import random
import re

import pytest

from agents.checks import (
    comparisons,
    consistency,
    copying,
    feature,
    fractions,
    grade_mentions,
    labels,
    laterality,
    numbers,
    terms,
)
from agents.checks.screening import ScreenedPattern, needed_literals
from tests.mutation_bases import grammar_bases, hand_bases

MODULES = (
    comparisons,
    consistency,
    copying,
    feature,
    fractions,
    grade_mentions,
    labels,
    laterality,
    numbers,
    terms,
)


def screened() -> list[ScreenedPattern]:
    """Returns every screened expression of the checks."""
    found: list[ScreenedPattern] = []
    for module in MODULES:
        for value in vars(module).values():
            entries = value.values() if isinstance(value, dict) else (value,)
            found += [entry for entry in entries if isinstance(entry, ScreenedPattern)]
    return found


@pytest.mark.parametrize(
    ("source", "literals"),
    [
        (r"\bleft\b|right", {"left", "right"}),
        (r"colou?r", {"color", "colour"}),
        (r"(?:no|not) (?:a )?tear\w*", {"no tear", "not tear", "no a tear", "not a tear"}),
        (r"a+bcd", {"bcd"}),
        (r"(?:tear)?", set()),
        (r"tear|\d", set()),
        (r"(?<=not )torn(?! off)", {"torn"}),
        (r"x{2,3}yes", {"yes"}),
        (r"(?i:TEAR)", set()),
        (r"[ab]cd", {"acd", "bcd"}),
        (r"[^a]b", {"b"}),
        (r"(tear) \1", {"tear "}),
    ],
)
def test_literals_follow_from_the_expression(source: str, literals: set[str]):
    assert set(needed_literals(source)) == literals


def test_every_match_of_every_expression_survives_the_screening():
    """On words of drafts thrown together, each literal thrown in among them."""
    rng = random.Random(4)
    texts = [
        step["text"].lower()
        for base in (*grammar_bases(20, 8), *hand_bases())
        for name, step in base.answer.items()
        if name != "grades"
    ]
    words = sorted({word for text in texts for word in re.findall(r"[\w%.,]+", text)})
    patterns = screened()
    literals = sorted({literal for pattern in patterns for literal in pattern.literals})
    n_matches = 0
    for pattern in patterns:
        own = pattern.literals or literals
        for _ in range(60):
            mixed = rng.choices(words, k=6) + rng.choices(own, k=2) + rng.choices(literals, k=2)
            rng.shuffle(mixed)
            text = rng.choice((" ", " ", "-")).join(mixed)
            bare = [match.span() for match in pattern.pattern.finditer(text)]
            assert [match.span() for match in pattern.finditer(text)] == bare
            n_matches += len(bare)
        assert pattern.may_match("") is (not pattern.literals)
    assert n_matches > 500
    assert sum(bool(pattern.literals) for pattern in patterns) > 50
