"""The judge that a settings file names, before its server is asked."""

from dataclasses import dataclass

from agents.judge import JUDGE_VERSIONS, JudgeContext
from agents.llm_client import ChatModel
from agents.weights import served_weights
from knee.errors import InputError
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
    weights: str | None
    """Hash of its model folder; None where only its name is known."""

    @property
    def refs(self) -> tuple[PromptRef, ...]:
        """References of both prompts."""
        return (self.reanswer.ref, self.rubric.ref)

    @property
    def rubric_calls(self) -> int:
        """How often the rubric is asked of a draft that passes."""
        return 2 if self.endpoint.decoy else 1

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What decides its verdicts beside model and prompts."""
        weights: dict[str, JsonValue] = {} if self.weights is None else {"weights": self.weights}
        return {
            **weights,
            "sampling": dict(self.endpoint.sampling.as_sent()),
            "max_repairs": self.endpoint.max_repairs,
            "decoy": self.endpoint.decoy,
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
            decoy=self.endpoint.decoy,
        )


def plan_judge(config: RunConfig, *, sees_images: bool) -> JudgePlan | None:
    """Returns the judge that the settings name, None without one.

    Args:
        config: the settings.
        sees_images: whether the drafts that it judges are made from slices.

    Raises:
        InputError: a prompt is not there, is no judge's, or would hold what is seen on slices
            against measurements alone.
    """
    judge = config.judge
    if judge is None:
        return None
    reanswer = load_prompt_for(PromptKind.JUDGE_REANSWER, judge.prompt_id, judge.prompt_version)
    rubric = load_prompt_for(
        PromptKind.JUDGE_RUBRIC, judge.rubric_prompt_id, judge.rubric_prompt_version
    )
    if sees_images and not rubric.shows_images:
        raise InputError(
            f"drafts are made from slices, and the rubric's prompt {rubric.prompt_id!r} "
            f"v{rubric.version} knows of none: an honest judge would refuse all that was seen",
            'set rubric_prompt_id = "judge-rubric" and rubric_prompt_version = 2 under [judge]',
        )
    server = config.judge_on_the_drafters_server
    weights = served_weights(judge.serve if server is None else server.settings)
    return JudgePlan(judge, reanswer, rubric, weights)


SEES_NO_SLICES = (
    "the judge sees no slices: what a draft says to have seen is held against the rest of its text "
    "and taken as said; only the clinician's grade and people who read a sample can say otherwise "
    "(docs/judge.md)"
)
"""What is said where drafts made from slices are judged."""
