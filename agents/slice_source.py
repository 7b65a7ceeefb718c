"""Where a run's slices come from: volumes opened once, slices drawn in threads, bytes bounded.

The event loop never reads a file and never draws. A volume is opened for its first item and kept
while others of it come (a few at a time, the one unused longest goes first), in the number type in
which it is stored. What an item was shown is held until the item has ended; together the items in
flight hold no more than the settings allow, and one that would go beyond waits its turn.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.open_volumes import (
    IMAGE_CHANGED,
    ByteBudget,
    OpenVolume,
    OpenVolumes,
    SlicesUnavailable,
)
from agents.state import ItemImages
from knee.anatomy import Side
from knee.questions import Question
from knee.records import Item
from knee.run_config import ImageSettings
from knee.shown_images import PlaneName, ShownImages, ShownSlice
from prompts.context import reading_planes
from prompts.render import MessageImage
from tools.slice_images import STRIP_PIXELS, STRIP_WIDTH, SliceStyle, draw_slices
from tools.volumes import Volume

_PNG_OVERHEAD = 2_000
"""More than what a PNG of noise has beyond its pixels: headers, the palette, a byte a row."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where the image of a volume is, and what it was when its findings were made."""

    path: Path | None
    """The file or the DICOM folder; None when the volume has no image."""
    sha256: Mapping[str, str]
    """Findings id to the hash of the image that they were made from."""


class SliceSource:
    """Opens volumes and draws items' slices; `close` it when the run has ended."""

    def __init__(self, files: Mapping[str, ImageFile], settings: ImageSettings) -> None:
        """Opens nothing yet.

        Args:
            files: volume id to its image.
            settings: which slices, how, and how much is held.
        """
        self._files = files
        self._settings = settings
        self._style = SliceStyle(
            n_slices=settings.n_slices,
            max_pixels=settings.max_pixels,
            margin_mm=settings.margin_mm,
            box_drawn=settings.box_drawn,
        )
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="slices")
        self._volumes = OpenVolumes(self._pool, settings.open_volumes, settings.percentiles)
        self.budget = ByteBudget(int(settings.in_flight_mb * 1e6))

    def close(self) -> None:
        """Ends the threads; what is being drawn is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def n_opened(self) -> int:
        """Files read so far."""
        return self._volumes.n_opened

    def planes(self, question: Question) -> tuple[PlaneName, ...]:
        """Returns the planes that an item of a question is shown in, the most telling first."""
        return shown_planes(question, self._settings)

    @asynccontextmanager
    async def held(self, item: Item) -> AsyncGenerator[ItemImages]:
        """Draws an item's slices and holds them for the length of an `async with` block.

        Raises:
            SlicesUnavailable: the image is missing, cannot be read, or is another one.
        """
        opened = await self._volumes.get(item.volume_id, self._path(item.volume_id))
        self._refuse_another_image(item, opened.volume)
        bound = self._bound(item)
        await self.budget.acquire(bound)
        try:
            loop = asyncio.get_running_loop()
            images = await loop.run_in_executor(self._pool, self._draw, item, opened)
            n_bytes = min(sum(_sent_bytes(part.png) for part in images.parts), bound)
            self.budget.release(bound - n_bytes)
            bound = n_bytes
            yield images
        finally:
            self.budget.release(bound)

    def draw_now(self, item: Item) -> ItemImages:
        """Returns an item's slices, drawn in this thread: for one prompt that is only looked at.

        Raises:
            SlicesUnavailable: as `held`.
        """
        opened = self._volumes.read_now(item.volume_id, self._path(item.volume_id))
        self._refuse_another_image(item, opened.volume)
        return self._draw(item, opened)

    def _path(self, volume_id: str) -> Path | None:
        file = self._files.get(volume_id)
        return None if file is None else file.path

    def _refuse_another_image(self, item: Item, volume: Volume) -> None:
        """A box belongs to the image that it was found in: slices of another one would mislead."""
        wanted = self._files[item.volume_id].sha256.get(item.findings_id)
        if volume.sha256 != wanted or volume.shape != item.shape:
            raise SlicesUnavailable(
                f"the image of {item.volume_id!r} is not the one that its findings were made from "
                f"({volume.sha256!r}, then {wanted!r})",
                "prepare the cohort again",
                code=IMAGE_CHANGED,
            )

    def _bound(self, item: Item) -> int:
        """Bytes that the slices of an item cannot exceed, as sent."""
        settings = self._settings
        width = max(settings.max_pixels, STRIP_WIDTH)
        pixels = width * (settings.max_pixels + STRIP_PIXELS)
        n_images = len(self.planes(item.question)) * settings.n_slices
        return n_images * (pixels + _PNG_OVERHEAD) * 4 // 3

    def _draw(self, item: Item, opened: OpenVolume) -> ItemImages:
        box = item.finding.box
        assert box is not None, "an item without a box is not drafted"
        drawn = draw_slices(
            opened.volume,
            box,
            Side(item.side),
            self.planes(item.question),
            opened.window,
            self._style,
        )
        shown = ShownImages(
            volume_id=item.volume_id,
            image_sha256=opened.volume.sha256,
            percentiles=self._settings.percentiles,
            window=opened.window,
            box_drawn=self._settings.box_drawn,
            slices=tuple(image.shown for image in drawn),
        )
        return ItemImages(shown, tuple(_part(image.shown, image.png) for image in drawn))


def shown_planes(question: Question, settings: ImageSettings) -> tuple[PlaneName, ...]:
    """Returns the planes that a question is read in and the settings allow; may be empty."""
    return tuple(plane for plane in reading_planes(question) if plane in settings.planes)


def stored_slices(shown: ShownImages) -> ItemImages:
    """Returns slices as a store keeps them: labels and hashes, no PNG.

    A prompt rendered with them has the hash of the one that was sent.
    """
    return ItemImages(shown, tuple(_part(entry, b"") for entry in shown.slices))


def _part(shown: ShownSlice, png: bytes) -> MessageImage:
    label = f"{shown.name} (axis {shown.axis}); left edge: {shown.left}; right edge: {shown.right}"
    return MessageImage(label=label, png=png, sha256=shown.sha256)


def _sent_bytes(png: bytes) -> int:
    """Bytes of a PNG in base64."""
    return (len(png) + 2) // 3 * 4
