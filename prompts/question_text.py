"""The wording of the 69 questions: one template a feature, in two wordings.

`ask` says what is to be assessed; `look` (guided wording only) how it looks and where it is
measured; the scales of the components follow. The texts are our own; docs/prompts.md lists what
was put right against the released ones.
"""

from functools import lru_cache
from pathlib import Path

from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Wording
from prompts.environment import compile_text, render_block

QUESTION_FOLDER = Path(__file__).parent / "templates" / "question"
"""`<feature>.jinja2` with the blocks `ask` and `look`, and `scale.jinja2`."""


@lru_cache(maxsize=1024)
def question_text(question_id: int, wording: Wording, components: tuple[Component, ...]) -> str:
    """Returns a question with the scales of `components`, as one paragraph and one line a scale.

    Args:
        question_id: 1-69.
        wording: guided shows how the feature looks, zero_shot does not.
        components: components whose scales are shown; `question.components` for all.
    """
    question = QUESTIONS[question_id]
    parts = [question_ask(question_id)]
    if wording is Wording.GUIDED:
        parts.append(question_look(question_id))
    scale = compile_text(_source("scale"), "scale")
    values = {"scales": [(c.value, question.scale(c).wording) for c in components]}
    return " ".join(parts) + "\n" + render_block(scale, "scale", values)


@lru_cache(maxsize=128)
def question_ask(question_id: int) -> str:
    """Returns what a question asks, in one sentence that names its region."""
    return _render(question_id, "ask")


@lru_cache(maxsize=128)
def question_look(question_id: int) -> str:
    """Returns how the question's feature looks and where it is measured."""
    return _render(question_id, "look")


def _render(question_id: int, block: str) -> str:
    question = QUESTIONS[question_id]
    values = {
        "region_name": question.region_name,
        "site_name": question.site.replace("_", " "),
        "compartment": question.compartment.value,
        "site": question.site,
    }
    template = compile_text(_source(question.feature.value), question.feature.value)
    return render_block(template, block, values)


@lru_cache(maxsize=32)
def _source(name: str) -> str:
    return (QUESTION_FOLDER / f"{name}.jinja2").read_text(encoding="utf-8")
