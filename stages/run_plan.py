"""What is settled before a batch asks any server: settings, prompts, selection, identity."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from agents.checks.run import CHECK_VERSIONS
from agents.context import GraphContext
from agents.fingerprint import new_run_id, run_fingerprint
from agents.judge import JUDGE_VERSIONS, JudgeContext
from agents.llm_client import ChatModel
from agents.majority_drafter import MajorityGrades, majority_model_name
from agents.slice_source import SliceSource
from agents.vllm_server import CHECKOUT
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError
from knee.keys import ItemKey, JsonValue
from knee.questions import parse_question_ids
from knee.records import Control, PromptRef, Run, RunKind
from knee.run_config import ImageSettings, JudgeEndpoint, RunConfig
from prompts.registry import PromptKind, PromptTemplate, load_prompt_for
from stages.quota_plan import plan_quota
from stages.run_images import check_image_settings, images_identity
from stages.split_guard import refuse_fit_on_test_store
from stages.transfer_guard import refuse_transfer
from store.controls import majority_grades
from store.items import Selection, select_volumes
from store.queries import current_findings_ids, find_run
from store.quota_rows import QuotaChoice
from store.reader import StoreReader

_PACKAGES = ("langgraph", "openai", "pydantic", "duckdb", "numpy", "pillow", "jinja2")


@dataclass(frozen=True, slots=True)
class Trial:
    """What makes a run a trial: its prompt, saved or not, and its items."""

    template: PromptTemplate
    """The drafter's prompt, in place of the settings file's."""
    keys: frozenset[ItemKey]
    """The items; no test patient's."""
    sample_sha256: str
    """`sha256:` over the keys."""
    provenance: dict[str, str]
    """How the sample was drawn and where the template lay."""

    @property
    def volume_ids(self) -> list[str]:
        """Volumes of the items, ascending."""
        return sorted({key.volume_id for key in self.keys})


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What the command line says."""

    store: Path
    """The DuckDB file."""
    config: Path
    """Settings file."""
    questions: str | None = None
    """Ids and ranges; None takes the settings file's."""
    visit: str | None = None
    """Only this visit."""
    limit: int | None = None
    """Items at most."""
    control: str | None = None
    """Negative control, None for a real run."""
    serve: bool = False
    """Bring the server up and down as well."""
    quota: tuple[str, ...] = ()
    """Quotas as written; without any, a run that is resumed keeps those that it had last."""
    dry_run: bool = False
    """Count and render, call nobody, write nothing."""
    cohort_root: Path | None = None
    """Where the images lie now: for the report's pictures, and for slices that are shown."""
    show_first_since: float | None = None
    """Monotonic time of the command's start: shows the first accepted quintuple; None does not."""
    as_json: bool = False
    """Print the summary on stdout."""
    quiet: bool = False
    """Leave the tables out: the caller shows its own."""
    trial: Trial | None = None
    """Try a prompt on a sample (`prompts try`); None for every other run."""


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


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is settled before a server is asked."""

    options: GenerateOptions
    """The command line."""
    config: RunConfig
    """The settings."""
    template: PromptTemplate
    """The drafter's prompt."""
    calibration: Calibration | None
    """Fitted cut-offs."""
    judge: JudgePlan | None
    """The judge."""
    control: Control
    """Which control."""
    majority: MajorityGrades | None
    """Grades of the always-majority control; None in every other run."""
    selection: Selection
    """Which items."""
    run: Run
    """The run as it would be started."""
    resumes: str | None
    """The run that is there already."""
    beside: str | None
    """The real run (of a trial's control, the trial) with the same settings, beside which a control
    is shown."""
    quotas: QuotaChoice | None = None
    """What the quotas chose; the selection holds those items alone."""

    @property
    def max_revisions(self) -> int:
        """Revisions after the first draft; the majority drafter would repeat itself."""
        return 0 if self.majority is not None else self.config.batch.max_revisions

    @property
    def images(self) -> ImageSettings | None:
        """How slices are shown; None where none are: in text runs, and where no model looks."""
        return None if self.majority is not None else self.config.drafter.images

    def context(
        self,
        model: ChatModel,
        run_id: str,
        judge_model: ChatModel | None = None,
        images: SliceSource | None = None,
    ) -> GraphContext:
        """Returns what the graph's nodes share."""
        judge = None
        if self.judge is not None and judge_model is not None:
            judge = self.judge.context(judge_model)
        return GraphContext(
            run_id=run_id,
            model=model,
            template=self.template,
            sampling=self.config.drafter.sampling,
            max_revisions=self.max_revisions,
            wording=self.config.wording,
            calibration=self.calibration,
            warn_only=frozenset(self.config.checks.warn_only),
            judge=judge,
            images=images,
            tracing=self.config.tracing,
        )


