"""`generate`: draft, check, compare and judge every pending item of a store; resumable.

Nothing is written before each server has answered a probe. A finished item is journalled and synced
before it counts, then committed in larger transactions (`stages.keeping`); what a killed run left
in the journal is committed by the next start.
"""

import asyncio
import shlex
import sys
from collections import Counter
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, closing
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from agents.batch import BatchResult, WorkItem, run_batch
from agents.check_pool import check_pool, n_check_workers
from agents.check_worker import CheckSetup
from agents.context import GraphContext
from agents.graph import prepare_task
from agents.llm_client import ChatClient, ChatModel
from agents.majority_drafter import MajorityDrafter
from agents.preflight import preflight
from agents.progress import BatchProgress, progress_shown
from agents.scripted_model import ScriptedChatModel
from agents.slice_source import SliceSource
from agents.vllm_server import RunningServer
from knee.errors import InputError
from knee.keys import JsonValue
from knee.records import Control
from knee.run_config import ModelEndpoint
from prompts.judging import render_judge
from prompts.registry import list_prompts
from prompts.render import ChatMessage
from stages.console import emit_json, say
from stages.control_table import control_json, load_control_report, show_control
from stages.controls import count_work, work_of
from stages.dry_run import dry_run
from stages.first_accepted import first_shown
from stages.judge_plan import SEES_NO_SLICES
from stages.keeping import OutcomeKeeper
from stages.prefix_cache import prefix_cache_told
from stages.question_words import question_words_of
from stages.quota_plan import show_choice
from stages.report import write_report
from stages.retrying import load_earlier_tries
from stages.run_images import draw_first, open_slice_source
from stages.run_plan import GenerateOptions, RunPlan, make_plan
from stages.serve import running_servers, servers_of
from stages.settings import load_settings
from stages.summary import load_summary, show_states, show_summary
from stages.token_estimate import STAND_IN_STEPS
from store.items import Selection
from store.journal import Journal
from store.prompt_sources import PromptSource, put_prompt_sources
from store.queries import selection_states
from store.question_rows import put_question_words
from store.quota_rows import put_choice
from store.writer import StoreWriter

__all__ = ["GenerateOptions", "GenerateResult", "generate", "run_generation"]

_PROMPT_SAMPLE = 256
"""Items whose prompts are rendered to find a long one for the probe."""


class GenerateResult(NamedTuple):
    """How a batch ended."""

    code: int
    """0 done, 1 items failed, 3 stopped early."""
    run_id: str | None
    """The run; None when nothing was started."""


def generate(options: GenerateOptions) -> int:
    """Runs a batch; returns 0, 1 when items failed, 3 when it stopped early.

    Raises:
        InputError: settings, prompt, quotas, selection or server are not as asked.
        StoreError: no store, a foreign one, or another command is writing it.
    """
    return run_generation(options).code


def run_generation(options: GenerateOptions) -> GenerateResult:
    """Runs a batch and tells which run it was.

    Raises:
        InputError: settings, prompt, quotas, selection or server are not as asked.
        StoreError: no store, a foreign one, or another command is writing it.
    """
    if options.dry_run:
        return GenerateResult(dry_run(options), None)
    with ExitStack() as stack:
        config = load_settings(options.config)
        writer = stack.enter_context(StoreWriter(options.store))
        if writer.recovered:
            say(f"{writer.recovered} finished item(s) came back from the journal")
        plan = make_plan(options, config, writer)
        if plan.quotas is not None and not options.quiet:
            show_choice(plan.quotas)
        left_out = Counter[str]()
        passed_over = Counter[str]()
        first = next(work_of(plan, writer, plan.resumes, left_out=passed_over), None)
        if first is None and plan.resumes is None:
            return GenerateResult(_nothing_to_draft(plan, writer, passed_over), None)
        if first is not None and options.serve:
            stack.enter_context(_servers(plan, writer))
        run_id, result = asyncio.run(_run(plan, writer, left_out, has_work=first is not None))
    return GenerateResult(_finish(plan, run_id, result, left_out), run_id)


