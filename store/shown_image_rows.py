"""The slices that items were shown, as rows and back; and where the images of volumes are."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from knee.shown_images import ShownImages, ShownSlice
from store.arrow_rows import TEXT, Row, Table, arrow

_SLICE = pa.struct(
    [
        ("position", pa.int16()),
        ("plane", TEXT),
        ("axis", TEXT),
        ("index", pa.int32()),
        ("left", TEXT),
        ("right", TEXT),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mm_per_pixel", pa.float64()),
        ("box_pixels", pa.list_(pa.int32(), 4)),
        ("sha256", TEXT),
    ]
)
_SHOWN_IMAGES = pa.schema(
    {
        "run_id": TEXT,
        "volume_id": TEXT,
        "question_id": pa.int16(),
        "image_volume_id": TEXT,
        "image_sha256": TEXT,
        "percentiles": pa.list_(pa.float64(), 2),
        "window_low": pa.float64(),
        "window_high": pa.float64(),
        "box_drawn": pa.bool_(),
        "slices": pa.list_(_SLICE),
    }
)


class StoredImage(NamedTuple):
    """Where the image of a volume lies, and what it was."""

    volume_id: str
    """The volume."""
    image: str | None
    """Relative to the cohort's root; None when there is only a label map."""
    cohort_root: str
    """Folder of the cohort when it was prepared."""
    sha256: dict[str, str]
    """Findings id to the hash of the image that they were made from."""


def shown_images_table(given: Iterable[tuple[Row, ShownImages]]) -> Table:
    """Returns the rows of `shown_images`, each given with its item's key."""
    rows = [
        {
            **key,
            "image_volume_id": images.volume_id,
            "image_sha256": images.image_sha256,
            "percentiles": list(images.percentiles),
            "window_low": images.window[0],
            "window_high": images.window[1],
            "box_drawn": images.box_drawn,
            "slices": [entry.model_dump() for entry in images.slices],
        }
        for key, images in given
    ]
    return arrow(rows, _SHOWN_IMAGES)


def shown_images_of(row: Mapping[str, Any]) -> ShownImages:
    """Returns the record of a row of `shown_images`."""
    return ShownImages(
        volume_id=row["image_volume_id"],
        image_sha256=row["image_sha256"],
        percentiles=tuple(row["percentiles"]),
        window=(row["window_low"], row["window_high"]),
        box_drawn=row["box_drawn"],
        slices=tuple(ShownSlice(**entry) for entry in row["slices"]),
    )


def stored_images(con: duckdb.DuckDBPyConnection) -> list[StoredImage]:
    """Returns the images of all ready volumes, ascending by volume id."""
    rows = con.execute(
        "SELECT v.volume_id, v.image, v.cohort_root, list(f.findings_id), list(f.image_sha256) "
        "FROM volumes v JOIN findings_sets f USING (volume_id) "
        "WHERE v.status = 'ready' GROUP BY ALL ORDER BY v.volume_id"
    ).fetchall()
    return [
        StoredImage(volume, image, root, dict(zip(ids, hashes, strict=True)))
        for volume, image, root, ids, hashes in rows
    ]
