"""One item with all that the store and the templates know of it, for `explain`."""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from agents.slice_source import stored_slices
from agents.state import ItemImages, ItemTask
from agents.vllm_server import CHECKOUT
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError
from knee.findings import VolumeFindings
from knee.grades import ClinicianGrade
from knee.keys import ItemKey
from knee.questions import QUESTIONS, Question
from knee.records import (
    Attempt,
    CheckSeverity,
    Control,
    Item,
    ItemState,
    PromptRef,
    Run,
    VolumeRecord,
)
from knee.run_config import Sampling
from knee.shown_images import ShownImages
from prompts.registry import PromptKind, PromptTemplate, prompt_kind
from prompts.render import ChatMessage, hash_messages, render_revision
from stages.rechecking import shown_items
from stages.run_plan import load_configured_calibration
from stages.sent_slices import SliceDrawer
from stages.sent_template import sent_template
from stages.settings import load_settings
from store.item_history import ItemHistory, load_history
from store.items import Selection, load_grades, load_items
from store.loading import load_findings, load_run, load_volume

_NO_CALIBRATION = "none"
_UNDRAWN = "its slices are left out here: `explain --out` draws them"


@dataclass(frozen=True, slots=True)
class SentPrompt:
    """The messages of one attempt, rendered again."""

    messages: tuple[ChatMessage, ...]
    """Empty where they could not be rendered."""
    warning: str | None
    """Why these may not be the messages that were sent; None when the hash is the stored one."""
    no_pixels: str | None = None
    """Why the slices stand there without their pixels; None when they have them, or there are
    none."""


@dataclass(frozen=True, slots=True)
class ExplainedItem:
    """What is known of one (volume, question)."""

    volume: VolumeRecord
    """The volume."""
    question: Question
    """The question."""
    grades: tuple[ClinicianGrade, ...]
    """The clinician's current grades; empty when the knee-visit is in no table."""
    item: Item | None
    """Finding and grades; None where there is no finding."""
    findings: VolumeFindings | None
    """The findings that it belongs to; None as above."""
    run: Run | None
    """The run; None in a store that has none."""
    history: ItemHistory | None
    """What the run did with it."""
    prompts: tuple[SentPrompt, ...]
    """Of each attempt; of an item that is still to be drafted, the one that would be sent."""

    @property
    def state(self) -> ItemState:
        """Its state in the run; without one, the state in which it would start."""
        if self.history is not None and self.history.state is not None:
            return self.history.state
        return ItemState.NO_REGION if self.item is None else self.item.starting_state

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt of the run."""
        outcome = None if self.history is None else self.history.outcome
        return () if outcome is None else outcome.attempts


def load_explained(
    con: duckdb.DuckDBPyConnection,
    key: ItemKey,
    run_id: str | None,
    config: Path | None,
    slices: SliceDrawer | None = None,
) -> ExplainedItem:
    """Returns one item of a store.

    Args:
        con: an open store.
        key: the item; its volume is in the store.
        run_id: a run of the store; None without one.
        config: settings whose calibration the prompts are rendered with; None looks for the one
            that the run names among the project's own.
        slices: draws the slices that were sent; None leaves them at labels and hashes.

    Raises:
        InputError: the settings are not as asked.
    """
    volume = load_volume(con, key.volume_id)
    chosen = Selection((key.volume_id,), (key.question_id,), pending_only=False)
    item = next(iter(load_items(con, chosen, run_id=run_id)), None)
    grades = load_grades(con, volume.patient, volume.visit, volume.side)
    run = None if run_id is None else load_run(con, run_id)
    history = None if run_id is None else load_history(con, run_id, key)
    prompts: tuple[SentPrompt, ...] = ()
    if run is not None and history is not None and item is not None:
        calibration, trouble = _calibration(run, config)
        rendering = _Rendering(con, item, run, calibration, slices)
        prompts = _prompts(rendering, history, trouble)
    return ExplainedItem(
        volume=volume,
        question=QUESTIONS[key.question_id],
        grades=tuple(grades.get(key.question_id, ())),
        item=item,
        findings=None if item is None else load_findings(con, key.volume_id, item.findings_id),
        run=run,
        history=history,
        prompts=prompts,
    )


@dataclass(frozen=True, slots=True)
class _Rendering:
    """What every prompt of one item is rendered from."""

    con: duckdb.DuckDBPyConnection
    item: Item
    run: Run
    calibration: Calibration | None
    slices: SliceDrawer | None

    def context(self, template: PromptTemplate) -> GraphContext:
        """Returns the run's context as far as prompts depend on it."""
        return GraphContext(
            run_id=self.run.run_id,
            model=ScriptedChatModel(lambda _: ""),
            template=template,
            sampling=Sampling(),
            max_revisions=0,
            wording=self.run.wording,
            grounding=self.run.grounding,
            calibration=self.calibration,
        )


