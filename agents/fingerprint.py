"""What makes two runs the same run (CONTRACTS, "Keys").

Same fingerprint and kind: the run resumes. In it: everything that decides what an item's outcome
can be. Not in it: which items are asked for (`--limit`, `--questions`, `--visit`), URLs,
concurrency, time-outs and the commit; they are provenance.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from knee.calibration import Calibration
from knee.keys import JsonValue, canonical_json, content_hash
from knee.records import Control, Grounding, PromptRef, Wording

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no letter that is taken for another."""
_RANDOM_LETTERS = 4


def run_fingerprint(
    *,
    prompts: Sequence[PromptRef],
    drafter_model: str,
    judge_model: str | None,
    sampling: Mapping[str, float | int | str],
    max_revisions: int,
    checks: Mapping[str, int],
    warn_only: Iterable[str],
    grounding: Grounding,
    wording: Wording,
    control: Control,
    calibration: Calibration | None,
    findings_ids: Iterable[str],
    judge: Mapping[str, JsonValue] | None = None,
    sample: str | None = None,
    images: str | None = None,
) -> str:
    """Returns `sha256:` over everything that identifies a run.

    Args:
        prompts: every prompt that the run can send, in any order.
        drafter_model: name as served.
        judge_model: None while there is no judge.
        sampling: as sent.
        max_revisions: revisions after the first draft.
        checks: check to version.
        warn_only: checks that only warn, in any order.
        grounding: blind or label_given.
        wording: guided or zero_shot.
        control: which control, `none` for a real run.
        calibration: fitted cut-offs that prompt and checks read.
        findings_ids: ids of all findings that the run is bound to, in any order.
        judge: what decides the judge's verdicts beside its model and prompts: sampling, repairs,
            versions; None without a judge.
        sample: hash of a trial's items: another sample is another trial. None in every other run.
        images: what decides the pixels that the drafter is shown; None without images.
    """
    # Left out where there is none: runs of the time before there was one still resume.
    judging = {} if judge is None else {"judge": dict(judge)}
    sampled = {} if sample is None else {"sample": sample}
    seeing = {} if images is None else {"images": images}
    return content_hash(
        canonical_json(
            {
                **judging,
                **sampled,
                **seeing,
                "prompts": sorted(prompt.sha256 for prompt in prompts),
                "drafter_model": drafter_model,
                "judge_model": judge_model,
                "sampling": dict(sampling),
                "max_revisions": max_revisions,
                "checks": dict(checks),
                "warn_only": sorted(set(warn_only)),
                "grounding": grounding.value,
                "wording": wording.value,
                "control": control.value,
                "calibration": None if calibration is None else calibration.model_dump_json(),
                "findings_ids": sorted(set(findings_ids)),
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
