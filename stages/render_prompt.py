"""`prompts render`: a prompt for one item exactly as it would be sent, with its hash."""

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from agents.slice_source import SliceSource, SlicesUnavailable
from agents.state import ItemImages
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError
from knee.keys import JsonValue, parse_volume_id
from knee.questions import QUESTIONS
from knee.records import Grounding, Item, ItemState, Wording
from knee.run_config import ImageSettings, RunConfig, Sampling
from prompts.registry import PromptTemplate
from prompts.render import ChatMessage, hash_messages, render_draft
from stages.console import emit, emit_json, say
from stages.prompt_names import drafting_prompt, full_name
from stages.prompt_sample import sample_context
from stages.run_identity import check_grounding
from stages.run_images import check_image_settings, image_files, refuse_unseen
from stages.settings import load_settings
from store.connection import open_store
from store.items import Selection, load_items, select_volumes
from store.shown_image_rows import stored_images

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
    out: Path | None = None
    """Folder for the PNGs that would be sent; new, or empty."""
    cohort_root: Path | None = None
    """Where the images lie now."""
    as_json: bool = False
    """Print messages and hashes as JSON."""


def render(options: RenderOptions) -> int:
    """Renders a prompt; messages go to stdout, what is said of them to stderr.

    Raises:
        InputError: no such prompt, store, volume, question or settings; the item is not one that a
            run would draft; its image is away; or the folder cannot take the slices.
    """
    template = drafting_prompt(options.prompt)
    config = None if options.config is None else load_settings(options.config)
    if config is not None:
        check_grounding(config.grounding, template)
    wording = Wording.GUIDED if config is None else config.wording
    calibration = _calibration(config, options.config)
    _check_question(options.question)
    settings = _image_settings(template, config, options)
    if options.out is not None:
        _check_out(options.out, settings)
    if options.store is None:
        if options.volume is not None:
            raise InputError(f"volume {options.volume!r} of which store?", "name it with --store")
        question = QUESTIONS[options.question or _SAMPLE_QUESTION]
        messages = render_draft(template, sample_context(question, wording, calibration))
        shown = f"an invented knee, question {question.question_id}"
    else:
        item, images = _of_store(options, options.store, settings)
        messages = _as_sent(template, item, wording, calibration, images)
        shown = f"{item.volume_id}, question {item.question_id}"
    files = () if options.out is None else _write(options.out, messages)
    _show(template, messages, shown, as_json=options.as_json)
    if files:
        say(f"{len(files)} slice(s) written to {str(options.out)!r}")
    return 0


def _image_settings(
    template: PromptTemplate, config: RunConfig | None, options: RenderOptions
) -> ImageSettings | None:
    """Returns how slices are shown: as the settings say, else by default where a prompt has any."""
    if config is not None:
        check_image_settings(config, template, ())
        return config.drafter.images
    return ImageSettings() if template.shows_images else None


def _of_store(
    options: RenderOptions, store: Path, settings: ImageSettings | None
) -> tuple[Item, ItemImages | None]:
    with open_store(store, read_only=True) as con:
        item = _item(con, options, sees_images=settings is not None)
        if settings is None or not item.sees_images:
            return item, None
        files = image_files(stored_images(con), options.cohort_root)
    refuse_unseen((item.question_id,), settings, f"of {str(options.config)!r}")
    try:
        with closing(SliceSource(files, settings)) as source:
            return item, source.draw_now(item)
    except SlicesUnavailable as error:
        raise InputError(error.message, error.hint) from error


def _as_sent(
    template: PromptTemplate,
    item: Item,
    wording: Wording,
    calibration: Calibration | None,
    images: ItemImages | None,
) -> tuple[ChatMessage, ...]:
    context = GraphContext(
        run_id="none",
        model=ScriptedChatModel(lambda _: ""),
        template=template,
        sampling=Sampling(),
        max_revisions=0,
        wording=wording,
        grounding=Grounding.LABEL_GIVEN if template.gives_grades else Grounding.BLIND,
        calibration=calibration,
    )
    return prepare_task(item, context, images=images).messages


