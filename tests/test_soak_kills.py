"""The small form of `make soak`'s kills: ten of the writer, at random moments of a run."""

import random
from pathlib import Path

from tests.soak_kills import kill_writers


def test_ten_kills_lose_no_item_and_double_none(tmp_path: Path):
    ended = kill_writers(tmp_path, 10, random.Random())
    assert ended.n_kills == 10
    assert ended.n_runs >= 1
