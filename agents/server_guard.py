"""Waiting for a server that went away, so that no item pays for it.

The guard stands between the graph and the client. When a call ends with `ModelUnavailable` it asks
the server for one token. No answer: everyone pauses until one comes, and the call is made again.
An answer: the call alone is in trouble, and gets a few more rounds before the item is `failed`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from agents.llm_client import ChatModel, Completion, JsonSchema
from knee.errors import ModelUnavailable
from knee.run_config import Sampling
from prompts.render import ChatMessage

MAX_ROUNDS = 3
"""Rounds of retries that one call gets from a server that answers others."""
MAX_FRUITLESS_OUTAGES = 5
"""Outages in a row without one answer between them: some request kills the server each time."""


class ServerGone(ModelUnavailable):
    """The server stayed away for longer than the batch waits: ends the run, resumable."""


class ServerGuard:
    """A `ChatModel` that outlives its server's absences."""

    def __init__(
        self,
        model: ChatModel,
        *,
        wait_s: float,
        poll_s: float = 1.0,
        on_outage: Callable[[str | None], None] | None = None,
        slots: asyncio.Semaphore | None = None,
    ) -> None:
        """Guards `model`.

        Args:
            model: the client.
            wait_s: longest absence that is waited for.
            poll_s: seconds between two questions to an absent server.
            on_outage: told the reason when an absence begins, and None when it ends.
            slots: held while a call is under way; several guards may share them. None bounds
                nothing.
        """
        self._model = model
        self._slots = contextlib.nullcontext() if slots is None else slots
        self._wait_s = wait_s
        self._poll_s = poll_s
        self._on_outage = on_outage
        self._up = asyncio.Event()
        self._up.set()
        self._inquiry: asyncio.Task[bool] | None = None
        self._back_at = float("-inf")
        self._fruitless = 0
        self.n_outages = 0
        """Absences so far."""

    async def complete(
        self, messages: Sequence[ChatMessage], schema: JsonSchema | None, sampling: Sampling
    ) -> Completion:
        """Returns one answer, however often the server goes away and comes back.

        Raises:
            ServerGone: it stayed away for longer than `wait_s`, or goes away each time.
            ModelUnavailable: it is there and does not answer this call.
            ModelOutputError: it refuses this call.
        """
        rounds = 0
        while True:
            await self._up.wait()
            started = time.monotonic()
            try:
                async with self._slots:
                    # From here on: what waited for its slot has not been refused anything yet.
                    started = time.monotonic()
                    completion = await self._model.complete(messages, schema, sampling)
            except ServerGone:
                raise
            except ModelUnavailable:
                was_away = await self._inquire() or started < self._back_at
                rounds += not was_away
                if rounds >= MAX_ROUNDS:
                    raise
            else:
                self._fruitless = 0
                return completion

    async def find_trouble(self) -> str | None:
        """Returns why the server cannot answer now; None when it can."""
        return await self._model.find_trouble()

    async def close(self) -> None:
        """Ends an inquiry that is still under way."""
        if self._inquiry is not None and not self._inquiry.done():
            self._inquiry.cancel()
            await asyncio.wait([self._inquiry])

    async def _inquire(self) -> bool:
        """Returns, once the server answers, whether it had been away; callers share one inquiry."""
        if self._inquiry is None or self._inquiry.done():
            self._inquiry = asyncio.create_task(self._wait_until_back())
        # One caller's cancellation must not end the wait of the others.
        return await asyncio.shield(self._inquiry)

    async def _wait_until_back(self) -> bool:
        trouble = await self._find_trouble_within(self._wait_s)
        if trouble is None:
            return False
        deadline = time.monotonic() + self._wait_s
        self.n_outages += 1
        self._fruitless += 1
        self._up.clear()
        self._tell(trouble)
        try:
            if self._fruitless > MAX_FRUITLESS_OUTAGES:
                raise ServerGone(
                    f"the server went away {self._fruitless} times without an answer between",
                    "read the server's log: one of the requests may be what ends it",
                )
            while trouble is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ServerGone(
                        f"the server stayed away for {self._wait_s:g} s: {trouble}",
                        "start it again, then resume",
                    )
                await asyncio.sleep(min(self._poll_s, left))
                trouble = await self._find_trouble_within(max(left, self._poll_s))
            self._tell(None)
            self._back_at = time.monotonic()
            return True
        finally:
            self._up.set()

    async def _find_trouble_within(self, seconds: float) -> str | None:
        try:
            async with asyncio.timeout(seconds):
                return await self._model.find_trouble()
        except TimeoutError:
            return f"no answer within {seconds:.0f} s"

    def _tell(self, trouble: str | None) -> None:
        if self._on_outage is not None:
            self._on_outage(trouble)