def _nothing_to_draft(plan: RunPlan, writer: StoreWriter, left_out: Counter[str]) -> int:
    """Tells why: nothing was read by a clinician, nothing has evidence, or all is left out."""
    with writer.reading() as con:
        show_states(con, plan.selection)
        counts = selection_states(con, plan.selection)
    if plan.options.as_json:
        states: dict[str, JsonValue] = {state.value: n for state, n in counts.items()}
        emit_json({"run_id": None, "states": states, "report": None})
    for reason, n in left_out.items():
        say(f"{n} item(s) stay pending, {reason}")
    if left_out:
        say("nothing to draft: every item of the selection that could be is left out")
    else:
        say(
            "nothing to draft: no item of the selection is both read by a clinician and has "
            "evidence"
        )
    return 0


def _servers(plan: RunPlan, writer: StoreWriter) -> AbstractContextManager[list[RunningServer]]:
    """Returns the servers that a run needs; the first of its prompts must fit into them."""
    work = islice(work_of(plan, writer, plan.resumes), _PROMPT_SAMPLE)
    path = plan.options.config
    # The majority control drafts without a model.
    only = None if plan.majority is None else "judge"
    servers = servers_of(plan.config, path, only)
    items = [entry.shown or entry.item for entry in work]
    return running_servers(servers, plan.config, path, items=items)


async def _run(
    plan: RunPlan, writer: StoreWriter, left_out: Counter[str], *, has_work: bool
) -> tuple[str, BatchResult | None]:
    """Probes the servers, starts or resumes the run, and works off what is left.

    `left_out` counts by reason the items that a control cannot draft.
    """
    async with AsyncExitStack() as stack:
        drafter: ChatModel
        if plan.majority is not None:
            drafter = MajorityDrafter(plan.run.drafter_model)
        else:
            drafter = await _client(plan, plan.config.drafter, stack)
        judge = None if plan.judge is None else await _client(plan, plan.judge.endpoint, stack)
        images = None
        if has_work and plan.images is not None:
            images = stack.enter_context(closing(_slice_source(plan, writer)))
        if has_work:
            await _probe(plan, writer, drafter, judge, images)
        with writer.transaction():
            _put_prompts(plan, writer)
            run_id, resumed = writer.start_or_resume_run(plan.run)
            put_question_words(writer, run_id, question_words_of(plan.run.wording))
            writer.bind_volumes(run_id, plan.options.trial and plan.options.trial.volume_ids)
            if plan.quotas is not None:
                put_choice(writer, run_id, plan.quotas)
        total, missing = count_work(plan, writer, run_id)
        left_out.update(missing)
        say(f"run {run_id}: {'resumed, ' if resumed else ''}{total} item(s) to draft")
        for reason, n in missing.items():
            say(f"{n} item(s) stay pending, {reason}")
        if not has_work:
            writer.finish_run(run_id)
            return run_id, None
        async with prefix_cache_told(drafter):
            result = await _work_off(
                plan, writer, plan.context(drafter, run_id, judge, images), total
            )
        writer.finish_run(run_id, "stopped" if result.stopped_early else "finished")
    return run_id, result


def _put_prompts(plan: RunPlan, writer: StoreWriter) -> None:
    prompts = (*list_prompts(), plan.template)
    writer.put_prompts([(p.ref, p.full_text) for p in prompts])
    put_prompt_sources(writer, (PromptSource(p.sha256, p.source, p.settings_text) for p in prompts))


def _slice_source(plan: RunPlan, writer: StoreWriter) -> SliceSource:
    assert plan.images is not None, "only a run that shows slices has a source of them"
    # All volumes of the store: a shuffled control shows knees beside the selection's.
    return open_slice_source(plan.images, writer, Selection(), plan.options.cohort_root)


async def _client(plan: RunPlan, endpoint: ModelEndpoint, stack: AsyncExitStack) -> ChatClient:
    return await stack.enter_async_context(
        ChatClient(
            endpoint,
            concurrency=plan.config.batch.concurrency,
            allow_remote=plan.config.allow_remote,
        )
    )


