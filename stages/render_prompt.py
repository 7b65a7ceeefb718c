"""`prompts render`: a prompt for one item exactly as it would be sent, with its hash."""

from dataclasses import dataclass
from pathlib import Path

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError
from knee.keys import JsonValue, parse_volume_id
from knee.questions import QUESTIONS
from knee.records import Item, ItemState, Wording
from knee.run_config import RunConfig, Sampling
from prompts.registry import PromptTemplate
from prompts.render import ChatMessage, hash_messages, render_draft
from stages.console import emit, emit_json, say
from stages.prompt_names import drafting_prompt, full_name
from stages.prompt_sample import sample_context
from stages.settings import load_settings
from store.connection import open_store
from store.items import Selection, load_items, select_volumes

_SAMPLE_QUESTION = 19


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What the command line says."""

    prompt: str
    """Name, or path of a template file."""
    store: Path | None = None
    """Where the item lies; None renders an invented one."""
    volume: str | None = None
    """Volume id; the first of the store that can be drafted when None."""
    question: int | None = None
    """Question id; the first that can be drafted when None."""
    config: Path | None = None
    """Settings file: wording and calibration are its."""
    as_json: bool = False
    """Print messages and hashes as JSON."""


def render(options: RenderOptions) -> int:
    """Renders a prompt; messages go to stdout, what is said of them to stderr.

    Raises:
        InputError: no such prompt, store, volume, question or settings, or the item is not one
            that a run would draft.
    """
    template = drafting_prompt(options.prompt)
    config = None if options.config is None else load_settings(options.config)
    wording = Wording.GUIDED if config is None else config.wording
    calibration = _calibration(config, options.config)
    _check_question(options.question)
    if options.store is None:
        if options.volume is not None:
            raise InputError(f"volume {options.volume!r} of which store?", "name it with --store")
        question = QUESTIONS[options.question or _SAMPLE_QUESTION]
        messages = render_draft(template, sample_context(question, wording, calibration))
        shown = f"an invented knee, question {question.question_id}"
    else:
        item = _item(options.store, options.volume, options.question)
        messages = _as_sent(template, item, wording, calibration)
        shown = f"{item.volume_id}, question {item.question_id}"
    _show(template, messages, shown, as_json=options.as_json)
    return 0


def _as_sent(
    template: PromptTemplate, item: Item, wording: Wording, calibration: Calibration | None
) -> tuple[ChatMessage, ...]:
    context = GraphContext(
        run_id="none",
        model=ScriptedChatModel(lambda _: ""),
        template=template,
        sampling=Sampling(),
        max_revisions=0,
        wording=wording,
        calibration=calibration,
    )
    return prepare_task(item, context).messages


def _calibration(config: RunConfig | None, path: Path | None) -> Calibration | None:
    if config is None or path is None or config.calibration is None:
        return None
    return load_calibration(path.parent / config.calibration)


def _check_question(question_id: int | None) -> None:
    if question_id is not None and question_id not in QUESTIONS:
        raise InputError(f"no question {question_id!r}", "questions are 1 to 69")


def _item(store: Path, volume: str | None, question_id: int | None) -> Item:
    """Returns the item that is named, or the first that a run would draft."""
    volumes = None if volume is None else (parse_volume_id(volume).volume_id,)
    questions = None if question_id is None else (question_id,)
    named = volume is not None and question_id is not None
    selection = Selection(volumes, questions, pending_only=not named)
    with open_store(store, read_only=True) as con:
        if not select_volumes(con, selection):
            raise InputError(
                f"no ready volume {volume!r} in store {str(store)!r}"
                if volume
                else f"store {str(store)!r} has no ready volume",
                "`sql` lists them: SELECT volume_id FROM volumes",
            )
        item = next(iter(load_items(con, selection)), None)
    if item is None:
        wanted = "all questions" if question_id is None else f"question {question_id}"
        raise InputError(
            f"{wanted} of {volume or 'all volumes'!r}: no item that a run would draft",
            "it has no region, no read grade or no evidence in text",
        )
    if item.starting_state is not ItemState.PENDING or item.finding.box is None:
        why = item.finding.box_reason if item.finding.box is None else item.starting_state.value
        raise InputError(
            f"question {item.question_id} of {item.volume_id!r} is not drafted: {why}",
            "name an item that is `pending`",
        )
    return item


def _show(
    template: PromptTemplate, messages: tuple[ChatMessage, ...], shown: str, *, as_json: bool
) -> None:
    sha256 = hash_messages(messages)
    if as_json:
        texts: list[JsonValue] = [{"role": m.role, "content": m.content} for m in messages]
        emit_json(
            {
                "prompt": template.ref.model_dump(),
                "item": shown,
                "messages": texts,
                "prompt_text_sha256": sha256,
            }
        )
        return
    say(f"prompt {full_name(template)}, {template.sha256}")
    say(f"for {shown}")
    for message in messages:
        emit(f"--- {message.role}\n{message.content}")
    words = sum(len(message.content.split()) for message in messages)
    say(f"{words} words; rendered text {sha256}")