def make_plan(options: GenerateOptions, config: RunConfig, store: StoreReader) -> RunPlan:
    """Returns the plan of a run.

    Raises:
        InputError: the settings, a prompt, the calibration or the selection is not as asked.
    """
    template = _template_of(options.trial, config)
    calibration = load_configured_calibration(config, options.config)
    judge = plan_judge(config)
    control = Control.NONE if options.control is None else Control(options.control)
    selection = Selection(
        question_ids=parse_question_ids(
            config.questions if options.questions is None else options.questions
        ),
        visit=options.visit,
        limit=options.limit,
        sees_images=config.drafter.images is not None,
    )
    if options.trial is not None:
        selection = Selection(
            chosen=options.trial.keys, sees_images=config.drafter.images is not None
        )
    questions = selection.question_ids or sorted({k.question_id for k in selection.chosen or ()})
    check_image_settings(config, template, tuple(questions))
    with store.reading() as con:
        refuse_fit_on_test_store(calibration, con)
        refuse_transfer(config, [config.drafter, *([config.judge] if config.judge else [])], con)
        if not select_volumes(con, selection):
            raise InputError(
                f"no volume of store {str(options.store)!r} matches"
                + (f" visit {options.visit!r}" if options.visit else ""),
                "`status` and `sql` show which volumes there are",
            )
        findings_ids = current_findings_ids(con)
        majority = majority_grades(con) if control is Control.ALWAYS_MAJORITY else None
    parts = _Parts(config, template, calibration, judge, findings_ids, options.trial)
    run = _new_run(parts, control, majority, options.quota)
    with store.reading() as con:
        resumes = find_run(con, run.fingerprint, run.kind, run.control)
        real = _new_run(parts, Control.NONE, None)
        beside = find_run(con, real.fingerprint, real.kind, real.control)
    quotas = plan_quota(options.quota, selection, resumes, store)
    if quotas is not None:
        selection = selection._replace(chosen=frozenset(quotas.items))
    return RunPlan(
        options,
        config,
        template,
        calibration,
        judge,
        control,
        majority,
        selection,
        run,
        resumes,
        beside if control is not Control.NONE else None,
        quotas,
    )


def _template_of(trial: Trial | None, config: RunConfig) -> PromptTemplate:
    if trial is not None:
        return trial.template
    return load_prompt_for(
        PromptKind.DRAFT, config.drafter.prompt_id, config.drafter.prompt_version
    )


def load_configured_calibration(config: RunConfig, path: Path) -> Calibration | None:
    """Returns the calibration that a settings file at `path` names, None when it names none.

    Raises:
        InputError: the file is missing or holds none.
    """
    return (
        None if config.calibration is None else load_calibration(path.parent / config.calibration)
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    config: RunConfig
    template: PromptTemplate
    calibration: Calibration | None
    judge: JudgePlan | None
    findings_ids: list[str]
    trial: Trial | None


def _new_run(
    parts: _Parts,
    control: Control,
    majority: MajorityGrades | None,
    quotas: Sequence[str] = (),
) -> Run:
    config, drafter, judge = parts.config, parts.config.drafter, parts.judge
    prompts = (parts.template.ref, *(judge.refs if judge else ()))
    drafter_model = drafter.model if majority is None else majority_model_name(majority)
    judge_model = judge.endpoint.model if judge else None
    images = None if drafter.images is None else images_identity(drafter.images)
    fingerprint = run_fingerprint(
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
        sample=parts.trial.sample_sha256 if parts.trial else None,
        images=images,
    )
    real_kind = RunKind.PRODUCTION if parts.trial is None else RunKind.TRIAL
    return Run(
        run_id=new_run_id(),
        fingerprint=fingerprint,
        kind=real_kind if control is Control.NONE else RunKind.CONTROL,
        control=control,
        grounding=config.grounding,
        wording=config.wording,
        prompts=prompts,
        drafter_model=drafter_model,
        judge_model=judge_model,
        checks=CHECK_VERSIONS,
        sampling=drafter.sampling.as_sent(),
        images=images,
        provenance={
            "settings": config.name,
            "base_url": drafter.base_url,
            "model_licence": drafter.licence,
            "concurrency": str(config.batch.concurrency),
            "calibration": parts.calibration.name if parts.calibration else "none",
            "code": code_revision(),
            **_judge_provenance(judge),
            **_transfer_basis(config),
            **(parts.trial.provenance if parts.trial else {}),
            # Which items were asked for first; `v_quotas` has every choice of the run.
            **({"quota": ", ".join(quotas)} if quotas else {}),
            **{f"version.{name}": version(name) for name in _PACKAGES},
        },
    )


def _transfer_basis(config: RunConfig) -> dict[str, str]:
    basis = config.external_transfer_basis
    return {} if basis is None else {"external_transfer_basis": basis}


def _judge_provenance(judge: JudgePlan | None) -> dict[str, str]:
    if judge is None:
        return {}
    return {"judge_base_url": judge.endpoint.base_url, "judge_licence": judge.endpoint.licence}


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
