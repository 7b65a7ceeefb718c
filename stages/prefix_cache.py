"""One line after a run: how much of its prompts the server had computed already."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agents.llm_client import ChatClient, ChatModel
from agents.server_metrics import PrefixCacheCounts, read_prefix_cache
from stages.console import say


@asynccontextmanager
async def prefix_cache_told(drafter: ChatModel) -> AsyncGenerator[None]:
    """Tells the server's prefix-cache hit rate over the block, where the server counts it."""
    before = await _read(drafter)
    yield
    after = None if before is None else await _read(drafter)
    line = None if before is None or after is None else cache_line(before, after)
    if line is not None:
        say(line)


def cache_line(before: PrefixCacheCounts, after: PrefixCacheCounts) -> str | None:
    """Returns the line; None when nothing was looked up in between.

    Example:
        >>> cache_line(PrefixCacheCounts(100, 0), PrefixCacheCounts(300, 150))
        'prefix cache: 75.0 % of 200 prompt tokens were computed already (150/200)'
    """
    counts = after.since(before)
    if counts is None or counts.hit_rate is None:
        return None
    return (
        f"prefix cache: {100 * counts.hit_rate:.1f} % of {counts.queries} prompt tokens were "
        f"computed already ({counts.hits}/{counts.queries})"
    )


async def _read(drafter: ChatModel) -> PrefixCacheCounts | None:
    if not isinstance(drafter, ChatClient):
        return None
    endpoint = drafter.endpoint
    return await asyncio.to_thread(read_prefix_cache, endpoint.base_url, endpoint.model)
