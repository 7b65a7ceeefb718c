"""A prompt's own parts by its hash: what is needed to build it again when its file is gone."""

from collections.abc import Iterable
from typing import NamedTuple

import duckdb

from store.writer import StoreWriter


class PromptSource(NamedTuple):
    """The parts of a prompt that are its own."""

    sha256: str
    """As `PromptRef.sha256`."""
    source: str
    """The template's text."""
    settings: str
    """What stood in the `.toml` beside it; empty without one."""


def put_prompt_sources(writer: StoreWriter, sources: Iterable[PromptSource]) -> None:
    """Puts the parts of prompts; those that are there already stay."""
    with writer.transaction() as con:
        for part in sources:
            con.execute("INSERT OR IGNORE INTO prompt_sources VALUES (?, ?, ?)", [*part])


def load_prompt_source(con: duckdb.DuckDBPyConnection, sha256: str) -> PromptSource | None:
    """Returns the parts of a prompt, None when the store does not keep them."""
    row = con.execute(
        "SELECT sha256, source, settings FROM prompt_sources WHERE sha256 = ?", [sha256]
    ).fetchone()
    return None if row is None else PromptSource(str(row[0]), str(row[1]), str(row[2]))
