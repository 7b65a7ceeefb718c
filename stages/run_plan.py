"""What is settled before a batch asks any server: settings, prompts, selection, identity."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from agents.context import GraphContext
from agents.llm_client import ChatModel
from agents.majority_drafter import MajorityGrades
from agents.slice_source import SliceSource
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError
from knee.keys import ItemKey
from knee.questions import parse_question_ids
from knee.records import Control, Run
from knee.run_config import ImageSettings, RunConfig
from prompts.registry import PromptKind, PromptTemplate, load_prompt_for
from stages.judge_plan import JudgePlan, plan_judge
from stages.quota_plan import plan_quota
from stages.run_identity import RunParts, TrialIdentity, check_grounding, new_run
from stages.run_images import check_image_settings
from stages.split_guard import refuse_fit_on_test_store
from stages.transfer_guard import refuse_transfer
from store.controls import majority_grades
from store.items import Selection, select_volumes
from store.queries import current_findings_ids, find_run
from store.quota_rows import QuotaChoice
from store.reader import StoreReader


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
            grounding=self.config.grounding,
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
    check_grounding(config.grounding, template)
    calibration = load_configured_calibration(config, options.config)
    judge = plan_judge(config, sees_images=config.drafter.images is not None)
    control = Control.NONE if options.control is None else Control(options.control)
    selection = _selection(options, config)
    questions = selection.question_ids or sorted({k.question_id for k in selection.chosen or ()})
    check_image_settings(config, template, tuple(questions))
    with store.reading() as con:
        refuse_fit_on_test_store(calibration, con)
        refuse_transfer(config, [config.drafter, *([config.judge] if config.judge else [])], con)
        _refuse_no_volume(con, selection, options)
        findings_ids = current_findings_ids(con)
        majority = majority_grades(con) if control is Control.ALWAYS_MAJORITY else None
    trial = options.trial
    sample = None if trial is None else TrialIdentity(trial.sample_sha256, trial.provenance)
    parts = RunParts(config, template, calibration, judge, findings_ids, sample)
    run = new_run(parts, control, majority, options.quota)
    real = new_run(parts, Control.NONE, None)
    with store.reading() as con:
        resumes = find_run(con, run.fingerprint, run.kind, run.control)
        beside = find_run(con, real.fingerprint, real.kind, real.control)
    quotas = plan_quota(options.quota, selection, resumes, store)
    if quotas is not None:
        selection = selection._replace(chosen=frozenset(quotas.items))
    return RunPlan(
        options=options,
        config=config,
        template=template,
        calibration=calibration,
        judge=judge,
        control=control,
        majority=majority,
        selection=selection,
        run=run,
        resumes=resumes,
        beside=None if control is Control.NONE else beside,
        quotas=quotas,
    )


def _selection(options: GenerateOptions, config: RunConfig) -> Selection:
    sees_images = config.drafter.images is not None
    if options.trial is not None:
        return Selection(chosen=options.trial.keys, sees_images=sees_images)
    asked = config.questions if options.questions is None else options.questions
    return Selection(
        question_ids=parse_question_ids(asked),
        visit=options.visit,
        limit=options.limit,
        sees_images=sees_images,
    )


def _refuse_no_volume(
    con: duckdb.DuckDBPyConnection, selection: Selection, options: GenerateOptions
) -> None:
    if not select_volumes(con, selection):
        raise InputError(
            f"no volume of store {str(options.store)!r} matches"
            + (f" visit {options.visit!r}" if options.visit else ""),
            "`status` and `sql` show which volumes there are",
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
