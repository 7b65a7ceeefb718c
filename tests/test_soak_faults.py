"""The small form of `make soak`'s faults: server killed twice, a quarter of the requests wrong."""

import sys
from pathlib import Path

import pytest

from tests.soak_faults import soak


def test_faults_and_two_kills_change_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["run_pipeline.py", "generate"])
    ended = soak(tmp_path, n_items=90, away_s=0.3)
    assert ended.code == 0
    assert ended.n_kills == 2
    assert len(ended.disturbed) >= 90
    assert ended.disturbed == ended.undisturbed
