"""The first accepted quintuple is shown once, after it is safe on disk, with all its parts."""

import time

import pytest

from knee.records import ItemOutcome, ItemState
from stages.first_accepted import first_shown
from tests.store_records import outcome

VOLUME = "9001/V00/right/dess"


async def test_it_is_shown_once_and_only_after_it_was_kept(capsys: pytest.CaptureFixture[str]):
    kept: list[ItemOutcome] = []
    accepted = outcome("r", VOLUME, 4)

    async def keep(one: ItemOutcome) -> None:
        assert "first accepted" not in capsys.readouterr().err, "it was shown before it was safe"
        kept.append(one)

    keep_and_show = first_shown(keep, time.monotonic() - 12)
    await keep_and_show(outcome("r", VOLUME, 4, state=ItemState.DISAGREES))
    assert capsys.readouterr().err == ""
    await keep_and_show(accepted)
    shown = capsys.readouterr().err
    assert "first accepted quintuple, after 12 s" in shown
    assert accepted.volume_id in shown
    draft = accepted.attempts[-1].draft
    assert draft is not None
    for step in draft.steps:
        assert step.text in shown
    for component, grade in draft.grades.items():
        assert f"{component.value} {grade}" in shown
    await keep_and_show(accepted)
    assert capsys.readouterr().err == "", "the second is not the first"
    assert len(kept) == 3


async def test_without_a_start_nothing_is_shown(capsys: pytest.CaptureFixture[str]):
    async def keep(_: ItemOutcome) -> None:
        pass

    assert first_shown(keep, None) is keep
    await first_shown(keep, None)(outcome("r", VOLUME, 4))
    assert capsys.readouterr().err == ""
