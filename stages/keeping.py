"""Finished items on their way to disk: journalled in groups, committed in larger ones.

An item counts as done when `keep` returns: it is in the journal and synced. Items that finish while
a sync is under way share the next one, so that the disk's speed bounds neither the batch nor its
memory. Another thread of work moves journalled items into the store.
"""

import asyncio
import time
from collections.abc import Sequence

from knee.records import ItemOutcome
from knee.run_config import BatchSettings
from stages.retrying import EarlierTries
from store.journal import Journal, item_key
from store.writer import StoreWriter

_Waiting = tuple[ItemOutcome, asyncio.Future[None]]


class OutcomeKeeper:
    """Keeps the outcomes of one run; use as an async context manager around the batch."""

    def __init__(
        self,
        writer: StoreWriter,
        journal: Journal,
        run_id: str,
        settings: BatchSettings,
        earlier: EarlierTries | None = None,
    ) -> None:
        self._writer = writer
        self._journal = journal
        self._run_id = run_id
        self._settings = settings
        self._earlier = EarlierTries({}) if earlier is None else earlier
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._uncommitted: list[ItemOutcome] = []
        self._oldest = time.monotonic()
        self._journalling: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "OutcomeKeeper":
        self._journalling = asyncio.create_task(self._journal_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Journals and commits what is left."""
        await self._queue.put(None)
        if self._journalling is not None:
            await self._journalling
        if self._committing is not None:
            await self._committing
        # What could not be committed stays in the journal and is replayed by the next start.
        await self._commit(self._take_uncommitted())

    async def keep(self, outcome: ItemOutcome) -> None:
        """Returns once the outcome is on disk.

        Raises:
            StoreError: it could not be written.
        """
        written = asyncio.get_running_loop().create_future()
        await self._queue.put((self._earlier.amend(outcome), written))
        await written

    async def _journal_on(self) -> None:
        """Journals whatever is waiting, all of it with one sync, until told to end."""
        while True:
            group, ended = await self._next_group()
            if group:
                await self._journal_group(group)
            if ended:
                return

    async def _next_group(self) -> tuple[list[_Waiting], bool]:
        group: list[_Waiting] = []
        timeout = self._settings.commit_seconds if self._uncommitted else None
        try:
            async with asyncio.timeout(timeout):
                entry = await self._queue.get()
        except TimeoutError:
            self._start_commit_when_due()
            return [], False
        while entry is not None:
            group.append(entry)
            if self._queue.empty():
                return group, False
            entry = self._queue.get_nowait()
        return group, True

    async def _journal_group(self, group: Sequence[_Waiting]) -> None:
        outcomes = [outcome for outcome, _ in group]
        error = self._failed_commit()
        if error is None:
            writing = asyncio.create_task(asyncio.to_thread(self._journal.append_many, outcomes))
            await asyncio.wait([writing])
            error = writing.exception()
        if error is not None:
            # Whatever it is, it belongs to those who wait for the write; it ends the batch there.
            for _, written in group:
                if not written.done():
                    written.set_exception(error)
            return
        for _, written in group:
            if not written.done():
                written.set_result(None)
        if not self._uncommitted:
            self._oldest = time.monotonic()
        self._uncommitted += outcomes
        self._start_commit_when_due()

    def _start_commit_when_due(self) -> None:
        if self._committing is not None:
            if not self._committing.done() or self._committing.exception() is not None:
                return
            self._committing = None
        waited = time.monotonic() - self._oldest
        is_due = len(self._uncommitted) >= self._settings.commit_items or (
            self._uncommitted and waited >= self._settings.commit_seconds
        )
        if is_due:
            self._committing = asyncio.create_task(self._commit(self._take_uncommitted()))

    def _failed_commit(self) -> BaseException | None:
        """Returns why the last commit failed (disk full), None when it did not or is under way."""
        if self._committing is None or not self._committing.done():
            return None
        return self._committing.exception()

    def _take_uncommitted(self) -> list[ItemOutcome]:
        taken, self._uncommitted = self._uncommitted, []
        self._oldest = time.monotonic()
        return taken

    async def _commit(self, outcomes: Sequence[ItemOutcome]) -> None:
        if outcomes:
            await asyncio.to_thread(commit, self._writer, self._journal, self._run_id, outcomes)


def commit(
    writer: StoreWriter, journal: Journal, run_id: str, outcomes: Sequence[ItemOutcome]
) -> None:
    """Commits outcomes in one transaction and only then drops them from the journal."""
    writer.put_outcomes(run_id, outcomes)
    journal.drop(item_key(outcome) for outcome in outcomes)