async def _probe(
    plan: RunPlan,
    writer: StoreWriter,
    drafter: ChatModel,
    judge: ChatClient | None,
    images: SliceSource | None,
) -> None:
    """Asks every server of the run what it can do, before anything is sent or written."""
    start_one = f"start one with `run_pipeline.py serve --config {plan.options.config}`"
    if isinstance(drafter, ChatClient):
        context = plan.context(drafter, plan.run.run_id)
        prompt = _longest_prompt(plan, writer, context, images)
        report = await preflight(
            drafter,
            plan.config.drafter.sampling,
            prompt,
            n_images=sum(len(message.images) for message in prompt or ()),
            serve_hint=f"{start_one}, or add --serve",
        )
        say(report.line())
    if judge is not None:
        report = await preflight(
            judge,
            judge.endpoint.sampling,
            _long_judge_prompt(plan, writer),
            serve_hint="start the judge's server, or leave [judge] out of the settings",
        )
        say(f"judge: {report.line()}")
        if plan.images is not None:
            say(SEES_NO_SLICES)


def _long_judge_prompt(plan: RunPlan, writer: StoreWriter) -> tuple[ChatMessage, ...] | None:
    """Returns the rubric's prompt of one item with steps as long as drafts write them."""
    work = next(work_of(plan, writer, plan.resumes), None)
    if work is None or plan.judge is None:
        return None
    context = plan.context(ScriptedChatModel(lambda _: ""), plan.run.run_id)
    prompt = prepare_task(work.item, context).prompt
    return render_judge(plan.judge.rubric, prompt, STAND_IN_STEPS)


async def _work_off(
    plan: RunPlan, writer: StoreWriter, context: GraphContext, total: int
) -> BatchResult:
    batch = plan.config.batch
    progress = BatchProgress(total=total)
    drafter = context.model if isinstance(context.model, MajorityDrafter) else None
    earlier = load_earlier_tries(writer, context.run_id)
    if len(earlier):
        say(f"{len(earlier)} item(s) failed before and are tried again where they are selected")
    setup = CheckSetup(calibration=context.calibration, warn_only=tuple(sorted(context.warn_only)))
    with Journal(writer.path, context.run_id) as journal:
        async with (
            progress_shown(progress),
            check_pool(n_check_workers(batch), setup) as checkers,
            OutcomeKeeper(writer, journal, context.run_id, batch, earlier) as keeper,
        ):
            return await run_batch(
                work_of(plan, writer, context.run_id, drafter),
                replace(context, checkers=checkers),
                batch,
                first_shown(keeper.keep, plan.options.show_first_since),
                progress=progress,
            )


def _longest_prompt(
    plan: RunPlan, writer: StoreWriter, context: GraphContext, images: SliceSource | None
) -> tuple[ChatMessage, ...] | None:
    """Returns the longest of the first prompts, to see that it fits into the context.

    With images it is the one with most of them, and of those the one with the longest text.
    """
    sample = list(islice(work_of(plan, writer, plan.resumes), _PROMPT_SAMPLE))
    if not sample:
        return None

    def size(work: WorkItem) -> tuple[int, int]:
        messages = prepare_task(work.item, context, work.shown, work.held_against).messages
        seen = work.shown or work.item
        n_planes = len(images.planes(seen.question)) if images and seen.sees_images else 0
        return n_planes, sum(len(message.content) for message in messages)

    ordered = sorted(sample, key=size, reverse=True)
    longest, shown = ordered[0], None
    if images is not None and (longest.shown or longest.item).sees_images:
        seen = {id(work.shown or work.item): work for work in ordered}
        try:
            item, shown = draw_first(images, [work.shown or work.item for work in ordered])
            longest = seen[id(item)]
        except InputError:
            if plan.resumes is None:
                raise
            # All that a run has left may be what failed for its images: it fails with its reason.
    return prepare_task(longest.item, context, longest.shown, longest.held_against, shown).messages


def _finish(plan: RunPlan, run_id: str, result: BatchResult | None, left_out: Counter[str]) -> int:
    options = plan.options
    summary = load_summary(options.store, run_id)
    report = write_report(options.store, run_id, options.cohort_root)
    control = None
    if plan.control is not Control.NONE:
        control = load_control_report(options.store, plan.control, summary, plan.beside, left_out)
    if options.as_json:
        beside = {} if control is None else {"control": control_json(control)}
        emit_json({**summary.as_json(), **beside, "report": str(report)})
    elif not options.quiet:
        show_summary(summary)
    if control is not None and not options.quiet:
        show_control(control)
    if result is not None and result.stopped_early:
        say(f"{result.message}; {result.n_dropped} item(s) were in flight and stay pending")
        say(f"resume with: {shlex.join([sys.executable, *sys.argv])}")
    say(str(report))
    return 0 if result is None else result.exit_code
