"""What a run that shows slices settles before its first call, and where its slices come from."""

import json
from collections.abc import Iterable
from pathlib import Path

from agents.slice_source import ImageFile, SliceSource, SlicesUnavailable, shown_planes
from agents.state import ItemImages
from knee.errors import InputError
from knee.keys import canonical_json
from knee.questions import QUESTIONS
from knee.records import Item
from knee.run_config import ImageSettings, RunConfig
from prompts.registry import PromptTemplate
from stages.missing_images import refuse_without_images
from store.items import Selection, select_volumes
from store.reader import StoreReader
from store.shown_image_rows import StoredImage, stored_images
from tools.slice_images import RENDERING_VERSION


def check_image_settings(
    config: RunConfig, template: PromptTemplate, question_ids: tuple[int, ...]
) -> None:
    """Refuses image settings without a prompt for images, the reverse, and features left out.

    Raises:
        InputError: the prompt and the settings do not belong together, or the planes allowed leave
            a question without any.
    """
    images = config.drafter.images
    name = f"{template.prompt_id} v{template.version}"
    if images is None and template.shows_images:
        raise InputError(
            f"prompt {name!r} speaks of slices, and settings {config.name!r} show none",
            "add [drafter.images] to the settings file, or choose another prompt",
        )
    if images is not None and not template.shows_images:
        raise InputError(
            f"settings {config.name!r} show slices, and prompt {name!r} says nothing of them",
            'set prompt_id = "draft-images", or leave [drafter.images] out',
        )
    if images is not None:
        refuse_unseen(question_ids, images, repr(config.name))


def refuse_unseen(question_ids: Iterable[int], images: ImageSettings, name: str) -> None:
    """Refuses planes that leave a question without any; `name` is the settings', as told.

    Raises:
        InputError: they do.
    """
    asked = [QUESTIONS[n] for n in question_ids if QUESTIONS[n].has_region]
    unseen = {q.feature.value for q in asked if not shown_planes(q, images)}
    if unseen:
        raise InputError(
            f"settings {name}: drafter.images.planes {list(images.planes)!r} leave "
            f"{', '.join(sorted(unseen))} without a slice",
            "prompts/data/features.toml says in which planes each feature is read; add one of "
            "them, or leave these questions out",
        )


def images_identity(images: ImageSettings) -> str:
    """Returns what decides the pixels that a drafter is shown, as JSON."""
    return canonical_json({**images.identity, "rendering": RENDERING_VERSION})


def settings_of(identity: str) -> ImageSettings:
    """Returns the settings of a run's images, from `Run.images`."""
    values = json.loads(identity)
    return ImageSettings.model_validate({k: v for k, v in values.items() if k != "rendering"})


def image_files(stored: Iterable[StoredImage], cohort_root: Path | None) -> dict[str, ImageFile]:
    """Returns where the images of volumes lie, by volume id.

    Args:
        stored: what the store knows of them.
        cohort_root: where the cohort lies now; None takes where it was prepared.
    """
    return {
        entry.volume_id: ImageFile(
            None if entry.image is None else (cohort_root or Path(entry.cohort_root)) / entry.image,
            entry.sha256,
        )
        for entry in stored
    }


def open_slice_source(
    images: ImageSettings, store: StoreReader, selection: Selection, cohort_root: Path | None
) -> SliceSource:
    """Returns where the slices of a selection's items come from.

    Volumes whose image is away are told; their items will be `failed`, with the reason.

    Args:
        images: the settings.
        store: the store.
        selection: the volumes that may be asked about.
        cohort_root: where the cohort lies now; None takes where it was prepared.

    Raises:
        InputError: not one image is where it should be.
    """
    with store.reading() as con:
        wanted = set(select_volumes(con, selection))
        stored = [entry for entry in stored_images(con) if entry.volume_id in wanted]
    files = image_files(stored, cohort_root)
    # A control shows another patient's knee, which the selection's own visit may leave out.
    refuse_without_images({volume: file.path for volume, file in files.items()})
    return SliceSource(files, images)


def draw_first(source: SliceSource, items: list[Item]) -> tuple[Item, ItemImages]:
    """Returns the first of some items whose slices can be drawn, with them.

    Raises:
        InputError: none can.
    """
    trouble: SlicesUnavailable | None = None
    refused: set[str] = set()
    for item in items:
        if item.volume_id in refused:
            continue
        try:
            return item, source.draw_now(item)
        except SlicesUnavailable as error:
            trouble = trouble or error
            refused.add(item.volume_id)
    raise InputError(
        f"no slice of {len(refused)} volume(s) can be drawn"
        + ("" if trouble is None else f": {trouble.message}"),
        None if trouble is None else trouble.hint,
    )
