"""What DuckDB says of a damaged file or a full disk, wherever a command meets it."""

import sys
from pathlib import Path

from knee.errors import StoreError


def database_errors() -> tuple[type[BaseException], ...]:
    """Returns what DuckDB raises; nothing where nobody has loaded it, for that takes a while."""
    loaded = sys.modules.get("duckdb")
    return () if loaded is None else (loaded.Error,)


def told_damage(error: BaseException, store: Path | None) -> StoreError | None:
    """Returns the message for a damaged store or a full disk; None when it is about neither.

    Args:
        error: one of `database_errors`.
        store: the store of the command, if it has one.
    """
    import duckdb

    from store.connection import is_store_trouble, translate

    if store is None or not isinstance(error, duckdb.Error) or not is_store_trouble(error):
        return None
    return translate(error, store)