def _prompts(
    rendering: _Rendering, history: ItemHistory, trouble: str | None
) -> tuple[SentPrompt, ...]:
    """Returns the prompts of an item's attempts; `trouble`: the calibration is not at hand."""
    item, run, outcome = rendering.item, rendering.run, history.outcome
    if outcome is None:
        if item.starting_state is not ItemState.PENDING or run.control is not Control.NONE:
            return ()
        ref = next(p for p in run.prompts if prompt_kind(p.prompt_id) is PromptKind.DRAFT)
        slices, missing = _drawn(rendering, item, None)
        sent = _render(rendering, (ref, None, None), (item, item), slices)
        return (replace(sent, no_pixels=missing),)
    shown = shown_items(rendering.con, run.control, item, outcome)
    if shown is None:
        gone = "the findings that the drafter saw are not the current ones of any volume any more"
        return tuple(SentPrompt((), gone) for _ in outcome.attempts)
    slices, missing = _drawn(rendering, shown[0], outcome.images)
    before: list[Attempt | None] = [None, *outcome.attempts]
    rendered = [
        _render(rendering, (attempt.prompt, attempt, earlier), shown, slices)
        for attempt, earlier in zip(outcome.attempts, before, strict=False)
    ]
    return tuple(
        replace(
            s,
            warning=f"{s.warning}; {trouble}" if s.warning and trouble else s.warning,
            no_pixels=missing,
        )
        for s in rendered
    )


def _drawn(
    rendering: _Rendering, shown: Item, stored: ShownImages | None
) -> tuple[ItemImages | None, str | None]:
    """Returns the slices of an item, and why their pixels are not at hand."""
    settings = rendering.run.images
    if settings is None or (stored is None and not shown.sees_images):
        return None, None
    if rendering.slices is None:
        return (None, _UNDRAWN) if stored is None else (stored_slices(stored), None)
    return rendering.slices.draw(shown, settings, stored)


def _render(
    rendering: _Rendering,
    of: tuple[PromptRef, Attempt | None, Attempt | None],
    shown: tuple[Item, Item],
    slices: ItemImages | None,
) -> SentPrompt:
    """Renders the prompt of one attempt; `of`: its template, the attempt, and the one before."""
    ref, attempt, earlier = of
    try:
        template, changed = sent_template(rendering.con, ref)
        context = rendering.context(template)
        task = prepare_task(rendering.item, context, *shown, slices)
        messages = task.messages
        # Behind a try that failed an attempt may be a first draft again (stages.retrying).
        sent_anew = attempt is not None and hash_messages(messages) == attempt.prompt_text_sha256
        if earlier is not None and not sent_anew:
            messages = _revision(context, task, earlier)
    except InputError as error:
        return SentPrompt((), f"it cannot be rendered: {error.message}")
    if attempt is None or hash_messages(messages) == attempt.prompt_text_sha256:
        return SentPrompt(messages, None)
    why = changed or "what the template shows was changed since"
    return SentPrompt(messages, f"this is not what was sent, its hash differs: {why}")


def _revision(context: GraphContext, task: ItemTask, earlier: Attempt) -> tuple[ChatMessage, ...]:
    failed = tuple(i for i in earlier.issues if i.severity is CheckSeverity.FAIL)
    parts = () if task.images is None else task.images.parts
    return render_revision(context.template, task.prompt, earlier.text, failed, parts)


def _calibration(run: Run, config: Path | None) -> tuple[Calibration | None, str | None]:
    """Returns the calibration of a run, and what to say where it is not at hand.

    The hash of the rendered prompt tells in the end whether it was the right one.
    """
    if config is not None:
        return load_configured_calibration(load_settings(config), config), None
    name = run.provenance.get("calibration", _NO_CALIBRATION)
    if name == _NO_CALIBRATION:
        return None, None
    for path in sorted((CHECKOUT / "configs").glob("calibration*.toml")):
        calibration = load_calibration(path)
        if calibration.name == name:
            return calibration, None
    return None, f"the run's calibration {name!r} is not at hand: name its settings with --config"
