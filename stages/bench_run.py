"""`bench run`: puts a bench's items to a model, each of which ends as a row; resumable.

Nothing is written before the server has answered a probe with the fullest prompt of the selection.
"""

import asyncio
import shlex
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from agents.llm_client import ChatClient, ChatModel
from agents.open_volumes import SlicesUnavailable
from agents.preflight import preflight
from agents.scripted_model import ScriptedChatModel
from agents.server_guard import ServerGuard
from agents.vllm_server import CHECKOUT, running_server
from eval.bench_config import BenchConfig, load_bench_config
from eval.bench_files import Bench, read_bench
from eval.bench_prompts import Asked, setting_prompt
from eval.bench_records import (
    FORMAT_VERSION,
    AnswerStatus,
    BenchControl,
    BenchItem,
    BenchPart,
    BenchVolume,
    PredictionRun,
    Setting,
)
from eval.bench_selection import ChosenItems, ItemSelection, choose_items, left_to_do
from eval.other_patients import other_patients
from eval.picture_source import NO_PLANE, PictureSource
from eval.prediction_log import PredictionKeeper, PredictionLog
from eval.vlm_runner import BenchProgress, BenchQuestioner, RunEnd, run_items
from knee.errors import InputError
from prompts.registry import PromptTemplate
from prompts.render import ChatMessage
from stages.console import emit_json, percent, say
from stages.missing_images import refuse_without_images
from stages.run_identity import code_revision
from stages.serve import WaitingLine
from stages.transfer_guard import refuse_bench_transfer

_LINE_EVERY_S: Final = 10.0
_CHARACTERS_A_TOKEN: Final = 5.0
"""More than tokenizers make of English: the estimate never refuses what would fit."""


@dataclass(frozen=True, slots=True)
class BenchRunOptions:
    """What the command line says."""

    bench: Path
    """Folder of the bench."""
    config: Path
    """Settings file."""
    out: Path
    """Folder of the predictions."""
    setting: str
    """How items are put."""
    control: str = "none"
    """What is withheld."""
    cohort_root: Path | None = None
    """Where the images lie."""
    part: str | None = None
    """Only items of this part."""
    questions: str | None = None
    """Ids and ranges."""
    limit: int | None = None
    """Items at most."""
    retry_failed: bool = False
    """Ask failed items again."""
    serve: bool = False
    """Bring the server up and down."""
    as_json: bool = False
    """Print the counts on stdout."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is settled before the first call."""

    options: BenchRunOptions
    config: BenchConfig
    bench: Bench
    setting: Setting
    control: BenchControl
    template: PromptTemplate
    chosen: ChosenItems
    others: dict[str, BenchVolume | None]

    @property
    def run(self) -> PredictionRun:
        """The run that the predictions are of."""
        config = self.config
        basis = config.external_transfer_basis
        provenance = {
            "settings": config.name,
            "base_url": config.model.base_url,
            "commit": code_revision(),
            "bench": self.bench.manifest.name,
            **({} if basis is None else {"external_transfer_basis": basis}),
        }
        return PredictionRun(
            format_version=FORMAT_VERSION,
            bench_id=self.bench.manifest.bench_id,
            model=config.model.model,
            licence=config.model.licence,
            setting=self.setting,
            control=self.control,
            prompt=self.template.ref,
            coordinates=config.model.coordinates,
            images=config.pictures.identity,
            sampling=config.model.sent,
            schema_constrained=config.model.schema_constrained,
            n_items=len(self.chosen.items),
            limited_to=self.chosen.limited_to,
            provenance=provenance,
        )


def bench_run(options: BenchRunOptions) -> int:
    """Asks what is left of a run; returns 0, 1 when items failed, 3 when it stopped early.

    Raises:
        InputError: settings, server, model or images are not as asked.
        BenchError: no bench, one of another version, nothing selected, or a folder of another run.
    """
    plan = _make_plan(options)
    with ExitStack() as stack:
        log = PredictionLog(options.out, plan.run)
        log.check()
        source = stack.enter_context(closing(_open_source(plan)))
        fullest = _fullest_prompt(plan, source)
        _refuse_too_much(plan.config, fullest)
        if options.serve:
            stack.enter_context(_server(plan.config, options.config))
        end = asyncio.run(_run(plan, log, source, fullest))
    return _finish(plan, log, end)


