"""The slices that an item's drafter is or was shown, drawn from the image file."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb

from agents.slice_source import SliceSource, SlicesUnavailable, stored_slices
from agents.state import ItemImages
from knee.records import Item
from knee.shown_images import ShownImages
from stages.run_images import image_files, settings_of
from store.shown_image_rows import stored_images

_OTHER_PIXELS = "drawn again they are not the slices that were sent"


class SliceDrawer:
    """Draws the slices of items of one store, one item at a time."""

    def __init__(self, con: duckdb.DuckDBPyConnection, cohort_root: Path | None) -> None:
        """Looks up where the images lie; opens none.

        Args:
            con: an open store.
            cohort_root: where the cohort lies now; None takes where it was prepared.
        """
        self._files = image_files(stored_images(con), cohort_root)

    def draw(
        self, item: Item, settings: str, sent: ShownImages | None
    ) -> tuple[ItemImages | None, str | None]:
        """Returns an item's slices, and why their pixels are not those that were sent.

        Of slices that were sent the hashes are compared: those that differ, and all of them where
        the image is away, come back as the store keeps them, without pixels.

        Args:
            item: the item that the drafter is shown.
            settings: how the run shows slices, as `Run.images`.
            sent: what was sent; None for an item that is still to be drafted.
        """
        try:
            with closing(SliceSource(self._files, settings_of(settings))) as source:
                drawn = source.draw_now(item)
        except SlicesUnavailable as error:
            return (None if sent is None else stored_slices(sent)), error.message
        if sent is None or drawn.shown == sent:
            return drawn, None
        png = {part.sha256: part.png for part in drawn.parts}
        kept = stored_slices(sent)
        parts = tuple(p.model_copy(update={"png": png.get(p.sha256, b"")}) for p in kept.parts)
        same = all(part.png for part in parts)
        return replace(kept, parts=parts), None if same else _OTHER_PIXELS
