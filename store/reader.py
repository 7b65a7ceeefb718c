"""Reading a store without touching it: no lock, no journal committed, not a byte written.

The file is open only for a query or for the items of a few volumes, so that a batch that writes
the same store does not wait for its readers.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import duckdb

from knee.keys import ItemKey
from knee.records import Item
from store.connection import READ_WAIT_S, open_store
from store.items import (
    Selection,
    finished_keys,
    load_items,
    select_volumes,
    settled_volumes,
)

_FIRST: Final = 2
"""Volumes that are read at first."""


class StoreReader:
    """Reads records of a store; nothing is opened before the first question.

    Raises, on each reading:
        InputError: no such store.
        StoreError: not a store, an older schema, or held by a process for too long.
    """

    def __init__(self, path: Path, *, wait_s: float = READ_WAIT_S) -> None:
        self.path = path
        self._wait_s = wait_s

    @contextmanager
    def reading(self) -> Generator[duckdb.DuckDBPyConnection]:
        """Opens the store for queries; close it soon."""
        with open_store(self.path, read_only=True, wait_s=self._wait_s) as con:
            yield con

    def finished_keys(self, run_id: str) -> set[ItemKey]:
        """Returns the items of a run that are done."""
        with self.reading() as con:
            return finished_keys(con, run_id)

    def items(
        self, selection: Selection, *, run_id: str | None = None, chunk: int = 16
    ) -> Iterator[Item]:
        """Yields a run's items while it is written: the file is open for a chunk of volumes only.

        Args:
            selection: which items; `limit` counts before finished ones are left out.
            run_id: leaves out the items that are done in this run, and takes the findings that
                the run is bound to.
            chunk: volumes that are read at a time.
        """
        with self.reading() as con:
            volumes = select_volumes(con, selection)
            settled: dict[str, int] = {}
            if run_id is not None and selection.pending_only:
                settled = settled_volumes(con, run_id, selection)
        if selection.limit is None:
            volumes = [volume for volume in volumes if volume not in settled]
        ids = iter(volumes)
        left = selection.limit
        # The first few volumes come alone: whoever waits for an item need not wait for sixteen.
        size = min(chunk, _FIRST)
        while part := tuple(islice(ids, size)):
            size = chunk
            if left is not None and all(volume in settled for volume in part):
                left -= sum(settled[volume] for volume in part)
                if left <= 0:
                    return
                continue
            with self.reading() as con:
                some = selection._replace(volume_ids=part, limit=left)
                items = list(load_items(con, some, run_id=run_id))
                done = finished_keys(con, run_id, part) if run_id is not None else set[ItemKey]()
            for item in items:
                if ItemKey(item.volume_id, item.question_id) not in done:
                    yield item
            if left is not None:
                left -= len(items)
                if left <= 0:
                    return
