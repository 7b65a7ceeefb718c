"""`generate`: draft, check and compare every pending item of a store; resumable.

Nothing is written before the server has answered a probe. A finished item is journalled and synced
before it counts, then committed in larger transactions (`stages.keeping`); what a killed run left
in the journal is committed by the next start.
"""

import asyncio
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from agents.batch import BatchResult, WorkItem, run_batch
from agents.checks.run import CHECK_VERSIONS
from agents.context import GraphContext
from agents.fingerprint import new_run_id, run_fingerprint
from agents.graph import prepare_task
from agents.llm_client import ChatClient
from agents.preflight import preflight
from agents.progress import BatchProgress, progress_shown
from agents.vllm_server import CHECKOUT, RunningServer, running_server
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError
from knee.findings import TEXT_EVIDENCE
from knee.keys import JsonValue, parse_volume_id
from knee.questions import parse_question_ids
from knee.records import Control, Grounding, Item, Run, RunKind
from knee.run_config import RunConfig, load_run_config
from prompts.registry import PromptTemplate, list_prompts, load_prompt
from prompts.render import ChatMessage
from stages.console import emit_json, say
from stages.keeping import OutcomeKeeper
from stages.report import write_report
from stages.serve import WaitingLine, default_log, serve_settings
from stages.split_guard import refuse_fit_on_test_store
from stages.summary import load_summary, show_states, show_summary
from store.items import Selection, select_volumes
from store.journal import Journal
from store.queries import count_left, current_findings_ids, find_run, selection_states
from store.writer import StoreWriter

_PACKAGES = ("langgraph", "openai", "pydantic", "duckdb", "numpy", "jinja2")
_PROMPT_SAMPLE = 256
"""Items whose prompts are rendered to find a long one for the probe."""


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
    dry_run: bool = False
    """Count and render, call nobody, write nothing."""
    cohort_root: Path | None = None
    """Where the images lie now; only the report needs them."""
    as_json: bool = False
    """Print the summary on stdout."""
    quiet: bool = False
    """Leave the tables out: the caller shows its own."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is settled before the server is asked."""

    options: GenerateOptions
    config: RunConfig
    template: PromptTemplate
    calibration: Calibration | None
    control: Control
    selection: Selection
    run: Run
    resumes: str | None

    def context(self, client: ChatClient, run_id: str) -> GraphContext:
        """Returns what the graph's nodes share."""
        return GraphContext(
            run_id=run_id,
            model=client,
            template=self.template,
            sampling=self.config.drafter.sampling,
            max_revisions=self.config.batch.max_revisions,
            wording=self.config.wording,
            calibration=self.calibration,
            warn_only=frozenset(self.config.checks.warn_only),
            tracing=self.config.tracing,
        )


def generate(options: GenerateOptions) -> int:
    """Runs a batch; returns 0, 1 when items failed, 3 when it stopped early.

    Raises:
        InputError: settings, prompt, selection or server are not as asked.
        StoreError: no store, a foreign one, or another command is writing it.
    """
    with ExitStack() as stack:
        config = load_run_config(options.config)
        writer = stack.enter_context(StoreWriter(options.store))
        if writer.recovered:
            say(f"{writer.recovered} finished item(s) came back from the journal")
        plan = _plan(options, config, writer)
        work = _work(plan, writer, plan.resumes)
        first = next(work, None)
        if first is None and plan.resumes is None:
            return _nothing_to_draft(plan, writer)
        if options.dry_run:
            return _show_dry_run(plan, writer, first)
        if first is not None and options.serve:
            stack.enter_context(_server(plan))
        run_id, result = asyncio.run(_run(plan, writer, has_work=first is not None))
    return _finish(options, run_id, result)


def _check_settings(config: RunConfig) -> None:
    """Refuses settings that would be stored with the run and not be true of it."""
    if config.grounding is not Grounding.BLIND:
        raise InputError(
            f"settings {config.name!r}: grounding {config.grounding.value!r} cannot be run yet",
            'no prompt shows a clinician\'s grade; set grounding = "blind"',
        )
    unknown = sorted(set(config.checks.warn_only) - CHECK_VERSIONS.keys())
    if unknown:
        raise InputError(
            f"settings {config.name!r}: checks.warn_only names no check: {unknown!r}",
            f"the checks are {', '.join(sorted(CHECK_VERSIONS))}",
        )


