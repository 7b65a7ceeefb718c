"""Progress of `prepare`: lines where nobody watches, a bar on a terminal."""

import io

import pytest

from stages import steady_progress
from stages.steady_progress import progress_of


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_are_rare_but_failures_and_the_last_one_are_always_there():
    out = io.StringIO()
    with progress_of(50, "describing", out) as progress:
        for number in range(50):
            progress.done(f"v{number}", "no such file" if number == 20 else None)
    lines = out.getvalue().splitlines()
    assert lines[0] == "  1/50 v0"
    assert "  21/50 v20 FAILED: no such file" in lines
    assert lines[-1] == "  50/50 v49"
    assert len(lines) < 10


def test_every_volume_has_its_line_when_they_are_slow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steady_progress, "_LINE_EVERY_S", 0.0)
    out = io.StringIO()
    with progress_of(3, "describing", out) as progress:
        for number in range(3):
            progress.done(f"v{number}")
    assert out.getvalue().splitlines() == ["  1/3 v0", "  2/3 v1", "  3/3 v2"]


def _stopped_after_two(out: io.StringIO) -> None:
    with progress_of(9, "describing", out) as progress:
        progress.done("v0")
        progress.done("v1")
        raise KeyboardInterrupt


def test_what_was_done_before_an_error_is_told():
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        _stopped_after_two(out)
    assert out.getvalue().splitlines() == ["  1/9 v0", "  2/9 v1"]


def test_on_a_terminal_a_bar_is_drawn_and_failures_stay(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with progress_of(40, "describing", out) as progress:
        for number in range(40):
            progress.done(f"v{number}", "[broken]" if number == 3 else None)
    shown = out.getvalue()
    assert "40/40" in shown
    assert "v3 FAILED: [broken]" in shown
    # By a timer, not by event: 40 volumes in no time are not 40 redraws.
    assert shown.count("describing") < 10