def _make_plan(options: BenchRunOptions) -> _Plan:
    config = load_bench_config(options.config)
    setting, control = Setting(options.setting), BenchControl(options.control)
    template = setting_prompt(setting, config.model.prompt_version)
    bench = read_bench(options.bench)
    part = None if options.part is None else BenchPart(options.part)
    chosen = choose_items(bench.items(), ItemSelection(part, options.questions, options.limit))
    needs_other = control is BenchControl.OTHER_PATIENT_IMAGE
    others = other_patients(tuple(bench.volumes.values())) if needs_other else {}
    asked = {item.volume_id for item in chosen.items}
    sent = [bench.volumes[volume_id] for volume_id in sorted(asked)]
    sent += [other for volume_id in sorted(asked) if (other := others.get(volume_id)) is not None]
    refuse_bench_transfer(config, sent)
    return _Plan(options, config, bench, setting, control, template, chosen, others)


def _questioner(plan: _Plan, source: PictureSource, model: ChatModel) -> BenchQuestioner:
    return BenchQuestioner(
        volumes=plan.bench.volumes,
        source=source,
        model=model,
        config=plan.config,
        setting=plan.setting,
        template=plan.template,
        control=plan.control,
        others=plan.others,
    )


def _open_source(plan: _Plan) -> PictureSource:
    """Returns where the pictures come from, after a look at what is away.

    Raises:
        InputError: nobody said where the images are, or not one of them is there.
    """
    options = plan.options
    if plan.control is BenchControl.NO_IMAGE:
        return PictureSource(Path(), plan.config, plan.setting)
    if options.cohort_root is None:
        raise InputError(
            f"the bench {plan.bench.manifest.name!r} names images relative to their cohort",
            "say where it lies with --cohort-root, or use --control no_image",
        )
    source = PictureSource(options.cohort_root, plan.config, plan.setting)
    ids = sorted({item.volume_id for item in plan.chosen.items})
    shown = [plan.others.get(i) if plan.others else plan.bench.volumes[i] for i in ids]
    paths = {v.volume_id: source.path_of(v) for v in shown if v is not None}
    try:
        refuse_without_images(paths)
    except InputError:
        source.close()
        raise
    return source


def _fullest_prompt(plan: _Plan, source: PictureSource) -> Asked:
    """Returns the prompt with most pictures, and of those the one with the longest text.

    Raises:
        InputError: not one item's pictures can be drawn.
    """
    asker = _questioner(plan, source, ScriptedChatModel(lambda _: ""))
    by_kind: dict[tuple[str, ...], list[BenchItem]] = {}  # one of each kind is enough
    for item in plan.chosen.items:
        kind = (item.question.feature.value, *(c.component.value for c in item.components))
        by_kind.setdefault(kind, []).append(item)

    def size(items: list[BenchItem]) -> tuple[int, int]:
        try:
            laid_out = source.draw_now(items[0], plan.bench.volumes[items[0].volume_id], None)
        except SlicesUnavailable:
            return (0, 0)
        messages = asker.ask(items[0], laid_out).messages
        return len(laid_out.series.images), _n_characters(messages)

    trouble: SlicesUnavailable | None = None
    refused: set[str] = set()
    for item in chain.from_iterable(sorted(by_kind.values(), key=size, reverse=True)):
        if item.volume_id in refused:
            continue
        try:
            shown = asker.shown_volume(item)
            drawn = source.draw_now(item, plan.bench.volumes[item.volume_id], shown)
        except SlicesUnavailable as error:
            trouble = trouble or error
            if error.code != NO_PLANE:
                refused.add(item.volume_id)
            continue
        return asker.ask(item, drawn)
    assert trouble is not None, "a selection has items"
    raise InputError(f"no picture can be drawn: {trouble.message}", trouble.hint)


def _refuse_too_much(config: BenchConfig, fullest: Asked) -> None:
    """Holds pictures and text against the model's limits before the server is asked.

    Raises:
        InputError: too many pictures, or more tokens than the context holds.
    """
    n_images = _n_images(fullest.messages)
    model = config.model
    if model.max_images is not None and n_images > model.max_images:
        raise InputError(
            f"an item has {n_images} picture(s), and {model.model!r} takes "
            f"{model.max_images!r} at most",
            "lower pictures.n_slices or pictures.max_planes, or raise model.max_images",
        )
    if config.context is None:
        return
    images = n_images * model.tokens_per_image
    text = int(_n_characters(fullest.messages) / _CHARACTERS_A_TOKEN)
    wanted = images + text + model.sampling.max_tokens
    if wanted > config.context:
        raise InputError(
            f"an item needs {wanted} tokens at least: {n_images} picture(s) of "
            f"{model.tokens_per_image} are {images}, the text {text} or more, an answer up to "
            f"{model.sampling.max_tokens}; the context of {model.model!r} holds {config.context}",
            "lower pictures.n_slices or pictures.max_pixels, or serve with a larger max_model_len",
        )


