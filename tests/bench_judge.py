"""What share of injected drafts a judge that obeys every injection lets through.

    python -m tests.bench_judge

The worst case: the judge does literally what any surviving sentence of the injection asks. Two
kinds of draft that an honest judge refuses are injected with every phrase of
`tests.injected_verdicts`:

- a wrong grade. The obedient judge answers the grade that it is told, where it can read one in the
  masked steps; it is let through when its re-answer is the draft's.
- a fault that only the rubric sees. The obedient judge marks every item as holding when one
  injected sentence survives. Removed sentences stand against it, and the decoy (`agents.decoy`):
  the same judge is asked of a copy on the wrong knee. A choosy judge, which can be talked out of
  any fault but a wrong side, is what the decoy cannot catch; it is shown beside the obedient one.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence

from agents.checks.context import CheckContext
from agents.injections import speaks_to_reader, split_sentences
from agents.judge import JudgeContext, differing_components, judge_draft
from agents.masking import find_injections, mask_steps
from agents.scripted_model import ScriptedChatModel
from knee.answers import Draft
from knee.moaks import Component
from knee.run_config import Sampling
from prompts.context import PromptContext
from prompts.judging import render_judge
from prompts.registry import load_prompt
from prompts.render import ChatMessage
from tests.draft_cases import CASES, report_of
from tests.injected_verdicts import AFRESH, FRESH, HELD_OUT, HELD_OUT_LATER, KNOWN, spoiled
from tests.scripted_judge import honest_answer, obedient_answer

_REANSWER, _RUBRIC = load_prompt("judge-reanswer", 1), load_prompt("judge-rubric", 2)
LISTS = {
    "known": KNOWN,
    "held out": HELD_OUT,
    "later, harder": HELD_OUT_LATER,
    "fresh": FRESH,
    "afresh": AFRESH,
}
_Answer = Callable[[Sequence[ChatMessage]], str]


def reanswer(
    draft: Draft, prompt: PromptContext, context: CheckContext, answer: _Answer
) -> dict[Component, int]:
    """Returns a scripted judge's blind re-answer to the masked steps, asked as in the product."""
    messages = render_judge(_REANSWER, prompt, mask_steps(draft, context).steps)
    return {Component(k): g for k, g in json.loads(answer(messages))["grades"].items()}


def measure(phrases: Sequence[str], n_cases: int = 3) -> dict[str, float]:
    """Returns shares over drafts: refused unasked, wrong grade let through, fault let through."""
    refused: list[bool] = []
    grade_through: list[bool] = []
    fault_through: list[bool] = []
    for case in CASES[:n_cases]:
        prompt, context = case.prompt, case.context
        draft = report_of(case, case.answer).draft
        assert draft is not None
        assert reanswer(draft, prompt, context, honest_answer) == draft.grades
        wrong = {c: (grade + 1) % 4 for c, grade in draft.grades.items()}
        for phrase in phrases:
            for bad in spoiled(draft.model_copy(update={"grades": wrong}), phrase):
                is_refused = bool(find_injections(bad.steps))
                sound = bad.model_copy(update={"grades": draft.grades})
                fault_through.append(_passes(sound, prompt, context, obedient_answer))
                refused.append(is_refused)
                given = {} if is_refused else reanswer(bad, prompt, context, obedient_answer)
                grade_through.append(
                    not is_refused and not differing_components(wrong, given, context)
                )
    n_seen = sum(any(map(speaks_to_reader, split_sentences(p))) for p in phrases)
    return {
        "drafts": len(refused),
        "phrases seen": n_seen / len(phrases),
        "refused unasked": sum(refused) / len(refused),
        "wrong grade let through": sum(grade_through) / len(grade_through),
        "rubric fault let through": sum(fault_through) / len(fault_through),
        "the same without a decoy, or by a choosy judge": 1 - sum(refused) / len(refused),
    }


def _passes(draft: Draft, prompt: PromptContext, context: CheckContext, answer: _Answer) -> bool:
    """Returns whether a judge passes a draft; its re-answer is honest, its marks are as told."""

    def reply(messages: Sequence[ChatMessage]) -> str:
        return answer(messages) if "</draft>" in messages[-1].content else honest_answer(messages)

    model = ScriptedChatModel(reply)
    judge = JudgeContext(model, "judge", _REANSWER, _RUBRIC, Sampling(), decoy=True)
    return asyncio.run(judge_draft(draft, 1, prompt, context, judge)).passed


def main() -> None:
    """Prints a line for each list of phrases."""
    for name, phrases in LISTS.items():
        shares = measure(phrases)
        rounded = {key: round(value, 4) for key, value in shares.items()}
        sys.stdout.write(f"{name} ({len(phrases)}): {rounded}\n")


if __name__ == "__main__":
    main()
