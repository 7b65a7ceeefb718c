"""The judge that a settings file names, before its server is asked."""

from dataclasses import dataclass

from agents.judge import JUDGE_VERSIONS, JudgeContext
from agents.llm_client import ChatModel
from knee.keys import JsonValue
from knee.records import PromptRef
from knee.run_config import JudgeEndpoint, RunConfig
from prompts.registry import PromptKind, PromptTemplate, load_prompt_for


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """The judge of a run, before its server is asked."""

    endpoint: JudgeEndpoint
    """Settings."""
    reanswer: PromptTemplate
    """Prompt of the blind re-answer."""
    rubric: PromptTemplate
    """Prompt of the rubric."""

    @property
    def refs(self) -> tuple[PromptRef, ...]:
        """References of both prompts."""
        return (self.reanswer.ref, self.rubric.ref)

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What decides its verdicts beside model and prompts."""
        return {
            "sampling": dict(self.endpoint.sampling.as_sent()),
            "max_repairs": self.endpoint.max_repairs,
            "versions": dict(JUDGE_VERSIONS),
        }

    def context(self, model: ChatModel) -> JudgeContext:
        """Returns what the judge's node needs."""
        return JudgeContext(
            model=model,
            name=self.endpoint.model,
            reanswer=self.reanswer,
            rubric=self.rubric,
            sampling=self.endpoint.sampling,
            max_repairs=self.endpoint.max_repairs,
        )


def plan_judge(config: RunConfig) -> JudgePlan | None:
    """Returns the judge that the settings name, None without one.

    Raises:
        InputError: a prompt is not there, or is no judge's.
    """
    judge = config.judge
    if judge is None:
        return None
    return JudgePlan(
        judge,
        load_prompt_for(PromptKind.JUDGE_REANSWER, judge.prompt_id, judge.prompt_version),
        load_prompt_for(
            PromptKind.JUDGE_RUBRIC, judge.rubric_prompt_id, judge.rubric_prompt_version
        ),
    )
