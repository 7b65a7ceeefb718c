"""The counters' line and the timer that shows it."""

import asyncio
import io
import time

from agents.progress import BatchProgress, progress_shown
from knee.records import ItemState


def test_line_of_an_empty_batch_invents_no_numbers():
    assert BatchProgress(total=12).line() == "0/12 items · 12 pending"
    assert BatchProgress().line() == "0 items"
    assert BatchProgress(total=12).seconds_left is None
    assert BatchProgress(total=12).tokens_per_s is None


def test_time_left_follows_the_pace_so_far():
    progress = BatchProgress(total=100, started=time.monotonic() - 60)
    progress.counts[ItemState.ACCEPTED] = 15
    progress.counts[ItemState.REJECTED] = 5
    progress.completion_tokens = 6000
    assert progress.line() == (
        "20/100 items · 15 accepted · 5 rejected · 80 pending · 100 tokens/s · 4:00 left"
    )


def test_an_outage_stands_in_place_of_the_time_left():
    progress = BatchProgress(total=2, outage="connection refused")
    progress.counts[ItemState.ACCEPTED] = 1
    assert progress.line().endswith("waiting for the server (connection refused)")


async def test_display_draws_by_the_timer_and_once_at_the_end():
    out = io.StringIO()
    progress = BatchProgress(total=1000)
    async with progress_shown(progress, out, line_every_s=0.1):
        for _ in range(1000):
            progress.counts[ItemState.ACCEPTED] += 1
        await asyncio.sleep(0.25)
    lines = out.getvalue().splitlines()
    assert 2 <= len(lines) <= 4
    assert lines[-1].startswith("1000/1000 items · 1000 accepted · 0 pending")