def _plan(options: GenerateOptions, config: RunConfig, writer: StoreWriter) -> _Plan:
    _check_settings(config)
    template = load_prompt(config.drafter.prompt_id, config.drafter.prompt_version)
    calibration = (
        None
        if config.calibration is None
        else load_calibration(options.config.parent / config.calibration)
    )
    control = Control.NONE if options.control is None else Control(options.control)
    selection = Selection(
        question_ids=parse_question_ids(
            config.questions if options.questions is None else options.questions
        ),
        visit=options.visit,
        limit=options.limit,
    )
    with writer.reading() as con:
        refuse_fit_on_test_store(calibration, con)
        if not select_volumes(con, selection):
            raise InputError(
                f"no volume of store {str(options.store)!r} matches"
                + (f" visit {options.visit!r}" if options.visit else ""),
                "`status` and `sql` show which volumes there are",
            )
        findings_ids = current_findings_ids(con)
    run = _new_run(options, config, template, calibration, control, findings_ids)
    with writer.reading() as con:
        resumes = find_run(con, run.fingerprint, run.kind, run.control)
    return _Plan(options, config, template, calibration, control, selection, run, resumes)


def _new_run(
    options: GenerateOptions,
    config: RunConfig,
    template: PromptTemplate,
    calibration: Calibration | None,
    control: Control,
    findings_ids: list[str],
) -> Run:
    drafter = config.drafter
    fingerprint = run_fingerprint(
        prompts=[template.ref],
        drafter_model=drafter.model,
        judge_model=None,
        sampling=drafter.sampling.as_sent(),
        max_revisions=config.batch.max_revisions,
        checks=CHECK_VERSIONS,
        warn_only=config.checks.warn_only,
        grounding=config.grounding,
        wording=config.wording,
        control=control,
        calibration=calibration,
        findings_ids=findings_ids,
    )
    return Run(
        run_id=new_run_id(),
        fingerprint=fingerprint,
        kind=RunKind.PRODUCTION if control is Control.NONE else RunKind.CONTROL,
        control=control,
        grounding=config.grounding,
        wording=config.wording,
        prompts=(template.ref,),
        drafter_model=drafter.model,
        judge_model=None,
        checks=CHECK_VERSIONS,
        sampling=drafter.sampling.as_sent(),
        provenance={
            "settings": config.name,
            "base_url": drafter.base_url,
            "model_licence": drafter.licence,
            "concurrency": str(config.batch.concurrency),
            "calibration": calibration.name if calibration else "none",
            "code": code_revision(),
            **{f"version.{name}": version(name) for name in _PACKAGES},
        },
    )


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


def _work(plan: _Plan, writer: StoreWriter, run_id: str | None) -> Iterator[WorkItem]:
    """Yields what is left to do, volume by volume."""
    if plan.control is Control.NONE:
        return (WorkItem(item) for item in writer.items(plan.selection, run_id=run_id))
    return _shuffled(plan, writer, run_id)


def _shuffled(plan: _Plan, writer: StoreWriter, run_id: str | None) -> Iterator[WorkItem]:
    """Yields each item with the same question of another patient's knee, where that has evidence.

    Raises:
        InputError: there is only one patient.
    """
    with writer.reading() as con:
        volumes = select_volumes(con, plan.selection)
    others = {volume: _other_patients_volume(volume, volumes) for volume in volumes}
    shown: dict[int, Item] = {}
    shown_volume = ""
    for item in writer.items(plan.selection, run_id=run_id):
        other = others[item.volume_id]
        if other != shown_volume:
            every = Selection((other,), plan.selection.question_ids, None, None, False)
            shown = {entry.question_id: entry for entry in writer.items(every)}
            shown_volume = other
        counterpart = shown.get(item.question_id)
        if counterpart is not None and _can_stand_in(counterpart, item):
            yield WorkItem(item, counterpart)


def _other_patients_volume(volume_id: str, volumes: list[str]) -> str:
    patient = parse_volume_id(volume_id).patient
    start = volumes.index(volume_id)
    for step in range(1, len(volumes)):
        other = volumes[(start + step) % len(volumes)]
        if parse_volume_id(other).patient != patient:
            return other
    raise InputError(
        f"the shuffled control needs volumes of two patients, there is only {patient!r}",
        "prepare more volumes",
    )


