"""Items of one phantom knee that come with the checkout: prompts of real length without a store.

They were measured on a phantom as on any volume, and are used for their prompts' length and for
nothing else: `serve` sees with them whether prompts fit, `serve measure` sends them. Remade by
`python -m tests.make_phantom_items` when findings or items change their form.
"""

import gzip
from pathlib import Path

from knee.records import Item

ITEMS_FILE = Path(__file__).resolve().parent / "data" / "phantom_items.jsonl.gz"
"""One item a line, as `Item` writes it."""


def phantom_items(*, sees_images: bool) -> tuple[Item, ...]:
    """Returns the items of which something is asked, by question.

    Args:
        sees_images: also those that only slices give evidence for.
    """
    with gzip.open(ITEMS_FILE, "rt", encoding="utf-8") as lines:
        items = [Item.model_validate_json(line) for line in lines]
    seen = (item.model_copy(update={"sees_images": sees_images}) for item in items)
    return tuple(item for item in seen if item.asked)