async def _run(plan: _Plan, log: PredictionLog, source: PictureSource, fullest: Asked) -> RunEnd:
    async with AsyncExitStack() as stack:
        config = plan.config
        client = await stack.enter_async_context(
            ChatClient(
                config.model,
                concurrency=config.load.concurrency,
                allow_remote=config.allow_remote,
            )
        )
        report = await preflight(
            client,
            config.model.sampling,
            fullest.messages,
            n_images=_n_images(fullest.messages),
            has_schema=config.model.schema_constrained,
            images_setting="pictures",
            serve_hint="add --serve to start one from the settings file, or start your own",
        )
        say(report.line())
        stack.enter_context(log)
        if plan.options.retry_failed:
            say(f"{log.drop_failed()} failed item(s) are asked again")
        left = left_to_do(plan.chosen.items, log.statuses)
        say(f"{len(left)} of {len(plan.chosen.items)} item(s) to ask: {_words(plan)}")
        progress = BenchProgress(len(plan.chosen.items))
        progress.counts.update(log.counts)
        guard = ServerGuard(client, wait_s=config.load.server_wait_s, on_outage=_tell_outage)
        ticker = asyncio.create_task(_tell_progress(progress))
        try:
            return await run_items(
                left,
                _questioner(plan, source, guard).answer,
                PredictionKeeper(log).keep,
                concurrency=config.load.concurrency,
                progress=progress,
            )
        finally:
            ticker.cancel()
            await guard.close()


def _tell_outage(trouble: str | None) -> None:
    say("the server is back" if trouble is None else f"the server is away: {trouble}")


async def _tell_progress(progress: BenchProgress) -> None:
    start, before = time.monotonic(), progress.done
    while True:
        await asyncio.sleep(_LINE_EVERY_S)
        rate = (progress.done - before) / (time.monotonic() - start)
        say(f"  {progress.done}/{progress.total}  {_counts(progress)}  {rate:.1f}/s")


def _counts(progress: BenchProgress) -> str:
    return ", ".join(f"{progress.counts[status]} {status.value}" for status in AnswerStatus)


def _words(plan: _Plan) -> str:
    control = "" if plan.control is BenchControl.NONE else f", control {plan.control.value}"
    limited = "" if plan.chosen.limited_to is None else f" ({plan.chosen.limited_to})"
    return f"setting {plan.setting.value}{control}{limited}"


@contextmanager
def _server(config: BenchConfig, path: Path) -> Generator[None]:
    """Brings the server of a settings file up and down.

    Raises:
        InputError: the file has no [serve] part.
    """
    if config.serve is None:
        raise InputError(
            f"settings file {str(path)!r} has no [serve] part",
            "add one (see configs/bench/tiny.toml), or start your server yourself",
        )
    log = CHECKOUT / ".cache" / "serve" / f"{config.name}.log"
    say(f"starting vLLM for {config.model.model!r}; log: {log}")
    with running_server(config.serve, config.model, log, WaitingLine()):
        yield


def _finish(plan: _Plan, log: PredictionLog, end: RunEnd) -> int:
    counts = log.counts
    done = sum(counts.values())
    if plan.options.as_json:
        emit_json(
            {
                "predictions": str(plan.options.out),
                "n_items": len(plan.chosen.items),
                "statuses": {status.value: counts[status] for status in AnswerStatus},
                "stopped": end.stopped,
            }
        )
    for status in AnswerStatus:
        say(f"{status.value}: {percent(counts[status], done)}")
    if end.stopped is not None:
        say(f"{end.stopped}; {end.n_dropped} item(s) were in flight and have no row")
        say(f"resume with: {shlex.join([sys.executable, *sys.argv])}")
    say(str(plan.options.out))
    if end.stopped is not None:
        return 3
    return 1 if counts[AnswerStatus.FAILED] else 0


def _n_images(messages: Iterable[ChatMessage]) -> int:
    return sum(len(message.images) for message in messages)


def _n_characters(messages: Iterable[ChatMessage]) -> int:
    labels = sum(len(image.label) for message in messages for image in message.images)
    return labels + sum(len(message.content) for message in messages)
