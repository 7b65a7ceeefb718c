"""The mutation suite in small: every kind with its bar; the whole is `make bench-checks`."""

import re

import pytest

from knee.moaks import Feature
from knee.records import CheckSeverity
from tests.bench_checks import GRAMMAR_BAR, PROSE_BAR, Row, false_alarms, run_kinds
from tests.draft_cases import CASES, Case, report_of
from tests.free_prose import HELD_OUT, PARTS, prose_bases, read_blocks
from tests.mutation_bases import Base, grammar_bases, hand_bases, report_on

_BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def bases() -> list[Base]:
    return [*grammar_bases(16, 5), *hand_bases(), *prose_bases(HELD_OUT)[::5]]


@pytest.fixture(scope="module")
def rows(bases: list[Base]) -> list[Row]:
    return run_kinds(bases, list(grammar_bases(16, 6)), at_most=1)


@pytest.mark.parametrize("name", _BY_NAME)
def test_clean_draft_passes_without_a_failing_issue(name: str):
    report = report_of(_BY_NAME[name], _BY_NAME[name].answer)
    assert [i for i in report.issues if i.severity is CheckSeverity.FAIL] == []
    assert report.passed


def test_drafts_cover_every_feature_and_both_knees(bases: list[Base]):
    assert {base.feature for base in bases} >= set(Feature) - {Feature.PERIARTICULAR}
    assert {base.context.side for base in bases} == {"right", "left"}


def test_every_kind_is_caught_for_its_own_reason(rows: list[Row]):
    barred = [row for row in rows if row.kind.bar is not None]
    assert min(len(row.mutants) for row in barred) >= 4
    # A hundred mutants of a kind at most: one or two may be of those that the bar lets through.
    for row in barred:
        caught, made = row.share(prose=None if row.kind.bar_on_prose else False)
        missed = [(m.base.name, m.answer) for m in row.mutants if not m.caught]
        assert caught >= min(0.95 * made, made - 1), (row.kind.name, missed[:2])
    caught = sum(row.share()[0] for row in barred)
    assert caught >= 0.99 * sum(row.share()[1] for row in barred)


def test_sound_drafts_pass():
    clean = list(grammar_bases(100, 11))
    assert len(false_alarms(clean)) <= GRAMMAR_BAR * len(clean)


def test_free_prose_passes():
    assert sum(len(read_blocks(part)) for part in PARTS) >= 200
    held_out = prose_bases(HELD_OUT)
    assert len(false_alarms(held_out)) <= PROSE_BAR * len(held_out)


def _messages(case: Case, rows: list[Row]) -> list[str]:
    mutants = (m for row in rows for m in row.mutants if m.base.name == case.name)
    reports = (report_on(m.base, m.answer) for m in mutants)
    return [i.message for r in reports for i in r.issues if i.check == "grade_follows"]


def test_message_on_a_grade_that_does_not_follow_names_no_grade(rows: list[Row]):
    messages = [message for case in CASES for message in _messages(case, rows)]
    assert messages
    for message in messages:
        assert not re.search(r"grade\w*\W+\d", message)
        assert "against the cut-offs again" in message
