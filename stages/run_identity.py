"""What a run is, as the store keeps it: fingerprint, kind and provenance."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from agents.checks.run import CHECK_VERSIONS
from agents.fingerprint import RunIdentity, new_run_id, run_fingerprint
from agents.majority_drafter import MajorityGrades, majority_model_name
from agents.vllm_server import CHECKOUT
from agents.weights import served_weights
from knee.calibration import Calibration
from knee.errors import InputError
from knee.records import Control, Grounding, Run, RunKind
from knee.run_config import RunConfig
from prompts.registry import PromptTemplate
from stages.judge_plan import JudgePlan
from stages.run_images import images_identity

_PACKAGES = ("langgraph", "openai", "pydantic", "duckdb", "numpy", "pillow", "jinja2")


@dataclass(frozen=True, slots=True)
class TrialIdentity:
    """The items of a trial, as far as they identify it."""

    sha256: str
    """Over their keys."""
    provenance: dict[str, str]
    """How they were drawn."""


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run is made of, whatever its control."""

    config: RunConfig
    """The settings."""
    template: PromptTemplate
    """The drafter's prompt."""
    calibration: Calibration | None
    """Fitted cut-offs."""
    judge: JudgePlan | None
    """The judge."""
    findings_ids: list[str]
    """The current findings of the store."""
    trial: TrialIdentity | None
    """None but in a trial."""


def check_grounding(grounding: Grounding, template: PromptTemplate) -> None:
    """Refuses a blind run whose prompt tells the clinician's grades, and the reverse (RULES 5).

    Raises:
        InputError: grounding and prompt do not belong together.
    """
    trouble = grounding_problem(grounding, template)
    if trouble is not None:
        raise InputError(*trouble)


def grounding_problem(grounding: Grounding, template: PromptTemplate) -> tuple[str, str] | None:
    """Returns what is wrong with a prompt for a grounding, and a hint; None when nothing is."""
    name = f"{template.prompt_id} v{template.version}"
    if template.gives_grades is (grounding is Grounding.LABEL_GIVEN):
        return None
    if template.gives_grades:
        return (
            f"prompt {name!r} tells the clinician's grades, and the run is blind",
            'set grounding = "label_given": its rows are marked and left out of exports',
        )
    return (
        f"grounding 'label_given' needs a prompt that tells the clinician's grades, and {name!r} "
        "does not: a blind draft must not be marked as if it had seen one",
        'set prompt_id = "draft-given", or leave grounding at "blind"',
    )


def new_run(
    parts: RunParts,
    control: Control,
    majority: MajorityGrades | None,
    quotas: Sequence[str] = (),
) -> Run:
    """Returns a run as it would be started.

    Args:
        parts: what it is made of.
        control: which control it is.
        majority: the grades that the always-majority control repeats; None in every other run.
        quotas: as asked for first; provenance.
    """
    config, drafter, judge = parts.config, parts.config.drafter, parts.judge
    prompts = (parts.template.ref, *(judge.refs if judge else ()))
    drafter_model = drafter.model if majority is None else majority_model_name(majority)
    judge_model = judge.endpoint.model if judge else None
    images = None if drafter.images is None else images_identity(drafter.images)
    weights = None if majority is not None else _drafter_weights(parts)
    identity = RunIdentity(
        prompts=prompts,
        drafter_model=drafter_model,
        judge_model=judge_model,
        sampling=drafter.sampling.as_sent(),
        max_revisions=config.batch.max_revisions,
        checks=CHECK_VERSIONS,
        warn_only=config.checks.warn_only,
        grounding=config.grounding,
        wording=config.wording,
        control=control,
        calibration=parts.calibration,
        findings_ids=parts.findings_ids,
        judge=judge.identity if judge else None,
        sample=parts.trial.sha256 if parts.trial else None,
        images=images,
        weights=weights,
    )
    return Run(
        run_id=new_run_id(),
        fingerprint=run_fingerprint(identity),
        kind=_kind(parts, control),
        control=control,
        grounding=config.grounding,
        wording=config.wording,
        prompts=prompts,
        drafter_model=drafter_model,
        judge_model=judge_model,
        checks=CHECK_VERSIONS,
        sampling=drafter.sampling.as_sent(),
        images=images,
        provenance=_provenance(parts, quotas, weights),
    )


def _drafter_weights(parts: RunParts) -> str | None:
    """Returns the hash of the drafter's model folder, which may be known as the judge's already."""
    if parts.judge is not None and parts.config.judge_on_the_drafters_server is not None:
        return parts.judge.weights
    return served_weights(parts.config.serve)


def _kind(parts: RunParts, control: Control) -> RunKind:
    if control is not Control.NONE:
        return RunKind.CONTROL
    return RunKind.PRODUCTION if parts.trial is None else RunKind.TRIAL


def _provenance(parts: RunParts, quotas: Sequence[str], weights: str | None) -> dict[str, str]:
    config, judge = parts.config, parts.judge
    told = {
        "settings": config.name,
        "base_url": config.drafter.base_url,
        "model_licence": config.drafter.licence,
        "concurrency": str(config.batch.concurrency),
        "calibration": parts.calibration.name if parts.calibration else "none",
        "code": code_revision(),
    }
    if weights is not None:
        told["weights"] = weights
    if judge is not None and judge.weights is not None:
        told["judge_weights"] = judge.weights
    if judge is not None:
        told["judge_base_url"] = judge.endpoint.base_url
        told["judge_licence"] = judge.endpoint.licence
    if config.external_transfer_basis is not None:
        told["external_transfer_basis"] = config.external_transfer_basis
    if parts.trial is not None:
        told |= parts.trial.provenance
    if quotas:
        # Which items were asked for first; `v_quotas` has every choice of the run.
        told["quota"] = ", ".join(quotas)
    return told | {f"version.{name}": version(name) for name in _PACKAGES}


def code_revision() -> str:
    """Returns the checkout's commit, with `+changes` when files differ from it."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
            )
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return commit + ("+changes" if git("status", "--porcelain") else "")
