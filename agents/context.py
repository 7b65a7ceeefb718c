"""What is the same for all items of a run: handed to every node through `Runtime`."""

from dataclasses import dataclass, field

from agents.check_pool import CheckPool
from agents.judge import JudgeContext
from agents.llm_client import ChatModel
from agents.slice_source import SliceSource
from knee.calibration import Calibration
from knee.records import Grounding, Wording
from knee.run_config import Sampling
from prompts.registry import PromptTemplate


@dataclass(frozen=True, slots=True)
class GraphContext:
    """Model, prompt, checks and bounds of a run."""

    run_id: str
    """The run that outcomes belong to."""
    model: ChatModel
    """The drafter."""
    template: PromptTemplate
    """The drafter's prompt."""
    sampling: Sampling
    """How the first draft is sampled."""
    max_revisions: int
    """Revisions after the first draft."""
    wording: Wording = Wording.GUIDED
    """Which wording of the question is shown."""
    grounding: Grounding = Grounding.BLIND
    """Whether the drafter is told the clinician's grades."""
    calibration: Calibration | None = None
    """Fitted cut-offs; None when the run has none."""
    warn_only: frozenset[str] = field(default_factory=frozenset[str])
    """Checks that only warn."""
    judge: JudgeContext | None = None
    """Who judges what agrees with the clinician; None accepts it without a judge."""
    images: SliceSource | None = None
    """Where the slices come from; None drafts from text alone."""
    checkers: CheckPool | None = None
    """Processes that run the checks; None runs them in this one."""
    tracing: bool = False
    """Whether LangGraph's tracing may follow the environment."""
