"""The texts of all questions in a run's wording, by every choice of components."""

from collections.abc import Iterator
from itertools import combinations

from knee.questions import QUESTIONS
from knee.records import Wording
from prompts.question_text import question_text
from store.question_rows import QuestionWords


def question_words_of(wording: Wording) -> Iterator[QuestionWords]:
    """Yields the text of each question for every components that a run may ask of it."""
    for question in QUESTIONS.values():
        for n in range(1, len(question.components) + 1):
            for chosen in combinations(question.components, n):
                yield QuestionWords(
                    question.question_id,
                    tuple(component.value for component in chosen),
                    question_text(question.question_id, wording, chosen),
                )
