"""The judge of a sound draft: a blind re-answer, then a rubric; code makes the verdict.

    injected verdict? ── yes ──▶ judge_injected_verdict, nobody is asked
            │ no
    blind re-answer of the masked first three steps
            │ another grade ──▶ judge_reanswer_differs.<component>
    rubric over the quoted draft and the findings
            │ an essential item does not hold ──▶ judge_rubric.<item>
    rubric over a copy of the draft on the wrong knee (agents.decoy)
            │ every essential item holds ──▶ judge_decoy
            ▼
         passed

An answer that cannot be read is asked for again, `max_repairs` times, then `judge_unparsed`. What a
server does wrong leaves here as an error and is never a verdict (CONTRACTS: infrastructure is
`failed`). Where a measurement lies within one standard deviation of a cut-off, the re-answer may
give the grade on either side, as the drafter may (RULES 11).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agents.checks.context import CheckContext
from agents.checks.grades import following_grades
from agents.decoy import plant_fault
from agents.llm_client import ChatModel, JsonSchema
from agents.masking import MASKING_VERSION, find_injections, mask_steps, quote_steps
from knee.answers import Draft
from knee.judgement import (
    DECOY_CODE,
    INJECTED_CODE,
    REANSWER_CODE,
    RUBRIC_CODE,
    UNPARSED_CODE,
    JudgeCall,
    Judgement,
    JudgeTask,
    RubricMark,
    reanswer_model,
    reanswer_schema,
    rubric_model,
    rubric_schema,
)
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.run_config import Sampling
from prompts.context import PromptContext
from prompts.judging import QuotedStep, render_judge, render_repair, rubric_items
from prompts.registry import PromptTemplate
from prompts.render import ChatMessage, hash_messages

JUDGE_VERSIONS: dict[str, int] = {"masking": MASKING_VERSION, "judge": 2}
"""What decides a verdict beside model and prompts; a change of what passes raises a version."""

_Read = TypeVar("_Read")
_Answer = TypeVar("_Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """The judge of a run: model, prompts and bounds."""

    model: ChatModel
    """Who answers; may be the drafter's server."""
    name: str
    """The model, as the settings name it."""
    reanswer: PromptTemplate
    """Prompt of the blind re-answer."""
    rubric: PromptTemplate
    """Prompt of the rubric."""
    sampling: Sampling
    """How its answers are sampled."""
    max_repairs: int = 1
    """Further tries for an answer that cannot be read, for each task."""
    decoy: bool = False
    """Whether what would pass is put to it once more on the wrong knee."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One task of the judge, ready to be asked."""

    task: JudgeTask
    template: PromptTemplate
    steps: tuple[QuotedStep, ...]
    schema: JsonSchema
    answer: type[BaseModel]


async def judge_draft(
    draft: Draft,
    attempt_no: int,
    prompt: PromptContext,
    checks: CheckContext,
    judge: JudgeContext,
) -> Judgement:
    """Returns what the judge says of a draft that passed the checks and agrees with the clinician.

    Args:
        draft: the draft.
        attempt_no: the attempt that it is of.
        prompt: what prompts may show of the item.
        checks: what the draft was held against; never holds a clinician's grade.
        judge: who is asked.

    Raises:
        ModelUnavailable: the server does not answer.
        ModelOutputError: the server refuses a request, e.g. `context_too_long`.
    """
    said = _Said(judge, prompt)
    if find_injections(draft.steps):
        return said.judgement(attempt_no, codes=(INJECTED_CODE,))
    grades = await said.ask(_reanswer(draft, checks, judge), _read_grades)
    if grades is None:
        return said.judgement(attempt_no, codes=(UNPARSED_CODE,))
    differing = differing_components(draft.grades, grades, checks)
    if differing:
        codes = tuple(f"{REANSWER_CODE}.{c.value}" for c in differing)
        return said.judgement(attempt_no, grades=grades, codes=codes)
    marks = await said.ask(_rubric(draft, judge), _read_marks)
    if marks is None:
        return said.judgement(attempt_no, grades=grades, codes=(UNPARSED_CODE,))
    codes = rubric_codes(marks)
    if judge.decoy and not codes:
        wrong = await said.ask(_decoy(draft, checks, judge), _read_marks)
        if wrong is None:
            codes = (UNPARSED_CODE,)
        elif not rubric_codes(wrong):
            codes = (DECOY_CODE,)
    return said.judgement(attempt_no, grades=grades, marks=marks, codes=codes)


def differing_components(
    drafted: dict[Component, int], reanswered: dict[Component, int], checks: CheckContext
) -> tuple[Component, ...]:
    """Returns the components whose re-answer is another grade, borderline neighbours aside."""
    return tuple(
        component
        for component, grade in drafted.items()
        if reanswered.get(component) != grade
        and not {grade, reanswered.get(component)} <= _either_grade(component, checks)
    )


