"""A later verdict on what a run drafted: new checks or another judge, nothing generated."""

from pydantic import Field

from knee.calls import PromptRef, Record
from knee.judgement import Judgement
from knee.records import CheckIssue, ItemState


class Recheck(Record):
    """What identifies and describes one pass over a run's stored attempts."""

    recheck_id: str
    """Short, sortable, unique in the store."""
    run_id: str
    """The run."""
    fingerprint: str
    """`sha256:` over checks, calibration, warnings and judge."""
    checks: dict[str, int]
    """Check to version."""
    warn_only: tuple[str, ...]
    """Checks that only warn."""
    judge_model: str | None
    """None when no judge is asked."""
    prompts: tuple[PromptRef, ...] = ()
    """The judge's prompts."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Commit, settings file, calibration: not identity."""


class Verdict(Record):
    """What a recheck says of one finished item."""

    run_id: str
    """The run."""
    volume_id: str
    """The volume."""
    question_id: int
    """The question."""
    recheck_id: str
    """The recheck."""
    attempt_no: int
    """The attempt that was checked: the item's last."""
    state: ItemState
    """accepted, rejected, disagrees or failed."""
    codes: tuple[str, ...]
    """Reasons, as in outcomes."""
    gates: tuple[str, ...]
    """Gates it passed through."""
    complete: bool
    """True when every component of the question was graded."""
    issues: tuple[CheckIssue, ...]
    """What the checks found."""
    components_scored: tuple[str, ...]
    """Components that were compared; kept when the item becomes a quintuple."""
    judgement: Judgement | None = None
    """What the judge said, now or before; None without one."""
    error: str | None = None
    """Message of an infrastructure failure."""
