"""Where the pictures of a bench come from: volumes opened once, slices drawn in threads.

Without images (the control `no_image`) the same pictures are laid out on a volume of zeros: the
text of the prompt is the same, and nothing is read or sent.
"""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from agents.open_volumes import (
    IMAGE_CHANGED,
    ByteBudget,
    OpenVolume,
    OpenVolumes,
    SlicesUnavailable,
)
from eval.bench_config import BenchConfig, planes_shown
from eval.bench_records import BenchItem, BenchVolume, Setting
from eval.other_patients import carry_box
from eval.pictures import PictureSeries, blank_volume, draw_series
from knee.anatomy import Side
from knee.geometry import Box3D
from prompts.context import reading_planes
from tools.slice_images import STRIP_PIXELS, STRIP_WIDTH
from tools.volumes import Volume

GRID_UNKNOWN = "grid_unknown"
"""Code of an item whose volume could not be described when the bench was built."""
NO_PLANE = "no_plane"
"""Code of an item whose feature is read in none of the planes allowed."""
_PNG_OVERHEAD = 2_000
_BLANK_WINDOW = (0.0, 1.0)


class BenchPictures(NamedTuple):
    """The pictures of one item."""

    series: PictureSeries
    """Of the item's volume, or of the one shown in its place."""
    box: Box3D | None
    """The item's box in the volume of the pictures."""
    own: Volume
    """The grid of the item's own volume."""

    def to_own(self, box: Box3D) -> Box3D:
        """Returns a box that was found in the pictures in the item's own volume."""
        return carry_box(box, self.series.volume, self.own)


class PictureSource:
    """Opens volumes and draws; `close` it when the run has ended."""

    def __init__(self, root: Path, config: BenchConfig, setting: Setting) -> None:
        """Opens nothing yet.

        Args:
            root: folder of the cohort.
            config: which slices, and how much is held.
            setting: whether pictures are cut to the box.
        """
        self._root = root
        self._settings = config.pictures
        self._cut = setting is Setting.REGION_CROP
        load = config.load
        self._pool = ThreadPoolExecutor(load.threads, thread_name_prefix="pictures")
        self.volumes = OpenVolumes(self._pool, load.open_volumes, config.pictures.percentiles)
        self.budget = ByteBudget(int(load.in_flight_mb * 1e6))

    def close(self) -> None:
        """Ends the threads; what is being drawn is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def path_of(self, volume: BenchVolume) -> Path | None:
        """Returns where the image of a volume should be; None when it has none."""
        return None if volume.image is None else self._root / volume.image

    @asynccontextmanager
    async def held(
        self, item: BenchItem, own: BenchVolume, shown: BenchVolume | None
    ) -> AsyncGenerator[BenchPictures]:
        """Draws an item's pictures and holds them for the length of an `async with` block.

        Args:
            item: the item.
            own: its volume.
            shown: the volume whose slices are shown; None lays them out without an image.

        Raises:
            SlicesUnavailable: the image is missing, cannot be read, or is another one.
        """
        opened = None
        if shown is not None:
            opened = await self.volumes.get(shown.volume_id, self.path_of(shown))
            _refuse_another(shown, opened.volume)
        bound = self._bound() if shown is not None else 0
        await self.budget.acquire(bound)
        try:
            loop = asyncio.get_running_loop()
            pictures = await loop.run_in_executor(self._pool, self._draw, item, own, opened)
            n_bytes = sum((len(image.png) + 2) // 3 * 4 for image in pictures.series.images)
            self.budget.release(bound - min(n_bytes, bound))
            bound = min(n_bytes, bound)
            yield pictures
        finally:
            self.budget.release(bound)

    def draw_now(
        self, item: BenchItem, own: BenchVolume, shown: BenchVolume | None
    ) -> BenchPictures:
        """Returns an item's pictures, drawn in this thread.

        Raises:
            SlicesUnavailable: as `held`.
        """
        opened = None
        if shown is not None:
            opened = self.volumes.read_now(shown.volume_id, self.path_of(shown))
            _refuse_another(shown, opened.volume)
        return self._draw(item, own, opened)

    def _bound(self) -> int:
        """Bytes that the pictures of an item cannot exceed, as sent."""
        settings = self._settings
        pad = settings.pad_to
        width = max(settings.max_pixels, STRIP_WIDTH) + pad
        pixels = width * (settings.max_pixels + STRIP_PIXELS + pad)
        n_images = settings.max_planes * settings.n_slices
        return n_images * (pixels + _PNG_OVERHEAD) * 4 // 3

    def _draw(self, item: BenchItem, own: BenchVolume, opened: OpenVolume | None) -> BenchPictures:
        planes = planes_shown(self._settings, reading_planes(item.question))
        if not planes:
            raise SlicesUnavailable(
                f"{item.item_id}: its feature is read in none of the planes allowed, "
                f"{list(self._settings.planes)!r}",
                "add one to pictures.planes, or leave its question out",
                code=NO_PLANE,
            )
        try:
            grid = blank_volume(own)
        except ValueError as error:
            raise SlicesUnavailable(str(error), "build the bench again", code=GRID_UNKNOWN) from (
                error
            )
        volume, window = (grid, _BLANK_WINDOW) if opened is None else (opened.volume, opened.window)
        box = None if item.box is None else carry_box(item.box, grid, volume)
        series = draw_series(
            volume, Side(own.side), planes, window, self._settings, box if self._cut else None
        )
        return BenchPictures(series, box, grid)


def _refuse_another(shown: BenchVolume, volume: Volume) -> None:
    """A box belongs to the image that it was found in: slices of another one would mislead."""
    if volume.sha256 != shown.image_sha256 or volume.shape != shown.shape:
        raise SlicesUnavailable(
            f"the image of {shown.volume_id!r} is not the one that the bench was built from "
            f"({volume.sha256!r}, then {shown.image_sha256!r})",
            "build the bench again, or put the image back",
            code=IMAGE_CHANGED,
        )
