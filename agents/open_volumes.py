"""Volumes that are opened once, in threads, and kept while items of them come; bytes are bounded.

The event loop never reads a file. A volume is opened for its first item and kept while others of it
come (a few at a time, the one unused longest goes first), in the number type in which it is stored.
"""

import asyncio
from collections import OrderedDict, deque
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from knee.errors import InputError, KneeError
from tools.planes import Window, default_window
from tools.volumes import Volume, load_volume

IMAGE_MISSING = "image_missing"
"""Code of an item whose volume has no image, or whose file is away."""
IMAGE_UNREADABLE = "image_unreadable"
"""Code of an item whose image file is no volume."""
IMAGE_CHANGED = "image_changed"
"""Code of an item whose image is not the one that its box was found in."""


class SlicesUnavailable(KneeError):  # noqa: N818 - the name is the state, as of the other errors
    """The slices of one item cannot be had: the item is `failed`, the run goes on.

    Attributes:
        code: machine-readable reason.
    """

    def __init__(self, message: str, hint: str | None = None, *, code: str) -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class OpenVolume:
    """A volume that was read, and its window."""

    volume: Volume
    """As stored."""
    window: Window
    """Intensities shown as black and as white."""


def read_open_volume(
    volume_id: str, path: Path | None, percentiles: tuple[float, float]
) -> OpenVolume | SlicesUnavailable:
    """Reads a volume; trouble is returned, so that it is kept and read by all of its items.

    Args:
        volume_id: whose image it is, for the message.
        path: file or DICOM folder; None when the volume has no image.
        percentiles: of its intensities, shown as black and as white.
    """
    if path is None:
        return SlicesUnavailable(
            f"volume {volume_id!r} has no image", "draft it from text", code=IMAGE_MISSING
        )
    if not path.exists():
        return SlicesUnavailable(
            f"the image of {volume_id!r} is not at {str(path)!r}",
            "if the cohort was moved, say where it is with --cohort-root",
            code=IMAGE_MISSING,
        )
    try:
        volume = load_volume(path)
    except InputError as error:
        return SlicesUnavailable(error.message, error.hint, code=IMAGE_UNREADABLE)
    return OpenVolume(volume, default_window(volume, percentiles))


class OpenVolumes:
    """The volumes of a run that are open now."""

    def __init__(self, pool: Executor, keep: int, percentiles: tuple[float, float]) -> None:
        """Opens nothing yet.

        Args:
            pool: threads that read.
            keep: volumes kept open.
            percentiles: of a volume's intensities, shown as black and as white.
        """
        self._pool = pool
        self._keep = keep
        self._percentiles = percentiles
        self._open: OrderedDict[str, asyncio.Future[OpenVolume | SlicesUnavailable]] = OrderedDict()
        self.n_opened = 0
        """Files read so far."""

    async def get(self, volume_id: str, path: Path | None) -> OpenVolume:
        """Returns a volume, read now or before.

        Raises:
            SlicesUnavailable: it has no image, or one that cannot be read.
        """
        found = self._open.get(volume_id)
        if found is None:
            loop = asyncio.get_running_loop()
            found = loop.run_in_executor(self._pool, self._read, volume_id, path)
            self._open[volume_id] = found
            while len(self._open) > self._keep:
                self._open.popitem(last=False)
        self._open.move_to_end(volume_id)
        # One item's cancellation must not end the reading for the others.
        opened = await asyncio.shield(found)
        if isinstance(opened, SlicesUnavailable):
            raise SlicesUnavailable(opened.message, opened.hint, code=opened.code)
        return opened

    def read_now(self, volume_id: str, path: Path | None) -> OpenVolume:
        """Returns a volume, read in this thread and not kept.

        Raises:
            SlicesUnavailable: as `get`.
        """
        opened = self._read(volume_id, path)
        if isinstance(opened, SlicesUnavailable):
            raise opened
        return opened

    def _read(self, volume_id: str, path: Path | None) -> OpenVolume | SlicesUnavailable:
        opened = read_open_volume(volume_id, path, self._percentiles)
        self.n_opened += isinstance(opened, OpenVolume)
        return opened


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
