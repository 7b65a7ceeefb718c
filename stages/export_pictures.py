"""Draws the slices of chats into an export, and proves that a drafter saw the very same picture."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from agents.slice_source import shown_planes
from knee.anatomy import Side
from knee.errors import InputError
from knee.geometry import voxel_box
from knee.questions import QUESTIONS
from knee.run_config import ImageSettings
from stages.export_slices import UNSEEN, SliceRef, is_seen
from stages.export_writers import Row
from store.shown_image_rows import StoredImage
from tools.planes import Window, default_window
from tools.slice_images import RENDERING_VERSION, SliceImage, SliceStyle, draw_slices
from tools.volumes import Volume, load_volume

_BOX = ("i0", "i1", "j0", "j1", "k0", "k1")
_MOVED = "if the cohort was moved, say where it is with --cohort-root"


class Renaming(NamedTuple):
    """How the rows of an export name things; without pseudonyms as the store does."""

    volume: Callable[[str], str]
    run: Callable[[str], str]
    digest: Callable[[str], str]


PLAIN = Renaming(str, str, str)
"""The store's own names."""


class ChatPictures:
    """Writes the pictures of rows that come volume by volume; the volume read last is kept."""

    def __init__(
        self,
        folder: Path,
        images: Iterable[StoredImage],
        run_images: dict[str, str],
        cohort_root: Path | None,
        names: Renaming = PLAIN,
    ) -> None:
        """Reads nothing yet.

        Args:
            folder: the export.
            images: where the images of the store's volumes are.
            run_images: run id to how its slices were drawn, as JSON.
            cohort_root: where the cohort lies now; None takes where it was prepared.
            names: what the rows call volumes, runs and hashes.
        """
        self.n_written = 0
        """Pictures so far."""
        self._folder = folder
        self._images = {names.volume(image.volume_id): image for image in images}
        self._settings = {names.run(run): _settings(run, text) for run, text in run_images.items()}
        self._root = cohort_root
        self._names = names
        self._read: tuple[str, Volume, Window] | None = None

    def draw(self, row: Row, slices: tuple[SliceRef, ...]) -> tuple[SliceRef, ...]:
        """Writes the pictures of a row; returns its slices with hash and box of each.

        Raises:
            InputError: the image is away, is another one, or a picture is not what was shown.
        """
        if not slices:
            return slices
        volume, window = self._volume(row)
        settings = self._settings[row["run_id"]] if is_seen(row) else UNSEEN
        planes = shown_planes(QUESTIONS[int(row["question_id"])], settings)
        box = voxel_box(*(int(row["box"][name]) for name in _BOX))
        drawn = draw_slices(volume, box, Side(row["side"]), planes, window, _style(settings))
        return tuple(self._write(row, ref, image) for ref, image in _pairs(row, slices, drawn))

    def _write(self, row: Row, ref: SliceRef, image: SliceImage) -> SliceRef:
        digest = self._names.digest(image.shown.sha256)
        if ref.sha256 not in (None, digest):
            raise InputError(
                f"{row['volume_id']} question {row['question_id']}: {image.shown.name} drawn again "
                "is not the picture that the drafter was shown",
                "the image file is another one, or this program draws otherwise: take the version "
                "that made the run, or leave the pictures out",
            )
        path = self._folder / ref.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.png)
        self.n_written += 1
        return ref._replace(sha256=digest, box_pixels=list(image.shown.box_pixels))

    def _volume(self, row: Row) -> tuple[Volume, Window]:
        name = str(row["volume_id"])
        if self._read is None or self._read[0] != name:
            self._read = (name, *self._open(name))
        volume, window = self._read[1:]
        known = {self._names.digest(f): sha for f, sha in self._images[name].sha256.items()}
        if known.get(row["findings_id"]) != volume.sha256:
            raise InputError(
                f"the image of {name!r} is not the one that its findings were made from",
                "prepare the cohort again, and leave stale rows out",
            )
        return volume, window

    def _open(self, name: str) -> tuple[Volume, Window]:
        stored = self._images.get(name)
        if stored is None or stored.image is None:
            raise InputError(f"volume {name!r} has no image", "leave the pictures out")
        path = (self._root or Path(stored.cohort_root)) / stored.image
        if not path.exists():
            raise InputError(f"the image of {name!r} is not at {str(path)!r}", _MOVED)
        volume = load_volume(path)
        return volume, default_window(volume, UNSEEN.percentiles)


def _settings(run_id: str, text: str) -> ImageSettings:
    """Returns how a run's slices were drawn; `UNSEEN` never stands in for it."""
    document = json.loads(text)
    if document.pop("rendering") != RENDERING_VERSION:
        raise InputError(
            f"slices of run {run_id!r} were drawn by another version of this program",
            "take that version, or leave the pictures out",
        )
    return ImageSettings.model_validate(document)


def _style(settings: ImageSettings) -> SliceStyle:
    return SliceStyle(
        n_slices=settings.n_slices,
        max_pixels=settings.max_pixels,
        margin_mm=settings.margin_mm,
        box_drawn=settings.box_drawn,
    )


def _pairs(
    row: Row, slices: tuple[SliceRef, ...], drawn: tuple[SliceImage, ...]
) -> list[tuple[SliceRef, SliceImage]]:
    """Slices beside their pictures; both name the same places in the same order."""
    named = [(ref.plane, ref.axis, ref.slice_index) for ref in slices]
    made = [(one.shown.plane, one.shown.axis, one.shown.index) for one in drawn]
    if named != made:
        raise InputError(
            f"{row['volume_id']} question {row['question_id']}: slices {made!r} are drawn, where "
            f"{named!r} were shown",
            "the planes of a question changed since: take the version that made the run",
        )
    return list(zip(slices, drawn, strict=True))
