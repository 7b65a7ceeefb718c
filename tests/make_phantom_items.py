"""Makes stages/data/phantom_items.jsonl.gz anew: the items of one knee of the demo's phantoms.

`python -m tests.make_phantom_items`, half a minute.
"""

import gzip
import sys
import tempfile
from pathlib import Path

from stages.phantom_items import ITEMS_FILE
from store.connection import open_store
from store.items import Selection, load_items
from tests.prepared_store import prepare_phantoms


def write_items(store: Path, file: Path) -> int:
    """Writes the items of a store's first volume; returns how many."""
    with open_store(store, read_only=True) as con:
        items = list(load_items(con, Selection(sees_images=True)))
    own = [item for item in items if item.volume_id == items[0].volume_id]
    text = "".join(item.model_dump_json(exclude_defaults=True) + "\n" for item in own)
    # No time and no name in the header: the same items give the same file.
    file.write_bytes(gzip.compress(text.encode(), mtime=0))
    return len(own)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        n = write_items(prepare_phantoms(Path(folder)), ITEMS_FILE)
    sys.stderr.write(f"{n} items in {ITEMS_FILE}\n")