def _either_grade(component: Component, checks: CheckContext) -> set[int | None]:
    """Returns the grades that a borderline measurement leaves open; empty where it is not."""
    rule = checks.rules.get(component)
    measurement = None if rule is None else checks.measured.get(rule.measurement)
    if rule is None or measurement is None:
        return set()
    borderline = checks.finding.evidence_for(component).borderline
    return set(following_grades(rule, measurement, borderline))


def rubric_codes(marks: Sequence[RubricMark]) -> tuple[str, ...]:
    """Returns a code for each essential item that does not hold."""
    return tuple(f"{RUBRIC_CODE}.{m.item}" for m in marks if m.essential and not m.holds)


class _Said:
    """What the judge was asked and said so far, of one draft."""

    def __init__(self, judge: JudgeContext, prompt: PromptContext) -> None:
        self._judge = judge
        self._prompt = prompt
        self._calls: list[JudgeCall] = []

    async def ask(self, question: _Question, read: Callable[[BaseModel], _Read]) -> _Read | None:
        """Returns the answer to one task, None when none can be read."""
        messages = render_judge(question.template, self._prompt, question.steps)
        for _ in range(1 + self._judge.max_repairs):
            call = await self._call(question, messages)
            answer, problem = read_answer(call.text, call.finish_reason, question.answer)
            if answer is not None:
                return read(answer)
            messages = render_repair(
                question.template, self._prompt, question.steps, call.text, [problem]
            )
        return None

    async def _call(self, question: _Question, messages: Sequence[ChatMessage]) -> JudgeCall:
        judge = self._judge
        completion = await judge.model.complete(messages, question.schema, judge.sampling)
        call = JudgeCall(
            call_no=len(self._calls) + 1,
            task=question.task,
            prompt=question.template.ref,
            prompt_text_sha256=hash_messages(messages),
            model=completion.model,
            sampling=judge.sampling.as_sent(),
            usage=completion.usage,
            finish_reason=completion.finish_reason,
            text=completion.text,
        )
        self._calls.append(call)
        return call

    def judgement(
        self,
        attempt_no: int,
        *,
        grades: dict[Component, int] | None = None,
        marks: tuple[RubricMark, ...] = (),
        codes: tuple[str, ...] = (),
    ) -> Judgement:
        """Returns the judgement with every call made."""
        return Judgement(
            attempt_no=attempt_no,
            model=self._judge.name,
            prompts=(self._judge.reanswer.ref, self._judge.rubric.ref),
            versions=JUDGE_VERSIONS,
            calls=tuple(self._calls),
            grades=grades,
            marks=marks,
            codes=codes,
        )


def read_answer(text: str, finish_reason: str, model: type[_Answer]) -> tuple[_Answer | None, str]:
    """Returns a judge's answer, or None and why it cannot be read; validated on our side."""
    if finish_reason == "length":
        return None, "length"
    try:
        data: Any = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None, "not_json"
    grades = data.get("grades") if isinstance(data, dict) else None
    values: list[object] = list(grades.values()) if isinstance(grades, dict) else []
    # A literal compares by equality: `true` and `1.0` would pass for 1.
    if any(isinstance(value, bool | float) for value in values):
        return None, "schema"
    try:
        return model.model_validate(data), ""
    except ValidationError:
        return None, "schema"


def _reanswer(draft: Draft, checks: CheckContext, judge: JudgeContext) -> _Question:
    question_id = checks.question.question_id
    schema, answer = _reanswer_form(question_id, checks.asked)
    steps = mask_steps(draft, checks).steps
    return _Question(JudgeTask.REANSWER, judge.reanswer, steps, schema, answer)


def _rubric(draft: Draft, judge: JudgeContext) -> _Question:
    schema, answer = _rubric_form()
    return _Question(JudgeTask.RUBRIC, judge.rubric, quote_steps(draft).steps, schema, answer)


def _decoy(draft: Draft, checks: CheckContext, judge: JudgeContext) -> _Question:
    schema, answer = _rubric_form()
    steps = quote_steps(plant_fault(draft, checks.side)).steps
    return _Question(JudgeTask.DECOY, judge.rubric, steps, schema, answer)


@lru_cache(maxsize=512)
def _reanswer_form(
    question_id: int, asked: tuple[Component, ...]
) -> tuple[JsonSchema, type[BaseModel]]:
    question = QUESTIONS[question_id]
    return reanswer_schema(question, asked), reanswer_model(question, asked)


@lru_cache(maxsize=1)
def _rubric_form() -> tuple[JsonSchema, type[BaseModel]]:
    return rubric_schema(rubric_items()), rubric_model(rubric_items())


def _read_grades(answer: BaseModel) -> dict[Component, int]:
    return {Component(name): grade for name, grade in answer.model_dump()["grades"].items()}


def _read_marks(answer: BaseModel) -> tuple[RubricMark, ...]:
    marks = answer.model_dump()
    return tuple(
        RubricMark(item=item.key, essential=item.essential, **marks[item.key])
        for item in rubric_items()
    )