def _calibration(config: RunConfig | None, path: Path | None) -> Calibration | None:
    if config is None or path is None or config.calibration is None:
        return None
    return load_calibration(path.parent / config.calibration)


def _check_question(question_id: int | None) -> None:
    if question_id is not None and question_id not in QUESTIONS:
        raise InputError(f"no question {question_id!r}", "questions are 1 to 69")


def _item(con: duckdb.DuckDBPyConnection, options: RenderOptions, *, sees_images: bool) -> Item:
    """Returns the item that is named, or the first that a run would draft."""
    volume, question_id = options.volume, options.question
    volumes = None if volume is None else (parse_volume_id(volume).volume_id,)
    questions = None if question_id is None else (question_id,)
    named = volume is not None and question_id is not None
    selection = Selection(volumes, questions, pending_only=not named, sees_images=sees_images)
    if not select_volumes(con, selection):
        raise InputError(
            f"no ready volume {volume!r} in store {str(options.store)!r}"
            if volume
            else f"store {str(options.store)!r} has no ready volume",
            "`sql` lists them: SELECT volume_id FROM volumes",
        )
    item = next(iter(load_items(con, selection)), None)
    evidence = "no evidence" if sees_images else "no evidence in text"
    if item is None:
        wanted = "all questions" if question_id is None else f"question {question_id}"
        raise InputError(
            f"{wanted} of {volume or 'all volumes'!r}: no item that a run would draft",
            f"it has no region, no read grade or {evidence}",
        )
    if item.starting_state is not ItemState.PENDING or item.finding.box is None:
        why = item.finding.box_reason if item.finding.box is None else item.starting_state.value
        hint = "name an item that is `pending`"
        if item.starting_state is ItemState.NO_EVIDENCE and not sees_images:
            hint += "; what only the image shows needs a prompt that speaks of slices"
        raise InputError(
            f"question {item.question_id} of {item.volume_id!r} is not drafted: {why}", hint
        )
    return item


def _check_out(out: Path, settings: ImageSettings | None) -> None:
    if settings is None:
        raise InputError(
            f"there are no slices to write to {str(out)!r}: the prompt is of text alone",
            "name a prompt that speaks of slices (draft-images), or leave --out away",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{str(out)!r} is there already", "name a new folder, or an empty one")
    if not out.parent.is_dir():
        raise InputError(f"no such folder: {str(out.parent)!r}", "make it first")


def _write(out: Path, messages: tuple[ChatMessage, ...]) -> tuple[Path, ...]:
    """Writes the PNGs in the order sent: `01-sagittal-slice-63.png`; returns their paths."""
    images = [image for message in messages for image in message.images]
    if not images:
        raise InputError(
            f"the item is shown without slices, so that there are none for {str(out)!r}",
            "an invented knee has none: name a store with --store",
        )
    half = out.with_name(f".{out.name}.part")
    try:
        half.mkdir()
        for number, image in enumerate(images, start=1):
            name = image.label.partition(" (")[0].replace(" ", "-")
            (half / f"{number:02}-{name}.png").write_bytes(image.png)
        half.replace(out)
    except OSError as error:
        shutil.rmtree(half, ignore_errors=True)
        raise InputError(
            f"cannot write the slices to {str(out)!r}: {error.strerror}", "name another folder"
        ) from error
    return tuple(sorted(out.iterdir()))


def _show(
    template: PromptTemplate, messages: tuple[ChatMessage, ...], shown: str, *, as_json: bool
) -> None:
    sha256 = hash_messages(messages)
    if as_json:
        texts: list[JsonValue] = [_as_json(message) for message in messages]
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
        for image in message.images:
            emit(f"[{image.label}; PNG of {len(image.png):,} bytes, {image.sha256}]")
    words = sum(len(message.content.split()) for message in messages)
    say(f"{words} words; rendered text {sha256}")


def _as_json(message: ChatMessage) -> dict[str, JsonValue]:
    plain: dict[str, JsonValue] = {"role": message.role, "content": message.content}
    if message.images:
        plain["images"] = [image.model_dump(exclude={"png"}) for image in message.images]
    return plain
