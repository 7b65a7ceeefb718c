"""Where a run's slices come from: volumes opened once, slices drawn in threads, bytes bounded.

The event loop never reads a file and never draws. A volume is opened for its first item and kept
while others of it come (a few at a time, the one unused longest goes first), in the number type in
which it is stored. What an item was shown is held until the item has ended; together the items in
flight hold no more than the settings allow, and one that would go beyond waits its turn.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.state import ItemImages
from knee.anatomy import Side
from knee.errors import InputError, KneeError
from knee.questions import Question
from knee.records import Item
from knee.run_config import ImageSettings
from knee.shown_images import PlaneName, ShownImages, ShownSlice
from prompts.context import reading_planes
from prompts.render import MessageImage
from tools.planes import Window, default_window
from tools.slice_images import STRIP_PIXELS, STRIP_WIDTH, SliceStyle, draw_slices
from tools.volumes import Volume, load_volume

IMAGE_MISSING = "image_missing"
"""Code of an item whose volume has no image, or whose file is away."""
IMAGE_UNREADABLE = "image_unreadable"
"""Code of an item whose image file is no volume."""
IMAGE_CHANGED = "image_changed"
"""Code of an item whose image is not the one that its box was found in."""
_PNG_OVERHEAD = 2_000
"""More than what a PNG of noise has beyond its pixels: headers, the palette, a byte a row."""


class SlicesUnavailable(KneeError):  # noqa: N818 - the name is the state, as of the other errors
    """The slices of one item cannot be had: the item is `failed`, the run goes on.

    Attributes:
        code: machine-readable reason.
    """

    def __init__(self, message: str, hint: str | None = None, *, code: str) -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where the image of a volume is, and what it was when its findings were made."""

    path: Path | None
    """The file or the DICOM folder; None when the volume has no image."""
    sha256: Mapping[str, str]
    """Findings id to the hash of the image that they were made from."""


@dataclass(frozen=True, slots=True)
class _OpenVolume:
    volume: Volume
    window: Window


class ByteBudget:
    """A bound on the bytes that all who hold some hold together; first come, first served."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0
        """Bytes held now."""
        self.most_held = 0
        """Most bytes held so far."""

    async def acquire(self, n_bytes: int) -> None:
        """Waits until `n_bytes` fit; more than the limit is let through when nothing is held."""
        if not self._waiting and self._fits(n_bytes):
            self._take(n_bytes)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((n_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(n_bytes)  # It was granted while it was given up.
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._serve()
            raise

    def release(self, n_bytes: int) -> None:
        """Gives bytes back."""
        self.held -= n_bytes
        self._serve()

    def _fits(self, n_bytes: int) -> bool:
        return self.held == 0 or self.held + n_bytes <= self._limit

    def _take(self, n_bytes: int) -> None:
        self.held += n_bytes
        self.most_held = max(self.most_held, self.held)

    def _serve(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            n_bytes, turn = self._waiting.popleft()
            if not turn.done():
                self._take(n_bytes)
                turn.set_result(None)


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
        self._open: OrderedDict[str, asyncio.Future[_OpenVolume | SlicesUnavailable]] = (
            OrderedDict()
        )
        self.budget = ByteBudget(int(settings.in_flight_mb * 1e6))
        self.n_opened = 0
        """Files read so far."""

    def close(self) -> None:
        """Ends the threads; what is being drawn is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def planes(self, question: Question) -> tuple[PlaneName, ...]:
        """Returns the planes that an item of a question is shown in, the most telling first."""
        return shown_planes(question, self._settings)

    @asynccontextmanager
    async def held(self, item: Item) -> AsyncGenerator[ItemImages]:
        """Draws an item's slices and holds them for the length of an `async with` block.

        Raises:
            SlicesUnavailable: the image is missing, cannot be read, or is another one.
        """
        opened = await self._opened(item)
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
        opened = self._read(item.volume_id)
        if isinstance(opened, SlicesUnavailable):
            raise opened
        self._refuse_another_image(item, opened.volume)
        return self._draw(item, opened)

    async def _opened(self, item: Item) -> _OpenVolume:
        volume_id = item.volume_id
        found = self._open.get(volume_id)
        if found is None:
            loop = asyncio.get_running_loop()
            found = loop.run_in_executor(self._pool, self._read, volume_id)
            self._open[volume_id] = found
            while len(self._open) > self._settings.open_volumes:
                self._open.popitem(last=False)
        self._open.move_to_end(volume_id)
        # One item's cancellation must not end the reading for the others.
        opened = await asyncio.shield(found)
        if isinstance(opened, SlicesUnavailable):
            raise SlicesUnavailable(opened.message, opened.hint, code=opened.code)
        return opened

    def _read(self, volume_id: str) -> _OpenVolume | SlicesUnavailable:
        """Reads a volume; trouble is returned, so that it is kept and read by all of its items."""
        file = self._files.get(volume_id)
        if file is None or file.path is None:
            return SlicesUnavailable(
                f"volume {volume_id!r} has no image", "draft it from text", code=IMAGE_MISSING
            )
        if not file.path.exists():
            return SlicesUnavailable(
                f"the image of {volume_id!r} is not at {str(file.path)!r}",
                "if the cohort was moved, say where it is with --cohort-root",
                code=IMAGE_MISSING,
            )
        try:
            volume = load_volume(file.path)
        except InputError as error:
            return SlicesUnavailable(error.message, error.hint, code=IMAGE_UNREADABLE)
        self.n_opened += 1
        return _OpenVolume(volume, default_window(volume, self._settings.percentiles))

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

    def _draw(self, item: Item, opened: _OpenVolume) -> ItemImages:
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
