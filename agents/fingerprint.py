"""What makes two runs the same run (CONTRACTS, "Keys").

Same fingerprint and kind: the run resumes. In it: everything that decides what an item's outcome
can be. Not in it: which items are asked for (`--limit`, `--questions`, `--visit`), URLs,
concurrency, time-outs and the commit; they are provenance.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from knee.calibration import Calibration
from knee.keys import JsonValue, canonical_json, content_hash
from knee.records import Control, Grounding, PromptRef, Wording

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no letter that is taken for another."""
_RANDOM_LETTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Everything that identifies a run."""

    prompts: Sequence[PromptRef]
    """Every prompt that the run can send, in any order."""
    drafter_model: str
    """Name as served."""
    judge_model: str | None
    """None while there is no judge."""
    sampling: Mapping[str, float | int | str]
    """As sent."""
    max_revisions: int
    """Revisions after the first draft."""
    checks: Mapping[str, int]
    """Check to version."""
    warn_only: Iterable[str]
    """Checks that only warn, in any order."""
    grounding: Grounding
    """blind or label_given."""
    wording: Wording
    """guided or zero_shot."""
    control: Control
    """Which control, `none` for a real run."""
    calibration: Calibration | None
    """Fitted cut-offs that prompt and checks read."""
    findings_ids: Iterable[str]
    """Ids of all findings that the run is bound to, in any order."""
    judge: Mapping[str, JsonValue] | None = None
    """What decides the judge's verdicts beside its model and prompts: sampling, repairs, versions;
    None without a judge."""
    sample: str | None = None
    """Hash of a trial's items: another sample is another trial. None in every other run."""
    images: str | None = None
    """What decides the pixels that the drafter is shown; None without images."""
    weights: str | None = None
    """Hash of the drafter's model folder; None where only its name is known."""


def run_fingerprint(identity: RunIdentity) -> str:
    """Returns `sha256:` over everything that identifies a run."""
    # Left out where there is none: runs of the time before there was one still resume.
    later = {
        "judge": None if identity.judge is None else dict(identity.judge),
        "sample": identity.sample,
        "images": identity.images,
        "weights": identity.weights,
    }
    calibration = identity.calibration
    return content_hash(
        canonical_json(
            {
                **{name: value for name, value in later.items() if value is not None},
                "prompts": sorted(prompt.sha256 for prompt in identity.prompts),
                "drafter_model": identity.drafter_model,
                "judge_model": identity.judge_model,
                "sampling": dict(identity.sampling),
                "max_revisions": identity.max_revisions,
                "checks": dict(identity.checks),
                "warn_only": sorted(set(identity.warn_only)),
                "grounding": identity.grounding.value,
                "wording": identity.wording.value,
                "control": identity.control.value,
                "calibration": None if calibration is None else calibration.model_dump_json(),
                "findings_ids": sorted(set(identity.findings_ids)),
            }
        )
    )


def new_run_id(now: datetime | None = None) -> str:
    """Returns a new run id: UTC time, then letters by chance; later ones sort behind.

    Args:
        now: the time to use; the present unless given.

    Example:
        >>> new_run_id(datetime(2026, 11, 23, 9, 30, 5, tzinfo=UTC))[:16]
        '20261123-093005-'
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LETTERS))
    return f"{moment:%Y%m%d-%H%M%S}-{letters}"