def _can_stand_in(other: Item, item: Item) -> bool:
    finding = other.finding
    return finding.box is not None and all(
        finding.evidence_for(component).level in TEXT_EVIDENCE for component in item.asked
    )


def _nothing_to_draft(plan: _Plan, writer: StoreWriter) -> int:
    """Tells why: nothing was read by a clinician, or nothing of it has evidence."""
    with writer.reading() as con:
        show_states(con, plan.selection)
    if plan.options.as_json:
        with writer.reading() as con:
            counts = selection_states(con, plan.selection)
        states: dict[str, JsonValue] = {state.value: n for state, n in counts.items()}
        emit_json({"run_id": None, "states": states, "report": None})
    say("nothing to draft: no item of the selection is both read by a clinician and has evidence")
    return 0


def _show_dry_run(plan: _Plan, writer: StoreWriter, first: WorkItem | None) -> int:
    with writer.reading() as con:
        show_states(con, plan.selection)
    if first is not None:
        context = plan.context(ChatClient(plan.config.drafter), plan.run.run_id)
        for message in prepare_task(first.item, context, first.shown).messages:
            say(f"--- {message.role}\n{message.content}")
    say("dry run: nobody was called and nothing was written")
    return 0


def _server(plan: _Plan) -> AbstractContextManager[RunningServer]:
    settings = serve_settings(plan.config, plan.options.config)
    log = default_log(plan.config)
    say(f"starting vLLM for {plan.config.drafter.model!r}; log: {log}")
    return running_server(settings, plan.config.drafter, log, WaitingLine())


async def _run(
    plan: _Plan, writer: StoreWriter, *, has_work: bool
) -> tuple[str, BatchResult | None]:
    """Probes the server, starts or resumes the run, and works off what is left."""
    batch = plan.config.batch
    async with ChatClient(
        plan.config.drafter,
        concurrency=batch.concurrency,
        allow_remote=plan.config.allow_remote,
    ) as client:
        if has_work:
            context = plan.context(client, plan.run.run_id)
            await preflight(
                client,
                plan.config.drafter.sampling,
                _longest_prompt(plan, writer, context),
                serve_hint=f"start one with `run_pipeline.py serve --config {plan.options.config}`"
                ", or add --serve",
            )
        with writer.transaction():
            writer.put_prompts([(p.ref, p.full_text) for p in list_prompts()])
            run_id, resumed = writer.start_or_resume_run(plan.run)
            writer.bind_volumes(run_id)
        with writer.reading() as con:
            total = count_left(con, run_id, plan.selection)
        say(f"run {run_id}: {'resumed, ' if resumed else ''}{total} item(s) to draft")
        if not has_work:
            writer.finish_run(run_id)
            return run_id, None
        progress = BatchProgress(total=total)
        with Journal(writer.path, run_id) as journal:
            async with (
                progress_shown(progress),
                OutcomeKeeper(writer, journal, run_id, batch) as keeper,
            ):
                result = await run_batch(
                    _work(plan, writer, run_id),
                    plan.context(client, run_id),
                    batch,
                    keeper.keep,
                    progress=progress,
                )
        writer.finish_run(run_id, "stopped" if result.stopped_early else "finished")
    return run_id, result


def _longest_prompt(
    plan: _Plan, writer: StoreWriter, context: GraphContext
) -> tuple[ChatMessage, ...] | None:
    """Returns the longest of the first prompts, to see that it fits into the context."""
    longest: tuple[ChatMessage, ...] | None = None
    length = -1
    for number, work in enumerate(_work(plan, writer, plan.resumes)):
        if number >= _PROMPT_SAMPLE:
            break
        messages = prepare_task(work.item, context, work.shown).messages
        size = sum(len(message.content) for message in messages)
        if size > length:
            longest, length = messages, size
    return longest


def _finish(options: GenerateOptions, run_id: str, result: BatchResult | None) -> int:
    summary = load_summary(options.store, run_id)
    report = write_report(options.store, run_id, options.cohort_root)
    if options.as_json:
        emit_json({**summary.as_json(), "report": str(report)})
    elif not options.quiet:
        show_summary(summary)
    if result is not None and result.stopped_early:
        say(f"{result.message}; {result.n_dropped} item(s) were in flight and stay pending")
        say(f"resume with: {shlex.join([sys.executable, *sys.argv])}")
    say(str(report))
    return 0 if result is None else result.exit_code
