"""`serve check`: everything that is looked at before a server starts, and nothing is started."""

from itertools import islice
from pathlib import Path

from agents.serve_checks import checks_before_start
from knee.records import Item
from knee.run_config import RunConfig
from stages.console import emit
from stages.phantom_items import phantom_items
from stages.serve import asked_on, servers_of
from stages.serve_prompts import check_prompts_fit
from stages.settings import load_settings
from store.items import Selection
from store.reader import StoreReader

_MAX_ITEMS = 2000


def check(config_path: Path, *, store: Path | None, only: str | None) -> int:
    """Prints what each check found.

    Raises:
        InputError: the first thing that a server could not start with.
        StoreError: no store, or a foreign one.
    """
    config = load_settings(config_path)
    items = items_for(config, store, _MAX_ITEMS)
    for server in servers_of(config, config_path, only):
        emit(f"{server.role} {server.endpoint.model!r}")
        for line in checks_before_start(server.settings, server.endpoint):
            emit(f"  {line}")
        for asked in asked_on([server], config):
            emit(f"  {check_prompts_fit(asked, config, config_path, items)}")
    return 0


def items_for(config: RunConfig, store: Path | None, n: int) -> tuple[Item, ...]:
    """Returns items to render: the first pending ones of a store, else a phantom knee's."""
    sees_images = config.drafter.images is not None
    if store is None:
        return phantom_items(sees_images=sees_images)
    items = StoreReader(store).items(Selection(sees_images=sees_images))
    return tuple(islice(items, n))
