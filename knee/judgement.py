"""What a judge says of a sound draft: a blind re-answer, and the marks of a rubric.

The judge comes after the comparison with the clinician, and nothing that it says is fed back. Its
answers are held against the draft by code (`agents.judge`); a model's opinion of "accept" is never
asked for.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from knee.answers import plain_schema
from knee.calls import PromptRef, Record, Usage
from knee.moaks import Component
from knee.questions import Question

MAX_REASON_CHARACTERS = 240
"""Bound on a judge's reason: a sentence or two."""
INJECTED_CODE = "judge_injected_verdict"
"""Code of a draft that speaks to its judge; no model is asked then."""
REANSWER_CODE = "judge_reanswer_differs"
"""Code of a blind re-answer with another grade; the component follows a dot."""
RUBRIC_CODE = "judge_rubric"
"""Code of an essential item that does not hold; the item follows a dot."""
DECOY_CODE = "judge_decoy"
"""Code of a judge that found nothing wrong with the draft on the wrong knee (`agents.decoy`)."""
UNPARSED_CODE = "judge_unparsed"
"""Code of a judge whose answers could not be read, after all repairs."""


class JudgeTask(StrEnum):
    """What a judge is asked."""

    REANSWER = "reanswer"
    """Grades from the masked first three steps."""
    RUBRIC = "rubric"
    """Whether the items of the rubric hold."""
    DECOY = "decoy"
    """The same of a copy with a fault that nobody can overlook."""


class RubricItem(Record):
    """One item of the rubric, declared as data."""

    key: str = Field(pattern="^[a-z][a-z_]*$")
    """Key in the judge's answer, and in the code when it does not hold."""
    statement: str
    """What must hold, as the judge reads it."""
    essential: bool
    """Whether a draft is rejected when it does not hold; others are only kept."""


class RubricMark(Record):
    """What the judge said of one item."""

    item: str
    """The item's key."""
    essential: bool
    """Whether the item was essential."""
    holds: bool
    """The judge's mark."""
    reason: str
    """Why, in the judge's words."""


class JudgeCall(Record):
    """One call to the judge, as it was answered."""

    call_no: int
    """1, 2, … within the judgement; repairs count on."""
    task: JudgeTask
    """What was asked."""
    prompt: PromptRef
    """The template that was rendered."""
    prompt_text_sha256: str
    """Hash of the rendered messages."""
    model: str
    """Model name as served."""
    sampling: dict[str, float | int | str]
    """As sent."""
    usage: Usage
    """Tokens and latency."""
    finish_reason: str
    """As the server gave it."""
    text: str
    """The raw answer."""


class Judgement(Record):
    """What a judge said of one attempt."""

    attempt_no: int
    """The attempt that was judged."""
    model: str
    """The judge's model, as the settings name it."""
    prompts: tuple[PromptRef, ...]
    """Every prompt that the judge could be sent."""
    versions: dict[str, int]
    """Versions of the masking and of the rules that read the judge's answers."""
    calls: tuple[JudgeCall, ...]
    """In order; empty when the draft was refused before a model was asked."""
    grades: dict[Component, int] | None = None
    """The blind re-answer's grades; None when there is none that can be read."""
    marks: tuple[RubricMark, ...] = ()
    """Marks of the rubric; empty when it was not reached."""
    codes: tuple[str, ...] = ()
    """Why the draft is refused; empty when it passed."""

    @property
    def passed(self) -> bool:
        """True when nothing speaks against the draft."""
        return not self.codes

    @property
    def gate(self) -> str:
        """The judge among the gates: `judge:<model>@<prompt>/<version>+…`."""
        return judge_gate(self.model, self.prompts)


NO_JUDGE_GATE = "judge:none"
"""Gate of an item that was accepted without a judge."""


def judge_gate(model: str, prompts: tuple[PromptRef, ...]) -> str:
    """Returns how a judge is named among the gates of an outcome.

    Example:
        >>> judge_gate("m", (PromptRef(prompt_id="judge-rubric", version=1, sha256="sha256:00"),))
        'judge:m@judge-rubric/1'
    """
    return f"judge:{model}@" + "+".join(f"{p.prompt_id}/{p.version}" for p in prompts)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Reason = Annotated[str, Field(max_length=MAX_REASON_CHARACTERS)]


class MarkAnswer(_Answer):
    """One item in the judge's answer: the reason first, so that the mark follows from it."""

    reason: _Reason
    holds: bool


def reanswer_model(question: Question, asked: tuple[Component, ...]) -> type[BaseModel]:
    """Returns the pydantic model of a blind re-answer: a reason, and a grade for each component."""
    fields: dict[str, Any] = {
        component.value: (Literal[question.scale(component).grades], ...) for component in asked
    }
    grades = create_model("Grades", __base__=_Answer, **fields)
    return create_model("Reanswer", __base__=_Answer, reason=(_Reason, ...), grades=(grades, ...))


def reanswer_schema(question: Question, asked: tuple[Component, ...]) -> dict[str, Any]:
    """Returns the JSON schema of a blind re-answer."""
    return plain_schema(reanswer_model(question, asked))


def rubric_model(items: tuple[RubricItem, ...]) -> type[BaseModel]:
    """Returns the pydantic model of the rubric's answer: every item with reason and mark."""
    fields: dict[str, Any] = {item.key: (MarkAnswer, ...) for item in items}
    return create_model("Rubric", __base__=_Answer, **fields)


def rubric_schema(items: tuple[RubricItem, ...]) -> dict[str, Any]:
    """Returns the JSON schema of the rubric's answer."""
    return plain_schema(rubric_model(items))
